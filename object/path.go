package object

import (
	"errors"
	"fmt"
	"math"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// maxLevel is how deep collections may lie in one another, a property's own
// collection counting as the first (rule 1.9).
const maxLevel = 100

// place is what a path leads to: a property of an object, a list's element or a
// dictionary's entry. The element or entry need not exist.
type place struct {
	prop *schema.Property // the property, or what elements are treated as
	at   schema.Place

	object *Object // whose property it is; below, the innermost object

	// The collection that the element is in. It is nil, and is to be put into
	// the object, when the property has its initial, empty value.
	list *List
	dict *Dictionary

	index int    // InList
	key   string // InDictionary
	level int    // of that collection; 0 InField
}

// find follows an instruction's path from the object's property (rule 2.4). The
// steps before the last must exist.
func (o *Object) find(s *schema.Schema, c *schema.Class, in *changeset.Instruction) (place, error) {
	p, err := c.Property(in.Field)
	if err != nil {
		return place{}, err
	}
	pl := place{prop: p, at: schema.InField, object: o}
	for _, step := range in.Path {
		node, err := pl.node()
		if err != nil {
			return place{}, err
		}
		if pl, err = pl.step(s, node, step); err != nil {
			return place{}, err
		}
	}
	return pl, nil
}

// ListLength returns how many elements the list has whose element an instruction's
// path leads to: its prior size, if it is right. It returns false for paths that
// lead to anything else, or nowhere.
func (o *Object) ListLength(s *schema.Schema, c *schema.Class, in *changeset.Instruction) (uint32, bool) {
	if !in.Path.EndsInIndex() {
		return 0, false
	}
	pl, err := o.find(s, c, in)
	if err != nil || pl.at != schema.InList {
		return 0, false
	}
	return uint32(pl.list.len()), true
}

// ListElement returns the element of a list that an instruction's path leads to, nil
// for paths that lead to anything else, or nowhere.
func (o *Object) ListElement(s *schema.Schema, c *schema.Class, in *changeset.Instruction) Node {
	if !in.Path.EndsInIndex() {
		return nil
	}
	pl, err := o.find(s, c, in)
	if err != nil || pl.at != schema.InList {
		return nil
	}
	node, err := pl.node()
	if err != nil {
		return nil
	}
	return node
}

// node returns what is at the place. A property's initial value is nil. The
// error is for elements and entries that do not exist.
func (pl *place) node() (Node, error) {
	switch pl.at {
	case schema.InList:
		if n := pl.list.len(); pl.index >= n {
			return nil, fmt.Errorf("index %d in a list of %d elements", pl.index, n)
		}
		return pl.list.Items[pl.index], nil
	case schema.InDictionary:
		if pl.dict != nil {
			if node, ok := pl.dict.Entries[pl.key]; ok {
				return node, nil
			}
		}
		return nil, fmt.Errorf("the dictionary has no key %q", pl.key)
	}
	return pl.object.Fields[pl.prop.Name], nil
}

// step goes from a place, which holds the node, one step further.
func (pl *place) step(s *schema.Schema, node Node, step changeset.PathElement) (place, error) {
	if pl.at == schema.InField && pl.prop.Collection != changeset.Single {
		switch pl.prop.Collection {
		case changeset.ListOf:
			list, ok := node.(*List)
			if !ok && node != nil {
				return place{}, fmt.Errorf("the list property holds %s", kindOf(node))
			}
			return pl.element(list, nil, changeset.ListOf, pl.prop, step)
		case changeset.DictionaryOf:
			dict, ok := node.(*Dictionary)
			if !ok && node != nil {
				return place{}, fmt.Errorf("the dictionary property holds %s", kindOf(node))
			}
			return pl.element(nil, dict, changeset.DictionaryOf, pl.prop, step)
		}
		return place{}, errors.New("a set's elements have no path")
	}
	switch node := node.(type) {
	case *Object:
		if step.IsIndex {
			return place{}, errors.New("an index into an embedded object")
		}
		c := s.Class(pl.prop.Target)
		if c == nil {
			return place{}, fmt.Errorf("class %q does not exist", pl.prop.Target)
		}
		p, err := c.Property(step.Name)
		return place{prop: p, at: schema.InField, object: node}, err
	case *List:
		return pl.element(node, nil, changeset.ListOf, schema.MixedElement, step)
	case *Dictionary:
		return pl.element(nil, node, changeset.DictionaryOf, schema.MixedElement, step)
	}
	return place{}, fmt.Errorf("the path goes on through %s", kindOf(node))
}

// element goes into a list or a dictionary.
func (pl *place) element(list *List, dict *Dictionary, kind changeset.Collection, p *schema.Property,
	step changeset.PathElement) (place, error) {
	in := place{prop: p, object: pl.object, list: list, dict: dict, level: pl.level + 1}
	if kind == changeset.ListOf {
		if !step.IsIndex {
			return place{}, fmt.Errorf("the name %q where the path needs an index into a list", step.Name)
		}
		in.at, in.index = schema.InList, toInt(step.Index)
		return in, nil
	}
	if step.IsIndex {
		return place{}, fmt.Errorf("the index %d where the path needs the key of a dictionary", step.Index)
	}
	in.at, in.key = schema.InDictionary, step.Name
	return in, schema.CheckKeyName(step.Name)
}

// set puts the node at the place, which exists or is a new dictionary entry.
func (pl *place) set(node Node) {
	switch pl.at {
	case schema.InList:
		pl.list.Items[pl.index] = node
	case schema.InDictionary:
		pl.theDictionary().Entries[pl.key] = node
	default:
		pl.object.set(pl.prop, node)
	}
}

// theList returns the list that the element is in, and makes it the property's
// value if it is not there yet.
func (pl *place) theList() *List {
	if pl.list == nil {
		pl.list = &List{}
		pl.object.set(pl.prop, pl.list)
	}
	return pl.list
}

func (pl *place) theDictionary() *Dictionary {
	if pl.dict == nil {
		pl.dict = &Dictionary{}
		pl.object.set(pl.prop, pl.dict)
	}
	if pl.dict.Entries == nil {
		pl.dict.Entries = make(map[string]Node)
	}
	return pl.dict
}

// set gives a property a value. Null where that is the initial value is absence.
func (o *Object) set(p *schema.Property, node Node) {
	if v, ok := node.(changeset.Value); ok && v.IsNull() {
		delete(o.Fields, p.Name)
		return
	}
	if o.Fields == nil {
		o.Fields = make(map[string]Node)
	}
	o.Fields[p.Name] = node
}

// toInt makes an index an int, also where those have 32 bits. No list is so long
// that the difference could matter.
func toInt(index uint32) int { return int(min(index, math.MaxInt32)) }

func (l *List) len() int {
	if l == nil {
		return 0
	}
	return len(l.Items)
}

// kindOf says for people what a node is.
func kindOf(node Node) string {
	switch node := node.(type) {
	case nil:
		return "null"
	case *Object:
		return "an embedded object"
	case *List:
		return "a list"
	case *Dictionary:
		return "a dictionary"
	case *Set:
		return "a set"
	case changeset.Value:
		if node.IsNull() {
			return "null"
		}
		return "a value of type " + node.Type.String()
	}
	return "an unknown kind of node"
}
