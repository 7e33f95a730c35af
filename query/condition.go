package query

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/isthmus-sync/isthmus/changeset"
)

// condition is what MongoDB can check about one value, be it a field's or an
// element's: all values that satisfy a comparison meet it.
type condition struct {
	alternatives []Doc // operator documents; one of them must hold. None: nothing meets it
	everything   bool  // rather than the alternatives
	exact        bool  // and no others meet it
}

var (
	unchecked = condition{everything: true}
	always    = condition{everything: true, exact: true}
	never     = condition{exact: true}
)

func operator(name string, v any) Doc { return Doc{{name, v}} }

// negated returns the condition that values meet which fail the comparison.
func (c condition) negated() condition {
	switch {
	case !c.exact:
		return unchecked
	case c.everything:
		return never
	case len(c.alternatives) == 0:
		return always
	case len(c.alternatives) > 1:
		return unchecked
	}
	ops := c.alternatives[0]
	out := condition{exact: true}
	switch {
	case len(ops) == 1 && ops[0].Name == "$eq":
		out.alternatives = []Doc{operator("$ne", ops[0].Value)}
	case len(ops) == 1 && ops[0].Name == "$in":
		out.alternatives = []Doc{operator("$nin", ops[0].Value)}
	default:
		out.alternatives = []Doc{operator("$not", ops)}
	}
	return out
}

// merged makes one $in of alternatives that all are $eq.
func (c condition) merged() condition {
	var values []any
	for _, ops := range c.alternatives {
		if len(ops) != 1 || ops[0].Name != "$eq" {
			return c
		}
		values = append(values, ops[0].Value)
	}
	if len(values) > 1 {
		c.alternatives = []Doc{operator("$in", values)}
	}
	return c
}

// condition returns the condition for values of a type to be in the test's
// relation, which isn't notEqual, to c.
func (t *test) condition(typ changeset.Type, c changeset.Value) condition {
	if c.IsNull() {
		return t.nullCondition()
	}
	var out condition
	switch {
	case t.relation.isText() || t.fold && isTextual(c):
		out = t.textCondition(c)
	case isNumber(c.Type):
		out = t.numberCondition(typ, c)
	default:
		out = t.scalarCondition(c)
	}
	if typ == changeset.Mixed {
		// In MongoDB, a value that is an array can be found by what it contains.
		out.exact = false
	}
	return out
}

// nullCondition is for comparisons with null.
func (t *test) nullCondition() condition {
	isNull := condition{alternatives: []Doc{operator("$eq", changeset.NullValue())}, exact: true}
	switch t.relation {
	case equal, lessEqual, like:
		return isNull
	case greaterEqual:
		if t.nullIsLow {
			return always
		}
		return isNull
	case greater:
		if t.nullIsLow {
			return isNull.negated()
		}
		return never
	case less:
		return never
	case beginsWith, endsWith:
		if !t.plain {
			return never
		}
	}
	return unchecked
}

var orderOperators = map[relation]string{less: "$lt", lessEqual: "$lte", greater: "$gt", greaterEqual: "$gte"}

// scalarCondition is for constants that aren't numbers.
func (t *test) scalarCondition(c changeset.Value) condition {
	out := condition{exact: true}
	if c.Type == changeset.Timestamp {
		// Documents have milliseconds: moments between two can't be told apart.
		ms, ok := milliseconds(c)
		if !ok {
			return unchecked
		}
		out.exact = false
		c = ms
	}
	if t.relation == equal {
		out.alternatives = []Doc{operator("$eq", c)}
		return out
	}
	switch c.Type {
	case changeset.Binary, changeset.UUID:
		return unchecked // MongoDB sorts shorter ones first
	case changeset.Timestamp:
		name := "$lte"
		if t.relation == greater || t.relation == greaterEqual {
			name = "$gte"
		}
		out.alternatives = []Doc{operator(name, c)}
		return out
	}
	out.alternatives = []Doc{operator(orderOperators[t.relation], c)}
	if t.nullIsLow && (t.relation == less || t.relation == lessEqual) {
		out.alternatives = append(out.alternatives, operator("$eq", changeset.NullValue()))
	}
	return out
}

// milliseconds truncates a timestamp toward zero; ok is false beyond BSON's range.
func milliseconds(v changeset.Value) (out changeset.Value, ok bool) {
	const limit = math.MaxInt64/1000 - 1
	return changeset.TimestampValue(v.Num, v.Nanos/1_000_000*1_000_000), v.Num > -limit && v.Num < limit
}

// numberCondition is for constants that are numbers, compared with a type of
// number or with mixed.
func (t *test) numberCondition(typ changeset.Type, c changeset.Value) condition {
	nan := operator("$eq", changeset.DoubleValue(math.NaN()))
	if isNaN(c) || c.IsNaN() {
		switch {
		case t.plainNaN:
			return never
		case t.relation == equal || t.relation == lessEqual:
			return condition{alternatives: []Doc{nan}}
		}
		return unchecked
	}
	low, high := c, c
	exact := true
	if typ == changeset.Mixed && c.Type == changeset.Double && !math.IsInf(c.Float64(), 0) {
		// To compare it with a decimal, Realm rounds a double to 15 digits.
		const margin = 1e-14
		f := c.Float64()
		low, high = changeset.DoubleValue(f-math.Abs(f)*margin), changeset.DoubleValue(f+math.Abs(f)*margin)
		exact = false
	}
	switch t.relation {
	case equal:
		if !exact {
			return condition{alternatives: []Doc{{{"$gte", low}, {"$lte", high}}}}
		}
		return condition{alternatives: []Doc{operator("$eq", c)}, exact: true}
	case greater, greaterEqual:
		return condition{alternatives: []Doc{operator(orderOperators[t.relation], low)}, exact: exact}
	}
	out := condition{alternatives: []Doc{operator(orderOperators[t.relation], high)}, exact: exact}
	if typ != changeset.Int && !t.plainNaN {
		out.alternatives = append(out.alternatives, nan)
	}
	return out
}

// Regular expressions that are longer, or have more of the runs that make a
// search slow, are left to Match.
const (
	maxPattern = 4096
	maxRuns    = 3
)

// textCondition is for parts of strings, and for equality that ignores case.
func (t *test) textCondition(c changeset.Value) condition {
	if c.Type != changeset.String || !utf8.ValidString(c.Str) {
		return unchecked
	}
	pattern, exact := quotePattern(c.Str), true
	switch t.relation {
	case equal:
		pattern = "^" + pattern + `\z`
	case beginsWith:
		pattern = "^" + pattern
	case endsWith:
		pattern += `\z`
	case like:
		pattern, exact = likePattern(c.Str)
	}
	if len(pattern) > maxPattern {
		return unchecked
	}
	ops := Doc{{"$regex", pattern}}
	options := ""
	if t.fold {
		options, exact = "i", false // MongoDB folds more letters
	}
	if t.relation == like {
		options += "s"
	}
	if options != "" {
		ops = append(ops, Elem{"$options", options})
	}
	return condition{alternatives: []Doc{ops}, exact: exact}
}

// likePattern returns the regular expression of a pattern of LIKE, or of its
// beginning.
func likePattern(text string) (pattern string, exact bool) {
	var b strings.Builder
	b.WriteByte('^')
	runs := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '*':
			if i > 0 && text[i-1] == '*' {
				continue
			}
			if runs++; runs > maxRuns {
				return b.String(), false
			}
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		default:
			b.WriteString(quotePattern(text[i : i+1]))
		}
	}
	return b.String() + `\z`, true
}
