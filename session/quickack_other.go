//go:build !linux

package session

import "syscall"

// acknowledge does nothing: only Linux lets a program say when to acknowledge.
func acknowledge(syscall.RawConn) {}
