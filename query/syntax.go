package query

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/query/geo"
)

// Query is a parsed query: well-formed, not yet about any class.
type Query struct {
	text string
	root expression
}

// String returns the text that was parsed.
func (q *Query) String() string { return q.text }

// expression is a part of a query that is true or false: a *junction, a
// *negation, a *comparison, a *between, a *within or a truth.
type expression any

// junction is AND or OR of at least two expressions.
type junction struct {
	or    bool
	terms []expression
}

type negation struct{ term expression }

// truth is TRUEPREDICATE or FALSEPREDICATE.
type truth bool

// comparison compares two operands.
type comparison struct {
	offset      int
	left, right operand
	relation    relation
	in          bool // written with IN
	fold        bool // [c]
}

// between is operand BETWEEN {low, high}.
type between struct {
	offset    int
	operand   operand
	low, high literal
}

// within is property GEOWITHIN shape.
type within struct {
	property property
	shape    geo.Shape
}

// relation is how two operands are compared.
type relation uint8

const (
	equal relation = iota
	notEqual
	less
	lessEqual
	greater
	greaterEqual
	beginsWith
	endsWith
	contains
	like
)

var relationTexts = [...]string{"==", "!=", "<", "<=", ">", ">=", "BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"}

func (r relation) String() string { return relationTexts[r] }

// isOrder reports whether the relation is about order.
func (r relation) isOrder() bool { return r >= less && r <= greaterEqual }

// isText reports whether the relation is about parts of strings.
func (r relation) isText() bool { return r >= beginsWith }

// reversed returns the relation of b to a where r is that of a to b. There is
// none for parts of strings.
func (r relation) reversed() relation {
	switch r {
	case less:
		return greater
	case lessEqual:
		return greaterEqual
	case greater:
		return less
	case greaterEqual:
		return lessEqual
	}
	return r
}

// quantifier is how many of an operand's values have to satisfy a comparison.
type quantifier uint8

const (
	unquantified quantifier = iota // ANY, where it matters
	anyOf
	allOf
	noneOf
)

var quantifierTexts = [...]string{"", "ANY ", "ALL ", "NONE "}

// operand is a property, a list, a literal, or an arithmetic.
type operand any

// property is a path of names, usually just one, with what is written behind it.
type property struct {
	offset     int
	quantifier quantifier
	name       string
	rest       bool   // more names follow: into links and embedded objects
	index      bool   // [0], ['key'], [*]
	suffix     string // @size and so on, in lower case
}

// list is a list literal.
type list struct {
	offset     int
	quantifier quantifier
	items      []literal
}

// literal is a constant. Numbers get their type from what they are compared
// with.
type literal struct {
	offset int
	number string          // with its sign, in lower case; or empty
	value  changeset.Value // of literals that aren't numbers
	link   bool            // obj(…)
}

// arithmetic is (left op right).
type arithmetic struct {
	offset      int
	op          byte // one of + - * /
	left, right operand
}
