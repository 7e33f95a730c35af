package session

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/protocol"
)

func TestTrap8WrongModeIsAConnectionError(t *testing.T) {
	r := newRig(t)
	w := r.dialOffering("ann", protocol.Offer(false)...)
	w.send(&protocol.Bind{Session: 1, Partition: `"foo"`, NeedIdent: true})
	if e := w.expectError(protocol.SwitchToFLXSync); e.Session != 0 || e.TryAgain || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	w.expectEnd()

	r = newRig(t, func(o *Options) { o.Flexible = false })
	w = r.dialOffering("ann", protocol.Offer(true)...)
	w.send(&protocol.Bind{Session: 1, NeedIdent: true})
	if e := w.expectError(protocol.SwitchToPBS); e.Session != 0 || e.TryAgain || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	w.expectEnd()
}

func TestTrap11PongEchoesThePing(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.sendRaw([]byte("ping 2518588 17\n"))
	expect[*protocol.Pong](w)
	if got := string(w.raw[len(w.raw)-1]); got != "pong 2518588\n" {
		t.Errorf("got %q", got)
	}
}

func TestTrap20CloseCodes(t *testing.T) {
	r := newRig(t)
	for token, want := range map[string]websocket.StatusCode{
		"expired":  websocket.StatusCode(protocol.CloseAuthExpired),
		"disabled": websocket.StatusCode(protocol.CloseForbidden),
	} {
		w, err := r.tryDial(token, protocol.Offer(true)...)
		if err != nil {
			t.Fatalf("%s: refused at the upgrade: %v", token, err)
		}
		_, err = w.read()
		if got := websocket.CloseStatus(err); got != want {
			t.Errorf("%s: got %v (%v), want %v", token, got, err, want)
		}
	}
	w := r.dial("ann")
	other := r.dial("bob")
	w.open(1)
	r.server.Disconnect("ann", protocol.CloseForbidden)
	if got := websocket.CloseStatus(w.expectEnd()); got != websocket.StatusCode(protocol.CloseForbidden) {
		t.Errorf("a user that was disabled: got %v", got)
	}
	other.open(1)
}

func TestTrap20TextMessageIsRefused(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	if err := w.ws.Write(context.Background(), websocket.MessageText, []byte("ping 1 0\n")); err != nil {
		t.Fatal(err)
	}
	w.expectError(protocol.BadSyntax)
}

func TestTrap22StatusesOfRefusedUpgrades(t *testing.T) {
	r := newRig(t)
	w, err := r.tryDial("unknowable", protocol.Offer(true)...)
	if err == nil || w.reply.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a token that cannot be checked: got %v, %v", w.reply, err)
	}
	for _, offer := range []string{"com.mongodb.realm-query-sync#1", "com.mongodb.realm-query-sync#99", "chat"} {
		w, err = r.tryDial("user:ann", offer)
		if err == nil || w.reply.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %v, %v", offer, w.reply, err)
			continue
		}
		text, _ := io.ReadAll(w.reply.Body)
		if !strings.Contains(string(text), "sub-protocol") {
			t.Errorf("%s: the answer is %q", offer, text)
		}
	}
	reply, err := http.Get(r.http.URL + "/api/client/v2.0/app/test-app/realm-sync?baas_at=user:ann")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: got %s", reply.Status)
	}
	if err := r.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	w, err = r.tryDial("user:ann", protocol.Offer(true)...)
	if err == nil || w.reply.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after shutdown: got %v, %v", w.reply, err)
	}
}

func TestTrap23LargeMessages(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxMessage = 1 << 20 })
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	// Hardly compressible, above every common default.
	name := noise(600 << 10)
	p.awaitUpload(p.upload(newDog(1, 1, name)))
	p.awaitMark()
	other := r.dial("bob").open(1)
	p.upload(newDog(2, 1, name), newDog(3, 1, name), newDog(4, 1, name))
	// Not close code 1009, for which the client would throw its changes away.
	e := p.expectError(protocol.BadSyntax)
	if !strings.Contains(e.Message, "1048576 bytes") {
		t.Errorf("got %q", e.Message)
	}
	other.awaitMark()
}

// noise returns text that compresses badly.
func noise(n int) string {
	b := make([]byte, n)
	for i, x := 0, uint64(1); i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = 'A' + byte(x>>32)%26 + byte(x>>40)%2*32
	}
	return string(b)
}

func TestTrap34SessionIdentsAreTheClients(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(7)
	q := w.open(12)
	p.awaitMark()
	w.send(&protocol.Bind{Session: 12, NeedIdent: true})
	w.expectError(protocol.ReuseOfSessionIdent)

	w = r.dial("ann")
	w.open(7)
	w.send(&protocol.Bind{Session: 5, NeedIdent: true})
	w.expectError(protocol.ReuseOfSessionIdent)
	_ = q
}

func TestTrap37RestartIsAnnounced(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	gate := make(chan struct{})
	r.file.mu.Lock()
	r.file.gate = gate
	r.file.mu.Unlock()
	p.upload(newDog(1, 1, "Rex"))
	eventually(t, "the upload to be under way", func() bool {
		r.file.mu.Lock()
		defer r.file.mu.Unlock()
		return len(r.file.judged) == 1
	})
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown(context.Background()) }()
	e := p.expectError(protocol.ConnectionClosed)
	if e.Session != 0 || !e.TryAgain || e.Action != protocol.ActionTransient || e.Backoff == nil || e.Backoff.Seconds < 1 || e.Backoff.Multiplier < 1 {
		t.Errorf("got %+v", e)
	}
	_ = p.ws.CloseNow()
	select {
	case err := <-ended:
		t.Errorf("shutdown did not wait for the commit: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(gate)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if head, _ := r.file.Head(); head != 2 {
		t.Errorf("the upload under way was not committed: head %d", head)
	}
}

func TestTrap39TokenIsNotLogged(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann-secret-token")
	w.open(1)
	_, _ = r.tryDial("expired-secret", protocol.Offer(true)...)
	if log := r.logs.String(); strings.Contains(log, "baas_at") || strings.Contains(log, "user:ann") || strings.Contains(log, "expired-secret") {
		t.Errorf("the log holds a token:\n%s", log)
	}
}

// A session waits for the one that had its ident before. A client can have only so
// many wait, on one ident as on several.
func TestSessionsOfAConnectionAreBounded(t *testing.T) {
	for name, more := range map[string]func(i int64) []protocol.Message{
		"on one ident": func(int64) []protocol.Message {
			return []protocol.Message{&protocol.Unbind{Session: 1}, &protocol.Bind{Session: 1}}
		},
		"on an ident each": func(i int64) []protocol.Message {
			return []protocol.Message{&protocol.Bind{Session: 2 + i}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.file.commit(dogs())
			p := r.dial("ann").open(1)
			gate := make(chan struct{})
			defer close(gate)
			r.file.mu.Lock()
			r.file.gate = gate
			r.file.mu.Unlock()
			p.upload(newDog(1, 1, "Rex")) // UNBIND waits for it
			go func() {
				for i := range int64(maxSessions) {
					for _, m := range more(i) {
						data, err := p.codec.Append(nil, m)
						if err != nil || p.ws.Write(context.Background(), websocket.MessageBinary, data) != nil {
							return
						}
					}
				}
			}()
			for {
				m, err := p.read()
				if err != nil {
					t.Fatal(err)
				}
				if e, ok := m.(*protocol.JSONError); ok {
					if e.Code != protocol.OtherError || !strings.Contains(e.Message, "sessions on one connection") {
						t.Errorf("got %+v", e)
					}
					return
				}
			}
		})
	}
}
