package session

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// errGone says that the connection is gone or being ended: there is nobody left
// to tell anything.
var errGone = errors.New("connection gone")

// connectionError ends the connection with a protocol error.
type connectionError struct {
	code   protocol.ErrorCode
	reason string
}

func (e *connectionError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.reason) }

// sessionError ends a session with a protocol error.
type sessionError struct {
	code   protocol.ErrorCode
	reason string
	err    error // cause, or nil; for the log only
	final  bool  // the client is not to try again, whatever the code says else
}

func (e *sessionError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("%v: %s", e.code, e.reason)
	}
	return fmt.Sprintf("%v: %s: %v", e.code, e.reason, e.err)
}

func (e *sessionError) Unwrap() error { return e.err }

// refuse makes a sessionError.
func refuse(code protocol.ErrorCode, format string, args ...any) error {
	return &sessionError{code: code, reason: fmt.Sprintf(format, args...)}
}

// toldAs turns whatever went wrong in a session into what the client is told: a
// *sessionError, a *connectionError, or errGone when it is to be told nothing.
func toldAs(err error) error {
	var (
		session    *sessionError
		connection *connectionError
		rejection  *history.Rejection
	)
	switch {
	case errors.As(err, &session):
		return session
	case errors.As(err, &connection):
		return connection
	case errors.As(err, &rejection):
		return &sessionError{protocol.ErrorCode(rejection.Code), rejection.Message, rejection.Err, rejection.Final}
	case errors.Is(err, errGone), errors.Is(err, history.ErrDetached):
		// The client file is served over another connection: this one is a zombie.
		return errGone
	case errors.Is(err, history.ErrSnapshotTooOld):
		// Another try would take as long.
		return &sessionError{code: protocol.OtherSessionError, reason: "the subscribed objects are more than the server can read at once", err: err, final: true}
	case errors.Is(err, history.ErrClosed):
		return &connectionError{protocol.ConnectionClosed, "server is shutting down"}
	}
	return &sessionError{code: protocol.OtherSessionError, reason: "internal error, please try again", err: err}
}
