package session

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledge sends the TCP acknowledgement that is due. The option does not
// last, so it is set after every read.
func acknowledge(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		// A socket that does not take the option is only slower.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}
