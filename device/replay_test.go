package device

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/isthmus-sync/isthmus/protocol"
)

// recordedEvent is one line of a recording of real clients and a stub server.
type recordedEvent struct {
	Time    int64   `json:"t_ms"`
	Kind    string  `json:"kind"`
	Dir     string  `json:"dir"`
	Conn    int     `json:"conn"`
	Text    string  `json:"text"`
	URL     string  `json:"url"`
	Upgrade bool    `json:"upgrade"`
	Status  int     `json:"status"`
	Code    int     `json:"code"`
	Head    string  `json:"head"`
	Hex     *string `json:"body_hex"`
	Body    string  `json:"body_text"`
	Bind    string  `json:"bind_data"`

	Changesets []struct {
		Hex           string `json:"changeset_hex"`
		ServerVersion int64  `json:"server_version"`
		ClientVersion int64  `json:"client_version"`
		Timestamp     int64  `json:"origin_timestamp"`
		Origin        int64  `json:"origin_file_ident"`
	} `json:"changesets"`

	Command *recordedCommand `json:"command"`
}

type recordedCommand struct {
	Client    string          `json:"client"`
	Op        string          `json:"op"`
	Realm     string          `json:"realm"`
	Partition string          `json:"partition"`
	Resync    string          `json:"resync"`
	Multiplex *bool           `json:"multiplex"`
	Schema    []recordedClass `json:"schema"`
	Ops       []recordedOp    `json:"ops"`
}

// message returns a recorded message as it was on the wire, uncompressed.
func (e *recordedEvent) message(t *testing.T) string {
	t.Helper()
	body := e.Bind + e.Body
	if e.Hex != nil {
		data, err := hex.DecodeString(*e.Hex)
		if err != nil {
			t.Fatal(err)
		}
		body = string(data)
	}
	head := strings.Fields(e.Head)
	if e.Hex == nil && e.Body == "" && head[0] == "download" {
		for _, c := range e.Changesets {
			data, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			body += fmt.Sprintf("%d %d %d %d %d %d %s", c.ServerVersion, c.ClientVersion, c.Timestamp, c.Origin, len(data), len(data), data)
		}
		head[len(head)-3] = "0"
	}
	// The fields that say how the body is compressed.
	at := 0
	switch {
	case head[0] == "upload":
		at = 2
	case head[0] == "download":
		at = len(head) - 3
	}
	// Recorded bodies of UPLOADs are inflated, those of DOWNLOADs are not.
	if at > 0 && !(head[0] == "download" && head[at] == "1") {
		head[at], head[at+1], head[at+2] = "0", fmt.Sprint(len(body)), "0"
	}
	return strings.Join(head, " ") + "\n" + body
}

// replay drives devices with what apps did and a stub server sent in a
// recording, and compares what they send with what real clients sent.
type replay struct {
	t       *testing.T
	server  *fakeServer
	devices map[string]*replayedDevice
	users   map[string]*replayedDevice
	sockets map[int]*replayedSocket
	events  []recordedEvent
	done    map[int]bool // commands done before their turn
	raced   bool         // the progress in UPLOADs with changesets is not compared
	start   time.Time    // of the recording
	now     atomic.Int64 // milliseconds since then
}

type replayedDevice struct {
	name     string
	client   *Client
	user     *User
	realms   map[string]*Realm
	received atomic.Int64
	sent     int64
	sets     int                         // subscription sets made so far
	queries  map[int64]map[string]string // by version, from the recording
	late     []func(force bool) bool     // what comes in the middle of a session
}

type replayedSocket struct {
	*fakeSocket
	device *replayedDevice
	dead   bool                      // the device's process has ended
	early  protocol.Message          // an UPLOAD that the device sent before a MARK that the real client sent first
	empty  map[int64]protocol.Upload // by session, the last UPLOAD without entries that the device sent
}

func (r *replay) run() {
	defer func() {
		if r.t.Failed() {
			r.t.Logf("at %d ms of the recording", r.now.Load())
		}
		for _, d := range r.devices {
			for name, realm := range d.realms {
				for _, err := range realm.Errors() {
					r.t.Logf("device %s, realm %s: %v", d.name, name, err)
				}
			}
		}
	}()
	for i := range r.events {
		e := &r.events[i]
		r.now.Store(e.Time)
		r.lateWork()
		switch e.Kind {
		case "client_command":
			r.settle()
			if !r.done[i] {
				r.command(i, e.Command)
			}
		case "ws_open":
			r.opened(i, e)
		case "ws":
			if e.Dir == "C->S" {
				r.expect(e)
			} else {
				r.send(i)
			}
		case "note":
			if strings.Contains(e.Text, "cuts the connection") {
				r.settle()
				r.sockets[e.Conn].conn.CloseNow()
			}
		case "ws_close":
			if e.Dir == "S->C" {
				r.sockets[e.Conn].conn.Close(1000, "")
			}
		}
	}
}

// opened waits for the connection that follows a recorded upgrade.
func (r *replay) opened(i int, e *recordedEvent) {
	user := ""
	for ; user == ""; i-- {
		if up := r.events[i]; up.Upgrade {
			_, access, _ := strings.Cut(up.URL, "baas_at=")
			user = tokenUser(access)
		}
	}
	defer r.settle()
	r.sockets[e.Conn] = &replayedSocket{
		fakeSocket: r.server.socket(user), device: r.deviceOf(i, user), empty: map[int64]protocol.Upload{},
	}
}

// deviceOf finds the device that a user's connection is from. Refreshed tokens
// of the stub name another user.
func (r *replay) deviceOf(i int, user string) *replayedDevice {
	if d := r.users[user]; d != nil {
		return d
	}
	for ; ; i-- {
		if c := r.events[i].Command; c != nil {
			return r.devices[c.Client]
		}
	}
}

// send sends what the stub sent. What the app wrote before the real client had
// taken that message is written now, although the recording has it later.
func (r *replay) send(i int) {
	e := &r.events[i]
	s := r.sockets[e.Conn]
	if s.dead || strings.HasPrefix(e.Head, "pong ") {
		return
	}
	r.settle()
	defer r.settle()
	for j := range r.events[i:] {
		c := r.events[i+j].Command
		if c == nil || c.Client != s.device.name || strings.HasPrefix(c.Op, "wait_") || r.done[i+j] {
			continue
		}
		realm := s.device.realm(c)
		if c.Op != "write" || !realm.hasSession(strings.Fields(e.Head)) {
			break
		}
		if r.writtenVersion(i+j, realm) != realm.Version()+1 {
			break
		}
		r.command(i+j, c)
		r.settle()
		r.done[i+j] = true
	}
	s.fakeSocket.send(e.message(r.t))
	if _, err := s.codec.ParseServer([]byte(e.message(r.t))); err != nil {
		s.ended() // the client cannot read it
		return
	}
	s.device.sent++
}

// hasSession reports whether a message is for the realm's session.
func (r *Realm) hasSession(head []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session != nil && len(head) > 1 && head[1] == fmt.Sprint(r.session.ident)
}

// realm is the one that a command is about.
func (d *replayedDevice) realm(c *recordedCommand) *Realm {
	if c.Realm == "" {
		return d.realms["main"]
	}
	return d.realms[c.Realm]
}

// writtenVersion finds the client version of what a command wrote: the first
// one above the realm's that its device uploads. It is 0 if nothing is uploaded.
func (r *replay) writtenVersion(i int, realm *Realm) int64 {
	for _, e := range r.events[i:] {
		if e.Dir != "C->S" || !strings.HasPrefix(e.Head, "upload ") || e.Hex == nil {
			continue
		}
		s := r.sockets[e.Conn]
		if s == nil || s.device.client != realm.client {
			continue
		}
		m := r.parse(s, e.message(r.t)).(*protocol.Upload)
		for _, entry := range m.Entries {
			if entry.ClientVersion > realm.Version() {
				return entry.ClientVersion
			}
		}
	}
	return 0
}

// settle waits until the devices have taken what was sent.
func (r *replay) settle() {
	r.t.Helper()
	for _, d := range r.devices {
		deadline := time.Now().Add(testTimeout)
		for d.received.Load() < d.sent {
			if time.Now().After(deadline) {
				r.t.Fatalf("device %s has received %d of %d messages", d.name, d.received.Load(), d.sent)
			}
			<-time.After(100 * time.Microsecond)
		}
		if d.client == nil {
			continue
		}
		d.client.mu.Lock()
		connections := d.client.all()
		d.client.mu.Unlock()
		for _, c := range connections {
			eventually(r.t, c.quiet)
		}
	}
}

func (c *connection) connectedNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket != nil
}

// quiet reports whether the connection has taken what it was told, and has
// nothing to send.
func (c *connection) quiet() bool {
	c.mu.Lock() // tracing comes before a message is taken, under the lock
	defer c.mu.Unlock()
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	return c.socket == nil || len(c.queue.sessions) == 0 && !c.poked.Load() && !c.pumped.Load()
}

// expect compares the device's next message with what a real client sent. An
// UPLOAD without entries may come at another time, since it depends on how soon
// a DOWNLOAD is integrated: those are left out on both sides.
func (r *replay) expect(e *recordedEvent) {
	r.t.Helper()
	s := r.sockets[e.Conn]
	if s.dead || strings.HasPrefix(e.Head, "ping ") {
		return // a process may say good-bye at its end, or not
	}
	want := r.parse(s, e.message(r.t))
	if isEmptyUpload(want) {
		return
	}
	if m, ok := want.(*protocol.Mark); ok {
		r.wantMark(s, m)
	}
	got := r.next(s)
	if _, mark := want.(*protocol.Mark); mark && got.Keyword() == "upload" {
		// The device had its UPLOAD ready before the app waited.
		s.early, got = got, r.next(s)
	}
	if upload, ok := got.(*protocol.Upload); ok && r.raced {
		// How far the client had scanned its history depends on what it had
		// integrated by then.
		if wanted, ok := want.(*protocol.Upload); ok {
			upload.ProgressClient, upload.ProgressServer = wanted.ProgressClient, wanted.ProgressServer
			upload.LockedServer = wanted.LockedServer
		}
	}
	if !reflect.DeepEqual(got, want) {
		r.t.Fatalf("connection %d:\n got %s\nwant %s", e.Conn, describe(got), describe(want))
	}
}

// next returns the device's next message that is no UPLOAD without entries.
func (r *replay) next(s *replayedSocket) protocol.Message {
	r.t.Helper()
	if m := s.early; m != nil {
		s.early = nil
		return m
	}
	for {
		if d := s.device; len(d.late) > 0 && len(s.received) == 0 && d.late[0](true) {
			// A write that changed nothing, so that no recorded version is its own.
			d.late = d.late[1:]
			r.lateWork()
		}
		data := s.fakeSocket.next()
		if data == nil {
			r.t.Fatal("the device has closed the connection")
		}
		m := r.parse(s, string(data))
		if !isEmptyUpload(m) {
			return m
		}
		u := m.(*protocol.Upload)
		last := s.empty[u.Session]
		if u.ProgressClient < last.ProgressClient || u.ProgressServer <= last.ProgressServer {
			r.t.Fatalf("an UPLOAD without entries that says nothing new: %+v after %+v", u, last)
		}
		s.empty[u.Session] = *u
	}
}

func isEmptyUpload(m protocol.Message) bool {
	u, ok := m.(*protocol.Upload)
	return ok && len(u.Entries) == 0
}

// parse reads a client's message, without what differs from run to run.
func (r *replay) parse(s *replayedSocket, text string) protocol.Message {
	r.t.Helper()
	m, err := s.codec.ParseClient([]byte(text))
	if err != nil {
		r.t.Fatalf("%.60q: %v", text, err)
	}
	switch m := m.(type) {
	case *protocol.Upload:
		for i := range m.Entries {
			m.Entries[i].Timestamp = 0
		}
	case *protocol.ClientError:
		m.Message = ""
	}
	return m
}

func describe(m protocol.Message) string {
	data, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return m.Keyword() + " " + string(data)
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("what the test waits for does not happen")
		}
		<-time.After(100 * time.Microsecond)
	}
}

// TestRecordings replays recordings of real clients.
func TestRecordings(t *testing.T) {
	names, err := filepath.Glob("testdata/recorded/*.jsonl.gz")
	if err != nil || len(names) == 0 {
		t.Fatal("no recordings", err)
	}
	for _, path := range names {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl.gz")
		t.Run(name, func(t *testing.T) {
			var skip []string
			switch name {
			case "flx-client-reset":
				skip = []string{"A", "M"} // recovery, and a reset by hand
			case "flx-session-errors":
				skip = []string{"c201RefreshLocation"} // the real client binds once more in between
			}
			r := newReplay(t, name, skip...)
			switch name {
			case "flx-all-types", "flx-set-erase-null", "flx-session-errors":
				r.raced = true
			}
			r.run()
			if name == "flx-all-types" {
				r.compareStates()
			}
		})
	}
}

// compareStates compares what the devices hold in the end. The second one has
// got everything by download.
func (r *replay) compareStates() {
	r.t.Helper()
	a, errA := r.devices["A"].realms["main"].Dump()
	b, errB := r.devices["B"].realms["main"].Dump()
	if errA != nil || errB != nil {
		r.t.Fatal(errA, errB)
	}
	if len(a) < 1000 || string(a) != string(b) {
		r.t.Errorf("the devices differ:\n%s\n%s", a, b)
	}
}

// without removes clients from a recording.
func without(events []recordedEvent, skip ...string) []recordedEvent {
	skipped := func(client string) bool { return slices.Contains(skip, client) }
	users, conns := map[string]string{}, map[int]string{}
	var out []recordedEvent
	client, user := "", ""
	for _, e := range events {
		owner := ""
		switch {
		case e.Command != nil:
			owner = e.Command.Client
			client = owner
		case e.Kind == "http":
			owner = client
			if e.Upgrade {
				_, access, _ := strings.Cut(e.URL, "baas_at=")
				user = tokenUser(access)
				owner = users[user]
			}
			var login struct {
				User string `json:"user_id"`
			}
			if strings.Contains(e.Body, "access_token") && json.Unmarshal([]byte(e.Body), &login) == nil && login.User != "" {
				users[login.User] = client
			}
		case e.Kind == "ws_open":
			conns[e.Conn] = users[user]
			owner = users[user]
		case e.Conn != 0:
			owner = conns[e.Conn]
		}
		if !skipped(owner) {
			out = append(out, e)
		}
	}
	return out
}

func newReplay(t *testing.T, name string, skip ...string) *replay {
	t.Helper()
	r := &replay{
		t: t, server: newFakeServer(t),
		done:    map[int]bool{},
		devices: map[string]*replayedDevice{}, users: map[string]*replayedDevice{}, sockets: map[int]*replayedSocket{},
		events: without(readLines[recordedEvent](t, filepath.Join("recorded", name+".jsonl.gz")), skip...),
	}
	for _, e := range r.events {
		if e.Upgrade {
			_, access, _ := strings.Cut(e.URL, "baas_at=")
			r.start = time.Unix(tokenIssued(t, access), 0)
			break
		}
	}
	var logins, refreshes []answer
	for _, e := range r.events {
		if e.Kind == "http" && e.Dir == "S->C" && strings.Contains(e.Body, "access_token") {
			if strings.Contains(e.Body, "user_id") {
				logins = append(logins, answer{e.Status, e.Body})
			} else {
				refreshes = append(refreshes, answer{e.Status, e.Body})
			}
		}
	}
	r.server.answer("/anon-user/login", logins...)
	if len(refreshes) > 0 {
		r.server.answer("POST /api/client/v2.0/auth/session", refreshes...)
	}
	return r
}

// TestMain leaves nothing running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
