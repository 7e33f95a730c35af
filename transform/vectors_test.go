package transform

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

var vectorsFile = flag.String("vectors", "testdata/ot-merge-vectors.jsonl.gz",
	"file of recorded merges, JSON lines, gzip-compressed if it ends in .gz; relative to here or to the module")

// vector is one recorded merge of the original.
type vector struct {
	ID    string `json:"id"`
	Quirk string `json:"quirk"`
	Error string `json:"error"`

	OurTimestamp   []uint64 `json:"our_timestamp"`
	OurOrigin      []uint64 `json:"our_origin"`
	OurHex         []string `json:"our_changeset_hex"`
	OurTransformed []string `json:"our_transformed_hex"`
	OurDirty       []int    `json:"our_dirty"`

	TheirTimestamp   []uint64 `json:"their_timestamp"`
	TheirOrigin      []uint64 `json:"their_origin"`
	TheirHex         []string `json:"their_changeset_hex"`
	TheirTransformed []string `json:"their_transformed_hex"`
	TheirDirty       []int    `json:"their_dirty"`
}

// quirkRawCompare marks merges in which the original compared set erases by
// position (defect 7.1).
const quirkRawCompare = "set_erase_raw_compare"

// TestMergeVectors compares merges with those the original made, and says how
// many agree.
func TestMergeVectors(t *testing.T) {
	var passed, failed, quirks, changed, dirty int
	eachVector(t, *vectorsFile, func(v *vector) {
		err := v.check(&changed, &dirty)
		switch {
		case v.Quirk == quirkRawCompare:
			quirks++
			if err == nil {
				t.Logf("%s: marked as a quirk, but equal", v.ID)
			}
			if err := v.checkQuirk(); err != nil {
				failed++
				t.Errorf("%s: %v", v.ID, err)
			}
		case err != nil:
			failed++
			t.Errorf("%s: %v", v.ID, err)
		default:
			passed++
		}
	})
	announce(t, fmt.Sprintf("%d passed, %d failed\n", passed, failed))
	t.Logf("%d with the quirk %s besides; %d changesets changed, of which the original says %d", quirks, quirkRawCompare, changed, dirty)
	if passed+failed+quirks == 0 {
		t.Error("no vectors")
	}
}

// announce prints a line for whoever runs the tests. "go test ./transform" drops
// what a package that passes has printed, unless told -v; a run that was asked for
// with -vectors is about that line, so it goes to the output of go test itself,
// where the system has a name for that: the standard output, or the standard error
// if the former is a file, in which go test would write over it.
func announce(t *testing.T, line string) {
	fmt.Print(line)
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "vectors" })
	if !asked || testing.Verbose() || t.Failed() {
		return
	}
	parent := fmt.Sprintf("/proc/%d", os.Getppid())
	if exe, err := os.Readlink(parent + "/exe"); err != nil || filepath.Base(exe) != "go" {
		return
	}
	name := parent + "/fd/1"
	if is, err := os.Stat(name); err == nil && is.Mode().IsRegular() {
		name = parent + "/fd/2"
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return
	}
	defer out.Close()
	if _, err := out.WriteString(line); err != nil {
		t.Error(err)
	}
}

// eachVector reads a file of vectors.
func eachVector(tb testing.TB, name string, visit func(*vector)) {
	tb.Helper()
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) && !filepath.IsAbs(name) {
		f, err = os.Open(filepath.Join("..", name))
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			tb.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			tb.Fatal(err)
		}
		visit(&v)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
}

// check merges and compares. It counts the changesets that changed, and those
// of them that the original marks as changed.
func (v *vector) check(changed, dirty *int) error {
	local, err := entries(v.OurHex, v.OurTimestamp, v.OurOrigin)
	if err != nil {
		return err
	}
	incoming, err := entries(v.TheirHex, v.TheirTimestamp, v.TheirOrigin)
	if err != nil {
		return err
	}
	err = Merge(local, incoming, OriginalRules)
	switch v.Error {
	case "merge_error":
		if !errors.Is(err, ErrMerge) {
			return fmt.Errorf("got error %v, want a refused merge", err)
		}
		return nil
	case "":
	default:
		return fmt.Errorf("unknown error %q in the vector", v.Error)
	}
	if err != nil {
		return err
	}
	for _, side := range []struct {
		name    string
		entries []*Entry
		want    []string
		dirty   []int
	}{
		{"our", local, v.OurTransformed, v.OurDirty},
		{"their", incoming, v.TheirTransformed, v.TheirDirty},
	} {
		if len(side.want) != len(side.entries) || len(side.dirty) != len(side.entries) {
			return fmt.Errorf("the vector has %d results for %d %s changesets", len(side.want), len(side.entries), side.name)
		}
		for i, e := range side.entries {
			want, err := decodeHex(side.want[i])
			if err != nil {
				return err
			}
			if !equalChangesets(e.Changeset, want) {
				return fmt.Errorf("%s changeset %d:\ngot:\n%vwant:\n%v", side.name, i, text(e.Changeset), text(want))
			}
			if e.Changed {
				*changed++
				if side.dirty[i] != 0 {
					*dirty++
				}
			}
		}
	}
	return nil
}

// checkQuirk checks what can be said about a merge in which the original took
// different set erases for equal, or the reverse: all but set instructions
// must agree.
func (v *vector) checkQuirk() error {
	local, err := entries(v.OurHex, v.OurTimestamp, v.OurOrigin)
	if err != nil {
		return err
	}
	incoming, err := entries(v.TheirHex, v.TheirTimestamp, v.TheirOrigin)
	if err != nil {
		return err
	}
	if err := Merge(local, incoming, OriginalRules); err != nil {
		return err
	}
	compare := func(side string, got []*Entry, want []string) error {
		for i, e := range got {
			w, err := decodeHex(want[i])
			if err != nil {
				return err
			}
			if g, w := withoutSets(e.Changeset), withoutSets(w); !equalChangesets(g, w) {
				return fmt.Errorf("%s changeset %d differs in more than set instructions:\ngot:\n%vwant:\n%v", side, i, text(g), text(w))
			}
		}
		return nil
	}
	if err := compare("our", local, v.OurTransformed); err != nil {
		return err
	}
	return compare("their", incoming, v.TheirTransformed)
}

func withoutSets(c changeset.Changeset) changeset.Changeset {
	var out changeset.Changeset
	for _, in := range c {
		if in.Op != changeset.OpSetInsert && in.Op != changeset.OpSetErase {
			out = append(out, in)
		}
	}
	return out
}

func entries(hexes []string, timestamps, origins []uint64) ([]*Entry, error) {
	if len(timestamps) != len(hexes) || len(origins) != len(hexes) {
		return nil, errors.New("arrays of different lengths in the vector")
	}
	var out []*Entry
	for i, h := range hexes {
		c, err := decodeHex(h)
		if err != nil {
			return nil, err
		}
		out = append(out, &Entry{Changeset: c, Timestamp: timestamps[i], Origin: origins[i]})
	}
	return out, nil
}

func decodeHex(h string) (changeset.Changeset, error) {
	b, err := hex.DecodeString(h)
	if err != nil {
		return nil, err
	}
	return changeset.Decode(b)
}

func equalChangesets(a, b changeset.Changeset) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equalInstructions(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

// equalInstructions compares in full; an empty path is equal to none.
func equalInstructions(a, b *changeset.Instruction) bool {
	x, y := *a, *b
	if !samePath(x.Path, y.Path) {
		return false
	}
	x.Path, y.Path = nil, nil
	return reflect.DeepEqual(x, y)
}

// text prints a changeset, one instruction a line.
func text(c changeset.Changeset) string {
	var b strings.Builder
	for _, in := range c {
		fmt.Fprintf(&b, "  %v\n", in)
	}
	return b.String()
}
