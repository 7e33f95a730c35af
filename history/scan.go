package history

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
)

// A scan looks at every document and every object state of a class, in ranges
// of keys, by handing them to Ingest as hints. How far each has come is kept in
// the scans collection, so that a scan goes on where it stopped.

type scanID struct {
	File  string `bson:"file"`
	Class string `bson:"class"`
}

// Scan says how far the scan of a class has come.
type Scan struct {
	ID scanID `bson:"_id"`
	// Shape is what of the class documents are read by; a scan of another shape
	// has to begin anew.
	Shape string `bson:"shape"`
	Done  bool   `bson:"done"`
	// After is the last _id looked at; the zero value at the beginning.
	After bson.RawValue `bson:"after,omitempty"`
	// Looked is how many documents and object states were looked at, of about
	// Total.
	Looked int64 `bson:"looked"`
	Total  int64 `bson:"total"`
	// Required are the required properties, those of embedded classes included,
	// of which all documents were asked by a scan that ended.
	Required []Property `bson:"required,omitempty"`
	// Epoch counts how often scans were forgotten; one that was begun before
	// can't say any more how far it came.
	Epoch int64 `bson:"epoch"`
}

// Property names a property of a class.
type Property struct {
	Class string `bson:"class"`
	Name  string `bson:"name"`
}

// ReadScan returns how far the scan of a class has come; one that never began
// has no Shape.
func (f *File) ReadScan(ctx context.Context, class string) (Scan, error) {
	id := scanID{f.name, class}
	var s Scan
	err := f.store.scans.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&s)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return s, fmt.Errorf("read scan of %s: %w", class, err)
	}
	s.ID = id
	return s, nil
}

// WriteScan stores how far a scan has come. The error is ErrScanForgotten when it
// has to begin anew.
func (f *File) WriteScan(ctx context.Context, s Scan) error {
	res, err := f.store.scans.ReplaceOne(ctx, bson.D{{Key: "_id", Value: s.ID}, {Key: "epoch", Value: s.Epoch}}, s, options.Replace().SetUpsert(s.Epoch == 0))
	if mongo.IsDuplicateKeyError(err) || err == nil && res.MatchedCount+res.UpsertedCount == 0 {
		return ErrScanForgotten
	}
	if err != nil {
		return fmt.Errorf("write scan of %s: %w", s.ID.Class, err)
	}
	return nil
}

// ErrScanForgotten: events were missed since the scan began.
var ErrScanForgotten = errors.New("the scan has to begin anew")

// ForgetScans makes every class be scanned again, as when events were missed.
func (f *File) ForgetScans(ctx context.Context) error {
	_, err := f.store.scans.UpdateMany(ctx, bson.D{{Key: "_id.file", Value: f.name}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: "done", Value: false}, {Key: "shape", Value: ""}}},
		{Key: "$inc", Value: bson.D{{Key: "epoch", Value: int64(1)}}},
	})
	if err != nil {
		return fmt.Errorf("forget scans: %w", err)
	}
	return nil
}

// StateKeys returns the keys of a class's object states in order, at most limit:
// those at or above from and below to, either of which may be the zero value.
// They are compared in the order of an index, across types.
func (f *File) StateKeys(ctx context.Context, class string, from, to bson.RawValue, limit int) ([]changeset.Key, error) {
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetHint(bson.D{{Key: "_id", Value: 1}}).
		SetLimit(int64(limit)).SetProjection(bson.D{{Key: "_id", Value: 1}})
	if from.Type != 0 {
		opts.SetMin(bson.D{{Key: "_id", Value: from}})
	}
	if to.Type != 0 {
		opts.SetMax(bson.D{{Key: "_id", Value: to}})
	}
	cur, err := f.store.states(class).Find(ctx, bson.D{}, opts)
	if err != nil {
		return nil, fmt.Errorf("read keys of %s: %w", class, err)
	}
	defer cur.Close(ctx)
	var keys []changeset.Key
	for cur.Next(ctx) {
		k, err := keyOf(cur.Current.Lookup("_id"))
		if err != nil {
			return nil, fmt.Errorf("read keys of %s: %w", class, err)
		}
		keys = append(keys, k)
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("read keys of %s: %w", class, err)
	}
	return keys, nil
}

// CountStates returns how many objects a class has. MongoDB's estimate would not
// do: it may be 0 for a while when it should not, and whether a comparison would
// erase most of a class is judged by this number.
func (f *File) CountStates(ctx context.Context, class string) (int64, error) {
	return f.countStates(ctx, class, math.MaxInt64)
}

// countStates counts no further than to a limit.
func (f *File) countStates(ctx context.Context, class string, limit int64) (int64, error) {
	n, err := f.store.states(class).CountDocuments(ctx, bson.D{}, options.Count().SetHint(bson.D{{Key: "_id", Value: 1}}).SetLimit(limit))
	if err != nil {
		return 0, fmt.Errorf("count states of %s: %w", class, err)
	}
	return n, nil
}

// CountUnchanged returns how many objects of a class there are with those keys that
// nothing has changed after a version.
func (f *File) CountUnchanged(ctx context.Context, class string, keys []changeset.Key, version uint64) (int64, error) {
	ids := make(bson.A, len(keys))
	for i, k := range keys {
		ids[i] = KeyValue(k)
	}
	n, err := f.store.states(class).CountDocuments(ctx, bson.D{
		{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}, {Key: "v", Value: bson.D{{Key: "$lte", Value: int64(version)}}},
	})
	if err != nil {
		return 0, fmt.Errorf("count states of %s: %w", class, err)
	}
	return n, nil
}

// Prepare makes the collections of a class exist again after a drop.
func (f *File) Prepare(ctx context.Context, class string) error {
	c := f.Schema().Class(class)
	if c == nil {
		return fmt.Errorf("unknown class %q", class)
	}
	return f.prepareClass(ctx, c)
}
