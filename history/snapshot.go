package history

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

// Snapshot reads head and object states as of one time. It must be closed. It
// can be read for as long as MongoDB keeps the time's snapshot (five minutes by
// default); then errors are ErrSnapshotTooOld.
type Snapshot struct {
	file    *File
	session *mongo.Session
	db      *mongo.Database
	head    headDoc

	// Those of the head or later.
	schema    *schema.Schema
	queryable queryable
}

// Snapshot opens a snapshot at the head or later than Head returned before.
func (f *File) Snapshot(ctx context.Context) (*Snapshot, error) {
	known, _ := f.Head()
	for attempt := 0; ; attempt++ {
		sn, err := f.openSnapshot(ctx)
		if err != nil {
			return nil, err
		}
		if uint64(sn.head.Version) >= known {
			// The schema must not be older than the states.
			if err := f.Refresh(ctx); err != nil {
				sn.Close()
				return nil, err
			}
			f.mu.Lock()
			sn.schema, sn.queryable = f.schema, f.queryable
			f.mu.Unlock()
			return sn, nil
		}
		sn.Close()
		if pause(ctx, attempt); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (f *File) openSnapshot(ctx context.Context) (*Snapshot, error) {
	session, err := f.store.opts.Client.StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	sn := &Snapshot{file: f, session: session, db: f.store.opts.Client.Database(f.store.opts.Database)}
	err = sn.db.Collection("heads").FindOne(mongo.NewSessionContext(ctx, session), bson.D{{Key: "_id", Value: f.name}}).Decode(&sn.head)
	if err != nil {
		session.EndSession(ctx)
		return nil, fmt.Errorf("open snapshot: read head: %w", err)
	}
	return sn, nil
}

// Explain makes an error of reading as of a snapshot's time an ErrSnapshotTooOld
// where it is one.
func Explain(err error) error {
	if hasCode(err, codeSnapshotTooOld) {
		return fmt.Errorf("%w: %w", ErrSnapshotTooOld, err)
	}
	return err
}

// Close ends the snapshot.
func (sn *Snapshot) Close() { sn.session.EndSession(context.Background()) }

// Version and Salt are those of the head that the states belong to.
func (sn *Snapshot) Version() uint64 { return uint64(sn.head.Version) }
func (sn *Snapshot) Salt() uint64    { return uint64(sn.head.Salt) }

// Schema is that of the snapshot or a later one, which has all of its classes.
func (sn *Snapshot) Schema() *schema.Schema { return sn.schema }

// Count returns about how many objects of a class Scan calls back with.
func (sn *Snapshot) Count(ctx context.Context, class string, where []*query.Predicate) (int64, error) {
	filter, err := sn.filter(ctx, class, where)
	if err != nil {
		return 0, err
	}
	states := sn.db.Collection(stateCollection(class))
	if len(filter) == 0 {
		n, err := states.EstimatedDocumentCount(ctx)
		if err != nil {
			return 0, fmt.Errorf("count %s: %w", class, err)
		}
		return n, nil
	}
	n, err := states.CountDocuments(sn.Context(ctx), filter)
	if isRefused(err) {
		return sn.Count(ctx, class, nil)
	}
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", class, err)
	}
	return n, nil
}

// Scan calls fn with every object of a class that satisfies one of the
// predicates, and perhaps with others; with all objects where predicates are nil.
// The order is any. An error of fn ends the scan and is returned.
func (sn *Snapshot) Scan(ctx context.Context, class string, where []*query.Predicate, fn func(changeset.Key, *object.Object) error) error {
	filter, err := sn.filter(ctx, class, where)
	if err != nil {
		return err
	}
	cur, err := sn.db.Collection(stateCollection(class)).Find(sn.Context(ctx), filter)
	if len(filter) > 0 && isRefused(err) {
		sn.file.log.Warn("MongoDB can't look for the objects that queries ask for, so all are read", "class", class, "error", err)
		return sn.Scan(ctx, class, nil, fn)
	}
	if err != nil {
		return fmt.Errorf("read states of %s: %w", class, Explain(err))
	}
	return sn.read(ctx, class, cur, func(_ bson.Raw, k changeset.Key, st *state) error { return fn(k, st.object) })
}

// Context returns a context with which documents can be read as of the
// snapshot's time. It must not outlive the snapshot.
func (sn *Snapshot) Context(ctx context.Context) context.Context {
	return mongo.NewSessionContext(ctx, sn.session)
}

// State is an object state as it is stored.
type State struct {
	Key         changeset.Key
	Object      *object.Object
	Fingerprint []byte // of the document it corresponds to
	// Findable: what it holds for queries to find it by is that of its object.
	Findable bool
}

// States calls fn with every object state of a class by key. An error of fn ends
// the scan and is returned.
func (sn *Snapshot) States(ctx context.Context, class string, fn func(State) error) error {
	reached, err := sn.backfilled(ctx, class)
	if err != nil {
		return err
	}
	cur, err := sn.db.Collection(stateCollection(class)).Find(sn.Context(ctx), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return fmt.Errorf("read states of %s: %w", class, Explain(err))
	}
	return sn.read(ctx, class, cur, func(raw bson.Raw, k changeset.Key, st *state) error {
		return fn(State{k, st.object, st.fingerprint, sn.isFindable(class, raw, st.object, reached)})
	})
}

// StatesOf calls fn with the object states of a class that have one of the keys, in
// any order, and with their sizes in bytes. An error of fn ends it and is returned.
func (sn *Snapshot) StatesOf(ctx context.Context, class string, keys []changeset.Key, fn func(st State, size int) error) error {
	reached, err := sn.backfilled(ctx, class)
	if err != nil {
		return err
	}
	cur, err := sn.db.Collection(stateCollection(class)).Find(sn.Context(ctx), withKeys(keys))
	if err != nil {
		return fmt.Errorf("read states of %s: %w", class, Explain(err))
	}
	return sn.read(ctx, class, cur, func(raw bson.Raw, k changeset.Key, st *state) error {
		return fn(State{k, st.object, st.fingerprint, sn.isFindable(class, raw, st.object, reached)}, len(raw))
	})
}

// Stateless returns those of the keys of which a class has no object state.
func (sn *Snapshot) Stateless(ctx context.Context, class string, keys []changeset.Key) ([]changeset.Key, error) {
	ctx = sn.Context(ctx)
	cur, err := sn.db.Collection(stateCollection(class)).Find(ctx, withKeys(keys), options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read keys of %s: %w", class, Explain(err))
	}
	defer cur.Close(ctx)
	has := make(map[changeset.Key]bool, len(keys))
	for cur.Next(ctx) {
		k, err := keyOf(cur.Current.Lookup("_id"))
		if err != nil {
			return nil, fmt.Errorf("read keys of %s: %w", class, err)
		}
		has[k] = true
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("read keys of %s: %w", class, Explain(err))
	}
	var out []changeset.Key
	for _, k := range keys {
		if !has[k] {
			out = append(out, k)
		}
	}
	return out, nil
}

// withKeys matches the object states that have one of the keys. No state has a
// stray one.
func withKeys(keys []changeset.Key) bson.D {
	ids := make(bson.A, 0, len(keys))
	for _, k := range keys {
		if _, stray := StrayID(k); !stray {
			ids = append(ids, KeyValue(k))
		}
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
}

// isFindable reports whether a state holds for queries what its object says, for
// those fields that were queryable when it was written. All states have reached
// a generation; queries do not look further into an older one.
func (sn *Snapshot) isFindable(class string, raw bson.Raw, o *object.Object, reached int) bool {
	generation, _ := raw.Lookup("g").AsInt64OK()
	if generation < int64(reached) || generation > int64(sn.queryable.generation(class)) {
		return false
	}
	then := queryable{class: sn.queryable[class][:generation]}
	want, err := bson.Marshal(sn.file.queryableElems(sn.schema, then, class, o))
	if err != nil {
		return false
	}
	for _, name := range []string{"q", "w"} {
		if !raw.Lookup(name).Equal(bson.Raw(want).Lookup(name)) {
			return false
		}
	}
	return true
}

// read calls fn with the object states of a cursor, as stored and decoded, and
// closes it.
func (sn *Snapshot) read(ctx context.Context, class string, cur *mongo.Cursor, fn func(bson.Raw, changeset.Key, *state) error) error {
	ctx = sn.Context(ctx)
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		key, st, err := decodeState(sn.schema, class, cur.Current)
		if err != nil {
			return err
		}
		if err := fn(cur.Current, key, st); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read states of %s: %w", class, Explain(err))
	}
	return nil
}
