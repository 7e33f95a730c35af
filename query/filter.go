package query

import (
	"math"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/query/geo"
)

// Doc is a MongoDB filter document, or an operator document in one. The empty
// document matches everything.
type Doc []Elem

// Elem is a field of a Doc. Its value is a Doc, a []any of such values, a
// changeset.Value, or a bool, string, int64 or float64. A changeset.Value stands
// for what a document holds for it; timestamps have whole milliseconds.
type Elem struct {
	Name  string
	Value any
}

// Filter returns a MongoDB filter that all objects satisfy which satisfy the
// predicate; others may, too. Properties are expected under prefix and their
// name, the primary key under _id, as values have their BSON form in documents:
// floats as doubles, timestamps truncated to milliseconds toward zero, null and
// initial values possibly absent.
func (p *Predicate) Filter(prefix string) Doc {
	f := filterer{prefix}
	return f.node(p.root, false)
}

type filterer struct{ prefix string }

// nothing matches no document, without looking at any.
func nothing() Doc { return Doc{{"_id", Doc{{"$in", []any{}}}}} }

func isNothing(d Doc) bool {
	if len(d) != 1 || d[0].Name != "_id" {
		return false
	}
	in, ok := d[0].Value.(Doc)
	if !ok || len(in) != 1 || in[0].Name != "$in" {
		return false
	}
	list, ok := in[0].Value.([]any)
	return ok && len(list) == 0
}

// node returns a filter for the node, or for its negation: NOT has to sink to
// the leaves, since the negation of a filter that finds too much finds too
// little.
func (f *filterer) node(n node, negated bool) Doc {
	switch n := n.(type) {
	case truth:
		if bool(n) == negated {
			return nothing()
		}
		return nil
	case *not:
		return f.node(n.term, !negated)
	case *all:
		return f.nodes(n.terms, negated, negated)
	case *some:
		return f.nodes(n.terms, !negated, negated)
	case *test:
		return f.test(n, negated)
	case *inside:
		if !negated {
			return f.inside(n)
		}
	}
	return nil
}

func (f *filterer) nodes(terms []node, or, negated bool) Doc {
	docs := make([]Doc, len(terms))
	for i, t := range terms {
		docs[i] = f.node(t, negated)
	}
	if or {
		return anyDoc(docs)
	}
	return allDocs(docs)
}

func allDocs(docs []Doc) Doc {
	var terms []any
	for _, d := range docs {
		if isNothing(d) {
			return d
		}
		if len(d) > 0 {
			terms = append(terms, d)
		}
	}
	return connected("$and", terms)
}

// anyDoc connects by OR. Equalities of one field become one $in.
func anyDoc(docs []Doc) Doc {
	type equality struct {
		at     int // in terms
		values []any
	}
	var terms []any
	equals := map[string]*equality{} // by field
	for _, d := range docs {
		if len(d) == 0 {
			return nil
		}
		if isNothing(d) {
			continue
		}
		values, ok := equalities(d)
		if !ok {
			terms = append(terms, d)
			continue
		}
		e := equals[d[0].Name]
		if e == nil {
			e = &equality{at: len(terms)}
			equals[d[0].Name] = e
			terms = append(terms, d)
		}
		e.values = append(e.values, values...)
	}
	for name, e := range equals {
		if len(e.values) > 1 {
			terms[e.at] = Doc{{name, Doc{{"$in", e.values}}}}
		}
	}
	if len(terms) == 0 {
		return nothing()
	}
	return connected("$or", terms)
}

// equalities returns the values one of which the only field must equal.
func equalities(d Doc) ([]any, bool) {
	if len(d) != 1 {
		return nil, false
	}
	ops, ok := d[0].Value.(Doc)
	if !ok || len(ops) != 1 {
		return nil, false
	}
	switch ops[0].Name {
	case "$eq":
		return []any{ops[0].Value}, true
	case "$in":
		list, ok := ops[0].Value.([]any)
		return list, ok
	}
	return nil, false
}

func connected(operator string, terms []any) Doc {
	switch len(terms) {
	case 0:
		return nil
	case 1:
		return terms[0].(Doc)
	}
	return Doc{{operator, terms}}
}

func (f *filterer) name(fl *field) string {
	if fl.property == nil {
		return fl.name
	}
	return f.prefix + fl.name
}

// test returns the filter of a comparison.
func (f *filterer) test(t *test, negated bool) Doc {
	if t.relation == notEqual && t.quantifier == unquantified {
		opposite := *t
		opposite.relation = equal
		return f.test(&opposite, !negated)
	}
	if list, ok := t.right.(*constants); ok {
		return f.testConstants(t, list.items, negated)
	}
	if k, ok := t.left.(constant); ok {
		if t.relation.isText() {
			return nil
		}
		mirrored := &test{left: t.right, right: k, quantifier: t.quantifier, relation: t.relation.reversed(), fold: t.fold}
		return f.test(mirrored, negated)
	}
	k, ok := t.right.(constant)
	if !ok {
		return nil // two properties: a filter for that could use no index
	}
	switch left := t.left.(type) {
	case *field:
		if left.many() {
			return f.elements(left, t, k.value, negated)
		}
		return f.field(left, t, k.value, negated)
	case *size:
		return f.size(left, t.relation, k.value, negated)
	}
	return nil
}

// testConstants takes a comparison with constants apart.
func (f *filterer) testConstants(t *test, items []changeset.Value, negated bool) Doc {
	if left, ok := t.left.(*field); ok && left.many() {
		return f.elementsIn(left, t, items, negated)
	}
	terms := make([]node, len(items))
	for i, v := range items {
		single := *t
		single.right, single.quantifier = constant{v}, unquantified
		terms[i] = &single
	}
	switch t.quantifier {
	case allOf:
		return f.nodes(terms, negated, negated)
	case noneOf:
		negated = !negated
	}
	return f.nodes(terms, !negated, negated)
}

// field returns the filter for a property that is no collection.
func (f *filterer) field(left *field, t *test, c changeset.Value, negated bool) Doc {
	neverNull := left.property != nil && !left.property.AcceptsNull()
	if neverNull && c.IsNull() {
		// Then all values fare alike.
		return f.node(truth(t.holds(left.initial, c)), negated)
	}
	if neverNull {
		// Null stands for the initial value only.
		ordinary := *t
		ordinary.nullIsLow = false
		t = &ordinary
	}
	cond := t.condition(left.typ(), c)
	if neverNull && !cond.everything && t.holds(left.initial, c) {
		cond.alternatives = append(cond.alternatives, Doc{{"$eq", changeset.NullValue()}})
	}
	name := f.name(left)
	if negated {
		return cond.negatedField(name)
	}
	return cond.field(name)
}

// elements returns the filter for a comparison of a collection's elements with a
// constant.
func (f *filterer) elements(left *field, t *test, c changeset.Value, negated bool) Doc {
	element := *t
	element.quantifier = unquantified
	opposite := t.relation == notEqual
	if opposite {
		element.relation = equal
	}
	cond := element.condition(left.typ(), c)
	if opposite {
		cond = cond.negated()
	}
	return cond.elements(f.name(left), t.quantifier, negated)
}

// elementsIn is elements for: some, all or no elements equal one of the items.
func (f *filterer) elementsIn(left *field, t *test, items []changeset.Value, negated bool) Doc {
	cond := condition{exact: true}
	for _, v := range items {
		c := t.condition(left.typ(), v)
		cond.exact = cond.exact && c.exact
		cond.everything = cond.everything || c.everything
		cond.alternatives = append(cond.alternatives, c.alternatives...)
	}
	return cond.merged().elements(f.name(left), t.quantifier, negated)
}

// size returns the filter for a collection's number of elements: whether there
// is an element at an index says whether there are more than so many.
func (f *filterer) size(z *size, r relation, c changeset.Value, negated bool) Doc {
	if !z.of.many() || c.Type != changeset.Int || z.of.typ() == changeset.Mixed {
		return nil // in mixed, a number in a path may be a name as well
	}
	n := max(c.Num, -2)
	switch r {
	case greaterEqual, less:
		n--
	}
	if r == less || r == lessEqual {
		negated = !negated
	}
	name := f.name(z.of)
	switch {
	case r != equal:
		return moreThan(name, n, negated)
	case n < 0 || n > math.MaxInt32:
		return f.node(truth(false), negated)
	case n == 0:
		return moreThan(name, 0, !negated)
	case negated:
		return Doc{{name, Doc{{"$not", Doc{{"$size", n}}}}}}
	}
	return Doc{{name, Doc{{"$size", n}}}}
}

// moreThan returns the filter for arrays with more than n elements, or its
// negation.
func moreThan(name string, n int64, negated bool) Doc {
	switch {
	case n < 0 && negated, n >= math.MaxInt32 && !negated:
		return nothing()
	case n < 0, n >= math.MaxInt32:
		return nil
	}
	return Doc{{name + "." + strconv.FormatInt(n, 10), Doc{{"$exists", !negated}}}}
}

// inside returns the filter for a circle around the shape.
func (f *filterer) inside(i *inside) Doc {
	c, ok := geo.Around(i.shape)
	if !ok {
		return nil
	}
	center := []any{c.Center.Longitude, c.Center.Latitude}
	return Doc{{f.name(i.of), Doc{{"$geoWithin", Doc{{"$centerSphere", []any{center, c.Radius}}}}}}}
}

// field returns the filter for a field's value.
func (c condition) field(name string) Doc {
	if c.everything {
		return nil
	}
	docs := make([]Doc, len(c.alternatives))
	for i, ops := range c.alternatives {
		docs[i] = Doc{{name, ops}}
	}
	return anyDoc(docs)
}

func (c condition) negatedField(name string) Doc {
	d := c.field(name)
	switch {
	case !c.exact:
		return nil
	case c.everything:
		return nothing()
	case isNothing(d):
		return nil
	}
	if values, ok := equalities(d); ok {
		if len(values) == 1 {
			return Doc{{name, Doc{{"$ne", values[0]}}}}
		}
		return Doc{{name, Doc{{"$nin", values}}}}
	}
	return Doc{{"$nor", []any{d}}}
}

// elements returns the filter for so many of a collection's elements meeting the
// condition, or for its negation.
func (c condition) elements(name string, q quantifier, negated bool) Doc {
	// ALL holds is NONE fails; and NONE is NOT ANY.
	switch q {
	case allOf:
		c, negated = c.negated(), !negated
	case noneOf:
		negated = !negated
	}
	if negated {
		return c.noElement(name)
	}
	return c.anyElement(name)
}

func (c condition) anyElement(name string) Doc {
	if c.everything {
		return nil // there being an element is not worth a condition
	}
	docs := make([]Doc, len(c.alternatives))
	for i, ops := range c.alternatives {
		docs[i] = Doc{{name, Doc{{"$elemMatch", ops}}}}
	}
	return anyDoc(docs)
}

func (c condition) noElement(name string) Doc {
	if !c.exact || c.everything {
		return nil
	}
	docs := make([]Doc, len(c.alternatives))
	for i, ops := range c.alternatives {
		docs[i] = Doc{{name, Doc{{"$not", Doc{{"$elemMatch", ops}}}}}}
	}
	return allDocs(docs)
}

// quotePattern quotes text for a regular expression.
func quotePattern(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == 0:
			b.WriteString(`\x00`)
		case strings.IndexByte(`\.+*?()|[]{}^$#-/`, c) >= 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
