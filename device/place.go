package device

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Place is a value inside an object: a property, or what a path below it leads to.
type Place struct {
	Class string
	Key   changeset.Key
	Field string
	Path  changeset.Path
}

// At names a place: a property, then a step for each level below it. An int is
// a list index; a string is a dictionary key or an embedded object's property.
func At(class string, key changeset.Key, field string, steps ...any) Place {
	p := Place{Class: class, Key: key, Field: field}
	for _, step := range steps {
		switch step := step.(type) {
		case int:
			p = p.Index(step)
		case string:
			p = p.Name(step)
		default:
			// Steps are written in the program: this is a mistake in it.
			panic(fmt.Sprintf("device: a step of a path is an int or a string, not %T", step))
		}
	}
	return p
}

// Index goes to an element of the list at the place.
func (p Place) Index(i int) Place {
	return p.step(changeset.PathElement{Index: uint32(i), IsIndex: true})
}

// Name goes to a key of the dictionary, or to a property of the embedded
// object, at the place.
func (p Place) Name(name string) Place { return p.step(changeset.PathElement{Name: name}) }

func (p Place) step(e changeset.PathElement) Place {
	p.Path = append(p.Path[:len(p.Path):len(p.Path)], e)
	return p
}

func (p Place) ref() changeset.ObjectRef { return changeset.ObjectRef{Class: p.Class, Key: p.Key} }

// spot is what a place is in the local state.
type spot struct {
	prop     *schema.Property // the property, or what elements are treated as
	at       schema.Place     // InField, InList or InDictionary
	node     object.Node      // what is there; nil if nothing is
	length   int              // of the list, InList
	embedded string           // class of the innermost embedded object around it
}

// look goes to a place. The place itself need not exist if it is an element.
func look(st *object.Store, p Place) (spot, error) {
	s := st.Schema()
	c := s.Class(p.Class)
	if c == nil {
		return spot{}, fmt.Errorf("class %s does not exist", p.Class)
	}
	o := st.Object(p.ref())
	if o == nil {
		return spot{}, fmt.Errorf("%s has no object with that primary key", p.Class)
	}
	at, err := property(c, o, p.Field)
	for _, step := range p.Path {
		if err == nil {
			at, err = at.step(s, step)
		}
	}
	if err != nil {
		return spot{}, fmt.Errorf("%s.%s: %w", p.Class, p.Field, err)
	}
	return at, nil
}

func property(c *schema.Class, o *object.Object, name string) (spot, error) {
	p, err := c.Property(name)
	if err != nil {
		return spot{}, err
	}
	return spot{prop: p, node: o.Get(p)}, nil
}

func (sp spot) step(s *schema.Schema, e changeset.PathElement) (spot, error) {
	below := spot{prop: sp.prop, embedded: sp.embedded}
	if sp.prop.Type == changeset.Mixed && sp.prop.Collection == changeset.Single {
		below.prop = schema.MixedElement
	}
	switch node := sp.node.(type) {
	case *object.Object:
		if e.IsIndex {
			return spot{}, errors.New("an index into an embedded object")
		}
		c := s.Class(sp.prop.Target)
		if c == nil {
			return spot{}, fmt.Errorf("class %s does not exist", sp.prop.Target)
		}
		in, err := property(c, node, e.Name)
		in.embedded = c.Name
		return in, err
	case *object.List:
		if !e.IsIndex {
			return spot{}, errors.New("a name where the path needs a list index")
		}
		below.at, below.length = schema.InList, len(node.Items)
		if int(e.Index) < len(node.Items) {
			below.node = node.Items[e.Index]
		}
		return below, nil
	case *object.Dictionary:
		if e.IsIndex {
			return spot{}, errors.New("an index where the path needs a dictionary key")
		}
		below.at, below.node = schema.InDictionary, node.Entries[e.Name]
		return below, nil
	}
	return spot{}, errors.New("the path goes on through a value")
}

// collection reports whether the place is a collection property.
func (sp spot) collection() bool {
	return sp.at == schema.InField && sp.prop.Collection != changeset.Single
}
