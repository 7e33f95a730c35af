package transform

import (
	"slices"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

// TestDefects: what is reported of two changesets, the first of which is older
// and local, and what of the same in each other's place.
func TestDefects(t *testing.T) {
	assigned := func(rest ...changeset.Instruction) changeset.Changeset {
		return append(changeset.Changeset{set(aDict, "m")}, rest...)
	}
	other := empty(dict, "m")
	other.Key = changeset.IntKey(2)
	for _, c := range []struct {
		name            string
		local, incoming changeset.Changeset
		want, swapped   DefectKind // swapped is of the merge with the sides exchanged, and their ages
	}{
		{"different texts erased", one(setErase(str("a"), "s")), one(setErase(str("b"), "s")), DefectSetErase, DefectSetErase},
		{"one text erased", one(setErase(str("a"), "s")), one(setErase(str("a"), "s")), "", ""},
		{"texts of different length erased", one(setErase(str("a"), "s")), one(setErase(str("bb"), "s")), "", ""},
		{"different texts erased and inserted", one(setErase(str("a"), "s")), one(setInsert(str("b"), "s")), "", ""},
		{"different texts inserted", one(setInsert(str("a"), "s")), one(setInsert(str("b"), "s")), "", ""},
		{"numbers", one(setInsert(integer(1), "s")), one(setErase(changeset.DoubleValue(1), "s")), DefectSetNumber, DefectSetNumber},
		{"different numbers", one(setInsert(integer(1), "s")), one(setErase(changeset.DoubleValue(2), "s")), "", ""},

		{"moved and changed inside", one(move(0, 3, "m", 2)), one(set(null, "m", 2, "k")), DefectNestedMove, DefectNestedMove},
		{"moved elsewhere", one(move(1, 3, "m", 0)), one(set(null, "m", 2, "k")), "", ""},
		{"move that a device misplaces", one(move(0, 3, "m", 1)), one(set(null, "m", 2, "k")), DefectNestedMove, DefectNestedMove},

		{"embedded twice at a key", one(set(anObject, "de", "k")), one(set(anObject, "de", "k")), DefectEmbeddedReplaced, DefectEmbeddedReplaced},
		{"embedded twice at keys", one(set(anObject, "de", "k")), one(set(anObject, "de", "j")), "", ""},
		{"embedded twice in a property", one(set(anObject, "e")), one(set(anObject, "e")), "", ""},
		{"embedded twice in a list", one(setElement(anObject, 1, "le", 0)), one(setElement(anObject, 1, "le", 0)), "", ""},
		{"embedded at a key and changed", one(set(anObject, "de", "k")), one(set(null, "de", "k", "a")), DefectEmbeddedReplaced, DefectEmbeddedReplaced},
		{"embedded in a property and changed", one(set(anObject, "e")), one(set(null, "e", "a")), "", ""},
		{"embedded in a list and changed", one(setElement(anObject, 1, "le", 0)), one(set(null, "le", 0, "a")), "", ""},

		{"clear at index moved", one(insert(null, 2, "m", 0)), one(empty(dict, "m", 1)), DefectClearAtIndex, DefectClearAtIndex},
		{"clear at index erased", one(erase(2, "m", 1)), one(empty(dict, "m", 1)), DefectClearAtIndex, DefectClearAtIndex},
		{"clear at index untouched", one(erase(2, "m", 1)), one(empty(dict, "m", 0)), "", ""},

		{"collection assigned over an older value", one(set(integer(1), "m")), assigned(), DefectCollectionKept, DefectCollectionKept},
		{"collection assigned and cleared", one(set(integer(1), "m")), assigned(other, empty(dict, "m")), DefectCollectionKept, DefectCollectionKept},
		{"collection assigned and cleared at once", one(set(integer(1), "m")), assigned(empty(dict, "m")), "", ""},
		{"collection assigned, then another kind of clear", one(set(integer(1), "m")), assigned(empty(list, "m")), DefectCollectionKept, DefectCollectionKept},
		{"collection assigned, then something inside cleared", one(set(integer(1), "m")), assigned(empty(dict, "m", "k")), DefectCollectionKept, DefectCollectionKept},
		{"collection assigned, then another property cleared", one(set(integer(1), "m")), assigned(empty(dict, "d")), DefectCollectionKept, DefectCollectionKept},
		{"collection assigned, then changed", one(set(integer(1), "m")), assigned(set(null, "m", "k")), DefectCollectionKept, DefectCollectionKept},
		{"collection overwritten by a newer value", assigned(), one(set(integer(1), "m")), "", ""},
		{"collection assigned twice", assigned(), assigned(), "", ""},
		{"collection assigned over another kind's clear", one(empty(list, "m")), assigned(), DefectCollectionKept, DefectCollectionKept},
		{"collection assigned and cleared at once over another kind's clear", one(empty(list, "m")), assigned(empty(dict, "m")), "", ""},

		{"key removed here, cleared there", one(set(erasedKey, "d", "k")), one(empty(dict, "d", "k")), "", DefectClearedKey},
		{"key cleared, then removed", one(empty(dict, "d", "k")), one(set(erasedKey, "d", "k")), "", ""},
		{"value replaced, then cleared", one(set(integer(1), "d", "k")), one(empty(dict, "d", "k")), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(want DefectKind, defects []Defect, err error) {
				if err != nil {
					t.Fatal(err)
				}
				var wanted []Defect
				if want != "" {
					wanted = []Defect{{want, changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}}}
				}
				if !slices.Equal(defects, wanted) {
					t.Errorf("got %v, want %v", defects, wanted)
				}
			}
			for _, rules := range []Rules{ServerRules, OriginalRules} {
				entry := func(c changeset.Changeset, at uint64) []*Entry {
					return []*Entry{{Changeset: c, Timestamp: at, Origin: 2}}
				}
				defects, err := MergeAndReport(entry(c.local, 1), entry(c.incoming, 2), rules)
				check(c.want, defects, err)
				defects, err = MergeAndReport(entry(c.incoming, 2), entry(c.local, 1), rules)
				check(c.swapped, defects, err)
			}
		})
	}
}

// TestDefectsOnce: an object is reported once for each kind of defect, in the
// order in which they are met.
func TestDefectsOnce(t *testing.T) {
	local := changeset.Changeset{in(2, move(0, 3, "m", 2)), move(0, 3, "m", 2), setErase(str("a"), "s")}
	incoming := changeset.Changeset{set(null, "m", 2, "k"), set(null, "m", 1, "k"), in(2, set(null, "m", 2, "k")), setErase(str("b"), "s")}
	got, err := MergeAndReport([]*Entry{{Changeset: local, Origin: 2}}, []*Entry{{Changeset: incoming, Origin: 3}}, ServerRules)
	if err != nil {
		t.Fatal(err)
	}
	p1, p2 := changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}, changeset.ObjectRef{Class: "P", Key: changeset.IntKey(2)}
	want := []Defect{{DefectNestedMove, p2}, {DefectNestedMove, p1}, {DefectSetErase, p1}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
