package device

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/transform"
)

// The times of the shipped clients, and what a device makes of them by default.
const (
	// DefaultSecond is how long a device takes a second of back-off for. The
	// shipped clients wait a second after the first lost connection.
	DefaultSecond        = 100 * time.Millisecond
	DefaultPingInterval  = 60 * time.Second
	DefaultPongTimeout   = 120 * time.Second
	DefaultFastReconnect = 60 * time.Second
	DefaultLinger        = 30 * time.Second
	DefaultYieldBytes    = 100 << 10

	connectTimeout = 120 * time.Second
	closeTimeout   = 5 * time.Second
)

// ErrClosed says that the client or the realm has been closed.
var ErrClosed = errors.New("closed")

// Options are what a Client may be told. The zero value is a client with the
// defaults and one connection for each session.
type Options struct {
	// Clock tells the time for origin timestamps. Nil is time.Now.
	Clock func() time.Time

	// Multiplex puts all sessions of one user and one mode on one connection,
	// as the SDKs do by default.
	Multiplex bool

	// Second is how long a second of the protocol's delays lasts: before
	// reconnects, and before a session is bound again after an error.
	// 0 is DefaultSecond.
	Second time.Duration

	// PingInterval is the time between two PINGs, the first of which comes at a
	// random time within it; PongTimeout is how long one waits for the answer.
	// 0 is the default.
	PingInterval time.Duration
	PongTimeout  time.Duration

	// FastReconnect is how soon a session must be connected again to go on
	// without a MARK. 0 is the default.
	FastReconnect time.Duration

	// Linger is how long a multiplexed connection outlives its last session.
	// 0 is the default.
	Linger time.Duration

	// Version is the newest protocol version that the client speaks. 0 is 14.
	// Clients of version 14 speak it whatever is negotiated.
	Version int

	// Rules are the rules of merging. Nil is transform.DeviceRules.
	Rules *transform.Rules

	// YieldBytes is how many bytes of changesets of one DOWNLOAD the client
	// applies before it lets a waiting writer in. 0 is the default; 1 lets
	// writers in after each changeset.
	YieldBytes int

	// Trace is told of every message that is sent or has been received. It must
	// not call the client, and not keep the message.
	Trace func(sent bool, m protocol.Message)
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	def := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	def(&o.Second, DefaultSecond)
	def(&o.PingInterval, DefaultPingInterval)
	def(&o.PongTimeout, DefaultPongTimeout)
	def(&o.FastReconnect, DefaultFastReconnect)
	def(&o.Linger, DefaultLinger)
	if o.Version == 0 {
		o.Version = protocol.MaxVersion
	}
	if o.Rules == nil {
		o.Rules = &transform.DeviceRules
	}
	if o.YieldBytes == 0 {
		o.YieldBytes = DefaultYieldBytes
	}
	return o
}

// Client is the sync client of one device: its connections and sessions. It
// may be used by many goroutines.
type Client struct {
	opts    Options
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	offline atomic.Bool

	mu          sync.Mutex
	connections map[connectionKey]*connection
	lastSession int64
	closed      bool
	started     time.Time // PING timestamps count from here
}

// connectionKey says which sessions share a connection. Unshared connections
// bear the number of their session.
type connectionKey struct {
	user     *User
	flexible bool
	session  int64
}

// NewClient makes a client. Close it.
func NewClient(opts Options) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	return &Client{
		opts:        opts.withDefaults(),
		ctx:         ctx,
		cancel:      cancel,
		connections: make(map[connectionKey]*connection),
		started:     time.Now(),
	}
}

// Close ends the client as the end of its process would: connections are
// dropped without a word. It returns when nothing of the client is running.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	connections := c.all()
	c.mu.Unlock()
	c.cancel()
	for _, conn := range connections {
		conn.poke()
		conn.drop()
	}
	c.running.Wait()
}

// all lists the connections. The lock is held.
func (c *Client) all() []*connection {
	out := make([]*connection, 0, len(c.connections))
	for _, conn := range c.connections {
		out = append(out, conn)
	}
	return out
}

// GoOffline cuts every connection and makes no other, like a device in a tunnel.
func (c *Client) GoOffline() {
	c.offline.Store(true)
	c.Drop()
}

// GoOnline ends GoOffline: the client connects again at once.
func (c *Client) GoOnline() {
	c.offline.Store(false)
	c.Reconnect()
}

// Drop cuts every connection. The client connects again after its back-off.
func (c *Client) Drop() {
	c.mu.Lock()
	connections := c.all()
	c.mu.Unlock()
	for _, conn := range connections {
		conn.drop()
	}
}

// Reconnect makes connections that wait for anything connect at once.
func (c *Client) Reconnect() {
	c.mu.Lock()
	connections := c.all()
	c.mu.Unlock()
	for _, conn := range connections {
		conn.reconnectNow()
	}
}

// owner is what a session belongs to. The connection's lock is held when a
// session calls it.
type owner interface {
	notify()                               // something has changed
	addError(err error)                    // the app is to be told
	fail(err error)                        // the session is inactive
	hears()                                // the session, which was deaf, begins anew
	downloadCompleted(s *session)          // the newest MARK is answered
	resetRequired(s *session, cause error) // the server wants a client reset
	restart(s *session)                    // another session is to take over
}

// attach makes a session for a file on the connection where it belongs. begin
// is called with it before it does anything.
func (c *Client) attach(o owner, user *User, file *File, reason protocol.SessionReason, uploads bool, begin func(*session)) (*session, error) {
	ident := c.nextSession()
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		key := connectionKey{user: user, flexible: file.flexible}
		if !c.opts.Multiplex {
			key.session = ident
		}
		conn := c.connections[key]
		if conn == nil {
			conn = newConnection(c, user, key)
			c.connections[key] = conn
			c.running.Go(conn.run)
		}
		c.mu.Unlock()
		s := newSession(o, conn, file, ident, reason, uploads)
		begin(s)
		if conn.add(s) {
			return s, nil
		}
		// The connection has just ended. Its key will be free.
		<-conn.ended
	}
}

// nextSession returns a new session ident. Idents rise over the client's life.
func (c *Client) nextSession() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastSession++
	return c.lastSession
}

// spawn runs a function in a goroutine that Close waits for, unless the client
// is closed.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Go(f)
	return true
}

// remove takes an ended connection out.
func (c *Client) remove(conn *connection) {
	c.mu.Lock()
	if c.connections[conn.key] == conn {
		delete(c.connections, conn.key)
	}
	c.mu.Unlock()
	close(conn.ended)
}

// clock is the client's monotonic clock in milliseconds, which PINGs carry.
func (c *Client) clock() int64 { return time.Since(c.started).Milliseconds() + 1 }
