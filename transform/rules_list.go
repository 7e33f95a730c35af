package transform

import "github.com/isthmus-sync/isthmus/changeset"

// meetList is for a, an instruction on a list, and b, one of a lower or the
// same opcode in the same container.
//
// In these rules an index is a position in the list, from and to are those of
// a move, and the prior size is the list's length before the instruction.
func meetList(a, b *operand) error {
	switch b.in.Op {
	case changeset.OpUpdate:
		return meetElementUpdate(a, b)
	case changeset.OpArrayInsert:
		switch a.in.Op {
		case changeset.OpArrayInsert:
			return insertTwice(a, b)
		case changeset.OpArrayMove:
			moveAndInsert(a, b)
		case changeset.OpArrayErase:
			return eraseAndInsert(a, b)
		}
	case changeset.OpArrayMove:
		if a.in.Op == changeset.OpArrayMove {
			return moveTwice(a, b)
		}
		return eraseAndMove(a, b)
	case changeset.OpArrayErase:
		return eraseTwice(a, b)
	}
	return nil
}

// follow returns where the element at index i is after another, or itself,
// moved.
func follow(i, from, to uint32) uint32 {
	if i == from {
		return to
	}
	if i > from {
		i--
	}
	if i >= to {
		i++
	}
	return i
}

const (
	whyPrior = "the list has different lengths"
	whyIndex = "an index is outside of the list"
	whyKey   = "one side changes a list where the other has a dictionary"
)

// elementRules names the rules of an instruction on a list with an Update of
// an element.
var elementRules = [...]string{
	changeset.OpArrayInsert: "L1", changeset.OpArrayMove: "L2", changeset.OpArrayErase: "L3",
}

// meetElementUpdate is rules L1, L2 and L3: an Update stays with its element.
func meetElementUpdate(a, update *operand) error {
	rule := elementRules[a.in.Op]
	if !update.in.Path.EndsInIndex() {
		return refuse(rule, a, update, whyKey)
	}
	i, at, prior := update.index(), a.index(), update.in.Prior
	if a.in.Op != changeset.OpArrayMove && a.in.Prior != prior {
		return refuse(rule, a, update, whyPrior)
	}
	switch a.in.Op {
	case changeset.OpArrayInsert:
		if at > prior || i >= prior {
			return refuse(rule, a, update, whyIndex)
		}
		update.setPrior(prior + 1)
		if i >= at {
			update.setIndex(i + 1)
		}
	case changeset.OpArrayMove:
		if at >= a.in.Prior || i >= prior {
			return refuse(rule, a, update, whyIndex)
		}
		update.setIndex(follow(i, at, a.in.To))
	case changeset.OpArrayErase:
		if at >= prior || i >= prior {
			return refuse(rule, a, update, whyIndex)
		}
		update.setPrior(prior - 1)
		if i == at {
			update.discard()
		} else if i > at {
			update.setIndex(i - 1)
		}
	}
	return nil
}

// insertTwice is rule L4: at the same place the older element comes first.
func insertTwice(a, b *operand) error {
	if a.in.Prior != b.in.Prior {
		return refuse("L4", a, b, whyPrior)
	}
	a.setPrior(a.in.Prior + 1)
	b.setPrior(b.in.Prior + 1)
	if a.index() > b.index() || a.index() == b.index() && b.olderThan(a) {
		a.setIndex(a.index() + 1)
	} else {
		b.setIndex(b.index() + 1)
	}
	return nil
}

// moveAndInsert is rule L5. A move does not change the length, so the
// insertion's prior size stays.
func moveAndInsert(move, insert *operand) {
	from, to, i := move.index(), move.in.To, insert.index()
	if i > from {
		i--
	} else {
		from++
	}
	if i < to || i == to && move.olderThan(insert) {
		to++
	} else {
		i++
	}
	move.setPrior(move.in.Prior + 1)
	move.setIndex(from)
	move.setTo(to)
	insert.setIndex(i)
}

// eraseAndInsert is rule L6.
func eraseAndInsert(erase, insert *operand) error {
	prior, at, i := erase.in.Prior, erase.index(), insert.index()
	if prior != insert.in.Prior {
		return refuse("L6", erase, insert, whyPrior)
	}
	if at >= prior || i > prior {
		return refuse("L6", erase, insert, whyIndex)
	}
	erase.setPrior(prior + 1)
	insert.setPrior(prior - 1)
	if i <= at {
		erase.setIndex(at + 1)
	} else {
		insert.setIndex(i - 1)
	}
	return nil
}

// moveTwice is rule L7. Of two moves of one element the newer wins and starts
// where the older went. A move that ends where it starts is illegal, and is
// discarded.
func moveTwice(a, b *operand) error {
	prior := a.in.Prior
	if prior != b.in.Prior {
		return refuse("L7", a, b, whyPrior)
	}
	if a.index() >= prior || b.index() >= prior || a.in.To >= prior || b.in.To >= prior {
		return refuse("L7", a, b, whyIndex)
	}
	if a.index() == b.index() {
		loser, winner := older(a, b)
		winner.setIndex(loser.in.To)
		loser.discard()
		discardIdle(winner)
		return nil
	}
	fromA, toA, fromB, toB := a.index(), a.in.To, b.index(), b.in.To
	if fromA > fromB {
		fromA--
	} else {
		fromB--
	}
	if toA > fromB {
		toA--
	} else {
		fromB++
	}
	if fromA < toB {
		toB--
	} else {
		fromA++
	}
	if toA > toB || toA == toB && b.olderThan(a) {
		toA++
	} else {
		toB++
	}
	a.setIndex(fromA)
	a.setTo(toA)
	b.setIndex(fromB)
	b.setTo(toB)
	discardIdle(a)
	discardIdle(b)
	return nil
}

// eraseAndMove is rule L8: an erased element is erased wherever it was moved.
func eraseAndMove(erase, move *operand) error {
	prior, at, from, to := erase.in.Prior, erase.index(), move.index(), move.in.To
	if prior != move.in.Prior {
		return refuse("L8", erase, move, whyPrior)
	}
	if at >= prior || from >= prior {
		return refuse("L8", erase, move, whyIndex)
	}
	move.setPrior(prior - 1)
	if at == from {
		erase.setIndex(to)
		move.discard()
		return nil
	}
	if at > from {
		at--
	} else {
		from--
	}
	if at >= to {
		at++
	} else {
		to--
	}
	erase.setIndex(at)
	move.setIndex(from)
	move.setTo(to)
	discardIdle(move)
	return nil
}

// eraseTwice is rule L9: an element is erased once.
func eraseTwice(a, b *operand) error {
	prior := a.in.Prior
	if prior != b.in.Prior {
		return refuse("L9", a, b, whyPrior)
	}
	if a.index() >= prior || b.index() >= prior {
		return refuse("L9", a, b, whyIndex)
	}
	a.setPrior(prior - 1)
	b.setPrior(prior - 1)
	switch {
	case a.index() > b.index():
		a.setIndex(a.index() - 1)
	case a.index() < b.index():
		b.setIndex(b.index() - 1)
	default:
		a.discard()
		b.discard()
	}
	return nil
}

// discardIdle discards a move to its own place.
func discardIdle(move *operand) {
	if move.index() == move.in.To {
		move.discard()
	}
}

// clearAtIndex keeps a Clear of a collection inside a list with its element
// (Rules.ClearAtIndex), as rules L1 to L3 do with an Update; a Clear carries no
// prior size. Devices leave the index as it is.
func (m *merger) clearAtIndex(clear, b *operand) {
	if !clear.in.Path.EndsInIndex() {
		return
	}
	i, at, erased := clear.index(), b.index(), false
	moved := i
	switch b.in.Op {
	case changeset.OpArrayInsert:
		if i >= at {
			moved = i + 1
		}
	case changeset.OpArrayMove:
		moved = follow(i, at, b.in.To)
	case changeset.OpArrayErase:
		erased = i == at
		if i > at {
			moved = i - 1
		}
	}
	if moved == i && !erased {
		return
	}
	m.report(DefectClearAtIndex, clear.in)
	switch {
	case !m.rules.ClearAtIndex:
	case erased:
		clear.discard()
	default:
		clear.setIndex(moved)
	}
}
