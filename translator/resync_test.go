package translator

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

func TestParseKey(t *testing.T) {
	const hex = "65f000000000000000000001"
	const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	id, err := bson.ObjectIDFromHex(hex)
	if err != nil {
		t.Fatal(err)
	}
	u := [16]byte{0x0f, 0x8f, 0xad, 0x5b, 0xd9, 0xcb, 0x46, 0x9f, 0xa1, 0x65, 0x70, 0x86, 0x77, 0x28, 0x95, 0x0e}
	stray := func(v any) changeset.Key {
		k, b, err := bson.MarshalValue(v)
		if err != nil {
			t.Fatal(err)
		}
		return history.StrayKey(bson.RawValue{Type: k, Value: b})
	}
	for _, row := range []struct {
		keys     changeset.Type
		nullable bool
		text     string
		want     changeset.Key
	}{
		{changeset.Int, false, "-7", changeset.IntKey(-7)},
		{changeset.Int, false, `{"$numberDouble":"2.0"}`, changeset.IntKey(2)},
		{changeset.Int, false, `{"$numberDouble":"1.5"}`, stray(1.5)},
		{changeset.Int, false, `"rex"`, stray("rex")},
		{changeset.Int, true, "null", changeset.NullKey},
		{changeset.Int, false, "null", history.StrayKey(bson.RawValue{Type: bson.TypeNull})},
		{changeset.String, false, "rex", changeset.StringKey("rex")},
		{changeset.String, false, "7", changeset.StringKey("7")},
		{changeset.String, false, "", changeset.StringKey("")},
		{changeset.String, false, `"a \"b\""`, changeset.StringKey(`a "b"`)},
		{changeset.String, false, `{not JSON`, changeset.StringKey(`{not JSON`)},
		{changeset.String, false, `{"$oid":"` + hex + `"}`, stray(id)},
		{changeset.ObjectID, false, hex, changeset.ObjectIDKey(id)},
		{changeset.ObjectID, false, `ObjectID("` + hex + `")`, changeset.ObjectIDKey(id)},
		{changeset.ObjectID, false, `ObjectId("` + hex + `")`, changeset.ObjectIDKey(id)},
		{changeset.ObjectID, false, `{"$oid":"` + hex + `"}`, changeset.ObjectIDKey(id)},
		{changeset.UUID, false, uuid, changeset.UUIDKey(u)},
		{changeset.UUID, false, `UUID(` + uuid + `)`, changeset.UUIDKey(u)},
		{changeset.UUID, false, `5`, stray(int32(5))},
	} {
		c := &schema.Class{Name: "C", KeyType: row.keys, KeyNullable: row.nullable}
		got, err := ParseKey(c, row.text)
		if err != nil || got != row.want {
			t.Errorf("%s as a key of type %d: got %v, %v, want %v", row.text, row.keys, got, err, row.want)
		}
	}
	for _, text := range []string{"", "rex", "1.2.3", "{"} {
		if k, err := ParseKey(&schema.Class{Name: "C", KeyType: changeset.Int}, text); err == nil {
			t.Errorf("%q is taken for the integer %v", text, k)
		}
	}
}
