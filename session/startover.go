package session

import (
	"strings"
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
)

// A client that could not integrate a changeset has most likely merged it wrongly
// with something that it has not uploaded yet: a pair that devices are known to get
// wrong, and that no server can know of before it has both. So, the first time, its
// session begins anew and is sent nothing until the client has uploaded. What it
// cannot merge is then replaced for it (see replacement). Nothing that it wrote is
// lost, as a client reset would.
type startOver struct {
	failed  bool // the client could not integrate what this session sent
	retried bool // nor what the session before it sent

	// waits: nothing is sent until the client has uploaded, or patience ends.
	waits    bool
	until    time.Time
	uploaded bool // changesets have come
}

// uploadPatience is how long a client that starts over may take to upload. One
// that has nothing to upload sends nothing.
const uploadPatience = 5 * time.Second

// schemaMismatch is in the text of a client that has another definition of a class or
// property than it is sent; both follow. A new client gets the schema before it may
// upload its own, which is refused otherwise.
const schemaMismatch = "Schema mismatch"

// takeClientError answers a client that could not integrate what it was sent.
// It is deaf from now on, so it has to start over: with what it has or, when that
// does not help, with a new file. Its text may be a report of a defect of this
// server.
func (s *session) takeClientError(m *protocol.ClientError) error {
	if m.Code == protocol.BadChangeset && strings.Contains(m.Message, schemaMismatch) {
		return refuse(protocol.InvalidSchemaChange, "Invalid schema change: the app's schema and the server's do not agree: %s", m.Message)
	}
	s.log.Error("client could not integrate a download", "code", int(m.Code), "client_error", m.Message, "cursor", s.cursor)
	if m.Code == protocol.BadChangeset && !s.over.retried {
		s.over.failed = true
		return refuse(protocol.SessionClosed, "client could not integrate what it downloaded: it is to upload first")
	}
	return refuse(protocol.BadClientFile, "client could not integrate what it downloaded: %s", m.Message)
}

// awaitUploads reports whether the session still waits for what the client has to
// upload. A client that has just connected asks by MARK for everything and uploads
// nothing before the answer: so it is given one, though not everything was sent.
func (s *session) awaitUploads() (bool, error) {
	_, more := s.inbox.peek()
	if s.over.uploaded && s.uploads.idle() && !more || !time.Now().Before(s.over.until) {
		s.over.waits = false
		return false, nil
	}
	// One that follows a QUERY is about its bootstrap, and waits for that.
	n := 0
	for n < len(s.marks) && s.marks[n].query <= s.resolved {
		n++
	}
	if n == 0 {
		return true, nil
	}
	if s.sent.downloads == 0 {
		if err := s.flush(); err != nil {
			return true, err
		}
	}
	request := s.marks[n-1].request
	s.marks = s.marks[n:]
	return true, s.send(&protocol.Mark{Session: s.ident, Request: request})
}
