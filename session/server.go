package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/protocol"
)

// Defaults of the tunable Options.
const (
	// DefaultMaxMessage is well above what clients send unless a single change
	// is that large.
	DefaultMaxMessage = 64 << 20
	// DefaultMaxUploadItems is about twice what fits a changeset of 16 MB, the
	// largest that other clients can take.
	DefaultMaxUploadItems = 4_000_000

	DefaultIdleTimeout  = 10 * time.Minute
	DefaultWriteTimeout = 5 * time.Minute
	DefaultBindTimeout  = time.Minute
	DefaultQuietDelay   = 500 * time.Millisecond
	DefaultSpoolAfter   = time.Minute
	DefaultReturnSpread = 10 * time.Second
	DefaultErrorGrace   = 5 * time.Second
)

// RequestIDHeader names a connection in the answer to its upgrade, for the
// client's log.
const RequestIDHeader = "X-Appservices-Request-Id"

// Options configure a Server. Files and Authenticator are required.
type Options struct {
	Files         Files
	Authenticator Authenticator
	Flexible      bool     // flexible mode, else partition mode
	Presence      Presence // default: a MemoryPresence
	Node          string   // this node's name on the presence board
	Logger        *slog.Logger
	// OnError, which may be nil, is called with the code of every error that a
	// client is sent.
	OnError func(protocol.ErrorCode)

	// MaxMessage bounds a message in bytes, and what its body inflates to by
	// twice as much.
	MaxMessage int
	// MaxUploadItems bounds the instructions of an UPLOAD, with their path elements
	// and names (see changeset.DecodeMax): what a message inflates to says little
	// about the memory it takes.
	MaxUploadItems int
	// IdleTimeout is how long a client may be silent. Clients ping every minute,
	// but not while they integrate a large download.
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of what it is sent.
	WriteTimeout time.Duration
	// BindTimeout is how long a client may take from the upgrade to its first BIND.
	BindTimeout time.Duration
	// QuietDelay is how long news that a client cannot see, or only of its own
	// progress, may wait for company.
	QuietDelay time.Duration
	// SpoolAfter is after how long the rest of a bootstrap is read at once, and kept
	// in a temporary file until the client has taken it: MongoDB keeps what is read
	// for a few minutes only, and a client may be slow.
	SpoolAfter time.Duration
	// ReturnSpread is the time over which the clients of a server that is shut
	// down come back.
	ReturnSpread time.Duration
	// ErrorGrace is how long a client may take to hang up after an error of the
	// connection.
	ErrorGrace time.Duration
}

func (o *Options) setDefaults() {
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&o.IdleTimeout, DefaultIdleTimeout)
	def(&o.WriteTimeout, DefaultWriteTimeout)
	def(&o.BindTimeout, DefaultBindTimeout)
	def(&o.QuietDelay, DefaultQuietDelay)
	def(&o.SpoolAfter, DefaultSpoolAfter)
	def(&o.ReturnSpread, DefaultReturnSpread)
	def(&o.ErrorGrace, DefaultErrorGrace)
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.MaxUploadItems == 0 {
		o.MaxUploadItems = DefaultMaxUploadItems
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Presence == nil {
		o.Presence = NewMemoryPresence()
	}
	if o.OnError == nil {
		o.OnError = func(protocol.ErrorCode) {}
	}
}

// Server is the http.Handler of the sync route. The app id, where the route has
// one, is the path value "app".
type Server struct {
	opts  Options
	views *views

	ctx    context.Context // ends when the server is shut down
	cancel context.CancelFunc

	mu         sync.Mutex
	closing    bool
	conns      map[*conn]struct{}
	accepted   uint64 // connections
	attached   map[clientFile]*session
	watched    map[string]bool
	served     sync.WaitGroup // connections
	background sync.WaitGroup // begun under mu, while not closing
}

var _ http.Handler = (*Server)(nil)

// clientFile names a client file among all server files.
type clientFile struct {
	file  string
	ident uint64
}

// NewServer returns a Server.
func NewServer(opts Options) *Server {
	opts.setDefaults()
	s := &Server{
		opts:     opts,
		views:    newViews(),
		conns:    make(map[*conn]struct{}),
		attached: make(map[clientFile]*session),
		watched:  make(map[string]bool),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// ServeHTTP upgrades a request to a WebSocket and serves it until it ends. What
// is wrong with the token is said by a close code after the upgrade, since
// clients in browsers see no HTTP status of a failed one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newRequestID()
	log := s.opts.Logger.With("conn", id, "remote", r.RemoteAddr)
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is the sync route: it takes WebSocket connections only", http.StatusUpgradeRequired)
		return
	}
	token, codec, err := protocol.Negotiate(offered(r))
	if err != nil {
		log.Warn("sync connection refused", "error", err, "offered", r.Header.Values("Sec-WebSocket-Protocol"))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	codec.MaxBody = 2 * s.opts.MaxMessage

	user, authErr := s.opts.Authenticator.Authenticate(r.Context(), r.PathValue("app"), r.URL.Query().Get("baas_at"))
	if authErr != nil && !errors.Is(authErr, ErrTokenRefused) && !errors.Is(authErr, ErrUserRefused) {
		if r.Context().Err() != nil {
			log.Debug("the client has gone before its access token was checked", "error", authErr)
			return
		}
		log.Error("access token could not be checked", "error", authErr)
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	if s.isClosing() {
		http.Error(w, "server is shutting down", http.StatusServiceUnavailable)
		return
	}

	w.Header().Set("Sec-WebSocket-Protocol", token)
	w.Header().Set(RequestIDHeader, id)
	h := &hijackable{ResponseWriter: w, idleTimeout: s.opts.IdleTimeout, writeTimeout: s.opts.WriteTimeout}
	ws, err := websocket.Accept(h, r,
		// The token in the URL is the only credential, so no page can borrow a
		// browser's; and clients' platforms send origins of all kinds.
		&websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		log.Info("no upgrade to a WebSocket", "error", err)
		return
	}
	// The connection counts the bytes of a message itself: the library would
	// answer an excess by close code 1009, for which clients throw their unsynced
	// changes away.
	ws.SetReadLimit(-1)

	c := newConn(s, ws, h.socket, codec, id, user, log.With("user", user, "protocol", codec.Version))
	switch {
	case errors.Is(authErr, ErrUserRefused):
		c.log.Info("user refused", "error", authErr)
		c.closeWith(protocol.CloseForbidden, "user is disabled")
		return
	case authErr != nil:
		c.log.Info("access token refused", "error", authErr)
		c.closeWith(protocol.CloseAuthExpired, "access token expired or invalid")
		return
	}
	if !s.add(c) {
		c.closeNow()
		return
	}
	defer s.remove(c)
	c.serve()
}

// offered returns the sub-protocol tokens of a request.
func offered(r *http.Request) []string {
	var tokens []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		tokens = append(tokens, strings.Split(line, ",")...)
	}
	return tokens
}

func newRequestID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails: it ends the program rather
	return hex.EncodeToString(b[:])
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.conns[c] = struct{}{}
	s.accepted++
	c.number = s.accepted
	s.served.Add(1)
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.served.Done()
}

// attach notes which session serves a client file, and returns the one that did
// before, or nil.
func (s *Server) attach(key clientFile, by *session) (before *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.attached[key]
	s.attached[key] = by
	return before
}

// hasNewer reports whether a client file is served over a connection that is newer
// than the one given.
func (s *Server) hasNewer(key clientFile, than *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	other := s.attached[key]
	return other != nil && other.conn.number > than.number
}

func (s *Server) detach(key clientFile, by *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached[key] == by {
		delete(s.attached, key)
	}
}

// Stats counts what a Server serves.
type Stats struct {
	Connections int
	Sessions    int // those whose client file is known
}

// Stats returns the present counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Connections: len(s.conns), Sessions: len(s.attached)}
}

// Disconnect closes the connections of a user: with protocol.CloseAuthExpired
// when the user's sessions were revoked, with protocol.CloseForbidden when the
// user was disabled or deleted. It does not wait until they have ended.
func (s *Server) Disconnect(user string, code protocol.CloseCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	for c := range s.conns {
		if c.user == user {
			s.background.Go(func() { c.closeWith(code, "session ended by the server") })
		}
	}
}

// Shutdown tells every client to come back soon, each at another time, and waits
// until all connections have ended and what they had uploaded is committed. When
// ctx ends before that, it hangs up and returns ctx's error; sessions whose
// uploads are still being committed then end when the history has answered. New
// connections are refused from the start.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var told sync.WaitGroup
		for _, c := range conns {
			told.Go(func() { c.sendAway(&connectionError{protocol.ConnectionClosed, "server is shutting down"}) })
		}
		told.Wait()
		s.served.Wait()
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
		for _, c := range conns {
			c.closeNow()
		}
	}
	s.cancel()
	s.background.Wait()
	return err
}

// returnAfter is the back-off of a client that is sent away by a shutdown.
func (s *Server) returnAfter() *protocol.Backoff {
	const first, longest, multiplier = 1, 60, 2
	spread := int64(s.opts.ReturnSpread / time.Second)
	return &protocol.Backoff{Seconds: first + mathrand.Int64N(spread+1), MaxSeconds: longest, Multiplier: multiplier}
}

// watch has the presence board's wake-ups move a server file's head: they tell
// of commits on other nodes.
func (s *Server) watch(f File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched[f.Name()] || s.closing {
		return
	}
	s.watched[f.Name()] = true
	s.background.Go(func() {
		wakeups, cancel := s.opts.Presence.Subscribe(f.Name())
		defer cancel()
		for {
			select {
			case <-wakeups:
			case <-s.ctx.Done():
				return
			}
			if err := f.Refresh(s.ctx); err != nil && s.ctx.Err() == nil {
				// The history follows its head by itself, only later.
				s.opts.Logger.Debug("head not refreshed on a wake-up", "file", f.Name(), "error", err)
			}
			pause(s.ctx, refreshPause)
		}
	})
}

// refreshPause is the shortest time between two refreshes by wake-ups, so that a
// busy history costs a node no more than so many reads.
const refreshPause = 5 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
