package translator

import (
	"bytes"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// settle makes what the document has at a place agree with what the object
// holds there. Mostly it does already. Where it does not, as little as possible
// is built anew, so that what the schema does not name survives in every
// embedded document that can be matched.
func (e *editor) settle(pl place, want object.Node) *RefusedValue {
	if e.agrees(pl, want) {
		return nil
	}
	here := pl.at.get()
	switch w := want.(type) {
	case *object.Object:
		if c := e.schema.Class(pl.prop.Target); c != nil && here.expand() && !here.isArray {
			return e.settleObject(c, here, w)
		}
	case *object.Dictionary:
		if here.expand() && !here.isArray && (pl.isCollection() || e.isMixedCollection(here, changeset.Dictionary)) {
			return e.settleDictionary(elementOf(pl.prop), here, w)
		}
	case *object.List:
		if here.expand() && here.isArray {
			return e.settleList(elementOf(pl.prop), here, w)
		}
	case *object.Set:
		if here.expand() && here.isArray {
			return e.settleSet(pl.prop, here, w)
		}
	}
	raw, r := e.rawOf(pl.prop, want)
	if r != nil {
		return r
	}
	if raw.Type == bson.TypeNull && pl.isField() {
		e.setNull(pl)
		return nil
	}
	pl.at.set(rawNode(raw))
	return nil
}

// agrees reports whether the document says at the place what the object holds,
// at BSON precision.
func (e *editor) agrees(pl place, want object.Node) bool {
	var have object.Node
	if n := pl.at.get(); n != nil {
		var u *Unsynced
		if pl.whole {
			have, u = e.readProperty(pl.prop, n.value(), 0)
		} else {
			have, u = e.readElement(pl.prop, n.value(), 0)
		}
		if u != nil {
			return false
		}
	} else if !pl.whole {
		return false
	} else if have = object.Initial(pl.prop); requiresValue(pl.prop) {
		d, ok := defaultOf(pl.prop)
		if !ok {
			return false
		}
		have = d
	}
	if pl.whole && isInitial(pl.prop, have) && isInitial(pl.prop, want) {
		return true
	}
	return bytes.Equal(appendCanonical(nil, e.schema, pl.prop, have), appendCanonical(nil, e.schema, pl.prop, want))
}

func (e *editor) settleObject(c *schema.Class, doc *node, want *object.Object) *RefusedValue {
	for _, name := range c.PropertyNames() {
		p := c.Properties[name]
		if r := e.settle(place{prop: p, at: slot{in: doc, key: name}, whole: true}, want.Get(p)); r != nil {
			return r.below(name)
		}
	}
	return nil
}

func (e *editor) settleDictionary(p *schema.Property, doc *node, want *object.Dictionary) *RefusedValue {
	for i, f := range doc.fields {
		if _, kept := want.Entries[f.key]; !kept {
			doc.fields[i].node = nil
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want.Entries)) {
		if err := schema.CheckKeyName(key); err != nil {
			return refused("%v", err)
		}
		if r := e.settle(place{prop: p, at: slot{in: doc, key: key}}, want.Entries[key]); r != nil {
			return r.below(key)
		}
	}
	return nil
}

// settleList takes the elements that agree from wherever they are in the array,
// and pairs embedded documents among the rest in order.
func (e *editor) settleList(p *schema.Property, list *node, want *object.List) *RefusedValue {
	waiting := make(map[string][]*node, len(list.items))
	for _, n := range list.items {
		if have, u := e.readElement(p, n.value(), 0); u == nil {
			id := string(appendCanonical(nil, e.schema, p, have))
			waiting[id] = append(waiting[id], n)
		}
	}
	items := make([]*node, len(want.Items))
	used := make(map[*node]bool, len(items))
	for i, item := range want.Items {
		id := string(appendCanonical(nil, e.schema, p, item))
		if same := waiting[id]; len(same) > 0 {
			items[i] = same[0]
			used[same[0]] = true
			waiting[id] = same[1:]
		}
	}
	rest := slices.DeleteFunc(list.items, func(n *node) bool { return used[n] })
	list.items = items
	for i, item := range want.Items {
		if items[i] != nil {
			continue
		}
		if len(rest) > 0 {
			items[i], rest = rest[0], rest[1:]
		} else {
			items[i] = rawNode(bson.RawValue{Type: bson.TypeNull})
		}
		if r := e.settle(place{prop: p, at: slot{in: list, index: i}}, item); r != nil {
			return r.belowIndex(i)
		}
	}
	return nil
}

// settleSet keeps of the array what the set has, once, and appends the rest.
func (e *editor) settleSet(p *schema.Property, set *node, want *object.Set) *RefusedValue {
	missing := make(map[changeset.Value]bool, len(want.Items))
	for _, v := range want.Items {
		missing[setIdentity(p, v)] = true
	}
	set.elements = nil
	set.items = slices.DeleteFunc(set.items, func(item *node) bool {
		id, ok := e.identity(p, item)
		drop := !ok || !missing[id]
		delete(missing, id)
		return drop
	})
	for _, v := range want.Items {
		id := setIdentity(p, v)
		if !missing[id] {
			continue
		}
		delete(missing, id)
		raw, r := e.rawOf(p, v)
		if r != nil {
			return r.belowIndex(len(set.items))
		}
		set.items = append(set.items, rawNode(raw))
	}
	return nil
}
