package e2e

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// TestNames changes single fields whose names need care in paths: as properties, in
// embedded objects of a list, and as keys of a dictionary.
func TestNames(t *testing.T) {
	b := startBridge(t)
	names := dictionaryKeys[1:] // a property has a name
	part := realmclient.Class{Name: "Named", Kind: "embedded"}
	top := realmclient.Class{Name: "Names", Properties: []realmclient.Property{
		{Name: "_id", Type: "int", PrimaryKey: true},
		{Name: "parts", Type: "object", Target: "Named", Collection: "list"}, {Name: "keys", Type: "int", Collection: "dictionary"},
	}}
	for _, name := range names {
		p := realmclient.Property{Name: name, Type: "int"}
		part.Properties = append(part.Properties, p)
		if name != "_id" {
			top.Properties = append(top.Properties, p)
		}
	}
	schema := []realmclient.Class{part, top}
	a, other := subscribed(t, b, "A", schema), subscribed(t, b, "B", schema)
	key := realmclient.Int(1)
	a.write(realmclient.Create("Names", key, map[string]any{
		"parts": []any{realmclient.Embedded(map[string]any{}), realmclient.Embedded(map[string]any{})},
		"keys":  realmclient.Dictionary(map[string]any{"a": 0, "b": 0}),
	}))
	a.upload()
	c := b.collection("Names")
	for i, name := range dictionaryKeys {
		n := int64(i + 1)
		ops := []realmclient.Op{{Op: "set", Class: "Names", PK: key, Path: []any{"keys", name}, Value: n}}
		if name != "" {
			ops = append(ops, realmclient.Op{Op: "set", Class: "Names", PK: key, Path: []any{"parts", 1, name}, Value: n})
			if name != "_id" {
				ops = append(ops, realmclient.Update("Names", key, name, n))
			}
		}
		a.write(ops...)
		a.upload()
		has := func(doc bson.Raw, path ...string) int64 {
			v, _ := doc.Lookup(path...).AsInt64OK()
			return v
		}
		doc := document(t, c, int64(1))
		if got := has(doc, "keys", name); got != n {
			t.Errorf("key %q is %d, want %d", name, got, n)
		}
		if got := has(doc, "parts", "1", name); name != "" && got != n {
			t.Errorf("property %q of an embedded object is %d, want %d", name, got, n)
		}
		if got := has(doc, name); name != "" && name != "_id" && got != n {
			t.Errorf("property %q is %d, want %d", name, got, n)
		}
		if name == "" || name == "_id" {
			continue
		}
		// MongoDB sets what is named so by a replacement of all.
		all := bson.D{}
		for _, e := range elements(t, doc) {
			if e.Key() == name {
				all = append(all, bson.E{Key: name, Value: n + 100})
			} else {
				all = append(all, bson.E{Key: e.Key(), Value: e.Value()})
			}
		}
		if _, err := c.ReplaceOne(within(t), bson.D{{Key: "_id", Value: 1}}, all); err != nil {
			t.Fatal(err)
		}
		for _, d := range []*device{a, other} {
			d.sees("Names", key, map[string]any{name: realmclient.Int(n + 100)})
		}
	}
	a.untroubled()
	other.untroubled()
}

func elements(t testing.TB, doc bson.Raw) []bson.RawElement {
	t.Helper()
	out, err := doc.Elements()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
