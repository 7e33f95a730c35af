package object

import (
	"maps"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// writer collects the instructions on one object. Its path is where it is
// writing now; instructions get copies of it.
type writer struct {
	schema *schema.Schema
	ref    changeset.ObjectRef
	field  string // empty while at the object itself
	path   changeset.Path
	out    changeset.Changeset
	spare  []changeset.PathElement // unused rest of the block that paths are cut from
	block  int                     // size of that block
}

func (w *writer) emit(in changeset.Instruction) {
	in.Class, in.Key = w.ref.Class, w.ref.Key
	if in.Op.HasPath() {
		in.Field, in.Path = w.field, w.copyPath()
	}
	w.out = append(w.out, in)
}

func (w *writer) copyPath() changeset.Path {
	const most = 64
	n := len(w.path)
	if n == 0 {
		return nil
	}
	if n > len(w.spare) {
		// Most objects have few paths, some have very many.
		w.block = min(2*w.block+2, most)
		w.spare = make([]changeset.PathElement, max(n, w.block))
	}
	p := w.spare[:n:n]
	w.spare = w.spare[n:]
	copy(p, w.path)
	return p
}

// update, insert, erase and their like write one instruction at the path.
func (w *writer) update(v changeset.Value) {
	w.emit(changeset.Instruction{Op: changeset.OpUpdate, Value: v})
}

// updateElement is update for an element of a list of n elements.
func (w *writer) updateElement(v changeset.Value, n int) {
	w.emit(changeset.Instruction{Op: changeset.OpUpdate, Value: v, Prior: uint32(n)})
}

func (w *writer) insert(v changeset.Value, n int) {
	w.emit(changeset.Instruction{Op: changeset.OpArrayInsert, Value: v, Prior: uint32(n)})
}

func (w *writer) erase(n int) {
	w.emit(changeset.Instruction{Op: changeset.OpArrayErase, Prior: uint32(n)})
}

func (w *writer) clear(kind changeset.Collection) {
	w.emit(changeset.Instruction{Op: changeset.OpClear, Collection: kind})
}

func (w *writer) setInsert(v changeset.Value) {
	w.emit(changeset.Instruction{Op: changeset.OpSetInsert, Value: v})
}

func (w *writer) setErase(v changeset.Value) {
	w.emit(changeset.Instruction{Op: changeset.OpSetErase, Value: v})
}

// down and downKey go into a list or into a dictionary or embedded object; up
// comes back.
func (w *writer) down(index int) {
	w.path = append(w.path, changeset.PathElement{Index: uint32(index), IsIndex: true})
}

func (w *writer) downKey(name string) {
	w.path = append(w.path, changeset.PathElement{Name: name})
}

func (w *writer) up() { w.path = w.path[:len(w.path)-1] }

// enterField goes to a property of the object at the path; leaveField comes back.
func (w *writer) enterField(name string) {
	if w.field == "" {
		w.field = name
	} else {
		w.downKey(name)
	}
}

func (w *writer) leaveField() {
	if len(w.path) == 0 {
		w.field = ""
	} else {
		w.up()
	}
}

// object writes what fills a new object of class c: every property that has not
// its initial value, by name.
func (w *writer) object(c *schema.Class, o *Object) {
	var few [16]string // spares an allocation
	names := few[:0]
	for name := range o.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, node := c.Properties[name], o.Fields[name]
		if p == nil || isInitial(p, node) {
			continue
		}
		w.enterField(name)
		if p.Collection == changeset.Single {
			w.update(payload(node))
		}
		w.contents(p, node)
		w.leaveField()
	}
}

// contents writes what fills an empty collection or a new embedded object at the
// path. A value has no contents.
func (w *writer) contents(p *schema.Property, node Node) {
	switch node := node.(type) {
	case *Object:
		if c := w.schema.Class(p.Target); c != nil {
			w.object(c, node)
		}
	case *List:
		for i, item := range node.Items {
			w.down(i)
			w.insert(payload(item), i)
			w.contents(p, item)
			w.up()
		}
	case *Dictionary:
		for _, key := range slices.Sorted(maps.Keys(node.Entries)) {
			w.downKey(key)
			w.update(payload(node.Entries[key]))
			w.contents(p, node.Entries[key])
			w.up()
		}
	case *Set:
		for _, v := range node.Items {
			w.setInsert(v)
		}
	}
}

// payload returns the payload that makes a node, without its contents.
func payload(node Node) changeset.Value {
	switch node := node.(type) {
	case changeset.Value:
		return node
	case *Object:
		return changeset.SpecialValue(changeset.ObjectValue)
	case *List:
		return changeset.SpecialValue(changeset.List)
	case *Dictionary:
		return changeset.SpecialValue(changeset.Dictionary)
	}
	return changeset.NullValue()
}
