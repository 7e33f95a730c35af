package protocol

import "time"

// Message is one sync message: exactly one WebSocket message. All numbers are
// within 0 … 2^63-1 unless a field says otherwise. A parsed message may refer
// to the bytes it was parsed from.
type Message interface {
	// Keyword is the message's first word.
	Keyword() string
	// SessionIdent names the session the message is about; 0 means the connection.
	SessionIdent() int64

	appendTo(w *writer)
}

// timestampZero is 2015-01-01T00:00:00Z, from which origin timestamps count, as
// Unix milliseconds.
const timestampZero = 1420070400000

// Timestamp converts a time to an origin timestamp: milliseconds since the
// start of 2015, UTC.
func Timestamp(t time.Time) int64 { return t.UnixMilli() - timestampZero }

// TimestampTime converts an origin timestamp to a time.
func TimestampTime(timestamp int64) time.Time {
	return time.UnixMilli(timestamp + timestampZero).UTC()
}

// Mark asks when everything has been sent, or, from the server, says that it
// has. Both sides write it alike.
type Mark struct {
	Session int64
	Request int64
}

func (*Mark) Keyword() string       { return "mark" }
func (m *Mark) SessionIdent() int64 { return m.Session }

func parseMark(h *header) Message {
	return &Mark{Session: h.session(), Request: h.number("request ident")}
}

func (m *Mark) appendTo(w *writer) {
	w.session(m.Session)
	w.number("request ident", m.Request)
	w.endHeader()
}

// Unbind ends a session, or acknowledges a session-level error.
type Unbind struct{ Session int64 }

func (*Unbind) Keyword() string       { return "unbind" }
func (m *Unbind) SessionIdent() int64 { return m.Session }

func parseUnbind(h *header) Message { return &Unbind{Session: h.session()} }

func (m *Unbind) appendTo(w *writer) {
	w.session(m.Session)
	w.endHeader()
}

// Unbound answers an Unbind of a session that got no error.
type Unbound struct{ Session int64 }

func (*Unbound) Keyword() string       { return "unbound" }
func (m *Unbound) SessionIdent() int64 { return m.Session }

func parseUnbound(h *header) Message { return &Unbound{Session: h.session()} }

func (m *Unbound) appendTo(w *writer) {
	w.session(m.Session)
	w.endHeader()
}

// Ping is the client's sign of life.
type Ping struct {
	Timestamp int64 // the client's clock in milliseconds; any value
	RTT       int64 // the last round trip in milliseconds, or 0
}

func (*Ping) Keyword() string       { return "ping" }
func (m *Ping) SessionIdent() int64 { return 0 }

func parsePing(h *header) Message {
	return &Ping{Timestamp: h.signed("timestamp"), RTT: h.signed("rtt")}
}

func (m *Ping) appendTo(w *writer) {
	w.signed(m.Timestamp)
	w.signed(m.RTT)
	w.endHeader()
}

// Pong answers a Ping with its timestamp.
type Pong struct{ Timestamp int64 }

func (*Pong) Keyword() string       { return "pong" }
func (m *Pong) SessionIdent() int64 { return 0 }

func parsePong(h *header) Message { return &Pong{Timestamp: h.signed("timestamp")} }

func (m *Pong) appendTo(w *writer) {
	w.signed(m.Timestamp)
	w.endHeader()
}

// TestCommand is a request of the clients' test builds, and its answer. Both
// sides write it alike; the body is JSON.
type TestCommand struct {
	Session int64
	Request int64
	Body    string
}

func (*TestCommand) Keyword() string       { return "test_command" }
func (m *TestCommand) SessionIdent() int64 { return m.Session }

func parseTestCommand(h *header) Message {
	m := &TestCommand{Session: h.session(), Request: h.number("request ident")}
	size := h.size("body size")
	m.Body = string(h.take("body", size))
	return m
}

func (m *TestCommand) appendTo(w *writer) {
	w.session(m.Session)
	w.number("request ident", m.Request)
	w.size(len(m.Body))
	w.endHeader()
	w.text(m.Body)
}
