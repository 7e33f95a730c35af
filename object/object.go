// Package object holds a Realm object in memory: its property values, the
// application of instructions to it, the instructions that make it, and the
// difference of two objects as instructions. It does no I/O.
package object

import (
	"github.com/isthmus-sync/isthmus/changeset"
)

// Node is what a property, a list element or a dictionary entry holds: a
// changeset.Value (a scalar, null, or a link), a *List, a *Dictionary, a *Set,
// or an *Object (embedded).
type Node any

// Object is an object's properties without the primary key. A property that is
// absent has its initial value: an empty collection, null, or the zero of its
// type.
type Object struct {
	Fields map[string]Node
}

// List is an ordered collection. Its nodes are values, embedded *Objects, or,
// inside mixed, *Lists and *Dictionaries.
type List struct{ Items []Node }

// Dictionary maps keys to nodes of the kinds that a List holds. An entry with a
// null value is present.
type Dictionary struct{ Entries map[string]Node }

// Set holds values, no two of them equal; their order means nothing. Who changes
// Items must make a new Set.
type Set struct {
	Items []changeset.Value
	index map[changeset.Value]int // see position; nil while there are few
}
