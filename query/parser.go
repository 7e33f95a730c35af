package query

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
)

// maxDepth is how deep parentheses and NOTs may nest.
const maxDepth = 200

// Parse parses a query. The error is a *SyntaxError.
func Parse(text string) (*Query, error) {
	if len(text) > MaxText {
		return nil, syntaxError(text, 0, "the query has %d bytes, more than the %d allowed", len(text), MaxText)
	}
	ts, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := parser{text: text, tokens: ts}
	if err := p.pair(); err != nil {
		return nil, err
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.peek(0).kind != tokenEnd {
		return nil, p.unexpected("expected AND, OR or the end")
	}
	return &Query{text, root}, nil
}

type parser struct {
	text   string
	tokens []token
	at     int
	closes map[int]int // index of "(" → index of its ")"
	depth  int
	sums   int // arithmetic operators in the comparison being read
}

// pair finds which parentheses belong together.
func (p *parser) pair() error {
	p.closes = map[int]int{}
	var open []int
	for i, t := range p.tokens {
		switch {
		case t.isSymbol("("):
			open = append(open, i)
		case t.isSymbol(")"):
			if len(open) == 0 {
				return syntaxError(p.text, t.offset, "this parenthesis was never opened")
			}
			p.closes[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return syntaxError(p.text, p.tokens[open[len(open)-1]].offset, "this parenthesis is never closed")
	}
	return nil
}

// peek returns the token n places ahead; at the end, the end.
func (p *parser) peek(n int) token {
	return p.tokens[min(p.at+n, len(p.tokens)-1)]
}

func (p *parser) take() token {
	t := p.peek(0)
	if p.at < len(p.tokens)-1 {
		p.at++
	}
	return t
}

func (p *parser) takeSymbol(s string) bool {
	if p.peek(0).isSymbol(s) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(s string) error {
	if p.takeSymbol(s) {
		return nil
	}
	return p.unexpected("expected " + s)
}

func (p *parser) unexpected(what string) error {
	return syntaxError(p.text, p.peek(0).offset, "%s", what)
}

// enter counts a level of nesting; leave must follow.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.unexpected(fmt.Sprintf("the query nests more than %d levels deep", maxDepth))
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) or() (expression, error) {
	return p.junction(true, p.and, "or", "||")
}

func (p *parser) and() (expression, error) {
	return p.junction(false, p.not, "and", "&&")
}

func (p *parser) junction(or bool, term func() (expression, error), keyword, symbol string) (expression, error) {
	first, err := term()
	if err != nil {
		return nil, err
	}
	terms := []expression{first}
	for p.peek(0).keyword() == keyword || p.peek(0).isSymbol(symbol) {
		p.take()
		next, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, next)
	}
	if k := p.peek(0).keyword(); (k == "sort" || k == "distinct" || k == "limit") && p.peek(1).isSymbol("(") {
		return nil, p.unexpected("subscriptions can't SORT, DISTINCT or LIMIT")
	}
	if len(terms) == 1 {
		return first, nil
	}
	return &junction{or, terms}, nil
}

func (p *parser) not() (expression, error) {
	if !p.peek(0).isSymbol("!") && (p.peek(0).keyword() != "not" || p.namesProperty()) {
		return p.primary()
	}
	p.take()
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	term, err := p.not()
	if err != nil {
		return nil, err
	}
	return &negation{term}, nil
}

func (p *parser) primary() (expression, error) {
	switch k := p.peek(0).keyword(); {
	case (k == "truepredicate" || k == "falsepredicate") && !p.namesProperty():
		p.take()
		return truth(k == "truepredicate"), nil
	case p.peek(0).isSymbol("(") && !p.parenthesisIsOperand():
		p.take()
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		inside, err := p.or()
		if err != nil {
			return nil, err
		}
		return inside, p.expect(")")
	}
	return p.comparison()
}

// parenthesisIsOperand reports whether what the parenthesis here encloses is
// compared or computed with.
func (p *parser) parenthesisIsOperand() bool {
	after := p.tokens[p.closes[p.at]+1]
	if _, ok := arithmeticOf(after); ok {
		return true
	}
	return isRelation(after)
}

// namesProperty reports whether the keyword here is the name of a property,
// since something follows that only can follow an operand.
func (p *parser) namesProperty() bool {
	next := p.peek(1)
	if next.kind == tokenSymbol {
		return isRelation(next) || next.text == "." || next.text == "["
	}
	// Of two words in a row that can be relations, the second one is.
	return isRelation(next) && !isRelation(p.peek(2))
}

var symbolRelations = map[string]relation{
	"==": equal, "=": equal, "!=": notEqual, "<>": notEqual, "<": less, "<=": lessEqual, "=<": lessEqual,
	">": greater, ">=": greaterEqual, "=>": greaterEqual,
}

var wordRelations = map[string]relation{
	"beginswith": beginsWith, "endswith": endsWith, "contains": contains, "like": like,
	"in": equal, "between": equal, "geowithin": equal, // read by comparison
}

func isRelation(t token) bool {
	_, symbol := symbolRelations[t.text]
	_, word := wordRelations[t.keyword()]
	return t.kind == tokenSymbol && symbol || word
}

func (p *parser) comparison() (expression, error) {
	p.sums = 0
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	t := p.peek(0)
	if !isRelation(t) {
		return nil, p.unexpected("expected a comparison, such as == or IN")
	}
	p.take()
	switch t.keyword() {
	case "between":
		return p.between(left, t.offset)
	case "geowithin":
		return p.within(left, t.offset)
	}
	c := &comparison{offset: t.offset, left: left, in: t.keyword() == "in"}
	if t.kind == tokenSymbol {
		c.relation = symbolRelations[t.text]
	} else {
		c.relation = wordRelations[t.keyword()]
	}
	if p.takeSymbol("[c]") {
		if c.relation.isOrder() {
			return nil, syntaxError(p.text, t.offset, "%v can't be case-insensitive: leave out [c]", c.relation)
		}
		c.fold = !c.in // clients drop the [c] of IN[c], too
	}
	if c.right, err = p.operand(); err != nil {
		return nil, err
	}
	if c.in {
		switch c.right.(type) {
		case *list, property:
		default:
			return nil, syntaxError(p.text, t.offset, "IN needs a list: {…} or a property that is one")
		}
	}
	return c, nil
}

func (p *parser) between(left operand, offset int) (expression, error) {
	right, err := p.list(unquantified)
	if err != nil {
		return nil, err
	}
	if len(right.items) != 2 {
		return nil, syntaxError(p.text, right.offset, "BETWEEN needs two values: {low, high}")
	}
	return &between{offset, left, right.items[0], right.items[1]}, nil
}

func arithmeticOf(t token) (byte, bool) {
	if t.kind == tokenSymbol && len(t.text) == 1 && strings.Contains("+-*/", t.text) {
		return t.text[0], true
	}
	return 0, false
}

// operand reads an operand with the sums and products in it.
func (p *parser) operand() (operand, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	return p.arithmetic("+-", func() (operand, error) { return p.arithmetic("*/", p.term) })
}

func (p *parser) arithmetic(ops string, part func() (operand, error)) (operand, error) {
	left, err := part()
	for err == nil {
		t := p.peek(0)
		op, ok := arithmeticOf(t)
		if !ok || strings.IndexByte(ops, op) < 0 {
			return left, nil
		}
		if p.sums++; p.sums > maxDepth {
			return nil, p.unexpected(fmt.Sprintf("more than %d operands to compute with", maxDepth))
		}
		p.take()
		var right operand
		right, err = part()
		left = &arithmetic{t.offset, op, left, right}
	}
	return nil, err
}

var quantifiers = map[string]quantifier{"any": anyOf, "some": anyOf, "all": allOf, "none": noneOf}

// term reads an operand that isn't a sum or product, or is in parentheses.
func (p *parser) term() (operand, error) {
	t := p.peek(0)
	q, quantified := quantifiers[t.keyword()]
	if quantified && !p.namesProperty() {
		p.take()
		if p.peek(0).isSymbol("{") {
			return p.list(q)
		}
		return p.property(q)
	}
	switch {
	case t.isSymbol("{"):
		return p.list(unquantified)
	case t.isSymbol("("):
		p.take()
		inside, err := p.operand()
		if err != nil {
			return nil, err
		}
		return inside, p.expect(")")
	case p.atLiteral():
		return p.literal()
	case t.kind == tokenWord:
		return p.property(unquantified)
	}
	return nil, p.unexpected("expected a property or a value")
}

func (p *parser) list(q quantifier) (*list, error) {
	l := &list{offset: p.peek(0).offset, quantifier: q}
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	for !p.takeSymbol("}") {
		if len(l.items) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		item, err := p.literal()
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, item)
	}
	return l, nil
}

func (p *parser) property(q quantifier) (operand, error) {
	t := p.take()
	if t.kind != tokenWord {
		return nil, syntaxError(p.text, t.offset, "expected a property")
	}
	if k := t.keyword(); k == "subquery" && p.peek(0).isSymbol("(") {
		return nil, syntaxError(p.text, t.offset, "subscriptions can't have a SUBQUERY")
	}
	out := property{offset: t.offset, quantifier: q, name: t.text}
	if strings.HasPrefix(t.text, "@") && !t.escaped {
		return nil, syntaxError(p.text, t.offset, "subscriptions can't follow backlinks")
	}
	for {
		switch {
		case p.takeSymbol("["):
			out.index = true
			for !p.takeSymbol("]") {
				if p.take().kind == tokenEnd {
					return nil, syntaxError(p.text, t.offset, "the index has no closing ]")
				}
			}
		case p.takeSymbol("."):
			next := p.take()
			switch {
			case next.kind != tokenWord:
				return nil, syntaxError(p.text, next.offset, "expected a property")
			case strings.HasPrefix(next.text, "@") && !next.escaped:
				out.suffix = lowerASCII(next.text)
			default:
				out.rest = true
			}
		default:
			return out, nil
		}
	}
}

var literalWords = map[string]bool{
	"null": true, "nil": true, "true": true, "false": true, "inf": true, "infinity": true, "nan": true,
}

// atLiteral reports whether a literal begins here.
func (p *parser) atLiteral() bool {
	switch t := p.peek(0); t.kind {
	case tokenNumber, tokenString, tokenTime, tokenOID, tokenUUID:
		return true
	case tokenSymbol:
		return t.text == "+" || t.text == "-"
	default:
		k := t.keyword()
		return literalWords[k] || (k == "binary" || k == "obj") && p.peek(1).isSymbol("(")
	}
}

func (p *parser) literal() (literal, error) {
	t := p.take()
	out := literal{offset: t.offset}
	bad := func(format string, args ...any) (literal, error) {
		return out, syntaxError(p.text, t.offset, format, args...)
	}
	switch t.kind {
	case tokenNumber:
		out.number = lowerASCII(t.text)
	case tokenString:
		out.value = changeset.StringValue(t.text)
	case tokenTime:
		v, ok := parseTime(t.text)
		if !ok {
			return bad("not a point in time")
		}
		out.value = v
	case tokenOID:
		raw, err := hex.DecodeString(t.text)
		if err != nil || len(raw) != 12 {
			return bad("an object id has 24 hexadecimal digits")
		}
		out.value = changeset.ObjectIDValue([12]byte(raw))
	case tokenUUID:
		raw, err := hex.DecodeString(strings.ReplaceAll(t.text, "-", ""))
		if err != nil || len(raw) != 16 {
			return bad("a UUID has 32 hexadecimal digits")
		}
		out.value = changeset.UUIDValue([16]byte(raw))
	case tokenSymbol:
		if t.text != "+" && t.text != "-" {
			return bad("expected a value")
		}
		next := p.take()
		k := next.keyword()
		if next.kind != tokenNumber && k != "inf" && k != "infinity" {
			return bad("expected a number after the sign")
		}
		out.number = strings.TrimPrefix(t.text, "+") + lowerASCII(next.text)
	default:
		switch k := t.keyword(); k {
		case "null", "nil":
		case "true", "false":
			out.value = changeset.BoolValue(k == "true")
		case "inf", "infinity", "nan":
			out.number = k
		case "binary":
			return p.binary(out)
		case "obj":
			out.link = true
			return out, p.skipParentheses()
		default:
			return bad("expected a value")
		}
	}
	return out, nil
}

// binary reads what follows the word binary.
func (p *parser) binary(out literal) (literal, error) {
	if err := p.expect("("); err != nil {
		return out, err
	}
	t := p.take()
	if t.kind != tokenString {
		return out, syntaxError(p.text, t.offset, "expected a string")
	}
	out.value = changeset.BinaryValue([]byte(t.text))
	return out, p.expect(")")
}

// skipParentheses leaves out (…).
func (p *parser) skipParentheses() error {
	if !p.peek(0).isSymbol("(") {
		return p.unexpected("expected (")
	}
	p.at = p.closes[p.at] + 1
	return nil
}

// parseTime reads seconds and nanoseconds, or a date with the time of day.
func parseTime(text string) (changeset.Value, bool) {
	const second = 1_000_000_000
	if rest, ok := strings.CutPrefix(text, "T"); ok {
		seconds, nanos, _ := strings.Cut(rest, ":")
		s, err1 := strconv.ParseInt(seconds, 10, 64)
		n, err2 := strconv.ParseInt(nanos, 10, 64)
		ok := err1 == nil && err2 == nil && n > -second && n < second && !(s > 0 && n < 0) && !(s < 0 && n > 0)
		return changeset.TimestampValue(s, int32(n)), ok
	}
	var parts [7]int
	fields := strings.FieldsFunc(text, func(r rune) bool { return !isDigit(byte(r)) })
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || i == len(parts) {
			return changeset.Value{}, false
		}
		parts[i] = n
	}
	year, month, day, hour, minute, sec, nanos := parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]
	t := time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.UTC)
	if month < 1 || month > 12 || day < 1 || t.Day() != day || hour > 23 || minute > 59 || sec > 59 || nanos >= second {
		return changeset.Value{}, false
	}
	s := t.Unix()
	if s < 0 && nanos > 0 {
		s, nanos = s+1, nanos-second
	}
	return changeset.TimestampValue(s, int32(nanos)), true
}
