package changeset

import "sync"

// scratch is memory that is used for one changeset after another: most have a few
// strings, whose table is of no use afterwards, and a few instructions, of which one
// knows how many they are only in the end.
type scratch struct {
	strings      []string
	instructions Changeset
}

var scratches = sync.Pool{New: func() any {
	return &scratch{make([]string, 0, scanLimit), make(Changeset, 0, firstInstructions)}
}}

// release gives the memory back with what is in it, of which it returns a copy of the
// instructions; what has outgrown the memory is none of it.
func (s *scratch) release(strings []string, instructions Changeset) Changeset {
	out := instructions
	if len(out) <= cap(s.instructions) {
		out = append(Changeset(nil), out...)
	}
	// So that what they hold can be collected.
	clear(s.strings[:min(len(strings), cap(s.strings))])
	clear(s.instructions[:min(len(instructions), cap(s.instructions))])
	scratches.Put(s)
	return out
}
