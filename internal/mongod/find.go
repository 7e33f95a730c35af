package mongod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// EnvPath is the environment variable that names the mongod program to use.
const EnvPath = "MONGOD"

// cachePath is where scripts/fetch-mongod.sh puts the program, below the
// root of the repository.
const cachePath = ".cache/mongod/mongod"

// ErrNotFound is returned, wrapped in an *Error, when there is no mongod program.
var ErrNotFound = errors.New("no mongod program found")

// Error is what went wrong with a server and what to do about it.
type Error struct {
	Op   string // what was tried, such as "find mongod"
	Err  error
	Hint string // to the person at the terminal
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Op, e.Err, e.Hint)
}

func (e *Error) Unwrap() error { return e.Err }

const findHint = "install MongoDB 6.0 or later, or set MONGOD to the path of its mongod; " +
	"inside the repository `make fetch` gets one"

// Find is the path of the mongod program: what MONGOD names, else the one on
// the PATH, else the one that scripts/fetch-mongod.sh put into .cache of the
// repository around the working directory. The error wraps ErrNotFound.
func Find() (string, error) {
	if path := os.Getenv(EnvPath); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", &Error{Op: "find mongod", Err: fmt.Errorf("%w: MONGOD is %q, which is no program", ErrNotFound, path), Hint: findHint}
		}
		return found, nil
	}
	if found, err := exec.LookPath("mongod"); err == nil {
		return found, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", &Error{Op: "find mongod", Err: err}
	}
	if found, ok := findCached(dir); ok {
		return found, nil
	}
	return "", &Error{Op: "find mongod", Err: fmt.Errorf("%w: none on the PATH", ErrNotFound), Hint: findHint}
}

// findCached looks into .cache of dir and of the folders above it, up to the
// root of the Go module.
func findCached(dir string) (string, bool) {
	for {
		if found, err := exec.LookPath(filepath.Join(dir, cachePath)); err == nil {
			return found, true
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); !errors.Is(err, fs.ErrNotExist) {
			return "", false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}
