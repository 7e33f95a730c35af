package schema

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ErrBadInstruction is what every InstructionError wraps: an instruction that
// makes its changeset a bad changeset.
var ErrBadInstruction = errors.New("bad instruction")

// InstructionError says which instruction can't be applied, and why.
type InstructionError struct {
	Op     changeset.Op
	Class  string
	Key    changeset.Key
	Field  string
	Path   changeset.Path
	Reason string // for people
}

// NewInstructionError makes the error of an instruction.
func NewInstructionError(in *changeset.Instruction, reason string) *InstructionError {
	return &InstructionError{
		Op: in.Op, Class: in.Class, Key: in.Key, Field: in.Field,
		Path: append(changeset.Path(nil), in.Path...), Reason: reason,
	}
}

// Error is a sentence of limited length: names and keys may have 16 MB.
func (e *InstructionError) Error() string {
	return fmt.Sprintf("%v: %v %.300s: %.700s", ErrBadInstruction, e.Op, e.Where(), e.Reason)
}

// Unwrap returns ErrBadInstruction.
func (e *InstructionError) Unwrap() error { return ErrBadInstruction }

// Where names the place that the instruction addresses, such as
// Task[5].notes[2].'text'.
func (e *InstructionError) Where() string {
	if e.Op.IsSchema() {
		if e.Field == "" {
			return e.Class
		}
		return e.Class + "." + e.Field
	}
	where := changeset.ObjectRef{Class: e.Class, Key: e.Key}.String()
	if e.Op.HasPath() {
		where += "." + e.Field + e.Path.String()
	}
	return where
}
