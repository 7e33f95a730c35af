package protocol

import (
	"fmt"
	"math"
	"strconv"
)

// BatchState says what a flexible DOWNLOAD is part of.
type BatchState int64

// The batch states. Before version 14 the message knows only whether it is the
// last of a batch, so SteadyState is read back as LastInBatch.
const (
	MoreToCome  BatchState = 0 // of a bootstrap, which goes on
	LastInBatch BatchState = 1 // the end of a bootstrap
	SteadyState BatchState = 2 // ordinary history
)

// Download carries server history, or part of a bootstrap, and the cursors
// that the client keeps with it.
type Download struct {
	Session int64
	Progress
	Downloadable int64      // partition mode: estimate of the bytes that remain after this message
	QueryVersion int64      // flexible mode
	Batch        BatchState // flexible mode
	Estimate     float64    // flexible mode: progress from 0 to 1, written with four decimals
	Entries      []DownloadEntry
}

// Progress holds the cursors of a Download.
type Progress struct {
	DownloadServer int64 // position in server history reached
	DownloadClient int64 // last client version of the receiver integrated there
	LatestServer   int64 // newest server version
	LatestSalt     int64 // its salt, positive
	UploadClient   int64 // last client version of the receiver durably processed
	UploadServer   int64 // the server version that came with it
}

// DownloadEntry is one changeset of a Download.
type DownloadEntry struct {
	ServerVersion int64
	ClientVersion int64 // last client version of the receiver integrated before it
	Timestamp     int64 // the author's: milliseconds since the start of 2015
	Origin        int64 // the author's file ident; 1 is the server
	OriginalSize  int64 // bytes before compaction; 0 means the changeset's own size
	Changeset     []byte
}

func (*Download) Keyword() string       { return "download" }
func (m *Download) SessionIdent() int64 { return m.Session }

func parseDownload(h *header) Message {
	m := &Download{Session: h.session()}
	m.DownloadServer = h.number("download server version")
	m.DownloadClient = h.number("download client version")
	m.LatestServer = h.number("latest server version")
	m.LatestSalt = h.signed("latest server version salt")
	m.UploadClient = h.number("upload client version")
	m.UploadServer = h.number("upload server version")
	if h.codec.Flexible {
		m.QueryVersion = h.number("query version")
		m.Batch = h.batchState()
		m.Estimate = h.estimate()
	} else {
		m.Downloadable = h.signed("downloadable bytes")
	}
	body := h.compressedBody()
	r := entryReader{h: h, body: body()}
	for r.more() {
		e := DownloadEntry{
			ServerVersion: r.number("server version"),
			ClientVersion: r.number("client version"),
			Timestamp:     r.number("origin timestamp"),
			Origin:        r.number("origin file ident"),
			OriginalSize:  r.number("original changeset size"),
		}
		size := r.number("changeset size")
		e.Changeset = r.changeset(size)
		m.Entries = append(m.Entries, e)
	}
	return m
}

func (h *header) batchState() BatchState {
	n := h.number("batch state")
	if h.codec.Version < versionBatchState {
		return BatchState(min(n, 1))
	}
	if n > int64(SteadyState) {
		h.fail(BadSyntax, "batch state", "neither 0, 1 nor 2")
	}
	return BatchState(n)
}

func (h *header) estimate() float64 {
	const field = "progress estimate"
	if h.codec.Version < versionEstimate {
		h.signed("downloadable bytes")
		return 0
	}
	text := string(h.next(field))
	if h.err != nil {
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		h.fail(BadSyntax, field, "not a decimal of 0 to 1")
		return 0
	}
	return roundEstimate(f)
}

// roundEstimate keeps the four decimals that clients keep.
func roundEstimate(f float64) float64 {
	const decimals = 1e4
	// Adding 0 turns a negative zero into a plain one.
	return math.Round(f*decimals)/decimals + 0
}

func (m *Download) appendTo(w *writer) {
	body := encodeBody(m.plainBody(w))
	w.session(m.Session)
	w.number("download server version", m.DownloadServer)
	w.number("download client version", m.DownloadClient)
	w.number("latest server version", m.LatestServer)
	w.positive("latest server version salt", m.LatestSalt)
	w.number("upload client version", m.UploadClient)
	w.number("upload server version", m.UploadServer)
	if w.codec.Flexible {
		w.number("query version", m.QueryVersion)
		w.batchState(m.Batch)
		w.estimate(m.Estimate)
	} else {
		w.signed(m.Downloadable)
	}
	w.bodyFields(body)
	w.endHeader()
	w.bodyBytes(body)
}

func (m *Download) plainBody(w *writer) []byte {
	size := 0
	for _, e := range m.Entries {
		size += len(e.Changeset) + 80
	}
	plain := make([]byte, 0, size)
	for i, e := range m.Entries {
		if e.ServerVersion <= 0 || e.ClientVersion < 0 || e.Timestamp < 0 || e.Origin <= 0 || e.OriginalSize < 0 {
			w.fail(fmt.Sprintf("entry %d", i), "a number is out of range")
		}
		original := e.OriginalSize
		if original == 0 {
			original = int64(len(e.Changeset))
		}
		plain = appendField(plain, e.ServerVersion)
		plain = appendField(plain, e.ClientVersion)
		plain = appendField(plain, e.Timestamp)
		plain = appendField(plain, e.Origin)
		plain = appendField(plain, original)
		plain = appendField(plain, int64(len(e.Changeset)))
		plain = append(plain, e.Changeset...)
	}
	return plain
}

func (w *writer) batchState(s BatchState) {
	if s < MoreToCome || s > SteadyState {
		w.fail("batch state", "neither 0, 1 nor 2")
	}
	if w.codec.Version < versionBatchState {
		s = min(s, LastInBatch)
	}
	w.signed(int64(s))
}

func (w *writer) estimate(f float64) {
	if w.codec.Version < versionEstimate {
		w.signed(0)
		return
	}
	if !(f >= 0 && f <= 1) {
		w.fail("progress estimate", "not within 0 and 1")
		return
	}
	w.dst = strconv.AppendFloat(append(w.dst, ' '), roundEstimate(f), 'f', -1, 64)
}
