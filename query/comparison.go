package query

import (
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
)

// test is a comparison of two sources. The values of one that is many are
// quantified. If both are, those of the left one are, and the right one stands
// for any of its constants.
type test struct {
	left, right source
	quantifier  quantifier // unquantified when neither is many
	relation    relation
	fold        bool
	plain       bool // a property that is no collection is compared with a constant, in this order
	nullIsLow   bool // null sorts below all (strings)
	plainNaN    bool // NaN equals nothing and has no order, as IEEE 754 has it

	// index has the constants of a long list, where to equal one of them is to
	// be in it.
	index map[changeset.Value]struct{}
}

// indexFrom is the length from which constants are looked up, not compared.
const indexFrom = 8

// makeIndex makes the index if it is of use.
func (t *test) makeIndex() {
	f, ok1 := t.left.(*field)
	list, ok2 := t.right.(*constants)
	if !ok1 || !ok2 || f.many() || !f.hasPlainEquality() || t.relation != equal || t.fold || t.quantifier == allOf || len(list.items) < indexFrom {
		return
	}
	t.index = make(map[changeset.Value]struct{}, len(list.items))
	for _, v := range list.items {
		t.index[v] = struct{}{}
	}
}

func (t *test) visit(fn func(*field)) {
	visitSource(t.left, fn)
	visitSource(t.right, fn)
}

func visitSource(s source, fn func(*field)) {
	switch s := s.(type) {
	case *field:
		fn(s)
	case *size:
		fn(s.of)
	case *computed:
		visitSource(s.left, fn)
		visitSource(s.right, fn)
	}
}

// mirror exchanges the two sides, unless the client would then compare nulls or
// NaNs in another way.
func (t *test) mirror() {
	if f, ok := t.right.(*field); ok && !f.many() {
		c, ok := t.left.(constant)
		if ok && (f.typ() == changeset.String && t.relation.isOrder() || isFloat(f.typ()) && isFloat(c.value.Type)) {
			return
		}
	}
	t.left, t.right, t.relation = t.right, t.left, t.relation.reversed()
}

func isFloat(t changeset.Type) bool { return t == changeset.Float || t == changeset.Double }

func (t *test) text() string {
	relation := t.relation.String()
	if t.fold {
		relation += "[c]"
	}
	left, right := t.left.text(), t.right.text()
	if t.left.many() {
		left = quantifierTexts[t.quantifier] + left
	} else if t.right.many() {
		right = quantifierTexts[t.quantifier] + right
	}
	return left + " " + relation + " " + right
}

// valueText is the same for values only that make no difference.
func valueText(v changeset.Value) string {
	if v.Type == changeset.String {
		return strconv.Quote(v.Str)
	}
	return v.String()
}

func listText(items []changeset.Value) string {
	texts := make([]string, len(items))
	for i, v := range items {
		texts[i] = valueText(v)
	}
	slices.Sort(texts)
	return "{" + strings.Join(slices.Compact(texts), ", ") + "}"
}

func (t *test) match(s subject) bool {
	switch {
	case t.index != nil:
		_, found := t.index[one(t.left, s)]
		return found == (t.quantifier == anyOf)
	case t.left.many() && t.right.many():
		return t.quantify(t.left, s, t.equalsAny)
	case t.left.many():
		right := one(t.right, s)
		return t.quantify(t.left, s, func(v changeset.Value) bool { return t.holds(v, right) })
	case t.right.many():
		left := one(t.left, s)
		return t.quantify(t.right, s, func(v changeset.Value) bool { return t.holds(left, v) })
	}
	return t.holds(one(t.left, s), one(t.right, s))
}

func (t *test) quantify(src source, s subject, holds func(changeset.Value) bool) bool {
	wanted := t.quantifier != allOf // the outcome that ends the search
	found := false
	src.values(s, func(v changeset.Value) bool {
		found = holds(v) == wanted
		return !found
	})
	if t.quantifier == anyOf {
		return found
	}
	return !found
}

// equalsAny reports whether v equals any of the right source's values.
func (t *test) equalsAny(v changeset.Value) bool {
	found := false
	t.right.values(subject{}, func(c changeset.Value) bool {
		found = t.holds(v, c)
		return !found
	})
	return found
}

// holds compares two values.
func (t *test) holds(a, b changeset.Value) bool {
	switch t.relation {
	case equal:
		return t.equal(a, b)
	case notEqual:
		return !t.equal(a, b)
	}
	if t.relation.isText() {
		return t.holdsText(a, b)
	}
	if a.IsNull() || b.IsNull() {
		if t.nullIsLow {
			return relates(t.relation, boolToInt(b.IsNull())-boolToInt(a.IsNull()))
		}
		return (t.relation == lessEqual || t.relation == greaterEqual) && a.IsNull() && b.IsNull()
	}
	c, ok := t.order(a, b)
	return ok && relates(t.relation, c)
}

// relates reports whether an order is of the relation.
func relates(r relation, order int) bool {
	switch r {
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	}
	return order >= 0
}

func (t *test) equal(a, b changeset.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() && b.IsNull()
	}
	if t.fold && isTextual(a) && a.Type == b.Type {
		return foldCase(a.Str) == foldCase(b.Str)
	}
	c, ok := t.order(a, b)
	return ok && c == 0
}

func (t *test) order(a, b changeset.Value) (int, bool) {
	if t.plainNaN && (isNaN(a) || isNaN(b)) {
		return 0, false
	}
	return order(a, b)
}

func (t *test) isBinary() bool {
	f, ok := t.left.(*field)
	return ok && f.typ() == changeset.Binary
}

func isTextual(v changeset.Value) bool {
	return v.Type == changeset.String || v.Type == changeset.Binary
}

func (t *test) holdsText(a, b changeset.Value) bool {
	if b.IsNull() {
		switch t.relation {
		case like:
			return a.IsNull()
		case contains:
			return !a.IsNull() || t.plain && !(t.fold && t.isBinary())
		}
		return t.plain
	}
	if !isTextual(a) || a.Type != b.Type {
		return false
	}
	text, part := a.Str, b.Str
	if t.fold {
		text, part = foldCase(text), foldCase(part)
	}
	switch t.relation {
	case beginsWith:
		return strings.HasPrefix(text, part)
	case endsWith:
		return strings.HasSuffix(text, part)
	case contains:
		return strings.Contains(text, part)
	}
	return matchesLike(text, part)
}
