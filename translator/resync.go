package translator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// scanAll scans the classes that were never scanned in their present shape, now
// and whenever the schema changes.
func (g *Ingester) scanAll(ctx context.Context) error {
	for {
		s := g.File.Schema()
		for _, name := range s.ClassNames() {
			c := s.Class(name)
			if c.Kind == changeset.Embedded {
				continue
			}
			if err := g.scan(ctx, s, c); err != nil {
				return fmt.Errorf("scan %s: %w", name, err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.schema:
		}
	}
}

// scan compares all documents of a class with its object states, in ranges of
// keys, beside the stream.
func (g *Ingester) scan(ctx context.Context, s *schema.Schema, c *schema.Class) error {
	progress, err := g.File.ReadScan(ctx, c.Name)
	if err != nil {
		return err
	}
	shape := shapeOf(s, c)
	if progress.Shape != shape {
		progress.Shape, progress.Done, progress.After = shape, false, bson.RawValue{}
	}
	if progress.Done {
		return nil
	}
	looked, err := g.compare(ctx, c, progress.After, false, func(last bson.RawValue) error {
		progress.After, progress.Done = last, last.Type == 0
		return g.File.WriteScan(ctx, progress)
	})
	if err == nil && looked > 0 {
		g.Logger.Info("collection compared with the history", "collection", collectionName(c), "documents", looked)
	}
	return err
}

// compare looks at all documents and object states of a class above a key, in
// ranges, and tells done the end of each (the zero value for the last). settles
// is Ingest's. It returns how many keys it looked at.
func (g *Ingester) compare(ctx context.Context, c *schema.Class, after bson.RawValue, settles bool, done func(bson.RawValue) error) (int, error) {
	looked := 0
	if c.KeyNullable && after.Type == 0 {
		// The null key sorts before all others and is in no range of theirs.
		if err := g.look(ctx, c, []changeset.Key{changeset.NullKey}, settles); err != nil {
			return looked, err
		}
	}
	for {
		keys, last, err := g.scanRange(ctx, c, after)
		if err != nil {
			return looked, err
		}
		if err := g.look(ctx, c, keys, settles); err != nil {
			return looked, err
		}
		looked += len(keys)
		if err := done(last); err != nil {
			return looked, err
		}
		if last.Type == 0 {
			return looked, nil
		}
		after = last
	}
}

// look has the history look at documents.
func (g *Ingester) look(ctx context.Context, c *schema.Class, keys []changeset.Key, settles bool) error {
	if len(keys) == 0 {
		return nil
	}
	now := history.Timestamp(time.Now())
	in := &history.Ingest{Hints: make([]history.Hint, len(keys)), Settles: settles}
	for i, k := range keys {
		in.Hints[i] = history.Hint{Ref: changeset.ObjectRef{Class: c.Name, Key: k}, Time: now}
	}
	return g.File.Ingest(ctx, in)
}

// scanRange returns the keys of the documents and the object states in the next
// range above after, and the range's end; the zero value when it has none.
func (g *Ingester) scanRange(ctx context.Context, c *schema.Class, after bson.RawValue) ([]changeset.Key, bson.RawValue, error) {
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$type", Value: idTypes(c)}}}}
	if after.Type != 0 {
		filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}
	}
	cur, err := g.Client.Database(g.Database).Collection(collectionName(c)).Find(ctx, filter, options.Find().
		SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(g.ScanRange)).SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, bson.RawValue{}, fmt.Errorf("read range of %s: %w", collectionName(c), err)
	}
	defer cur.Close(ctx)
	seen := map[changeset.Key]bool{}
	var keys []changeset.Key
	add := func(k changeset.Key) {
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	n := 0
	var last bson.RawValue
	for cur.Next(ctx) {
		n++
		id := cur.Current.Lookup("_id")
		last = bson.RawValue{Type: id.Type, Value: append([]byte(nil), id.Value...)}
		if k, err := KeyFromBSON(c, id); err == nil {
			add(k)
		}
	}
	if err := cur.Err(); err != nil {
		return nil, bson.RawValue{}, fmt.Errorf("read range of %s: %w", collectionName(c), err)
	}
	if n < g.ScanRange {
		// No document above: what is left are states without one.
		last = bson.RawValue{}
	}
	for from := after; ; {
		states, err := g.File.StateKeys(ctx, c.Name, from, last, g.ScanRange)
		if err != nil {
			return nil, bson.RawValue{}, err
		}
		for _, k := range states {
			add(k)
		}
		if len(states) < g.ScanRange {
			return keys, last, nil
		}
		from = KeyToBSON(states[len(states)-1])
	}
}

// idTypes are the BSON types an _id of the class may have.
func idTypes(c *schema.Class) bson.A {
	switch c.KeyType {
	case changeset.Int:
		return bson.A{"int", "long", "double"}
	case changeset.String:
		return bson.A{"string"}
	case changeset.ObjectID:
		return bson.A{"objectId"}
	}
	return bson.A{"binData"}
}

// shapeOf is a text that changes when documents of the class read otherwise.
func shapeOf(s *schema.Schema, c *schema.Class) string {
	var b strings.Builder
	shape(&b, s, c, map[string]bool{})
	return b.String()
}

func shape(b *strings.Builder, s *schema.Schema, c *schema.Class, seen map[string]bool) {
	if seen[c.Name] {
		return
	}
	seen[c.Name] = true
	fmt.Fprintf(b, "%s:", c.Name)
	for _, name := range c.PropertyNames() {
		fmt.Fprintf(b, "%s,", name)
	}
	for _, name := range c.PropertyNames() {
		if p := c.Properties[name]; s.IsEmbedded(p) {
			shape(b, s, s.Class(p.Target), seen)
		}
	}
}
