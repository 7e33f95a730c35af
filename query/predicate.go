package query

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query/geo"
)

// Predicate is a query about the objects of one class. It is immutable.
type Predicate struct {
	class  string
	root   node
	fields []string
	key    string
}

func newPredicate(class string, root node) *Predicate {
	p := &Predicate{class: class, root: root}
	seen := map[string]bool{}
	root.visit(func(f *field) {
		if f.property != nil && !seen[f.name] {
			seen[f.name] = true
			p.fields = append(p.fields, f.name)
		}
	})
	sort.Strings(p.fields)
	sum := sha256.Sum256([]byte(strconv.Quote(class) + root.text()))
	p.key = hex.EncodeToString(sum[:])
	return p
}

// Class returns the name of the class.
func (p *Predicate) Class() string { return p.class }

// Fields returns the names of the properties that the predicate depends on,
// sorted. The primary key is not among them: it is always queryable.
func (p *Predicate) Fields() []string { return p.fields }

// Key returns a text that is the same for queries that differ only in spelling
// and in the order of lists and of what AND and OR connect.
func (p *Predicate) Key() string { return p.key }

// String returns the query in its normal form.
func (p *Predicate) String() string { return p.root.text() }

// MatchesAll and MatchesNone report whether the query is known to be true, or
// false, of every object.
func (p *Predicate) MatchesAll() bool  { return p.root == node(truth(true)) }
func (p *Predicate) MatchesNone() bool { return p.root == node(truth(false)) }

// Match reports whether the object satisfies the query. It depends on the
// primary key and on the properties that Fields names. A nil object satisfies
// none.
func (p *Predicate) Match(key changeset.Key, o *object.Object) bool {
	return o != nil && p.root.match(subject{key, o})
}

// node is a part of a predicate: a truth, *all, *some, *not, *test, *inside.
type node interface {
	match(subject) bool
	text() string         // the same for equivalent spellings
	visit(func(f *field)) // calls the function with each field
}

func (t truth) match(subject) bool { return bool(t) }
func (t truth) visit(func(*field)) {}
func (t truth) text() string {
	if t {
		return "TRUEPREDICATE"
	}
	return "FALSEPREDICATE"
}

// all is true if all terms are, some if at least one is. Their terms are sorted
// by text, different, and of other kinds.
type all struct{ terms []node }
type some struct{ terms []node }

func (a *all) match(s subject) bool {
	for _, t := range a.terms {
		if !t.match(s) {
			return false
		}
	}
	return true
}

func (o *some) match(s subject) bool {
	for _, t := range o.terms {
		if t.match(s) {
			return true
		}
	}
	return false
}

func (a *all) visit(fn func(*field)) {
	for _, t := range a.terms {
		t.visit(fn)
	}
}

func (o *some) visit(fn func(*field)) {
	for _, t := range o.terms {
		t.visit(fn)
	}
}

func (a *all) text() string  { return joined(a.terms, " and ") }
func (o *some) text() string { return joined(o.terms, " or ") }

func joined(terms []node, word string) string {
	texts := make([]string, len(terms))
	for i, t := range terms {
		texts[i] = t.text()
	}
	return "(" + strings.Join(texts, word) + ")"
}

// newAll and newSome connect nodes in normal form.
func newAll(terms []node) node {
	terms = normalTerms(terms, false, func(n node) []node {
		if a, ok := n.(*all); ok {
			return a.terms
		}
		return nil
	})
	if len(terms) == 1 {
		return terms[0]
	}
	return &all{terms}
}

func newSome(terms []node) node {
	terms = normalTerms(terms, true, func(n node) []node {
		if o, ok := n.(*some); ok {
			return o.terms
		}
		return nil
	})
	if len(terms) == 1 {
		return terms[0]
	}
	return &some{terms}
}

// normalTerms flattens, sorts, and drops what makes no difference. decides is
// the truth value of a term that decides for all.
func normalTerms(terms []node, decides bool, inside func(node) []node) []node {
	type keyed struct {
		text string
		node node
	}
	var flat []keyed
	for _, t := range terms {
		parts := inside(t)
		if parts == nil {
			parts = []node{t}
		}
		for _, part := range parts {
			if value, ok := part.(truth); ok {
				if bool(value) == decides {
					return []node{value}
				}
				continue
			}
			flat = append(flat, keyed{part.text(), part})
		}
	}
	slices.SortFunc(flat, func(a, b keyed) int { return strings.Compare(a.text, b.text) })
	flat = slices.CompactFunc(flat, func(a, b keyed) bool { return a.text == b.text })
	if len(flat) == 0 {
		return []node{truth(!decides)}
	}
	out := make([]node, len(flat))
	for i := range flat {
		out[i] = flat[i].node
	}
	return out
}

type not struct{ term node }

func (n *not) match(s subject) bool  { return !n.term.match(s) }
func (n *not) visit(fn func(*field)) { n.term.visit(fn) }
func (n *not) text() string          { return "!(" + n.term.text() + ")" }

func newNot(term node) node {
	switch t := term.(type) {
	case truth:
		return !t
	case *not:
		return t.term
	}
	return &not{term}
}

// inside is a GeoJSON point's being within a shape.
type inside struct {
	of    *field
	shape geo.Shape
}

func (i *inside) visit(fn func(*field)) { fn(i.of) }
func (i *inside) text() string          { return i.of.text() + " GEOWITHIN " + i.shape.String() }

func (i *inside) match(s subject) bool {
	o, ok := s.object.Fields[i.of.name].(*object.Object)
	if !ok {
		return false
	}
	p, ok := pointOf(o)
	return ok && i.shape.Contains(p)
}

// pointOf reads an embedded object that is a GeoJSON point.
func pointOf(o *object.Object) (geo.Point, bool) {
	kind, _ := o.Fields["type"].(changeset.Value)
	list, ok := o.Fields["coordinates"].(*object.List)
	if !ok || kind != changeset.StringValue("Point") || len(list.Items) < 2 {
		return geo.Point{}, false
	}
	lng, ok1 := list.Items[0].(changeset.Value)
	lat, ok2 := list.Items[1].(changeset.Value)
	if !ok1 || !ok2 || lng.Type != changeset.Double || lat.Type != changeset.Double {
		return geo.Point{}, false
	}
	return geo.Point{Longitude: lng.Float64(), Latitude: lat.Float64()}, true
}
