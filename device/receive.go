package device

import (
	"fmt"

	"github.com/isthmus-sync/isthmus/protocol"
)

// receive takes one message. It returns why the connection must end, if it must.
func (c *connection) receive(data []byte) *loss {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.codec.ParseServer(data)
	if err != nil {
		v := violation("message", "it does not parse")
		v.Err = err
		return c.violated(v)
	}
	if trace := c.client.opts.Trace; trace != nil {
		trace(false, m)
	}
	switch m := m.(type) {
	case *protocol.Pong:
		err = c.pong(m)
	case *protocol.LogMessage:
	case *protocol.JSONError:
		if m.Session == 0 {
			return c.failed(m)
		}
		err = c.toSession(m)
	case *protocol.Error:
		// It carries no action: the SDKs report it and take no step.
		bare := &protocol.JSONError{Session: m.Session, Code: m.Code, Message: m.Message, TryAgain: m.TryAgain}
		if m.Session == 0 {
			return c.failed(bare)
		}
		err = c.toSession(bare)
	default:
		err = c.toSession(m)
	}
	if err != nil {
		v, ok := asViolation(err)
		if !ok {
			v = violation("", "%v", err)
		}
		return c.violated(v)
	}
	return nil
}

// violated ends the connection for a mistake of the server's.
func (c *connection) violated(v *Violation) *loss {
	return &loss{reason: "protocol violation", err: v, fatal: true}
}

// failed ends the connection as the server's error says.
func (c *connection) failed(m *protocol.JSONError) *loss {
	info, known := protocol.Errors[m.Code]
	switch {
	case !known || info.Level != protocol.ConnectionLevel:
		return c.violated(violation("errors", "error %s without a session", m.Code))
	case info.Kills:
		return c.violated(deadly("errors", "error %s", m.Code))
	}
	l := &loss{reason: "error " + m.Code.String(), backoff: m.Backoff, halt: !m.TryAgain}
	e := newServerError(m)
	switch m.Action {
	case protocol.ActionTransient:
	case protocol.ActionWarning:
		l.err = e
	case protocol.ActionRefreshUser:
		l.refreshUser = true
	case protocol.ActionRefreshLocation:
		l.refreshLocation = true
	case protocol.ActionClientReset, protocol.ActionClientResetNoRecovery:
		l.err, l.clientReset = e, true
	case protocol.ActionLogOutUser:
		l.err, l.logOut = e, true
	default:
		l.err, l.fatal = e, m.Action != ""
	}
	return l
}

// toSession hands a message to the session it is about.
func (c *connection) toSession(m protocol.Message) error {
	s := c.sessions[m.SessionIdent()]
	if s == nil {
		return violation("session ident", "%s for session %d, which does not exist", m.Keyword(), m.SessionIdent())
	}
	switch m := m.(type) {
	case *protocol.ServerIdent:
		return s.receiveIdent(m)
	case *protocol.Download:
		return s.receiveDownload(m)
	case *protocol.Mark:
		return s.receiveMark(m)
	case *protocol.Unbound:
		return s.receiveUnbound()
	case *protocol.JSONError:
		return s.receiveError(m)
	case *protocol.QueryError:
		return s.receiveQueryError(m)
	}
	return violation("message", "%s is no message that clients know", m.Keyword())
}

func (s *session) receiveIdent(m *protocol.ServerIdent) error {
	switch {
	case !s.bound || !s.needIdent || s.errored:
		return violation("IDENT", "none was asked for")
	case s.file.Ident().File != 0:
		return violation("IDENT", "the file has an ident already")
	case m.File == 0 || m.Salt == 0:
		return violation("IDENT", "file ident %d, salt %d", m.File, m.Salt)
	}
	if s.leaving {
		return nil
	}
	s.file.SetIdent(FileIdent{File: m.File, Salt: m.Salt})
	s.enlist()
	return nil
}

// listening reports whether a DOWNLOAD or MARK counts. The error is for those
// that must not come.
func (s *session) listening(keyword string) (bool, error) {
	switch {
	case !s.identified:
		return false, violation(keyword, "before the client's IDENT")
	case s.errored:
		return false, violation(keyword, "after an error, before the session is bound again")
	}
	return !s.leaving, nil
}

func (s *session) receiveDownload(m *protocol.Download) error {
	ok, err := s.listening("DOWNLOAD")
	if err != nil || !ok || s.deaf != nil {
		return err
	}
	if s.file.flexible {
		m.Batch = s.batchState(m)
		err = s.checkBatch(m)
	}
	if err == nil {
		err = s.checkCompensations(m)
	}
	if err == nil {
		err = s.file.Integrate(m)
	}
	if v, ok := asViolation(err); ok && v.Consequence == GoesDeaf {
		s.deaf = v
		s.owner.fail(v)
		s.enlist()
		return nil
	}
	if err != nil {
		return err
	}
	if m.UploadClient > s.uploaded.Client {
		s.uploaded = Cursor{Client: m.UploadClient, Server: m.UploadServer}
	}
	s.releaseCompensations(m)
	s.owner.notify()
	s.enlist()
	return nil
}

// batchState tells bootstraps from steady state in versions that do not say it:
// a message for the active query version is steady state.
func (s *session) batchState(m *protocol.Download) protocol.BatchState {
	if s.conn.codec.Version >= protocol.MaxVersion {
		return m.Batch
	}
	if version, _ := s.file.ActiveQuery(); m.QueryVersion == version && s.file.hasActive() {
		return protocol.SteadyState
	}
	return m.Batch
}

// checkBatch checks the order of bootstrap messages (bootstrap rules 3 and 4).
func (s *session) checkBatch(m *protocol.Download) error {
	if m.Batch == protocol.SteadyState {
		if s.batchOpen {
			return violation("bootstrap rule 4", "a steady-state DOWNLOAD amid the bootstrap of query version %d", s.bootstrapped)
		}
		return nil
	}
	if m.QueryVersion < s.bootstrapped {
		return deadly("bootstrap rule 3", "a bootstrap of query version %d after one of %d", m.QueryVersion, s.bootstrapped)
	}
	s.bootstrapped = m.QueryVersion
	s.batchOpen = m.Batch == protocol.MoreToCome
	return nil
}

func (s *session) receiveMark(m *protocol.Mark) error {
	ok, err := s.listening("MARK")
	if err != nil || !ok {
		return err
	}
	if m.Request <= s.markReceived || m.Request > s.markSent {
		return violation("MARK", "request %d, while %d has been answered and %d has been sent", m.Request, s.markReceived, s.markSent)
	}
	s.markReceived = m.Request
	if s.markReceived < s.markTarget {
		return nil // a newer MARK is wanted: only that one's answer counts
	}
	// So it is also where the session is deaf: as with the shipped clients, what is in
	// the way of its uploads is gone, and the download counts as completed.
	s.markComplete = s.markReceived
	s.delayUploads = false
	s.file.Marked()
	s.owner.downloadCompleted(s)
	s.enlist()
	return nil
}

func (s *session) receiveUnbound() error {
	if !s.unbound || s.errored {
		return violation("UNBOUND", "it answers an UNBIND only, and none that acknowledges an error")
	}
	s.abandon()
	return nil
}

func (s *session) receiveQueryError(m *protocol.QueryError) error {
	if !s.bound || s.errored {
		return violation("QUERY_ERROR", "outside a session")
	}
	if err := s.file.QueryFailed(m.Version, m.Message); err != nil {
		return err
	}
	s.batchOpen = false
	s.owner.notify()
	s.enlist()
	return nil
}

// CompensatingWriteError says that the server has undone writes of the app's
// (code 231). It is reported once the undoing changeset is integrated.
type CompensatingWriteError struct {
	ServerVersion int64 // of the changeset that undoes
	ClientVersion int64 // that was refused
	Message       string
	Objects       []protocol.RejectedUpdate
}

func (e *CompensatingWriteError) Error() string {
	text := fmt.Sprintf("compensating write: %s (client version %d, undone by server version %d)", e.Message, e.ClientVersion, e.ServerVersion)
	for _, o := range e.Objects {
		text += fmt.Sprintf("; %s: %s", o.Table, o.Reason)
	}
	return text
}

// announce keeps a compensating write until its changeset arrives.
func (s *session) announce(m *protocol.JSONError) error {
	if m.CompensatingWriteServerVersion <= 0 {
		return deadly("compensation", "error 231 without compensatingWriteServerVersion")
	}
	if n := len(s.compensations); n > 0 && s.compensations[n-1].ServerVersion > m.CompensatingWriteServerVersion {
		return deadly("compensation rule 3", "error 231 for server version %d after one for %d",
			m.CompensatingWriteServerVersion, s.compensations[n-1].ServerVersion)
	}
	s.compensations = append(s.compensations, &CompensatingWriteError{
		ServerVersion: m.CompensatingWriteServerVersion,
		ClientVersion: m.RejectedClientVersion,
		Message:       m.Message,
		Objects:       m.RejectedUpdates,
	})
	return nil
}

// checkCompensations checks that the changesets after an announcement begin at
// or below the version announced (compensation rule 2).
func (s *session) checkCompensations(m *protocol.Download) error {
	if len(s.compensations) == 0 || len(m.Entries) == 0 {
		return nil
	}
	due := s.compensations[0].ServerVersion
	if first := m.Entries[0].ServerVersion; first > due {
		return deadly("compensation rule 2", "changesets from server version %d on, while %d is announced to undo a write", first, due)
	}
	return nil
}

// releaseCompensations reports what a steady-state DOWNLOAD has undone.
func (s *session) releaseCompensations(m *protocol.Download) {
	if len(m.Entries) == 0 || s.file.flexible && m.Batch != protocol.SteadyState {
		return
	}
	last := m.Entries[len(m.Entries)-1].ServerVersion
	for len(s.compensations) > 0 && s.compensations[0].ServerVersion <= last {
		s.owner.addError(s.compensations[0])
		s.compensations = s.compensations[1:]
	}
}
