package history

import (
	"errors"
	"fmt"
)

// Sentinels for what callers branch on.
var (
	// ErrDetached: another session has attached to the client file, or the
	// Client was closed; this one's uploads are no longer taken.
	ErrDetached = errors.New("client file attached elsewhere")
	// ErrClosed: the File or Store was closed.
	ErrClosed = errors.New("history closed")
	// ErrNeverServed: no node has ever served the file.
	ErrNeverServed = errors.New("no bridge has ever served it")
	// ErrSnapshotTooOld: MongoDB no longer keeps what was read.
	ErrSnapshotTooOld = errors.New("reading took longer than MongoDB keeps the state of one time (raise its parameter minSnapshotHistoryWindowInSeconds)")
	// ErrLeaseLost: another node ingests now.
	ErrLeaseLost = errors.New("ingest lease lost")
)

// Rejection is a refusal that a device is told: a session-level error code of
// the protocol and its text. What was refused has left no trace.
type Rejection struct {
	Code    int
	Message string
	Err     error // cause, or nil
	// Final: it would be refused again, for nothing that the device has done wrong.
	// The device keeps what it wrote and stops syncing until its app is started
	// again.
	Final bool
}

// Session-level codes that the history answers with.
const (
	codeOtherSessionError   = 201
	codeBadClientFileIdent  = 208
	codeBadServerVersion    = 209
	codeBadClientVersion    = 210
	codeDivergingHistories  = 211
	codeBadChangeset        = 212
	codeClientFileExpired   = 222
	codeUserMismatch        = 223
	codeInvalidSchemaChange = 225
)

func (r *Rejection) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("%s (%d): %v", r.Message, r.Code, r.Err)
	}
	return fmt.Sprintf("%s (%d)", r.Message, r.Code)
}

func (r *Rejection) Unwrap() error { return r.Err }

func reject(code int, format string, args ...any) *Rejection {
	return &Rejection{Code: code, Message: fmt.Sprintf(format, args...)}
}
