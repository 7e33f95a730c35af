package protocol

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/isthmus-sync/isthmus/changeset"
)

// JSONError is the server's error message. With session ident 0 it ends the
// connection, else the session (codes 231 and 236 end nothing). In versions
// before 4 it is written as the older ERROR, which carries less.
type JSONError struct {
	Session                int64
	Code                   ErrorCode
	Message                string // shown to the app
	TryAgain               bool   // the client retries by itself
	LogURL                 string // may be empty
	ShouldClientReset      bool   // for SDKs that do not know Action
	IsRecoveryModeDisabled bool   // for SDKs that do not know Action
	Action                 Action
	Backoff                *Backoff // nil: the client's own delays

	PartitionQuery        string // code 232: RQL, not empty
	PreviousSchemaVersion int64  // code 236

	RejectedUpdates                []RejectedUpdate
	RejectedClientVersion          int64 // with RejectedUpdates: the refused upload entry's
	CompensatingWriteServerVersion int64 // code 231: positive. 0 means absent
}

// Backoff is how a client is to wait before it tries again.
type Backoff struct {
	Seconds    int64 // first delay
	MaxSeconds int64
	Multiplier int64 // 1 or more
}

// RejectedUpdate names an object whose writes were refused.
type RejectedUpdate struct {
	Table  string // class name without prefix
	Key    changeset.Key
	Reason string
}

// NewError makes the error of that code with the action and the retry
// recommended for it.
func NewError(session int64, code ErrorCode, message string) *JSONError {
	info := Errors[code]
	return &JSONError{
		Session:           session,
		Code:              code,
		Message:           message,
		TryAgain:          info.TryAgain,
		ShouldClientReset: info.Action == ActionClientReset,
		Action:            info.Action,
	}
}

func (*JSONError) Keyword() string       { return "json_error" }
func (m *JSONError) SessionIdent() int64 { return m.Session }

// jsonErrorBody is the JSON, its keys in alphabetical order.
type jsonErrorBody struct {
	Action                         *Action          `json:"action"`
	BackoffIntervalSec             *int64           `json:"backoffIntervalSec,omitempty"`
	BackoffMaxDelaySec             *int64           `json:"backoffMaxDelaySec,omitempty"`
	BackoffMultiplier              *int64           `json:"backoffMultiplier,omitempty"`
	CompensatingWriteServerVersion *int64           `json:"compensatingWriteServerVersion,omitempty"`
	IsRecoveryModeDisabled         *bool            `json:"isRecoveryModeDisabled"`
	LogURL                         *string          `json:"logURL"`
	Message                        *string          `json:"message"`
	PartitionQuery                 *string          `json:"partitionQuery,omitempty"`
	PreviousSchemaVersion          *int64           `json:"previousSchemaVersion,omitempty"`
	RejectedClientVersion          *int64           `json:"rejectedClientVersion,omitempty"`
	RejectedUpdates                []rejectedUpdate `json:"rejectedUpdates,omitempty"`
	ShouldClientReset              *bool            `json:"shouldClientReset"`
	TryAgain                       *bool            `json:"tryAgain"`
}

type rejectedUpdate struct {
	PK     *string `json:"pk"`
	Reason *string `json:"reason"`
	Table  *string `json:"table"`
}

// parseJSONError is as strict as the clients are: a missing field is an error.
func parseJSONError(h *header) Message {
	m := &JSONError{Code: h.errorCode()}
	size := h.size("body size")
	m.Session = h.number("session ident")
	text := h.take("body", size)
	if h.err != nil {
		return m
	}
	var in jsonErrorBody
	if err := json.Unmarshal(text, &in); err != nil {
		h.fail(BadSyntax, "body", "not the JSON of an error")
		return m
	}
	switch {
	case in.Message == nil, in.TryAgain == nil, in.LogURL == nil, in.ShouldClientReset == nil,
		in.IsRecoveryModeDisabled == nil, in.Action == nil:
		h.fail(BadSyntax, "body", "a mandatory key is missing")
		return m
	case in.BackoffIntervalSec != nil && (in.BackoffMaxDelaySec == nil || in.BackoffMultiplier == nil):
		h.fail(BadSyntax, "body", "the back-off is incomplete")
	case len(in.RejectedUpdates) > 0 && in.RejectedClientVersion == nil:
		h.fail(BadSyntax, "body", "rejectedClientVersion is missing")
	case m.Code == MigrateToFLX && (in.PartitionQuery == nil || *in.PartitionQuery == ""):
		h.fail(BadSyntax, "body", "partitionQuery is missing")
	case m.Code == SchemaVersionChanged && in.PreviousSchemaVersion == nil:
		h.fail(BadSyntax, "body", "previousSchemaVersion is missing")
	}
	m.Message, m.TryAgain, m.LogURL, m.Action = *in.Message, *in.TryAgain, *in.LogURL, *in.Action
	m.ShouldClientReset, m.IsRecoveryModeDisabled = *in.ShouldClientReset, *in.IsRecoveryModeDisabled
	if in.BackoffIntervalSec != nil && h.err == nil {
		m.Backoff = &Backoff{*in.BackoffIntervalSec, *in.BackoffMaxDelaySec, *in.BackoffMultiplier}
	}
	m.PartitionQuery = deref(in.PartitionQuery)
	m.PreviousSchemaVersion = deref(in.PreviousSchemaVersion)
	m.RejectedClientVersion = deref(in.RejectedClientVersion)
	m.CompensatingWriteServerVersion = deref(in.CompensatingWriteServerVersion)
	for _, u := range in.RejectedUpdates {
		if u.PK == nil || u.Reason == nil || u.Table == nil {
			h.fail(BadSyntax, "body", "a rejected update is incomplete")
			return m
		}
		key, err := DecodeKey(*u.PK)
		if err != nil {
			h.fail(BadSyntax, "body", "pk: "+err.Error())
			return m
		}
		m.RejectedUpdates = append(m.RejectedUpdates, RejectedUpdate{Table: *u.Table, Key: key, Reason: *u.Reason})
	}
	return m
}

// errorCode reads an error code.
func (h *header) errorCode() ErrorCode {
	n := h.number("error code")
	if n > math.MaxInt32 {
		h.fail(BadSyntax, "error code", "out of range")
	}
	return ErrorCode(n)
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func (m *JSONError) appendTo(w *writer) {
	if w.codec.Version < versionJSONError {
		legacy := Error{Session: m.Session, Code: m.Code, Message: m.Message, TryAgain: m.TryAgain}
		w.dst = append(w.dst[:len(w.dst)-len(w.keyword)], legacy.Keyword()...)
		w.keyword = legacy.Keyword()
		legacy.appendTo(w)
		return
	}
	m.check(w)
	body := m.body(w)
	w.errorCode(m.Code, m.Session)
	w.size(len(body))
	w.number("session ident", m.Session)
	w.endHeader()
	w.dst = append(w.dst, body...)
}

// check refuses what the rules on single codes forbid.
func (m *JSONError) check(w *writer) {
	if b := m.Backoff; b != nil && (b.Seconds < 0 || b.MaxSeconds < 0 || b.Multiplier < 1) {
		w.fail("back-off", "a delay is negative or the multiplier is below 1")
	}
	switch m.Code {
	case CompensatingWrite:
		if m.CompensatingWriteServerVersion <= 0 {
			w.kills("compensatingWriteServerVersion", "code 231 must have it")
		}
	case MigrateToFLX:
		if m.PartitionQuery == "" {
			w.fail("partitionQuery", "code 232 must have it")
		}
		if w.codec.Flexible {
			w.kills("error code", "232 is for clients in partition mode")
		}
	case RevertToPBS:
		if !w.codec.Flexible {
			w.fail("error code", "234 is for clients in flexible mode")
		}
	}
	if m.Action == ActionMigrateToFLX && m.Code != MigrateToFLX {
		w.kills("action", "MigrateToFLX goes with code 232 only")
	}
	if len(m.RejectedUpdates) > 0 && m.RejectedClientVersion <= 0 {
		w.fail("rejectedClientVersion", "goes with the rejected updates")
	}
}

func (m *JSONError) body(w *writer) []byte {
	out := jsonErrorBody{
		Action:                 &m.Action,
		IsRecoveryModeDisabled: &m.IsRecoveryModeDisabled,
		LogURL:                 &m.LogURL,
		Message:                &m.Message,
		ShouldClientReset:      &m.ShouldClientReset,
		TryAgain:               &m.TryAgain,
	}
	if m.Backoff != nil {
		out.BackoffIntervalSec = &m.Backoff.Seconds
		out.BackoffMaxDelaySec = &m.Backoff.MaxSeconds
		out.BackoffMultiplier = &m.Backoff.Multiplier
	}
	if m.PartitionQuery != "" {
		out.PartitionQuery = &m.PartitionQuery
	}
	if m.Code == SchemaVersionChanged {
		out.PreviousSchemaVersion = &m.PreviousSchemaVersion
	}
	if m.CompensatingWriteServerVersion != 0 {
		out.CompensatingWriteServerVersion = &m.CompensatingWriteServerVersion
	}
	if len(m.RejectedUpdates) > 0 {
		out.RejectedClientVersion = &m.RejectedClientVersion
	}
	for i := range m.RejectedUpdates {
		u := &m.RejectedUpdates[i]
		pk, err := EncodeKey(u.Key)
		if err != nil {
			w.kills(fmt.Sprintf("rejected update %d", i), err.Error())
		}
		out.RejectedUpdates = append(out.RejectedUpdates, rejectedUpdate{PK: &pk, Reason: &u.Reason, Table: &u.Table})
	}
	return marshal(out)
}

// Error is the error message of versions before 4. Newer clients parse it, but
// it makes them do nothing.
type Error struct {
	Session  int64
	Code     ErrorCode
	Message  string
	TryAgain bool
}

func (*Error) Keyword() string       { return "error" }
func (m *Error) SessionIdent() int64 { return m.Session }

func parseError(h *header) Message {
	m := &Error{Code: h.errorCode()}
	size := h.size("message size")
	m.TryAgain = h.bool("try again")
	m.Session = h.number("session ident")
	m.Message = string(h.take("message", size))
	return m
}

func (m *Error) appendTo(w *writer) {
	w.errorCode(m.Code, m.Session)
	w.size(len(m.Message))
	w.bool(m.TryAgain)
	w.number("session ident", m.Session)
	w.endHeader()
	w.text(m.Message)
}

// ClientError is the client's json_error: it could not integrate what it got,
// and ignores the session from then on.
type ClientError struct {
	Session int64
	Code    ErrorCode // 112, 201, 212 or 233
	Message string
}

func (*ClientError) Keyword() string       { return "json_error" }
func (m *ClientError) SessionIdent() int64 { return m.Session }

type clientErrorBody struct {
	Message string `json:"message"`
}

func parseClientError(h *header) Message {
	m := &ClientError{Code: h.errorCode()}
	size := h.size("body size")
	m.Session = h.session()
	text := h.take("body", size)
	if h.err != nil {
		return m
	}
	var in clientErrorBody
	if err := json.Unmarshal(text, &in); err != nil {
		h.fail(BadSyntax, "body", "not the JSON of an error")
	}
	m.Message = in.Message
	return m
}

func (m *ClientError) appendTo(w *writer) {
	body := marshal(clientErrorBody{m.Message})
	w.number("error code", int64(m.Code))
	w.size(len(body))
	w.session(m.Session)
	w.endHeader()
	w.dst = append(w.dst, body...)
}

// LogMessage is a line for the client's log, of a session or, with session
// ident 0, of the connection.
type LogMessage struct {
	Session       int64
	CorrelationID string // labels the connection in the client's log; may be empty
	Level         string // one of fatal, error, warn, info, detail, debug, trace; empty means debug
	Text          string
}

var logLevels = map[string]bool{
	"": true, "fatal": true, "error": true, "warn": true, "info": true, "detail": true, "debug": true, "trace": true,
}

type logMessageBody struct {
	CorrelationID string `json:"co_id,omitempty"`
	Level         string `json:"level,omitempty"`
	Text          string `json:"msg,omitempty"`
}

func (*LogMessage) Keyword() string       { return "log_message" }
func (m *LogMessage) SessionIdent() int64 { return m.Session }

func parseLogMessage(h *header) Message {
	m := &LogMessage{Session: h.number("session ident")}
	size := h.size("body size")
	text := h.take("body", size)
	if h.err != nil {
		return m
	}
	var in logMessageBody
	if err := json.Unmarshal(text, &in); err != nil || in.Text != "" && !logLevels[in.Level] {
		h.fail(BadSyntax, "body", "not the JSON of a log message")
	}
	m.CorrelationID, m.Level, m.Text = in.CorrelationID, in.Level, in.Text
	return m
}

func (m *LogMessage) appendTo(w *writer) {
	w.since(versionLogMessage)
	if !logLevels[m.Level] {
		w.fail("level", fmt.Sprintf("%q is none of the client's", m.Level))
	}
	body := marshal(logMessageBody{m.CorrelationID, m.Level, m.Text})
	w.number("session ident", m.Session)
	w.size(len(body))
	w.endHeader()
	w.dst = append(w.dst, body...)
}
