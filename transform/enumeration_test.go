package transform

import (
	"github.com/isthmus-sync/isthmus/changeset"
)

// enumeration is a small world in which everything that participants can do is
// tried against everything else.
type enumeration struct {
	name    string
	base    changeset.Changeset
	actions func(who int64) []changeset.Changeset // what a participant may do, on the base
}

// path makes the head of an instruction on the object P[1].
func path(op changeset.Op, field string, steps ...any) changeset.Instruction {
	in := changeset.Instruction{Op: op, Class: "P", Key: changeset.IntKey(1), Field: field}
	for _, s := range steps {
		switch s := s.(type) {
		case int:
			in.Path = append(in.Path, changeset.PathElement{Index: uint32(s), IsIndex: true})
		case string:
			in.Path = append(in.Path, changeset.PathElement{Name: s})
		}
	}
	return in
}

func set(v changeset.Value, field string, steps ...any) changeset.Instruction {
	in := path(changeset.OpUpdate, field, steps...)
	in.Value = v
	return in
}

func setElement(v changeset.Value, prior uint32, field string, steps ...any) changeset.Instruction {
	in := set(v, field, steps...)
	in.Prior = prior
	return in
}

func setDefault(v changeset.Value, field string) changeset.Instruction {
	in := set(v, field)
	in.Default = true
	return in
}

func insert(v changeset.Value, prior uint32, field string, steps ...any) changeset.Instruction {
	in := path(changeset.OpArrayInsert, field, steps...)
	in.Value, in.Prior = v, prior
	return in
}

func erase(prior uint32, field string, steps ...any) changeset.Instruction {
	in := path(changeset.OpArrayErase, field, steps...)
	in.Prior = prior
	return in
}

func move(to, prior uint32, field string, steps ...any) changeset.Instruction {
	in := path(changeset.OpArrayMove, field, steps...)
	in.To, in.Prior = to, prior
	return in
}

func empty(kind changeset.Collection, field string, steps ...any) changeset.Instruction {
	in := path(changeset.OpClear, field, steps...)
	in.Collection = kind
	return in
}

func add(n int64, field string) changeset.Instruction {
	in := path(changeset.OpAddInteger, field)
	in.Addend = n
	return in
}

func setInsert(v changeset.Value, field string) changeset.Instruction {
	in := path(changeset.OpSetInsert, field)
	in.Value = v
	return in
}

func setErase(v changeset.Value, field string) changeset.Instruction {
	in := path(changeset.OpSetErase, field)
	in.Value = v
	return in
}

func onObject(op changeset.Op, key int64) changeset.Instruction {
	return changeset.Instruction{Op: op, Class: "P", Key: changeset.IntKey(key)}
}

// in moves an instruction to another object of P.
func in(key int64, i changeset.Instruction) changeset.Instruction {
	i.Key = changeset.IntKey(key)
	return i
}

func class(name string, kind changeset.TableKind) changeset.Instruction {
	t := &changeset.Table{Kind: kind}
	if kind != changeset.Embedded {
		t.KeyField, t.KeyType = "_id", changeset.Int
	}
	return changeset.Instruction{Op: changeset.OpAddTable, Class: name, Table: t}
}

func column(class, field string, typ changeset.Type, nullable bool, kind changeset.Collection, target string) changeset.Instruction {
	return changeset.Instruction{Op: changeset.OpAddColumn, Class: class, Field: field, Column: &changeset.Column{
		Type: typ, Nullable: nullable, Collection: kind, Target: target,
	}}
}

// withObject is the base of most enumerations: a class P of these properties
// with the object 1.
func withObject(rest ...changeset.Instruction) changeset.Changeset {
	c := changeset.Changeset{class("P", changeset.TopLevel)}
	for i := range rest {
		if !rest[i].Op.IsSchema() {
			c = append(c, rest[:i]...)
			c = append(c, onObject(changeset.OpCreateObject, 1))
			return append(c, rest[i:]...)
		}
	}
	return append(append(c, rest...), onObject(changeset.OpCreateObject, 1))
}

func each(instructions ...changeset.Instruction) []changeset.Changeset {
	var out []changeset.Changeset
	for _, in := range instructions {
		out = append(out, changeset.Changeset{in})
	}
	return out
}

var (
	integer    = changeset.IntValue
	str        = changeset.StringValue
	null       = changeset.NullValue()
	anObject   = changeset.SpecialValue(changeset.ObjectValue)
	aList      = changeset.SpecialValue(changeset.List)
	aDict      = changeset.SpecialValue(changeset.Dictionary)
	erasedKey  = changeset.SpecialValue(changeset.Erased)
	list, dict = changeset.ListOf, changeset.DictionaryOf
)

// enumerations all converge when every peer has the server's rules.
var enumerations = []enumeration{
	{
		name: "array",
		base: withObject(column("P", "l", changeset.Int, false, list, ""),
			insert(integer(100), 0, "l", 0), insert(integer(101), 1, "l", 1), insert(integer(102), 2, "l", 2)),
		actions: func(who int64) []changeset.Changeset {
			return each(
				setElement(integer(who), 3, "l", 0), setElement(integer(who), 3, "l", 1), setElement(integer(who), 3, "l", 2),
				insert(integer(who), 3, "l", 0), insert(integer(who), 3, "l", 1), insert(integer(who), 3, "l", 2), insert(integer(who), 3, "l", 3),
				move(1, 3, "l", 0), move(2, 3, "l", 0), move(0, 3, "l", 1), move(2, 3, "l", 1), move(0, 3, "l", 2), move(1, 3, "l", 2),
				erase(3, "l", 0), erase(3, "l", 1), erase(3, "l", 2),
				empty(list, "l"),
			)
		},
	},
	{
		name: "dictionary",
		base: withObject(column("P", "d", changeset.Mixed, true, dict, ""),
			set(integer(100), "d", "a"), set(str("x"), "d", "b")),
		actions: func(who int64) []changeset.Changeset {
			return each(
				set(integer(who), "d", "a"), set(integer(who), "d", "b"), set(integer(who), "d", "c"), set(null, "d", "a"), set(null, "d", "c"),
				set(erasedKey, "d", "a"), set(erasedKey, "d", "b"), set(erasedKey, "d", "c"),
				empty(dict, "d"),
			)
		},
	},
	{
		name: "set",
		base: withObject(column("P", "s", changeset.String, false, changeset.SetOf, ""),
			setInsert(str("a"), "s"), setInsert(str("b"), "s")),
		actions: func(int64) []changeset.Changeset {
			return append(each(
				setInsert(str("a"), "s"), setInsert(str("b"), "s"), setInsert(str("c"), "s"),
				setErase(str("a"), "s"), setErase(str("b"), "s"), setErase(str("c"), "s"),
				empty(changeset.SetOf, "s"),
			),
				changeset.Changeset{setErase(str("a"), "s"), setInsert(str("a"), "s")},
				changeset.Changeset{setInsert(str("c"), "s"), setErase(str("c"), "s")},
				changeset.Changeset{empty(changeset.SetOf, "s"), setInsert(str("c"), "s")},
			)
		},
	},
	{
		name: "mixed",
		base: withObject(column("P", "m", changeset.Mixed, true, changeset.Single, ""),
			set(aList, "m"), insert(aDict, 0, "m", 0), set(aList, "m", 0, "k"),
			insert(integer(100), 0, "m", 0, "k", 0), insert(integer(101), 1, "m", 0, "k", 1), insert(str("x"), 1, "m", 1)),
		actions: func(who int64) []changeset.Changeset {
			return append(each(
				set(null, "m"), set(integer(who), "m"), empty(list, "m"),
				insert(integer(who), 2, "m", 0), insert(integer(who), 2, "m", 1), insert(integer(who), 2, "m", 2),
				erase(2, "m", 0), erase(2, "m", 1), move(1, 2, "m", 0), move(0, 2, "m", 1),
				setElement(integer(who), 2, "m", 0), setElement(integer(who), 2, "m", 1),
				empty(dict, "m", 0),
				set(integer(who), "m", 0, "k"), set(erasedKey, "m", 0, "k"), set(integer(who), "m", 0, "j"), empty(list, "m", 0, "k"),
				insert(integer(who), 2, "m", 0, "k", 0), insert(integer(who), 2, "m", 0, "k", 2), erase(2, "m", 0, "k", 0),
				move(0, 2, "m", 0, "k", 1), setElement(integer(who), 2, "m", 0, "k", 1),
			),
				// an application that assigns a collection clears it at once
				changeset.Changeset{set(aList, "m"), empty(list, "m"), insert(integer(who), 0, "m", 0)},
				changeset.Changeset{set(aDict, "m"), empty(dict, "m"), set(integer(who), "m", "k")},
				changeset.Changeset{setElement(aDict, 2, "m", 0), empty(dict, "m", 0), set(integer(who), "m", 0, "k")},
				changeset.Changeset{setElement(aList, 2, "m", 0), empty(list, "m", 0), insert(integer(who), 0, "m", 0, 0)},
				changeset.Changeset{set(aList, "m", 0, "k"), empty(list, "m", 0, "k"), insert(integer(who), 0, "m", 0, "k", 0)},
				changeset.Changeset{setElement(aList, 2, "m", 1), empty(list, "m", 1), insert(integer(who), 0, "m", 1, 0)},
			)
		},
	},
	{
		name: "embedded",
		base: withObject(class("E", changeset.Embedded),
			column("E", "a", changeset.Int, true, changeset.Single, ""), column("E", "l", changeset.Int, false, list, ""),
			column("E", "e", changeset.Link, true, changeset.Single, "E"),
			column("P", "e", changeset.Link, true, changeset.Single, "E"), column("P", "f", changeset.Link, true, changeset.Single, "E"),
			column("P", "le", changeset.Link, false, list, "E"),
			set(anObject, "e"), set(integer(100), "e", "a"), insert(integer(100), 0, "e", "l", 0),
			insert(anObject, 0, "le", 0), set(integer(100), "le", 0, "a"), insert(anObject, 1, "le", 1), set(integer(101), "le", 1, "a")),
		actions: func(who int64) []changeset.Changeset {
			return append(each(
				set(null, "e"), set(integer(who), "e", "a"), insert(integer(who), 1, "e", "l", 0), erase(1, "e", "l", 0), empty(list, "e", "l"),
				set(anObject, "f"),
				erase(2, "le", 0), erase(2, "le", 1), move(1, 2, "le", 0), move(0, 2, "le", 1), empty(list, "le"),
				set(integer(who), "le", 0, "a"), set(integer(who), "le", 1, "a"), insert(integer(who), 0, "le", 1, "l", 0),
			),
				changeset.Changeset{set(null, "e"), set(anObject, "e"), set(integer(who), "e", "a")},
				changeset.Changeset{set(anObject, "e", "e"), set(integer(who), "e", "e", "a")},
				changeset.Changeset{set(anObject, "f"), set(integer(who), "f", "a"), insert(integer(who), 0, "f", "l", 0)},
				changeset.Changeset{insert(anObject, 2, "le", 0), set(integer(who), "le", 0, "a")},
				changeset.Changeset{insert(anObject, 2, "le", 2), set(integer(who), "le", 2, "a")},
				changeset.Changeset{erase(2, "le", 1), insert(anObject, 1, "le", 1), set(integer(who), "le", 1, "a")},
			)
		},
	},
	{
		name: "counter",
		base: withObject(column("P", "n", changeset.Int, true, changeset.Single, ""),
			column("P", "m", changeset.Mixed, true, changeset.Single, ""), set(integer(100), "n"), set(integer(100), "m")),
		actions: func(who int64) []changeset.Changeset {
			return append(each(
				add(who, "n"), add(-who, "n"), set(integer(who*10), "n"), set(null, "n"), setDefault(integer(who*10), "n"), setDefault(null, "n"),
				add(who, "m"), set(integer(who*10), "m"), set(null, "m"), set(str("x"), "m"), setDefault(integer(who*10), "m"),
			),
				changeset.Changeset{set(null, "n"), set(integer(who*10), "n")},
				changeset.Changeset{set(null, "n"), add(who, "n")},
				changeset.Changeset{set(integer(who*10), "n"), set(null, "n")},
				changeset.Changeset{set(str("x"), "m"), set(integer(who*10), "m"), add(who, "m")},
				changeset.Changeset{set(aList, "m"), empty(list, "m"), insert(integer(who), 0, "m", 0)},
			)
		},
	},
	{
		name: "objects",
		base: withObject(column("P", "n", changeset.Int, true, changeset.Single, ""), column("P", "l", changeset.Int, false, list, ""),
			column("P", "p", changeset.Link, true, changeset.Single, "P"), column("P", "lp", changeset.Link, false, list, "P"),
			set(integer(100), "n"), insert(integer(100), 0, "l", 0),
			onObject(changeset.OpCreateObject, 3), in(3, set(changeset.LinkValue("P", changeset.IntKey(1)), "p")),
			in(3, insert(changeset.LinkValue("P", changeset.IntKey(1)), 0, "lp", 0))),
		actions: func(who int64) []changeset.Changeset {
			create, erases := changeset.OpCreateObject, changeset.OpEraseObject
			return []changeset.Changeset{
				{onObject(erases, 1)},
				{in(3, set(null, "p")), in(3, erase(1, "lp", 0)), onObject(erases, 1)}, // as an application erases an object
				{onObject(create, 1), set(integer(who), "n")},
				{onObject(erases, 1), onObject(create, 1), set(integer(who), "n")},
				{onObject(erases, 1), onObject(create, 1), set(integer(who), "n"), onObject(erases, 1)},
				{set(integer(who), "n")},
				{insert(integer(who), 1, "l", 0)},
				{onObject(create, 2), in(2, set(integer(who), "n"))},
				{onObject(create, 2), in(2, setDefault(integer(who), "n"))},
				{onObject(create, 2), in(2, insert(integer(who), 0, "l", 0)), onObject(erases, 2)},
				{onObject(create, 2), in(3, insert(changeset.LinkValue("P", changeset.IntKey(2)), 1, "lp", 0))},
				{in(3, set(changeset.LinkValue("P", changeset.IntKey(2)), "p"))},
				{onObject(erases, 3)},
				{onObject(erases, 2)},
			}
		},
	},
}

// defective are worlds in which peers may diverge whatever their rules: the
// effects of applying, too, depend on the order.
var defective = []enumeration{
	{
		name: "embedded in a dictionary",
		base: withObject(class("E", changeset.Embedded),
			column("E", "a", changeset.Int, true, changeset.Single, ""), column("E", "b", changeset.Int, true, changeset.Single, ""),
			column("E", "l", changeset.Int, false, list, ""),
			column("P", "de", changeset.Link, true, dict, "E"),
			set(anObject, "de", "k"), set(integer(100), "de", "k", "a"), insert(integer(100), 0, "de", "k", "l", 0)),
		actions: func(who int64) []changeset.Changeset {
			return append(each(
				set(erasedKey, "de", "k"), set(erasedKey, "de", "j"), set(null, "de", "k"), empty(dict, "de"),
				set(integer(who), "de", "k", "a"), insert(integer(who), 1, "de", "k", "l", 0), erase(1, "de", "k", "l", 0),
				set(anObject, "de", "k"), set(anObject, "de", "j"),
			),
				changeset.Changeset{set(anObject, "de", "k"), set(integer(who), "de", "k", "b")},
				changeset.Changeset{set(anObject, "de", "j"), set(integer(who), "de", "j", "a"), insert(integer(who), 0, "de", "j", "l", 0)},
				changeset.Changeset{set(erasedKey, "de", "k"), set(anObject, "de", "k"), insert(integer(who), 0, "de", "k", "l", 0)},
			)
		},
	},
	{
		name: "collections assigned without clearing",
		base: withObject(column("P", "m", changeset.Mixed, true, changeset.Single, ""),
			set(aDict, "m"), set(aList, "m", "k"), insert(integer(100), 0, "m", "k", 0)),
		actions: func(who int64) []changeset.Changeset {
			return append(each(
				set(null, "m"), set(integer(who), "m"), set(aDict, "m"), set(aList, "m"), empty(dict, "m"),
				set(integer(who), "m", "k"), set(aList, "m", "k"), set(aDict, "m", "k"), set(erasedKey, "m", "k"), empty(list, "m", "k"),
				insert(integer(who), 1, "m", "k", 1), erase(1, "m", "k", 0),
			),
				changeset.Changeset{set(aList, "m", "k"), insert(integer(who), 1, "m", "k", 1)},
				changeset.Changeset{set(aDict, "m"), set(integer(who), "m", "j"), set(integer(who), "m")},
				changeset.Changeset{set(integer(who), "m"), set(aDict, "m"), set(integer(who), "m", "k")},
				changeset.Changeset{set(integer(who), "m"), set(aDict, "m"), set(aList, "m", "k"), insert(integer(who), 0, "m", "k", 0)},
			)
		},
	},
	{
		name: "numbers in a set of mixed",
		base: withObject(column("P", "s", changeset.Mixed, true, changeset.SetOf, ""), setInsert(integer(1), "s")),
		actions: func(int64) []changeset.Changeset {
			one, decimal := changeset.DoubleValue(1), changeset.DecimalValue(0, 20, -1, false)
			return append(each(
				setInsert(integer(1), "s"), setInsert(one, "s"), setInsert(integer(2), "s"), setInsert(decimal, "s"),
				setErase(integer(1), "s"), setErase(one, "s"), setErase(decimal, "s"), empty(changeset.SetOf, "s"),
			),
				changeset.Changeset{setErase(integer(1), "s"), setInsert(one, "s")},
			)
		},
	},
}
