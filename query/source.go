package query

import (
	"strconv"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// subject is what a predicate is evaluated on.
type subject struct {
	key    changeset.Key
	object *object.Object
}

// source is where the values come from that a comparison compares.
type source interface {
	// values calls yield with each value until it returns false. A source that
	// is not many has exactly one.
	values(s subject, yield func(changeset.Value) bool)
	// many reports whether there may be any number of values.
	many() bool
	// text is the same for the same source only.
	text() string
}

// one returns the value of a source that is not many.
func one(src source, s subject) changeset.Value {
	switch src := src.(type) {
	case *field:
		return src.one(s)
	case constant:
		return src.value
	}
	return first(src, s)
}

func first(src source, s subject) (out changeset.Value) {
	src.values(s, func(v changeset.Value) bool {
		out = v
		return false
	})
	return out
}

// field is a property of the class, or its primary key.
type field struct {
	name     string
	property *schema.Property // nil for the primary key
	keyType  changeset.Type   // of the primary key
	initial  changeset.Value  // of a property that is no collection
}

func newField(p *schema.Property) *field {
	f := &field{name: p.Name, property: p}
	if !f.many() {
		f.initial = single(object.Initial(p))
	}
	return f
}

// one returns the value of a field that is no collection.
func (f *field) one(s subject) changeset.Value {
	if f.property == nil {
		return keyValue(s.key)
	}
	if node := s.object.Fields[f.name]; node != nil {
		return single(node)
	}
	return f.initial
}

func (f *field) typ() changeset.Type {
	if f.property == nil {
		return f.keyType
	}
	return f.property.Type
}

// hasPlainEquality reports whether equal values of the field are the same
// payload.
func (f *field) hasPlainEquality() bool {
	switch f.typ() {
	case changeset.Int, changeset.Bool, changeset.String, changeset.Binary, changeset.Timestamp, changeset.ObjectID, changeset.UUID:
		return true
	}
	return false
}

func (f *field) many() bool { return f.property != nil && f.property.Collection != changeset.Single }

func (f *field) text() string { return strconv.Quote(f.name) }

func (f *field) values(s subject, yield func(changeset.Value) bool) {
	if !f.many() {
		yield(f.one(s))
		return
	}
	switch node := s.object.Fields[f.name].(type) {
	case *object.List:
		for _, item := range node.Items {
			if !yield(single(item)) {
				return
			}
		}
	case *object.Set:
		for _, v := range node.Items {
			if !yield(v) {
				return
			}
		}
	}
}

// keyValue returns a primary key as a payload.
func keyValue(k changeset.Key) changeset.Value {
	switch k.Type {
	case changeset.Int:
		return changeset.IntValue(k.Int)
	case changeset.String, changeset.ObjectID, changeset.UUID:
		return changeset.Value{Type: k.Type, Str: k.Str}
	}
	return changeset.NullValue()
}

// single returns the value of a node. Collections inside mixed and embedded
// objects are values that equal nothing.
func single(node object.Node) changeset.Value {
	switch node := node.(type) {
	case changeset.Value:
		return node
	case *object.List:
		return changeset.SpecialValue(changeset.List)
	case *object.Dictionary:
		return changeset.SpecialValue(changeset.Dictionary)
	}
	return changeset.SpecialValue(changeset.ObjectValue)
}

// size is the number of elements of a collection, or of bytes of a string or
// binary; null of null.
type size struct{ of *field }

func (z *size) many() bool { return false }

func (z *size) text() string { return z.of.text() + ".@size" }

func (z *size) values(s subject, yield func(changeset.Value) bool) {
	if !z.of.many() {
		v := one(z.of, s)
		if !v.IsNull() {
			v = changeset.IntValue(int64(len(v.Str)))
		}
		yield(v)
		return
	}
	n := int64(0)
	z.of.values(s, func(changeset.Value) bool {
		n++
		return true
	})
	yield(changeset.IntValue(n))
}

// constant is one literal.
type constant struct{ value changeset.Value }

func (c constant) many() bool { return false }

func (c constant) text() string { return valueText(c.value) }

func (c constant) values(_ subject, yield func(changeset.Value) bool) { yield(c.value) }

// constants is a list literal.
type constants struct{ items []changeset.Value }

func (c *constants) many() bool { return true }

func (c *constants) text() string { return listText(c.items) }

func (c *constants) values(_ subject, yield func(changeset.Value) bool) {
	for _, v := range c.items {
		if !yield(v) {
			return
		}
	}
}

// computed is an arithmetic.
type computed struct {
	op          byte
	left, right source
}

func (c *computed) many() bool { return false }

func (c *computed) text() string {
	return "(" + c.left.text() + " " + string(c.op) + " " + c.right.text() + ")"
}

func (c *computed) values(s subject, yield func(changeset.Value) bool) {
	yield(compute(c.op, one(c.left, s), one(c.right, s)))
}
