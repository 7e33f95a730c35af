package protocol

import (
	"bytes"
	"encoding/json"
	"math"
)

// Bind opens a session for one client file.
type Bind struct {
	Session   int64
	Partition string       // partition mode: the partition value as the client wrote it, JSON
	Flexible  FlexibleBind // flexible mode
	Token     string       // empty since tokens travel in the URL
	NeedIdent bool         // the client file has no ident yet
	Subserver bool         // no client sets it
}

// FlexibleBind is what a BIND says in flexible mode. Older versions say less,
// or nothing.
type FlexibleBind struct {
	MigratedPartition string        // the partition the file was migrated from, or empty
	SchemaVersion     int64         // 0 if the app does not version its schema
	Reason            SessionReason // why the session is opened
}

// SessionReason is why a client opens a session.
type SessionReason int64

// The reasons. A file that is being reset is bound first for the download of a
// fresh copy and then once more under its own name; both say ReasonClientReset.
const (
	ReasonSync        SessionReason = 0
	ReasonClientReset SessionReason = 1
)

func (*Bind) Keyword() string       { return "bind" }
func (m *Bind) SessionIdent() int64 { return m.Session }

func parseBind(h *header) Message {
	m := &Bind{Session: h.session()}
	dataSize := h.size("data size")
	tokenSize := h.size("token size")
	m.NeedIdent = h.bool("need client file ident")
	m.Subserver = h.bool("is subserver")
	data := h.take("data", dataSize)
	m.Token = string(h.take("token", tokenSize))
	if !h.codec.Flexible {
		m.Partition = string(data)
	} else if len(data) > 0 {
		h.bindJSON(data, &m.Flexible)
	}
	return m
}

// bindJSON reads the JSON of a flexible BIND. Clients write it by their own
// newest version, whatever was negotiated; before JSON it was a path without
// meaning.
func (h *header) bindJSON(data []byte, to *FlexibleBind) {
	if h.err != nil || h.codec.Version < versionBindJSON && data[0] != '{' {
		return
	}
	var in struct {
		MigratedPartition string `json:"migratedPartition"`
		SchemaVersion     uint64 `json:"schemaVersion"`
		SessionReason     uint64 `json:"sessionReason"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		h.fail(BadSyntax, "data", "not the JSON of a flexible BIND")
		return
	}
	*to = FlexibleBind{
		MigratedPartition: in.MigratedPartition,
		SchemaVersion:     int64(min(in.SchemaVersion, math.MaxInt64)),
		Reason:            SessionReason(min(in.SessionReason, math.MaxInt64)),
	}
}

func (m *Bind) appendTo(w *writer) {
	data := []byte(m.Partition)
	if w.codec.Flexible {
		data = w.bindJSON(m.Flexible)
	}
	w.session(m.Session)
	w.size(len(data))
	w.size(len(m.Token))
	w.bool(m.NeedIdent)
	w.bool(m.Subserver)
	w.endHeader()
	w.dst = append(w.dst, data...)
	w.text(m.Token)
}

// bindJSON writes what the version has to say, or nothing. Keys are in
// alphabetical order.
func (w *writer) bindJSON(b FlexibleBind) []byte {
	var out struct {
		MigratedPartition string         `json:"migratedPartition,omitempty"`
		SchemaVersion     *int64         `json:"schemaVersion,omitempty"`
		SessionReason     *SessionReason `json:"sessionReason,omitempty"`
	}
	if w.codec.Version >= versionMigrated {
		out.MigratedPartition = b.MigratedPartition
	}
	if w.codec.Version >= versionSchemaVersion {
		out.SchemaVersion = &b.SchemaVersion
	}
	if w.codec.Version >= versionLogMessage {
		out.SessionReason = &b.Reason
	}
	data := marshal(out)
	if string(data) == "{}" {
		return nil
	}
	return data
}

// marshal writes compact JSON as the clients do: HTML's characters stay.
func marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("protocol: a message's own fields do not marshal: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
