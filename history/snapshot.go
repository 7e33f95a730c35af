package history

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Snapshot reads head and object states as of one time. It must be closed. It
// can be read for as long as MongoDB keeps the time's snapshot (five minutes by
// default).
type Snapshot struct {
	file    *File
	session *mongo.Session
	db      *mongo.Database
	head    headDoc
	schema  *schema.Schema
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
			sn.schema = f.Schema()
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

// Close ends the snapshot.
func (sn *Snapshot) Close() { sn.session.EndSession(context.Background()) }

// Version and Salt are those of the head that the states belong to.
func (sn *Snapshot) Version() uint64 { return uint64(sn.head.Version) }
func (sn *Snapshot) Salt() uint64    { return uint64(sn.head.Salt) }

// Schema is that of the snapshot or a later one, which has all of its classes.
func (sn *Snapshot) Schema() *schema.Schema { return sn.schema }

// Count returns about how many objects a class has.
func (sn *Snapshot) Count(ctx context.Context, class string) (int64, error) {
	n, err := sn.db.Collection(stateCollection(class)).EstimatedDocumentCount(ctx)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", class, err)
	}
	return n, nil
}

// Scan calls fn with every object of a class, by key. An error of fn ends the
// scan and is returned.
func (sn *Snapshot) Scan(ctx context.Context, class string, fn func(changeset.Key, *object.Object) error) error {
	return sn.States(ctx, class, func(k changeset.Key, o *object.Object, _ []byte) error { return fn(k, o) })
}

// Context returns a context with which documents can be read as of the
// snapshot's time. It must not outlive the snapshot.
func (sn *Snapshot) Context(ctx context.Context) context.Context {
	return mongo.NewSessionContext(ctx, sn.session)
}

// States calls fn with every object of a class, and with the fingerprint of the
// document it corresponds to. An error of fn ends the scan and is returned.
func (sn *Snapshot) States(ctx context.Context, class string, fn func(key changeset.Key, o *object.Object, fingerprint []byte) error) error {
	ctx = sn.Context(ctx)
	cur, err := sn.db.Collection(stateCollection(class)).Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return fmt.Errorf("read states of %s: %w", class, err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		key, st, err := decodeState(sn.schema, class, cur.Current)
		if err != nil {
			return err
		}
		if err := fn(key, st.object, st.fingerprint); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read states of %s: %w", class, err)
	}
	return nil
}
