// Command realmclient drives the sync client of the native Realm library: it
// reads one JSON command per line on standard input and answers each with one
// line on standard output. The library logs to standard error. Package
// internal/realmclient, which starts it, describes commands and answers.
//
// All work on realms runs on one locked thread, because the library keeps its
// last error per thread. Realms have a scheduler that never delivers
// notifications; waits and dumps refresh the realm instead. Callbacks come from
// the library's threads: they only copy what they get and hand it over. HTTP is
// net/http; the WebSocket is the library's own.
package main

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"
)

// logLevels are the library's numbers.
var logLevels = map[string]int{"all": 0, "trace": 1, "debug": 2, "detail": 3, "info": 4, "warn": 5, "error": 6, "fatal": 7, "off": 8}

func main() {
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "realmclient:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: realmclient LIBRARY [LOG LEVEL]")
	}
	level := "info"
	if len(args) == 2 {
		level = args[1]
	}
	n, ok := logLevels[level]
	if !ok {
		return fmt.Errorf("unknown log level %q", level)
	}
	if err := load(args[0], n); err != nil {
		return err
	}
	p := newProcess()
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			answer, last := p.serve(line)
			if _, err := os.Stdout.Write(answer); err != nil || last {
				break
			}
		}
		if err != nil {
			break
		}
	}
	return p.close()
}

// load loads the library.
func load(path string, level int) error {
	s := C.CString(path)
	defer C.free(unsafe.Pointer(s))
	if problem := C.rc_load(s); problem != nil {
		return errors.New("load the library: " + C.GoString(problem))
	}
	C.rcx_install_log(C.int32_t(level))
	return nil
}
