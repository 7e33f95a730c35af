package session

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// socket is the connection below a WebSocket. Every read may wait for the idle
// timeout and every write for the write timeout, so any received byte counts as
// a sign of life. After each read it acknowledges at once: the clients' sockets
// have Nagle's algorithm on and would else hold a second small write back for
// some 40 ms.
type socket struct {
	net.Conn
	raw          syscall.RawConn // nil if there is no TCP socket to reach
	idleTimeout  time.Duration
	writeTimeout time.Duration
}

func (s *socket) Read(p []byte) (int, error) {
	if err := s.Conn.SetReadDeadline(time.Now().Add(s.idleTimeout)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Read(p)
	if n > 0 && s.raw != nil {
		acknowledge(s.raw)
	}
	if errors.Is(err, io.EOF) {
		// The library takes io.EOF behind a frame's head, between two frames, or
		// wherever it had asked for no more, for the end of the message.
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	if err := s.Conn.SetWriteDeadline(time.Now().Add(s.writeTimeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// rawOf returns the TCP socket of a connection, also of one under TLS.
func rawOf(c net.Conn) syscall.RawConn {
	if tls, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = tls.NetConn()
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	// On by default; said because latency depends on it.
	_ = tcp.SetNoDelay(true)
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// hijackable gives the WebSocket library a socket in the place of the HTTP
// server's connection.
type hijackable struct {
	http.ResponseWriter
	idleTimeout  time.Duration
	writeTimeout time.Duration
	socket       *socket // set by Hijack
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.socket = &socket{Conn: c, raw: rawOf(c), idleTimeout: h.idleTimeout, writeTimeout: h.writeTimeout}
	rw.Writer.Reset(h.socket)
	return h.socket, rw, nil
}
