package main

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

func rawValue(t *testing.T, v any) bson.RawValue {
	t.Helper()
	typ, b, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: typ, Value: b}
}

// What is printed as a key is read as the same one.
func TestKeyText(t *testing.T) {
	for _, c := range []struct {
		typ  changeset.Type
		id   any
		want string
	}{
		{changeset.Int, int32(5), "5"},
		{changeset.Int, int64(-7), "-7"},
		{changeset.Int, "five", `"five"`},
		{changeset.String, "text", "text"},
		{changeset.String, "", `""`},
		{changeset.String, "two words", `"two words"`},
		{changeset.String, `"`, `"\""`},
		{changeset.String, `{"a":1}`, `"{\"a\":1}"`},
		{changeset.String, "null", `"null"`},
		{changeset.String, int32(5), `{"$numberInt":"5"}`},
		{changeset.ObjectID, bson.ObjectID{0x65, 11: 8}, "650000000000000000000008"},
		{changeset.ObjectID, "x", `"x"`},
		{changeset.UUID, bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}, "00000000-0000-0000-0000-000000000000"},
	} {
		class := &schema.Class{Name: "C", KeyType: c.typ}
		id := rawValue(t, c.id)
		got := idText(class, id)
		if got != c.want {
			t.Errorf("%v: got %s, want %s", c.id, got, c.want)
		}
		key, err := translator.ParseKey(class, got)
		if err != nil {
			t.Errorf("%v: %v", c.id, err)
			continue
		}
		if keyText(key) != got {
			t.Errorf("%v: written as %s, read as %v", c.id, got, key)
		}
	}
}
