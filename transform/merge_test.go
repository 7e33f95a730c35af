package transform

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

var (
	seedFlag = flag.Uint64("seed", 1, "seed of the random tests")
	runsFlag = flag.Int("runs", 4000, "number of random merges")
)

// script prints entries, for failures and for comparing.
func script(entries []*Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "t=%d origin=%d changed=%t\n%s", e.Timestamp, e.Origin, e.Changed, text(e.Changeset))
	}
	return b.String()
}

// randomMerges makes up pairs of runs, as the server and as a client meets them.
func randomMerges(t *testing.T, visit func(rng *rand.Rand, local, incoming []*Entry)) {
	t.Helper()
	for run := range *runsFlag {
		rng := rand.New(rand.NewPCG(*seedFlag, uint64(run)))
		visit(rng, newAuthor(rng).run(6, []uint64{1, 2}), newAuthor(rng).run(4, []uint64{3}))
		if t.Failed() {
			t.Fatalf("-seed=%d, run %d", *seedFlag, run)
		}
	}
}

// TestIndexIsExact: meeting all pairs gives what meeting the index's gives.
func TestIndexIsExact(t *testing.T) {
	var refused, changed int
	randomMerges(t, func(rng *rand.Rand, local, incoming []*Entry) {
		rules := []Rules{OriginalRules, ServerRules, DeviceRules}[rng.IntN(3)]
		l, in := copies(local), copies(incoming)
		indexed, all := merger{rules: rules}, merger{rules: rules, allPairs: true}
		errIndexed, errAll := indexed.merge(l, in), all.merge(local, incoming)
		if got, want := fmt.Sprint(errIndexed), fmt.Sprint(errAll); got != want {
			t.Errorf("error: got %s, want %s", got, want)
		}
		if got, want := script(l)+script(in), script(local)+script(incoming); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		if got, want := fmt.Sprint(indexed.defects), fmt.Sprint(all.defects); got != want {
			t.Errorf("defects: got %s, want %s", got, want)
		}
		if errAll != nil {
			refused++
		}
		if strings.Contains(script(local), "changed=true") {
			changed++
		}
	})
	t.Logf("%d merges, %d refused, %d changed something", *runsFlag, refused, changed)
	if refused == 0 || refused > *runsFlag/2 || changed < *runsFlag/3 {
		t.Error("the random merges are not varied enough")
	}
}

// TestSwap: it does not matter which side is the local one.
func TestSwap(t *testing.T) {
	randomMerges(t, func(rng *rand.Rand, local, incoming []*Entry) {
		rules := []Rules{OriginalRules, ServerRules, DeviceRules}[rng.IntN(3)]
		l, in := copies(local), copies(incoming)
		err, errSwapped := Merge(local, incoming, rules), Merge(in, l, rules)
		if (err == nil) != (errSwapped == nil) {
			t.Errorf("got error %v, swapped %v", err, errSwapped)
		}
		if got, want := script(l)+script(in), script(local)+script(incoming); got != want {
			t.Errorf("swapped:\n%s\nunswapped:\n%s", got, want)
		}
	})
}

// TestMergeLeavesArguments: the changesets given are not written to, and
// entries are altered only when they say so and only when all went well.
func TestMergeLeavesArguments(t *testing.T) {
	randomMerges(t, func(_ *rand.Rand, local, incoming []*Entry) {
		both := append(append([]*Entry(nil), local...), incoming...)
		given := make([]changeset.Changeset, len(both))
		before := make([]string, len(both))
		for i, e := range both {
			given[i], before[i] = e.Changeset, text(e.Changeset)
		}
		err := Merge(local, incoming, ServerRules)
		for i, e := range both {
			if got := text(given[i]); got != before[i] {
				t.Errorf("wrote to a changeset given:\n%swas:\n%s", got, before[i])
			}
			if altered := text(e.Changeset) != before[i]; altered && !e.Changed { // alterations may cancel out
				t.Errorf("Changed is %t, altered %t: was\n%sis\n%s", e.Changed, altered, before[i], text(e.Changeset))
			}
			if err != nil && e.Changed {
				t.Errorf("altered by a refused merge: %v", err)
			}
			if !e.Changed && len(e.Changeset) > 0 && &e.Changeset[0] != &given[i][0] {
				t.Error("replaced an unaltered changeset")
			}
		}
	})
}

// TestMergeError: a refused merge names the instructions, the rule and the entries.
func TestMergeError(t *testing.T) {
	add := func(origin uint64, typ changeset.Type) *Entry {
		return &Entry{Origin: origin, Changeset: changeset.Changeset{{
			Op: changeset.OpAddColumn, Class: "P", Field: "n", Column: &changeset.Column{Type: typ},
		}}}
	}
	local, incoming := []*Entry{add(2, changeset.Int)}, []*Entry{add(3, changeset.Int), add(3, changeset.String)}
	incoming[0].Changeset[0].Field = "other"
	err := Merge(local, incoming, ServerRules)
	var refused *MergeError
	if !errors.As(err, &refused) || !errors.Is(err, ErrMerge) {
		t.Fatalf("got %v", err)
	}
	if refused.Rule != "S5" || refused.LocalEntry != local[0] || refused.IncomingEntry != incoming[1] ||
		refused.Local.Column.Type != changeset.Int || refused.Incoming.Column.Type != changeset.String {
		t.Errorf("got %+v", refused)
	}
	if got, want := refused.Hint(), "the definition of a property must be the same in every version of the app"; got != want {
		t.Errorf("got hint %q, want %q", got, want)
	}
	for _, part := range []string{"S5", "different types", "AddColumn P.n type=1", "AddColumn P.n type=3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not mention %q", err, part)
		}
	}
}
