package transform

import "github.com/isthmus-sync/isthmus/changeset"

// Entry is a changeset in a history, with what merging needs to know of it.
//
// The pair (Timestamp, Origin), compared in that order, settles conflicts: it
// must be the same on every replica, and no entry of one side of a merge may
// have the same pair as an entry of the other side.
type Entry struct {
	Changeset changeset.Changeset
	Timestamp uint64 // when it was made, in ms since 2015, by the clock of its origin
	Origin    uint64 // ident of the file where it was made; the server's is 1
	Changed   bool   // set when a merge altered Changeset, even if only there and back; never reset
}

// Merge merges two runs of changesets that were made on the same base: local
// is what this side has and the sender had not seen, incoming is what the
// sender made. Afterwards incoming fits on top of the unmerged local run, and
// local fits on top of the unmerged incoming run. Both roads lead to the same
// state. Discarded instructions are gone; an entry may end up empty.
//
// Merge never writes to the instructions it is given. An entry that a merge
// alters gets a new Changeset (which may share paths and specifications of
// instructions with the old one) and has Changed set; all others are left
// alone. So entries that wrap cached changesets need no cloning.
//
// A merge that the rules refuse returns a *MergeError (which is ErrMerge), and
// then no entry is altered.
func Merge(local, incoming []*Entry, rules Rules) error {
	_, err := MergeAndReport(local, incoming, rules)
	return err
}

// MergeAndReport is Merge that also lists the objects which the sender's
// device will not merge in the same way, in the order they were met, each once
// for each kind of defect. The list is complete up to the error if there is one.
func MergeAndReport(local, incoming []*Entry, rules Rules) ([]Defect, error) {
	m := merger{rules: rules}
	err := m.merge(local, incoming)
	return m.defects, err
}

// merger is one merge.
type merger struct {
	rules    Rules
	allPairs bool // meet without the index; the result is the same
	local    []draft
	incoming []draft
	slots    []operand // every incoming instruction, in order
	index    index

	prepended *operand // put in front of the local operand by the meeting just held

	defects  []Defect
	reported map[Defect]bool
}

func drafts(entries []*Entry, incoming bool) []draft {
	out := make([]draft, len(entries))
	for i, e := range entries {
		out[i] = draft{entry: e, incoming: incoming, instructions: e.Changeset}
	}
	return out
}

func (m *merger) merge(local, incoming []*Entry) error {
	m.local, m.incoming = drafts(local, false), drafts(incoming, true)
	m.slots = slots(m.incoming)
	if !m.allPairs {
		m.index.build(m.slots)
	}
	for i := range m.local {
		d := &m.local[i]
		for pos := range d.instructions {
			in := &d.instructions[pos]
			if !m.allPairs && m.index.unmet(in) {
				continue
			}
			a := operand{in: in, of: d, pos: int32(pos)}
			if err := m.sweep(&a); err != nil {
				return err
			}
		}
	}
	for i := range m.local {
		m.local[i].finish()
	}
	for i := range m.incoming {
		m.incoming[i].finish()
	}
	return nil
}

// slots lists the instructions of the incoming run. A slot keeps its place
// when its instruction is discarded.
func slots(incoming []draft) []operand {
	n := 0
	for i := range incoming {
		n += len(incoming[i].instructions)
	}
	out := make([]operand, 0, n)
	for i := range incoming {
		d := &incoming[i]
		for pos := range d.instructions {
			out = append(out, operand{in: &d.instructions[pos], of: d, pos: int32(pos), next: none})
		}
	}
	return out
}

// sweep lets a local instruction meet the incoming ones, in order, until it is
// discarded.
func (m *merger) sweep(a *operand) error {
	switch op := a.in.Op; {
	case m.allPairs || op == changeset.OpEraseTable || op == changeset.OpEraseColumn:
		return m.sweepAll(a, 0)
	case op.IsSchema():
		return m.sweepSchema(a)
	case len(m.index.erasers) > 0:
		return m.sweepObjectAndErasers(a)
	}
	return m.sweepObject(a)
}

// sweepAll meets every slot from the given one on.
func (m *merger) sweepAll(a *operand, from int) error {
	for slot := from; slot < len(m.slots) && !a.gone; slot++ {
		if err := m.visit(a, slot); err != nil {
			return err
		}
	}
	return nil
}

// sweepSchema meets the schema instructions.
func (m *merger) sweepSchema(a *operand) error {
	for _, slot := range m.index.schema {
		if a.gone {
			break
		}
		if err := m.visit(a, int(slot)); err != nil {
			return err
		}
	}
	return nil
}

// sweepObject meets the instructions on a's object, and takes discarded ones
// out of the object's chain.
func (m *merger) sweepObject(a *operand) error {
	link := m.index.chain(a.in)
	for link != nil && *link != none && !a.gone {
		b := &m.slots[*link]
		if b.gone && !b.preceded {
			*link = b.next
			continue
		}
		if err := m.visit(a, int(*link)); err != nil {
			return err
		}
		link = &b.next
	}
	return nil
}

// sweepObjectAndErasers meets the instructions on a's object, merged in order
// with those that erase classes or properties.
func (m *merger) sweepObjectAndErasers(a *operand) error {
	slot, erasers := none, m.index.erasers
	if link := m.index.chain(a.in); link != nil {
		slot = *link
	}
	for !a.gone && (slot != none || len(erasers) > 0) {
		next := slot
		if slot == none || len(erasers) > 0 && erasers[0] < slot {
			next, erasers = erasers[0], erasers[1:]
		} else {
			slot = m.slots[slot].next
		}
		if err := m.visit(a, int(next)); err != nil {
			return err
		}
	}
	return nil
}

// visit lets a meet what is at a slot: first what was put in front of its
// instruction, then that itself. What is put in front of a meets the rest of
// the incoming run before a goes on.
func (m *merger) visit(a *operand, slot int) error {
	b := &m.slots[slot]
	if b.preceded {
		for _, x := range b.of.before[int(b.pos)] {
			if x.gone {
				continue
			}
			if err := m.meet(a, x); err != nil || a.gone {
				return err
			}
		}
	}
	if b.gone {
		return nil
	}
	if err := m.meet(a, b); err != nil {
		return err
	}
	if x := m.prepended; x != nil {
		m.prepended = nil
		return m.sweepAll(x, slot+1)
	}
	return nil
}

// putBefore puts an instruction in front of o's. It is taken to have met o's
// opposite already.
func (m *merger) putBefore(o *operand, in changeset.Instruction) {
	x := &operand{in: &in, of: o.of, pos: o.pos, next: none, inserted: true, owned: true}
	if o.of.before == nil {
		o.of.before = make(map[int][]*operand)
	}
	o.of.before[int(o.pos)] = append(o.of.before[int(o.pos)], x)
	o.of.changed, o.preceded = true, true
	if !o.of.incoming {
		m.prepended = x
	}
}
