package session

import (
	"errors"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
)

// How a bootstrap is cut: a changeset and a message end with the instruction
// that takes them above these sizes in bytes.
const (
	bootstrapChangeset = 256 << 10
	bootstrapMessage   = 1 << 20
)

// errUnwanted ends a bootstrap whose session has ended.
var errUnwanted = errors.New("bootstrap of an ended session")

// bootstrap switches the session to the view of a new subscription set: the
// history up to a snapshot goes to the client under the old view; then, in
// messages of their own, come the objects of the snapshot that are only in the
// new view, and erasures of those that are only in the old one.
func (s *session) bootstrap(sub *subscription) error {
	// What was uploaded before is in the snapshot or comes after the switch of
	// views is on record: an upload in between would be merged as if the client
	// were to keep it, which the bootstrap makes it throw away.
	s.uploads.await()
	if err := s.uploads.failure(); err != nil {
		return err
	}
	sn, err := s.snapshot()
	if err != nil {
		return err
	}
	defer sn.Close()
	b := &bootstrap{session: s, snapshot: sn, sub: sub, started: time.Now()}
	defer b.spool.close()
	s.bootstrapping = true
	err = b.run()
	s.bootstrapping = false
	if errors.Is(err, errUnwanted) {
		return nil
	}
	if err != nil {
		return err
	}
	s.fresh = false
	s.served()
	s.log.Debug("bootstrap sent", "query_version", s.queryVersion, "version", s.cursor,
		"objects", b.objects, "messages", b.messages, "took", time.Since(b.started))
	return nil
}

// snapshot opens a snapshot and sends the history up to it. Should that take long,
// it opens a later one, so that all of the time is left for reading it.
func (s *session) snapshot() (Snapshot, error) {
	for {
		began := time.Now()
		sn, err := s.file.Snapshot(s.ctx)
		if err != nil {
			return nil, err
		}
		err = s.walkTo(sn)
		if err == nil && time.Since(began) < s.conn.server.opts.SpoolAfter {
			return sn, nil
		}
		sn.Close()
		if err != nil {
			return nil, err
		}
	}
}

// walkTo sends the history up to the snapshot. A client that has nothing yet
// needs no history: all of it is in the snapshot.
func (s *session) walkTo(sn Snapshot) error {
	to := sn.Version()
	for !s.fresh && s.cursor/history.Stride < to {
		at := s.cursor / history.Stride
		entries, err := s.file.Entries(s.ctx, at, int(min(fetchEntries, to-at)))
		if err != nil {
			return err
		}
		later := replacements(entries, s.key.ident)
		for _, e := range entries {
			if err := s.pass(e, later); err != nil {
				return err
			}
		}
		if len(entries) == 0 {
			if err := s.file.Refresh(s.ctx); err != nil {
				return err
			}
		}
	}
	if len(s.outbox.entries) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.cursor, s.salt = max(s.cursor, to*history.Stride), sn.Salt()
	return nil
}

// bootstrap is one bootstrap being sent.
type bootstrap struct {
	session  *session
	snapshot Snapshot
	sub      *subscription
	started  time.Time

	version uint64             // wire version of all its changesets; 0 until one is sent
	header  *protocol.Download // what all its messages have in common

	instructions changeset.Changeset // of the changeset being made
	size         int                 // about how many bytes they are
	held         *protocol.Download  // a full message; which is the last is known later
	spool        spool               // of messages before it that wait until all is read
	unspoolable  bool                // nothing can be kept in files here
	entries      []protocol.DownloadEntry
	bytes        int // of entries

	scanned  int64 // objects looked at
	total    int64 // about how many are to be looked at; 0 until somebody asks
	objects  int   // sent or erased
	messages int
}

func (b *bootstrap) run() error {
	s := b.session
	// The schema always comes first: it costs little, and neither a new class
	// nor a reset client misses anything.
	b.add(b.snapshot.Schema().Instructions())
	b.closeChangeset()
	for _, class := range classNames(s.view, b.sub.view) {
		where := between(s.view, b.sub.view, class)
		if len(where) == 0 {
			continue
		}
		err := b.snapshot.Scan(s.ctx, class, where, func(key changeset.Key, o *object.Object) error {
			return b.take(changeset.ObjectRef{Class: class, Key: key}, o)
		})
		if err != nil {
			return err
		}
	}
	return b.finish()
}

// count finds out about how many objects there are to be looked at.
func (b *bootstrap) count() error {
	s := b.session
	for _, class := range classNames(s.view, b.sub.view) {
		where := between(s.view, b.sub.view, class)
		if len(where) == 0 {
			continue
		}
		n, err := b.snapshot.Count(s.ctx, class, where)
		if err != nil {
			return err
		}
		b.total += n
	}
	return nil
}

// take compares what the two views say of an object.
func (b *bootstrap) take(ref changeset.ObjectRef, o *object.Object) error {
	b.scanned++
	before, after := b.session.view.Contains(ref, o), b.sub.view.Contains(ref, o)
	switch {
	case before == after:
		return nil
	case after:
		b.add(refresh(b.snapshot.Schema(), ref, o))
	default:
		b.add(changeset.Changeset{erase(ref)})
	}
	b.objects++
	if b.bytes < bootstrapMessage {
		return nil
	}
	return b.closeMessage()
}

// add adds instructions to the bootstrap. One object's may go into several
// changesets: a changeset is limited in size, and the client applies all of them
// before it shows any.
func (b *bootstrap) add(instructions changeset.Changeset) {
	for _, in := range instructions {
		b.instructions = append(b.instructions, in)
		b.size += sizeOf(&in)
		if b.size >= bootstrapChangeset {
			b.closeChangeset()
		}
	}
}

// sizeOf returns about how many bytes an instruction takes.
func sizeOf(in *changeset.Instruction) int {
	const fixed = 16
	return fixed + len(in.Key.Str) + len(in.Value.Str)
}

// closeChangeset ends the changeset being made. An empty one is a changeset,
// too: a bootstrap must have at least one.
func (b *bootstrap) closeChangeset() {
	data := changeset.EncodePadded(b.instructions)
	b.entries = append(b.entries, protocol.DownloadEntry{
		ClientVersion: int64(b.session.integrated),
		Timestamp:     protocol.Timestamp(time.Now()),
		Origin:        history.ServerIdent,
		Changeset:     data,
	})
	b.bytes += len(data)
	b.instructions, b.size = nil, 0
}

// closeMessage ends a message that is not the last, and sends the one before it.
func (b *bootstrap) closeMessage() error {
	if err := b.number(true); err != nil {
		return err
	}
	if err := b.sendHeld(protocol.MoreToCome); err != nil {
		return err
	}
	if b.total == 0 {
		// Only now is it known that there is progress to tell of.
		if err := b.count(); err != nil {
			return err
		}
	}
	b.hold()
	return b.takeMessages()
}

// takeMessages takes what the client has sent meanwhile.
func (b *bootstrap) takeMessages() error {
	s := b.session
	if err := s.takeMessages(); err != nil {
		return err
	}
	if s.state != stateActive {
		return errUnwanted
	}
	return nil
}

// hold makes the entries collected a message to be sent.
func (b *bootstrap) hold() {
	for i := range b.entries {
		b.entries[i].ServerVersion = int64(b.version)
	}
	m := *b.header
	m.Entries = b.entries
	m.Estimate = 1
	if b.scanned < b.total {
		m.Estimate = float64(b.scanned) / float64(b.total)
	}
	b.held, b.entries, b.bytes = &m, nil, 0
}

func (b *bootstrap) sendHeld(state protocol.BatchState) error {
	if b.held == nil {
		return nil
	}
	b.messages++
	m := b.held
	m.Batch = state
	if state == protocol.LastInBatch {
		m.Estimate = 1
		return b.session.sendDownload(m)
	}
	s := b.session
	if b.unspoolable || b.spool.isEmpty() && time.Since(b.started) < s.conn.server.opts.SpoolAfter {
		return s.send(m)
	}
	data, err := s.conn.codec.Append(nil, m)
	if err != nil {
		return err
	}
	if err := b.spool.add(data); err != nil {
		s.log.Warn("the rest of the bootstrap is read at the client's pace", "error", err)
		b.unspoolable = true
		if err := b.sendSpooled(); err != nil {
			return err
		}
		return s.conn.sendEncoded(data)
	}
	return nil
}

// sendSpooled sends what was kept back, at the client's pace.
func (b *bootstrap) sendSpooled() error {
	err := b.spool.each(func(data []byte) error {
		if err := b.session.conn.sendEncoded(data); err != nil {
			return err
		}
		return b.takeMessages()
	})
	b.spool.close()
	return err
}

// number draws the bootstrap's own version, which is stored with what it
// switches to before anything is sent, and moves the cursor there.
func (b *bootstrap) number(several bool) error {
	if b.version != 0 {
		return nil
	}
	s := b.session
	version, err := s.client.Private(s.ctx, b.snapshot.Version(), &history.ViewSwitch{Query: b.sub.body, Messages: several})
	if err != nil {
		return err
	}
	b.version = version
	s.cursor = version
	b.header = s.header()
	b.header.QueryVersion = b.sub.version
	return nil
}

// finish sends the last message.
func (b *bootstrap) finish() error {
	if len(b.instructions) > 0 {
		b.closeChangeset()
	}
	if err := b.number(false); err != nil {
		return err
	}
	if len(b.entries) > 0 {
		if err := b.sendHeld(protocol.MoreToCome); err != nil {
			return err
		}
		b.hold()
	}
	if err := b.sendSpooled(); err != nil {
		return err
	}
	return b.sendHeld(protocol.LastInBatch)
}
