package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/transform"
)

// mergeScenario is one of the merge scenarios: what clients commit, upload and
// download in turn, and the state in which all end.
type mergeScenario struct {
	Name    string  `json:"name"`
	Group   string  `json:"group"`
	Clients []int64 `json:"clients"`
	Orders  string  `json:"orders"`
	Steps   []struct {
		Client   int64           `json:"client"`
		At       int64           `json:"at"`
		Ops      json.RawMessage `json:"ops"`
		Upload   int64           `json:"upload"`
		Download int64           `json:"download"`
		Sync     json.RawMessage `json:"sync"`
	} `json:"steps"`
	Expect struct {
		Error string          `json:"error"`
		State json.RawMessage `json:"state"`
	} `json:"expect"`
}

// TestScenarios plays the merge scenarios with devices.
func TestScenarios(t *testing.T) {
	suite := readLines[struct {
		Scenarios []mergeScenario `json:"scenarios"`
	}](t, "ot-scenarios.json.gz")[0]
	if len(suite.Scenarios) < 130 {
		t.Fatalf("%d scenarios only", len(suite.Scenarios))
	}
	for _, sc := range suite.Scenarios {
		t.Run(sc.Group+"/"+sc.Name, func(t *testing.T) {
			orders := [][]int64{sc.Clients}
			if sc.Orders == "all" {
				orders = permutations(sc.Clients)
			}
			for _, order := range orders {
				if err := sc.play(t, order); err != nil {
					t.Errorf("order %v: %v", order, err)
				}
			}
		})
	}
}

// play plays the scenario once. Its clients come in the given order where the
// scenario says "all".
func (sc *mergeScenario) play(t *testing.T, order []int64) error {
	t.Helper()
	s := newReference(transform.OriginalRules)
	files, clocks := map[int64]*File{}, map[int64]*int64{}
	for _, ident := range sc.Clients {
		files[ident], clocks[ident] = newReferenceFile(t, Options{Rules: &transform.OriginalRules})
		s.register(files[ident], ident)
	}
	err := sc.steps(s, files, clocks, order)
	if sc.Expect.Error != "" {
		if err == nil {
			return fmt.Errorf("no error, want %s", sc.Expect.Error)
		}
		if merge := errors.Is(err, transform.ErrMerge); merge != (sc.Expect.Error == "TransformError") {
			return fmt.Errorf("got the error %v, want a %s", err, sc.Expect.Error)
		}
		return nil
	}
	if err != nil {
		return err
	}
	want := plainState(t, sc.Expect.State)
	for ident, f := range files {
		text, err := f.Dump()
		if err != nil {
			return err
		}
		got := plainState(t, text)
		for class := range want {
			if !reflect.DeepEqual(got[class], want[class]) {
				return fmt.Errorf("client %d, class %s:\n got %v\nwant %v", ident, class, got[class], want[class])
			}
		}
	}
	return nil
}

func (sc *mergeScenario) steps(s *reference, files map[int64]*File, clocks map[int64]*int64, order []int64) error {
	for i, step := range sc.Steps {
		var err error
		switch {
		case step.Ops != nil:
			*clocks[step.Client] = step.At
			cs, parseErr := notation.Parse(step.Ops)
			if parseErr != nil {
				return parseErr
			}
			_, err = files[step.Client].Write(func(tx *Tx) error { return tx.Instruct(cs...) })
		case step.Upload != 0:
			err = s.upload(files[step.Upload])
		case step.Download != 0:
			err = s.downloadAll(files[step.Download])
		default:
			who := slices.Clone(order)
			if string(step.Sync) != `"all"` {
				if err := json.Unmarshal(step.Sync, &who); err != nil {
					return err
				}
			}
			for _, ident := range who {
				if err == nil {
					err = s.upload(files[ident])
				}
			}
			for _, ident := range who {
				if err == nil {
					err = s.downloadAll(files[ident])
				}
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// plainState reads a state without the order of objects and of sets.
func plainState(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var state map[string]any
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	for class, rows := range state {
		state[class] = sorted(rows.([]any))
	}
	return state
}

// sorted sorts a list, and every set below it, by text.
func sorted(items []any) []any {
	for _, item := range items {
		sortSets(item)
	}
	slices.SortFunc(items, func(a, b any) int { return slices.Compare([]byte(textOf(a)), []byte(textOf(b))) })
	return items
}

func sortSets(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			sortSets(item)
		}
	case map[string]any:
		for key, inner := range v {
			if set, ok := inner.([]any); ok && key == "$set" {
				v[key] = sorted(set)
				continue
			}
			sortSets(inner)
		}
	}
}

func textOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func permutations(items []int64) [][]int64 {
	if len(items) == 0 {
		return [][]int64{nil}
	}
	var out [][]int64
	for i := range items {
		rest := slices.Delete(slices.Clone(items), i, i+1)
		for _, tail := range permutations(rest) {
			out = append(out, append([]int64{items[i]}, tail...))
		}
	}
	return out
}
