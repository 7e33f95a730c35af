package transform

import "github.com/isthmus-sync/isthmus/changeset"

// nest applies the rule of an instruction on a value to one on a value deeper
// in the same property. Erasing, overwriting and clearing beat deeper changes
// whatever their age; indices in the deeper path follow what happens to their
// list. Creating an embedded object, or the kind of collection that the deeper
// path leads through, leaves it alone.
func (m *merger) nest(outer, inner *operand) error {
	n := len(outer.in.Path)
	if n > 0 && !samePath(outer.in.Path[:n-1], inner.in.Path[:n-1]) {
		return nil
	}
	prefix := n == 0 || outer.in.Path[n-1] == inner.in.Path[n-1] // outer is on the way to inner
	switch outer.in.Op {
	case changeset.OpUpdate:
		if prefix {
			m.updateOver(outer, inner)
		}
	case changeset.OpAddInteger, changeset.OpClear:
		if prefix {
			inner.discard()
		}
	case changeset.OpArrayInsert, changeset.OpArrayMove, changeset.OpArrayErase:
		if n > 0 {
			return m.listOver(outer, inner)
		}
	}
	return nil
}

// updateOver is the nested rule of Update.
func (m *merger) updateOver(outer, inner *operand) {
	n := len(outer.in.Path)
	switch next := inner.in.Path[n]; outer.in.Value.Type {
	case changeset.ObjectValue:
		if n > 0 && !outer.in.Path.EndsInIndex() {
			m.report(DefectEmbeddedReplaced, outer.in)
		}
	case changeset.List:
		if !next.IsIndex {
			inner.discard()
		}
	case changeset.Dictionary:
		if next.IsIndex {
			inner.discard()
		}
	default:
		inner.discard()
	}
}

// listOver is the nested rule of the instructions on lists: the index at which
// inner passes through outer's list follows the elements.
func (m *merger) listOver(outer, inner *operand) error {
	step := len(outer.in.Path) - 1
	if !inner.in.Path[step].IsIndex {
		return refuse("nested", outer, inner, whyKey)
	}
	i, j := outer.index(), inner.in.Path[step].Index
	switch outer.in.Op {
	case changeset.OpArrayInsert:
		if j >= i {
			inner.setStep(step, j+1)
		}
	case changeset.OpArrayErase:
		if j == i {
			inner.discard()
		} else if j > i {
			inner.setStep(step, j-1)
		}
	case changeset.OpArrayMove:
		m.moveOver(outer, inner, step)
	}
	return nil
}

// moveOver is the nested rule of ArrayMove. Devices change the move where they
// should change the deeper path (Rules.MoveNested).
func (m *merger) moveOver(move, inner *operand, step int) {
	from, to, j := move.index(), move.in.To, inner.in.Path[step].Index
	carried, asDevice := follow(j, from, to), follow(from, j, to)
	if carried != j || asDevice != from {
		m.report(DefectNestedMove, move.in)
	}
	if m.rules.MoveNested {
		inner.setStep(step, carried)
	} else {
		move.setIndex(asDevice)
	}
}
