package e2e

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// nullCase is a row of the table "Null and absent" of docs/types.md.
type nullCase struct {
	row        string
	properties []realmclient.Property
	device     any  // what null and absent are for devices
	unsynced   bool // instead
}

var nullCases = []nullCase{
	{"optional scalar, link, embedded object, mixed", []realmclient.Property{
		{Name: "optional", Type: "int", Nullable: true}, {Name: "link", Type: "object", Target: "ByString"},
		{Name: "embedded", Type: "object", Target: "Leaf"}, {Name: "mixed", Type: "mixed"},
	}, nil, false},
	{"required scalar", []realmclient.Property{{Name: "required", Type: "int"}}, nil, true},
	{"list, set, dictionary", []realmclient.Property{{Name: "list", Type: "int", Collection: "list"}}, []any{}, false},
	{"list, set, dictionary", []realmclient.Property{{Name: "set", Type: "int", Collection: "set"}}, realmclient.Set(), false},
	{"list, set, dictionary", []realmclient.Property{{Name: "dictionary", Type: "int", Collection: "dictionary"}}, realmclient.Dictionary(map[string]any{}), false},
}

// TestNullAndAbsent writes null and nothing into properties of every kind, by
// devices and by others.
func TestNullAndAbsent(t *testing.T) {
	b := startBridge(t)
	class := realmclient.Class{Name: "Nulls", Properties: []realmclient.Property{{Name: "_id", Type: "int", PrimaryKey: true}}}
	for _, n := range nullCases {
		class.Properties = append(class.Properties, n.properties...)
	}
	a := subscribed(t, b, "A", append(typesSchema(), class))
	a.upload()
	c := b.collection("Nulls")
	id, unfit := int64(0), 0
	for _, n := range nullCases {
		for _, p := range n.properties {
			doc := func() bson.D {
				id++
				return bson.D{{Key: "_id", Value: id}}
			}
			absent, null := doc(), append(doc(), bson.E{Key: p.Name, Value: nil})
			if p.Name != "required" {
				absent, null = append(absent, bson.E{Key: "required", Value: 1}), append(null, bson.E{Key: "required", Value: 1})
			}
			if _, err := c.InsertMany(within(t), []any{absent, null}); err != nil {
				t.Fatal(err)
			}
			if n.unsynced {
				unfit += 2
				b.listsUnsynced(t, "Nulls", unfit, p.Name)
				continue
			}
			for i, stays := range []bson.D{absent, null} {
				key := realmclient.Int(id - 1 + int64(i))
				a.sees("Nulls", key, map[string]any{p.Name: n.device})
				if p.Collection == "" { // a device sets what is null to null
					a.write(realmclient.Update("Nulls", key, p.Name, nil))
					a.upload()
				}
				got, err := document(t, c, stays[0].Value).Elements()
				if err != nil || len(got) != len(stays) {
					t.Errorf("%s: after a device set it to null the document is %v (%v), want it as it was: %v", p.Name, got, err, stays)
				}
			}
		}
	}
	a.untroubled()
}
