package device

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/protocol"
)

// Consequence is what a shipped client does about a server's mistake.
type Consequence uint8

// The consequences, from bad to worst.
const (
	// GoesDeaf: the client sends JSON_ERROR and ignores the session's DOWNLOADs
	// until it is bound again.
	GoesDeaf Consequence = iota
	// ClosesConnection: a protocol violation. Every session on the connection
	// is inactive until the app acts.
	ClosesConnection
	// KillsClient: the client's process ends, or spins for ever.
	KillsClient
)

func (c Consequence) String() string {
	switch c {
	case GoesDeaf:
		return "the client would go deaf"
	case ClosesConnection:
		return "the client would close the connection"
	case KillsClient:
		return "the client's process would die"
	}
	return "unknown consequence"
}

// Violation is a mistake of the server's. It is fatal for the session: a device
// is for finding such mistakes.
type Violation struct {
	Consequence Consequence
	Code        protocol.ErrorCode // of the JSON_ERROR that says so, if GoesDeaf
	Rule        string             // such as "cursor rule 4" or "bootstrap rule 1"
	Reason      string
	Err         error // what went wrong underneath; may be nil
}

func (v *Violation) Error() string {
	text := v.Reason
	if v.Rule != "" {
		text = v.Rule + ": " + text
	}
	if v.Err != nil {
		text += ": " + v.Err.Error()
	}
	return fmt.Sprintf("server mistake (%v): %s", v.Consequence, text)
}

func (v *Violation) Unwrap() error { return v.Err }

// violation makes a violation that closes the connection.
func violation(rule, format string, args ...any) *Violation {
	return &Violation{Consequence: ClosesConnection, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// deadly makes a violation that kills the client.
func deadly(rule, format string, args ...any) *Violation {
	return &Violation{Consequence: KillsClient, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// deafening makes a violation that the client reports by JSON_ERROR.
func deafening(code protocol.ErrorCode, reason string, err error) *Violation {
	return &Violation{Consequence: GoesDeaf, Code: code, Reason: reason, Err: err}
}

// asViolation finds the violation in an error.
func asViolation(err error) (*Violation, bool) {
	var v *Violation
	ok := errors.As(err, &v)
	return v, ok
}
