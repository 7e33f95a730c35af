package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

const keyField = schema.KeyField

// schemaDoc is a document of the schema collection: the classes as the
// changeset that makes them, and what instructions can't say of them.
type schemaDoc struct {
	File      string              `bson:"_id"`
	Classes   []byte              `bson:"classes"`
	Details   []classDoc          `bson:"details"`
	Queryable map[string][]string `bson:"queryable"`
}

type classDoc struct {
	Class      string   `bson:"class"`
	Collection string   `bson:"collection,omitempty"`
	Int32      []string `bson:"int32,omitempty"`
}

func encodeSchema(file string, s *schema.Schema, q queryable) schemaDoc {
	d := schemaDoc{File: file, Classes: changeset.Encode(s.Instructions()), Queryable: q}
	for _, c := range s.Classes {
		cd := classDoc{Class: c.Name, Collection: c.Collection}
		for _, p := range c.Properties {
			if p.Int32 {
				cd.Int32 = append(cd.Int32, p.Name)
			}
		}
		if cd.Collection != "" || cd.Int32 != nil {
			slices.Sort(cd.Int32)
			d.Details = append(d.Details, cd)
		}
	}
	return d
}

// loadSchema takes up the schema and the queryable fields as of the newest commit.
// Those who read entries do that beside the committer. Whoever has read them before
// another took up some reads them again: they may be older, and the next commit would
// store them so.
func (f *File) loadSchema(ctx context.Context) error {
	for {
		f.mu.Lock()
		before := f.schemas
		f.mu.Unlock()
		s, q, err := f.readSchema(ctx)
		if err != nil {
			return err
		}
		f.mu.Lock()
		newest := f.schemas == before
		if newest {
			f.takeSchema(s, q)
		}
		f.mu.Unlock()
		if newest {
			return nil
		}
	}
}

// readSchema reads the schema and the queryable fields as of the newest commit.
func (f *File) readSchema(ctx context.Context) (*schema.Schema, queryable, error) {
	var d schemaDoc
	err := f.store.schemas.FindOne(ctx, bson.D{{Key: "_id", Value: f.name}}).Decode(&d)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil, fmt.Errorf("read schema: %w", err)
	}
	s := &schema.Schema{Classes: map[string]*schema.Class{}}
	cs, err := changeset.Decode(d.Classes)
	if err != nil {
		return nil, nil, fmt.Errorf("read schema: %w", err)
	}
	for i := range cs {
		if _, err := s.Apply(&cs[i]); err != nil {
			return nil, nil, fmt.Errorf("read schema: %w", err)
		}
	}
	for _, cd := range d.Details {
		c := s.Class(cd.Class)
		if c == nil {
			continue
		}
		c.Collection = cd.Collection
		for _, name := range cd.Int32 {
			if p := c.Properties[name]; p != nil {
				p.Int32 = true
			}
		}
	}
	addDefaults(s, f.store.opts.Schema)
	q := queryable{}
	for class, fields := range d.Queryable {
		q[class] = fields
	}
	return s, q, nil
}

// setSchema takes up what a commit has stored.
func (f *File) setSchema(s *schema.Schema, q queryable) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takeSchema(s, q)
}

// takeSchema is for who holds mu.
func (f *File) takeSchema(s *schema.Schema, q queryable) {
	f.schema, f.queryable = s, q
	f.schemas++
	f.noteBehind()
}

// addDefaults takes over what only the configuration says of a class.
func addDefaults(s, configured *schema.Schema) {
	if configured == nil {
		return
	}
	for name, have := range configured.Classes {
		c := s.Class(name)
		if c == nil {
			continue
		}
		for _, p := range have.Properties {
			if to := c.Properties[p.Name]; to != nil {
				to.Default = p.Default
			}
		}
	}
}

// configure brings the stored schema up to the configured one.
func (f *File) configure(ctx context.Context) error {
	f.mu.Lock()
	have, queryable := f.schema, f.queryable
	f.mu.Unlock()
	merged, q, changed, err := f.configured(have, queryable)
	if err != nil {
		return err
	}
	for name, c := range merged.Classes {
		if err := f.prepareClass(ctx, c); err != nil {
			return err
		}
		if err := f.prepareIndexes(ctx, merged, name, q[name]); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	return f.submitAndWait(ctx, &job{configure: true})
}

// configured returns the schema and the queryable fields with what is configured,
// and whether that is anything new.
func (f *File) configured(s *schema.Schema, have queryable) (merged *schema.Schema, q queryable, changed bool, err error) {
	want := f.store.opts.Schema
	if want == nil {
		want = &schema.Schema{}
	}
	merged = s.Clone()
	for _, in := range want.Instructions() {
		c, err := merged.Apply(&in)
		if err != nil {
			return nil, nil, false, fmt.Errorf("the configured schema and the one in use differ: %w", err)
		}
		changed = changed || c
	}
	for name, c := range want.Classes {
		to := merged.Classes[name]
		if to.Collection != c.Collection {
			to.Collection, changed = c.Collection, true
		}
		for _, p := range c.Properties {
			if q := to.Properties[p.Name]; q.Int32 != p.Int32 {
				q.Int32, changed = p.Int32, true
			}
		}
	}
	addDefaults(merged, want)
	if err := merged.CheckCollections(); err != nil {
		return nil, nil, false, fmt.Errorf("the configured schema and the one in use differ: %w", err)
	}
	q = f.globalQueryable(merged, have)
	return merged, q, changed || !maps.EqualFunc(q, have, slices.Equal), nil
}

// prepareClass makes the collections of a class exist: inside a transaction
// that would take locks.
func (f *File) prepareClass(ctx context.Context, c *schema.Class) error {
	if c.Kind == changeset.Embedded {
		return nil
	}
	if err := createCollection(ctx, f.store.db, stateCollection(c.Name)); err != nil {
		return err
	}
	return f.store.opts.Mirror.Prepare(ctx, c)
}

// globalQueryable adds the fields that are queryable in every class to a class
// that has just been learned.
func (f *File) globalQueryable(s *schema.Schema, q queryable) queryable {
	for name, c := range s.Classes {
		if c.Kind != changeset.TopLevel {
			continue
		}
		var fields []string
		for _, field := range f.store.opts.QueryableFields {
			if c.Properties[field] != nil {
				fields = append(fields, field)
			}
		}
		q, _ = q.with(name, fields)
	}
	return q
}

func (f *File) writeSchema(ctx context.Context, s *schema.Schema, q queryable) error {
	_, err := f.store.schemas.ReplaceOne(ctx, bson.D{{Key: "_id", Value: f.name}},
		encodeSchema(f.name, s, q), options.Replace().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	return nil
}
