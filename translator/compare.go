package translator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// comparer compares classes with their collections: it looks at every document,
// object state and listed unsynced document, and has the history commit what
// differs. It needs no lease, and may run beside a stream and other comparisons.
type comparer struct {
	db        *mongo.Database // of the synced collections
	file      *history.File
	scanRange int
}

// scanned is a range of a class that is read and not committed yet.
type scanned struct {
	hints []history.Hint
	docs  *history.Documents
	// Of the hints that end a range: its end, the zero value for the last one, and
	// how many documents and object states it has.
	whole bool
	last  bson.RawValue
	size  int
}

// compare looks at all of a class above an _id, in the order of _id across
// types, and calls done after each range with its end (the zero value for the
// last) and how many documents and object states it had. The next range is read
// while one is committed. id is the identity of the collection, taken before it
// was judged that comparing it erases nothing that nobody meant to erase.
func (r *comparer) compare(ctx context.Context, c *schema.Class, id string, after bson.RawValue, done func(last bson.RawValue, looked int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ranges := make(chan scanned, 1)
	group.Go(func() error {
		defer close(ranges)
		return r.readRanges(ctx, c, id, after, ranges)
	})
	group.Go(func() error {
		for s := range ranges {
			if len(s.hints) > 0 {
				if err := r.file.Ingest(ctx, &history.Ingest{Hints: s.hints, Documents: s.docs}); err != nil {
					return err
				}
			}
			if s.whole {
				if err := done(s.last, s.size); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return group.Wait()
}

func (r *comparer) readRanges(ctx context.Context, c *schema.Class, id string, after bson.RawValue, to chan<- scanned) error {
	collated, err := r.isCollated(ctx, c)
	if err != nil {
		return err
	}
	follower := r.file.NewFollower()
	for {
		keys, last, err := r.readRange(ctx, c, after, collated)
		if err != nil {
			return err
		}
		now := history.Timestamp(time.Now())
		hints := make([]history.Hint, len(keys))
		for i, k := range keys {
			hints[i] = history.Hint{Ref: changeset.ObjectRef{Class: c.Name, Key: k}, Time: now}
		}
		if last.Type == 0 {
			// What is listed and neither a document nor an object any more is
			// struck off.
			listed, err := r.file.UnsyncedHints(ctx, c.Name)
			if err != nil {
				return err
			}
			hints = append(hints, listed...)
		}
		err = readPieces(ctx, follower, hints, bson.Timestamp{}, func(hints []history.Hint, docs *history.Documents, whole bool) error {
			if docs.Lacks(hints) {
				if err := r.stillIs(ctx, c, id); err != nil {
					return err
				}
			}
			select {
			case to <- scanned{hints, docs, whole, last, len(keys)}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return err
		}
		if last.Type == 0 {
			return nil
		}
		after = last
	}
}

// errReplaced: what a comparison found missing may be so because the whole
// collection went meanwhile. That is for the guard to judge.
var errReplaced = errors.New("the collection was dropped or replaced meanwhile")

// stillIs returns errReplaced if the class's collection is another one than it
// was.
func (r *comparer) stillIs(ctx context.Context, c *schema.Class, id string) error {
	now, err := r.identity(ctx, c)
	if err == nil && now != id {
		err = errReplaced
	}
	return err
}

// identity tells a collection from others that had or get its name; empty if
// there is none.
func (r *comparer) identity(ctx context.Context, c *schema.Class) (string, error) {
	specs, err := r.db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: collectionName(c)}})
	if err != nil {
		return "", fmt.Errorf("look for collection %s: %w", collectionName(c), err)
	}
	if len(specs) == 0 || specs[0].UUID == nil {
		return "", nil
	}
	return string(specs[0].UUID.Data), nil
}

// readPieces reads the documents of hints as of a time, the zero time for now,
// in pieces that memory holds. whole is true for the last of them.
func readPieces(ctx context.Context, from *history.Follower, hints []history.Hint, at bson.Timestamp,
	fn func(hints []history.Hint, docs *history.Documents, whole bool) error) error {
	for {
		docs, rest, err := from.ReadDocuments(ctx, hints, at)
		if err != nil {
			return err
		}
		if len(rest) == 0 {
			return fn(hints, docs, true)
		}
		left := make(map[changeset.ObjectRef]bool, len(rest))
		for _, h := range rest {
			left[h.Ref] = true
		}
		piece := make([]history.Hint, 0, len(hints)-len(rest))
		for _, h := range hints {
			if !left[h.Ref] {
				piece = append(piece, h)
			}
		}
		if err := fn(piece, docs, false); err != nil {
			return err
		}
		hints = rest
	}
}

// readRange returns the keys of the documents and the object states in the next
// range above after, and the range's end; the zero value when it has none.
// Documents are taken in the order of the index on _id: what _id a document has
// is not for the class to say. Where a collation makes that another order than that
// of object states, the states come behind all documents.
func (r *comparer) readRange(ctx context.Context, c *schema.Class, after bson.RawValue, collated bool) ([]changeset.Key, bson.RawValue, error) {
	limit := max(r.scanRange, 2)
	if after.Type == bson.TypeArray {
		return r.readStateRange(ctx, c, after, limit)
	}
	ids, more, err := r.documentIDs(ctx, c, after, limit)
	if err != nil {
		return nil, bson.RawValue{}, err
	}
	seen := make(map[changeset.Key]bool, len(ids))
	keys := make([]changeset.Key, 0, len(ids))
	add := func(k changeset.Key) {
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	for _, id := range ids {
		add(documentKey(c, id))
	}
	var last bson.RawValue
	if more {
		last = ids[len(ids)-1]
	} else if collated {
		last = behindDocuments()
	}
	if collated {
		return keys, last, nil
	}
	for from := after; ; {
		states, err := r.file.StateKeys(ctx, c.Name, from, last, limit)
		if err != nil {
			return nil, bson.RawValue{}, err
		}
		for _, k := range states {
			add(k)
		}
		if len(states) < limit {
			return keys, last, nil
		}
		from = KeyToBSON(states[len(states)-1])
	}
}

// behindDocuments is where a comparison is that has done all documents, and object
// states up to a key, if there is one. No _id is an array.
func behindDocuments(key ...bson.RawValue) bson.RawValue {
	b := bsoncore.NewArrayBuilder()
	for _, k := range key {
		b.AppendValue(bsoncore.Value{Type: bsoncore.Type(k.Type), Data: k.Value})
	}
	return bson.RawValue{Type: bson.TypeArray, Value: b.Build()}
}

// readStateRange is readRange behind all documents: of the object states it returns
// those that have none.
func (r *comparer) readStateRange(ctx context.Context, c *schema.Class, after bson.RawValue, limit int) ([]changeset.Key, bson.RawValue, error) {
	var from bson.RawValue
	if keys, err := after.Array().Values(); err == nil && len(keys) > 0 {
		from = keys[0]
	}
	keys, err := r.file.StateKeys(ctx, c.Name, from, bson.RawValue{}, limit)
	if err != nil {
		return nil, bson.RawValue{}, err
	}
	var last bson.RawValue
	if len(keys) == limit {
		last = behindDocuments(KeyToBSON(keys[limit-1]))
	}
	if len(keys) > 0 && KeyToBSON(keys[0]).Equal(from) {
		keys = keys[1:] // it was in the range before
	}
	keys, err = r.missing(ctx, c, keys)
	return keys, last, err
}

// isCollated reports whether the class's collection has a collation of its own.
func (r *comparer) isCollated(ctx context.Context, c *schema.Class) (bool, error) {
	specs, err := r.db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: collectionName(c)}})
	if err != nil {
		return false, fmt.Errorf("look for collection %s: %w", collectionName(c), err)
	}
	return len(specs) > 0 && specs[0].Options.Lookup("collation").Type != 0, nil
}

// maxIDs bounds the _ids of one range, in bytes.
const maxIDs = 4 << 20

// documentIDs returns the next _ids above after, and whether there may be more.
func (r *comparer) documentIDs(ctx context.Context, c *schema.Class, after bson.RawValue, limit int) (ids []bson.RawValue, more bool, err error) {
	byID := bson.D{{Key: schema.KeyField, Value: 1}}
	opts := options.Find().SetSort(byID).SetHint(byID).SetProjection(byID).SetLimit(int64(limit))
	if after.Type != 0 {
		// The bound of an index scan, unlike $gt, does not end at the type's.
		opts.SetMin(bson.D{{Key: schema.KeyField, Value: after}}).SetLimit(int64(limit) + 1)
	}
	cur, err := r.db.Collection(collectionName(c)).Find(ctx, bson.D{}, opts)
	if err != nil {
		return nil, false, fmt.Errorf("read range of %s: %w", collectionName(c), err)
	}
	defer cur.Close(ctx)
	size := 0
	for cur.Next(ctx) {
		id := cur.Current.Lookup(schema.KeyField)
		if id.Type == after.Type && bytes.Equal(id.Value, after.Value) {
			continue
		}
		ids = append(ids, bson.RawValue{Type: id.Type, Value: bytes.Clone(id.Value)})
		if size += len(id.Value); len(ids) == limit || size > maxIDs {
			return ids, true, nil
		}
	}
	if err := cur.Err(); err != nil {
		return nil, false, fmt.Errorf("read range of %s: %w", collectionName(c), err)
	}
	return ids, false, nil
}

// total is about how much a comparison of the class will look at.
func (r *comparer) total(ctx context.Context, c *schema.Class) (int64, error) {
	docs, err := r.count(ctx, c)
	if err != nil {
		return 0, err
	}
	states, err := r.file.CountStates(ctx, c.Name)
	return max(docs, states), err
}

// count is about how many documents the class's collection has.
func (r *comparer) count(ctx context.Context, c *schema.Class) (int64, error) {
	n, err := r.db.Collection(collectionName(c)).EstimatedDocumentCount(ctx)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", collectionName(c), err)
	}
	return n, nil
}

// losses says how much of a class comparing it would erase: of so many objects,
// so many have no document.
type losses struct {
	gone, there, states int64
	missing             []changeset.Key // the first of those without a document
}

// most reports whether it is more than half.
func (l losses) most() bool { return 2*l.gone > l.gone+l.there }

// askable reports whether an operator has to be asked before a class that nobody
// is known to have dropped is compared: most of many objects would go, or all.
func (l losses) askable() bool {
	return l.most() && (l.there == 0 || l.gone >= guardedLosses)
}

// guardedLosses is the number of objects from which losing more than half of a
// class is asked about.
const guardedLosses = 100

// reason is why the class is held, for people.
func (l losses) reason() string {
	return fmt.Sprintf("more than half of its %d objects have no document", l.states)
}

// losses counts what comparing a class would erase: all of it, or until more than
// half are found to have a document, or to have none.
func (r *comparer) losses(ctx context.Context, c *schema.Class, all bool) (losses, error) {
	var l losses
	states, err := r.file.CountStates(ctx, c.Name)
	if err != nil || states == 0 {
		return l, err
	}
	l.states = states
	var from bson.RawValue
	for {
		keys, err := r.file.StateKeys(ctx, c.Name, from, bson.RawValue{}, lossRange)
		if err != nil {
			return l, err
		}
		more := len(keys) == lossRange
		if from.Type != 0 && len(keys) > 0 {
			keys = keys[1:] // the bound, which was counted
		}
		missing, err := r.missing(ctx, c, keys)
		if err != nil {
			return l, err
		}
		l.there += int64(len(keys) - len(missing))
		l.gone += int64(len(missing))
		l.missing = append(l.missing, missing[:min(len(missing), lossRange-len(l.missing))]...)
		if !more || !all && (2*l.there > states || 2*l.gone > states) {
			return l, nil
		}
		from = KeyToBSON(keys[len(keys)-1])
	}
}

// lossRange is how many keys are looked for at a time.
const lossRange = 2000

// missing returns those of the keys that have no documents.
func (r *comparer) missing(ctx context.Context, c *schema.Class, keys []changeset.Key) ([]changeset.Key, error) {
	ids := make(bson.A, len(keys))
	for i, k := range keys {
		ids[i] = KeyToBSON(k)
	}
	cur, err := r.db.Collection(collectionName(c)).Find(ctx, bson.D{{Key: schema.KeyField, Value: bson.D{{Key: "$in", Value: ids}}}},
		options.Find().SetProjection(bson.D{{Key: schema.KeyField, Value: 1}}).SetBatchSize(lossRange))
	if err != nil {
		return nil, fmt.Errorf("look for documents of %s: %w", collectionName(c), err)
	}
	defer cur.Close(ctx)
	there := make(map[changeset.Key]bool, len(keys))
	for cur.Next(ctx) {
		there[documentKey(c, cur.Current.Lookup(schema.KeyField))] = true
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("look for documents of %s: %w", collectionName(c), err)
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k changeset.Key) bool { return there[k] }), nil
}
