package device

import (
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
)

// session is one client file being synchronised over a connection. It is
// touched with the connection's lock held only.
type session struct {
	owner   owner
	conn    *connection
	file    *File
	ident   int64
	reason  protocol.SessionReason
	uploads bool          // false: the download of a fresh copy, which uploads nothing
	ended   chan struct{} // closed when the session is gone

	queued  bool // the queue's
	joined  bool // the connection has it
	leaving bool // to be ended by UNBIND
	over    bool // gone

	// Since the session was bound.
	bound      bool // BIND sent
	needIdent  bool // and it asked for an ident
	identified bool // IDENT sent
	unbound    bool // UNBIND sent
	errored    bool // an error that suspends has been received
	deaf       *Violation
	deafSaid   bool // JSON_ERROR sent
	batchOpen  bool // a bootstrap has begun and not ended

	// After an error.
	retry       bool // bind again, when the timer says
	hurry       bool // or as soon as UNBIND is sent
	resumeTimer *time.Timer
	backoff     backoff

	// MARK requests, by number.
	markTarget   int64 // the newest wanted
	markSent     int64
	markReceived int64
	markComplete int64 // the newest that completed a download

	delayUploads bool // until a MARK is answered
	uploaded     Cursor
	lastQuery    int64 // newest query version that the server has been told
	bootstrapped int64 // newest query version of which a bootstrap message came

	compensations []*CompensatingWriteError // announced, not arrived
}

func newSession(o owner, c *connection, file *File, ident int64, reason protocol.SessionReason, uploads bool) *session {
	return &session{
		owner: o, conn: c, file: file, ident: ident, reason: reason, uploads: uploads,
		ended: make(chan struct{}), delayUploads: true,
	}
}

// enlist lets the session have a turn.
func (s *session) enlist() {
	s.conn.queue.push(s)
	s.conn.send()
}

// connected begins the session on a new connection. A fast reconnect goes on
// without waiting for a MARK; a session that has come since the connection was
// lost has nothing to go on with, and would wait to upload for ever.
func (s *session) connected(fast bool) {
	s.bind()
	if !fast || s.markTarget == 0 {
		s.delayUploads = true
		s.markTarget++
	}
	s.enlist()
}

// bind makes the session begin with BIND.
func (s *session) bind() {
	if s.deaf != nil {
		s.owner.hears()
	}
	s.bound, s.identified, s.unbound = false, false, false
	s.errored, s.retry, s.hurry = false, false, false
	s.deaf, s.deafSaid, s.batchOpen = nil, false, false
	s.markSent = s.markReceived
	s.compensations = nil
}

// disconnectedNow ends the session's part on a connection that is gone.
func (s *session) disconnectedNow() {
	if s.leaving || s.over {
		s.conn.forget(s)
		return
	}
	s.stopResuming()
	s.bind()
}

// end is called when the connection has forgotten the session.
func (s *session) end() {
	s.over = true
	s.stopResuming()
	close(s.ended)
}

// leave ends the session by UNBIND. The lock is not held.
func (s *session) leave() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.over || s.leaving {
		return
	}
	s.leaving = true
	if !s.joined {
		return // the connection will see
	}
	if c.socket == nil || !s.bound || s.errored && s.unbound {
		c.forget(s)
		return
	}
	s.enlist()
}

// abandon ends the session without a word. The lock is held.
func (s *session) abandon() {
	if !s.over {
		s.leaving = true
		s.conn.forget(s)
	}
}

// next composes the session's next message, or returns nil when it has nothing
// to say. The order is that of the shipped clients.
func (s *session) next() protocol.Message {
	switch {
	case !s.joined || s.over || s.unbound:
		return nil
	case !s.bound:
		return s.sendBind()
	case s.errored || s.leaving:
		return s.sendUnbind()
	case s.file.Ident().File == 0:
		return nil
	case !s.identified:
		return s.sendIdent()
	case s.deaf != nil:
		return s.sendClientError()
	case s.markTarget > s.markSent:
		s.markSent = s.markTarget
		return &protocol.Mark{Session: s.ident, Request: s.markSent}
	case s.delayUploads:
		return nil
	}
	return s.sendChanges()
}

func (s *session) sendBind() protocol.Message {
	s.bound = true
	s.needIdent = s.file.Ident().File == 0
	m := &protocol.Bind{Session: s.ident, NeedIdent: s.needIdent}
	if s.file.flexible {
		m.Flexible = protocol.FlexibleBind{Reason: s.reason}
	} else {
		m.Partition = s.file.partition
	}
	return m
}

func (s *session) sendIdent() protocol.Message {
	s.identified = true
	ident, p := s.file.Ident(), s.file.Progress()
	m := &protocol.ClientIdent{
		Session: s.ident, File: ident.File, Salt: ident.Salt,
		DownloadServer: p.DownloadServer, DownloadClient: p.DownloadClient,
		LatestServer: p.LatestServer, LatestSalt: p.LatestSalt,
	}
	s.uploaded = Cursor{Client: p.UploadClient, Server: p.UploadServer}
	if s.file.flexible {
		m.QueryVersion, m.Query = s.file.ActiveQuery()
		s.lastQuery = m.QueryVersion
	}
	return m
}

func (s *session) sendUnbind() protocol.Message {
	s.unbound = true
	switch {
	case s.errored && (s.leaving || !s.retry):
		// The UNBIND acknowledges the error; no answer comes.
		s.abandon()
	case s.hurry:
		s.resumeNow()
	}
	return &protocol.Unbind{Session: s.ident}
}

func (s *session) sendClientError() protocol.Message {
	if s.deafSaid {
		return nil
	}
	s.deafSaid = true
	return &protocol.ClientError{Session: s.ident, Code: s.deaf.Code, Message: s.deaf.Error()}
}

// sendChanges composes QUERY or UPLOAD. A subscription set is sent when all that
// was written before it has been uploaded, and nothing written after it.
func (s *session) sendChanges() protocol.Message {
	for {
		pending, snapshot := s.file.NextQuery(s.lastQuery)
		if pending != nil && s.uploaded.Client >= snapshot {
			s.lastQuery = pending.Version
			s.markTarget++
			return &protocol.Query{Session: s.ident, Version: pending.Version, Body: pending.Body}
		}
		target := s.file.recognised()
		limited := pending != nil && snapshot < target
		if limited {
			target = snapshot
		}
		before := s.uploaded
		entries, reached := s.file.Upload(before, target)
		s.uploaded = reached
		if s.uploads && (len(entries) > 0 || !limited && reached.Server != before.Server) {
			return &protocol.Upload{
				Session:        s.ident,
				ProgressClient: reached.Client,
				ProgressServer: reached.Server,
				LockedServer:   s.file.Progress().DownloadServer,
				Entries:        entries,
			}
		}
		if !limited && reached.Client >= target && (pending == nil || reached.Client < snapshot) {
			return nil
		}
	}
}

// askMark asks for one more MARK. The connection's lock is not held.
func (s *session) askMark() {
	s.conn.mu.Lock()
	s.markTarget++
	s.conn.mu.Unlock()
	s.enlist()
}

// stopResuming stops the timer that would bind the session again.
func (s *session) stopResuming() {
	if s.resumeTimer != nil {
		s.resumeTimer.Stop()
		s.resumeTimer = nil
	}
}

// resumeAfter binds the session again after a while.
func (s *session) resumeAfter(delay time.Duration) {
	s.retry = true
	c := s.conn
	s.stopResuming()
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.resumeTimer == timer {
			s.resumeNow()
		}
	})
	s.resumeTimer = timer
}

// resumeNow binds a session again that waits to be. What is left of a bootstrap
// is dropped.
func (s *session) resumeNow() {
	if !s.errored || !s.retry || s.over || s.conn.socket == nil {
		return
	}
	if !s.unbound {
		s.hurry = true // the UNBIND has not gone out yet, and must
		return
	}
	s.stopResuming()
	s.bind()
	s.file.dropBootstrap()
	s.enlist()
}
