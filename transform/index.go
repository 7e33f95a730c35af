package transform

import "github.com/isthmus-sync/isthmus/changeset"

// none ends a chain of slots.
const none int32 = -1

// index says which incoming instructions a local one has to meet; it is exact:
// meetings it leaves out have no effect.
//
//	local                     meets
//	EraseTable, EraseColumn   everything
//	AddTable, AddColumn       schema instructions
//	any other                 instructions on its object; EraseTable, EraseColumn
type index struct {
	slots   []operand
	objects map[changeset.ObjectRef]int32 // object → number of its chain
	chains  []chain
	schema  []int32 // slots of schema instructions
	erasers []int32 // slots of EraseTable and EraseColumn

	last      *changeset.Instruction // looked up last: changesets mostly stay with an object
	lastChain int32
}

// chain links the slots of an object's instructions through operand.next.
type chain struct{ head, tail int32 }

func (ix *index) build(slots []operand) {
	ix.slots = slots
	ix.objects = make(map[changeset.ObjectRef]int32)
	for i := range slots {
		slot, in := int32(i), slots[i].in
		if in.Op.IsSchema() {
			ix.schema = append(ix.schema, slot)
			if in.Op == changeset.OpEraseTable || in.Op == changeset.OpEraseColumn {
				ix.erasers = append(ix.erasers, slot)
			}
			continue
		}
		if n := ix.lookup(in); n != none {
			c := &ix.chains[n]
			slots[c.tail].next = slot
			c.tail = slot
			continue
		}
		ix.lastChain = int32(len(ix.chains))
		ix.objects[in.Object()] = ix.lastChain
		ix.chains = append(ix.chains, chain{slot, slot})
	}
}

// lookup returns the number of the chain of the instruction's object, or none.
func (ix *index) lookup(in *changeset.Instruction) int32 {
	if ix.last != nil && ix.last.Key == in.Key && ix.last.Class == in.Class {
		return ix.lastChain
	}
	n, ok := ix.objects[in.Object()]
	if !ok {
		n = none
	}
	ix.last, ix.lastChain = in, n
	return n
}

// chain returns the link to the first slot of the instruction's object, or nil
// if there is no instruction on it.
func (ix *index) chain(in *changeset.Instruction) *int32 {
	n := ix.lookup(in)
	if n == none {
		return nil
	}
	return &ix.chains[n].head
}

// unmet reports whether a local instruction has nothing to meet.
func (ix *index) unmet(in *changeset.Instruction) bool {
	switch {
	case in.Op == changeset.OpEraseTable || in.Op == changeset.OpEraseColumn:
		return len(ix.slots) == 0
	case in.Op.IsSchema():
		return len(ix.schema) == 0
	}
	return len(ix.erasers) == 0 && ix.lookup(in) == none
}
