package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/protocol"
)

// userAgent is what the WebSocket's request calls the client.
const userAgent = "RealmSync/14.12.0 (headless) isthmus-device/1"

// transport makes WebSocket connections. It keeps none for other requests.
var transport = &http.Transport{
	Proxy:             http.ProxyFromEnvironment,
	DisableKeepAlives: true,
	ReadBufferSize:    1 << 10,
	WriteBufferSize:   1 << 10,
}

// socketTransport is transport for WebSockets.
type socketTransport struct{}

func (socketTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if socket, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = socketBody{socket}
	}
	return resp, nil
}

// socketBody is the socket below a WebSocket. Its end is no io.EOF: that, the
// library takes behind a frame's head, between two frames, or wherever it had
// asked for no more, for the end of the message.
type socketBody struct{ io.ReadWriteCloser }

func (b socketBody) Read(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// connection is one WebSocket connection to the server, again and again as long
// as it has sessions. It outlives the sockets it uses.
//
// One goroutine (run) connects and reads. Another (pump) writes; it exists only
// while there is something to write. Sessions are touched with mu held only.
type connection struct {
	client *Client
	user   *User
	key    connectionKey
	ended  chan struct{} // closed when run has returned
	wake   chan struct{} // tells run to look again

	queue  queue
	poked  atomic.Bool
	pumped atomic.Bool

	mu       sync.Mutex
	sessions map[int64]*session
	socket   *websocket.Conn // nil unless connected
	codec    protocol.Codec
	fresh    bool // has not got its first session yet
	done     bool // takes no session any more

	// Reconnecting.
	backoff      backoff
	notBefore    time.Time
	halted       bool // until reconnectNow
	checkToken   bool // an expired token is refreshed before connecting
	verified     bool // the endpoint has worked
	disconnected time.Time

	// PING and PONG.
	pingTimer *time.Timer
	pongTimer *time.Timer
	pingDue   bool
	pinged    int64 // timestamp of the outstanding PING, or 0
	rtt       int64

	lingerTimer *time.Timer
}

func newConnection(client *Client, user *User, key connectionKey) *connection {
	return &connection{
		client:   client,
		user:     user,
		key:      key,
		ended:    make(chan struct{}),
		wake:     make(chan struct{}, 1),
		sessions: make(map[int64]*session),
		fresh:    true,
	}
}

// add takes a session in. It reports false when the connection has ended.
func (c *connection) add(s *session) bool {
	c.mu.Lock()
	if c.done {
		c.mu.Unlock()
		return false
	}
	c.fresh = false
	s.joined = true
	if s.leaving {
		s.end()
		c.mu.Unlock()
		c.poke()
		return true
	}
	c.sessions[s.ident] = s
	c.checkToken = true
	if c.socket != nil {
		s.connected(false)
	}
	c.mu.Unlock()
	c.poke()
	return true
}

// forget takes a session out, for good. The lock is held.
func (c *connection) forget(s *session) {
	if c.sessions[s.ident] != s {
		return
	}
	delete(c.sessions, s.ident)
	s.end()
	switch {
	case len(c.sessions) > 0:
	case c.socket == nil:
		c.poke()
	case c.client.opts.Multiplex:
		c.lingerTimer = time.AfterFunc(c.client.opts.Linger, c.cutIfUnused)
	default:
		c.send() // what is queued goes out first, then the connection ends
	}
}

// cutIfUnused ends a connection without sessions.
func (c *connection) cutIfUnused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sessions) == 0 {
		c.cut()
	}
}

// poke makes run look again.
func (c *connection) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// cut drops the socket. The lock is held.
func (c *connection) cut() {
	if c.socket != nil {
		// The client says no farewell: the socket just ends.
		c.socket.CloseNow()
	}
}

func (c *connection) drop() {
	c.mu.Lock()
	c.cut()
	c.mu.Unlock()
}

// reconnectNow ends every wait before the next attempt.
func (c *connection) reconnectNow() {
	c.mu.Lock()
	c.halted, c.notBefore = false, time.Time{}
	c.backoff.reset()
	for _, s := range c.sessions {
		s.resumeNow()
	}
	c.mu.Unlock()
	c.poke()
}

// run connects and reads until there is nothing left to do.
func (c *connection) run() {
	defer c.client.remove(c)
	for c.waitForWork() {
		l := c.connect()
		c.lost(l)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopTimers()
	for _, s := range c.sessions {
		delete(c.sessions, s.ident)
		s.end()
	}
}

// waitForWork waits until it is time to connect. It reports false when the
// connection is over.
func (c *connection) waitForWork() bool {
	for {
		c.mu.Lock()
		if len(c.sessions) == 0 && !c.fresh || c.client.ctx.Err() != nil {
			c.done = true
			c.mu.Unlock()
			return false
		}
		parked := c.fresh || c.halted || c.client.offline.Load()
		wait := time.Until(c.notBefore)
		c.mu.Unlock()
		if !parked && wait <= 0 {
			return true
		}
		c.sleep(wait, parked)
	}
}

// sleep waits until it is poked or, unless it is parked, the time has passed.
func (c *connection) sleep(wait time.Duration, parked bool) {
	var timeout <-chan time.Time
	if !parked {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-c.wake:
	case <-timeout:
	case <-c.client.ctx.Done():
	}
}

// connect makes one connection and reads from it until it ends, which it
// explains.
func (c *connection) connect() loss {
	ctx := c.client.ctx
	if l, ok := c.prepareToken(ctx); !ok {
		return l
	}
	socket, codec, l, ok := c.dial(ctx)
	if !ok {
		return l
	}
	if !c.established(socket, codec) {
		socket.CloseNow()
		return loss{reason: "closed"}
	}
	defer socket.CloseNow()
	for {
		kind, data, err := socket.Read(ctx)
		if err != nil {
			return lossOf(err)
		}
		if kind != websocket.MessageBinary {
			continue // as the shipped clients: texts are dropped without a word
		}
		if l := c.receive(data); l != nil {
			return *l
		}
	}
}

// prepareToken refreshes an expired access token when a session has been
// opened since the last attempt.
func (c *connection) prepareToken(ctx context.Context) (loss, bool) {
	c.mu.Lock()
	check := c.checkToken
	c.checkToken = false
	c.mu.Unlock()
	if !check || !c.user.expired(c.client.opts.Clock()) {
		return loss{}, true
	}
	if _, err := c.user.app.locate(ctx); err != nil {
		return loss{reason: "location", err: err}, false
	}
	return c.refreshToken(ctx)
}

// refreshToken fetches a new access token. Only a refusal is final: with any
// other error the client goes on with the token that it has.
func (c *connection) refreshToken(ctx context.Context) (loss, bool) {
	err := c.user.Refresh(ctx)
	var refused *ServiceError
	if errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
		return loss{reason: "refused", err: fmt.Errorf("user is logged out: %w", err), logOut: true}, false
	}
	return loss{}, true
}

// dial opens the WebSocket.
func (c *connection) dial(ctx context.Context) (*websocket.Conn, protocol.Codec, loss, bool) {
	codec := protocol.Codec{Flexible: c.key.flexible, Version: c.client.opts.Version}
	dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	socket, resp, err := websocket.Dial(dialCtx, c.user.app.syncURL()+"?baas_at="+c.user.AccessToken(), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: socketTransport{}, CheckRedirect: keepRedirects},
		HTTPHeader:   http.Header{"User-Agent": {userAgent}},
		Subprotocols: protocol.Offer(codec.Flexible)[protocol.MaxVersion-codec.Version:],
	})
	if err != nil {
		return nil, codec, c.refused(resp, err), false
	}
	socket.SetReadLimit(-1)
	_, agreed, err := protocol.Negotiate([]string{socket.Subprotocol()})
	if err != nil || agreed.Flexible != codec.Flexible {
		socket.CloseNow()
		v := violation("sub-protocol", "the server chose %q", socket.Subprotocol())
		return nil, codec, loss{reason: "sub-protocol", err: v, fatal: true}, false
	}
	// Clients of version 14 speak it whatever was agreed.
	if codec.Version < protocol.MaxVersion {
		codec.Version = agreed.Version
	}
	return socket, codec, loss{}, true
}

func keepRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// established makes a socket the connection's, and lets its sessions speak.
func (c *connection) established(socket *websocket.Conn, codec protocol.Codec) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client.ctx.Err() != nil || c.client.offline.Load() {
		return false
	}
	c.socket, c.codec = socket, codec
	c.verified = true
	c.pinged, c.pingDue, c.rtt = 0, false, 0
	interval := c.client.opts.PingInterval
	c.pingTimer = time.AfterFunc(time.Duration(rand.Int64N(int64(interval)+1)), c.pingNow)
	fast := !c.disconnected.IsZero() && time.Since(c.disconnected) < c.client.opts.FastReconnect
	for _, s := range c.sessions {
		s.connected(fast)
	}
	return true
}

// lost takes the socket away, tells the sessions, and decides when to connect
// again.
func (c *connection) lost(l loss) {
	if l.refreshUser || l.refreshLocation {
		if refused, ok := c.refreshAfter(l); !ok {
			l = refused
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		c.disconnected = time.Now()
	}
	c.socket = nil
	c.stopTimers()
	c.queue.clear()
	over := c.client.ctx.Err() != nil || l.reason == "closed"
	for _, s := range c.sessions {
		if !over && l.err != nil {
			s.connectionFailed(l)
		}
		s.disconnectedNow()
	}
	switch {
	case l.refreshUser || l.refreshLocation:
		// A new token: the client comes back at once.
		c.notBefore = time.Time{}
	case l.halt:
		c.halted = true
	default:
		c.notBefore = time.Now().Add(c.backoff.delay(l.reason, l.backoff, c.client.opts.Second))
	}
}

// refreshAfter asks for what the server says has changed: location, token, or both.
func (c *connection) refreshAfter(l loss) (loss, bool) {
	ctx := c.client.ctx
	if l.refreshLocation {
		if _, err := c.user.app.relocate(ctx); err != nil {
			return loss{reason: "location", err: err}, false
		}
	}
	return c.refreshToken(ctx)
}

func (c *connection) stopTimers() {
	for _, t := range []*time.Timer{c.pingTimer, c.pongTimer, c.lingerTimer} {
		if t != nil {
			t.Stop()
		}
	}
}

// pingNow makes the next message a PING.
func (c *connection) pingNow() {
	c.mu.Lock()
	c.pingDue = true
	c.mu.Unlock()
	c.send()
}

// ping returns the PING that is due, or nil. The lock is held.
func (c *connection) ping() protocol.Message {
	if !c.pingDue || c.pinged != 0 {
		return nil
	}
	c.pingDue = false
	c.pinged = c.client.clock()
	socket := c.socket
	c.pongTimer = time.AfterFunc(c.client.opts.PongTimeout, func() {
		// Not c.drop: by now there may be another socket.
		socket.CloseNow()
	})
	return &protocol.Ping{Timestamp: c.pinged, RTT: c.rtt}
}

// pong takes the answer to the outstanding PING.
func (c *connection) pong(m *protocol.Pong) error {
	if c.pinged == 0 || m.Timestamp != c.pinged {
		return violation("PONG", "timestamp %d, the outstanding PING's is %d", m.Timestamp, c.pinged)
	}
	c.rtt = c.client.clock() - c.pinged
	c.pinged = 0
	c.pongTimer.Stop()
	interval := c.client.opts.PingInterval
	c.pingTimer = time.AfterFunc(interval-time.Duration(rand.Int64N(int64(interval)/10+1)), c.pingNow)
	return nil
}

// send lets the pump write what is due, in a goroutine of its own if none is at it.
func (c *connection) send() {
	c.poked.Store(true)
	if c.pumped.CompareAndSwap(false, true) && !c.client.spawn(c.pump) {
		c.pumped.Store(false)
	}
}

// pump writes messages as long as there are any.
func (c *connection) pump() {
	var buf []byte
	for {
		c.poked.Store(false)
		for {
			socket, data := c.nextMessage(buf)
			if socket == nil {
				break
			}
			if err := socket.Write(c.client.ctx, websocket.MessageBinary, data); err != nil {
				socket.CloseNow() // the reader learns of it
				break
			}
			buf = data[:0]
		}
		if !c.client.opts.Multiplex {
			c.cutIfUnused()
		}
		c.pumped.Store(false)
		if !c.poked.Load() || !c.pumped.CompareAndSwap(false, true) {
			return
		}
	}
}

// nextMessage composes the next message, and returns it with the socket where
// it goes, nil if there is none. PING jumps the queue; then sessions take turns,
// one message each.
func (c *connection) nextMessage(buf []byte) (*websocket.Conn, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket == nil {
		return nil, nil
	}
	m := c.ping()
	for m == nil {
		s := c.queue.pop()
		if s == nil {
			return nil, nil
		}
		if m = s.next(); m != nil {
			c.queue.push(s)
		}
	}
	if trace := c.client.opts.Trace; trace != nil {
		trace(true, m)
	}
	data, err := c.codec.Append(buf, m)
	if err != nil {
		// Such as a changeset that bears a time before 2015.
		if s := c.sessions[m.SessionIdent()]; s != nil {
			s.owner.fail(err)
		}
		c.cut()
		return nil, nil
	}
	return c.socket, data
}
