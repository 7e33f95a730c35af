package device

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/protocol"
)

// ready is a session that has nothing to say: all is acknowledged. The cursors
// are D (2, 11), L 2, U (11, 2), and the newest version is 12.
func ready(t *testing.T, opts Options) *scene {
	t.Helper()
	sc := begun(t, opts)
	sc.socket.send(download("1 2 11 2 1002 11 2 0 2"))
	eventually(t, func() bool { return sc.realm.Version() == 12 })
	return sc
}

const (
	rebind  = "bind 1 37 0 0 0\n" + `{"schemaVersion":0,"sessionReason":0}`
	reident = "ident 1 2 777 2 11 2 1002 0 2\n{}"
)

// create writes a dog.
func (sc *scene) create(key int64) int64 {
	sc.t.Helper()
	version, err := sc.realm.Write(func(tx *Tx) error { return tx.Create("Dog", changeset.IntKey(key), nil) })
	if err != nil {
		sc.t.Fatal(err)
	}
	return version
}

// TestReconnect comes back after a cut, with and without a new MARK, and
// uploads again what was not acknowledged.
func TestReconnect(t *testing.T) {
	for _, tc := range []struct {
		name  string
		limit time.Duration
		want  []string
	}{
		{"fast", time.Hour, []string{rebind, reident, "upload"}},
		{"slow", time.Nanosecond, []string{rebind, reident, "mark 1 2\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := ready(t, Options{FastReconnect: tc.limit})
			sc.create(1)
			if u := hear[*protocol.Upload](sc.socket); len(u.Entries) != 1 || u.Entries[0].ClientVersion != 13 {
				t.Fatalf("%+v", u)
			}
			sc.client.GoOffline()
			sc.socket.ended()
			sc.create(2)
			sc.client.GoOnline()
			sc.connect()
			for _, want := range tc.want {
				if got := string(sc.socket.next()); got != want && (want != "upload" || !strings.HasPrefix(got, want)) {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if tc.name == "slow" {
				sc.socket.send("mark 1 2\n")
				if u := hear[*protocol.Upload](sc.socket); len(u.Entries) != 2 || u.Entries[0].ClientVersion != 13 {
					t.Errorf("%+v", u)
				}
			}
		})
	}
}

// resumed is a realm with a write to send whose session began while the connection was
// lost. It waits for the answer to its MARK.
func resumed(t *testing.T) *scene {
	t.Helper()
	sc := ready(t, Options{FastReconnect: time.Hour, Multiplex: true, Linger: time.Hour})
	sc.client.GoOffline()
	sc.socket.ended()
	sc.realm.Pause()
	if err := sc.realm.Resume(); err != nil {
		t.Fatal(err)
	}
	sc.create(1)
	sc.client.GoOnline()
	sc.connect()
	sc.socket.expect(strings.Replace(rebind, "1", "2", 1))
	sc.socket.expect(strings.Replace(reident, "1", "2", 1))
	sc.socket.expect("mark 2 1\n")
	return sc
}

// TestNewSessionOnAFastReconnect: a session that begins while the connection is
// lost waits for a MARK, as any that begins, and so has to ask for one.
func TestNewSessionOnAFastReconnect(t *testing.T) {
	sc := resumed(t)
	sc.socket.send("mark 2 1\n")
	if u := hear[*protocol.Upload](sc.socket); len(u.Entries) != 1 {
		t.Errorf("%+v", u)
	}
}

// TestUploadsAfterGoingDeaf: the answer to a session's first MARK finds it deaf. When it
// is bound again it asks for nothing more, and uploads, as the shipped clients do.
func TestUploadsAfterGoingDeaf(t *testing.T) {
	sc := resumed(t)
	sc.socket.send(download("2 3 11 3 1003 11 2 0 2", "3 11 1 3 2 2 \x3f\x05"))
	sc.socket.send("mark 2 1\n")
	if e := hear[*protocol.ClientError](sc.socket); e.Code != protocol.BadChangeset {
		t.Errorf("%+v", e)
	}
	sc.socket.send(jsonError(200, 2, "Transient", true, ""))
	sc.socket.expect("unbind 2\n")
	sc.socket.expect(strings.Replace(rebind, "1", "2", 1))
	sc.socket.expect(strings.Replace(reident, "1", "2", 1))
	if u := hear[*protocol.Upload](sc.socket); len(u.Entries) != 1 {
		t.Errorf("%+v", u)
	}
}

// TestCloseCodes closes the connection with the codes that clients know.
func TestCloseCodes(t *testing.T) {
	const post, locate = "POST /api/client/v2.0/auth/session", "GET /api/client/v2.0/app/fake-app/location"
	for _, tc := range []struct {
		code     websocket.StatusCode
		requests []string
		errors   int
		fatal    error
		session  int // that comes back
	}{
		{1000, nil, 0, nil, 1},
		{1001, nil, 1, nil, 1},
		{1011, nil, 1, nil, 1},
		{4001, []string{post}, 0, nil, 1},
		{4002, nil, 1, errAny, 0},
		{4003, []string{locate, post}, 0, nil, 1},
		{1009, nil, 1, ErrClientReset, 0},
	} {
		t.Run(fmt.Sprint(tc.code), func(t *testing.T) {
			sc := ready(t, Options{})
			before := len(sc.server.requested())
			sc.socket.conn.Close(tc.code, "test")
			if tc.session > 0 {
				sc.connect()
				sc.socket.expect(strings.Replace(rebind, "1", fmt.Sprint(tc.session), 1))
			} else if err := sc.failure(); tc.fatal != errAny && !errors.Is(err, tc.fatal) {
				t.Errorf("the failure is %v", err)
			}
			var got []string
			for _, r := range sc.server.requested()[before:] {
				if !strings.HasSuffix(r, "/realm-sync") {
					got = append(got, r)
				}
			}
			if !slices.Equal(got, tc.requests) {
				t.Errorf("the client asked for %q, want %q", got, tc.requests)
			}
			if errs := sc.realm.Errors(); len(errs) != tc.errors {
				t.Errorf("the app is told of %v", errs)
			}
		})
	}
}

var errAny = errors.New("any")

// TestUpgradeRefused refuses the upgrade with the statuses that clients know,
// once.
func TestUpgradeRefused(t *testing.T) {
	for _, tc := range []struct {
		status int
		errors int
		fatal  bool
		want   string // a request that follows
	}{
		{401, 0, false, "POST /api/client/v2.0/auth/session"},
		{403, 1, true, ""},
		{301, 0, false, "GET /api/client/v2.0/app/fake-app/location"},
		{404, 1, false, "GET /api/client/v2.0/app/fake-app/location"}, // the endpoint never worked
		{302, 1, false, ""},
		{503, 1, false, ""},
	} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			server := newFakeServer(t)
			refused := false
			server.upgrade = func(w http.ResponseWriter) bool {
				if refused {
					return false
				}
				refused = true
				w.Header().Set("Location", server.http.URL+"/elsewhere")
				w.WriteHeader(tc.status)
				return true
			}
			client := NewClient(Options{Second: time.Millisecond})
			t.Cleanup(client.Close)
			realm, err := client.Open(server.user("u"), Config{Schema: dogs()})
			if err != nil {
				t.Fatal(err)
			}
			sc := &scene{t: t, server: server, client: client, realm: realm}
			if tc.fatal {
				if err := sc.failure(); err == nil {
					t.Error("the realm goes on")
				}
				return
			}
			sc.connect()
			hear[*protocol.Bind](sc.socket)
			if errs := realm.Errors(); len(errs) != tc.errors {
				t.Errorf("the app is told of %v", errs)
			}
			if tc.want != "" && !slices.Contains(server.requested(), tc.want) {
				t.Errorf("the client asked for %q", server.requested())
			}
		})
	}
}

// TestTokenRefused: a refresh that is refused logs the user out; one that fails
// otherwise does not.
func TestTokenRefused(t *testing.T) {
	for _, tc := range []struct {
		status int
		fatal  bool
	}{{401, true}, {403, true}, {500, false}} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			sc := ready(t, Options{})
			sc.server.answer("POST /api/client/v2.0/auth/session", answer{tc.status, `{"error":"no","error_code":"InvalidSession"}`})
			sc.socket.conn.Close(4001, "")
			if !tc.fatal {
				sc.connect()
				sc.socket.expect(rebind)
				return
			}
			var e *ServiceError
			if err := sc.failure(); !errors.As(err, &e) || e.Code != "InvalidSession" {
				t.Errorf("the failure is %v", err)
			}
		})
	}
}

// TestExpiredToken is refreshed before a realm is opened.
func TestExpiredToken(t *testing.T) {
	sc := newScene(t, Options{Clock: func() time.Time { return time.Now().Add(2 * time.Hour) }}, Config{})
	sc.connect()
	hear[*protocol.Bind](sc.socket)
	if !slices.Contains(sc.server.requested(), "POST /api/client/v2.0/auth/session") {
		t.Errorf("the client asked for %q", sc.server.requested())
	}
}

// TestConnectionErrors ends connections with errors of theirs.
func TestConnectionErrors(t *testing.T) {
	sc := ready(t, Options{})
	sc.socket.send(jsonError(100, 0, "Transient", true, `,"backoffIntervalSec":3,"backoffMaxDelaySec":60,"backoffMultiplier":2`))
	sc.socket.ended()
	sc.connect()
	sc.socket.expect(rebind)
	if errs := sc.realm.Errors(); len(errs) != 0 {
		t.Errorf("the app is told of %v", errs)
	}
	// With tryAgain false the client stays away until something pokes it.
	sc.socket.send(jsonError(101, 0, "Warning", false, ""))
	sc.socket.ended()
	eventually(t, func() bool { return len(sc.realm.Errors()) == 1 })
	conn := sc.realm.session.conn
	eventually(t, func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.halted
	})
	sc.client.Reconnect()
	sc.connect()
	sc.socket.expect(rebind)
	sc.socket.send(jsonError(114, 0, "ApplicationBug", false, ""))
	var e *ServerError
	if err := sc.failure(); !errors.As(err, &e) || e.Code != 114 || e.Session {
		t.Errorf("the failure is %v", err)
	}
}

// TestCutMessage: of a message that the connection ends in, nothing is heeded,
// and the server is not blamed for it.
func TestCutMessage(t *testing.T) {
	const binary, last, sixteenBits = 2, 0x80, 126
	nonsense := strings.Repeat("x", 600)
	head := string([]byte{last | binary, sixteenBits, 600 >> 8, 600 & 0xff})
	for name, sent := range map[string]string{
		"behind the head of a frame": head,
		"inside a frame":             head + nonsense[:512], // as much as is read at first
		"between two frames":         string([]byte{binary, 9}) + nonsense[:9],
	} {
		t.Run(name, func(t *testing.T) {
			sc := ready(t, Options{})
			if _, err := sc.socket.below.Write([]byte(sent)); err != nil {
				t.Fatal(err)
			}
			if err := sc.socket.below.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			sc.socket.ended()
			if err := sc.realm.Failure(); err != nil {
				t.Fatalf("the failure is %v", err)
			}
			sc.connect()
			sc.socket.expect(rebind)
			if errs := sc.realm.Errors(); len(errs) != 0 {
				t.Errorf("the app is told of %v", errs)
			}
		})
	}
}

// TestPing answers one PING and leaves the next unanswered.
func TestPing(t *testing.T) {
	sc := newScene(t, Options{PingInterval: 20 * time.Millisecond, PongTimeout: 50 * time.Millisecond}, Config{})
	sc.connect()
	ping := func() *protocol.Ping {
		t.Helper()
		for {
			select {
			case data, ok := <-sc.socket.received:
				if !ok {
					t.Fatal("the connection has ended")
				}
				if m, err := sc.socket.codec.ParseClient(data); err == nil {
					if p, ok := m.(*protocol.Ping); ok {
						return p
					}
				}
			case <-time.After(testTimeout):
				t.Fatal("no PING")
			}
		}
	}
	first := ping()
	if first.RTT != 0 {
		t.Errorf("the first PING knows of a round trip of %d ms", first.RTT)
	}
	sc.socket.say(&protocol.Pong{Timestamp: first.Timestamp})
	if second := ping(); second.Timestamp <= first.Timestamp {
		t.Errorf("PING %d after %d", second.Timestamp, first.Timestamp)
	}
	sc.socket.ended() // no PONG: the client closes
	sc.connect()
	hear[*protocol.Bind](sc.socket)
}

// TestMultiplexing puts two realms of a user on one connection, which outlives
// them for a while.
func TestMultiplexing(t *testing.T) {
	sc := newScene(t, Options{Multiplex: true, Linger: 30 * time.Millisecond}, Config{Partition: `"a"`})
	second, err := sc.client.Open(sc.user, Config{Schema: dogs(), Partition: `"b"`})
	if err != nil {
		t.Fatal(err)
	}
	sc.connect()
	got, marks := map[string]int64{}, 0
	for marks < 2 {
		switch m := sc.hearAny().(type) {
		case *protocol.Bind:
			got[m.Partition] = m.Session
			sc.socket.say(&protocol.ServerIdent{Session: m.Session, File: 2 + m.Session, Salt: 5})
		case *protocol.Mark:
			marks++
		}
	}
	if len(got) != 2 || got[`"a"`] != 1 || got[`"b"`] != 2 {
		t.Errorf("sessions %v", got)
	}
	for i, realm := range []*Realm{sc.realm, second} {
		realm.Pause()
		sc.socket.expect(fmt.Sprintf("unbind %d\n", i+1))
		sc.socket.say(&protocol.Unbound{Session: int64(i) + 1})
	}
	sc.socket.ended()
	if err := sc.realm.Resume(); err != nil {
		t.Fatal(err)
	}
	sc.connect()
	if m := hear[*protocol.Bind](sc.socket); m.Session != 3 {
		t.Errorf("%+v", m)
	}
}

// TestClose says good-bye, and can be followed by another open of the file.
func TestClose(t *testing.T) {
	sc := ready(t, Options{})
	done := make(chan struct{})
	go func() {
		sc.realm.Close()
		close(done)
	}()
	sc.socket.expect("unbind 1\n")
	sc.socket.send("unbound 1\n")
	<-done
	sc.socket.ended()
	if err := sc.realm.WaitDownload(sc.within()); !errors.Is(err, ErrClosed) {
		t.Errorf("waiting on a closed realm ends in %v", err)
	}
	if err := sc.realm.Resume(); !errors.Is(err, ErrClosed) {
		t.Errorf("resuming a closed realm ends in %v", err)
	}
	again, err := sc.client.OpenFile(sc.user, sc.realm.File, false)
	if err != nil {
		t.Fatal(err)
	}
	sc.connect()
	sc.socket.expect(strings.Replace(rebind, "1", "2", 1))
	sc.client.Close()
	if err := again.WaitDownload(sc.within()); !errors.Is(err, ErrClosed) {
		t.Errorf("waiting on a closed client ends in %v", err)
	}
	if _, err := sc.client.Open(sc.user, Config{Schema: dogs()}); !errors.Is(err, ErrClosed) {
		t.Errorf("opening by a closed client ends in %v", err)
	}
	sc.create(1) // the file stays writable
}

// TestOlderVersions speaks older versions of the protocol, in which the client
// tells bootstraps from steady state by the query version.
func TestOlderVersions(t *testing.T) {
	sc := newScene(t, Options{Version: 11}, Config{})
	sc.connect()
	if v := sc.socket.codec.Version; v != 11 {
		t.Fatalf("version %d", v)
	}
	hear[*protocol.Bind](sc.socket)
	sc.socket.say(&protocol.ServerIdent{Session: 1, File: 2, Salt: 5})
	hear[*protocol.ClientIdent](sc.socket)
	hear[*protocol.Mark](sc.socket)
	sc.socket.say(&protocol.Download{Session: 1, Progress: protocol.Progress{DownloadServer: 1, LatestServer: 1, LatestSalt: 1},
		Batch: protocol.LastInBatch, Entries: []protocol.DownloadEntry{{ServerVersion: 1, Origin: 1}}})
	sc.socket.say(&protocol.Mark{Session: 1, Request: 1})
	hear[*protocol.Upload](sc.socket)
	// The very same batch state, in steady state, without a changeset.
	sc.socket.say(&protocol.Download{Session: 1, Progress: protocol.Progress{
		DownloadServer: 2, LatestServer: 2, LatestSalt: 1, UploadClient: 9, UploadServer: 1,
	}, Batch: protocol.SteadyState})
	if u := hear[*protocol.Upload](sc.socket); u.ProgressServer != 2 {
		t.Errorf("%+v", u)
	}
}

// TestUploadSizes splits uploads as clients do.
func TestUploadSizes(t *testing.T) {
	f, _ := newReferenceFile(t, Options{})
	if _, err := f.UpdateSchema(dogs(), nil); err != nil {
		t.Fatal(err)
	}
	sizes := []int{50 << 10, 50 << 10, 50 << 10, 17 << 20, 10, 17 << 20, 17 << 20, 100}
	for i, size := range sizes {
		_, err := f.Write(func(tx *Tx) error {
			// A string ends below 16 MB.
			name := map[string]any{"name": strings.Repeat("x", size/2)}
			return errors.Join(tx.Create("Dog", changeset.IntKey(int64(i)), name), tx.Upsert("Dog", changeset.IntKey(int64(i)), name))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	after := Cursor{Client: 2}
	var got []int
	for after.Client < f.Version() {
		entries, reached := f.Upload(after, f.Version())
		got = append(got, len(entries))
		after = reached
	}
	// 150 KB pass the soft limit; what is above 16 MB goes alone.
	if want := []int{3, 1, 1, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("uploads of %v changesets, want %v", got, want)
	}
}
