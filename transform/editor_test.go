package transform

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// editor is a user: it makes transactions that fit what a replica holds, as the
// SDKs would (appendix A of the specification).
type editor struct {
	rng    *rand.Rand
	fields []string // the properties it changes; "" stands for creating and erasing objects
	sloppy bool     // assigns collections without clearing them
	out    changeset.Changeset
}

// editorBase has all kinds of properties, and two objects.
var editorBase = append(withObject(
	class("E", changeset.Embedded),
	column("E", "a", changeset.Int, true, changeset.Single, ""), column("E", "l", changeset.Int, false, list, ""),
	column("E", "e", changeset.Link, true, changeset.Single, "E"), column("E", "m", changeset.Mixed, true, changeset.Single, ""),
	column("P", "n", changeset.Int, true, changeset.Single, ""), column("P", "t", changeset.String, false, changeset.Single, ""),
	column("P", "m", changeset.Mixed, true, changeset.Single, ""), column("P", "e", changeset.Link, true, changeset.Single, "E"),
	column("P", "p", changeset.Link, true, changeset.Single, "P"),
	column("P", "l", changeset.Int, false, list, ""), column("P", "lm", changeset.Mixed, true, list, ""),
	column("P", "le", changeset.Link, false, list, "E"), column("P", "lp", changeset.Link, false, list, "P"),
	column("P", "d", changeset.String, true, dict, ""), column("P", "dm", changeset.Mixed, true, dict, ""),
	column("P", "de", changeset.Link, true, dict, "E"),
	column("P", "s", changeset.String, false, changeset.SetOf, ""), column("P", "sm", changeset.Mixed, true, changeset.SetOf, ""),
	insert(integer(100), 0, "l", 0), insert(integer(101), 1, "l", 1), insert(integer(102), 2, "l", 2)),
	onObject(changeset.OpCreateObject, 2))

// families are the properties an editor sticks to in a session, so that most
// changes meet. Those of wild may make even peers of equal rules diverge.
var (
	families = [][]string{
		{"n", "t", "p"}, {"l"}, {"l", "lp", ""}, {"d"}, {"s"}, {"m"}, {"lm"}, {"dm"}, {"e"}, {"le"}, {""},
		{"n", "l", "d", "s", ""}, {"m", "lm", "dm"}, {"e", "le", "m", ""},
		{"n", "t", "p", "l", "lm", "le", "lp", "d", "dm", "s", "m", "e", ""},
	}
	wildFamilies = [][]string{{"de"}, {"sm"}, {"de", "le", "sm", "m", ""}}
)

// transaction returns up to max changes, applied to the replica one after the
// other.
func (e *editor) transaction(r *replica, max int) changeset.Changeset {
	scratch := r.clone()
	var all changeset.Changeset
	for range 1 + e.rng.IntN(max) {
		e.out = nil
		e.change(scratch)
		if err := scratch.apply(e.out); err != nil {
			panic(err) // the editor must know what fits
		}
		all = append(all, e.out...)
	}
	return all
}

func (e *editor) change(r *replica) {
	refs := slices.SortedFunc(maps.Keys(r.objects), func(a, b changeset.ObjectRef) int { return cmp.Compare(a.Key.Int, b.Key.Int) })
	field := e.fields[e.rng.IntN(len(e.fields))]
	if field == "" || len(refs) == 0 {
		op := changeset.OpCreateObject
		if e.rng.IntN(2) == 0 {
			op = changeset.OpEraseObject
		}
		e.out = append(e.out, onObject(op, int64(1+e.rng.IntN(3))))
		return
	}
	ref := refs[e.rng.IntN(len(refs))]
	class := r.schema.Class("P")
	e.property(r, class, r.objects[ref], spot{changeset.Instruction{Class: "P", Key: ref.Key}}, field)
}

// spot is where an editor has got to.
type spot struct{ head changeset.Instruction }

func (s spot) step(p changeset.PathElement) spot {
	s.head.Path = append(slices.Clone(s.head.Path), p)
	return s
}
func (s spot) index(i int) spot {
	return s.step(changeset.PathElement{Index: uint32(i), IsIndex: true})
}
func (s spot) name(n string) spot {
	if s.head.Field == "" {
		s.head.Field = n
		return s
	}
	return s.step(changeset.PathElement{Name: n})
}

func (e *editor) emit(s spot, op changeset.Op, with func(*changeset.Instruction)) {
	in := s.head
	in.Op = op
	in.Path = slices.Clone(in.Path)
	if with != nil {
		with(&in)
	}
	e.out = append(e.out, in)
}

func (e *editor) update(s spot, v changeset.Value, prior int) {
	e.emit(s, changeset.OpUpdate, func(in *changeset.Instruction) { in.Value, in.Prior = v, uint32(prior) })
	if kind := collectionOf(v); kind != changeset.Single && !e.sloppy {
		e.emit(s, changeset.OpClear, func(in *changeset.Instruction) { in.Collection = kind })
	}
}

// property changes a property of an object, plain or embedded.
func (e *editor) property(r *replica, class *schema.Class, o *object.Object, s spot, field string) {
	p, s := class.Properties[field], s.name(field)
	node := o.Get(p)
	switch n := node.(type) {
	case *object.Object:
		switch e.rng.IntN(4) {
		case 0:
			e.update(s, null, 0)
			if e.rng.IntN(2) == 0 {
				e.update(s, anObject, 0)
			}
		default:
			e.embedded(r, n, s)
		}
	case *object.List, *object.Dictionary, *object.Set:
		e.node(r, p, node, s)
	case changeset.Value:
		switch {
		case p.Type == changeset.Link && r.schema.IsEmbedded(p):
			e.update(s, anObject, 0)
		case n.Type == changeset.Int && e.rng.IntN(3) == 0:
			e.emit(s, changeset.OpAddInteger, func(in *changeset.Instruction) { in.Addend = int64(e.rng.IntN(5) - 2) })
		default:
			v := e.value(r, p)
			e.update(s, v, 0)
			if collectionOf(v) == changeset.Single && e.rng.IntN(8) == 0 {
				e.out[len(e.out)-1].Default = true
			}
		}
	}
}

// embedded changes a property of an embedded object.
func (e *editor) embedded(r *replica, o *object.Object, s spot) {
	class := r.schema.Class("E")
	names := class.PropertyNames()
	field := names[e.rng.IntN(len(names))]
	if len(s.head.Path) > 4 {
		field = "a"
	}
	e.property(r, class, o, s, field)
}

// node changes a collection, or something in it. Its elements are those of p;
// inside of mixed they are mixed.
func (e *editor) node(r *replica, p *schema.Property, node object.Node, s spot) {
	switch n := node.(type) {
	case *object.Object:
		e.embedded(r, n, s)
	case *object.List:
		e.list(r, p, n, s)
	case *object.Dictionary:
		e.dictionary(r, p, n, s)
	case *object.Set:
		op := changeset.OpSetInsert
		switch e.rng.IntN(5) {
		case 0, 1:
			op = changeset.OpSetErase
		case 2:
			if e.rng.IntN(2) == 0 {
				e.emit(s, changeset.OpClear, func(in *changeset.Instruction) { in.Collection = changeset.SetOf })
				return
			}
		}
		e.emit(s, op, func(in *changeset.Instruction) { in.Value = e.value(r, p) })
	}
}

func inside(node object.Node) bool {
	_, scalar := node.(changeset.Value)
	return !scalar
}

func (e *editor) list(r *replica, p *schema.Property, l *object.List, s spot) {
	n := len(l.Items)
	if n > 0 {
		i := e.rng.IntN(n)
		if inside(l.Items[i]) && e.rng.IntN(2) == 0 {
			e.node(r, p, l.Items[i], s.index(i))
			return
		}
	}
	insert := func(i, prior int) {
		v := e.element(r, p)
		e.emit(s.index(i), changeset.OpArrayInsert, func(in *changeset.Instruction) { in.Value, in.Prior = v, uint32(prior) })
	}
	op := e.rng.IntN(12)
	switch {
	case n == 0 || op < 4 && n < 6:
		insert(e.rng.IntN(n+1), n)
	case op < 7:
		i := e.rng.IntN(n)
		if r.schema.IsEmbedded(p) {
			e.emit(s.index(i), changeset.OpArrayErase, func(in *changeset.Instruction) { in.Prior = uint32(n) })
			insert(i, n-1)
			return
		}
		e.update(s.index(i), e.element(r, p), n)
	case op < 9 && n > 1:
		i := e.rng.IntN(n)
		to := (i + 1 + e.rng.IntN(n-1)) % n
		e.emit(s.index(i), changeset.OpArrayMove, func(in *changeset.Instruction) { in.To, in.Prior = uint32(to), uint32(n) })
	case op == 11:
		e.emit(s, changeset.OpClear, func(in *changeset.Instruction) { in.Collection = list })
	default:
		e.emit(s.index(e.rng.IntN(n)), changeset.OpArrayErase, func(in *changeset.Instruction) { in.Prior = uint32(n) })
	}
}

func (e *editor) dictionary(r *replica, p *schema.Property, d *object.Dictionary, s spot) {
	key := []string{"a", "b", "c"}[e.rng.IntN(3)]
	node, present := d.Entries[key]
	switch op := e.rng.IntN(10); {
	case present && inside(node) && op < 6:
		e.node(r, p, node, s.name(key))
	case op == 9 && len(d.Entries) > 0:
		e.emit(s, changeset.OpClear, func(in *changeset.Instruction) { in.Collection = dict })
	case present && op > 6:
		e.update(s.name(key), erasedKey, 0)
	default:
		e.update(s.name(key), e.element(r, p), 0)
	}
}

// element makes a value for an element of p.
func (e *editor) element(r *replica, p *schema.Property) changeset.Value {
	if r.schema.IsEmbedded(p) {
		return anObject
	}
	return e.value(r, p)
}

// value makes a value of p's type; of mixed, sometimes a collection.
func (e *editor) value(r *replica, p *schema.Property) changeset.Value {
	n := int64(e.rng.IntN(4))
	switch p.Type {
	case changeset.Link:
		return changeset.LinkValue("P", changeset.IntKey(n))
	case changeset.String:
		return str([]string{"a", "b", "c", "dd"}[n])
	case changeset.Mixed:
		switch e.rng.IntN(8) {
		case 0:
			return null
		case 1, 2:
			if p.Collection != changeset.SetOf {
				return aList
			}
			return changeset.DoubleValue(float64(n))
		case 3, 4:
			if p.Collection != changeset.SetOf {
				return aDict
			}
			return str("x")
		case 5:
			return str("x")
		}
	}
	return integer(n)
}
