package protocol

import (
	"encoding/binary"
)

// The messages of this file belong to clients that no current SDK is. A server
// refuses the requests with UnknownMessage; the answers are fatal to today's
// clients.

// Refresh replaced a session's access token.
type Refresh struct {
	Session int64
	Token   string
}

func (*Refresh) Keyword() string       { return "refresh" }
func (m *Refresh) SessionIdent() int64 { return m.Session }

func parseRefresh(h *header) Message {
	m := &Refresh{Session: h.session()}
	size := h.size("token size")
	m.Token = string(h.take("token", size))
	return m
}

func (m *Refresh) appendTo(w *writer) {
	w.session(m.Session)
	w.size(len(m.Token))
	w.endHeader()
	w.text(m.Token)
}

// AllocRequest asked for a client file ident.
type AllocRequest struct{ Session int64 }

func (*AllocRequest) Keyword() string       { return "alloc" }
func (m *AllocRequest) SessionIdent() int64 { return m.Session }

func parseAllocRequest(h *header) Message { return &AllocRequest{Session: h.session()} }

func (m *AllocRequest) appendTo(w *writer) {
	w.session(m.Session)
	w.endHeader()
}

// Alloc answered an AllocRequest.
type Alloc struct {
	Session int64
	File    int64
}

func (*Alloc) Keyword() string       { return "alloc" }
func (m *Alloc) SessionIdent() int64 { return m.Session }

func parseAlloc(h *header) Message {
	return &Alloc{Session: h.session(), File: h.number("file ident")}
}

func (m *Alloc) appendTo(w *writer) {
	w.session(m.Session)
	w.positive("file ident", m.File)
	w.endHeader()
}

// StateRequest asked for the whole server file instead of its history.
type StateRequest struct {
	Session          int64
	PartialVersion   int64 // server version of a transfer that was broken off
	PartialSalt      int64
	Offset           int64
	NeedRecent       bool
	MinFileFormat    int64
	MaxFileFormat    int64
	MinHistorySchema int64
	MaxHistorySchema int64
}

func (*StateRequest) Keyword() string       { return "state_request" }
func (m *StateRequest) SessionIdent() int64 { return m.Session }

func parseStateRequest(h *header) Message {
	return &StateRequest{
		Session:          h.session(),
		PartialVersion:   h.number("partial transfer server version"),
		PartialSalt:      h.signed("partial transfer server version salt"),
		Offset:           h.number("offset"),
		NeedRecent:       h.bool("need recent"),
		MinFileFormat:    h.number("min file format"),
		MaxFileFormat:    h.number("max file format"),
		MinHistorySchema: h.number("min history schema"),
		MaxHistorySchema: h.number("max history schema"),
	}
}

func (m *StateRequest) appendTo(w *writer) {
	w.session(m.Session)
	w.number("partial transfer server version", m.PartialVersion)
	w.signed(m.PartialSalt)
	w.number("offset", m.Offset)
	w.bool(m.NeedRecent)
	w.number("min file format", m.MinFileFormat)
	w.number("max file format", m.MaxFileFormat)
	w.number("min history schema", m.MinHistorySchema)
	w.number("max history schema", m.MaxHistorySchema)
	w.endHeader()
}

// State answered a StateRequest with part of the server file.
type State struct {
	Session     int64
	Version     int64
	Salt        int64
	BeginOffset int64
	EndOffset   int64
	MaxOffset   int64
	Segments    [][]byte // zlib streams
}

func (*State) Keyword() string       { return "state" }
func (m *State) SessionIdent() int64 { return m.Session }

// segmentPrefix is the size of the big-endian length before each segment.
const segmentPrefix = 4

func parseState(h *header) Message {
	m := &State{
		Session:     h.session(),
		Version:     h.number("server version"),
		Salt:        h.signed("server version salt"),
		BeginOffset: h.number("begin offset"),
		EndOffset:   h.number("end offset"),
		MaxOffset:   h.number("max offset"),
	}
	size := h.size("body size")
	body := h.take("body", size)
	for len(body) > 0 {
		if len(body) < segmentPrefix {
			h.fail(BadSyntax, "segment", "length is truncated")
			return m
		}
		length := binary.BigEndian.Uint32(body)
		body = body[segmentPrefix:]
		if uint64(length) > uint64(len(body)) {
			h.fail(BadSyntax, "segment", "is truncated")
			return m
		}
		m.Segments = append(m.Segments, body[:length:length])
		body = body[length:]
	}
	return m
}

func (m *State) appendTo(w *writer) {
	size := 0
	for _, s := range m.Segments {
		size += segmentPrefix + len(s)
	}
	w.session(m.Session)
	w.number("server version", m.Version)
	w.signed(m.Salt)
	w.number("begin offset", m.BeginOffset)
	w.number("end offset", m.EndOffset)
	w.number("max offset", m.MaxOffset)
	w.size(size)
	w.endHeader()
	for _, s := range m.Segments {
		w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(len(s)))
		w.dst = append(w.dst, s...)
	}
}

// ClientVersionRequest asked how much of a client file the server had.
type ClientVersionRequest struct {
	Session int64
	File    int64
	Salt    int64
}

func (*ClientVersionRequest) Keyword() string       { return "client_version_request" }
func (m *ClientVersionRequest) SessionIdent() int64 { return m.Session }

func parseClientVersionRequest(h *header) Message {
	return &ClientVersionRequest{Session: h.session(), File: h.number("file ident"), Salt: h.signed("file ident salt")}
}

func (m *ClientVersionRequest) appendTo(w *writer) {
	w.session(m.Session)
	w.number("file ident", m.File)
	w.signed(m.Salt)
	w.endHeader()
}

// ClientVersion answered a ClientVersionRequest.
type ClientVersion struct {
	Session       int64
	ClientVersion int64
}

func (*ClientVersion) Keyword() string       { return "client_version" }
func (m *ClientVersion) SessionIdent() int64 { return m.Session }

func parseClientVersion(h *header) Message {
	return &ClientVersion{Session: h.session(), ClientVersion: h.number("client version")}
}

func (m *ClientVersion) appendTo(w *writer) {
	w.session(m.Session)
	w.number("client version", m.ClientVersion)
	w.endHeader()
}

// Transact asked for one changeset to be committed as it is or not at all.
type Transact struct {
	Session       int64
	ClientVersion int64
	ServerVersion int64
	Changeset     []byte
}

func (*Transact) Keyword() string       { return "transact" }
func (m *Transact) SessionIdent() int64 { return m.Session }

func parseTransact(h *header) Message {
	m := &Transact{
		Session:       h.session(),
		ClientVersion: h.number("client version"),
		ServerVersion: h.number("server version"),
	}
	size := h.size("changeset size")
	m.Changeset = h.take("changeset", size)
	return m
}

func (m *Transact) appendTo(w *writer) {
	w.session(m.Session)
	w.number("client version", m.ClientVersion)
	w.number("server version", m.ServerVersion)
	w.size(len(m.Changeset))
	w.endHeader()
	w.dst = append(w.dst, m.Changeset...)
}

// TransactResult answered a Transact.
type TransactResult struct {
	Session       int64
	Status        int64 // 1, 2 or 3
	Version       int64
	Salt          int64
	Timestamp     int64
	Origin        int64
	Substitutions []byte
}

func (*TransactResult) Keyword() string       { return "transact" }
func (m *TransactResult) SessionIdent() int64 { return m.Session }

const maxTransactStatus = 3

func parseTransactResult(h *header) Message {
	m := &TransactResult{
		Session:   h.session(),
		Status:    h.number("status"),
		Version:   h.number("server version"),
		Salt:      h.signed("server version salt"),
		Timestamp: h.number("origin timestamp"),
		Origin:    h.number("origin file ident"),
	}
	if m.Status < 1 || m.Status > maxTransactStatus {
		h.fail(BadSyntax, "status", "neither 1, 2 nor 3")
	}
	size := h.size("substitutions size")
	m.Substitutions = h.take("substitutions", size)
	return m
}

func (m *TransactResult) appendTo(w *writer) {
	if m.Status < 1 || m.Status > maxTransactStatus {
		w.fail("status", "neither 1, 2 nor 3")
	}
	w.session(m.Session)
	w.signed(m.Status)
	w.number("server version", m.Version)
	w.signed(m.Salt)
	w.number("origin timestamp", m.Timestamp)
	w.number("origin file ident", m.Origin)
	w.size(len(m.Substitutions))
	w.endHeader()
	w.dst = append(w.dst, m.Substitutions...)
}
