package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/schema"
)

// scenario is one of testdata/ot-scenarios.json, whose expectations the
// original computed.
type scenario struct {
	Name    string   `json:"name"`
	Group   string   `json:"group"`
	Clients []uint64 `json:"clients"`
	Orders  string   `json:"orders"`
	Steps   []step   `json:"steps"`
	Expect  struct {
		State         json.RawMessage            `json:"state"`
		ServerHistory []json.RawMessage          `json:"server_history"`
		Error         string                     `json:"error"`
		States        map[string]json.RawMessage `json:"states"` // of quirks
	} `json:"expect"`
}

// step has one of Client (commits Ops at At), Upload, Download and Sync.
type step struct {
	Client   uint64          `json:"client"`
	At       uint64          `json:"at"`
	Ops      json.RawMessage `json:"ops"`
	Upload   uint64          `json:"upload"`
	Download uint64          `json:"download"`
	Sync     json.RawMessage `json:"sync"`
}

func readScenarios(t *testing.T) (scenarios, quirks []scenario) {
	t.Helper()
	data, err := os.ReadFile("testdata/ot-scenarios.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Scenarios []scenario `json:"scenarios"`
		Quirks    []scenario `json:"quirks"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Scenarios, file.Quirks
}

// play runs the steps, "all" being in the given order.
func (s *scenario) play(order []uint64, rules Rules) (*world, error) {
	w := &world{newPeer(serverIdent, rules, newReplica()), map[uint64]*peer{}, map[uint64]error{}}
	for _, ident := range s.Clients {
		w.clients[ident] = newPeer(ident, rules, newReplica())
	}
	for _, st := range s.Steps {
		if err := st.play(w, order); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (st *step) play(w *world, order []uint64) error {
	switch {
	case st.Client != 0:
		c, err := notation.Parse(st.Ops)
		if err != nil {
			return err
		}
		return w.clients[st.Client].commit(c, st.At)
	case st.Upload != 0:
		return w.upload(st.Upload)
	case st.Download != 0:
		w.download(st.Download)
		return w.failure()
	}
	if string(st.Sync) != `"all"` {
		order = nil
		if err := json.Unmarshal(st.Sync, &order); err != nil {
			return err
		}
	}
	if err := w.sync(order); err != nil {
		return err
	}
	return w.failure()
}

// check compares a played scenario with its expectation.
func (s *scenario) check(w *world, err error) error {
	switch s.Expect.Error {
	case "":
		if err != nil {
			return err
		}
	case "TransformError":
		if !errors.Is(err, ErrMerge) {
			return fmt.Errorf("got error %v, want a refused merge", err)
		}
		return nil
	case "BadChangeset":
		if !errors.Is(err, schema.ErrBadInstruction) && !errors.Is(err, schema.ErrInvalidSchemaChange) {
			return fmt.Errorf("got error %v, want a changeset that cannot be applied", err)
		}
		return nil
	default:
		return fmt.Errorf("unknown error %q", s.Expect.Error)
	}
	peers := map[string]*peer{"1": w.server}
	for ident, c := range w.clients {
		peers[strconv.FormatUint(ident, 10)] = c
	}
	for ident, p := range peers {
		want := s.Expect.State
		if s.Expect.States != nil {
			want = s.Expect.States[ident]
		}
		if got, want := jsonText(p.state.dump()), jsonText(parsed(want, nil)); got != want {
			return fmt.Errorf("state of %s:\ngot:  %s\nwant: %s", ident, got, want)
		}
	}
	return nil
}

func (s *scenario) checkHistory(w *world) error {
	if len(s.Expect.ServerHistory) != len(w.server.history) {
		return fmt.Errorf("%d server versions, want %d", len(w.server.history), len(s.Expect.ServerHistory))
	}
	for i, want := range s.Expect.ServerHistory {
		c, err := notation.Parse(want)
		if err != nil {
			return err
		}
		if got := w.server.history[i].changeset; !equalChangesets(got, c) {
			return fmt.Errorf("server version %d:\ngot:\n%swant:\n%s", i+1, text(got), text(c))
		}
	}
	return nil
}

// TestScenarios plays every scenario with the original's rules, and with the
// server's on every peer: they avoid what the two do differently.
func TestScenarios(t *testing.T) {
	scenarios, _ := readScenarios(t)
	runs := 0
	for _, s := range scenarios {
		t.Run(s.Group+"/"+s.Name, func(t *testing.T) {
			orders := [][]uint64{slices.Sorted(slices.Values(s.Clients))}
			if s.Orders == "all" {
				orders = permutations(orders[0])
			}
			for i, order := range orders {
				for _, rules := range []Rules{OriginalRules, ServerRules} {
					runs++
					w, err := s.play(order, rules)
					if err := s.check(w, err); err != nil {
						t.Errorf("order %v, %+v: %v", order, rules, err)
					}
					if i == 0 && s.Expect.Error == "" {
						if err := s.checkHistory(w); err != nil {
							t.Errorf("order %v, %+v: %v", order, rules, err)
						}
					}
				}
			}
		})
	}
	t.Logf("%d scenarios, %d runs", len(scenarios), runs)
	if len(scenarios) == 0 {
		t.Error("no scenarios")
	}
}

// quirk says what becomes of a quirk, which the original gets wrong, with the
// original's rules here, and with the server's on every peer.
type quirk struct {
	original string // "" if the original's behaviour is reproduced, else why not
	remedied string // the common state of all with the server's rules, "" if there is none
	defect   DefectKind
}

var quirks = map[string]quirk{
	"set-erase-different-strings": {
		original: "values are compared by content, always",
		remedied: `{"P":[{"_pk":1,"st":{"$set":["cc"]}}]}`,
		defect:   DefectSetErase,
	},
	"embedded-in-dictionary-created-twice": {defect: DefectEmbeddedReplaced},
	"nested-move": {
		remedied: `{"P":[{"_pk":1,"e":null,"le":[{"$obj":{"a":null,"b":12,"l":[]}},{"$obj":{"a":7,"b":10,"l":[]}},{"$obj":{"a":null,"b":11,"l":[]}}]}]}`,
		defect:   DefectNestedMove,
	},
	"nested-move-fails": {
		remedied: `{"P":[{"_pk":1,"e":null,"le":[{"$obj":{"a":null,"b":null,"l":[]}},{"$obj":{"a":null,"b":null,"l":[]}},{"$obj":{"a":7,"b":null,"l":[]}}]}]}`,
		defect:   DefectNestedMove,
	},
	"clear-of-list-element": {
		remedied: `{"P":[{"_pk":1,"m":["n",{"$dict":{}}]}]}`,
		defect:   DefectClearAtIndex,
	},
	"mixed-set-int-and-double":            {defect: DefectSetNumber},
	"scalar-between-idempotent-creations": {defect: DefectCollectionKept},
	"list-reset-over-older-scalar-fails":  {defect: DefectCollectionKept},
	"null-over-dangling-list-link":        {original: "the object's state is not the merge's business"},
}

// TestQuirks plays what the original gets wrong: its rules err here in the same
// way, the server's heal what can be healed, and all is reported.
func TestQuirks(t *testing.T) {
	_, scenarios := readScenarios(t)
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			q, ok := quirks[s.Name]
			if !ok {
				t.Fatal("not known here")
			}
			w, err := s.play(s.Clients, OriginalRules)
			if err := s.check(w, err); (err == nil) != (q.original == "") {
				t.Errorf("with the original's rules: %v", err)
			}
			w, err = s.play(s.Clients, ServerRules)
			if q.remedied != "" {
				if err != nil {
					t.Fatalf("with the server's rules: %v", err)
				}
				for _, p := range append([]*peer{w.server}, w.clients[2], w.clients[3]) {
					if got := jsonText(p.state.dump()); got != q.remedied {
						t.Errorf("with the server's rules, state of %d:\ngot:  %s\nwant: %s", p.ident, got, q.remedied)
					}
				}
			}
			var got []Defect
			for _, defects := range w.server.defects {
				for d := range defects {
					got = append(got, d)
				}
			}
			var want []Defect
			if q.defect != "" {
				want = []Defect{{q.defect, changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}}}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got defects %v, want %v", got, want)
			}
		})
	}
	if len(scenarios) != len(quirks) {
		t.Errorf("%d quirks, want %d", len(scenarios), len(quirks))
	}
}
