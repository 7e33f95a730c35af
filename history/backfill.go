package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// A field that becomes queryable is in the object states written from then on.
// The older ones get it beside that, a few at a time, by whichever node claims
// the class. Until all have it, Snapshot.Scan finds them by their generation.
//
// Every commit after the one that made the field queryable writes it, since the
// head keeps commits that did not know of it from landing. So one walk over the
// class is enough, and an older state is brought up only while it is as it was
// read.

// backfillDoc is how far the object states of a class are.
type backfillDoc struct {
	ID scanID `bson:"_id"`
	// Generation is that which all states have reached.
	Generation int `bson:"generation"`
	// To is the generation that a walk under way brings states to, and After the
	// key it has come to.
	To    int           `bson:"to,omitempty"`
	After bson.RawValue `bson:"after,omitempty"`
	// Claimed is until when the walk belongs to a node. Two nodes at once, after a
	// stop of one, do no harm.
	Claimed time.Time `bson:"claimed,omitempty"`
}

// backfillClaim is for how long a node claims a class. It renews that with every
// batch.
const backfillClaim = 30 * time.Second

// maxIndexes is how many queryable fields of a class have an index: each costs
// with every write.
const maxIndexes = 10

// prepareIndexes makes the indexes of a class's queryable fields exist; outside
// transactions.
func (f *File) prepareIndexes(ctx context.Context, s *schema.Schema, class string, fields []string) error {
	c := s.Class(class)
	if c == nil || c.Kind == changeset.Embedded || len(fields) == 0 {
		return nil
	}
	// Of wide states, which every query has to look at, there are few.
	models := []mongo.IndexModel{{Keys: bson.D{{Key: "w", Value: 1}}, Options: options.Index().SetSparse(true)}}
	for _, field := range fields {
		if p := c.Properties[field]; p == nil || p.Type == changeset.Link {
			continue // nothing looks for an embedded object as a whole
		}
		if len(models) <= maxIndexes {
			models = append(models, mongo.IndexModel{Keys: bson.D{{Key: queryablePrefix + field, Value: 1}}})
		}
	}
	if _, err := f.store.states(class).Indexes().CreateMany(ctx, models); err != nil {
		return fmt.Errorf("index states of %s: %w", class, err)
	}
	return nil
}

// noteBehind tells that object states may lack queryable fields.
func (f *File) noteBehind() {
	select {
	case f.behind <- struct{}{}:
	default:
	}
}

// backfillLoop brings object states up to the queryable fields.
func (f *File) backfillLoop(ctx context.Context) {
	t := time.NewTicker(f.store.opts.TailInterval)
	defer t.Stop()
	reached := map[string]int{} // generations, by class
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.behind:
		case <-t.C:
		}
		err := f.backfillAll(ctx, reached)
		if err != nil && ctx.Err() == nil && !failing {
			f.log.Warn("bringing object states up to the queryable fields fails; bootstraps read more than they need, and it will be tried again", "error", err)
		}
		failing = err != nil
	}
}

// backfillAll brings up the classes of which it is not known that all states
// have reached their generation.
func (f *File) backfillAll(ctx context.Context, reached map[string]int) error {
	f.mu.Lock()
	q := f.queryable
	f.mu.Unlock()
	for class := range q {
		if reached[class] >= q.generation(class) {
			continue
		}
		generation, err := f.backfillClass(ctx, class, q)
		if err != nil {
			return fmt.Errorf("%s: %w", class, err)
		}
		reached[class] = generation
	}
	return nil
}

// backfillClass brings up the states of a class, unless another node is at it.
// It returns the generation that all have reached.
func (f *File) backfillClass(ctx context.Context, class string, q queryable) (int, error) {
	d, err := readBackfill(ctx, f.store.backfills, scanID{f.name, class})
	if err != nil || d.Generation >= q.generation(class) || d.Claimed.After(time.Now()) {
		return d.Generation, err
	}
	if err := f.prepareIndexes(ctx, f.Schema(), class, q[class]); err != nil {
		return d.Generation, err
	}
	ours, err := f.claimBackfill(ctx, &d, q.generation(class))
	if err != nil || !ours {
		return d.Generation, err
	}
	defer f.releaseBackfill(ctx, &d)
	brought := 0
	for {
		start := time.Now()
		n, last, err := f.backfillBatch(ctx, class, d.To, d.After)
		if err != nil {
			return d.Generation, err
		}
		if n == 0 {
			break
		}
		if n == 1 && last.Equal(d.After) {
			return d.Generation, fmt.Errorf("the state with key %v stays as it is", last)
		}
		brought += n
		d.After = last
		if ours, err := f.moveBackfill(ctx, &d); err != nil || !ours {
			return d.Generation, err
		}
		// Commits come first: at most half of the time goes into this.
		t := time.NewTimer(time.Since(start))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return d.Generation, ctx.Err()
		}
	}
	if err := f.endBackfill(ctx, &d); err != nil {
		return d.Generation, err
	}
	if brought > 0 {
		f.log.Info("object states brought up to the queryable fields", "class", class, "fields", q[class], "objects", brought)
	}
	return d.To, nil
}

// backfillBatch brings up the next n states at or above a key, the last of which
// has the key last; none at the end.
func (f *File) backfillBatch(ctx context.Context, class string, generation int, from bson.RawValue) (n int, last bson.RawValue, err error) {
	f.mu.Lock()
	s, q := f.schema, f.queryable
	f.mu.Unlock()
	states := f.store.states(class)
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetHint(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(f.store.opts.Backfill))
	if from.Type != 0 {
		opts.SetMin(bson.D{{Key: "_id", Value: from}})
	}
	cur, err := states.Find(ctx, older(generation), opts)
	if err != nil {
		return 0, last, fmt.Errorf("read states: %w", err)
	}
	defer cur.Close(ctx)
	var models []mongo.WriteModel
	for cur.Next(ctx) {
		_, st, err := decodeState(s, class, cur.Current)
		if err != nil {
			return 0, last, err
		}
		id := cur.Current.Lookup("_id")
		// A key of its own: the cursor's memory is used again.
		last = bson.RawValue{Type: id.Type, Value: append([]byte(nil), id.Value...)}
		models = append(models, f.queryableModel(s, q, class, last, st, older(q.generation(class))))
	}
	if err := cur.Err(); err != nil {
		return 0, last, fmt.Errorf("read states: %w", err)
	}
	if len(models) == 0 {
		return 0, last, nil
	}
	if _, err := states.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
		return 0, last, fmt.Errorf("write states: %w", err)
	}
	return len(models), last, nil
}

// queryableModel is the write that gives a state the queryable fields of its
// object, if it is as it was read and satisfies a filter.
func (f *File) queryableModel(s *schema.Schema, q queryable, class string, id bson.RawValue, st *state, filter bson.D) mongo.WriteModel {
	set := f.queryableElems(s, q, class, st.object)
	gone := bson.D{{Key: "q", Value: ""}, {Key: "w", Value: ""}}
	switch set[len(set)-1].Key {
	case "q":
		gone = gone[1:]
	case "w":
		gone = gone[:1]
	}
	return mongo.NewUpdateOneModel().
		SetFilter(append(filter, bson.E{Key: "_id", Value: id}, bson.E{Key: "v", Value: int64(st.version)})).
		SetUpdate(bson.D{{Key: "$set", Value: set}, {Key: "$unset", Value: gone}})
}

// MendQueryable gives object states of a class the queryable fields of their
// objects anew.
func (f *File) MendQueryable(ctx context.Context, class string, keys []changeset.Key) error {
	f.mu.Lock()
	s, q := f.schema, f.queryable
	f.mu.Unlock()
	var models []mongo.WriteModel
	err := f.readStates(ctx, s, class, keys, func(ref changeset.ObjectRef, st *state) {
		models = append(models, f.queryableModel(s, q, class, KeyValue(ref.Key), st, nil))
	})
	if err != nil {
		return err
	}
	if len(models) == 0 {
		return nil
	}
	if _, err := f.store.states(class).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("write states of %s: %w", class, err)
	}
	return nil
}

// older matches object states of an earlier generation.
func older(generation int) bson.D {
	return bson.D{{Key: "g", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gte", Value: generation}}}}}}
}

// readBackfill reads how far a class is.
func readBackfill(ctx context.Context, backfills *mongo.Collection, id scanID) (backfillDoc, error) {
	d := backfillDoc{ID: id}
	err := backfills.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&d)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return d, fmt.Errorf("read how far the states of %s are: %w", id.Class, Explain(err))
	}
	return d, nil
}

// claimBackfill claims a class for a walk, and reports whether it did. The walk
// goes on where an earlier one to the same generation was left.
func (f *File) claimBackfill(ctx context.Context, d *backfillDoc, to int) (bool, error) {
	if d.To != to {
		d.To, d.After = to, bson.RawValue{}
	}
	filter := bson.D{{Key: "_id", Value: d.ID}, {Key: "claimed", Value: d.Claimed}}
	if d.Claimed.IsZero() {
		filter[1].Value = nil
	}
	d.Claimed = time.Now().Add(backfillClaim)
	res, err := f.store.backfills.ReplaceOne(ctx, filter, d, options.Replace().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim the states of %s: %w", d.ID.Class, err)
	}
	return res.MatchedCount+res.UpsertedCount > 0, nil
}

// moveBackfill stores how far a walk has come, and reports whether it is still to
// be gone on with.
func (f *File) moveBackfill(ctx context.Context, d *backfillDoc) (bool, error) {
	res, err := f.store.backfills.UpdateOne(ctx, bson.D{{Key: "_id", Value: d.ID}, {Key: "to", Value: d.To}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "after", Value: d.After}, {Key: "claimed", Value: time.Now().Add(backfillClaim)}}}})
	if err != nil {
		return false, fmt.Errorf("store how far the states of %s are: %w", d.ID.Class, err)
	}
	return res.MatchedCount > 0, nil
}

// endBackfill stores that a walk has come to its end. One to a later generation,
// which has taken its place, is left alone.
func (f *File) endBackfill(ctx context.Context, d *backfillDoc) error {
	_, err := f.store.backfills.UpdateOne(ctx, bson.D{{Key: "_id", Value: d.ID}, {Key: "to", Value: d.To}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: "generation", Value: d.To}}},
		{Key: "$unset", Value: bson.D{{Key: "to", Value: ""}, {Key: "after", Value: ""}, {Key: "claimed", Value: ""}}},
	})
	if err != nil {
		return fmt.Errorf("store how far the states of %s are: %w", d.ID.Class, err)
	}
	return nil
}

// releaseBackfill gives a class up that a walk has been broken off in, so that
// any node may go on with it at once.
func (f *File) releaseBackfill(ctx context.Context, d *backfillDoc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	// Should it fail, the claim ends by itself.
	_, _ = f.store.backfills.UpdateOne(ctx, bson.D{{Key: "_id", Value: d.ID}, {Key: "to", Value: d.To}},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "claimed", Value: ""}}}})
}
