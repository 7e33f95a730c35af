package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// conn is one WebSocket with the sessions on it.
type conn struct {
	server *Server
	ws     *websocket.Conn
	socket *socket // below ws
	codec  protocol.Codec
	id     string
	user   string
	log    *slog.Logger

	ctx      context.Context // ends with the connection
	cancel   context.CancelFunc
	sessions sync.WaitGroup // their goroutines
	bound    bool           // a session was ever bound; the reader's
	memory   *memory        // of the sessions' uploads

	writing sync.Mutex
	out     []byte // the message being written
	failed  bool   // an error of the connection was sent: nothing may follow

	number uint64 // later connections have higher ones; under server.mu

	mu      sync.Mutex
	byIdent map[int64]*session
	running int                    // sessions that have not ended, of one ident or several
	byFile  map[boundFile]*session // the last whose IDENT was read
	highest int64                  // highest session ident bound
}

// boundFile is a client file as BIND and IDENT name it.
type boundFile struct {
	partition string
	ident     int64
}

func newConn(s *Server, ws *websocket.Conn, sock *socket, codec protocol.Codec, id, user string, log *slog.Logger) *conn {
	c := &conn{server: s, ws: ws, socket: sock, codec: codec, id: id, user: user, log: log, byIdent: make(map[int64]*session), byFile: make(map[boundFile]*session), memory: newMemory()}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// serve reads messages until the connection ends, and waits for the sessions.
func (c *conn) serve() {
	c.log.Info("connected", "flexible", c.codec.Flexible)
	err := c.readAll()
	c.closeNow()
	c.sessions.Wait()
	if err == nil || isHangUp(err) {
		c.log.Info("disconnected")
	} else {
		c.log.Info("disconnected", "error", err)
	}
}

// isHangUp reports whether the client has hung up, which is how connections end.
func isHangUp(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func (c *conn) readAll() error {
	if c.codec.Version >= versionLogMessage {
		hello := &protocol.LogMessage{CorrelationID: c.id, Level: "info", Text: "connected"}
		if err := c.send(hello); err != nil {
			return err
		}
	}
	unbound := time.AfterFunc(c.server.opts.BindTimeout, c.closeNow)
	defer unbound.Stop()
	var buf []byte
	for {
		data, err := c.read(buf)
		var refusal *connectionError
		if err != nil && !errors.As(err, &refusal) {
			return err
		}
		if err == nil {
			err = c.receive(data)
		}
		if err != nil {
			c.fail(err)
		}
		if c.bound {
			unbound.Stop()
		}
		buf = data[:0]
		if cap(buf) > keptBuffer {
			buf = nil
		}
	}
}

// versionLogMessage is the first protocol version that has LOG_MESSAGE.
const versionLogMessage = 10

// keptBuffer is how large a buffer an idle connection keeps.
const keptBuffer = 16 << 10

// read reads one message into buf, which grows with what arrives. An oversized
// message is a *connectionError: the rest of it is thrown away.
func (c *conn) read(buf []byte) ([]byte, error) {
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > c.server.opts.MaxMessage {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return nil, err
			}
			return nil, &connectionError{protocol.BadSyntax, fmt.Sprintf("message of more than %d bytes, which is the limit", c.server.opts.MaxMessage)}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if kind != websocket.MessageBinary {
		return nil, &connectionError{protocol.BadSyntax, "text message; sync messages are binary"}
	}
	return buf, nil
}

// receive parses a message and hands it to whom it is for.
func (c *conn) receive(data []byte) error {
	if c.hasFailed() {
		return nil
	}
	m, err := c.codec.ParseClient(data)
	var syntax *protocol.SyntaxError
	if errors.As(err, &syntax) {
		return &connectionError{syntax.Code, syntax.Error()}
	}
	if err != nil {
		return err
	}
	if isHistoric(m) {
		return &connectionError{protocol.UnknownMessage, m.Keyword() + " message: not served"}
	}
	switch m := m.(type) {
	case *protocol.Ping:
		c.touch()
		return c.send(&protocol.Pong{Timestamp: m.Timestamp})
	case *protocol.Bind:
		return c.bind(m)
	}
	s := c.session(m.SessionIdent())
	if s == nil || c.isUnbinding(s) {
		return &connectionError{protocol.BadSessionIdent, fmt.Sprintf("%s message for session %d, which is not bound", m.Keyword(), m.SessionIdent())}
	}
	it := item{m: m, size: len(data)}
	switch m := m.(type) {
	case *protocol.Upload:
		c.memory.await(c.ctx)
		it.entries, it.memory, it.err = decodeEntries(m.Entries, c.server.opts.MaxUploadItems)
		c.memory.hold(it.memory)
	case *protocol.ClientIdent:
		it.other = c.identified(s, boundFile{s.bind.Partition, m.File})
	case *protocol.Unbind:
		c.setUnbinding(s)
	}
	s.inbox.push(c.ctx, it)
	return nil
}

// decodeEntries decodes an UPLOAD's changesets, which are limit items at most
// (see changeset.DecodeMax), and drops their bytes. It is done here, so that the
// buffer can be used for the next message. bytes is about how much memory they
// take.
func decodeEntries(entries []protocol.UploadEntry, limit int) (out []history.UploadEntry, bytes int, err error) {
	out = make([]history.UploadEntry, len(entries))
	left := limit
	for i := range entries {
		e := &entries[i]
		cs, used, err := changeset.DecodeMax(e.Changeset, left)
		var full *changeset.LimitError
		if errors.As(err, &full) {
			return nil, 0, fmt.Errorf("changeset of client version %d: more than %d instructions at once; do such work in several smaller write transactions",
				e.ClientVersion, limit)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("changeset of client version %d: %w", e.ClientVersion, err)
		}
		left -= used
		bytes += used*changeset.ItemBytes + len(e.Changeset)
		out[i] = history.UploadEntry{
			ClientVersion: uint64(e.ClientVersion), Base: uint64(e.ServerVersion), Timestamp: uint64(e.Timestamp),
			Changeset: cs, Size: len(e.Changeset),
		}
		e.Changeset = nil
	}
	return out, bytes, nil
}

func (c *conn) session(ident int64) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byIdent[ident]
}

// maxSessions is how many sessions a connection may have: one for each realm that
// an app has open, so far more than any needs.
const maxSessions = 10_000

// bind opens a session. An ident is used once, but for a session that got an
// error: the client binds that again.
func (c *conn) bind(m *protocol.Bind) error {
	if c.codec.Flexible != c.server.opts.Flexible {
		if c.codec.Flexible {
			return &connectionError{protocol.SwitchToPBS, "this app uses partition-based sync: open the realm with a partition value"}
		}
		return &connectionError{protocol.SwitchToFLXSync, "this app uses flexible sync: open the realm with a flexible sync configuration"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.byIdent[m.Session]
	if before != nil && !before.unbinding || before == nil && m.Session <= c.highest {
		return &connectionError{protocol.ReuseOfSessionIdent, fmt.Sprintf("session %d is bound already", m.Session)}
	}
	if before == nil && len(c.byIdent) >= maxSessions || c.running >= maxSessions {
		return &connectionError{protocol.OtherError, fmt.Sprintf("more than %d sessions on one connection", maxSessions)}
	}
	s := newSession(c, m, before)
	c.byIdent[m.Session] = s
	c.highest = max(c.highest, m.Session)
	c.bound = true
	c.running++
	c.sessions.Go(s.run)
	return nil
}

// setUnbinding notes that nothing more may come for a session.
func (c *conn) setUnbinding(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.unbinding = true
}

func (c *conn) isUnbinding(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.unbinding
}

// identified notes that a session's IDENT was read, and returns the session on this
// connection that was for the client file before. Sessions have goroutines of their
// own: only the order in which messages are read tells which of two came first.
func (c *conn) identified(s *session, file boundFile) (other *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	other = c.byFile[file]
	c.byFile[file] = s
	if other == s {
		return nil
	}
	return other
}

// ended forgets a session that has ended, but for its ident.
func (c *conn) ended(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	maps.DeleteFunc(c.byFile, func(_ boundFile, last *session) bool { return last == s })
}

// forget removes a session that has ended by UNBOUND, after which the client
// knows its ident no more.
func (c *conn) forget(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byIdent[s.ident] == s {
		delete(c.byIdent, s.ident)
	}
}

// send writes a message.
func (c *conn) send(m protocol.Message) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed {
		return errGone
	}
	return c.write(m)
}

// sendEncoded writes a message that is encoded already.
func (c *conn) sendEncoded(data []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed || c.ws.Write(context.Background(), websocket.MessageBinary, data) != nil {
		return errGone
	}
	return nil
}

// write writes a message; the caller holds writing.
func (c *conn) write(m protocol.Message) error {
	data, err := c.codec.Append(c.out[:0], m)
	if err != nil {
		return err
	}
	c.out = data
	if cap(c.out) > keptBuffer {
		c.out = nil
	}
	switch m := m.(type) {
	case *protocol.JSONError:
		c.server.opts.OnError(m.Code)
	case *protocol.QueryError:
		c.server.opts.OnError(m.Code)
	}
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, data); err != nil {
		return errGone
	}
	return nil
}

func (c *conn) hasFailed() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.failed
}

// fail ends the connection for what the client or the server did wrong.
func (c *conn) fail(err error) {
	var told *connectionError
	if !errors.As(toldAs(err), &told) {
		c.closeNow()
		return
	}
	c.log.Warn("connection refused", "code", int(told.code), "reason", told.reason)
	c.sendAway(told)
}

// sendAway sends an error of the connection. The client hangs up when it reads
// it; should it not, the server does. Nothing may follow it, from any session.
func (c *conn) sendAway(told *connectionError) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.failed {
		return
	}
	m := protocol.NewError(0, told.code, told.reason)
	if told.code == protocol.ConnectionClosed {
		m.Backoff = c.server.returnAfter()
	}
	if err := c.write(m); err != nil {
		c.closeNow()
	}
	c.failed = true
	c.cancel()
	time.AfterFunc(c.server.opts.ErrorGrace, c.closeNow)
}

// closeWith closes the connection with a close code.
func (c *conn) closeWith(code protocol.CloseCode, reason string) {
	c.cancel()
	// Clients answer by hanging up, which the library reports as an error.
	_ = c.ws.Close(websocket.StatusCode(code), reason)
}

// closeNow hangs up.
func (c *conn) closeNow() {
	c.cancel()
	// First, or the library would wait out a closing handshake that is under way.
	_ = c.socket.Close()
	_ = c.ws.CloseNow()
}

// touch keeps the connection's sessions on the presence board.
func (c *conn) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.byIdent {
		s.touch()
	}
}
