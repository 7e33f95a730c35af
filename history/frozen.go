package history

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// A document that can't be mapped is frozen: its object, if there is one, stays
// on devices as it was, nothing is written to it, and it is listed in the
// unsynced collection until a look at it finds it mended or gone.

type unsyncedID struct {
	File  string        `bson:"file"`
	Class string        `bson:"class"`
	Key   bson.RawValue `bson:"key"` // the document's _id
}

type unsyncedDoc struct {
	ID       unsyncedID `bson:"_id"`
	Stray    bool       `bson:"stray"`  // the _id can't be a key of the class
	Object   bool       `bson:"object"` // there is an object of that key
	Path     string     `bson:"path"`
	Expected string     `bson:"expected"`
	Found    string     `bson:"found"`
	Reason   string     `bson:"reason"`
	Since    time.Time  `bson:"since"`
}

func (f *File) unsyncedID(ref changeset.ObjectRef) unsyncedID {
	return unsyncedID{f.name, ref.Class, documentID(ref.Key)}
}

// ref names the document as hints do.
func (d *unsyncedDoc) ref() (changeset.ObjectRef, error) {
	if d.Stray {
		return changeset.ObjectRef{Class: d.ID.Class, Key: StrayKey(d.ID.Key)}, nil
	}
	key, err := keyOf(d.ID.Key)
	return changeset.ObjectRef{Class: d.ID.Class, Key: key}, err
}

// UnsyncedDocument is a document that can't be synced, and why.
type UnsyncedDocument struct {
	Class      string
	Collection string
	ID         bson.RawValue // its _id
	Key        string        // the same for people
	// Frozen: it was synced before, and devices keep its object as it was then.
	// Otherwise devices don't have it.
	Frozen   bool
	Path     string // dotted path of what does not fit; empty for the whole document
	Expected string
	Found    string
	Reason   string // the whole sentence, for people
	Since    time.Time
}

// ListUnsynced returns the documents that can't be synced, by class and _id, as
// all nodes have found them.
func (f *File) ListUnsynced(ctx context.Context) ([]UnsyncedDocument, error) {
	var out []UnsyncedDocument
	s := f.Schema()
	err := f.eachUnsynced(ctx, "", func(d *unsyncedDoc) error {
		ref, err := d.ref()
		if err != nil {
			return err
		}
		u := UnsyncedDocument{
			Class: d.ID.Class, Collection: d.ID.Class, ID: d.ID.Key, Key: documentText(ref.Key), Frozen: d.Object,
			Path: d.Path, Expected: d.Expected, Found: d.Found, Reason: d.Reason, Since: d.Since,
		}
		if c := s.Class(u.Class); c != nil && c.Collection != "" {
			u.Collection = c.Collection
		}
		out = append(out, u)
		return nil
	})
	return out, err
}

// UnsyncedHints returns a hint at each document of a class that can't be
// synced, so that those that are gone are struck off.
func (f *File) UnsyncedHints(ctx context.Context, class string) ([]Hint, error) {
	var out []Hint
	now := Timestamp(time.Now())
	err := f.eachUnsynced(ctx, class, func(d *unsyncedDoc) error {
		ref, err := d.ref()
		out = append(out, Hint{Ref: ref, Time: now})
		return err
	})
	return out, err
}

// eachUnsynced calls fn with what is listed of a class, of all when it is empty.
func (f *File) eachUnsynced(ctx context.Context, class string, fn func(*unsyncedDoc) error) error {
	filter := bson.D{{Key: "_id.file", Value: f.name}}
	if class != "" {
		filter = append(filter, bson.E{Key: "_id.class", Value: class})
	}
	cur, err := f.store.unsynced.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return fmt.Errorf("read unsynced documents: %w", err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var d unsyncedDoc
		if err := bson.Unmarshal(cur.Current, &d); err != nil {
			return fmt.Errorf("read unsynced documents: %w", err)
		}
		if err := fn(&d); err != nil {
			return fmt.Errorf("read unsynced documents: %w", err)
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read unsynced documents: %w", err)
	}
	return nil
}

// CountUnsynced returns how many documents of each class can't be synced, as all
// nodes have found them.
func (f *File) CountUnsynced(ctx context.Context) (map[string]int64, error) {
	cur, err := f.store.unsynced.Aggregate(ctx, mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "_id.file", Value: f.name}}}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$_id.class"}, {Key: "n", Value: bson.D{{Key: "$sum", Value: int64(1)}}}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("count unsynced documents: %w", err)
	}
	var rows []struct {
		Class string `bson:"_id"`
		N     int64  `bson:"n"`
	}
	if err := cur.All(ctx, &rows); err != nil {
		return nil, fmt.Errorf("count unsynced documents: %w", err)
	}
	out := map[string]int64{}
	for _, r := range rows {
		out[r.Class] = r.N
	}
	return out, nil
}

// Unsynced returns how many documents this node knows to be unsynced: all of
// them on the node that ingests.
func (f *File) Unsynced() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.frozen)
}

// unsyncedOf is Unsynced for one class.
func (f *File) unsyncedOf(class string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for ref := range f.frozen {
		if ref.Class == class {
			n++
		}
	}
	return n
}

// ReloadUnsynced reads which documents are unsynced, as whoever begins to ingest
// has to know: another node has listed them.
func (f *File) ReloadUnsynced(ctx context.Context) error {
	f.advance.Lock()
	defer f.advance.Unlock()
	return f.loadFrozen(ctx)
}

func (f *File) loadFrozen(ctx context.Context) error {
	frozen := map[changeset.ObjectRef]bool{}
	err := f.eachUnsynced(ctx, "", func(d *unsyncedDoc) error {
		ref, err := d.ref()
		frozen[ref] = true
		return err
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.frozen = frozen
	f.mu.Unlock()
	return nil
}

// maxListedKey is the size in bytes of the largest _id that is listed. A document
// that has nothing else may have a slightly larger one: it is in the log only.
const maxListedKey = 8 << 20

// writeFrozen lists the documents that the batch found frozen, and strikes off
// those it found mended or gone.
func (w *work) writeFrozen() error {
	var models []mongo.WriteModel
	w.f.mu.Lock()
	for _, ref := range w.order {
		o := w.objects[ref]
		switch {
		case o.frozen != nil && len(ref.Key.Str) > maxListedKey:
		case o.frozen != nil:
			_, stray := StrayID(ref.Key)
			models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: w.f.unsyncedID(ref)}}).SetUpdate(bson.D{
				{Key: "$set", Value: bson.D{
					{Key: "stray", Value: stray}, {Key: "object", Value: o.state.object != nil},
					{Key: "path", Value: o.frozen.Path}, {Key: "expected", Value: o.frozen.Expected},
					{Key: "found", Value: o.frozen.Found}, {Key: "reason", Value: o.frozen.Reason},
				}},
				{Key: "$setOnInsert", Value: bson.D{{Key: "since", Value: time.Now()}}},
			}).SetUpsert(true))
		case w.f.frozen[ref]:
			models = append(models, mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: w.f.unsyncedID(ref)}}))
		}
	}
	w.f.mu.Unlock()
	if len(models) == 0 {
		return nil
	}
	if _, err := w.f.store.unsynced.BulkWrite(w.ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("write unsynced documents: %w", err)
	}
	return nil
}

// noteFrozen takes over in memory what writeFrozen wrote.
func (f *File) noteFrozen(w *work) {
	var more, fewer int
	var first *objectWork
	f.mu.Lock()
	for _, ref := range w.order {
		o := w.objects[ref]
		switch {
		case o.frozen != nil && !f.frozen[ref]:
			f.frozen[ref] = true
			if more++; first == nil {
				first = o
			}
		case o.frozen == nil && f.frozen[ref]:
			delete(f.frozen, ref)
			fewer++
		}
	}
	all := len(f.frozen)
	f.mu.Unlock()
	// A line for each document would be a flood where a whole collection does
	// not fit.
	if more > 0 {
		f.log.Warn("documents can't be synced; their objects are frozen until they are mended", "documents", more, "unsynced", all,
			"first", first.ref.Class+" "+documentText(first.ref.Key), "reason", first.frozen.Reason)
	}
	if fewer > 0 {
		f.log.Info("unsynced documents are mended or gone", "documents", fewer, "unsynced", all)
	}
}

// maxObjectBytes bounds an object in the encoding that object states keep it in:
// a state is one MongoDB document, and so is an entry of it in a client's own
// store.
const maxObjectBytes = 16<<20 - 64<<10

// surelySmall is the size of a document whose object is measured no more. An
// instruction names its object each time, and may be several times the size of
// its BSON element.
const surelySmall = maxObjectBytes / 16

// IsTooLarge reports whether an object is too large to be kept, given that its
// document has so many bytes.
func IsTooLarge(s *schema.Schema, ref changeset.ObjectRef, o *object.Object, document int) bool {
	// The key is the _id of the state, too, and the oplog names that beside the state.
	return document > surelySmall && len(encodeObject(s, ref, o))+2*len(ref.Key.Str) > maxObjectBytes
}

// transactionSize is what is expected of a document that is too large for a
// transaction.
const transactionSize = "what MongoDB takes in one transaction"

// ListedTooLarge returns those of some documents of a class that are unsynced since
// MongoDB does not take them in one transaction. From the documents alone nobody can
// tell.
func (f *File) ListedTooLarge(ctx context.Context, class string, keys []changeset.Key) (map[changeset.Key]bool, error) {
	ids := make(bson.A, len(keys))
	for i, k := range keys {
		ids[i] = f.unsyncedID(changeset.ObjectRef{Class: class, Key: k})
	}
	cur, err := f.store.unsynced.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "expected", Value: transactionSize}})
	if err != nil {
		return nil, fmt.Errorf("read unsynced documents: %w", err)
	}
	var listed []unsyncedDoc
	if err := cur.All(ctx, &listed); err != nil {
		return nil, fmt.Errorf("read unsynced documents: %w", err)
	}
	out := make(map[changeset.Key]bool, len(listed))
	for i := range listed {
		ref, err := listed[i].ref()
		if err != nil {
			return nil, fmt.Errorf("read unsynced documents: %w", err)
		}
		out[ref.Key] = true
	}
	return out, nil
}

// freezeTooLarge freezes documents whose objects can't be kept.
func (w *work) freezeTooLarge() {
	for _, ref := range w.order {
		o := w.objects[ref]
		if o.doc == nil || o.frozen != nil {
			continue
		}
		if w.batch.tooLarge[ref] {
			o.frozen = &Unsynced{
				Expected: transactionSize, Found: fmt.Sprintf("a document of %d bytes", len(o.doc.Raw)),
				Reason: fmt.Sprintf("the document, of %d bytes, is larger than MongoDB takes in one transaction; %s", len(o.doc.Raw), tooLargeHint),
			}
			continue
		}
		if !IsTooLarge(w.schema, ref, o.doc.Object, len(o.doc.Raw)) {
			continue
		}
		o.frozen = &Unsynced{
			Expected: fmt.Sprintf("at most %d bytes as an object", maxObjectBytes), Found: fmt.Sprintf("a document of %d bytes", len(o.doc.Raw)),
			Reason: fmt.Sprintf("the document, of %d bytes, is too large to be kept as an object", len(o.doc.Raw)),
		}
	}
}
