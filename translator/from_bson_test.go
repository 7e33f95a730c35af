package translator

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

func raw(t bson.Type, b []byte) bson.RawValue { return bson.RawValue{Type: t, Value: b} }

func rawInt32(n int32) bson.RawValue { return raw(bson.TypeInt32, bsoncore.AppendInt32(nil, n)) }
func rawInt64(n int64) bson.RawValue { return raw(bson.TypeInt64, bsoncore.AppendInt64(nil, n)) }
func rawDouble(f float64) bson.RawValue {
	return raw(bson.TypeDouble, bsoncore.AppendDouble(nil, f))
}
func rawString(s string) bson.RawValue { return raw(bson.TypeString, bsoncore.AppendString(nil, s)) }
func rawDate(ms int64) bson.RawValue {
	return raw(bson.TypeDateTime, bsoncore.AppendDateTime(nil, ms))
}
func rawBinary(subtype byte, b []byte) bson.RawValue {
	return raw(bson.TypeBinary, bsoncore.AppendBinary(nil, subtype, b))
}
func rawDecimal(t testing.TB, text string) bson.RawValue {
	d, err := bson.ParseDecimal128(text)
	if err != nil {
		t.Fatal(err)
	}
	h, l := d.GetBytes()
	return raw(bson.TypeDecimal128, bsoncore.AppendDecimal128(nil, h, l))
}

// field is the document {_id: 1, f: v}.
func fieldDocument(name string, v bson.RawValue) bson.Raw {
	start, dst := openDocument(nil)
	dst = AppendKey(dst, "_id", changeset.IntKey(1))
	return closeDocument(appendRawElement(dst, name, v), start)
}

// oneValueOfEachType is every BSON type, named as typeName names it.
func oneValueOfEachType(t testing.TB) map[string]bson.RawValue {
	values := []bson.RawValue{
		rawDouble(1.5), rawString("a"),
		raw(bson.TypeEmbeddedDocument, []byte{5, 0, 0, 0, 0}),
		raw(bson.TypeArray, []byte{5, 0, 0, 0, 0}),
		rawBinary(0, []byte("ab")), rawBinary(3, make([]byte, 16)), rawBinary(4, make([]byte, 16)), rawBinary(5, make([]byte, 16)),
		raw(bson.TypeUndefined, nil),
		raw(bson.TypeObjectID, make([]byte, 12)),
		raw(bson.TypeBoolean, []byte{1}),
		rawDate(1), raw(bson.TypeNull, nil),
		raw(bson.TypeRegex, []byte("a\x00i\x00")),
		raw(bson.TypeDBPointer, bsoncore.AppendDBPointer(nil, "a", [12]byte{})),
		raw(bson.TypeJavaScript, bsoncore.AppendJavaScript(nil, "a")),
		raw(bson.TypeSymbol, bsoncore.AppendSymbol(nil, "a")),
		raw(bson.TypeCodeWithScope, bsoncore.AppendCodeWithScope(nil, "a", []byte{5, 0, 0, 0, 0})),
		rawInt32(7), raw(bson.TypeTimestamp, bsoncore.AppendTimestamp(nil, 1, 2)), rawInt64(7),
		rawDecimal(t, "7"), raw(bson.TypeMinKey, nil), raw(bson.TypeMaxKey, nil),
	}
	out := map[string]bson.RawValue{}
	for _, v := range values {
		out[typeName(v)] = v
	}
	if len(out) != len(values) {
		t.Fatalf("%d names for %d types", len(out), len(values))
	}
	return out
}

// TestEveryTypeInEveryProperty: what each property takes of all BSON types, and
// that everything else is unsynced with both types named.
func TestEveryTypeInEveryProperty(t *testing.T) {
	target := &schema.Class{Name: "Target", KeyType: changeset.ObjectID}
	part := &schema.Class{Name: "Part", Kind: changeset.Embedded}
	numbers := "int long decimal"
	for _, c := range []struct {
		name     string
		property schema.Property
		accepts  string
	}{
		{"int", schema.Property{Type: changeset.Int}, numbers}, // and the double 7.0, below
		{"bool", schema.Property{Type: changeset.Bool}, "bool"},
		{"string", schema.Property{Type: changeset.String}, "string"},
		{"data", schema.Property{Type: changeset.Binary}, "binData of subtype 0|binData of subtype 5"},
		{"date", schema.Property{Type: changeset.Timestamp}, "date"},
		{"float", schema.Property{Type: changeset.Float}, "double int long"},
		{"double", schema.Property{Type: changeset.Double}, "double int long"},
		{"decimal", schema.Property{Type: changeset.Decimal}, "double " + numbers},
		{"objectId", schema.Property{Type: changeset.ObjectID}, "objectId"},
		{"uuid", schema.Property{Type: changeset.UUID}, "binData of subtype 4"},
		{"optional", schema.Property{Type: changeset.String, Nullable: true}, "string null"},
		{"link", schema.Property{Type: changeset.Link, Target: "Target", Nullable: true}, "objectId null"},
		{"embedded", schema.Property{Type: changeset.Link, Target: "Part", Nullable: true}, "object null"},
		{"mixed", schema.Property{Type: changeset.Mixed, Nullable: true},
			"double string object array bool date null int long decimal objectId|binData of subtype 0|binData of subtype 3|binData of subtype 4|binData of subtype 5"},
		{"list", schema.Property{Type: changeset.String, Collection: changeset.ListOf}, "array null"},
		{"set", schema.Property{Type: changeset.String, Collection: changeset.SetOf}, "array null"},
		{"dictionary", schema.Property{Type: changeset.String, Collection: changeset.DictionaryOf}, "object null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.property
			p.Name = "f"
			class := &schema.Class{Name: "T", KeyType: changeset.Int, Properties: map[string]*schema.Property{"f": &p}}
			s := &schema.Schema{Classes: map[string]*schema.Class{"T": class, "Target": target, "Part": part}}
			accepts := map[string]bool{}
			for _, group := range strings.Split(c.accepts, "|") {
				if strings.HasPrefix(group, "binData") {
					accepts[group] = true
					continue
				}
				for _, name := range strings.Fields(group) {
					accepts[name] = true
				}
			}
			for name, v := range oneValueOfEachType(t) {
				_, err := MapDocument(s, class, fieldDocument("f", v))
				if accepts[name] {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				var u *Unsynced
				if !errors.As(err, &u) || u.Path != "f" || u.Found != name || u.Expected == "" {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestNumbersOfOtherDrivers: numbers are taken where they say exactly what the
// property can hold, and become its type.
func TestNumbersOfOtherDrivers(t *testing.T) {
	const big = 1 << 53
	for _, c := range []struct {
		typ  changeset.Type
		v    bson.RawValue
		want changeset.Value // zero: unsynced
	}{
		{changeset.Int, rawDouble(7), changeset.IntValue(7)},
		{changeset.Int, rawDouble(-big), changeset.IntValue(-big)},
		{changeset.Int, rawDouble(big + 2), changeset.Value{}},
		{changeset.Int, rawDouble(0.5), changeset.Value{}},
		{changeset.Int, rawDouble(math.NaN()), changeset.Value{}},
		{changeset.Int, rawDouble(math.Inf(1)), changeset.Value{}},
		{changeset.Int, rawDecimal(t, "-120E-1"), changeset.IntValue(-12)},
		{changeset.Int, rawDecimal(t, "1E3"), changeset.IntValue(1000)},
		{changeset.Int, rawDecimal(t, "0E6000"), changeset.IntValue(0)},
		{changeset.Int, rawDecimal(t, "1E6000"), changeset.Value{}},
		{changeset.Int, rawDecimal(t, "1.5"), changeset.Value{}},
		{changeset.Int, rawDecimal(t, "NaN"), changeset.Value{}},
		{changeset.Int, rawDecimal(t, "-Infinity"), changeset.Value{}},
		{changeset.Int, rawDecimal(t, "12345678901234567890123456789012"), changeset.Value{}},
		{changeset.Double, rawInt32(5), changeset.DoubleValue(5)},
		{changeset.Double, rawInt64(big + 1), changeset.Value{}},
		{changeset.Double, rawInt64(math.MinInt64), changeset.DoubleValue(math.MinInt64)},
		{changeset.Double, rawInt64(math.MaxInt64), changeset.Value{}},
		{changeset.Float, rawDouble(0.1), changeset.FloatValue(0.1)},
		{changeset.Float, rawDouble(1e300), changeset.Value{}},
		{changeset.Float, rawDouble(math.Inf(-1)), changeset.FloatValue(float32(math.Inf(-1)))},
		{changeset.Float, rawInt32(3), changeset.FloatValue(3)},
		{changeset.Decimal, rawInt64(math.MinInt64), changeset.DecimalValue(0, 1<<63, 0, true)},
		{changeset.Decimal, rawInt32(12), changeset.DecimalValue(0, 12, 0, false)},
		{changeset.Decimal, rawDouble(-0.1), changeset.DecimalValue(0, 1, -1, true)},
		{changeset.Decimal, rawDouble(1e21), changeset.DecimalValue(0, 1, 21, false)},
		{changeset.Decimal, rawDouble(math.NaN()), changeset.DecimalValue(0, 0, changeset.DecimalNaN, false)},
		{changeset.Decimal, rawDouble(math.Inf(-1)), changeset.DecimalValue(0, 0, changeset.DecimalInfinity, true)},
		{changeset.Decimal, rawDecimal(t, "12.50"), changeset.DecimalValue(0, 1250, -2, false)},
		{changeset.Decimal, raw(bson.TypeDecimal128, bsoncore.AppendDecimal128(nil, 0x7e00000000000001, 9)), changeset.DecimalValue(0, 0, changeset.DecimalNaN, false)},
		{changeset.Decimal, raw(bson.TypeDecimal128, bsoncore.AppendDecimal128(nil, 0x6c10000000000000, 9)), changeset.DecimalValue(0, 0, 0, false)},
		{changeset.Timestamp, rawDate(-1500), changeset.TimestampValue(-1, -500_000_000)},
		{changeset.Timestamp, rawDate(1999), changeset.TimestampValue(1, 999_000_000)},
		{changeset.Timestamp, rawDate(math.MinInt64), changeset.TimestampValue(math.MinInt64/1000, -808_000_000)},
		{changeset.Binary, rawBinary(2, []byte("old")), changeset.BinaryValue([]byte("old"))},
		{changeset.UUID, rawBinary(4, []byte("short")), changeset.Value{}},
	} {
		class := &schema.Class{Name: "T", KeyType: changeset.Int, Properties: map[string]*schema.Property{"f": {Name: "f", Type: c.typ}}}
		s := &schema.Schema{Classes: map[string]*schema.Class{"T": class}}
		o, err := MapDocument(s, class, fieldDocument("f", c.v))
		var u *Unsynced
		switch {
		case c.want == changeset.Value{}:
			if !errors.As(err, &u) {
				t.Errorf("%v of type %d: %v, %v", c.v, c.typ, o, err)
			}
		case err != nil || o.Fields["f"] != c.want:
			t.Errorf("%v of type %d: got %+v, %v, want %+v", c.v, c.typ, o, err, c.want)
		}
	}
}

// testSchema has a property of every kind that the error and edit tables name.
func testSchema() (*schema.Schema, *schema.Class) {
	str, three := changeset.StringValue("new"), changeset.IntValue(3)
	note := &schema.Class{Name: "Note", Kind: changeset.Embedded, Properties: properties(
		schema.Property{Name: "text", Type: changeset.String},
		schema.Property{Name: "n", Type: changeset.Int, Nullable: true},
		schema.Property{Name: "tags", Type: changeset.String, Collection: changeset.ListOf},
	)}
	person := &schema.Class{Name: "Person", KeyType: changeset.String, KeyNullable: true, Collection: "people"}
	task := &schema.Class{Name: "Task", KeyType: changeset.Int, Properties: properties(
		schema.Property{Name: "n", Type: changeset.Int},
		schema.Property{Name: "small", Type: changeset.Int, Int32: true, Nullable: true},
		schema.Property{Name: "count", Type: changeset.Int, Default: &three},
		schema.Property{Name: "state", Type: changeset.String, Default: &str},
		schema.Property{Name: "opt", Type: changeset.String, Nullable: true},
		schema.Property{Name: "date", Type: changeset.Timestamp, Nullable: true},
		schema.Property{Name: "dec", Type: changeset.Decimal, Nullable: true},
		schema.Property{Name: "any", Type: changeset.Mixed, Nullable: true},
		schema.Property{Name: "owner", Type: changeset.Link, Target: "Person", Nullable: true},
		schema.Property{Name: "friends", Type: changeset.Link, Target: "Person", Collection: changeset.ListOf},
		schema.Property{Name: "note", Type: changeset.Link, Target: "Note", Nullable: true},
		schema.Property{Name: "notes", Type: changeset.Link, Target: "Note", Collection: changeset.ListOf},
		schema.Property{Name: "noteOf", Type: changeset.Link, Target: "Note", Nullable: true, Collection: changeset.DictionaryOf},
		schema.Property{Name: "list", Type: changeset.Int, Collection: changeset.ListOf},
		schema.Property{Name: "set", Type: changeset.Int, Collection: changeset.SetOf},
		schema.Property{Name: "moments", Type: changeset.Timestamp, Collection: changeset.SetOf},
		schema.Property{Name: "anySet", Type: changeset.Mixed, Nullable: true, Collection: changeset.SetOf},
		schema.Property{Name: "dict", Type: changeset.Int, Collection: changeset.DictionaryOf},
		schema.Property{Name: "anyList", Type: changeset.Mixed, Nullable: true, Collection: changeset.ListOf},
	)}
	return &schema.Schema{Classes: map[string]*schema.Class{"Task": task, "Person": person, "Note": note}}, task
}

func properties(all ...schema.Property) map[string]*schema.Property {
	out := map[string]*schema.Property{}
	for _, p := range all {
		out[p.Name] = &p
	}
	return out
}

// TestUnsyncedSaysWhy: the sentences people read in the list of unsynced documents.
func TestUnsyncedSaysWhy(t *testing.T) {
	s, class := testSchema()
	for _, c := range []struct{ doc, want string }{
		{`{"n":"5"}`, `field "n": expected long, found string`},
		{`{"n":1.5}`, `field "n": expected long, found double: it is not an integer that fits exactly`},
		{`{}`, `field "n": expected long, found nothing: the field is required`},
		{`{"n":null}`, `field "n": expected long, found null: the schema does not let it be null`},
		{`{"n":1,"list":[1,{"$numberLong":"2"},"3"]}`, `field "list.2": expected long, found string`},
		{`{"n":1,"list":[null]}`, `field "list.0": expected long, found null: the schema does not let it be null`},
		{`{"n":1,"list":{"0":1}}`, `field "list": expected array, found object`},
		{`{"n":1,"set":[1,true]}`, `field "set.1": expected long, found bool`},
		{`{"n":1,"anySet":[1,[]]}`, `field "anySet.1": expected a value that a set can hold, found array`},
		{`{"n":1,"dict":{"a.b":1}}`, `field "dict": expected keys that a dictionary can have, found the key "a.b": dictionary key "a.b" contains a dot`},
		{`{"n":1,"dict":{"$a":1}}`, `field "dict": expected keys that a dictionary can have, found the key "$a": dictionary key "$a" begins with a dollar sign`},
		{`{"n":1,"any":{"x":[{"$y":1}]}}`, `field "any.x.0": expected keys that a dictionary can have, found the key "$y": dictionary key "$y" begins with a dollar sign`},
		{`{"n":1,"any":{"x":{"$minKey":1}}}`, `field "any.x": expected a value that a mixed property can hold, found minKey`},
		{`{"n":1,"owner":5}`, `field "owner": expected string or null, the _id of a Person, found int`},
		{`{"n":1,"friends":["a",7]}`, `field "friends.1": expected string or null, the _id of a Person, found int`},
		{`{"n":1,"note":[]}`, `field "note": expected object, found array`},
		{`{"n":1,"note":{"n":1}}`, `field "note.text": expected string, found nothing: the field is required`},
		{`{"n":1,"notes":[{"text":"a"},null]}`, `field "notes.1": expected object, found null`},
		{`{"n":1,"notes":[{"text":"a","tags":[1]}]}`, `field "notes.0.tags.0": expected string, found int`},
		{`{"n":1,"noteOf":{"k":{"text":1}}}`, `field "noteOf.k.text": expected string, found int`},
		{`{"n":1,"any":{"$ref":"nowhere","$id":1}}`, `field "any.$ref": expected a collection that is synced, found "nowhere"`},
		{`{"n":1,"any":{"$ref":"people","$id":1}}`, `field "any.$id": expected string or null, the _id of a Person, found int`},
		{`{"n":1,"any":{"$ref":"people","$id":"a","$db":"elsewhere"}}`, `field "any.$db": expected the synced database "here", found a link into another one`},
	} {
		_, err := Mapping{Database: "here"}.MapDocument(s, class, fromJSON(t, c.doc))
		var u *Unsynced
		if !errors.As(err, &u) {
			t.Errorf("%s: %v", c.doc, err)
			continue
		}
		if got := err.Error(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.doc, got, c.want)
		}
	}
}

// TestMapDocumentReads: what absent, null, defaults, duplicates and links become.
func TestMapDocumentReads(t *testing.T) {
	s, class := testSchema()
	link := func(k changeset.Key) changeset.Value { return changeset.LinkValue("Person", k) }
	for _, c := range []struct {
		doc, field string
		want       object.Node
	}{
		{`{"n":1,"mine":{"$x":1}}`, "n", changeset.IntValue(1)},
		{`{"n":1}`, "state", changeset.StringValue("new")},
		{`{"n":1,"state":null}`, "state", changeset.StringValue("new")},
		{`{"n":1,"state":"old"}`, "state", changeset.StringValue("old")},
		{`{"n":1}`, "opt", changeset.NullValue()},
		{`{"n":1,"list":null}`, "list", &object.List{}},
		{`{"n":1,"set":[3,1,3,{"$numberDouble":"1.0"}]}`, "set", &object.Set{Items: []changeset.Value{changeset.IntValue(3), changeset.IntValue(1)}}},
		{`{"n":1,"anySet":[1,1.0,{"$numberDecimal":"1.00"},true,"1"]}`, "anySet",
			&object.Set{Items: []changeset.Value{changeset.IntValue(1), changeset.BoolValue(true), changeset.StringValue("1")}}},
		{`{"n":1,"owner":"ann"}`, "owner", link(changeset.StringKey("ann"))},
		{`{"n":1,"friends":["ann",null]}`, "friends", &object.List{Items: []object.Node{link(changeset.StringKey("ann")), link(changeset.NullKey)}}},
		{`{"n":1,"any":{"$ref":"people","$id":"ann","$db":"here"}}`, "any", link(changeset.StringKey("ann"))},
		{`{"n":1,"any":{"$ref":"people","$id":null}}`, "any", link(changeset.NullKey)},
		{`{"n":1,"any":{"":{"a":null}}}`, "any", &object.Dictionary{Entries: map[string]object.Node{
			"": &object.Dictionary{Entries: map[string]object.Node{"a": changeset.NullValue()}}}}},
		{`{"n":1,"note":null}`, "note", changeset.NullValue()},
		{`{"n":1,"noteOf":{"k":null}}`, "noteOf", &object.Dictionary{Entries: map[string]object.Node{"k": changeset.NullValue()}}},
	} {
		o, err := Mapping{Database: "here"}.MapDocument(s, class, fromJSON(t, c.doc))
		if err != nil {
			t.Errorf("%s: %v", c.doc, err)
			continue
		}
		got := o.Get(class.Properties[c.field])
		one := func(n object.Node) *object.Object { return &object.Object{Fields: map[string]object.Node{c.field: n}} }
		if !object.Equal(s, class, one(got), one(c.want)) {
			t.Errorf("%s: %s is %+v, want %+v", c.doc, c.field, got, c.want)
		}
	}
}

// TestDepth: collections in mixed nest as deep as clients take them.
func TestDepth(t *testing.T) {
	s, class := testSchema()
	nested := func(levels int) bson.RawValue {
		v := rawInt32(1)
		for range levels {
			start, dst := openDocument(nil)
			v = raw(bson.TypeArray, closeDocument(appendRawElement(dst, "0", v), start))
		}
		return v
	}
	for _, c := range []struct {
		field  string
		levels int
		ok     bool
	}{
		{"any", 100, true}, {"any", 101, false},
		{"anyList", 100, true}, {"anyList", 101, false},
		{"any", 5000, false},
	} {
		start, dst := openDocument(nil)
		dst = appendRawElement(appendRawElement(dst, "n", rawInt32(1)), c.field, nested(c.levels))
		_, err := MapDocument(s, class, closeDocument(dst, start))
		if (err == nil) != c.ok {
			t.Errorf("%s with %d levels: %v", c.field, c.levels, err)
		}
	}
}

func TestRepeatedFields(t *testing.T) {
	s, class := testSchema()
	start, dst := openDocument(nil)
	dst = appendRawElement(appendRawElement(dst, "n", rawInt32(1)), "n", rawInt32(2))
	_, err := MapDocument(s, class, closeDocument(dst, start))
	if want := `field "n": expected one field of that name, found two`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestBrokenDocuments: bytes that are no BSON are unsynced, whatever they claim.
func TestBrokenDocuments(t *testing.T) {
	s, class := testSchema()
	good := fieldDocument("any", raw(bson.TypeArray, []byte{5, 0, 0, 0, 0}))
	for n := range good {
		if _, err := MapDocument(s, class, good[:n]); err == nil {
			t.Errorf("the first %d bytes were read", n)
		}
	}
	for _, b := range [][]byte{nil, {0, 0, 0, 0}, {5, 0, 0, 0, 1}, {255, 255, 255, 127, 0}, {255, 255, 255, 255, 0}} {
		if _, err := MapDocument(s, class, b); err == nil {
			t.Errorf("%v was read", b)
		}
	}
	for _, v := range []bson.RawValue{
		raw(bson.TypeArray, []byte{6, 0, 0, 0, 1, 0}),                // an element without its key's end
		raw(bson.TypeArray, []byte{9, 0, 0, 0, 0x10, '0', 0, 1, 0}),  // an int32 cut short
		raw(bson.TypeString, []byte{0, 0, 0, 0}),                     // no room for the NUL
		raw(bson.TypeBinary, []byte{1, 0, 0, 0, 2, 9}),               // subtype 2 without its inner length
		raw(bson.TypeEmbeddedDocument, []byte{6, 0, 0, 0, 0xee, 0}),  // an unknown type
		raw(bson.TypeEmbeddedDocument, []byte{5, 0, 0, 0, 1}),        // no end
		raw(bson.TypeEmbeddedDocument, []byte{4, 0, 0, 0}),           // shorter than any
		raw(bson.TypeBinary, append([]byte{2, 0, 0, 0, 4}, "no"...)), // a short uuid
	} {
		start, dst := openDocument(nil)
		dst = appendRawElement(appendRawElement(dst, "n", rawInt32(1)), "any", v)
		var u *Unsynced
		if _, err := MapDocument(s, class, closeDocument(dst, start)); !errors.As(err, &u) {
			t.Errorf("%v: %v", v, err)
		}
	}
}

func TestKeys(t *testing.T) {
	class := func(kt changeset.Type, nullable bool) *schema.Class {
		return &schema.Class{Name: "T", KeyType: kt, KeyNullable: nullable}
	}
	oid, uuid := [12]byte{1, 2}, [16]byte{3, 4}
	for _, c := range []struct {
		class *schema.Class
		v     bson.RawValue
		want  changeset.Key
		err   string
	}{
		{class(changeset.Int, false), rawInt64(-5), changeset.IntKey(-5), ""},
		{class(changeset.Int, false), rawInt32(5), changeset.IntKey(5), ""},
		{class(changeset.Int, false), rawDouble(5), changeset.IntKey(5), ""},
		{class(changeset.Int, false), rawDecimal(t, "5.0"), changeset.IntKey(5), ""},
		{class(changeset.Int, false), rawDouble(5.5), changeset.Key{}, "the document: expected long, found double: it is not an integer that fits exactly"},
		{class(changeset.Int, false), rawString("5"), changeset.Key{}, "the document: expected long, found string"},
		{class(changeset.Int, false), raw(bson.TypeNull, nil), changeset.Key{}, "the document: expected long, found null"},
		{class(changeset.Int, true), raw(bson.TypeNull, nil), changeset.NullKey, ""},
		{class(changeset.String, true), rawString(""), changeset.StringKey(""), ""},
		{class(changeset.String, true), rawInt32(1), changeset.Key{}, "the document: expected string or null, found int"},
		{class(changeset.ObjectID, false), raw(bson.TypeObjectID, oid[:]), changeset.ObjectIDKey(oid), ""},
		{class(changeset.UUID, false), rawBinary(4, uuid[:]), changeset.UUIDKey(uuid), ""},
		{class(changeset.UUID, false), rawBinary(3, uuid[:]), changeset.Key{}, "the document: expected uuid, found binData of subtype 3"},
	} {
		k, err := KeyFromBSON(c.class, c.v)
		if fmt.Sprint(err) != c.err && !(err == nil && c.err == "") || k != c.want {
			t.Errorf("%v: got %+v, %v; want %+v, %q", c.v, k, err, c.want, c.err)
		}
		if err != nil {
			continue
		}
		if back, err := KeyFromBSON(c.class, KeyToBSON(k)); err != nil || back != k {
			t.Errorf("%+v comes back as %+v, %v", k, back, err)
		}
	}
}

func FuzzMapDocument(f *testing.F) {
	s, class := testSchema()
	for _, v := range oneValueOfEachType(f) {
		for name := range class.Properties {
			f.Add([]byte(fieldDocument(name, v)))
		}
	}
	f.Add([]byte(fromJSON(f, `{"_id":1,"n":1,"any":{"a":[1,{"$ref":"people","$id":"x","$db":"d"}]},"notes":[{"text":"a","x":1}],"set":[1,2,2],"moments":[{"$date":"2020-01-01T00:00:00Z"}]}`)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		o, err := MapDocument(s, class, doc)
		if err != nil {
			var u *Unsynced
			if !errors.As(err, &u) || u.Error() == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		key := changeset.IntKey(1)
		written, err := NewDocument(s, class, key, o)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		back, err := MapDocument(s, class, written)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if Fingerprint(s, class, o) != Fingerprint(s, class, back) {
			t.Fatalf("%v and %v", o, back)
		}
		w, err := Edit(s, class, doc, key, o, back, touchAll(class, key))
		if err != nil || w.Kind != None {
			t.Fatalf("an edit that changes nothing: %v %s, %v", w.Kind, w.Update, err)
		}
	})
}

// touchAll is an instruction about each property that does nothing, so that the
// property is compared with the object.
func touchAll(c *schema.Class, key changeset.Key) changeset.Changeset {
	var out changeset.Changeset
	for _, name := range c.PropertyNames() {
		out = append(out, changeset.Instruction{Op: changeset.OpArrayErase, Class: c.Name, Key: key, Field: name,
			Path: changeset.Path{{Index: math.MaxUint32, IsIndex: true}}})
	}
	return out
}
