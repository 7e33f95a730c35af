package transform

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ErrMerge is what every refused merge is. The incoming changesets must be
// refused as a whole: they come from a broken device, or contradict the schema.
var ErrMerge = errors.New("changesets cannot be merged")

// MergeError is a refused merge.
type MergeError struct {
	Rule            string                // such as "S5"; "nested" for the rules about deeper paths
	Why             string                // what disagrees
	Local, Incoming changeset.Instruction // the two as they met, copies
	LocalEntry      *Entry                // whose changeset Local stems from
	IncomingEntry   *Entry
}

func (e *MergeError) Error() string {
	// Instructions may have 16 MB.
	return fmt.Sprintf("%v: %s (rule %s): local %.300v, incoming %.300v", ErrMerge, e.Why, e.Rule, e.Local, e.Incoming)
}

// Hint says what a person can do about it.
func (e *MergeError) Hint() string {
	switch e.Rule {
	case "S1":
		return "the definition of a class must be the same in every version of the app"
	case "S5":
		return "the definition of a property must be the same in every version of the app"
	}
	return "the device's history does not fit the server's: its local file must be reset"
}

func (e *MergeError) Unwrap() error { return ErrMerge }

// refuse makes the error for a meeting of a and b, in either order.
func refuse(rule string, a, b *operand, why string) error {
	if a.of.incoming {
		a, b = b, a
	}
	return &MergeError{
		Rule: rule, Why: why,
		Local: a.in.Clone(), Incoming: b.in.Clone(),
		LocalEntry: a.of.entry, IncomingEntry: b.of.entry,
	}
}
