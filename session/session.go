package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// session is one session of a connection. Its fields belong to its goroutine,
// but for those that say otherwise.
type session struct {
	conn  *conn
	bind  *protocol.Bind
	ident int64 // the session's
	log   *slog.Logger
	ctx   context.Context // the connection's

	inbox     *inbox
	unbinding bool          // UNBIND was read; under conn.mu
	before    *session      // had the same ident and got an error; nil when that has ended
	again     bool          // bound again after an error
	done      chan struct{} // closed when the session has ended

	state  state
	file   File
	client Client
	key    clientFile

	presence sync.Mutex
	attendee *Attendee // nil while the session is not on the board

	// Where the session stands in the server file's history.
	fresh      bool   // the client has nothing yet: it begins with a bootstrap
	cursor     uint64 // wire version reached
	salt       uint64 // of the cursor's history version; 0 if not known
	integrated uint64 // last client version of this file integrated at the cursor
	floor      uint64 // wire version the client knows as the newest, with its salt
	floorSalt  uint64
	outbox     outbox
	sent       sent
	quietUntil time.Time // when quiet news is sent; zero if there is none

	// What the session sees.
	view          *view // nil in partition mode
	queryVersion  int64 // of view
	pending       *subscription
	bootstrapping bool
	newestQuery   int64 // highest version received
	resolved      int64 // every version up to it was served, refused or passed over

	over       startOver
	marks      []mark
	newestMark int64
	uploads    uploads
	last       lastUpload
}

func newSession(c *conn, m *protocol.Bind, before *session) *session {
	return &session{
		conn:    c,
		bind:    m,
		ident:   m.Session,
		log:     c.log.With("session", m.Session),
		ctx:     c.ctx,
		inbox:   newInbox(),
		before:  before,
		again:   before != nil,
		done:    make(chan struct{}),
		uploads: uploads{wake: make(chan struct{}, 1)},
	}
}

// run is the session's goroutine.
func (s *session) run() {
	defer close(s.done)
	defer s.release()
	if err := s.awaitBefore(); err != nil {
		s.report(err)
		return
	}
	if err := s.open(); err != nil && !s.report(err) {
		return
	}
	for s.state != stateEnded {
		busy, err := s.turn()
		if err != nil {
			if !s.report(err) {
				return
			}
			continue
		}
		if !busy && s.state != stateEnded && !s.wait() {
			return
		}
	}
}

// awaitBefore waits until the session that had the same ident has ended. Only
// one that got an error leaves its ident to a next one.
func (s *session) awaitBefore() error {
	if s.before == nil {
		return nil
	}
	select {
	case <-s.before.done:
	case <-s.ctx.Done():
		return errGone
	}
	failed := s.before.state == stateFailed
	s.over.retried = s.before.over.failed
	s.before = nil
	if !failed {
		return &connectionError{protocol.ReuseOfSessionIdent, fmt.Sprintf("session %d has ended without an error", s.ident)}
	}
	return nil
}

// turn does what can be done without waiting. It reports whether there is more.
func (s *session) turn() (busy bool, err error) {
	if err := s.takeMessages(); err != nil {
		return false, err
	}
	if s.state != stateActive {
		return false, nil
	}
	if err := s.uploads.failure(); err != nil {
		return false, err
	}
	if s.over.waits {
		if waits, err := s.awaitUploads(); err != nil || waits {
			return false, err
		}
	}
	more, err := s.download()
	if err != nil {
		return false, err
	}
	if !more && s.pending != nil {
		if err := s.bootstrap(s.pending); err != nil || s.state != stateActive {
			return false, err
		}
		more = true
	}
	return more, s.answerMarks()
}

// wait waits until something happens. It reports false when the connection has
// ended.
func (s *session) wait() bool {
	var changed <-chan struct{}
	var quiet <-chan time.Time
	if s.state == stateActive && s.over.waits {
		t := time.NewTimer(time.Until(s.over.until))
		defer t.Stop()
		quiet = t.C
	} else if s.state == stateActive {
		changed = s.file.Changed()
		if head, _ := s.file.Head(); head > s.cursor/history.Stride {
			return s.ctx.Err() == nil
		}
		if !s.quietUntil.IsZero() {
			t := time.NewTimer(time.Until(s.quietUntil))
			defer t.Stop()
			quiet = t.C
		}
	}
	select {
	case <-s.ctx.Done():
		return false
	case <-s.inbox.ready:
	case <-s.uploads.wake:
	case <-changed:
	case <-quiet:
	}
	return true
}

// takeMessages takes the client's messages, in order, until none is left or the
// next has to wait.
func (s *session) takeMessages() error {
	for s.state != stateEnded {
		it, ok := s.inbox.peek()
		if !ok || !s.canTake(&it) {
			return nil
		}
		s.inbox.take()
		err := s.take(&it)
		s.conn.memory.release(it.memory)
		if err != nil {
			return err
		}
	}
	return nil
}

// canTake reports whether a message's turn has come. UNBIND waits for the
// uploads before it, or closing a realm right after a write would lose it until
// the next start; QUERY waits for them, since it may name classes that they
// make, and for a bootstrap that has begun, since the client could not tell what
// it lacks of one that is broken off; an UPLOAD waits when too many are being
// committed.
func (s *session) canTake(it *item) bool {
	if s.state == stateFailed {
		return true
	}
	switch it.m.(type) {
	case *protocol.Unbind:
		return s.uploads.idle()
	case *protocol.Query:
		return s.uploads.idle() && !s.bootstrapping
	case *protocol.Upload:
		return s.uploads.hasRoom()
	}
	return true
}

func (s *session) take(it *item) error {
	if err := s.state.checkOrder(it.m); err != nil {
		return err
	}
	if m, ok := it.m.(*protocol.Unbind); ok {
		return s.takeUnbind(m)
	}
	if s.state == stateFailed {
		return nil
	}
	switch m := it.m.(type) {
	case *protocol.ClientIdent:
		return s.takeIdent(m, it.other)
	case *protocol.Query:
		return s.takeQuery(m)
	case *protocol.Upload:
		return s.takeUpload(m, it)
	case *protocol.Mark:
		return s.takeMark(m)
	case *protocol.ClientError:
		return s.takeClientError(m)
	case *protocol.TestCommand:
		return s.send(&protocol.TestCommand{Session: s.ident, Request: m.Request, Body: `{"error":"no test commands here"}`})
	}
	return &connectionError{protocol.UnknownMessage, it.m.Keyword() + " message: not served"}
}

// takeUnbind ends the session: with UNBOUND, unless an error has ended it.
func (s *session) takeUnbind(m *protocol.Unbind) error {
	failed := s.state == stateFailed
	if failed {
		// The state stays for the session that binds the same ident next.
		return errUnbound
	}
	s.state = stateEnded
	s.conn.forget(s)
	return s.send(&protocol.Unbound{Session: m.Session})
}

// errUnbound ends a session that had got an error and is now unbound.
var errUnbound = errors.New("unbound after an error")

// send writes a message of the session.
func (s *session) send(m protocol.Message) error { return s.conn.send(m) }

// report tells the client what went wrong. It reports whether the session goes
// on, be it only to wait for UNBIND.
func (s *session) report(err error) bool {
	if errors.Is(err, errUnbound) {
		return false
	}
	if s.state == stateFailed {
		return true
	}
	if s.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errGone
	}
	switch told := toldAs(err).(type) {
	case *sessionError:
		level := slog.LevelWarn
		switch told.code {
		case protocol.OtherSessionError:
			level = slog.LevelError
		case protocol.SessionClosed:
			level = slog.LevelInfo
		}
		s.log.Log(s.ctx, level, "session refused", "code", int(told.code), "reason", told.reason, "error", told.err)
		s.state = stateFailed
		s.drop()
		m := protocol.NewError(s.ident, told.code, told.reason)
		if told.final {
			m.TryAgain, m.Action = false, protocol.ActionApplicationBug
		}
		if err := s.send(m); err != nil {
			s.conn.fail(err)
			return false
		}
		return true
	case *connectionError:
		s.conn.fail(told)
	default:
		if errors.Is(err, history.ErrDetached) {
			s.log.Info("client file is served over another connection; hanging up")
		}
		s.conn.closeNow()
	}
	return false
}

// drop forgets what an ended session needs no more.
func (s *session) drop() {
	s.conn.server.views.release(s.view)
	s.view = nil
	if s.pending != nil {
		s.conn.server.views.release(s.pending.view)
		s.pending = nil
	}
	s.outbox = outbox{}
	s.marks = nil
	s.leaveBoard()
}

// release gives the client file back, after the uploads under way: closed
// before, they would not be taken.
func (s *session) release() {
	s.drop()
	defer s.conn.ended(s)
	if s.client == nil {
		return
	}
	s.uploads.await()
	s.client.Close()
	s.conn.server.detach(s.key, s)
}

// touch keeps the session on the presence board. It may be called from any
// goroutine.
func (s *session) touch() {
	s.presence.Lock()
	defer s.presence.Unlock()
	if s.attendee != nil {
		opts := &s.conn.server.opts
		opts.Presence.Touch(*s.attendee, time.Now().Add(opts.IdleTimeout))
	}
}

func (s *session) joinBoard() {
	s.presence.Lock()
	s.attendee = &Attendee{
		ID: fmt.Sprintf("%s/%d", s.conn.id, s.ident), Node: s.conn.server.opts.Node, User: s.conn.user,
		File: s.key.file, Ident: s.key.ident, Since: time.Now(),
	}
	s.presence.Unlock()
	s.touch()
}

func (s *session) leaveBoard() {
	s.presence.Lock()
	defer s.presence.Unlock()
	if s.attendee != nil {
		s.conn.server.opts.Presence.Remove(s.attendee.ID)
		s.attendee = nil
	}
}
