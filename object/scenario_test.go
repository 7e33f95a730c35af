package object

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset/notation"
)

// TestScenarios applies the merged histories of the merge scenarios, and
// compares with the state that the original code came to.
func TestScenarios(t *testing.T) {
	for _, sc := range readLines[struct {
		Name    string
		History []json.RawMessage
		State   json.RawMessage
	}](t, "scenarios.jsonl") {
		t.Run(sc.Name, func(t *testing.T) {
			st := NewStore(nil, AcceptErasures())
			for i, text := range sc.History {
				cs, err := notation.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				if err := st.Apply(cs); err != nil {
					t.Fatalf("version %d: %v", i+1, err)
				}
			}
			text, err := st.State()
			if err != nil {
				t.Fatal(err)
			}
			got, want := scenarioState(t, text), scenarioState(t, sc.State)
			for class := range want {
				if !reflect.DeepEqual(got[class], want[class]) {
					t.Errorf("class %s:\n got %s\nwant %s", class, jsonText(got[class]), jsonText(want[class]))
				}
			}
		})
	}
}

// scenarioState reads a state, with objects sorted by the text of their keys.
func scenarioState(t *testing.T, text []byte) map[string][]any {
	t.Helper()
	var state map[string][]any
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	for class, rows := range state {
		rows = normal(rows).([]any)
		slices.SortFunc(rows, func(a, b any) int {
			return strings.Compare(jsonText(a.(map[string]any)["_pk"]), jsonText(b.(map[string]any)["_pk"]))
		})
		state[class] = rows
	}
	return state
}
