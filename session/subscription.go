package session

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// subscription is a subscription set whose bootstrap the client waits for.
type subscription struct {
	version int64
	body    string
	view    *view
}

// takeQuery takes a new subscription set. Those before it that were not served
// yet are passed over.
func (s *session) takeQuery(m *protocol.Query) error {
	if m.Version <= s.newestQuery {
		return &connectionError{protocol.BadMessageOrder, fmt.Sprintf("query version %d after version %d", m.Version, s.newestQuery)}
	}
	s.newestQuery = m.Version
	err := s.expect(m.Version, m.Body)
	var bad *badQuery
	if !errors.As(err, &bad) {
		return err
	}
	// The set is pending on the client, so that it can be told: it has been sent
	// in this session, and no set after it has been served.
	s.log.Info("subscription set refused", "query_version", m.Version, "reason", bad.Error())
	if s.pending == nil {
		s.resolved = m.Version
	}
	return s.send(&protocol.QueryError{Session: s.ident, Code: protocol.BadQuery, Version: m.Version, Message: bad.Error()})
}

// expect makes a subscription set the one to be served next. The error is a
// *badQuery when the set is at fault.
func (s *session) expect(version int64, body string) error {
	views := s.conn.server.views
	v, err := views.subscribe(s.ctx, s.file, body)
	if err != nil {
		return err
	}
	if s.pending != nil {
		views.release(s.pending.view)
	}
	s.pending = &subscription{version: version, body: body, view: v}
	if s.resolved >= version {
		s.resolved = version - 1
	}
	return nil
}

// served makes the pending subscription set the session's view.
func (s *session) served() {
	s.conn.server.views.release(s.view)
	s.view, s.queryVersion = s.pending.view, s.pending.version
	s.pending = nil
	s.resolved = s.newestQuery
}

// sentView is the view under which the client is sent history.
func (s *session) sentView() history.View {
	if s.view == nil {
		return nil
	}
	return s.view
}

// nextView is that of the last set received, while it has not been served.
func (s *session) nextView() history.View {
	if s.pending == nil {
		return nil
	}
	return s.pending.view
}
