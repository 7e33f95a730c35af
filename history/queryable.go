package history

import (
	"context"
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/object"
)

// queryable holds the fields that queries may name: class → field names, in the
// order in which they became queryable. A field stays queryable, so that their
// number, a class's generation, says which there were. It is immutable.
type queryable map[string][]string

func (q queryable) has(class, field string) bool { return slices.Contains(q[class], field) }

func (q queryable) generation(class string) int { return len(q[class]) }

// since returns the first generation in which all of the fields are queryable,
// false if one is not.
func (q queryable) since(class string, fields []string) (int, bool) {
	generation := 0
	for _, field := range fields {
		i := slices.Index(q[class], field)
		if i < 0 {
			return 0, false
		}
		generation = max(generation, i+1)
	}
	return generation, true
}

// with returns a copy that has the fields, too, and whether they are new.
func (q queryable) with(class string, fields []string) (queryable, bool) {
	var missing []string
	for _, f := range fields {
		if !q.has(class, f) && !slices.Contains(missing, f) {
			missing = append(missing, f)
		}
	}
	if len(missing) == 0 {
		return q, false
	}
	out := queryable{}
	for c, fs := range q {
		out[c] = fs
	}
	out[class] = append(slices.Clone(q[class]), missing...)
	return out, true
}

// project returns the object's queryable fields.
func (q queryable) project(class string, o *object.Object) *object.Object {
	if o == nil {
		return nil
	}
	p := &object.Object{}
	for _, f := range q[class] {
		if n, ok := o.Fields[f]; ok {
			if p.Fields == nil {
				p.Fields = map[string]object.Node{}
			}
			p.Fields[f] = n
		}
	}
	return p
}

// NotQueryable says that a query names a field it may not.
type NotQueryable struct{ Class, Field string }

func (e *NotQueryable) Error() string {
	return fmt.Sprintf("key %q of table %q is not a queryable field; add it to sync.queryable_fields", e.Field, e.Class)
}

// IsQueryable reports whether queries may name the field. The primary key always is.
func (f *File) IsQueryable(class, field string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return field == keyField || f.queryable.has(class, field)
}

// MakeQueryable makes sure that queries may name the fields of a class. In
// development mode it registers those that are not queryable yet, and returns
// when every later commit records them; else the error is a *NotQueryable.
func (f *File) MakeQueryable(ctx context.Context, class string, fields []string) error {
	f.mu.Lock()
	s, q := f.schema, f.queryable
	f.mu.Unlock()
	var missing []string
	for _, field := range fields {
		if field != keyField && !q.has(class, field) {
			missing = append(missing, field)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if !f.store.opts.DevelopmentMode {
		return &NotQueryable{class, missing[0]}
	}
	q, _ = q.with(class, missing)
	if err := f.prepareIndexes(ctx, s, class, q[class]); err != nil {
		return err
	}
	return f.submitAndWait(ctx, &job{queryable: &queryableJob{class, missing}})
}
