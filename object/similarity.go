package object

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// changeable reports whether an element is changed where it is, rather than
// erased and the other one inserted.
func (w *writer) changeable(p *schema.Property, before, after Node) bool {
	switch x := before.(type) {
	case changeset.Value:
		// Clients leave a link in a mixed whose target is gone when it is set to null (trap 7.8).
		y, ok := after.(changeset.Value)
		return !(ok && x.Type == changeset.Link && y.IsNull())
	case *Object:
		return w.similarNodes(p, before, after)
	case *Dictionary:
		_, ok := after.(*Dictionary)
		return !ok || w.similarNodes(p, before, after)
	}
	return true
}

// maxPairs bounds the pairs of elements that are looked at for similarity.
const maxPairs = 1024

// similarPairs returns a longest sequence of similar pairs, in order. Nil where
// there would be too many pairs to look at.
func (w *writer) similarPairs(p *schema.Property, a, b []Node) []match {
	if len(a) == 0 || len(b) == 0 || len(a) > maxPairs/len(b) || p.Type != changeset.Mixed && !w.schema.IsEmbedded(p) {
		return nil
	}
	similar := make([]bool, len(a)*len(b))
	longest := make([]int, (len(a)+1)*(len(b)+1)) // of a[i:] and b[j:]
	at := func(i, j int) int { return i*(len(b)+1) + j }
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			longest[at(i, j)] = max(longest[at(i+1, j)], longest[at(i, j+1)])
			if w.similarNodes(p, a[i], b[j]) {
				similar[i*len(b)+j] = true
				longest[at(i, j)] = max(longest[at(i, j)], 1+longest[at(i+1, j+1)])
			}
		}
	}
	var out []match
	for i, j := 0, 0; i < len(a) && j < len(b) && longest[at(i, j)] > 0; {
		switch {
		case similar[i*len(b)+j] && longest[at(i, j)] == 1+longest[at(i+1, j+1)]:
			out = append(out, match{i, j})
			i, j = i+1, j+1
		case longest[at(i+1, j)] >= longest[at(i, j+1)]:
			i++
		default:
			j++
		}
	}
	return out
}

// similarNodes reports whether two embedded objects, or two dictionaries, are
// one that changed.
func (w *writer) similarNodes(p *schema.Property, before, after Node) bool {
	switch x := before.(type) {
	case *Object:
		y, ok := after.(*Object)
		c := w.schema.Class(p.Target)
		return ok && c != nil && w.similar(written(c, x), written(c, y), func(name string, a, b Node) bool {
			return equalNodes(w.schema, c.Properties[name], a, b)
		})
	case *Dictionary:
		y, ok := after.(*Dictionary)
		return ok && w.similar(x.Entries, y.Entries, func(_ string, a, b Node) bool { return equalNodes(w.schema, p, a, b) })
	}
	return false
}

// written returns the properties that have not their initial values.
func written(c *schema.Class, o *Object) map[string]Node {
	out := make(map[string]Node, len(o.Fields))
	for name, node := range o.Fields {
		if p := c.Properties[name]; p != nil && !isInitial(p, node) {
			out[name] = node
		}
	}
	return out
}

// similar reports whether two elements are one that changed: they have the same
// identity or, where neither has one, more than half of their fields are equal.
func (w *writer) similar(a, b map[string]Node, equal func(name string, a, b Node) bool) bool {
	x, y := identity(a), identity(b)
	if x != "" || y != "" {
		return x == y
	}
	names := unionOfKeys(a, b)
	same := 0
	for _, name := range names {
		if x, y := a[name], b[name]; x != nil && y != nil && equal(name, x, y) {
			same++
		}
	}
	return 2*same > len(names) || len(names) == 0
}

// identityNames are the fields that identify an element among others.
var identityNames = [...]string{"_id", "id", "key", "uuid"}

// identity returns a text that is equal for elements of equal identity, empty
// for those without one.
func identity(fields map[string]Node) string {
	for _, name := range identityNames {
		if v, ok := fields[name].(changeset.Value); ok && !v.IsNull() {
			return string(appendValue([]byte(name), v))
		}
	}
	return ""
}
