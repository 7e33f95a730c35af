package transform

import "github.com/isthmus-sync/isthmus/changeset"

// meetClear is for a, a Clear, and b, an instruction of a lower or the same
// opcode at the same depth of the same property.
func (m *merger) meetClear(a, b *operand, at place) error {
	switch b.in.Op {
	case changeset.OpUpdate:
		if at.samePath {
			m.clearAndUpdate(a, b)
		}
	case changeset.OpAddInteger: // rule V4
		if at.samePath {
			b.discard()
		}
	case changeset.OpArrayInsert, changeset.OpArrayMove, changeset.OpArrayErase:
		if at.sameContainer {
			m.clearAtIndex(a, b)
		}
	case changeset.OpClear: // rule C1: the newer survives with what its author did afterwards
		if at.samePath {
			old, _ := older(a, b)
			old.discard()
		}
	}
	return nil
}

// meetSet is for a, a SetInsert or SetErase, and b, an instruction of a lower
// or the same opcode on the same path.
func (m *merger) meetSet(a, b *operand) {
	switch b.in.Op {
	case changeset.OpClear: // rule C2: a Clear beats them whatever its age
		a.discard()
	case changeset.OpSetInsert, changeset.OpSetErase:
		m.setTwice(a, b)
	}
}

// setTwice is rule T1: of two instructions on one value the newer stays.
func (m *merger) setTwice(a, b *operand) {
	erases := a.in.Op == changeset.OpSetErase && b.in.Op == changeset.OpSetErase
	switch equal := equalValues(a.in.Value, b.in.Value); {
	case equal && erases && m.rules.SetErasesApart && comparedByPosition(a.in.Value):
	case equal:
		old, _ := older(a, b)
		old.discard()
	case erases && mayShareAPosition(a.in.Value, b.in.Value):
		m.report(DefectSetErase, a.in)
	case mayBeOneElement(a.in.Value, b.in.Value):
		m.report(DefectSetNumber, a.in)
	}
}
