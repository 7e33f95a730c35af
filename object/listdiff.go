package object

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// diffList writes what turns one list into the other, in ascending order of
// index. Equal elements at both ends stay. Of the rest the fewest elements
// are erased and inserted; where that would take too long, or what is erased and
// inserted meets at one index, elements are changed where they are.
//
// Embedded objects and dictionaries that carry an identifying property (see
// identityNames) are told apart by it, so that one which only changed stays.
func (w *writer) diffList(p *schema.Property, before, after []Node) {
	if len(after) == 0 && w.mayClear(len(before)) {
		w.clear(changeset.ListOf)
		return
	}
	head := 0
	for head < len(before) && head < len(after) && equalNodes(w.schema, p, before[head], after[head]) {
		head++
	}
	tail := 0
	for tail < min(len(before), len(after))-head &&
		equalNodes(w.schema, p, before[len(before)-1-tail], after[len(after)-1-tail]) {
		tail++
	}
	l := listWriter{w: w, p: p, index: head, n: len(before)}
	a, b := before[head:len(before)-tail], after[head:len(after)-tail]
	if len(a) == 0 || len(b) == 0 {
		l.replace(a, b)
		return
	}
	i, j := 0, 0
	for _, m := range w.matches(p, a, b) {
		l.replace(a[i:m.a], b[j:m.b])
		l.change(a[m.a], b[m.b])
		i, j = m.a+1, m.b+1
	}
	l.replace(a[i:], b[j:])
}

// listWriter writes changes of one list from left to right.
type listWriter struct {
	w     *writer
	p     *schema.Property
	index int // where the next change is
	n     int // length of the list now
}

// change turns an element into another of the same kind, and passes it.
func (l *listWriter) change(before, after Node) {
	l.w.down(l.index)
	if !l.w.diffWithin(l.p, before, after) {
		l.w.updateElement(payload(after), l.n)
		l.w.contents(l.p, after)
	}
	l.w.up()
	l.index++
}

// replace turns a run of elements into another. Embedded objects and dictionaries
// that are similar stay, as far as their order allows.
func (l *listWriter) replace(before, after []Node) {
	i, j := 0, 0
	for _, m := range l.w.similarPairs(l.p, before, after) {
		l.replaceAll(before[i:m.a], after[j:m.b])
		l.change(before[m.a], after[m.b])
		i, j = m.a+1, m.b+1
	}
	l.replaceAll(before[i:], after[j:])
}

// replaceAll is replace pair by pair, the rest by erasures and insertions.
func (l *listWriter) replaceAll(before, after []Node) {
	pairs := min(len(before), len(after))
	for i := range pairs {
		if l.w.changeable(l.p, before[i], after[i]) {
			l.change(before[i], after[i])
			continue
		}
		l.erase()
		l.insert(after[i])
	}
	for range before[pairs:] {
		l.erase()
	}
	for _, node := range after[pairs:] {
		l.insert(node)
	}
}

func (l *listWriter) erase() {
	l.w.down(l.index)
	l.w.erase(l.n)
	l.w.up()
	l.n--
}

func (l *listWriter) insert(node Node) {
	l.w.down(l.index)
	l.w.insert(payload(node), l.n)
	l.w.contents(l.p, node)
	l.w.up()
	l.n++
	l.index++
}

// numbering gives equal elements equal numbers.
type numbering struct {
	values map[changeset.Value]int
	texts  map[string]int
	next   int
}

func (n *numbering) value(v changeset.Value) int {
	return number(n, n.values, v)
}

func (n *numbering) text(t string) int {
	return number(n, n.texts, t)
}

func number[K comparable](n *numbering, numbers map[K]int, k K) int {
	i, ok := numbers[k]
	if !ok {
		i = n.next
		numbers[k] = i
		n.next++
	}
	return i
}

// matches returns the elements that stay: a longest common subsequence by
// identity where each element has one of its own, else by content. Nil where
// finding one would take too long.
func (w *writer) matches(p *schema.Property, a, b []Node) []match {
	n := &numbering{values: make(map[changeset.Value]int), texts: make(map[string]int)}
	x, y := w.identities(p, n, a), w.identities(p, n, b)
	if x == nil || y == nil {
		x, y = w.numbers(p, n, a), w.numbers(p, n, b)
	}
	return commonSubsequence(x, y)
}

// identities numbers the elements by identity. Nil if one has none, or two the same.
func (w *writer) identities(p *schema.Property, n *numbering, items []Node) []int {
	out, seen := make([]int, len(items)), make(map[string]bool, len(items))
	for i, item := range items {
		var fields map[string]Node
		switch item := item.(type) {
		case *Object:
			c := w.schema.Class(p.Target)
			if c == nil {
				return nil
			}
			fields = written(c, item)
		case *Dictionary:
			fields = item.Entries
		}
		id := identity(fields)
		if id == "" || seen[id] {
			return nil
		}
		seen[id] = true
		out[i] = n.text(id)
	}
	return out
}

// numbers numbers the elements by content.
func (w *writer) numbers(p *schema.Property, n *numbering, items []Node) []int {
	out := make([]int, len(items))
	for i, item := range items {
		if v, ok := item.(changeset.Value); ok {
			out[i] = n.value(v)
		} else {
			out[i] = n.text(string(w.appendContent(nil, p, item)))
		}
	}
	return out
}
