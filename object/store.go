package object

import (
	"fmt"
	"maps"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Store holds a schema and objects in memory, as a client's file does. It is
// for tests, simulations and the headless device; the server keeps its objects
// elsewhere. It is not safe for concurrent use.
type Store struct {
	schema  *schema.Schema
	objects map[string]map[changeset.Key]*Object // by class
	asFile  bool
}

// A StoreOption changes what a Store accepts.
type StoreOption func(*Store)

// AcceptErasures makes a Store take schema instructions as a client's file does:
// classes and properties may be erased, and primary keys have any name.
// Otherwise only additive changes are taken, as the server does.
func AcceptErasures() StoreOption { return func(st *Store) { st.asFile = true } }

// NewStore returns an empty store with a copy of the schema, which may be nil.
func NewStore(s *schema.Schema, options ...StoreOption) *Store {
	st := &Store{schema: s.Clone(), objects: make(map[string]map[changeset.Key]*Object)}
	for _, option := range options {
		option(st)
	}
	return st
}

// Schema returns the schema as it is now. It must not be changed, and does not
// change: later instructions make a new one.
func (st *Store) Schema() *schema.Schema { return st.schema }

// Object returns an object, nil if it does not exist. It must not be changed,
// and is good until the next Apply.
func (st *Store) Object(ref changeset.ObjectRef) *Object { return st.objects[ref.Class][ref.Key] }

// Objects returns the class's objects. The map must not be changed, and is good
// until the next Apply.
func (st *Store) Objects(class string) map[changeset.Key]*Object { return st.objects[class] }

// Len returns the number of objects.
func (st *Store) Len() int {
	n := 0
	for _, objects := range st.objects {
		n += len(objects)
	}
	return n
}

// Clone returns a deep copy.
func (st *Store) Clone() *Store {
	out := NewStore(st.schema)
	out.asFile = st.asFile
	for class, objects := range st.objects {
		copied := make(map[changeset.Key]*Object, len(objects))
		for key, o := range objects {
			copied[key] = o.Clone()
		}
		out.objects[class] = copied
	}
	return out
}

// StoreError says at which instruction a changeset failed.
type StoreError struct {
	Index int // of the instruction
	Err   error
}

func (e *StoreError) Error() string { return fmt.Sprintf("instruction %d: %v", e.Index, e.Err) }

// Unwrap returns what went wrong: an *ApplyError or a *schema.ChangeError.
func (e *StoreError) Unwrap() error { return e.Err }

// Apply applies a changeset (part 2 of the changeset rules): all of it or, with
// an error, nothing. The error is a *StoreError.
func (st *Store) Apply(cs changeset.Changeset) error {
	undo := &undoLog{schema: st.schema}
	for i := range cs {
		if err := st.apply(&cs[i], undo, i < len(cs)-1); err != nil {
			undo.run(st)
			return &StoreError{Index: i, Err: err}
		}
	}
	return nil
}

// apply applies one instruction. more says that others follow, which may fail.
func (st *Store) apply(in *changeset.Instruction, undo *undoLog, more bool) error {
	if in.Op.IsSchema() {
		return st.applySchema(in, undo)
	}
	c := st.schema.Class(in.Class)
	if c == nil {
		return schema.NewInstructionError(in, "the class does not exist")
	}
	if err := c.CheckKey(in.Key); err != nil {
		return schema.NewInstructionError(in, err.Error())
	}
	ref := in.Object()
	o := st.Object(ref)
	switch in.Op {
	case changeset.OpCreateObject:
		if o == nil {
			undo.keep(ref, nil)
			st.put(ref, &Object{})
		}
		return nil
	case changeset.OpEraseObject:
		if o != nil {
			undo.keep(ref, o)
			delete(st.objects[ref.Class], ref.Key)
		}
		return nil
	}
	if o == nil {
		return schema.NewInstructionError(in, "the object does not exist")
	}
	// A failed instruction leaves its object alone, so that a last one needs no undoing.
	if more && !undo.has(ref) {
		undo.keep(ref, o.Clone())
	}
	return o.Apply(st.schema, c, in)
}

func (st *Store) put(ref changeset.ObjectRef, o *Object) {
	objects := st.objects[ref.Class]
	if objects == nil {
		objects = make(map[changeset.Key]*Object)
		st.objects[ref.Class] = objects
	}
	objects[ref.Key] = o
}

func (st *Store) applySchema(in *changeset.Instruction, undo *undoLog) error {
	next := st.schema.Clone()
	apply := next.Apply
	if st.asFile {
		apply = next.ApplyAsClient
	}
	changed, err := apply(in)
	if err != nil || !changed {
		return err
	}
	switch in.Op {
	case changeset.OpEraseTable:
		for key, o := range st.objects[in.Class] {
			undo.keep(changeset.ObjectRef{Class: in.Class, Key: key}, o)
		}
		delete(st.objects, in.Class)
	case changeset.OpEraseColumn:
		st.eraseField(in.Class, in.Field, undo)
	}
	st.schema = next
	return nil
}

// eraseField removes a property's values from all objects of a class, embedded
// ones included. The schema is that before.
func (st *Store) eraseField(class, field string, undo *undoLog) {
	for name, objects := range st.objects {
		c := st.schema.Class(name)
		for key, o := range objects {
			ref := changeset.ObjectRef{Class: name, Key: key}
			if !undo.has(ref) {
				undo.keep(ref, o.Clone())
			}
			o.visit(st.schema, c, func(of *schema.Class, o *Object) {
				if of.Name == class {
					delete(o.Fields, field)
				}
			})
		}
	}
}

// visit calls f with the object, which is of class c, and all embedded ones below.
func (o *Object) visit(s *schema.Schema, c *schema.Class, f func(*schema.Class, *Object)) {
	if c == nil {
		return
	}
	f(c, o)
	for name, node := range o.Fields {
		p := c.Properties[name]
		if p == nil || !s.IsEmbedded(p) {
			continue
		}
		inner := s.Class(p.Target)
		for _, node := range elements(node) {
			if o, ok := node.(*Object); ok {
				o.visit(s, inner, f)
			}
		}
	}
}

// elements returns what a collection holds, or the node alone if it is none.
func elements(node Node) []Node {
	switch node := node.(type) {
	case *List:
		return node.Items
	case *Dictionary:
		out := make([]Node, 0, len(node.Entries))
		for _, entry := range node.Entries {
			out = append(out, entry)
		}
		return out
	}
	return []Node{node}
}

// undoLog remembers what a changeset found. Only the first look at an object counts.
type undoLog struct {
	schema  *schema.Schema
	objects map[changeset.ObjectRef]*Object // nil: did not exist
}

func (u *undoLog) has(ref changeset.ObjectRef) bool {
	_, ok := u.objects[ref]
	return ok
}

func (u *undoLog) keep(ref changeset.ObjectRef, o *Object) {
	if u.has(ref) {
		return
	}
	if u.objects == nil {
		u.objects = make(map[changeset.ObjectRef]*Object)
	}
	u.objects[ref] = o
}

func (u *undoLog) run(st *Store) {
	st.schema = u.schema
	for ref, o := range u.objects {
		if o == nil {
			delete(st.objects[ref.Class], ref.Key)
		} else {
			st.put(ref, o)
		}
	}
	maps.DeleteFunc(st.objects, func(_ string, objects map[changeset.Key]*Object) bool { return len(objects) == 0 })
}
