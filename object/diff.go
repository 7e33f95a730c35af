package object

import (
	"maps"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Diff returns the instructions that turn the object before into the object
// after, both of the class that ref names: what makes it where before is nil,
// EraseObject where after is nil, nothing where they are Equal or both nil.
//
// What exists on both sides is changed by the smallest instructions, so that
// concurrent changes next to them survive the merge: embedded objects and
// collections inside mixed by path, never made anew; lists by insertions,
// erasures and updates of elements (see diffList). Sets lose by a Clear
// what clients can't apply a SetErase of (see Set.CanErase). Integers are
// updated, never added to. Nothing is marked as a default.
func Diff(s *schema.Schema, ref changeset.ObjectRef, before, after *Object) changeset.Changeset {
	return AppendDiff(nil, s, ref, before, after)
}

// AppendDiff appends what Diff returns.
func AppendDiff(dst changeset.Changeset, s *schema.Schema, ref changeset.ObjectRef, before, after *Object) changeset.Changeset {
	c := s.Class(ref.Class)
	if c == nil || before == nil && after == nil {
		return dst
	}
	w := writer{schema: s, ref: ref, out: dst}
	switch {
	case before == nil:
		w.whole(c, after)
	case after == nil:
		w.emit(changeset.Instruction{Op: changeset.OpEraseObject})
	default:
		w.diffObject(c, before, after)
	}
	return w.out
}

// clearFrom is the size from which a collection that becomes empty is emptied by
// a Clear. Smaller ones are emptied element by element, which takes nothing from
// what devices insert meanwhile.
const clearFrom = 32

func (w *writer) diffObject(c *schema.Class, before, after *Object) {
	for _, name := range unionOfKeys(before.Fields, after.Fields) {
		p := c.Properties[name]
		if p == nil {
			continue
		}
		w.enterField(name)
		w.diffProperty(p, before.Get(p), after.Get(p))
		w.leaveField()
	}
}

func (w *writer) diffProperty(p *schema.Property, before, after Node) {
	if p.Collection == changeset.Single {
		w.diffEntry(p, before, after)
		return
	}
	w.diffCollection(p, before, after)
}

// diffEntry writes the difference of what a property or a dictionary's key holds.
func (w *writer) diffEntry(p *schema.Property, before, after Node) {
	if w.diffWithin(p, before, after) {
		return
	}
	w.update(payload(after))
	w.contents(p, after)
}

// diffWithin writes the difference of two nodes of one kind by what is in them.
// It returns false where the kinds, or two values, differ.
func (w *writer) diffWithin(p *schema.Property, before, after Node) bool {
	switch x := before.(type) {
	case changeset.Value:
		y, ok := after.(changeset.Value)
		return ok && x == y
	case *Object:
		y, ok := after.(*Object)
		if !ok {
			return false
		}
		if c := w.schema.Class(p.Target); c != nil {
			w.diffObject(c, x, y)
		}
		return true
	}
	return w.diffCollection(p, before, after)
}

// diffCollection is diffWithin for collections.
func (w *writer) diffCollection(p *schema.Property, before, after Node) bool {
	switch x := before.(type) {
	case *List:
		y, ok := after.(*List)
		if ok {
			w.diffList(p, x.Items, y.Items)
		}
		return ok
	case *Dictionary:
		y, ok := after.(*Dictionary)
		if ok {
			w.diffDictionary(p, x, y)
		}
		return ok
	case *Set:
		y, ok := after.(*Set)
		if ok {
			w.diffSet(p, x, y)
		}
		return ok
	}
	return false
}

// mayClear reports whether a collection of n elements that is to be empty is
// emptied by a Clear. A Clear at a list index would not follow the list's
// concurrent changes (trap 7.4).
func (w *writer) mayClear(n int) bool { return n >= clearFrom && !w.path.EndsInIndex() }

func (w *writer) diffDictionary(p *schema.Property, before, after *Dictionary) {
	if len(after.Entries) == 0 && w.mayClear(len(before.Entries)) {
		w.clear(changeset.DictionaryOf)
		return
	}
	for _, key := range unionOfKeys(before.Entries, after.Entries) {
		x, had := before.Entries[key]
		y, has := after.Entries[key]
		w.downKey(key)
		switch {
		case !has:
			w.update(changeset.SpecialValue(changeset.Erased))
		case !had:
			w.update(payload(y))
			w.contents(p, y)
		default:
			w.diffEntry(p, x, y)
		}
		w.up()
	}
}

func (w *writer) diffSet(p *schema.Property, before, after *Set) {
	mixed := p.Type == changeset.Mixed
	gone, came := setDifference(before, after, mixed), setDifference(after, before, mixed)
	unerasable := !mixed && len(gone) > 0 && (before.hasBinaryNaN() || slices.Contains(gone, changeset.NullValue()))
	if unerasable || len(after.Items) == 0 && w.mayClear(len(before.Items)) {
		w.clear(changeset.SetOf)
		gone, came = nil, after.Items
	}
	for _, v := range gone {
		w.setErase(v)
	}
	for _, v := range came {
		w.setInsert(v)
	}
}

// setDifference returns the elements of a that b lacks.
func setDifference(a, b *Set, mixed bool) []changeset.Value {
	ids := make(map[changeset.Value]struct{}, len(b.Items))
	for _, v := range b.Items {
		ids[SetIdentity(v, mixed)] = struct{}{}
	}
	var out []changeset.Value
	for _, v := range a.Items {
		if _, ok := ids[SetIdentity(v, mixed)]; !ok {
			out = append(out, v)
		}
	}
	return out
}

func unionOfKeys(a, b map[string]Node) []string {
	keys := make([]string, 0, max(len(a), len(b)))
	keys = slices.AppendSeq(keys, maps.Keys(a))
	for key := range b {
		if _, ok := a[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
