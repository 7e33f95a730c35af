package transform

import "github.com/isthmus-sync/isthmus/changeset"

// meet applies to two instructions the rule that is for them, if any. Rules
// are symmetric: it does not matter which of the two is local.
func (m *merger) meet(a, b *operand) error {
	switch pathA, pathB := a.in.Op.HasPath(), b.in.Op.HasPath(); {
	case pathA && pathB:
		return m.meetPaths(a, b)
	case a.in.Op.IsSchema():
		return m.meetSchema(a, b)
	case b.in.Op.IsSchema():
		return m.meetSchema(b, a)
	case pathA:
		eraseObjectOver(b, a)
	case pathB:
		eraseObjectOver(a, b)
	default:
		meetObjects(a, b)
	}
	return nil
}

// meetPaths is meet for two instructions on values. Those at the same depth
// have a rule of their own; otherwise the shallower one acts on the deeper.
func (m *merger) meetPaths(a, b *operand) error {
	if a.in.Field != b.in.Field || a.in.Class != b.in.Class || a.in.Key != b.in.Key {
		return nil
	}
	switch n := len(a.in.Path); {
	case n < len(b.in.Path):
		return m.nest(a, b)
	case n > len(b.in.Path):
		return m.nest(b, a)
	case n == 0:
		return m.meetValues(a, b, place{samePath: true})
	case !samePath(a.in.Path[:n-1], b.in.Path[:n-1]):
		return nil
	default:
		return m.meetValues(a, b, place{samePath: a.in.Path[n-1] == b.in.Path[n-1], sameContainer: true})
	}
}

// place is how the paths of two instructions of equal depth on one property
// relate.
type place struct {
	samePath      bool // all steps are equal
	sameContainer bool // all steps but the last are equal, and there is a last one
}

// meetValues finds the rule for two instructions on values at the same depth.
func (m *merger) meetValues(a, b *operand, at place) error {
	if a.in.Op < b.in.Op {
		a, b = b, a
	}
	switch a.in.Op {
	case changeset.OpUpdate, changeset.OpAddInteger:
		if at.samePath {
			return m.meetScalars(a, b)
		}
	case changeset.OpArrayInsert, changeset.OpArrayMove, changeset.OpArrayErase:
		if at.sameContainer {
			return meetList(a, b)
		}
	case changeset.OpClear:
		return m.meetClear(a, b, at)
	case changeset.OpSetInsert, changeset.OpSetErase:
		if at.samePath {
			m.meetSet(a, b)
		}
	}
	return nil
}

func samePath(p, q changeset.Path) bool {
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}
