package session

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
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
