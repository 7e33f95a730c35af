package device

import (
	"fmt"
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
)

// ServerError is an error that the server has sent.
type ServerError struct {
	Code     protocol.ErrorCode
	Action   protocol.Action
	Message  string
	LogURL   string
	TryAgain bool
	Session  bool // of the session; else of the connection
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("server error %v: %s (%s)", e.Code, e.Message, e.Action)
}

func newServerError(m *protocol.JSONError) *ServerError {
	return &ServerError{
		Code: m.Code, Action: m.Action, Message: m.Message, LogURL: m.LogURL, TryAgain: m.TryAgain, Session: m.Session != 0,
	}
}

// receiveError takes an error of the session's.
func (s *session) receiveError(m *protocol.JSONError) error {
	info, known := protocol.Errors[m.Code]
	switch {
	case !s.bound || s.errored:
		return violation("errors", "error %v after another error, or before BIND", m.Code)
	case known && info.Level != protocol.SessionLevel, !known && m.Code < protocol.SessionClosed:
		return violation("errors", "error %v with a session ident", m.Code)
	case info.Kills:
		return deadly("errors", "error %v", m.Code)
	case m.Code == protocol.MigrateToFLX && s.file.flexible:
		return deadly("errors", "error %v to a client in flexible mode", m.Code)
	case m.Code == protocol.RevertToPBS:
		return deadly("errors", "error %v to a client that was never migrated", m.Code)
	case m.Code == protocol.CompensatingWrite:
		return s.announce(m)
	}
	e := newServerError(m)
	if m.Code == protocol.SchemaVersionChanged {
		s.owner.addError(e)
		return nil
	}
	s.errored, s.retry = true, false
	if s.leaving {
		// The error and the client's UNBIND have crossed: the error ends it.
		if s.unbound {
			s.abandon()
		} else {
			s.enlist()
		}
		return nil
	}
	s.act(m, e)
	s.enlist()
	return nil
}

// act does what the error's action says. The UNBIND follows.
func (s *session) act(m *protocol.JSONError, e *ServerError) {
	again := func() {
		if m.TryAgain {
			s.resumeAfter(s.delay(m))
		}
	}
	switch m.Action {
	case protocol.ActionTransient:
		again()
	case protocol.ActionWarning:
		s.owner.addError(e)
		again()
	case protocol.ActionRefreshUser, protocol.ActionRefreshLocation:
		again()
		s.refresh(m.Action == protocol.ActionRefreshLocation)
	case protocol.ActionClientReset, protocol.ActionClientResetNoRecovery:
		s.owner.resetRequired(s, e)
	case "":
		// The older ERROR: reported, and no step taken.
		s.owner.addError(e)
		again()
	default:
		s.owner.fail(e)
	}
}

// delay is how long the session waits before it is bound again. Code 200 always
// means a second.
func (s *session) delay(m *protocol.JSONError) time.Duration {
	second := s.conn.client.opts.Second
	if m.Code == protocol.SessionClosed {
		return second
	}
	return s.backoff.delay(m.Code.String(), m.Backoff, second)
}

// refresh fetches a new token, and then binds the session again at once. With a
// new location the SDK starts another session as well.
func (s *session) refresh(location bool) {
	c := s.conn
	c.client.spawn(func() {
		l, ok := c.refreshAfter(loss{refreshLocation: location})
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.over {
			return
		}
		if !ok {
			if l.logOut {
				s.owner.fail(l.err)
				s.abandon()
			}
			return
		}
		s.retry = true
		s.resumeNow()
		if location {
			s.owner.restart(s)
		}
	})
}

// connectionFailed tells the session why its connection has ended.
func (s *session) connectionFailed(l loss) {
	switch {
	case l.fatal || l.logOut:
		s.owner.fail(l.err)
		s.leaving = true
	case l.clientReset:
		s.owner.resetRequired(s, l.err)
	default:
		s.owner.addError(l.err)
	}
}
