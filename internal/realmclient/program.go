package realmclient

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

const (
	// EnvLibrary is the environment variable that names the native library.
	EnvLibrary = "REALM_LIBRARY"

	// libraryPath is where scripts/fetch-librealm.sh puts the library, and
	// programPath where Program puts the program, below the repository's root.
	libraryPath = ".cache/librealm/2.3.0/librealmc.so"
	programPath = ".cache/realmclient/realmclient"

	programPackage = "github.com/isthmus-sync/isthmus/internal/realmclient/cmd/realmclient"
)

// Library is the path of the native Realm library: what REALM_LIBRARY names,
// else what scripts/fetch-librealm.sh has fetched.
func Library() (string, error) {
	if path := os.Getenv(EnvLibrary); path != "" {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, libraryPath)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the native Realm library is missing: run scripts/fetch-librealm.sh (`make fetch`), or set %s: %w", EnvLibrary, err)
	}
	return path, nil
}

var program struct {
	once sync.Once
	path string
	err  error
}

// Program builds cmd/realmclient, once in a process, and returns its path. It
// needs a C compiler.
func Program() (string, error) {
	program.once.Do(func() { program.path, program.err = build() })
	return program.path, program.err
}

func build() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, programPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("build realmclient: %w", err)
	}
	// Several test binaries may build it at once: each has a file of its own,
	// and the last one stays.
	own := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", "build", "-o", own, programPackage)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build realmclient (it needs gcc): %w\n%s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(own, path); err != nil {
		return "", fmt.Errorf("build realmclient: %w", err)
	}
	return path, nil
}

// moduleRoot is the folder of go.mod at or above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return "", fmt.Errorf("no go.mod at or above the working directory: the real client is for tests inside the repository")
		}
		dir = up
	}
}
