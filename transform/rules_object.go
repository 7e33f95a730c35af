package transform

import "github.com/isthmus-sync/isthmus/changeset"

// meetObjects is meet for two instructions on whole objects. Two creations
// need no rule: creating is idempotent.
func meetObjects(a, b *operand) {
	if a.in.Key != b.in.Key || a.in.Class != b.in.Class {
		return
	}
	if a.in.Op < b.in.Op {
		a, b = b, a
	}
	if a.in.Op != changeset.OpEraseObject {
		return
	}
	switch b.in.Op {
	case changeset.OpCreateObject: // rule O1
		b.discard()
	case changeset.OpEraseObject: // rule O2: the newer decides about what was recreated since
		old, _ := older(a, b)
		old.discard()
	}
}

// eraseObjectOver is the nested rule of EraseObject: it discards every change
// of a value in its object.
func eraseObjectOver(outer, inner *operand) {
	if outer.in.Op == changeset.OpEraseObject && outer.in.Key == inner.in.Key && outer.in.Class == inner.in.Class {
		inner.discard()
	}
}
