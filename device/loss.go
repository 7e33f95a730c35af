package device

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/protocol"
)

// loss explains why a connection ended or was not made.
type loss struct {
	reason  string // which series of delays counts
	err     error  // what the app is told; nil for quiet ends
	fatal   bool   // the sessions are inactive
	logOut  bool   // the user is logged out
	halt    bool   // no reconnect until something pokes the client
	backoff *protocol.Backoff

	refreshUser     bool
	refreshLocation bool
	clientReset     bool
}

// refused explains a failed upgrade.
func (c *connection) refused(resp *http.Response, err error) loss {
	if resp == nil {
		return loss{reason: "connect failed"}
	}
	text := ""
	if resp.Body != nil {
		// What coder/websocket leaves of the body is short; it is only a text.
		if body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxHeaderText)); readErr == nil {
			text = string(body)
		}
	}
	status := resp.StatusCode
	failure := fmt.Errorf("upgrade refused with http status %d: %s: %w", status, text, err)
	reason := fmt.Sprintf("http status %d", status)
	switch {
	case status == http.StatusUnauthorized:
		return loss{reason: reason, refreshUser: true}
	case status == http.StatusForbidden:
		return loss{reason: reason, err: failure, logOut: true}
	case status == http.StatusMovedPermanently || status == http.StatusPermanentRedirect:
		return loss{reason: reason, refreshLocation: true}
	case status >= 300 && status < 400, status >= 500 && status < 600:
		return loss{reason: reason, err: failure}
	}
	c.mu.Lock()
	verified := c.verified
	c.mu.Unlock()
	if !verified {
		return loss{reason: reason, err: failure, refreshLocation: true}
	}
	return loss{reason: reason, err: failure}
}

// maxHeaderText bounds what is read of a refused upgrade's body, in bytes.
const maxHeaderText = 8192

// lossOf explains the end of a connection.
func lossOf(err error) loss {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return loss{reason: "connection closed"}
	}
	code := protocol.CloseCode(closed.Code)
	reason := fmt.Sprintf("close code %d", code)
	failure := fmt.Errorf("the server closed the connection with code %d: %s", code, closed.Reason)
	switch code {
	case closeNormal:
		// The client ignores the code and sees the socket's end.
		return loss{reason: "connection closed"}
	case protocol.CloseMessageTooBig:
		return loss{reason: reason, clientReset: true, err: failure}
	case protocol.CloseAuthExpired:
		return loss{reason: reason, refreshUser: true}
	case protocol.CloseForbidden:
		return loss{reason: reason, err: failure, logOut: true}
	case protocol.CloseMoved:
		return loss{reason: reason, refreshLocation: true}
	}
	return loss{reason: reason, err: failure}
}

const closeNormal protocol.CloseCode = 1000
