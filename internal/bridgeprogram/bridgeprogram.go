// Package bridgeprogram builds the bridge for tests that run it as a process of
// its own.
package bridgeprogram

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// Path builds the bridge, once for each test binary, with the race detector if so
// wished, and returns the program's path. The test's package lies in the module's
// root folder.
func Path(t testing.TB, race bool) string {
	t.Helper()
	built.once.Do(func() { built.path, built.err = build(race) })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func build(race bool) (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("build the bridge: %w", err)
	}
	name, args, cgo := "bridge", []string{"build"}, "CGO_ENABLED=0"
	if race {
		name, args, cgo = "bridge-race", append(args, "-race"), "CGO_ENABLED=1"
	}
	// A folder for each package: several are tested at once, and a program that
	// runs is not to be built anew.
	path := filepath.Join(filepath.Dir(folder), ".cache", filepath.Base(folder), name)
	cmd := exec.Command("go", append(args, "-o", path, "../cmd/bridge")...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the bridge: %w\n%s", err, out)
	}
	return path, nil
}

// Environ is what the program is to be run with: a data race ends it, so that it
// shows, however much is logged afterwards and whoever ends it.
func Environ() []string { return append(os.Environ(), "GORACE=halt_on_error=1") }
