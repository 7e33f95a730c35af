package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Documents are what the documents of some hints held at one time: the time of
// the last event before the stream's position. Read so, a batch never shows half
// of a transaction whose other half is not hinted at yet; and the next batch can
// be read while this one is committed.
//
// What was written to the history after that time and does not come from an
// earlier batch of the same Follower, as what devices write, is in no such
// document. The objects that it touched are read afresh by the commit.
type Documents struct {
	schema   *schema.Schema
	version  uint64 // the head at that time
	at       bson.Timestamp
	found    map[changeset.ObjectRef]*Document // nil: there is none
	follower *Follower
	entries  []uint64 // versions that the commit gave to what they led to
}

// Lacks reports whether there is no document for one of the hints.
func (d *Documents) Lacks(hints []Hint) bool {
	for _, h := range hints {
		if d.found[h.Ref] == nil {
			return true
		}
	}
	return false
}

// maxDocumentBytes bounds the documents that are read for one commit.
const maxDocumentBytes = 32 << 20

// maxLate is how long after a time documents are read as they were then. The
// older the time, the more has MongoDB to pass over that came since.
const maxLate = 10 // seconds

// ReadDocuments reads the documents of hints as of a cluster time, the zero time
// for now. Where it is too late for that, it reads what they hold now. Where they
// would take too much memory it leaves some out, and returns the hints at them,
// which are then a batch of their own.
func (fo *Follower) ReadDocuments(ctx context.Context, hints []Hint, at bson.Timestamp) (*Documents, []Hint, error) {
	d, rest, err := fo.file.readDocuments(ctx, hints, at)
	if at.T != 0 && (errors.Is(err, errLate) || hasCode(err, codeSnapshotTooOld) || hasCode(err, codeSnapshotUnavailable)) {
		d, rest, err = fo.file.readDocuments(ctx, hints, bson.Timestamp{})
	}
	if err == nil {
		d.follower = fo
	}
	return d, rest, err
}

// errLate: documents as of that time would cost too much.
var errLate = errors.New("too late to read documents as of that time")

// Server error codes of reads at a time.
const (
	codeSnapshotTooOld      = 239
	codeSnapshotUnavailable = 246
)

func (f *File) readDocuments(ctx context.Context, hints []Hint, at bson.Timestamp) (*Documents, []Hint, error) {
	session, err := f.snapshotSession(at)
	if err != nil {
		return nil, nil, err
	}
	defer session.EndSession(ctx)
	ctx = mongo.NewSessionContext(ctx, session)
	h, err := f.readHead(ctx)
	if err != nil {
		return nil, nil, err
	}
	d := &Documents{schema: f.Schema(), version: uint64(h.Version), at: session.SnapshotTime(), found: make(map[changeset.ObjectRef]*Document, len(hints))}
	byClass := d.take(hints, at.T != 0, f.store.opts.Mirror)
	if len(byClass) > 0 && at.T != 0 && clusterTime(session) > at.T+maxLate {
		return nil, nil, errLate
	}
	budget := maxDocumentBytes
	left := map[changeset.ObjectRef]bool{}
	for name, keys := range byClass {
		found, rest, err := f.store.opts.Mirror.ReadUpTo(ctx, d.schema, d.schema.Class(name), keys, budget)
		if err != nil {
			return nil, nil, fmt.Errorf("read documents of %s: %w", name, err)
		}
		for k, doc := range found {
			budget -= len(doc.Raw)
			d.found[changeset.ObjectRef{Class: name, Key: k}] = doc
		}
		for _, k := range rest {
			left[changeset.ObjectRef{Class: name, Key: k}] = true
		}
	}
	if len(left) == 0 {
		return d, nil, nil
	}
	var rest []Hint
	for _, h := range hints {
		if left[h.Ref] {
			rest = append(rest, h)
		}
	}
	return d, rest, nil
}

// take takes the documents that hints tell, if it may, and returns the keys of
// the others by class.
func (d *Documents) take(hints []Hint, mayTell bool, m Mirror) map[string][]changeset.Key {
	untold := map[string][]changeset.Key{}
	for i := len(hints) - 1; i >= 0; i-- {
		h := &hints[i]
		class := d.schema.Class(h.Ref.Class)
		if _, later := d.found[h.Ref]; later || class == nil {
			continue
		}
		var doc *Document
		switch {
		case !h.Told || !mayTell:
			untold[h.Ref.Class] = append(untold[h.Ref.Class], h.Ref.Key)
		case h.Left != nil:
			doc = m.Document(d.schema, class, h.Left)
		}
		d.found[h.Ref] = doc
	}
	for _, keys := range untold {
		slices.Reverse(keys)
	}
	return untold
}

// snapshotSession opens a session that reads as of a cluster time, the zero time
// for now.
func (f *File) snapshotSession(at bson.Timestamp) (*mongo.Session, error) {
	opts := options.Session().SetSnapshot(true)
	if at.T != 0 {
		opts.SetSnapshotTime(at)
	}
	session, err := f.store.opts.Client.StartSession(opts)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	return session, nil
}

// clusterTime is the newest time that the session has heard of, in seconds since
// 1970.
func clusterTime(session *mongo.Session) uint32 {
	t, _, _ := session.ClusterTime().Lookup("$clusterTime", "clusterTime").TimestampOK()
	return t
}

// loadForeign loads the objects of hints that load has passed over. It returns
// those whose documents were read before, with what these were read with.
func (w *work) loadForeign() (of map[changeset.ObjectRef]*Documents, err error) {
	if err := w.freshHolds(); err != nil {
		return nil, err
	}
	of = map[changeset.ObjectRef]*Documents{}
	read := map[string][]*objectWork{} // their documents are
	afresh := map[string][]*objectWork{}
	for _, j := range w.batch.jobs {
		if j.ingest == nil {
			continue
		}
		docs := j.ingest.Documents
		moved, all := map[changeset.ObjectRef]uint64(nil), true
		if docs != nil && docs.schema == w.schema {
			if moved, all, err = docs.follower.movedSince(w.plain, docs, w.head); err != nil {
				return nil, err
			}
		}
		for _, h := range j.ingest.Hints {
			if isPutOff(w.holds, h.Ref.Class) {
				continue
			}
			o := w.add(h.Ref)
			if o == nil {
				continue
			}
			if all || moved[h.Ref] > docs.version {
				afresh[h.Ref.Class] = append(afresh[h.Ref.Class], o)
				continue
			}
			read[h.Ref.Class] = append(read[h.Ref.Class], o)
			o.doc = docs.found[h.Ref]
			of[h.Ref] = docs
		}
	}
	for class, objects := range read {
		if err := w.loadStates(class, objects); err != nil {
			return nil, err
		}
	}
	for class, objects := range afresh {
		if err := w.loadClass(class, objects); err != nil {
			return nil, err
		}
	}
	return of, nil
}

// freshHolds makes sure that a hint is put off only while its class is held,
// whatever this node knew: one put off after a comparison of the class has begun
// would be lost.
func (w *work) freshHolds() error {
	for _, j := range w.batch.jobs {
		if j.ingest == nil {
			continue
		}
		for _, h := range j.ingest.Hints {
			if !isPutOff(w.holds, h.Ref.Class) {
				continue
			}
			var err error
			w.holds, err = w.f.readHolds(w.plain)
			return err
		}
	}
	return nil
}
