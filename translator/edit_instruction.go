package translator

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// place is what a path leads to: a slot, and the property its value belongs to.
type place struct {
	prop  *schema.Property
	at    slot
	whole bool // all of the property rather than an element of its collection
}

// isField reports whether the place is a single property, whose null may be an
// absent field.
func (pl place) isField() bool { return pl.whole && pl.prop.Collection == changeset.Single }

func (pl place) isCollection() bool { return pl.whole && pl.prop.Collection != changeset.Single }

// apply does to the document what a path instruction says, as far as it can:
// what it can't is settled from the object afterwards.
func (e *editor) apply(in *changeset.Instruction) {
	if e.class.Properties[in.Field] == nil {
		return // a field of somebody else
	}
	e.touched[in.Field] = true
	pl, ok := e.find(in)
	if !ok {
		return
	}
	switch in.Op {
	case changeset.OpUpdate:
		e.update(pl, in.Value)
	case changeset.OpAddInteger:
		e.addInteger(pl, in.Addend)
	case changeset.OpArrayInsert:
		e.arrayInsert(pl, in.Value)
	case changeset.OpArrayMove:
		e.arrayMove(pl, int(in.To))
	case changeset.OpArrayErase:
		e.arrayErase(pl)
	case changeset.OpClear:
		e.clear(pl, in.Collection)
	case changeset.OpSetInsert:
		e.setInsert(pl, in.Value)
	case changeset.OpSetErase:
		e.setErase(pl, in.Value)
	}
}

// find follows an instruction's path. A collection property that is absent is
// made on the way if the instruction puts something into it. ok is false where
// the document does not have what the path leads through.
func (e *editor) find(in *changeset.Instruction) (pl place, ok bool) {
	pl = place{prop: e.class.Properties[in.Field], at: slot{in: e.root, key: in.Field}, whole: true}
	fills := in.Op == changeset.OpArrayInsert || in.Op == changeset.OpUpdate && in.Value.Type != changeset.Erased
	for _, step := range in.Path {
		n := pl.at.get()
		if pl.isCollection() && n.isNull() && fills {
			n = newContainer(pl.prop.Collection)
			pl.at.set(n)
		}
		if !n.expand() || n.isArray != step.IsIndex {
			return pl, false
		}
		inside := slot{in: n, key: step.Name, index: int(step.Index)}
		switch {
		case pl.isCollection():
			pl = place{prop: pl.prop, at: inside}
		case pl.prop.Type == changeset.Mixed:
			pl = place{prop: schema.MixedElement, at: inside}
		default:
			c := e.schema.Class(pl.prop.Target)
			if c == nil || c.Properties[step.Name] == nil {
				return pl, false
			}
			pl = place{prop: c.Properties[step.Name], at: inside, whole: true}
		}
	}
	return pl, true
}

func (e *editor) update(pl place, v changeset.Value) {
	here := pl.at.get()
	if pl.at.in.isArray && here == nil {
		return
	}
	switch v.Type {
	case changeset.Erased:
		pl.at.remove()
	case changeset.Null:
		e.setNull(pl)
	case changeset.ObjectValue:
		// Over an existing object only a dictionary makes a new one.
		if here.kind() != bson.TypeEmbeddedDocument || !pl.whole && !pl.at.in.isArray {
			pl.at.set(e.made(pl.prop, v))
		}
	case changeset.List, changeset.Dictionary:
		if !e.isMixedCollection(here, v.Type) {
			pl.at.set(e.made(pl.prop, v))
		}
	default:
		e.setValue(pl, v)
	}
}

// made returns the node that a payload puts into a new element: a scalar, a
// link, null, or something empty. A value that can't be stored becomes null
// until the field is settled.
func (e *editor) made(p *schema.Property, v changeset.Value) *node {
	switch v.Type {
	case changeset.ObjectValue:
		if c := e.schema.Class(p.Target); c != nil {
			start, dst := openDocument(nil)
			if dst, r := e.appendFields(dst, c, nil); r == nil {
				return rawNode(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: closeDocument(dst, start)})
			}
		}
	case changeset.List:
		return newContainer(changeset.ListOf)
	case changeset.Dictionary:
		return newContainer(changeset.DictionaryOf)
	default:
		if raw, r := e.rawOf(p, v); r == nil {
			return rawNode(raw)
		}
	}
	return rawNode(bson.RawValue{Type: bson.TypeNull})
}

// setValue puts a scalar or a link into a place, unless the document says the
// same already in its own way.
func (e *editor) setValue(pl place, v changeset.Value) {
	if have, ok := e.current(pl); ok && atBSONPrecision(pl.prop, have) == atBSONPrecision(pl.prop, v) {
		return
	}
	n := e.made(pl.prop, v)
	if n.isNull() && pl.isField() {
		e.setNull(pl)
		return
	}
	pl.at.set(n)
}

// setNull makes a place null: a field that is absent stays so.
func (e *editor) setNull(pl place) {
	here := pl.at.get()
	switch {
	case pl.isField() && e.UnsetNulls:
		pl.at.remove()
	case pl.isField() && here == nil, here.kind() == bson.TypeNull:
	default:
		pl.at.set(rawNode(bson.RawValue{Type: bson.TypeNull}))
	}
}

// current returns the scalar or link that the document has at the place.
func (e *editor) current(pl place) (changeset.Value, bool) {
	n := pl.at.get()
	if n == nil || n.open {
		return changeset.Value{}, false
	}
	have, u := e.readElement(pl.prop, n.raw, 0)
	v, ok := have.(changeset.Value)
	return v, ok && u == nil
}

func (e *editor) addInteger(pl place, addend int64) {
	have, ok := e.current(pl)
	if !ok && pl.at.get() == nil && requiresValue(pl.prop) {
		have, ok = defaultOf(pl.prop)
	}
	if ok && have.Type == changeset.Int {
		e.setValue(pl, changeset.IntValue(have.Num+addend))
	}
}

func (e *editor) arrayInsert(pl place, v changeset.Value) {
	if list := pl.at.in; list.isArray && pl.at.index <= len(list.items) {
		list.items = slices.Insert(list.items, pl.at.index, e.made(pl.prop, v))
	}
}

func (e *editor) arrayErase(pl place) {
	if list := pl.at.in; list.isArray && pl.at.index < len(list.items) {
		list.items = slices.Delete(list.items, pl.at.index, pl.at.index+1)
	}
}

func (e *editor) arrayMove(pl place, to int) {
	list := pl.at.in
	if !list.isArray || pl.at.index >= len(list.items) || to >= len(list.items) {
		return
	}
	n := list.items[pl.at.index]
	list.items = slices.Insert(slices.Delete(list.items, pl.at.index, pl.at.index+1), to, n)
}

// clear empties a collection. One that is absent, or null, is empty.
func (e *editor) clear(pl place, kind changeset.Collection) {
	switch here := pl.at.get(); {
	case !pl.isCollection():
		if pl.prop.Type == changeset.Mixed && !(pl.at.in.isArray && here == nil) {
			pl.at.set(newContainer(kind))
		}
	case here.expand():
		here.empty()
	}
}

func newContainer(kind changeset.Collection) *node {
	return &node{open: true, isArray: kind != changeset.DictionaryOf}
}

// isMixedCollection reports whether a mixed holds a collection of the kind.
func (e *editor) isMixedCollection(n *node, kind changeset.Type) bool {
	switch n.kind() {
	case bson.TypeArray:
		return kind == changeset.List
	case bson.TypeEmbeddedDocument:
		if n.open {
			return kind == changeset.Dictionary
		}
		_, isLink, _ := e.readReference(n.raw)
		return kind == changeset.Dictionary && !isLink
	}
	return false
}

func (e *editor) setInsert(pl place, v changeset.Value) {
	set := pl.at.get()
	if set.isNull() {
		set = newContainer(changeset.SetOf)
		pl.at.set(set)
	}
	elements, ok := e.elementsOfSet(pl.prop, set)
	if id := setIdentity(pl.prop, v); ok && !elements[id] {
		set.items = append(set.items, e.made(pl.prop, v))
		elements[id] = true
	}
}

// setErase removes an element, and whatever else in the array counts as it.
func (e *editor) setErase(pl place, v changeset.Value) {
	set := pl.at.get()
	elements, ok := e.elementsOfSet(pl.prop, set)
	id := setIdentity(pl.prop, v)
	if !ok || !elements[id] {
		return
	}
	delete(elements, id)
	set.items = slices.DeleteFunc(set.items, func(item *node) bool {
		have, known := e.identity(pl.prop, item)
		return known && have == id
	})
}

// elementsOfSet returns the identities of a set's elements, kept with the array.
func (e *editor) elementsOfSet(p *schema.Property, set *node) (map[changeset.Value]bool, bool) {
	if !set.expand() || !set.isArray {
		return nil, false
	}
	if set.elements == nil {
		set.elements = make(map[changeset.Value]bool, len(set.items))
		for _, item := range set.items {
			if id, ok := e.identity(p, item); ok {
				set.elements[id] = true
			}
		}
	}
	return set.elements, true
}

// identity returns what a set's element counts as; ok is false if it is none.
func (e *editor) identity(p *schema.Property, item *node) (id changeset.Value, ok bool) {
	if item.open {
		return id, false
	}
	have, u := e.readElement(p, item.raw, 0)
	v, ok := have.(changeset.Value)
	if u != nil || !ok {
		return id, false
	}
	return setIdentity(p, v), true
}
