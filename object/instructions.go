package object

import (
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Instructions returns what makes the object: CreateObject, then an instruction
// for everything that has not its initial value, properties and dictionary keys
// sorted. Nil where the schema does not have the class. FromInstructions reads
// it back; encoded, this is how states are stored.
func Instructions(s *schema.Schema, ref changeset.ObjectRef, o *Object) changeset.Changeset {
	return AppendInstructions(nil, s, ref, o)
}

// AppendInstructions appends what Instructions returns.
func AppendInstructions(dst changeset.Changeset, s *schema.Schema, ref changeset.ObjectRef, o *Object) changeset.Changeset {
	c := s.Class(ref.Class)
	if c == nil || o == nil {
		return dst
	}
	w := writer{schema: s, ref: ref, out: dst}
	w.whole(c, o)
	return w.out
}

// whole writes what makes an object.
func (w *writer) whole(c *schema.Class, o *Object) {
	w.out = slices.Grow(w.out, 1+nodesIn(o))
	w.emit(changeset.Instruction{Op: changeset.OpCreateObject})
	w.object(c, o)
}

// nodesIn counts what is in a node: how many instructions it takes at most.
func nodesIn(node Node) int {
	n := 0
	switch node := node.(type) {
	case *Object:
		for _, field := range node.Fields {
			n += 1 + nodesIn(field)
		}
	case *List:
		for _, item := range node.Items {
			n += 1 + nodesIn(item)
		}
	case *Dictionary:
		for _, entry := range node.Entries {
			n += 1 + nodesIn(entry)
		}
	case *Set:
		n = len(node.Items)
	}
	return n
}

// FromInstructions returns the object that a changeset makes which creates and
// fills this one object, as Instructions returns it. Properties that the schema
// lacks are an error; the error is an *ApplyError.
func FromInstructions(s *schema.Schema, ref changeset.ObjectRef, cs changeset.Changeset) (*Object, error) {
	c := s.Class(ref.Class)
	if c == nil {
		return nil, &ApplyError{Op: changeset.OpCreateObject, Class: ref.Class, Key: ref.Key, Reason: "the class does not exist"}
	}
	if len(cs) == 0 || cs[0].Op != changeset.OpCreateObject || cs[0].Object() != ref {
		return nil, &ApplyError{Op: changeset.OpCreateObject, Class: ref.Class, Key: ref.Key,
			Reason: "the changeset does not begin with the object's creation"}
	}
	o := &Object{Fields: make(map[string]Node, min(len(cs), len(c.Properties)))}
	for i := range cs[1:] {
		in := &cs[i+1]
		if in.Class != ref.Class || in.Key != ref.Key {
			return nil, schema.NewInstructionError(in, fmt.Sprintf("about another object than the one of class %s created", ref.Class))
		}
		if err := o.Apply(s, c, in); err != nil {
			return nil, err
		}
	}
	return o, nil
}
