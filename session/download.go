package session

import (
	"math"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

const (
	fetchEntries  = 256       // history entries looked at in one turn
	downloadBytes = 256 << 10 // a DOWNLOAD ends with the changeset that takes it above this
)

// sent is what the client was told last.
type sent struct {
	downloads int            // messages
	cursor    uint64         // download server version
	upload    history.Cursor // upload cursor
}

// outbox holds the changesets of the next steady-state DOWNLOAD. All have one
// client version: clients from 14.8 to 14.11 lose transforms when it changes
// within a message.
type outbox struct {
	entries []protocol.DownloadEntry
	bytes   int
	from    uint64 // history version before the first catch-up message; for the estimate
}

// download walks the history on from the cursor and sends what is due. It
// reports whether there is more.
func (s *session) download() (more bool, err error) {
	if s.fresh {
		return false, nil
	}
	entries, err := s.file.Entries(s.ctx, s.cursor/history.Stride, fetchEntries)
	if err != nil {
		return false, err
	}
	later := replacements(entries, s.key.ident)
	for i, e := range entries {
		if err := s.pass(e, later); err != nil {
			return false, err
		}
		if s.outbox.bytes > downloadBytes && i+1 < len(entries) {
			more = true
			break
		}
	}
	if head, _ := s.file.Head(); len(entries) > 0 && s.cursor/history.Stride < head {
		more = true
	}
	if s.salt == 0 {
		// Nothing passed yet: a server file without history.
		head, salt := s.file.Head()
		if head != s.cursor/history.Stride {
			return true, nil
		}
		s.salt = salt
	}
	if len(s.outbox.entries) > 0 {
		return more, s.flush()
	}
	if more {
		return true, nil
	}
	return false, s.flushQuiet()
}

// flushQuiet sends a DOWNLOAD without changesets when one is due: at once to
// begin a session and to acknowledge an upload, else after a while, so that
// what the client cannot see costs it little.
func (s *session) flushQuiet() error {
	upload := s.client.UploadCursor()
	switch {
	case s.sent.downloads == 0, s.uploads.acknowledge() && upload.Client > s.sent.upload.Client:
		return s.flush()
	case s.cursor == s.sent.cursor && upload.Client <= s.sent.upload.Client:
		s.quietUntil = time.Time{}
	case s.quietUntil.IsZero():
		s.quietUntil = time.Now().Add(s.conn.server.opts.QuietDelay)
	case !time.Now().Before(s.quietUntil):
		return s.flush()
	}
	return nil
}

// pass moves the cursor over a history entry, and puts into the outbox what the
// client is to see of it: one changeset with the entry's version, or none. later
// holds the objects that history after it replaces for the client.
func (s *session) pass(e *history.Entry, later map[changeset.ObjectRef]replacement) error {
	own := e.Origin == s.key.ident
	integrated, origin := s.integrated, e.Origin
	var data []byte
	if own {
		// For what its own entry causes, that entry counts as integrated.
		integrated, origin = max(integrated, e.ClientVersion), history.ServerIdent
		data = s.view.compensate(e, s.file.Schema())
	} else if without := replacedLater(e, later); without != nil {
		data = s.view.projectWithout(e, s.file.Schema(), without)
	} else {
		data = s.view.deliver(e, s.file.Schema())
	}
	if data != nil {
		if n := len(s.outbox.entries); n > 0 && s.outbox.entries[n-1].ClientVersion != int64(integrated) {
			if err := s.flush(); err != nil {
				return err
			}
		}
		if own {
			if err := s.tellRefused(e); err != nil {
				return err
			}
		}
		s.outbox.entries = append(s.outbox.entries, protocol.DownloadEntry{
			ServerVersion: int64(e.Version * history.Stride),
			ClientVersion: int64(integrated),
			Timestamp:     int64(e.Timestamp),
			Origin:        int64(origin),
			Changeset:     data,
		})
		s.outbox.bytes += len(data)
	}
	s.cursor, s.salt, s.integrated = e.Version*history.Stride, e.Salt, integrated
	return nil
}

// versionCompensating is the first protocol version whose clients are told of
// compensating writes.
const versionCompensating = 5

// tellRefused tells the client which writes of one of its changesets were
// refused. It comes before the DOWNLOAD that undoes them, and the session does
// not suspend for it. A session that begins before that entry tells it again.
func (s *session) tellRefused(e *history.Entry) error {
	m := protocol.NewError(s.ident, protocol.CompensatingWrite,
		"Client attempted a write that is disallowed by permissions, or modifies an object outside the current query, and the server undid the change")
	m.CompensatingWriteServerVersion = int64(e.Version * history.Stride)
	m.RejectedClientVersion = int64(e.ClientVersion)
	for i := range e.Objects {
		t := &e.Objects[i]
		if t.Refused == "" || t.Ref.Key.Type == changeset.GlobalKey {
			continue
		}
		m.RejectedUpdates = append(m.RejectedUpdates, protocol.RejectedUpdate{Table: t.Ref.Class, Key: t.Ref.Key, Reason: t.Refused})
	}
	if len(m.RejectedUpdates) == 0 {
		return nil
	}
	s.log.Info("writes refused", "client_version", e.ClientVersion, "objects", len(m.RejectedUpdates), "reason", m.RejectedUpdates[0].Reason)
	if s.conn.codec.Version < versionCompensating {
		return nil
	}
	return s.send(m)
}

// flush sends a steady-state DOWNLOAD of the outbox.
func (s *session) flush() error {
	m := s.header()
	m.QueryVersion, m.Batch, m.Entries = s.queryVersion, protocol.SteadyState, s.outbox.entries
	m.Estimate, m.Downloadable = s.remaining()
	return s.sendDownload(m)
}

// header makes a DOWNLOAD with the session's cursors.
func (s *session) header() *protocol.Download {
	upload := s.client.UploadCursor()
	// An entry of its own that the session has passed is durable, even if the
	// cursor read above is older.
	upload.Client = max(upload.Client, s.integrated)
	latest, salt := s.cursor, s.salt
	if s.floor > latest {
		latest, salt = s.floor, s.floorSalt
	}
	return &protocol.Download{
		Session: s.ident,
		Progress: protocol.Progress{
			DownloadServer: int64(s.cursor),
			DownloadClient: int64(s.integrated),
			LatestServer:   int64(latest),
			LatestSalt:     int64(salt),
			UploadClient:   int64(upload.Client),
			UploadServer:   int64(upload.Server),
		},
	}
}

// sendDownload sends a DOWNLOAD that the client integrates when it gets it.
func (s *session) sendDownload(m *protocol.Download) error {
	if err := s.send(m); err != nil {
		return err
	}
	s.sent = sent{
		downloads: s.sent.downloads + 1,
		cursor:    uint64(m.DownloadServer),
		upload:    history.Cursor{Client: uint64(m.UploadClient), Server: uint64(m.UploadServer)},
	}
	s.outbox.entries, s.outbox.bytes = nil, 0
	s.quietUntil = time.Time{}
	return nil
}

// remaining estimates how far a catch-up has come, from 0 to 1, and, for
// partition mode, how many bytes remain. Both are for the app's progress bar.
func (s *session) remaining() (estimate float64, bytes int64) {
	head, _ := s.file.Head()
	at := s.cursor / history.Stride
	if at >= head {
		s.outbox.from = 0
		return 1, 0
	}
	if s.outbox.from == 0 {
		s.outbox.from = max(s.sent.cursor/history.Stride, 1)
	}
	from := min(s.outbox.from, at)
	// Clients take 0 for no progress at all, for ever.
	const least = 0.0001
	estimate = math.Max(least, float64(at-from)/float64(head-from))
	if n := len(s.outbox.entries); n > 0 {
		bytes = int64(head-at) * int64(s.outbox.bytes/n)
	}
	return math.Min(estimate, 1-least), bytes
}
