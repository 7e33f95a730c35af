package device

import (
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// savepoint remembers what a store held, so that several changesets can be
// undone together.
type savepoint struct {
	store   *object.Store
	objects map[changeset.ObjectRef]*object.Object // as they were; nil: did not exist
	added   changeset.Changeset                    // what takes back additions to the schema, the first last
	whole   *object.Store                          // everything as it was when something of the schema was erased
}

func newSavepoint(store *object.Store) *savepoint { return &savepoint{store: store} }

// keep remembers what the changeset will change. It comes before each changeset
// is applied.
func (sp *savepoint) keep(cs changeset.Changeset) {
	for i := range cs {
		if sp.whole != nil {
			return
		}
		in := &cs[i]
		if in.Op.IsSchema() {
			sp.keepSchema(in)
			continue
		}
		ref := in.Object()
		if _, kept := sp.objects[ref]; kept {
			continue
		}
		if sp.objects == nil {
			sp.objects = make(map[changeset.ObjectRef]*object.Object)
		}
		sp.objects[ref] = sp.store.Object(ref).Clone()
	}
}

func (sp *savepoint) keepSchema(in *changeset.Instruction) {
	c := sp.store.Schema().Class(in.Class)
	switch in.Op {
	case changeset.OpAddTable:
		if c == nil {
			sp.added = append(sp.added, changeset.Instruction{Op: changeset.OpEraseTable, Class: in.Class})
		}
	case changeset.OpAddColumn:
		if c == nil || c.Properties[in.Field] == nil {
			sp.added = append(sp.added, changeset.Instruction{Op: changeset.OpEraseColumn, Class: in.Class, Field: in.Field})
		}
	default:
		sp.whole = sp.store.Clone()
	}
}

// restore undoes all changes.
func (sp *savepoint) restore() error {
	if sp.whole != nil {
		*sp.store = *sp.whole
	}
	var back changeset.Changeset
	for ref, o := range sp.objects {
		if sp.store.Schema().Class(ref.Class) == nil {
			continue // its class is new as well, and was not made
		}
		back = append(back, changeset.Instruction{Op: changeset.OpEraseObject, Class: ref.Class, Key: ref.Key})
		back = append(back, object.Instructions(sp.store.Schema(), ref, o)...)
	}
	has := func(in changeset.Instruction) bool {
		c := sp.store.Schema().Class(in.Class)
		return c != nil && (in.Op == changeset.OpEraseTable || c.Properties[in.Field] != nil)
	}
	for _, in := range slices.Backward(sp.added) {
		if has(in) {
			back = append(back, in)
		}
	}
	if err := sp.store.Apply(back); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}
