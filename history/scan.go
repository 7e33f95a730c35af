package history

import (
	"context"
	"errors"
	"fmt"

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
	// After is the last key looked at; nil at the beginning.
	After bson.RawValue `bson:"after,omitempty"`
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

// WriteScan stores how far a scan has come.
func (f *File) WriteScan(ctx context.Context, s Scan) error {
	_, err := f.store.scans.ReplaceOne(ctx, bson.D{{Key: "_id", Value: s.ID}}, s, options.Replace().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("write scan of %s: %w", s.ID.Class, err)
	}
	return nil
}

// ForgetScans makes every class be scanned again, as when events were missed.
func (f *File) ForgetScans(ctx context.Context) error {
	_, err := f.store.scans.DeleteMany(ctx, bson.D{{Key: "_id.file", Value: f.name}})
	if err != nil {
		return fmt.Errorf("forget scans: %w", err)
	}
	return nil
}

// StateKeys returns the keys of a class's object states in order: those above
// after and up to and with to, either of which may be the zero value.
func (f *File) StateKeys(ctx context.Context, class string, after, to bson.RawValue, limit int) ([]changeset.Key, error) {
	bounds := bson.D{}
	if after.Type != 0 {
		bounds = append(bounds, bson.E{Key: "$gt", Value: after})
	}
	if to.Type != 0 {
		bounds = append(bounds, bson.E{Key: "$lte", Value: to})
	}
	filter := bson.D{}
	if len(bounds) > 0 {
		filter = bson.D{{Key: "_id", Value: bounds}}
	}
	cur, err := f.store.states(class).Find(ctx, filter, options.Find().
		SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)).SetProjection(bson.D{{Key: "_id", Value: 1}}))
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

// CountStates returns about how many objects a class has.
func (f *File) CountStates(ctx context.Context, class string) (int64, error) {
	n, err := f.store.states(class).EstimatedDocumentCount(ctx)
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
