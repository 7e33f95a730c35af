package session

import (
	"sync"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// How much of one session's uploads may wait for the commit.
const (
	uploadsAtOnce     = 256
	uploadBytesAtOnce = 16 << 20
)

// uploads keeps account of the uploads that the history has been given.
type uploads struct {
	wake chan struct{} // holds a value after one is done

	mu    sync.Mutex
	count int
	bytes int
	acked bool          // changesets have become durable since acknowledge
	err   error         // the first failure
	ended chan struct{} // if somebody waits for count to be 0
}

func (u *uploads) begin(size int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	u.bytes += size
}

func (u *uploads) end(size int, entries bool, err error) {
	u.mu.Lock()
	u.count--
	u.bytes -= size
	u.acked = u.acked || entries && err == nil
	if u.err == nil {
		u.err = err
	}
	if u.count == 0 && u.ended != nil {
		close(u.ended)
		u.ended = nil
	}
	u.mu.Unlock()
	signal(u.wake)
}

// idle reports whether no upload is under way.
func (u *uploads) idle() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count == 0
}

func (u *uploads) hasRoom() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count < uploadsAtOnce && u.bytes < uploadBytesAtOnce
}

// failure returns what the history refused, or nil.
func (u *uploads) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// acknowledge reports whether changesets have become durable since it was last
// asked.
func (u *uploads) acknowledge() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	acked := u.acked
	u.acked = false
	return acked
}

// await waits until no upload is under way. The history answers every one.
func (u *uploads) await() {
	u.mu.Lock()
	if u.count == 0 {
		u.mu.Unlock()
		return
	}
	if u.ended == nil {
		u.ended = make(chan struct{})
	}
	ended := u.ended
	u.mu.Unlock()
	<-ended
}

// lastUpload is what the next UPLOAD of the session is checked against.
type lastUpload struct {
	threshold history.Cursor // the stored upload cursor when the session began
	progress  history.Cursor // of the previous UPLOAD
	locked    uint64
}

// takeUpload checks an UPLOAD and gives it to the history.
func (s *session) takeUpload(m *protocol.Upload, it *item) error {
	if err := s.last.check(m, s.sent.cursor); err != nil {
		return err
	}
	if it.err != nil {
		return &sessionError{code: protocol.BadChangeset, reason: "Bad changeset (UPLOAD): " + it.err.Error(), err: it.err}
	}
	s.last.progress = history.Cursor{Client: uint64(m.ProgressClient), Server: uint64(m.ProgressServer)}
	s.last.locked = uint64(m.LockedServer)
	size, memory, entries := it.size, it.memory, len(it.entries) > 0
	it.memory = 0 // the upload has it now
	s.over.uploaded = s.over.uploaded || entries
	s.uploads.begin(size)
	s.client.Upload(
		&history.Upload{Progress: s.last.progress, Locked: s.last.locked, Entries: it.entries, View: s.sentView(), Next: s.nextView()},
		func(err error) {
			s.uploads.end(size, entries, err)
			s.conn.memory.release(memory)
		})
	return nil
}

// check refuses an UPLOAD whose cursors cannot be: sentTo is the wire version
// up to which the client has been sent history.
func (l *lastUpload) check(m *protocol.Upload, sentTo uint64) error {
	progress := history.Cursor{Client: uint64(m.ProgressClient), Server: uint64(m.ProgressServer)}
	locked := uint64(m.LockedServer)
	switch {
	case progress.Client < l.progress.Client:
		return refuse(protocol.BadClientVersion, "progress client version %d after %d (UPLOAD)", progress.Client, l.progress.Client)
	case progress.Server > sentTo:
		return refuse(protocol.BadServerVersion, "progress server version %d, but only %d was sent (UPLOAD)", progress.Server, sentTo)
	case progress.Client == 0 && progress.Server != 0:
		return refuse(protocol.BadServerVersion, "progress server version %d with client version 0 (UPLOAD)", progress.Server)
	case !ordered(progress, l.progress), !ordered(progress, l.threshold):
		return refuse(protocol.BadServerVersion, "progress (%d, %d) contradicts earlier progress (UPLOAD)", progress.Client, progress.Server)
	case locked < l.locked:
		return refuse(protocol.BadServerVersion, "locked server version %d after %d (UPLOAD)", locked, l.locked)
	case locked > sentTo:
		return refuse(protocol.BadServerVersion, "locked server version %d, but only %d was sent (UPLOAD)", locked, sentTo)
	}
	before := l.progress
	for _, e := range m.Entries {
		at := history.Cursor{Client: uint64(e.ClientVersion), Server: uint64(e.ServerVersion)}
		switch {
		case e.Origin != 0:
			return refuse(protocol.BadOriginFileIdent, "origin file ident %d in an uploaded changeset (UPLOAD)", e.Origin)
		case at.Client <= before.Client:
			return refuse(protocol.BadClientVersion, "changeset of client version %d after %d (UPLOAD)", at.Client, before.Client)
		case at.Client > progress.Client:
			return refuse(protocol.BadClientVersion, "changeset of client version %d, but progress is %d (UPLOAD)", at.Client, progress.Client)
		case at.Server > sentTo, !ordered(at, before), !ordered(at, progress), !ordered(at, l.threshold):
			return refuse(protocol.BadServerVersion, "changeset of client version %d made upon server version %d (UPLOAD)", at.Client, at.Server)
		}
		before = at
	}
	return nil
}

// ordered reports whether two cursors do not contradict each other: what is
// later in one component is not earlier in the other.
func ordered(a, b history.Cursor) bool {
	return a.Client <= b.Client && a.Server <= b.Server || a.Client >= b.Client && a.Server >= b.Server
}
