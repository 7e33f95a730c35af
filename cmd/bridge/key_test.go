package main

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

func rawValue(t *testing.T, v any) bson.RawValue {
	t.Helper()
	typ, b, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: typ, Value: b}
}

func TestParseKey(t *testing.T) {
	oid := bson.ObjectID{0x65, 0x5e, 0x3f, 0x7a, 1, 2, 3, 4, 5, 6, 7, 8}
	uuid := [16]byte{0x12, 0x34, 0x56, 0x78, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	stray := func(v any) changeset.Key { return history.StrayKey(rawValue(t, v)) }
	for _, c := range []struct {
		typ  changeset.Type
		text string
		want changeset.Key
	}{
		{changeset.Int, "5", changeset.IntKey(5)},
		{changeset.Int, "-9223372036854775808", changeset.IntKey(-1 << 63)},
		{changeset.Int, `{"$numberLong":"7"}`, changeset.IntKey(7)},
		{changeset.Int, `"five"`, stray("five")},
		{changeset.Int, `{"$oid":"655e3f7a0102030405060708"}`, stray(oid)},
		{changeset.Int, `{"a":1}`, stray(bson.D{{Key: "a", Value: int32(1)}})},
		{changeset.String, "text", changeset.StringKey("text")},
		{changeset.String, "5", changeset.StringKey("5")},
		{changeset.String, "true", changeset.StringKey("true")},
		{changeset.String, `"quoted text"`, changeset.StringKey("quoted text")},
		{changeset.String, `{"a":1}`, changeset.StringKey(`{"a":1}`)},
		{changeset.String, `{"$numberInt":"5"}`, stray(int32(5))},
		{changeset.String, "", changeset.StringKey("")},
		{changeset.ObjectID, "655e3f7a0102030405060708", changeset.ObjectIDKey(oid)},
		{changeset.ObjectID, `ObjectID("655e3f7a0102030405060708")`, changeset.ObjectIDKey(oid)},
		{changeset.ObjectID, `ObjectId("655e3f7a0102030405060708")`, changeset.ObjectIDKey(oid)},
		{changeset.ObjectID, `{"$oid":"655e3f7a0102030405060708"}`, changeset.ObjectIDKey(oid)},
		{changeset.UUID, "12345678-090a-0b0c-0d0e-0f1011121314", changeset.UUIDKey(uuid)},
		{changeset.UUID, "UUID(uuid:12345678-090a-0b0c-0d0e-0f1011121314)", changeset.UUIDKey(uuid)},
	} {
		got, err := parseKey(&schema.Class{Name: "C", KeyType: c.typ}, c.text)
		if err != nil || got != c.want {
			t.Errorf("%v key %q: got %v, %v, want %v", c.typ, c.text, got, err, c.want)
		}
	}
	nullable := &schema.Class{Name: "C", KeyType: changeset.Int, KeyNullable: true}
	if got, err := parseKey(nullable, "null"); err != nil || got != changeset.NullKey {
		t.Errorf("null: got %v, %v", got, err)
	}
	for typ, texts := range map[changeset.Type][]string{
		changeset.Int:      {"", "five", "5.5.5", "99999999999999999999"},
		changeset.ObjectID: {"", "655e3f7a01020304050607", "tasks"},
		changeset.UUID:     {"12345678", "655e3f7a0102030405060708"},
	} {
		for _, text := range texts {
			if got, err := parseKey(&schema.Class{Name: "Cat", KeyType: typ}, text); err == nil || !strings.Contains(err.Error(), "is no key of class Cat") {
				t.Errorf("%v key %q: got %v, %v, want an error", typ, text, got, err)
			}
		}
	}
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
		{changeset.String, `{"$oid":1}`, `"{\"$oid\":1}"`},
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
		key, err := parseKey(class, got)
		if err != nil {
			t.Errorf("%v: %v", c.id, err)
			continue
		}
		if keyText(key) != got {
			t.Errorf("%v: written as %s, read as %v", c.id, got, key)
		}
	}
}
