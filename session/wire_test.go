package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// Tests that are named TestTrap are of the traps of the wire protocol that a server
// can fall into, by number.

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// authenticator takes tokens of the form "user:NAME".
type authenticator struct{}

func (authenticator) Authenticate(_ context.Context, _, token string) (string, error) {
	user, ok := strings.CutPrefix(token, "user:")
	switch {
	case ok:
		return user, nil
	case token == "disabled":
		return "", ErrUserRefused
	case token == "unknowable":
		return "", errors.New("database is away")
	}
	return "", fmt.Errorf("token of the test: %w", ErrTokenRefused)
}

// logs collects what a server logs.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a server over a real HTTP listener.
type rig struct {
	t      *testing.T
	server *Server
	http   *httptest.Server
	files  *fakeFiles
	file   *fakeFile // the flexible one
	logs   *logs
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, files: newFakeFiles(), logs: &logs{}}
	r.file = r.files.file(history.FlexibleFile)
	opts := Options{
		Files: r.files, Authenticator: authenticator{}, Flexible: true, Node: "here",
		QuietDelay: time.Millisecond, ErrorGrace: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&opts)
	}
	r.serve(opts)
	return r
}

func (r *rig) serve(opts Options) {
	r.server = NewServer(opts)
	mux := http.NewServeMux()
	mux.Handle("/api/client/v2.0/app/{app}/realm-sync", r.server)
	r.http = httptest.NewServer(mux)
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			r.t.Errorf("shutdown: %v\n%s", err, r.logs)
		}
		r.http.Close()
		if r.t.Failed() {
			r.t.Logf("server log:\n%s", r.logs)
		}
	})
}

// wire is one WebSocket of a scripted client.
type wire struct {
	t     *testing.T
	ws    *websocket.Conn
	codec protocol.Codec
	reply *http.Response
	raw   [][]byte // what the server sent
}

func (r *rig) tryDial(token string, offered ...string) (*wire, error) {
	return r.tryDialBy(http.DefaultClient, token, offered...)
}

func (r *rig) tryDialBy(client *http.Client, token string, offered ...string) (*wire, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	url := "ws" + strings.TrimPrefix(r.http.URL, "http") + "/api/client/v2.0/app/test-app/realm-sync?baas_at=" + token
	ws, reply, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, Subprotocols: offered})
	if err != nil {
		return &wire{t: r.t, reply: reply}, err
	}
	ws.SetReadLimit(-1)
	w := &wire{t: r.t, ws: ws, reply: reply}
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	_, w.codec, err = protocol.Negotiate([]string{ws.Subprotocol()})
	return w, err
}

// dial connects as a user, in the server's mode and the newest version.
func (r *rig) dial(user string) *wire {
	r.t.Helper()
	return r.dialOffering(user, protocol.Offer(r.server.opts.Flexible)...)
}

func (r *rig) dialOffering(user string, offered ...string) *wire {
	r.t.Helper()
	w, err := r.tryDial("user:"+user, offered...)
	if err != nil {
		r.t.Fatal(err)
	}
	if w.codec.Version >= versionLogMessage {
		expect[*protocol.LogMessage](w)
	}
	return w
}

// dialTCP is dial that hands the TCP socket out as well.
func (r *rig) dialTCP(user string) (*wire, *net.TCPConn) {
	r.t.Helper()
	var socket *net.TCPConn
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			socket = c.(*net.TCPConn)
		}
		return c, err
	}}
	r.t.Cleanup(transport.CloseIdleConnections)
	w, err := r.tryDialBy(&http.Client{Transport: transport}, "user:"+user, protocol.Offer(r.server.opts.Flexible)...)
	if err != nil {
		r.t.Fatal(err)
	}
	expect[*protocol.LogMessage](w)
	return w, socket
}

// send sends messages, back to back.
func (w *wire) send(messages ...protocol.Message) {
	w.t.Helper()
	for _, m := range messages {
		data, err := w.codec.Append(nil, m)
		if err != nil {
			w.t.Fatal(err)
		}
		w.sendRaw(data)
	}
}

func (w *wire) sendRaw(data []byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.ws.Write(ctx, websocket.MessageBinary, data); err != nil {
		w.t.Fatalf("write %.60q: %v", data, err)
	}
}

// read returns the next message, or how the connection ended.
func (w *wire) read() (protocol.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, data, err := w.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageBinary {
		w.t.Errorf("the server sent a text message: %q", data)
	}
	w.raw = append(w.raw, data)
	m, err := w.codec.ParseServer(data)
	if err != nil {
		w.t.Fatalf("the server sent %.200q: %v", data, err)
	}
	return m, nil
}

// expect reads the next message, which must be an M.
func expect[M protocol.Message](w *wire) M {
	w.t.Helper()
	m, err := w.read()
	if err != nil {
		w.t.Fatalf("got %v, want a %T", err, *new(M))
	}
	got, ok := m.(M)
	if !ok {
		w.t.Fatalf("got a %T %+v, want a %T", m, m, got)
	}
	return got
}

// expectError reads the next message, which must be an error of that code.
func (w *wire) expectError(code protocol.ErrorCode) *protocol.JSONError {
	w.t.Helper()
	e := expect[*protocol.JSONError](w)
	if e.Code != code {
		w.t.Fatalf("got error %v (%s), want %v", e.Code, e.Message, code)
	}
	return e
}

// expectEnd reads until the connection ends, through nothing but nothing.
func (w *wire) expectEnd() error {
	w.t.Helper()
	m, err := w.read()
	if err == nil {
		w.t.Fatalf("got a %T %+v, want the end of the connection", m, m)
	}
	return err
}

// phone is a scripted client file: it does what it is told and keeps the
// cursors as a client does.
type phone struct {
	*wire
	session int64
	ident   protocol.ServerIdent
	at      protocol.Progress // of the last DOWNLOAD
	version int64             // of the client file
	mark    int64
	query   int64
	body    string
}

// expectError reads the next message, which must be an error of that code, through
// DOWNLOADs that only move cursors.
func (p *phone) expectError(code protocol.ErrorCode) *protocol.JSONError {
	p.t.Helper()
	for {
		m, err := p.read()
		if err != nil {
			p.t.Fatalf("got %v, want error %v", err, code)
		}
		switch m := m.(type) {
		case *protocol.Download:
			if p.integrate(m); len(m.Entries) > 0 {
				p.t.Fatalf("got changesets, want error %v", code)
			}
		case *protocol.JSONError:
			if m.Code != code {
				p.t.Fatalf("got error %v (%s), want %v", m.Code, m.Message, code)
			}
			return m
		default:
			p.t.Fatalf("got a %T %+v, want error %v", m, m, code)
		}
	}
}

// open binds a new client file and has it get the bootstrap of version 0.
func (w *wire) open(session int64) *phone {
	w.t.Helper()
	p := w.bind(session)
	p.download()
	p.awaitMark()
	return p
}

// bind binds a new client file and identifies it.
func (w *wire) bind(session int64) *phone {
	w.t.Helper()
	p := &phone{wire: w, session: session, version: 1, body: noQuery}
	w.send(&protocol.Bind{Session: session, NeedIdent: true})
	p.ident = *expect[*protocol.ServerIdent](w)
	p.identify()
	return p
}

// identify sends IDENT for what the client file holds.
func (p *phone) identify() {
	p.t.Helper()
	p.send(&protocol.ClientIdent{
		Session: p.session, File: p.ident.File, Salt: p.ident.Salt,
		DownloadServer: p.at.DownloadServer, DownloadClient: p.at.DownloadClient,
		LatestServer: p.at.LatestServer, LatestSalt: p.at.LatestSalt,
		QueryVersion: p.query, Query: p.body,
	})
}

// reopen binds the client file over a connection, under a session ident.
func (p *phone) reopen(w *wire, session int64) {
	p.t.Helper()
	p.wire, p.session, p.mark = w, session, 0
	p.send(&protocol.Bind{Session: session})
	p.identify()
}

// download reads a DOWNLOAD, checks what every client checks, and takes its
// cursors over.
func (p *phone) download() *protocol.Download {
	p.t.Helper()
	return p.integrate(expect[*protocol.Download](p.wire))
}

func (p *phone) integrate(m *protocol.Download) *protocol.Download {
	p.t.Helper()
	old := p.at
	now := m.Progress
	bad := func(rule string) {
		p.t.Errorf("DOWNLOAD breaks rule %s: %+v after %+v", rule, now, old)
	}
	switch {
	case now.LatestServer < old.LatestServer:
		bad("1")
	case now.UploadClient < old.UploadClient:
		bad("2")
	case now.UploadClient > p.version:
		bad("3")
	case now.DownloadServer < old.DownloadServer:
		bad("4")
	case now.DownloadServer > now.LatestServer:
		bad("5")
	case now.DownloadClient < old.DownloadClient:
		bad("6")
	case now.DownloadClient > now.UploadClient:
		bad("7")
	case now.DownloadServer < now.UploadServer:
		bad("8")
	case now.UploadServer < old.UploadServer:
		bad("13")
	case now.LatestSalt == 0:
		bad("on salts")
	}
	server, client := old.DownloadServer, old.DownloadClient
	for _, e := range m.Entries {
		steady := !p.codec.Flexible || m.Batch == protocol.SteadyState && p.codec.Version == protocol.MaxVersion
		switch {
		case e.Origin == 0, e.Origin == p.ident.File:
			p.t.Errorf("entry breaks rule 9: origin %d", e.Origin)
		case e.ServerVersion < server, steady && e.ServerVersion == server, e.ServerVersion > now.DownloadServer:
			p.t.Errorf("entry breaks rule 10: version %d after %d, message's %d", e.ServerVersion, server, now.DownloadServer)
		case e.ClientVersion < client, e.ClientVersion > now.DownloadClient:
			p.t.Errorf("entry breaks rule 11: client version %d after %d, message's %d", e.ClientVersion, client, now.DownloadClient)
		case e.ClientVersion != m.Entries[0].ClientVersion:
			p.t.Errorf("client versions differ in one message: %d and %d", m.Entries[0].ClientVersion, e.ClientVersion)
		}
		server, client = e.ServerVersion, e.ClientVersion
	}
	if !p.codec.Flexible || m.Batch != protocol.MoreToCome {
		p.at = now
		p.version++ // integrating is a commit
	}
	return m
}

// awaitMark sends a MARK and reads up to its answer. It returns the DOWNLOADs
// that came before it.
func (p *phone) awaitMark() []*protocol.Download {
	p.t.Helper()
	p.mark++
	p.send(&protocol.Mark{Session: p.session, Request: p.mark})
	return p.untilMark()
}

func (p *phone) untilMark() []*protocol.Download {
	p.t.Helper()
	var downloads []*protocol.Download
	for {
		m, err := p.read()
		if err != nil {
			p.t.Fatalf("got %v, want mark %d", err, p.mark)
		}
		switch m := m.(type) {
		case *protocol.Download:
			downloads = append(downloads, p.integrate(m))
		case *protocol.Mark:
			if m.Session != p.session || m.Request != p.mark {
				p.t.Fatalf("got %+v, want mark %d of session %d", m, p.mark, p.session)
			}
			return downloads
		default:
			p.t.Fatalf("got a %T %+v, want mark %d", m, m, p.mark)
		}
	}
}

// ask sends a QUERY and its MARK.
func (p *phone) ask(body string) {
	p.t.Helper()
	p.query++
	p.mark++
	p.body = body
	p.send(&protocol.Query{Session: p.session, Version: p.query, Body: body}, &protocol.Mark{Session: p.session, Request: p.mark})
}

// subscribe sends a QUERY and its MARK and reads up to its answer.
func (p *phone) subscribe(body string) []*protocol.Download {
	p.t.Helper()
	p.ask(body)
	return p.untilMark()
}

// unbind ends the session.
func (p *phone) unbind() {
	p.t.Helper()
	p.send(&protocol.Unbind{Session: p.session})
	expect[*protocol.Unbound](p.wire)
}

// upload sends an UPLOAD of changesets, each in a client version of its own,
// made upon what the phone has integrated.
func (p *phone) upload(changesets ...changeset.Changeset) *protocol.Upload {
	p.t.Helper()
	m := &protocol.Upload{Session: p.session, ProgressServer: p.at.DownloadServer, LockedServer: p.at.DownloadServer}
	for _, cs := range changesets {
		p.version++
		m.Entries = append(m.Entries, protocol.UploadEntry{
			ClientVersion: p.version, ServerVersion: p.at.DownloadServer, Timestamp: 300_000_000_000 + p.version, Changeset: changeset.Encode(cs),
		})
	}
	m.ProgressClient = p.version
	p.send(m)
	return m
}

// awaitUpload reads DOWNLOADs until one acknowledges everything uploaded.
func (p *phone) awaitUpload(m *protocol.Upload) []*protocol.Download {
	p.t.Helper()
	var downloads []*protocol.Download
	for p.at.UploadClient < m.ProgressClient {
		downloads = append(downloads, p.download())
	}
	return downloads
}

// seen returns the instructions of the DOWNLOADs' changesets.
func seen(t *testing.T, downloads []*protocol.Download) changeset.Changeset {
	t.Helper()
	var all changeset.Changeset
	for _, d := range downloads {
		for _, e := range d.Entries {
			cs, err := changeset.Decode(e.Changeset)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, cs...)
		}
	}
	return all
}

// brief writes instructions on objects in short: "create Dog 1".
func brief(cs changeset.Changeset) string {
	var words []string
	for i := range cs {
		in := &cs[i]
		switch {
		case in.Op.IsSchema():
			words = append(words, strings.TrimSpace(fmt.Sprintf("%v %s %s", in.Op, in.Class, in.Field)))
		case in.Field != "":
			words = append(words, fmt.Sprintf("%v %s %d %s", in.Op, in.Class, in.Key.Int, in.Field))
		default:
			words = append(words, fmt.Sprintf("%v %s %d", in.Op, in.Class, in.Key.Int))
		}
	}
	return strings.Join(words, ", ")
}

// ops parses instructions in the notation of scripts.
func ops(format string, args ...any) changeset.Changeset {
	cs, err := notation.Parse(fmt.Appendf(nil, format, args...))
	if err != nil {
		panic(err)
	}
	return cs
}

// dogs makes the class Dog: _id int, name string, age int.
func dogs() changeset.Changeset {
	return ops(`[{"op":"AddTable","class":"Dog","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"Dog","field":"age","type":"int","nullable":false,"collection":"single"},
		{"op":"AddColumn","class":"Dog","field":"name","type":"string","nullable":true,"collection":"single"}]`)
}

// newDog creates a dog.
func newDog(id, age int, name string) changeset.Changeset {
	return ops(`[{"op":"CreateObject","class":"Dog","pk":%d},
		{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":%d},
		{"op":"Update","class":"Dog","pk":%d,"path":["name"],"value":%q}]`, id, id, age, id, name)
}

func setAge(id, age int) changeset.Changeset {
	return ops(`[{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":%d}]`, id, age)
}

func eraseDog(id int) changeset.Changeset {
	return ops(`[{"op":"EraseObject","class":"Dog","pk":%d}]`, id)
}
