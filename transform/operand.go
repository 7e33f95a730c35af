package transform

import "github.com/isthmus-sync/isthmus/changeset"

// draft is an entry while it is merged. It shares the entry's changeset until
// something changes, and is written back only when the whole merge is done.
type draft struct {
	entry        *Entry
	incoming     bool
	instructions changeset.Changeset // the entry's own while !owned: not to be written to
	owned        bool
	changed      bool
	gone         []bool             // discarded positions; nil when there are none
	before       map[int][]*operand // instructions put in front of a position
}

// own makes the instructions the draft's own, their paths excepted.
func (d *draft) own() {
	if !d.owned {
		d.instructions = append(changeset.Changeset(nil), d.instructions...)
		d.owned = true
	}
}

// finish writes what changed back into the entry.
func (d *draft) finish() {
	if !d.changed {
		return
	}
	d.entry.Changed = true
	if d.gone == nil && d.before == nil {
		d.entry.Changeset = d.instructions
		return
	}
	out := make(changeset.Changeset, 0, len(d.instructions)+len(d.before))
	for i := range d.instructions {
		for _, x := range d.before[i] {
			if !x.gone {
				out = append(out, *x.in)
			}
		}
		if d.gone == nil || !d.gone[i] {
			out = append(out, d.instructions[i])
		}
	}
	d.entry.Changeset = out
}

// operand is one instruction of a draft in a meeting.
type operand struct {
	in       *changeset.Instruction // read only; change it through the methods
	of       *draft
	pos      int32
	next     int32 // the next incoming operand of the same object, or none; see index
	inserted bool  // stands in front of pos rather than at it
	preceded bool  // something was put in front of it: of.before[pos]
	owned    bool  // in may be written to
	ownPath  bool  // in.Path may be written to
	gone     bool  // discarded
}

// discard removes the instruction from its changeset.
func (o *operand) discard() {
	o.gone = true
	o.of.changed = true
	if o.inserted {
		return
	}
	if o.of.gone == nil {
		o.of.gone = make([]bool, len(o.of.instructions))
	}
	o.of.gone[o.pos] = true
}

// edit returns the instruction for writing to anything but its path.
func (o *operand) edit() *changeset.Instruction {
	o.of.changed = true
	if !o.owned {
		o.of.own()
		o.in = &o.of.instructions[o.pos]
		o.owned = true
	}
	return o.in
}

// setStep changes the list index at one step of the path.
func (o *operand) setStep(step int, index uint32) {
	if o.in.Path[step].Index == index {
		return
	}
	in := o.edit()
	if !o.ownPath {
		in.Path = append(make(changeset.Path, 0, len(in.Path)), in.Path...)
		o.ownPath = true
	}
	in.Path[step].Index = index
}

// index returns the last step's list index.
func (o *operand) index() uint32 { return o.in.Path[len(o.in.Path)-1].Index }

// setIndex changes the last step's list index.
func (o *operand) setIndex(index uint32) { o.setStep(len(o.in.Path)-1, index) }

// setPrior changes the length the list had before the instruction.
func (o *operand) setPrior(prior uint32) { o.edit().Prior = prior }

// setTo changes an ArrayMove's destination.
func (o *operand) setTo(to uint32) {
	if o.in.To != to {
		o.edit().To = to
	}
}

// olderThan reports whether o's changeset has the lower order key.
func (o *operand) olderThan(p *operand) bool {
	a, b := o.of.entry, p.of.entry
	if a.Timestamp != b.Timestamp {
		return a.Timestamp < b.Timestamp
	}
	return a.Origin < b.Origin
}

// older returns the older of the two and the newer.
func older(a, b *operand) (old, recent *operand) {
	if a.olderThan(b) {
		return a, b
	}
	return b, a
}

// follower returns the instruction that stands behind o in its changeset, or
// nil if there is none or it was discarded.
func (o *operand) follower() *changeset.Instruction {
	i := int(o.pos) + 1
	if o.inserted {
		i = int(o.pos)
	}
	if i >= len(o.of.instructions) || o.of.gone != nil && o.of.gone[i] {
		return nil
	}
	return &o.of.instructions[i]
}
