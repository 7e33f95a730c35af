package query

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Bind makes the query one about a class: it finds the properties, gives the
// constants the types of what they are compared with, and refuses what
// subscriptions can't ask. The error is ErrUnknownClass or a *MatchError.
func (q *Query) Bind(s *schema.Schema, class string) (*Predicate, error) {
	c := s.Class(class)
	if c == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownClass, class)
	}
	b := binder{schema: s, class: c}
	if c.Kind != changeset.TopLevel {
		return nil, b.errorAt(-1, "its objects can't be subscribed to")
	}
	root, err := b.expression(q.root)
	if err != nil {
		return nil, err
	}
	return newPredicate(class, root), nil
}

type binder struct {
	schema *schema.Schema
	class  *schema.Class
}

func (b *binder) errorAt(offset int, format string, args ...any) error {
	return &MatchError{b.class.Name, offset, fmt.Sprintf(format, args...)}
}

func (b *binder) expression(e expression) (node, error) {
	switch e := e.(type) {
	case *junction:
		terms := make([]node, len(e.terms))
		for i, t := range e.terms {
			n, err := b.expression(t)
			if err != nil {
				return nil, err
			}
			terms[i] = n
		}
		if e.or {
			return newSome(terms), nil
		}
		return newAll(terms), nil
	case *negation:
		n, err := b.expression(e.term)
		if err != nil {
			return nil, err
		}
		return newNot(n), nil
	case *comparison:
		return b.comparison(e)
	case *between:
		return b.between(e)
	case *within:
		return b.within(e)
	case truth:
		return e, nil
	}
	return nil, errors.New("query: unknown expression") // the parser makes no other
}

// lookup finds the field that a property names.
func (b *binder) lookup(p property) (*field, error) {
	refused := notQueryable(b.class.Name, p.name, p.offset)
	if p.name == schema.KeyField && !p.rest && !p.index {
		return &field{name: p.name, keyType: b.class.KeyType}, nil
	}
	found := b.class.Properties[p.name]
	if found == nil || p.rest || p.index || found.Type == changeset.Link || found.Collection == changeset.DictionaryOf {
		return nil, refused
	}
	return newField(found), nil
}

// bound is an operand that was bound. Literals wait for the other operand's
// type.
type bound struct {
	source     source         // nil for literals
	typ        changeset.Type // of the source's values
	numeric    bool           // typ is of any number: results of arithmetic
	literals   []literal
	isList     bool // {…}
	quantifier quantifier
	offset     int
	name       string // for errors
}

func (b *binder) operand(o operand) (bound, error) {
	switch o := o.(type) {
	case property:
		return b.property(o)
	case literal:
		return bound{literals: []literal{o}, offset: o.offset, name: "the constant"}, b.checkLiteral(o)
	case *list:
		out := bound{literals: o.items, isList: true, quantifier: o.quantifier, offset: o.offset, name: "the list"}
		for _, item := range o.items {
			if err := b.checkLiteral(item); err != nil {
				return out, err
			}
		}
		return out, nil
	case *arithmetic:
		return b.arithmetic(o)
	}
	return bound{}, errors.New("query: unknown operand") // the parser makes no other
}

func (b *binder) checkLiteral(l literal) error {
	if l.link {
		return b.errorAt(l.offset, "links are not queryable")
	}
	return nil
}

func (b *binder) property(p property) (bound, error) {
	f, err := b.lookup(p)
	if err != nil {
		return bound{}, err
	}
	out := bound{source: f, typ: f.typ(), quantifier: p.quantifier, offset: p.offset, name: fmt.Sprintf("%q", p.name)}
	if p.quantifier != unquantified && !f.many() {
		return out, b.errorAt(p.offset, "ANY, ALL and NONE need a list or a set, which %q is not", p.name)
	}
	switch p.suffix {
	case "":
		return out, nil
	case "@size", "@count":
		if !f.many() && f.typ() != changeset.String && f.typ() != changeset.Binary {
			return out, b.errorAt(p.offset, "%q has no %s", p.name, p.suffix)
		}
		out.source, out.typ, out.quantifier = &size{f}, changeset.Int, unquantified
		return out, nil
	}
	return out, b.errorAt(p.offset, "%s is not supported", p.suffix)
}

func (b *binder) arithmetic(a *arithmetic) (bound, error) {
	out := bound{typ: changeset.Mixed, numeric: true, offset: a.offset, name: "the result"}
	sides := [2]source{}
	for i, o := range []operand{a.left, a.right} {
		side, err := b.operand(o)
		if err != nil {
			return out, err
		}
		if side.source == nil {
			if side.isList || side.literals[0].number == "" {
				return out, b.errorAt(side.offset, "only numbers can be computed with")
			}
			v, err := b.constant(side.literals[0], changeset.Mixed)
			if err != nil {
				return out, err
			}
			sides[i] = constant{v}
			continue
		}
		if side.source.many() || !isNumber(side.typ) && side.typ != changeset.Mixed {
			return out, b.errorAt(side.offset, "only numbers can be computed with, which %s is not", side.name)
		}
		sides[i] = side.source
	}
	out.source = &computed{a.op, sides[0], sides[1]}
	return out, nil
}

func (b *binder) comparison(c *comparison) (node, error) {
	left, err := b.operand(c.left)
	if err != nil {
		return nil, err
	}
	right, err := b.operand(c.right)
	if err != nil {
		return nil, err
	}
	if left.source == nil && right.source == nil {
		return nil, b.errorAt(c.offset, "two constants are compared: one side must be a property")
	}
	return b.compare(c, left, right)
}

func (b *binder) compare(c *comparison, left, right bound) (node, error) {
	if left.source != nil && right.source != nil && !comparableTypes(left.typ, right.typ) {
		return nil, b.errorAt(c.offset, "%s (%s) and %s (%s) can't be compared",
			left.name, typeName(left.typ), right.name, typeName(right.typ))
	}
	t := &test{relation: c.relation, fold: c.fold}
	typ := left.typ
	if left.source == nil {
		typ = right.typ
	}
	var err error
	if t.left, err = b.fill(left, typ); err != nil {
		return nil, err
	}
	if t.right, err = b.fill(right, typ); err != nil {
		return nil, err
	}
	if c.relation.isText() && typ != changeset.String && typ != changeset.Binary && typ != changeset.Mixed {
		return nil, b.errorAt(c.offset, "%v is for strings and binaries, not for %s", c.relation, typeName(typ))
	}
	switch {
	case t.left.many() && t.right.many():
		return b.compareLists(c, t, left, right)
	case t.left.many():
		t.quantifier = max(left.quantifier, anyOf)
	case t.right.many():
		t.quantifier = max(right.quantifier, anyOf)
	case c.in:
		return nil, b.errorAt(c.offset, "IN needs a list or a set, which %s is not", right.name)
	}
	if f, ok := t.left.(*field); ok && !f.many() {
		if k, ok := t.right.(constant); ok {
			t.plain = true
			t.nullIsLow = typ == changeset.String
			t.plainNaN = typ == k.value.Type && isFloat(typ)
		}
	}
	if left.source == nil && !c.relation.isText() {
		t.mirror()
	}
	t.makeIndex()
	return t, nil
}

// compareLists binds the one comparison of two lists that there is: that of the
// elements of a property with any of some constants.
func (b *binder) compareLists(c *comparison, t *test, left, right bound) (node, error) {
	switch {
	case left.source == nil || right.source != nil:
		return nil, b.errorAt(c.offset, "lists can't be compared with lists; write ANY %s IN {…}", left.name)
	case left.quantifier == unquantified || right.quantifier > anyOf || c.relation != equal:
		return nil, b.errorAt(c.offset, "lists can't be compared with lists; write ANY %s IN {…}", left.name)
	}
	t.quantifier = left.quantifier
	return t, nil
}

// fill returns the operand's source; constants get the type.
func (b *binder) fill(o bound, typ changeset.Type) (source, error) {
	if o.source != nil {
		return o.source, nil
	}
	values := make([]changeset.Value, len(o.literals))
	for i, l := range o.literals {
		v, err := b.constant(l, typ)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	if o.isList {
		return &constants{values}, nil
	}
	return constant{values[0]}, nil
}

func comparableTypes(a, b changeset.Type) bool {
	return a == b || a == changeset.Mixed || b == changeset.Mixed || isNumber(a) && isNumber(b)
}

func typeName(t changeset.Type) string {
	if t == changeset.Mixed {
		return "mixed"
	}
	return t.String()
}

// constant gives a literal the type of what it is compared with.
func (b *binder) constant(l literal, typ changeset.Type) (changeset.Value, error) {
	if l.number == "" {
		v := l.value
		if !v.IsNull() && typ != changeset.Mixed && v.Type != typ {
			return v, b.errorAt(l.offset, "a value of type %s can't be compared with a %s", typeName(v.Type), typeName(typ))
		}
		return v, nil
	}
	switch typ {
	case changeset.Int:
		v := intConstant(l.number)
		if f := v.Float64(); v.Type == changeset.Double && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			v = changeset.IntValue(int64(f)) // 1e3, as clients read it
		}
		return v, nil
	case changeset.Mixed:
		return intConstant(l.number), nil
	case changeset.Float, changeset.Double:
		if isInteger(l.number) {
			return intConstant(l.number), nil
		}
		if typ == changeset.Float {
			return changeset.FloatValue(floatConstant(l.number)), nil
		}
		return doubleConstant(l.number), nil
	case changeset.Decimal:
		if v, err := changeset.ParseDecimal(l.number); err == nil {
			return v, nil
		}
		return intConstant(l.number), nil // hexadecimal
	}
	return changeset.Value{}, b.errorAt(l.offset, "a number can't be compared with a %s", typeName(typ))
}

// intConstant reads a number for an integer or mixed. Integers that are too
// large become the largest, as clients read them.
func intConstant(text string) changeset.Value {
	i, err := parseInt(text)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return changeset.IntValue(i)
	}
	return doubleConstant(text)
}

// parseInt reads decimal digits, or hexadecimal ones after 0x. What is out of
// range is the nearest integer and an ErrRange.
func parseInt(text string) (int64, error) {
	if digits, ok := strings.CutPrefix(strings.TrimPrefix(text, "-"), "0x"); ok {
		if strings.HasPrefix(text, "-") {
			digits = "-" + digits
		}
		return strconv.ParseInt(digits, 16, 64)
	}
	return strconv.ParseInt(text, 10, 64)
}

// isInteger reports whether a number is written without point and exponent.
func isInteger(text string) bool {
	return strings.Trim(text, "-0123456789") == "" || strings.Contains(text, "0x")
}

// floatConstant rounds once, from the text; what is out of range is infinite.
func floatConstant(text string) float32 {
	f, _ := strconv.ParseFloat(text, 32)
	return float32(f)
}

// quietNaN is the NaN of clients' literals, which is not that of Go.
const quietNaN = 0x7ff8000000000000

func doubleConstant(text string) changeset.Value {
	if text == "nan" {
		return changeset.Value{Type: changeset.Double, Num: quietNaN}
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range is infinite
	return changeset.DoubleValue(f)
}

func (b *binder) between(e *between) (node, error) {
	o, err := b.operand(e.operand)
	if err != nil {
		return nil, err
	}
	if o.source == nil {
		return nil, b.errorAt(e.offset, "BETWEEN needs a property on its left")
	}
	if o.source.many() && o.quantifier != allOf {
		return nil, b.errorAt(e.offset, "of lists, only ALL can be BETWEEN")
	}
	terms := make([]node, 2)
	for i, l := range []literal{e.low, e.high} {
		if err := b.checkLiteral(l); err != nil {
			return nil, err
		}
		c := &comparison{offset: e.offset, relation: [...]relation{greaterEqual, lessEqual}[i]}
		if terms[i], err = b.compare(c, o, bound{literals: []literal{l}}); err != nil {
			return nil, err
		}
	}
	return newAll(terms), nil
}

func (b *binder) within(e *within) (node, error) {
	p := e.property
	found := b.class.Properties[p.name]
	refused := notQueryable(b.class.Name, p.name, p.offset)
	if found == nil || p.rest || p.index || p.suffix != "" || found.Collection != changeset.Single || !b.schema.IsEmbedded(found) {
		return nil, refused
	}
	c := b.schema.Class(found.Target)
	kind, coordinates := c.Properties["type"], c.Properties["coordinates"]
	if kind == nil || kind.Type != changeset.String || kind.Collection != changeset.Single ||
		coordinates == nil || coordinates.Type != changeset.Double || coordinates.Collection != changeset.ListOf {
		return nil, refused
	}
	return &inside{newField(found), e.shape}, nil
}
