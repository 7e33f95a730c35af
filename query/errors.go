package query

import (
	"errors"
	"fmt"
)

// ErrBadQuery is what all errors about a query wrap, except ErrUnknownClass. The
// text of such errors is meant for the developer of the app; it is what the
// client reports (protocol error 226).
var ErrBadQuery = errors.New("Client provided query with bad syntax") //lint:ignore ST1005 apps look for this very text

// ErrUnknownClass is the error for a class that the schema lacks (yet).
var ErrUnknownClass = errors.New("unknown class")

// SyntaxError says where a query's text departs from the grammar.
type SyntaxError struct {
	Offset int    // byte of the text at which it happens
	Near   string // the text there
	Reason string // what is wrong, and what to write instead
}

func (e *SyntaxError) Error() string {
	if e.Near == "" {
		return fmt.Sprintf("%v: at the end: %s", ErrBadQuery, e.Reason)
	}
	return fmt.Sprintf("%v: at byte %d, near %q: %s", ErrBadQuery, e.Offset, e.Near, e.Reason)
}

// Unwrap returns ErrBadQuery.
func (e *SyntaxError) Unwrap() error { return ErrBadQuery }

// MatchError says that a query is well-formed, yet can't be asked about a class.
type MatchError struct {
	Class  string
	Offset int    // byte of the query's text; -1 when the error is not about the text
	Reason string // what is wrong, and what to write instead
}

func (e *MatchError) Error() string {
	return fmt.Sprintf("%v: invalid match expression for table %q: %s", ErrBadQuery, e.Class, e.Reason)
}

// Unwrap returns ErrBadQuery.
func (e *MatchError) Unwrap() error { return ErrBadQuery }

// NotQueryable returns the error for a query about a field that is not
// queryable, in the words that apps know it by.
func NotQueryable(class, field string) error {
	return notQueryable(class, field, -1)
}

func notQueryable(class, field string, offset int) error {
	return &MatchError{class, offset, fmt.Sprintf("key %q is not a queryable field", field)}
}
