package history

import (
	"cmp"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
)

// touch is one entry's effect on one object.
type touch struct {
	entry *Entry
	t     *Touched
}

// touches finds entries by the objects that they are about, and those that change
// the schema.
type touches struct {
	last     uint64 // the version up to which entries are here
	byObject map[changeset.ObjectRef][]touch
	schema   []*Entry
}

func newTouches() touches { return touches{byObject: map[changeset.ObjectRef][]touch{}} }

// addFrom adds those of consecutive entries that are not here yet.
func (ts *touches) addFrom(entries []*Entry) {
	i, _ := slices.BinarySearchFunc(entries, ts.last+1, func(e *Entry, v uint64) int { return cmp.Compare(e.Version, v) })
	for _, e := range entries[i:] {
		ts.add(e)
	}
}

func (ts *touches) add(e *Entry) {
	ts.last = e.Version
	for i := range e.Objects {
		t := &e.Objects[i]
		ts.byObject[t.Ref] = append(ts.byObject[t.Ref], touch{e, t})
	}
	if e.Schema {
		ts.schema = append(ts.schema, e)
	}
}

// dropOldest takes out the oldest entry, if it is here.
func (ts *touches) dropOldest(e *Entry) {
	if e.Version > ts.last {
		return
	}
	for i := range e.Objects {
		ref := e.Objects[i].Ref
		list := ts.byObject[ref]
		if len(list) <= 1 {
			delete(ts.byObject, ref)
			continue
		}
		list[0] = touch{} // so that the entry can be collected
		ts.byObject[ref] = list[1:]
	}
	if len(ts.schema) > 0 && ts.schema[0] == e {
		ts.schema[0] = nil
		ts.schema = ts.schema[1:]
	}
}

// of returns what entries above a version did to an object, in order. The caller
// must not change it.
func (ts *touches) of(ref changeset.ObjectRef, after uint64) []touch {
	list := ts.byObject[ref]
	i, _ := slices.BinarySearchFunc(list, after+1, func(t touch, v uint64) int { return cmp.Compare(t.entry.Version, v) })
	return list[i:]
}

// schemaSince returns the entries above a version that change the schema, in order.
// The caller must not change it.
func (ts *touches) schemaSince(after uint64) []*Entry {
	i, _ := slices.BinarySearchFunc(ts.schema, after+1, func(e *Entry, v uint64) int { return cmp.Compare(e.Version, v) })
	return ts.schema[i:]
}

// entriesOf returns the entries that some touches are of, and others, in order
// and each once.
func entriesOf(touched map[changeset.ObjectRef][]touch, others []*Entry) []*Entry {
	out := slices.Clone(others)
	for _, list := range touched {
		for _, t := range list {
			out = append(out, t.entry)
		}
	}
	slices.SortFunc(out, func(a, b *Entry) int { return cmp.Compare(a.Version, b.Version) })
	return slices.Compact(out)
}
