package transform

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

// FuzzMerge merges any two changesets with each other: no panic, the index
// makes no difference, and neither does which side is the local one.
func FuzzMerge(f *testing.F) {
	n := 0
	eachVector(f, "testdata/ot-merge-vectors.jsonl.gz", func(v *vector) {
		if n++; n%5 != 0 {
			return
		}
		ours, err := hex.DecodeString(v.OurHex[0])
		if err != nil {
			f.Fatal(err)
		}
		theirs, err := hex.DecodeString(v.TheirHex[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ours, theirs, v.OurTimestamp[0] < v.TheirTimestamp[0])
	})
	f.Fuzz(func(t *testing.T, ours, theirs []byte, older bool) {
		local, err := changeset.Decode(ours)
		if err != nil {
			return
		}
		incoming, err := changeset.Decode(theirs)
		if err != nil {
			return
		}
		// Two entries of the incoming side, so that what is put in front of an
		// instruction of one meets the other.
		run := func(rules Rules, allPairs, swapped bool) (result string, failed bool) {
			l := []*Entry{{Changeset: local, Timestamp: 1, Origin: 2}}
			in := []*Entry{{Changeset: incoming, Timestamp: 1, Origin: 3}, {Changeset: incoming, Timestamp: 2, Origin: 3}}
			if older {
				l[0].Timestamp = 3
			}
			m := merger{rules: rules, allPairs: allPairs}
			if swapped {
				err = m.merge(in, l)
			} else {
				err = m.merge(l, in)
			}
			return script(l) + script(in), err != nil
		}
		for _, rules := range []Rules{OriginalRules, ServerRules, DeviceRules} {
			want, failed := run(rules, true, false)
			for _, how := range []struct{ allPairs, swapped bool }{{false, false}, {true, true}, {false, true}} {
				if got, f := run(rules, how.allPairs, how.swapped); got != want || f != failed {
					t.Errorf("%+v, %+v: got failed=%t\n%s\nwant failed=%t\n%s", rules, how, f, got, failed, want)
				}
			}
		}
	})
}

// TestMergeOddInstructions: instructions that no decoder produces do no harm.
func TestMergeOddInstructions(t *testing.T) {
	var all changeset.Changeset
	for op := range 20 {
		for _, p := range []changeset.Path{nil, {{Name: "k"}}, {{Index: 1, IsIndex: true}}, {{Name: "k"}, {Name: "j"}}} {
			all = append(all, changeset.Instruction{Op: changeset.Op(op), Class: "P", Key: changeset.IntKey(1), Field: "f", Path: p})
		}
	}
	for i := range all {
		for k := range all {
			local, incoming := []*Entry{{Changeset: one(all[i]), Origin: 2}}, []*Entry{{Changeset: one(all[k]), Origin: 3}}
			if err := Merge(local, incoming, ServerRules); err != nil && !errors.Is(err, ErrMerge) {
				t.Errorf("%v with %v: %v", all[i], all[k], err)
			}
		}
	}
}
