package transform

import (
	"errors"
	"math"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ruleCase is two changesets that meet, and what becomes of them, whichever
// side is the local one.
type ruleCase struct {
	name               string
	old, recent        changeset.Changeset // made at 1 and at 2
	wantOld, wantNewer changeset.Changeset
	refused            string // the rule that refuses, instead
	original           bool   // with the original's rules rather than the server's
}

func one(in changeset.Instruction) changeset.Changeset { return changeset.Changeset{in} }

func eraseClass(name string) changeset.Instruction {
	return changeset.Instruction{Op: changeset.OpEraseTable, Class: name}
}

func eraseProperty(class, field string) changeset.Instruction {
	return changeset.Instruction{Op: changeset.OpEraseColumn, Class: class, Field: field}
}

func table(name string, t changeset.Table) changeset.Changeset {
	return one(changeset.Instruction{Op: changeset.OpAddTable, Class: name, Table: &t})
}

func property(c changeset.Column) changeset.Changeset {
	return one(changeset.Instruction{Op: changeset.OpAddColumn, Class: "P", Field: "f", Column: &c})
}

var (
	keyed     = changeset.Table{KeyField: "_id", KeyType: changeset.Int}
	embedded  = changeset.Table{Kind: changeset.Embedded}
	linkToQ   = changeset.Column{Type: changeset.Link, Nullable: true, Target: "Q"}
	none0     = changeset.Changeset{}
	clearSet  = empty(changeset.SetOf, "s")
	clearList = empty(list, "m")
	clearDict = empty(dict, "m")
)

var ruleCases = []ruleCase{
	// schema
	{name: "S1 equal classes", old: table("P", keyed), recent: table("P", keyed), wantOld: none0, wantNewer: none0},
	{name: "S1 equal embedded classes", old: table("P", embedded), recent: table("P", embedded), wantOld: none0, wantNewer: none0},
	{name: "S1 other classes", old: table("P", keyed), recent: table("Q", keyed), wantOld: table("P", keyed), wantNewer: table("Q", keyed)},
	{name: "S1 kinds", old: table("P", keyed), recent: table("P", embedded), refused: "S1"},
	{name: "S1 asymmetric", old: table("P", keyed), recent: table("P", changeset.Table{Kind: changeset.Asymmetric, KeyField: "_id", KeyType: changeset.Int}), refused: "S1"},
	{name: "S1 key names", old: table("P", keyed), recent: table("P", changeset.Table{KeyField: "id", KeyType: changeset.Int}), refused: "S1"},
	{name: "S1 key types", old: table("P", keyed), recent: table("P", changeset.Table{KeyField: "_id", KeyType: changeset.String}), refused: "S1"},
	{name: "S1 key nullability", old: table("P", keyed), recent: table("P", changeset.Table{KeyField: "_id", KeyType: changeset.Int, KeyNullable: true}), refused: "S1"},
	{name: "S1 without a specification", old: one(changeset.Instruction{Op: changeset.OpAddTable, Class: "P"}), recent: table("P", keyed), refused: "S1"},
	{name: "S2", old: one(eraseClass("P")), recent: table("P", keyed), wantOld: one(eraseClass("P")), wantNewer: none0},
	{name: "S3", old: one(eraseClass("P")), recent: one(eraseClass("P")), wantOld: none0, wantNewer: none0},
	{name: "S3 other classes", old: one(eraseClass("P")), recent: one(eraseClass("Q")), wantOld: one(eraseClass("P")), wantNewer: one(eraseClass("Q"))},
	{
		name: "S4", old: one(eraseClass("Q")), recent: property(linkToQ),
		wantOld: changeset.Changeset{eraseProperty("P", "f"), eraseClass("Q")}, wantNewer: none0,
	},
	{
		name: "S4 and what follows the property", old: one(eraseClass("Q")),
		recent:  append(property(linkToQ), set(null, "f"), set(null, "g")),
		wantOld: changeset.Changeset{eraseProperty("P", "f"), eraseClass("Q")}, wantNewer: one(set(null, "g")),
	},
	{
		name: "S4 and the class of the property", old: changeset.Changeset{eraseClass("Q"), eraseClass("P")}, recent: append(property(linkToQ), set(null, "f")),
		wantOld: changeset.Changeset{eraseProperty("P", "f"), eraseClass("Q"), eraseClass("P")}, wantNewer: none0,
	},
	{name: "S4 no link", old: one(eraseClass("Q")), recent: property(changeset.Column{Type: changeset.Int}), wantOld: one(eraseClass("Q")), wantNewer: property(changeset.Column{Type: changeset.Int})},
	{name: "S5 equal", old: property(linkToQ), recent: property(linkToQ), wantOld: none0, wantNewer: none0},
	{name: "S5 type", old: property(linkToQ), recent: property(changeset.Column{Type: changeset.Int, Nullable: true}), refused: "S5"},
	{name: "S5 nullability", old: property(linkToQ), recent: property(changeset.Column{Type: changeset.Link, Target: "Q"}), refused: "S5"},
	{name: "S5 collection", old: property(linkToQ), recent: property(changeset.Column{Type: changeset.Link, Nullable: true, Collection: dict, Target: "Q"}), refused: "S5"},
	{name: "S5 target", old: property(linkToQ), recent: property(changeset.Column{Type: changeset.Link, Nullable: true, Target: "R"}), refused: "S5"},
	{name: "S5 without a specification", old: one(changeset.Instruction{Op: changeset.OpAddColumn, Class: "P", Field: "f"}), recent: property(linkToQ), refused: "S5"},
	{name: "S6", old: one(eraseProperty("P", "f")), recent: property(linkToQ), wantOld: one(eraseProperty("P", "f")), wantNewer: none0},
	{name: "S7", old: one(eraseProperty("P", "f")), recent: one(eraseProperty("P", "f")), wantOld: none0, wantNewer: none0},
	{name: "S8", old: one(eraseProperty("P", "f")), recent: changeset.Changeset{set(null, "f"), add(1, "f")}, wantOld: one(eraseProperty("P", "f")), wantNewer: one(add(1, "f"))},

	// objects
	{name: "creations", old: one(onObject(changeset.OpCreateObject, 1)), recent: one(onObject(changeset.OpCreateObject, 1)), wantOld: one(onObject(changeset.OpCreateObject, 1)), wantNewer: one(onObject(changeset.OpCreateObject, 1))},
	{name: "O1", old: one(onObject(changeset.OpEraseObject, 1)), recent: one(onObject(changeset.OpCreateObject, 1)), wantOld: one(onObject(changeset.OpEraseObject, 1)), wantNewer: none0},
	{name: "O2", old: one(onObject(changeset.OpEraseObject, 1)), recent: one(onObject(changeset.OpEraseObject, 1)), wantOld: none0, wantNewer: one(onObject(changeset.OpEraseObject, 1))},

	// values
	{name: "V1 newer", old: one(set(integer(1), "f")), recent: one(set(null, "f")), wantOld: none0, wantNewer: one(set(null, "f"))},
	{name: "V1 default", old: one(set(integer(1), "f")), recent: one(setDefault(integer(2), "f")), wantOld: one(set(integer(1), "f")), wantNewer: none0},
	{name: "V1 both default", old: one(setDefault(integer(1), "f")), recent: one(setDefault(integer(2), "f")), wantOld: none0, wantNewer: one(setDefault(integer(2), "f"))},
	{name: "V1 object creation yields", old: one(set(null, "f")), recent: one(set(anObject, "f")), wantOld: one(set(null, "f")), wantNewer: none0},
	{name: "V1 same collection", old: one(set(aList, "m")), recent: one(set(aList, "m")), wantOld: one(set(aList, "m")), wantNewer: one(set(aList, "m"))},
	{name: "V1 element", old: one(setElement(null, 3, "l", 1)), recent: one(setElement(null, 3, "l", 1)), wantOld: none0, wantNewer: one(setElement(null, 3, "l", 1))},
	{name: "V1 length", old: one(setElement(null, 3, "l", 1)), recent: one(setElement(null, 4, "l", 1)), refused: "V1"},
	{
		name: "V1 length, beside an erased property", old: one(setElement(null, 3, "l", 1)),
		recent: changeset.Changeset{eraseProperty("Q", "x"), setElement(null, 4, "l", 1)}, refused: "V1",
	},
	{name: "V2 on an older value", old: one(set(integer(math.MaxInt64), "f")), recent: one(add(1, "f")), wantOld: one(set(integer(math.MinInt64), "f")), wantNewer: one(add(1, "f"))},
	{name: "V2 on null", old: one(set(null, "f")), recent: one(add(1, "f")), wantOld: one(set(null, "f")), wantNewer: one(add(1, "f"))},
	{name: "V2 on text", old: one(set(str("x"), "f")), recent: one(add(1, "f")), wantOld: one(set(str("x"), "f")), wantNewer: none0},
	{name: "V2 before a value", old: one(add(1, "f")), recent: one(set(integer(5), "f")), wantOld: none0, wantNewer: one(set(integer(5), "f"))},
	{name: "V2 before a default", old: one(add(1, "f")), recent: one(setDefault(integer(5), "f")), wantOld: one(add(1, "f")), wantNewer: one(setDefault(integer(6), "f"))},
	{name: "V3 newer", old: one(set(integer(1), "m")), recent: one(clearList), wantOld: none0, wantNewer: one(clearList)},
	{name: "V3 older", old: one(clearList), recent: one(set(aDict, "m")), wantOld: none0, wantNewer: one(set(aDict, "m"))},
	{name: "V3 same collection", old: one(clearList), recent: one(set(aList, "m")), wantOld: one(clearList), wantNewer: one(set(aList, "m"))},
	{
		name: "V3 removed key", old: one(set(erasedKey, "m", "k")), recent: one(empty(dict, "m", "k")),
		wantOld: none0, wantNewer: changeset.Changeset{set(aDict, "m", "k"), empty(dict, "m", "k")},
	},
	{
		name: "V3 key removed twice", old: changeset.Changeset{set(erasedKey, "m", "k"), set(aList, "m", "k"), set(erasedKey, "m", "k")}, recent: one(empty(list, "m", "k")),
		wantOld: one(set(aList, "m", "k")), wantNewer: changeset.Changeset{set(aList, "m", "k"), empty(list, "m", "k")},
	},
	{
		name: "V3 removed key under a list", old: changeset.Changeset{set(erasedKey, "m", 0, "k"), insert(null, 1, "m", 0)}, recent: one(empty(dict, "m", 0, "k")),
		wantOld: one(insert(null, 1, "m", 0)), wantNewer: changeset.Changeset{set(aDict, "m", 1, "k"), empty(dict, "m", 1, "k")},
	},
	{name: "V3 removed key, original", original: true, old: one(set(erasedKey, "m", "k")), recent: one(empty(dict, "m", "k")), wantOld: none0, wantNewer: one(empty(dict, "m", "k"))},
	{name: "V4", old: one(clearList), recent: one(add(1, "m")), wantOld: one(clearList), wantNewer: none0},

	// lists
	{name: "L1 before", old: one(insert(null, 3, "l", 1)), recent: one(setElement(null, 3, "l", 1)), wantOld: one(insert(null, 3, "l", 1)), wantNewer: one(setElement(null, 4, "l", 2))},
	{name: "L1 after", old: one(insert(null, 3, "l", 2)), recent: one(setElement(null, 3, "l", 1)), wantOld: one(insert(null, 3, "l", 2)), wantNewer: one(setElement(null, 4, "l", 1))},
	{name: "L1 length", old: one(insert(null, 2, "l", 1)), recent: one(setElement(null, 3, "l", 1)), refused: "L1"},
	{name: "L1 at the end", old: one(insert(null, 3, "l", 3)), recent: one(setElement(null, 3, "l", 1)), wantOld: one(insert(null, 3, "l", 3)), wantNewer: one(setElement(null, 4, "l", 1))},
	{name: "L1 index", old: one(insert(null, 3, "l", 4)), recent: one(setElement(null, 3, "l", 1)), refused: "L1"},
	{name: "L1 index of the update", old: one(insert(null, 3, "l", 3)), recent: one(setElement(null, 3, "l", 3)), refused: "L1"},
	{name: "L1 key", old: one(insert(null, 3, "m", 1)), recent: one(set(null, "m", "k")), refused: "L1"},
	{name: "L2", old: one(move(0, 3, "l", 2)), recent: one(setElement(null, 3, "l", 2)), wantOld: one(move(0, 3, "l", 2)), wantNewer: one(setElement(null, 3, "l", 0))},
	{name: "L2 index of the update", old: one(move(0, 3, "l", 2)), recent: one(setElement(null, 3, "l", 3)), refused: "L2"},
	{name: "L2 index", old: one(move(0, 3, "l", 3)), recent: one(setElement(null, 3, "l", 2)), refused: "L2"},
	{name: "L2 key", old: one(move(0, 3, "m", 1)), recent: one(set(null, "m", "k")), refused: "L2"},
	{name: "L3 same", old: one(erase(3, "l", 1)), recent: one(setElement(null, 3, "l", 1)), wantOld: one(erase(3, "l", 1)), wantNewer: none0},
	{name: "L3 before", old: one(erase(3, "l", 1)), recent: one(setElement(null, 3, "l", 2)), wantOld: one(erase(3, "l", 1)), wantNewer: one(setElement(null, 2, "l", 1))},
	{name: "L3 length", old: one(erase(4, "l", 1)), recent: one(setElement(null, 3, "l", 2)), refused: "L3"},
	{name: "L3 index of the erasure", old: one(erase(3, "l", 3)), recent: one(setElement(null, 3, "l", 1)), refused: "L3"},
	{name: "L3 index", old: one(erase(3, "l", 1)), recent: one(setElement(null, 3, "l", 3)), refused: "L3"},
	{name: "L3 key", old: one(erase(3, "m", 1)), recent: one(set(null, "m", "k")), refused: "L3"},
	{name: "L4 tie", old: one(insert(integer(1), 3, "l", 1)), recent: one(insert(integer(2), 3, "l", 1)), wantOld: one(insert(integer(1), 4, "l", 1)), wantNewer: one(insert(integer(2), 4, "l", 2))},
	{name: "L4 length", old: one(insert(null, 3, "l", 1)), recent: one(insert(null, 4, "l", 1)), refused: "L4"},
	{name: "L5 tie", old: one(move(1, 3, "l", 2)), recent: one(insert(null, 3, "l", 1)), wantOld: one(move(2, 4, "l", 3)), wantNewer: one(insert(null, 3, "l", 1))},
	{name: "L6 before", old: one(erase(3, "l", 1)), recent: one(insert(null, 3, "l", 1)), wantOld: one(erase(4, "l", 2)), wantNewer: one(insert(null, 2, "l", 1))},
	{name: "L6 after", old: one(erase(3, "l", 1)), recent: one(insert(null, 3, "l", 2)), wantOld: one(erase(4, "l", 1)), wantNewer: one(insert(null, 2, "l", 1))},
	{name: "L6 length", old: one(erase(3, "l", 1)), recent: one(insert(null, 2, "l", 2)), refused: "L6"},
	{name: "L6 at the end", old: one(erase(3, "l", 2)), recent: one(insert(null, 3, "l", 3)), wantOld: one(erase(4, "l", 2)), wantNewer: one(insert(null, 2, "l", 2))},
	{name: "L6 index of the insertion", old: one(erase(3, "l", 2)), recent: one(insert(null, 3, "l", 4)), refused: "L6"},
	{name: "L6 index", old: one(erase(3, "l", 3)), recent: one(insert(null, 3, "l", 2)), refused: "L6"},
	{name: "L7 same element", old: one(move(2, 3, "l", 0)), recent: one(move(1, 3, "l", 0)), wantOld: none0, wantNewer: one(move(1, 3, "l", 2))},
	{name: "L7 same element and place", old: one(move(2, 3, "l", 0)), recent: one(move(2, 3, "l", 0)), wantOld: none0, wantNewer: none0},
	{name: "L7 idle", old: one(move(1, 3, "l", 2)), recent: one(move(2, 3, "l", 1)), wantOld: none0, wantNewer: none0},
	{name: "L7 crossing", old: one(move(2, 3, "l", 1)), recent: one(move(1, 3, "l", 2)), wantOld: one(move(1, 3, "l", 2)), wantNewer: one(move(2, 3, "l", 1))},
	{name: "L7 length", old: one(move(2, 3, "l", 1)), recent: one(move(1, 4, "l", 2)), refused: "L7"},
	{name: "L7 to, older", old: one(move(3, 3, "l", 1)), recent: one(move(1, 3, "l", 2)), refused: "L7"},
	{name: "L7 to, newer", old: one(move(1, 3, "l", 2)), recent: one(move(3, 3, "l", 1)), refused: "L7"},
	{name: "L7 from, older", old: one(move(1, 3, "l", 3)), recent: one(move(1, 3, "l", 2)), refused: "L7"},
	{name: "L7 from, newer", old: one(move(1, 3, "l", 2)), recent: one(move(1, 3, "l", 3)), refused: "L7"},
	{name: "L8 same element", old: one(erase(3, "l", 0)), recent: one(move(2, 3, "l", 0)), wantOld: one(erase(3, "l", 2)), wantNewer: none0},
	{name: "L8 idle", old: one(erase(3, "l", 1)), recent: one(move(2, 3, "l", 0)), wantOld: one(erase(3, "l", 0)), wantNewer: one(move(1, 2, "l", 0))},
	{name: "L8 length", old: one(erase(4, "l", 1)), recent: one(move(2, 3, "l", 0)), refused: "L8"},
	{name: "L8 from", old: one(erase(3, "l", 1)), recent: one(move(0, 3, "l", 3)), refused: "L8"},
	{name: "L8 index", old: one(erase(3, "l", 3)), recent: one(move(2, 3, "l", 0)), refused: "L8"},
	{name: "L9 same", old: one(erase(3, "l", 1)), recent: one(erase(3, "l", 1)), wantOld: none0, wantNewer: none0},
	{name: "L9 other", old: one(erase(3, "l", 1)), recent: one(erase(3, "l", 2)), wantOld: one(erase(2, "l", 1)), wantNewer: one(erase(2, "l", 1))},
	{name: "L9 length", old: one(erase(3, "l", 1)), recent: one(erase(2, "l", 1)), refused: "L9"},
	{name: "L9 index of the older", old: one(erase(3, "l", 3)), recent: one(erase(3, "l", 1)), refused: "L9"},
	{name: "L9 index", old: one(erase(3, "l", 1)), recent: one(erase(3, "l", 3)), refused: "L9"},
	{name: "other lists", old: one(erase(3, "m", 0, 1)), recent: one(erase(2, "m", 1, 1)), wantOld: one(erase(3, "m", 0, 1)), wantNewer: one(erase(2, "m", 1, 1))},

	// a collection inside a list is cleared
	{name: "clear at index, insertion", old: one(insert(null, 2, "m", 0)), recent: one(empty(dict, "m", 0)), wantOld: one(insert(null, 2, "m", 0)), wantNewer: one(empty(dict, "m", 1))},
	{name: "clear at index, erasure of it", old: one(erase(2, "m", 0)), recent: one(empty(dict, "m", 0)), wantOld: one(erase(2, "m", 0)), wantNewer: none0},
	{name: "clear at index, erasure before it", old: one(erase(2, "m", 0)), recent: one(empty(dict, "m", 1)), wantOld: one(erase(2, "m", 0)), wantNewer: one(empty(dict, "m", 0))},
	{name: "clear at index, move of it", old: one(move(0, 2, "m", 1)), recent: one(empty(dict, "m", 1)), wantOld: one(move(0, 2, "m", 1)), wantNewer: one(empty(dict, "m", 0))},
	{name: "clear at index, original", original: true, old: one(insert(null, 2, "m", 0)), recent: one(empty(dict, "m", 0)), wantOld: one(insert(null, 2, "m", 0)), wantNewer: one(empty(dict, "m", 0))},
	{name: "clear at key", old: one(insert(null, 2, "m", 0)), recent: one(empty(dict, "m", "k")), wantOld: one(insert(null, 2, "m", 0)), wantNewer: one(empty(dict, "m", "k"))},

	// clears and sets
	{name: "C1", old: one(clearList), recent: one(clearDict), wantOld: none0, wantNewer: one(clearDict)},
	{name: "C2", old: one(clearSet), recent: changeset.Changeset{setInsert(integer(1), "s"), setErase(integer(2), "s")}, wantOld: one(clearSet), wantNewer: none0},
	{name: "T1 insert, erase", old: one(setInsert(str("a"), "s")), recent: one(setErase(str("a"), "s")), wantOld: none0, wantNewer: one(setErase(str("a"), "s"))},
	{name: "T1 other type", old: one(setInsert(str("1"), "s")), recent: one(setErase(integer(1), "s")), wantOld: one(setInsert(str("1"), "s")), wantNewer: one(setErase(integer(1), "s"))},

	// nested
	{name: "erased class", old: one(set(null, "f", 1)), recent: one(eraseClass("P")), wantOld: none0, wantNewer: one(eraseClass("P"))},
	{name: "erased object", old: one(set(null, "f", 1)), recent: one(onObject(changeset.OpEraseObject, 1)), wantOld: none0, wantNewer: one(onObject(changeset.OpEraseObject, 1))},
	{name: "overwritten", old: one(set(null, "m")), recent: one(set(null, "m", "k")), wantOld: one(set(null, "m")), wantNewer: none0},
	{name: "object created above", old: one(set(anObject, "e")), recent: one(set(null, "e", "a")), wantOld: one(set(anObject, "e")), wantNewer: one(set(null, "e", "a"))},
	{name: "list made above", old: one(set(aList, "m")), recent: changeset.Changeset{set(null, "m", "k"), insert(null, 0, "m", 0)}, wantOld: one(set(aList, "m")), wantNewer: one(insert(null, 0, "m", 0))},
	{name: "dictionary made above", old: one(set(aDict, "m")), recent: changeset.Changeset{set(null, "m", "k"), insert(null, 0, "m", 0)}, wantOld: one(set(aDict, "m")), wantNewer: one(set(null, "m", "k"))},
	{name: "increment above", old: one(set(null, "m", "k")), recent: one(add(1, "m")), wantOld: none0, wantNewer: one(add(1, "m"))},
	{name: "cleared above", old: one(clearDict), recent: one(set(null, "m", "k")), wantOld: one(clearDict), wantNewer: none0},
	{name: "inserted before", old: one(insert(null, 2, "m", 1)), recent: changeset.Changeset{set(null, "m", 0, "k"), set(null, "m", 1, "k")}, wantOld: one(insert(null, 2, "m", 1)), wantNewer: changeset.Changeset{set(null, "m", 0, "k"), set(null, "m", 2, "k")}},
	{name: "erased element", old: one(erase(3, "m", 1)), recent: changeset.Changeset{set(null, "m", 1, "k"), set(null, "m", 2, "k")}, wantOld: one(erase(3, "m", 1)), wantNewer: one(set(null, "m", 1, "k"))},
	{name: "moved element", old: one(move(0, 3, "m", 2)), recent: changeset.Changeset{set(null, "m", 2, "k"), set(null, "m", 0, "k")}, wantOld: one(move(0, 3, "m", 2)), wantNewer: changeset.Changeset{set(null, "m", 0, "k"), set(null, "m", 1, "k")}},
	{name: "moved element, original", original: true, old: one(move(0, 3, "m", 2)), recent: one(set(null, "m", 1, "k")), wantOld: one(move(0, 3, "m", 2)), wantNewer: one(set(null, "m", 1, "k"))},
	{name: "moved element, original, wrongly followed", original: true, old: one(move(2, 3, "m", 1)), recent: one(set(null, "m", 0, "k")), wantOld: one(move(2, 3, "m", 0)), wantNewer: one(set(null, "m", 0, "k"))},
	{name: "list against dictionary", old: one(erase(3, "m", 1)), recent: one(set(null, "m", "k", "k")), refused: "nested"},
	{name: "set instruction above", old: one(setInsert(null, "s")), recent: one(set(null, "s", "k")), wantOld: one(setInsert(null, "s")), wantNewer: one(set(null, "s", "k"))},
}

func TestRules(t *testing.T) {
	for _, c := range ruleCases {
		t.Run(c.name, func(t *testing.T) {
			for _, oldIsLocal := range []bool{true, false} {
				old, recent := &Entry{Changeset: c.old, Timestamp: 1, Origin: 9}, &Entry{Changeset: c.recent, Timestamp: 2, Origin: 3}
				local, incoming := []*Entry{old}, []*Entry{recent}
				if !oldIsLocal {
					local, incoming = incoming, local
				}
				rules := ServerRules
				if c.original {
					rules = OriginalRules
				}
				err := Merge(local, incoming, rules)
				if c.refused != "" {
					var refused *MergeError
					if !errors.As(err, &refused) || refused.Rule != c.refused {
						t.Errorf("old is local: %t: got %v, want it refused by %s", oldIsLocal, err, c.refused)
					} else if refused.Hint() == "" {
						t.Error("no hint")
					}
					continue
				}
				if err != nil {
					t.Errorf("old is local: %t: %v", oldIsLocal, err)
				}
				if got, want := script([]*Entry{old, recent}), script([]*Entry{
					{Changeset: c.wantOld, Timestamp: 1, Origin: 9, Changed: old.Changed}, {Changeset: c.wantNewer, Timestamp: 2, Origin: 3, Changed: recent.Changed},
				}); got != want {
					t.Errorf("old is local: %t: got:\n%swant:\n%s", oldIsLocal, got, want)
				}
			}
		})
	}
}

// TestEqualTimestamps: the file of origin decides.
func TestEqualTimestamps(t *testing.T) {
	low, high := &Entry{Changeset: one(set(null, "f")), Timestamp: 7, Origin: 1}, &Entry{Changeset: one(set(null, "f")), Timestamp: 7, Origin: 2}
	if err := Merge([]*Entry{high}, []*Entry{low}, ServerRules); err != nil {
		t.Fatal(err)
	}
	if len(high.Changeset) != 1 || len(low.Changeset) != 0 {
		t.Errorf("got %v of the higher file and %v of the lower", high.Changeset, low.Changeset)
	}
}

// TestSetValues: when two values are one to rule T1, and when storage may
// think otherwise.
func TestSetValues(t *testing.T) {
	double, dec := changeset.DoubleValue, func(c uint64, exp int32, neg bool) changeset.Value { return changeset.DecimalValue(0, c, exp, neg) }
	nan, inf := changeset.DecimalValue(0, 0, changeset.DecimalNaN, false), changeset.DecimalValue(0, 0, changeset.DecimalInfinity, false)
	link := func(class string, k changeset.Key) changeset.Value { return changeset.LinkValue(class, k) }
	for _, c := range []struct {
		v, w                   changeset.Value
		equal, onePlace, other bool // T1; position shared by accident; one element in storage only
	}{
		{v: integer(1), w: integer(1), equal: true},
		{v: integer(1), w: integer(2)},
		{v: integer(1), w: double(1), other: true},
		{v: integer(1), w: double(1.5)},
		{v: integer(1), w: str("1")},
		{v: integer(1), w: changeset.BoolValue(true)},
		{v: double(0), w: double(math.Copysign(0, -1)), equal: true},
		{v: changeset.FloatValue(0), w: changeset.FloatValue(float32(math.Copysign(0, -1))), equal: true},
		{v: changeset.FloatValue(1), w: double(1), other: true},
		{v: double(math.NaN()), w: double(math.NaN()), other: true},
		{v: double(math.NaN()), w: integer(1)},
		{v: double(math.Inf(1)), w: double(math.Inf(-1))},
		{v: double(math.Inf(1)), w: inf, other: true},
		{v: double(math.Inf(1)), w: integer(1)},
		{v: double(1e300), w: inf},
		{v: dec(15, -1, false), w: dec(150, -2, false), equal: true},
		{v: dec(15, -1, false), w: dec(15, -1, true)},
		{v: dec(0, 3, true), w: dec(0, -3, false), equal: true},
		{v: changeset.DecimalValue(5, 0, 0, false), w: changeset.DecimalValue(50, 0, -1, false), equal: true},
		{v: dec(15, -1, false), w: double(1.5), other: true},
		{v: dec(15, -1, true), w: double(-1.5), other: true},
		{v: dec(0, 9, true), w: integer(0), other: true},
		{v: nan, w: nan, equal: true},
		{v: nan, w: double(math.NaN()), other: true},
		{v: inf, w: inf, equal: true},
		{v: str("ab"), w: str("cd"), onePlace: true},
		{v: str("ab"), w: str("abc")},
		{v: changeset.BinaryValue([]byte("ab")), w: changeset.BinaryValue([]byte("cd")), onePlace: true},
		{v: link("P", changeset.StringKey("a")), w: link("P", changeset.StringKey("long")), onePlace: true},
		{v: link("P", changeset.IntKey(1)), w: link("Q", changeset.IntKey(1)), onePlace: true},
		{v: link("P", changeset.IntKey(1)), w: link("P", changeset.IntKey(2))},
		{v: link("P", changeset.IntKey(1)), w: link("P", changeset.IntKey(1)), equal: true},
		{v: null, w: null, equal: true},
	} {
		for range 2 {
			if got := equalValues(c.v, c.w); got != c.equal {
				t.Errorf("%v and %v equal: got %t", c.v, c.w, got)
			}
			if got := !c.equal && mayShareAPosition(c.v, c.w); got != c.onePlace {
				t.Errorf("%v and %v may share a position: got %t", c.v, c.w, got)
			}
			if got := !c.equal && mayBeOneElement(c.v, c.w); got != c.other {
				t.Errorf("%v and %v may be one element: got %t", c.v, c.w, got)
			}
			c.v, c.w = c.w, c.v
		}
	}
}
