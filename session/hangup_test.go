package session

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// leaving is an Authenticator whose clients go while it works.
type leaving struct{ leave context.CancelFunc }

func (a leaving) Authenticate(ctx context.Context, _, _ string) (string, error) {
	a.leave()
	return "", ctx.Err()
}

// A client that hangs up while its token is looked at is nobody's error.
func TestHangUpBeforeTheTokenIsChecked(t *testing.T) {
	var log bytes.Buffer
	ctx, leave := context.WithCancel(t.Context())
	s := NewServer(Options{Authenticator: leaving{leave}, Presence: NewMemoryPresence(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	r := httptest.NewRequestWithContext(ctx, "GET", "/sync?baas_at=token", nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Protocol", "com.mongodb.realm-query-sync#14")
	s.ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
}

// A client that loses its network inside a message has sent none of it: neither
// what is there of it is taken for a message, nor is the client blamed for it.
func TestCutMessageIsNone(t *testing.T) {
	const (
		binary, last = 2, 0x80 // of a frame's first byte
		masked       = 0x80    // of its second
		key          = "\x00\x00\x00\x00"
	)
	mark := "mark 1 1\n"
	for name, sent := range map[string]string{
		"behind the head of a frame": string([]byte{last | binary, masked | 9}) + key,
		"inside a frame":             string([]byte{last | binary, masked | 9}) + key + mark[:8], // as much as is read at first
		"between two frames":         string([]byte{binary, masked | 9}) + key + mark,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			w, socket := r.dialTCP("ann")
			if _, err := socket.Write([]byte(sent)); err != nil {
				t.Fatal(err)
			}
			if err := socket.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := w.expectEnd(); websocket.CloseStatus(err) != -1 {
				t.Errorf("got %v", err)
			}
			eventually(t, "the connection to end", func() bool { return r.server.Stats() == Stats{} })
			if log := r.logs.String(); !strings.Contains(log, "msg=disconnected") || strings.Contains(log, "error") || strings.Contains(log, "refused") {
				t.Errorf("got the log\n%s", log)
			}
		})
	}
}

func TestTrap40HangingUpIsNoError(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.open(1)
	_ = w.ws.CloseNow()
	eventually(t, "the connection to end", func() bool { return r.server.Stats() == Stats{} })
	if log := r.logs.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
		t.Errorf("got the log\n%s", log)
	}
}
