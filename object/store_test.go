package object

import (
	"errors"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/schema"
)

func parse(t testing.TB, text string) changeset.Changeset {
	t.Helper()
	cs, err := notation.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func stateOf(t testing.TB, st *Store) string {
	t.Helper()
	text, err := st.State()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const storeSchema = `[
	{"op":"AddTable","class":"P","pk":{"field":"_id","type":"int","nullable":false}},
	{"op":"AddTable","class":"Q","pk":{"field":"_id","type":"string","nullable":true}},
	{"op":"AddTable","class":"E","kind":"embedded"},
	{"op":"AddColumn","class":"E","field":"a","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"E","field":"b","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"P","field":"n","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"P","field":"q","type":"link","target":"Q","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"P","field":"e","type":"link","target":"E","nullable":false,"collection":"list"},
	{"op":"AddColumn","class":"P","field":"d","type":"link","target":"E","nullable":true,"collection":"dictionary"}
]`

const storeObjects = `[
	{"op":"CreateObject","class":"P","pk":1},
	{"op":"Update","class":"P","pk":1,"path":["q"],"value":{"$link":["Q",null]}},
	{"op":"ArrayInsert","class":"P","pk":1,"path":["e",0],"value":{"$new":"object"},"prior_size":0},
	{"op":"Update","class":"P","pk":1,"path":["e",0,"a"],"value":1},
	{"op":"Update","class":"P","pk":1,"path":["e",0,"b"],"value":2},
	{"op":"Update","class":"P","pk":1,"path":["d","k"],"value":{"$new":"object"}},
	{"op":"Update","class":"P","pk":1,"path":["d","k","a"],"value":3}
]`

func newStore(t testing.TB, options ...StoreOption) *Store {
	t.Helper()
	st := NewStore(nil, options...)
	for _, text := range []string{storeSchema, storeObjects} {
		if err := st.Apply(parse(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func TestStoreState(t *testing.T) {
	st := newStore(t)
	want := `{"P":[{"_pk":1,"d":{"$dict":{"k":{"$obj":{"a":3,"b":0}}}},"e":[{"$obj":{"a":1,"b":2}}],"n":0,` +
		`"q":{"$dangling":["Q",null]}}],"Q":[]}`
	if got := stateOf(t, st); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Creation is idempotent; the link comes alive, and dangles again.
	if err := st.Apply(parse(t, `[{"op":"CreateObject","class":"Q","pk":null},{"op":"CreateObject","class":"P","pk":1}]`)); err != nil {
		t.Fatal(err)
	}
	want = `{"P":[{"_pk":1,"d":{"$dict":{"k":{"$obj":{"a":3,"b":0}}}},"e":[{"$obj":{"a":1,"b":2}}],"n":0,` +
		`"q":{"$link":["Q",null]}}],"Q":[{"_pk":null}]}`
	if got := stateOf(t, st); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for range 2 {
		if err := st.Apply(parse(t, `[{"op":"EraseObject","class":"P","pk":1},{"op":"EraseObject","class":"Q","pk":null}]`)); err != nil {
			t.Fatal(err)
		}
	}
	if got := stateOf(t, st); got != `{"P":[],"Q":[]}` || st.Len() != 0 {
		t.Errorf("got %s and %d objects", got, st.Len())
	}
}

// TestStoreIsAtomic: a changeset whose last instruction fails leaves no trace.
func TestStoreIsAtomic(t *testing.T) {
	bad := `{"op":"ArrayErase","class":"P","pk":1,"path":["e",0],"prior_size":7}`
	for name, text := range map[string]string{
		"update":      `{"op":"Update","class":"P","pk":1,"path":["n"],"value":5}`,
		"nested":      `{"op":"Update","class":"P","pk":1,"path":["e",0,"a"],"value":5}`,
		"create":      `{"op":"CreateObject","class":"Q","pk":"new"}`,
		"erase":       `{"op":"EraseObject","class":"P","pk":1}`,
		"recreate":    `{"op":"EraseObject","class":"P","pk":1},{"op":"CreateObject","class":"P","pk":1}`,
		"erase class": `{"op":"EraseColumn","class":"P","field":"q"},{"op":"EraseTable","class":"P"}`,
		"column":      `{"op":"EraseColumn","class":"E","field":"a"}`,
		"add":         `{"op":"AddColumn","class":"P","field":"x","type":"int","nullable":false,"collection":"single"}`,
	} {
		st := newStore(t, AcceptErasures())
		before, s := stateOf(t, st), st.Schema()
		err := st.Apply(parse(t, "["+text+","+bad+"]"))
		var failed *StoreError
		if !errors.As(err, &failed) || failed.Index == 0 {
			t.Errorf("%s: got error %v", name, err)
		}
		if after := stateOf(t, st); after != before || st.Schema() != s {
			t.Errorf("%s: got  %s\nwant %s", name, after, before)
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       error
	}{
		{"unknown class", `{"op":"CreateObject","class":"X","pk":1}`, ErrBadInstruction},
		{"embedded class", `{"op":"CreateObject","class":"E","pk":1}`, ErrBadInstruction},
		{"wrong key", `{"op":"CreateObject","class":"P","pk":"1"}`, ErrBadInstruction},
		{"null key", `{"op":"CreateObject","class":"P","pk":null}`, ErrBadInstruction},
		{"null key erased", `{"op":"EraseObject","class":"P","pk":null}`, ErrBadInstruction},
		{"missing object", `{"op":"Update","class":"P","pk":2,"path":["n"],"value":1}`, ErrBadInstruction},
		{"class erased", `{"op":"EraseTable","class":"Q"}`, schema.ErrInvalidSchemaChange},
		{"property erased", `{"op":"EraseColumn","class":"P","field":"n"}`, schema.ErrInvalidSchemaChange},
		{"other key", `{"op":"AddTable","class":"R","pk":{"field":"id","type":"int","nullable":false}}`, schema.ErrInvalidSchemaChange},
	} {
		st := newStore(t)
		if err := st.Apply(parse(t, "["+test.text+"]")); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestStoreErasures(t *testing.T) {
	st := newStore(t, AcceptErasures())
	copied := st.Clone()
	before := stateOf(t, st)
	if err := st.Apply(parse(t, `[{"op":"EraseTable","class":"Q"}]`)); !errors.Is(err, schema.ErrInvalidSchemaChange) {
		t.Errorf("erased a class that is linked to: %v", err)
	}
	if err := st.Apply(parse(t, `[{"op":"EraseColumn","class":"E","field":"a"},{"op":"EraseColumn","class":"P","field":"q"},{"op":"EraseTable","class":"Q"}]`)); err != nil {
		t.Fatal(err)
	}
	want := `{"P":[{"_pk":1,"d":{"$dict":{"k":{"$obj":{"b":0}}}},"e":[{"$obj":{"b":2}}],"n":0}]}`
	if got := stateOf(t, st); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// What comes back has its initial value.
	if err := st.Apply(parse(t, `[{"op":"AddColumn","class":"E","field":"a","type":"int","nullable":false,"collection":"single"}]`)); err != nil {
		t.Fatal(err)
	}
	want = `{"P":[{"_pk":1,"d":{"$dict":{"k":{"$obj":{"a":0,"b":0}}}},"e":[{"$obj":{"a":0,"b":2}}],"n":0}]}`
	if got := stateOf(t, st); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := stateOf(t, copied); got != before {
		t.Errorf("the clone has changed: %s", got)
	}
	if got := len(copied.Objects("P")); got != 1 {
		t.Errorf("got %d objects", got)
	}
}
