package object

import (
	"maps"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Clone returns a deep copy. Nil stays nil.
func (o *Object) Clone() *Object {
	if o == nil {
		return nil
	}
	out := &Object{}
	if o.Fields != nil {
		out.Fields = make(map[string]Node, len(o.Fields))
		for name, node := range o.Fields {
			out.Fields[name] = CloneNode(node)
		}
	}
	return out
}

// CloneNode returns a deep copy of a node.
func CloneNode(node Node) Node {
	switch node := node.(type) {
	case *Object:
		return node.Clone()
	case *List:
		out := &List{Items: make([]Node, len(node.Items))}
		for i, item := range node.Items {
			out.Items[i] = CloneNode(item)
		}
		return out
	case *Dictionary:
		out := &Dictionary{Entries: make(map[string]Node, len(node.Entries))}
		for key, entry := range node.Entries {
			out.Entries[key] = CloneNode(entry)
		}
		return out
	case *Set:
		return &Set{Items: slices.Clone(node.Items), index: maps.Clone(node.index)}
	}
	return node
}

// Equal reports whether two objects of class c hold the same: absent properties
// count as their initial values, sets have no order, all else is equal by type
// and content (floats and decimals by their bits). Nil equals nil only.
// What the class has no property for is not looked at.
func Equal(s *schema.Schema, c *schema.Class, a, b *Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	for name, p := range c.Properties {
		x, y := a.Fields[name], b.Fields[name]
		if x == nil && y == nil {
			continue
		}
		if x == nil || y == nil {
			x, y = a.Get(p), b.Get(p)
		}
		if !equalNodes(s, p, x, y) {
			return false
		}
	}
	return true
}

// equalNodes compares two nodes of a property, or of its elements.
func equalNodes(s *schema.Schema, p *schema.Property, a, b Node) bool {
	switch x := a.(type) {
	case changeset.Value:
		y, ok := b.(changeset.Value)
		return ok && x == y
	case *Object:
		y, ok := b.(*Object)
		if !ok {
			return false
		}
		c := s.Class(p.Target)
		return c != nil && Equal(s, c, x, y)
	case *List:
		y, ok := b.(*List)
		return ok && slices.EqualFunc(x.Items, y.Items, func(a, b Node) bool { return equalNodes(s, p, a, b) })
	case *Dictionary:
		y, ok := b.(*Dictionary)
		return ok && maps.EqualFunc(x.Entries, y.Entries, func(a, b Node) bool { return equalNodes(s, p, a, b) })
	case *Set:
		y, ok := b.(*Set)
		return ok && sameElements(x, y, p.Type == changeset.Mixed)
	}
	return false
}
