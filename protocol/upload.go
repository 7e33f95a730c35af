package protocol

import (
	"fmt"
	"strconv"
)

// Upload carries a client file's changesets, and how far the client has got.
// Without entries it moves the progress only.
type Upload struct {
	Session        int64
	ProgressClient int64 // the client has scanned its own history up to here
	ProgressServer int64 // server version that the client had integrated there
	LockedServer   int64 // the client's persisted download cursor
	Entries        []UploadEntry
}

// UploadEntry is one changeset of an Upload.
type UploadEntry struct {
	ClientVersion int64 // strictly increasing
	ServerVersion int64 // the base: the newest server version integrated before the change
	Timestamp     int64 // the client's clock: milliseconds since the start of 2015
	Origin        int64 // 0: made by this file
	Changeset     []byte
}

func (*Upload) Keyword() string       { return "upload" }
func (m *Upload) SessionIdent() int64 { return m.Session }

func parseUpload(h *header) Message {
	m := &Upload{Session: h.session()}
	body := h.compressedBody()
	m.ProgressClient = h.number("progress client version")
	m.ProgressServer = h.number("progress server version")
	m.LockedServer = h.number("locked server version")
	r := entryReader{h: h, body: body()}
	for r.more() {
		e := UploadEntry{
			ClientVersion: r.number("client version"),
			ServerVersion: r.number("server version"),
			Timestamp:     r.number("origin timestamp"),
			Origin:        r.number("origin file ident"),
		}
		size := r.number("changeset size")
		e.Changeset = r.changeset(size)
		m.Entries = append(m.Entries, e)
	}
	return m
}

func (m *Upload) appendTo(w *writer) {
	size := 0
	for _, e := range m.Entries {
		size += len(e.Changeset) + 64
	}
	plain := make([]byte, 0, size)
	for i, e := range m.Entries {
		if e.ClientVersion < 0 || e.ServerVersion < 0 || e.Timestamp < 0 || e.Origin < 0 {
			w.fail(fmt.Sprintf("entry %d", i), "a number is negative")
		}
		plain = appendField(plain, e.ClientVersion)
		plain = appendField(plain, e.ServerVersion)
		plain = appendField(plain, e.Timestamp)
		plain = appendField(plain, e.Origin)
		plain = appendField(plain, int64(len(e.Changeset)))
		plain = append(plain, e.Changeset...)
	}
	body := encodeBody(plain)
	w.session(m.Session)
	w.bodyFields(body)
	w.number("progress client version", m.ProgressClient)
	w.number("progress server version", m.ProgressServer)
	w.number("locked server version", m.LockedServer)
	w.endHeader()
	w.bodyBytes(body)
}

// appendField appends a number of an entry with the space after it.
func appendField(dst []byte, n int64) []byte { return append(strconv.AppendInt(dst, n, 10), ' ') }
