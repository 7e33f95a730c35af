package transform

import (
	"math/rand/v2"
	"strconv"

	"github.com/isthmus-sync/isthmus/changeset"
)

// author makes up changesets that are consistent with themselves: list indices
// and prior sizes fit a base on which every list has baseLength elements. They
// stay with few classes, objects, fields and values, so that most meet.
type author struct {
	rng         *rand.Rand
	lengths     map[string]uint32
	destructive bool // erases classes and properties, too
	schema      bool // adds classes and properties
}

const baseLength = 3

func newAuthor(rng *rand.Rand) *author {
	return &author{rng: rng, lengths: map[string]uint32{}, schema: rng.IntN(3) == 0, destructive: rng.IntN(6) == 0}
}

// run makes up to max entries of one or several origins.
func (w *author) run(max int, origins []uint64) []*Entry {
	var out []*Entry
	for range 1 + w.rng.IntN(max) {
		e := &Entry{Timestamp: uint64(w.rng.IntN(4)), Origin: origins[w.rng.IntN(len(origins))]}
		for range w.rng.IntN(5) {
			e.Changeset = append(e.Changeset, w.instruction())
		}
		out = append(out, e)
	}
	return out
}

func (w *author) pick(texts ...string) string { return texts[w.rng.IntN(len(texts))] }

func (w *author) instruction() changeset.Instruction {
	in := changeset.Instruction{Class: w.pick("P", "P", "Q"), Key: changeset.IntKey(int64(w.rng.IntN(2)))}
	if w.schema && w.rng.IntN(4) == 0 {
		return w.schemaInstruction(in.Class)
	}
	switch w.rng.IntN(16) {
	case 0:
		in.Op = changeset.OpEraseObject
	case 1:
		in.Op = changeset.OpCreateObject
	case 2, 3:
		in.Op, in.Field, in.Addend = changeset.OpAddInteger, "n", int64(w.rng.IntN(5)-2)
	case 4, 5:
		in.Op, in.Field, in.Value, in.Default = changeset.OpUpdate, "n", w.value(), w.rng.IntN(4) == 0
	case 6, 7:
		in.Op, in.Field, in.Value = changeset.OpSetInsert, "s", w.setValue()
		if w.rng.IntN(2) == 0 {
			in.Op = changeset.OpSetErase
		}
	case 8:
		in.Op, in.Field, in.Collection = changeset.OpClear, w.pick("s", "l", "m", "d"), w.collection()
		w.forget(&in)
	case 9:
		in.Op, in.Field, in.Value, in.Path = changeset.OpUpdate, "d", w.value(), changeset.Path{{Name: w.pick("a", "b")}}
	case 10:
		in.Op, in.Field, in.Value = changeset.OpUpdate, "m", w.value()
		w.forget(&in)
	default:
		w.listInstruction(&in)
	}
	return in
}

func (w *author) value() changeset.Value {
	switch w.rng.IntN(8) {
	case 0:
		return changeset.NullValue()
	case 1:
		return changeset.SpecialValue(changeset.List)
	case 2:
		return changeset.SpecialValue(changeset.Dictionary)
	case 3:
		return changeset.SpecialValue(changeset.ObjectValue)
	case 4:
		return changeset.SpecialValue(changeset.Erased)
	}
	return changeset.IntValue(int64(w.rng.IntN(3)))
}

func (w *author) setValue() changeset.Value {
	switch n := w.rng.IntN(3); w.rng.IntN(6) {
	case 0:
		return changeset.DoubleValue(float64(n))
	case 1:
		return changeset.LinkValue("Q", changeset.StringKey(strconv.Itoa(n)))
	case 2:
		return changeset.DecimalValue(0, uint64(n)*10, -1, false)
	case 3:
		return changeset.StringValue(strconv.Itoa(n))
	default:
		return changeset.IntValue(int64(n))
	}
}

func (w *author) collection() changeset.Collection {
	return []changeset.Collection{changeset.Single, changeset.ListOf, changeset.DictionaryOf, changeset.SetOf}[w.rng.IntN(4)]
}

// forget makes the lists of a property empty ones.
func (w *author) forget(in *changeset.Instruction) {
	for k := range w.lengths {
		if len(k) > len(listName(in)) && k[:len(listName(in))] == listName(in) {
			delete(w.lengths, k)
		}
	}
}

func listName(in *changeset.Instruction) string {
	return in.Object().String() + "." + in.Field + in.Path.String()
}

// listInstruction changes a list: l, one inside an element of l, or one inside
// a mixed value; or something else in an element of l.
func (w *author) listInstruction(in *changeset.Instruction) {
	in.Field = w.pick("l", "l", "m")
	if in.Field == "l" && w.rng.IntN(3) == 0 {
		in.Path = changeset.Path{{Index: uint32(w.rng.IntN(baseLength)), IsIndex: true}}
		switch w.rng.IntN(3) {
		case 0:
			in.Path = append(in.Path, changeset.PathElement{Name: "k"})
			in.Op, in.Value = changeset.OpUpdate, w.value()
			return
		case 1:
			in.Op, in.Collection = changeset.OpClear, changeset.DictionaryOf
			return
		}
	}
	name := listName(in)
	length, ok := w.lengths[name]
	if !ok {
		length = baseLength
	}
	in.Prior = length
	index := func(n uint32) {
		in.Path = append(in.Path, changeset.PathElement{Index: w.rng.Uint32N(n), IsIndex: true})
	}
	op := w.rng.IntN(5)
	switch {
	case length == 0 || op < 2:
		in.Op, in.Value = changeset.OpArrayInsert, w.value()
		index(length + 1)
		length++
	case op == 2:
		in.Op = changeset.OpArrayErase
		index(length)
		length--
	case op == 3 && length > 1:
		in.Op = changeset.OpArrayMove
		index(length)
		in.To = (in.Path[len(in.Path)-1].Index + 1 + w.rng.Uint32N(length-1)) % length
	default:
		in.Op, in.Value = changeset.OpUpdate, w.value()
		index(length)
	}
	w.lengths[name] = length
}

func (w *author) schemaInstruction(class string) changeset.Instruction {
	in := changeset.Instruction{Class: class, Field: w.pick("n", "l", "d", "x")}
	op := w.rng.IntN(6)
	switch {
	case op == 0 && w.destructive:
		in.Op, in.Field = changeset.OpEraseTable, ""
	case op == 1 && w.destructive:
		in.Op = changeset.OpEraseColumn
	case op <= 2:
		in.Op, in.Field = changeset.OpAddTable, ""
		in.Table = &changeset.Table{KeyField: "_id", KeyType: changeset.Int}
	default:
		in.Op, in.Column = changeset.OpAddColumn, &changeset.Column{Type: changeset.Int}
		if in.Field == "x" {
			in.Column = &changeset.Column{Type: changeset.Link, Nullable: true, Target: "Q"}
		}
		if w.rng.IntN(100) == 0 {
			in.Column.Nullable = !in.Column.Nullable
		}
	}
	return in
}

// copies returns entries that share their changesets with the given ones.
func copies(entries []*Entry) []*Entry {
	out := make([]*Entry, len(entries))
	for i, e := range entries {
		c := *e
		out[i] = &c
	}
	return out
}
