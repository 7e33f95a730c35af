package device

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/protocol"
)

// testTimeout is how long a test waits for what must happen.
const testTimeout = 10 * time.Second

// fakeServer answers the HTTP API, and hands WebSocket connections to the test.
type fakeServer struct {
	t    *testing.T
	http *httptest.Server

	mu       sync.Mutex
	requests []string                         // method and path, in order
	answers  map[string][]func() answer       // by method and path's end, taken one after the other; the last stays
	sockets  map[string]meeting               // by user
	upgrade  func(w http.ResponseWriter) bool // refuses the upgrade if it returns true
	users    int
	open     sync.WaitGroup
}

type answer struct {
	status int
	body   string
}

// fakeSocket is the server's end of one connection.
type fakeSocket struct {
	t        *testing.T
	conn     *websocket.Conn
	below    *net.TCPConn // conn's
	codec    protocol.Codec
	received chan []byte // closed at the end
	done     chan struct{}
}

// belowKey is where a request's context has its connection.
type belowKey struct{}

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	s := &fakeServer{t: t, answers: map[string][]func() answer{}, sockets: map[string]meeting{}}
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, belowKey{}, c) }
	s.http.Start()
	t.Cleanup(func() {
		s.http.CloseClientConnections()
		s.http.Close()
		s.open.Wait()
	})
	return s
}

func (s *fakeServer) app() *App { return NewApp(s.http.URL, "fake-app") }

// user makes a user who needs no log-in.
func (s *fakeServer) user(id string) *User {
	return s.app().User(id, token(id, 0, time.Now().Add(time.Hour)), token(id, 1, time.Now().Add(time.Hour)))
}

// token makes a JWT that a client accepts.
func token(user string, n int, expires time.Time) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(map[string]string{"alg": "none"}) + "." +
		part(map[string]any{"sub": user, "n": n, "iat": 1, "exp": expires.Unix()}) + ".sig"
}

// tokenUser reads the user of a token.
func tokenUser(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(data, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// tokenIssued reads iat of a token.
func tokenIssued(t *testing.T, token string) int64 {
	t.Helper()
	var claims struct {
		Issued int64 `json:"iat"`
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(data, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims.Issued
}

// answer sets the answers to requests whose method and path end like that. They
// are given one after the other, the last one for good.
func (s *fakeServer) answer(what string, answers ...answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what] = nil
	for _, a := range answers {
		s.answers[what] = append(s.answers[what], func() answer { return a })
	}
}

func (s *fakeServer) requested() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	what := r.Method + " " + r.URL.Path
	s.requests = append(s.requests, what)
	var give func() answer
	for end, answers := range s.answers {
		if strings.HasSuffix(what, end) && len(answers) > 0 {
			give = answers[0]
			if len(answers) > 1 {
				s.answers[end] = answers[1:]
			}
		}
	}
	upgrade := s.upgrade
	s.mu.Unlock()
	switch {
	case give != nil:
		a := give()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		fmt.Fprint(w, strings.ReplaceAll(a.body, "HOST", r.Host))
	case strings.HasSuffix(r.URL.Path, "/location"):
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"deployment_model":"GLOBAL","location":"x","hostname":"http://%s","ws_hostname":"ws://%s"}`, r.Host, r.Host)
	case strings.HasSuffix(r.URL.Path, "/login"):
		s.mu.Lock()
		s.users++
		id := fmt.Sprintf("user-%d", s.users)
		s.mu.Unlock()
		far := time.Now().Add(time.Hour)
		fmt.Fprintf(w, `{"access_token":%q,"refresh_token":%q,"user_id":%q,"device_id":"d"}`, token(id, 0, far), token(id, 1, far), id)
	case strings.HasSuffix(r.URL.Path, "/profile"):
		fmt.Fprint(w, `{"identities":[{"id":"i","provider_type":"anon-user"}],"data":{}}`)
	case strings.HasSuffix(r.URL.Path, "/auth/session") && r.Method == http.MethodPost:
		id := tokenUser(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"access_token":%q}`, token(id, 2, time.Now().Add(time.Hour)))
	case strings.HasSuffix(r.URL.Path, "/auth/session"):
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(r.URL.Path, "/realm-sync"):
		if upgrade != nil && upgrade(w) {
			return
		}
		s.accept(w, r)
	default:
		http.NotFound(w, r)
	}
}

// accept upgrades a connection and hands it to who waits for its user.
func (s *fakeServer) accept(w http.ResponseWriter, r *http.Request) {
	offered := strings.Split(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	chosen, codec, err := protocol.Negotiate(offered)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user := tokenUser(r.URL.Query().Get("baas_at"))
	select {
	case s.of(user).wanted <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{chosen}})
	if err != nil {
		return
	}
	conn.SetReadLimit(-1)
	fs := &fakeSocket{t: s.t, conn: conn, below: r.Context().Value(belowKey{}).(*net.TCPConn), codec: codec, received: make(chan []byte, 4096), done: make(chan struct{})}
	s.open.Add(1)
	defer s.open.Done()
	s.of(user).accepted <- fs
	defer close(fs.received)
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		fs.received <- data
	}
}

// meeting is where a user's connection meets the test that waits for it. The
// server answers an upgrade only when the test wants the connection.
type meeting struct {
	wanted   chan struct{}
	accepted chan *fakeSocket
}

func (s *fakeServer) of(user string) meeting {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.sockets[user]
	if !ok {
		m = meeting{wanted: make(chan struct{}), accepted: make(chan *fakeSocket, 1)}
		s.sockets[user] = m
	}
	return m
}

// socket waits for the user's next connection.
func (s *fakeServer) socket(user string) *fakeSocket {
	s.t.Helper()
	m, timeout := s.of(user), time.After(testTimeout)
	select {
	case <-m.wanted:
	case <-timeout:
		s.t.Fatalf("no connection of %s", user)
	}
	select {
	case fs := <-m.accepted:
		s.t.Cleanup(func() { fs.conn.CloseNow() })
		return fs
	case <-timeout:
		s.t.Fatalf("the connection of %s failed", user)
	}
	return nil
}

// send sends a message as it is written on the wire.
func (fs *fakeSocket) send(text string) {
	fs.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := fs.conn.Write(ctx, websocket.MessageBinary, []byte(text)); err != nil {
		fs.t.Fatalf("send %.60q: %v", text, err)
	}
}

// say sends a message.
func (fs *fakeSocket) say(m protocol.Message) {
	fs.t.Helper()
	data, err := fs.codec.Append(nil, m)
	if err != nil {
		fs.t.Fatal(err)
	}
	fs.send(string(data))
}

// next returns the client's next message but PINGs, nil at the end of the connection.
func (fs *fakeSocket) next() []byte {
	fs.t.Helper()
	for {
		select {
		case data, ok := <-fs.received:
			if !ok {
				return nil
			}
			if !strings.HasPrefix(string(data), "ping ") {
				return data
			}
		case <-time.After(testTimeout):
			fs.t.Fatal("no message from the client")
		}
	}
}

// expect waits for a message with that text.
func (fs *fakeSocket) expect(want string) {
	fs.t.Helper()
	if got := string(fs.next()); got != want {
		fs.t.Fatalf("\n got %q\nwant %q", got, want)
	}
}

// hear waits for a message of that kind.
func hear[M protocol.Message](fs *fakeSocket) M {
	fs.t.Helper()
	var none M
	data := fs.next()
	if data == nil {
		fs.t.Fatalf("the connection ended before %T", none)
	}
	m, err := fs.codec.ParseClient(data)
	if err != nil {
		fs.t.Fatalf("%.60q: %v", data, err)
	}
	wanted, ok := m.(M)
	if !ok {
		fs.t.Fatalf("got %.80q, want %T", data, none)
	}
	return wanted
}

// ended waits for the end of the connection.
func (fs *fakeSocket) ended() {
	fs.t.Helper()
	for fs.next() != nil {
	}
}
