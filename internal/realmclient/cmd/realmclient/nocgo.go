//go:build !cgo

// Command realmclient needs a C compiler to be of use; without one it still
// builds, so that ./... does.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "realmclient: built without cgo, so it cannot load the Realm library")
	os.Exit(1)
}
