package translator

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Refine gives an object that was read from a document back what documents
// can't hold: every value that equals, at BSON precision, the one that state
// has in its place becomes the state's exact value. What is left of the
// difference between the two was written by somebody else. The object read is
// changed and returned; it shares no memory with state, which may be nil.
func Refine(s *schema.Schema, c *schema.Class, read, state *object.Object) *object.Object {
	if read != nil && state != nil {
		f := refiner{s}
		f.object(c, read, state)
	}
	return read
}

type refiner struct{ schema *schema.Schema }

func (f refiner) object(c *schema.Class, read, state *object.Object) {
	for name, exact := range state.Fields {
		p := c.Properties[name]
		if p == nil {
			continue
		}
		if rough, present := read.Fields[name]; present {
			read.Fields[name] = f.node(p, rough, exact)
		} else if isInitial(p, exact) {
			read.Fields[name] = object.CloneNode(exact)
		}
	}
}

func (f refiner) node(p *schema.Property, rough, exact object.Node) object.Node {
	switch r := rough.(type) {
	case changeset.Value:
		if e, ok := exact.(changeset.Value); ok && atBSONPrecision(p, r) == atBSONPrecision(p, e) {
			return e
		}
	case *object.Object:
		if e, ok := exact.(*object.Object); ok {
			if c := f.schema.Class(p.Target); c != nil {
				f.object(c, r, e)
			}
		}
	case *object.Dictionary:
		if e, ok := exact.(*object.Dictionary); ok {
			p := elementOf(p)
			for key, node := range r.Entries {
				if other, ok := e.Entries[key]; ok {
					r.Entries[key] = f.node(p, node, other)
				}
			}
		}
	case *object.List:
		if e, ok := exact.(*object.List); ok {
			f.list(elementOf(p), r, e)
		}
	case *object.Set:
		if e, ok := exact.(*object.Set); ok {
			return refineSet(p, r, e)
		}
	}
	return rough
}

// elementOf returns the property as which the elements of a collection that
// node holds are treated: itself, or inside mixed a mixed.
func elementOf(p *schema.Property) *schema.Property {
	if p.Collection == changeset.Single {
		return schema.MixedElement
	}
	return p
}

// list pairs elements that a document can't tell apart, wherever they are: an
// exact value in the wrong place still is what the document says. What is left
// on both sides is paired in order, for what embedded objects have inside.
func (f refiner) list(p *schema.Property, read, state *object.List) {
	waiting := make(map[string][]int, len(state.Items))
	for i, item := range state.Items {
		id := string(appendCanonical(nil, f.schema, p, item))
		waiting[id] = append(waiting[id], i)
	}
	used := make([]bool, len(state.Items))
	var left []int
	for i, item := range read.Items {
		id := string(appendCanonical(nil, f.schema, p, item))
		same := waiting[id]
		if len(same) == 0 {
			left = append(left, i)
			continue
		}
		read.Items[i] = object.CloneNode(state.Items[same[0]])
		used[same[0]] = true
		waiting[id] = same[1:]
	}
	next := 0
	for _, i := range left {
		for next < len(used) && used[next] {
			next++
		}
		if next == len(used) {
			return
		}
		read.Items[i] = f.node(p, read.Items[i], state.Items[next])
		next++
	}
}

// refineSet keeps all elements of the state that the document stands for: one
// date in the document may be several in the state.
func refineSet(p *schema.Property, read, state *object.Set) *object.Set {
	present := make(map[changeset.Value]bool, len(read.Items))
	for _, v := range read.Items {
		present[setIdentity(p, v)] = true
	}
	out := &object.Set{}
	kept := make(map[changeset.Value]bool, len(state.Items))
	for _, v := range state.Items {
		if id := setIdentity(p, v); present[id] {
			kept[id] = true
			out.Items = append(out.Items, v)
		}
	}
	for _, v := range read.Items {
		if !kept[setIdentity(p, v)] {
			out.Items = append(out.Items, v)
		}
	}
	return out
}
