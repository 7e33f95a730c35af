package history

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
)

// A document that can't be mapped is frozen: its object stays on devices as it
// was, nothing is written to it, and it is listed in the unsynced collection
// until a look at it finds it mended.

type unsyncedID struct {
	File  string        `bson:"file"`
	Class string        `bson:"class"`
	Key   bson.RawValue `bson:"key"`
}

type unsyncedDoc struct {
	ID       unsyncedID `bson:"_id"`
	Path     string     `bson:"path"`
	Expected string     `bson:"expected"`
	Found    string     `bson:"found"`
	Reason   string     `bson:"reason"`
	Since    time.Time  `bson:"since"`
}

func (f *File) unsyncedID(ref changeset.ObjectRef) unsyncedID {
	return unsyncedID{f.name, ref.Class, KeyValue(ref.Key)}
}

func (f *File) loadFrozen(ctx context.Context) error {
	cur, err := f.store.unsynced.Find(ctx, bson.D{{Key: "_id.file", Value: f.name}})
	if err != nil {
		return fmt.Errorf("read unsynced documents: %w", err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var d unsyncedDoc
		if err := bson.Unmarshal(cur.Current, &d); err != nil {
			return fmt.Errorf("read unsynced documents: %w", err)
		}
		key, err := keyOf(d.ID.Key)
		if err != nil {
			return fmt.Errorf("read unsynced documents: %w", err)
		}
		f.frozen[changeset.ObjectRef{Class: d.ID.Class, Key: key}] = true
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read unsynced documents: %w", err)
	}
	return nil
}

// Unsynced returns how many documents are frozen.
func (f *File) Unsynced() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.frozen)
}

// writeFrozen lists the documents that the batch found frozen, and strikes off
// those it found mended.
func (w *work) writeFrozen() error {
	var models []mongo.WriteModel
	for _, ref := range w.order {
		o := w.objects[ref]
		w.f.mu.Lock()
		known := w.f.frozen[ref]
		w.f.mu.Unlock()
		filter := bson.D{{Key: "_id", Value: w.f.unsyncedID(ref)}}
		switch {
		case o.frozen != nil:
			models = append(models, mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(bson.D{
				{Key: "$set", Value: bson.D{
					{Key: "path", Value: o.frozen.Path}, {Key: "expected", Value: o.frozen.Expected},
					{Key: "found", Value: o.frozen.Found}, {Key: "reason", Value: o.frozen.Reason},
				}},
				{Key: "$setOnInsert", Value: bson.D{{Key: "since", Value: time.Now()}}},
			}).SetUpsert(true))
		case known:
			models = append(models, mongo.NewDeleteOneModel().SetFilter(filter))
		}
	}
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
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ref := range w.order {
		o := w.objects[ref]
		switch {
		case o.frozen != nil:
			if !f.frozen[ref] {
				f.log.Warn("document can't be synced; its object is frozen until it is mended",
					"class", ref.Class, "key", ref.Key.String(), "reason", o.frozen.Reason)
			}
			f.frozen[ref] = true
		case f.frozen[ref]:
			delete(f.frozen, ref)
			f.log.Info("document is mended and syncs again", "class", ref.Class, "key", ref.Key.String())
		}
	}
}
