package history

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// fitting makes merged instructions fit an object on which the merge met a pair
// that devices merge wrongly. After such a pair a list may be another than the one
// that the instructions were merged for: it was made anew, or belongs to an embedded
// object that was. What the author put into it since goes where it was meant to be
// among what is there; what is about elements that are gone is left out.
type fitting struct {
	w   *work
	o   *objectWork
	now *object.Object // a copy, unless it is the object's own
	own bool

	lists map[string]*shadow // by property and path, as the instructions have them
	room  int                // for elements of more shadows
}

// shadow is a list as the instructions take it to be: for each element, whether it
// is there.
type shadow struct {
	there []bool
	more  int // elements behind them of which the instructions know nothing
}

func (l *shadow) length() uint32 { return l.before(len(l.there)) + uint32(l.more) }

// before returns how many of the elements before the index are there.
func (l *shadow) before(index int) uint32 {
	var n uint32
	for _, there := range l.there[:index] {
		if there {
			n++
		}
	}
	return n
}

// fit returns what can be done of the merged instructions, such that it fits the
// object.
func (w *work) fit(o *objectWork, merged changeset.Changeset) changeset.Changeset {
	f := &fitting{w: w, o: o, now: o.now, lists: map[string]*shadow{}, room: shadowRoom}
	var out changeset.Changeset
	for _, in := range merged {
		if f.take(&in) {
			out = append(out, in)
		}
	}
	return out
}

// take applies an instruction, made to fit, and reports whether it could.
func (f *fitting) take(in *changeset.Instruction) bool {
	switch in.Op {
	case changeset.OpCreateObject:
		if f.now == nil {
			f.now, f.own = &object.Object{}, true
		}
		return true
	case changeset.OpEraseObject:
		f.now = nil
		clear(f.lists)
		return true
	}
	if f.now == nil {
		return false
	}
	if !f.own {
		f.now, f.own = f.now.Clone(), true
	}
	asMerged := *in
	if f.translate(in) && f.apply(in) {
		return true
	}
	*in = asMerged
	return f.notice(in) && f.translate(in) && f.apply(in)
}

func (f *fitting) apply(in *changeset.Instruction) bool {
	return f.now.Apply(f.w.schema, f.o.class, in) == nil
}

// notice makes a shadow for the list that an instruction goes into by a position,
// if it has none and is not as long as the instruction says.
func (f *fitting) notice(in *changeset.Instruction) bool {
	if !in.Path.EndsInIndex() || in.Op == changeset.OpClear {
		return false
	}
	at := containerOf(in, len(in.Path)-1)
	there := *in
	if f.lists[at] != nil || !f.translateSteps(&there, len(in.Path)-1) {
		return false
	}
	length, ok := f.now.ListLength(f.w.schema, f.o.class, &there)
	if !ok || length == in.Prior || int64(in.Prior) > int64(f.room) {
		return false
	}
	l := &shadow{there: make([]bool, in.Prior), more: max(0, int(length)-int(in.Prior))}
	for i := range min(length, in.Prior) {
		l.there[i] = true
	}
	f.lists[at] = l
	f.room -= len(l.there)
	return true
}

// shadowRoom bounds what is allocated for the lengths that instructions claim.
const shadowRoom = 1 << 20

// containerOf names what the path's step is a step into.
func containerOf(in *changeset.Instruction, step int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q", in.Field)
	for _, e := range in.Path[:step] {
		if e.IsIndex {
			fmt.Fprintf(&b, " %d", e.Index)
		} else {
			fmt.Fprintf(&b, " %q", e.Name)
		}
	}
	return b.String()
}

// translateSteps makes the first steps of the path lead to where the elements are.
// It reports false if one is gone.
func (f *fitting) translateSteps(in *changeset.Instruction, steps int) bool {
	if len(f.lists) == 0 {
		return true
	}
	path := slices.Clone(in.Path)
	for i := range steps {
		l := f.lists[containerOf(in, i)]
		if l == nil || !path[i].IsIndex {
			continue
		}
		index := int(path[i].Index)
		if index >= len(l.there) || !l.there[index] {
			return false
		}
		path[i].Index = l.before(index)
	}
	in.Path = path
	return true
}

// translate makes an instruction be about the elements that are there, and does to
// the shadows what it does. It reports false if what it is about is gone.
func (f *fitting) translate(in *changeset.Instruction) bool {
	asMerged := *in
	last := len(in.Path) - 1
	if !f.translateSteps(in, last) {
		return false
	}
	if last < 0 || !in.Path[last].IsIndex {
		f.forget(&asMerged)
		return true
	}
	l := f.lists[containerOf(&asMerged, last)]
	if l == nil {
		return true
	}
	index := int(in.Path[last].Index)
	if in.Op == changeset.OpArrayInsert {
		index = min(index, len(l.there))
		in.Path[last].Index, in.Prior = l.before(index), l.length()
		l.there = slices.Insert(l.there, index, true)
		return true
	}
	if index >= len(l.there) {
		return false
	}
	there, from := l.there[index], l.before(index)
	in.Path[last].Index, in.Prior = from, l.length()
	switch in.Op {
	case changeset.OpArrayErase:
		l.there = slices.Delete(l.there, index, index+1)
	case changeset.OpArrayMove:
		to := min(int(in.To), len(l.there)-1)
		l.there = slices.Insert(slices.Delete(l.there, index, index+1), to, there)
		in.To = l.before(to)
		there = there && in.To != from
	}
	return there
}

// forget drops the shadows of lists that an instruction empties or makes be no
// more: of what it addresses, and what is inside. (A list that is made again keeps
// its content.)
func (f *fitting) forget(in *changeset.Instruction) {
	again := in.Value.Type == changeset.List || in.Value.Type == changeset.Dictionary
	if len(f.lists) == 0 || in.Op != changeset.OpClear && (in.Op != changeset.OpUpdate || again) {
		return
	}
	at := containerOf(in, len(in.Path))
	for list := range f.lists {
		if list == at || strings.HasPrefix(list, at+" ") {
			delete(f.lists, list)
		}
	}
}
