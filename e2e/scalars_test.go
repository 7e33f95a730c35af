package e2e

import (
	"math"
	"reflect"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// scalar is a type of property, a value of it, and what must be in MongoDB.
type scalar struct {
	name     string
	typ      string
	value    any // what the device writes
	stored   any // what the document must hold, type and bytes
	other    any // a second value,
	otherRaw any // and its document form
}

var (
	sampleUUID   = "6f1c2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f"
	sampleBinary = []byte{0x6f, 0x1c, 0x2d, 0x3e, 0x4a, 0x5b, 0x4c, 0x6d, 0x8e, 0x7f, 0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f}
	sampleID     = bson.ObjectID{0x65, 0x4e, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	otherID      = bson.ObjectID{0x65, 0x4e, 0x22, 9, 8, 7, 6, 5, 4, 3, 2, 1}
)

func decimal(text string) bson.Decimal128 {
	d, err := bson.ParseDecimal128(text)
	if err != nil {
		panic(err) // a constant of the test
	}
	return d
}

var scalars = []scalar{
	{"anInt", "int", realmclient.Int(math.MinInt64), int64(math.MinInt64), realmclient.Int(5), int64(5)},
	{"aBool", "bool", true, true, false, false},
	{"aFloat", "float", realmclient.Float(0.1), float64(float32(0.1)), realmclient.Float(-2.5), -2.5},
	{"aDouble", "double", realmclient.Double(-1e300), -1e300, realmclient.Double(4), float64(4)},
	{"aDecimal", "decimal128", realmclient.Decimal("-12345678901234567890.123400"), decimal("-12345678901234567890.123400"),
		realmclient.Decimal("0.5"), decimal("0.5")},
	{"aString", "string", "grüße\x00 日本 🙂", "grüße\x00 日本 🙂", "", ""},
	{"aData", "data", realmclient.Binary([]byte{0, 255, 7}), bson.Binary{Data: []byte{0, 255, 7}},
		realmclient.Binary(nil), bson.Binary{Data: []byte{}}},
	{"aDate", "timestamp", realmclient.Timestamp(1_700_000_000, 123_456_789), bson.DateTime(1_700_000_000_123),
		realmclient.Timestamp(-1, -500_999_999), bson.DateTime(-1500)},
	{"anObjectID", "objectId", realmclient.ObjectID(sampleID.Hex()), sampleID, realmclient.ObjectID(otherID.Hex()), otherID},
	{"aUUID", "uuid", realmclient.UUID(sampleUUID), bson.Binary{Subtype: 4, Data: sampleBinary},
		realmclient.UUID("00000000-0000-0000-0000-000000000000"), bson.Binary{Subtype: 4, Data: make([]byte, 16)}},
}

// everySchema has a class with every scalar type: required, optional (left
// null and not), and in a list; and a link.
func everySchema() []realmclient.Class {
	every := realmclient.Class{Name: "Every", Properties: []realmclient.Property{
		{Name: "_id", Type: "objectId", PrimaryKey: true},
		{Name: "link", Type: "object", Target: "Every"},
		{Name: "noLink", Type: "object", Target: "Every"},
	}}
	for _, s := range scalars {
		every.Properties = append(every.Properties,
			realmclient.Property{Name: s.name, Type: s.typ},
			realmclient.Property{Name: s.name + "Optional", Type: s.typ, Nullable: true},
			realmclient.Property{Name: s.name + "Null", Type: s.typ, Nullable: true},
			realmclient.Property{Name: s.name + "List", Type: s.typ, Collection: "list"},
		)
	}
	return []realmclient.Class{every}
}

// TestEveryScalarTypeReachesMongoDB creates an object of every scalar type and
// compares the document byte for byte the moment the upload is acknowledged.
func TestEveryScalarTypeReachesMongoDB(t *testing.T) {
	b := startBridge(t)
	a := subscribed(t, b, "A", everySchema())
	every := b.collection("Every")

	key := realmclient.ObjectID(sampleID.Hex())
	set := map[string]any{}
	want := bson.D{{Key: "_id", Value: sampleID}}
	for _, s := range scalars {
		set[s.name], set[s.name+"Optional"] = s.value, s.other
		set[s.name+"List"] = []any{s.value, s.other, s.value}
		want = append(want,
			bson.E{Key: s.name, Value: s.stored},
			bson.E{Key: s.name + "Optional", Value: s.otherRaw},
			bson.E{Key: s.name + "List", Value: bson.A{s.stored, s.otherRaw, s.stored}},
		)
	}
	link := realmclient.Link("Every", key)
	want = append(want, bson.E{Key: "link", Value: sampleID})
	a.write(realmclient.Create("Every", key, set), realmclient.Update("Every", key, "link", link))
	a.upload()
	expectDocument(t, document(t, every, sampleID), want)

	// The second device gets the exact values, finer than what BSON holds.
	b2 := subscribed(t, b, "B", everySchema())
	if got, want := b2.dump(), a.dump(); !reflect.DeepEqual(got, want) {
		t.Errorf("B has\n%v\nA has\n%v", got, want)
	}

	// Every property gets its other value, and every optional one becomes null.
	var ops []realmclient.Op
	want = bson.D{{Key: "_id", Value: sampleID}}
	for _, s := range scalars {
		ops = append(ops,
			realmclient.Update("Every", key, s.name, s.other),
			realmclient.Update("Every", key, s.name+"Optional", nil),
			realmclient.Op{Op: "list_erase", Class: "Every", PK: key, Path: []any{s.name + "List"}, Index: "0"},
		)
		want = append(want,
			bson.E{Key: s.name, Value: s.otherRaw},
			bson.E{Key: s.name + "Optional", Value: nil},
			bson.E{Key: s.name + "List", Value: bson.A{s.otherRaw, s.stored}},
		)
	}
	ops = append(ops, realmclient.Update("Every", key, "link", nil))
	want = append(want, bson.E{Key: "link", Value: nil})
	a.write(ops...)
	a.upload()
	expectDocument(t, document(t, every, sampleID), want)

	a.write(realmclient.Delete("Every", key))
	a.upload()
	if n, err := every.CountDocuments(within(t), bson.D{}); n != 0 || err != nil {
		t.Errorf("%d documents (%v) after the device deleted its object, want none", n, err)
	}
	b2.seesNo("Every", key)
	a.untroubled()
	b2.untroubled()
}

// expectDocument compares a whole document with the wanted fields, in any
// order: nothing may be missing or extra, except that a property that was
// never set may be there as null and a list as empty.
func expectDocument(t *testing.T, doc bson.Raw, fields bson.D) {
	t.Helper()
	want, err := bson.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if err := differences(doc, want); err != nil {
		t.Error(err)
	}
	elements, err := doc.Elements()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range elements {
		if bson.Raw(want).Lookup(e.Key()).IsZero() && e.Value().Type != bson.TypeNull {
			t.Errorf("the document has %s: %s, which the device never set", e.Key(), e.Value())
		}
	}
}

// TestEveryKeyType creates an object under each type of primary key.
func TestEveryKeyType(t *testing.T) {
	b := startBridge(t)
	keys := []struct {
		class string
		typ   string
		key   any
		id    any
	}{
		{"ByInt", "int", realmclient.Int(-7), int64(-7)},
		{"ByString", "string", "key ü", "key ü"},
		{"ByObjectID", "objectId", realmclient.ObjectID(sampleID.Hex()), sampleID},
		{"ByUUID", "uuid", realmclient.UUID(sampleUUID), bson.Binary{Subtype: 4, Data: sampleBinary}},
	}
	var schema []realmclient.Class
	for _, k := range keys {
		schema = append(schema, realmclient.Class{Name: k.class, Properties: []realmclient.Property{
			{Name: "_id", Type: k.typ, PrimaryKey: true},
			{Name: "n", Type: "int"},
		}})
	}
	a := subscribed(t, b, "A", schema)
	other := subscribed(t, b, "B", schema)
	for _, k := range keys {
		t.Run(k.class, func(t *testing.T) {
			c := b.collection(k.class)
			a.write(realmclient.Create(k.class, k.key, map[string]any{"n": 1}))
			a.upload()
			expectDocument(t, document(t, c, k.id), bson.D{{Key: "_id", Value: k.id}, {Key: "n", Value: int64(1)}})
			other.sees(k.class, k.key, map[string]any{"n": realmclient.Int(1)})
			if _, err := c.UpdateByID(within(t), k.id, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}}); err != nil {
				t.Fatal(err)
			}
			other.sees(k.class, k.key, map[string]any{"n": realmclient.Int(2)})
			a.sees(k.class, k.key, map[string]any{"n": realmclient.Int(2)})
			if _, err := c.DeleteOne(within(t), bson.D{{Key: "_id", Value: k.id}}); err != nil {
				t.Fatal(err)
			}
			a.seesNo(k.class, k.key)
		})
	}
	a.untroubled()
}

// TestDriverWritesReachTheDevice inserts, updates and deletes every scalar type
// by the MongoDB driver.
func TestDriverWritesReachTheDevice(t *testing.T) {
	b := startBridge(t)
	a := subscribed(t, b, "A", everySchema())
	a.upload() // the schema, which makes the collection
	every := b.collection("Every")

	key := realmclient.ObjectID(sampleID.Hex())
	doc, update := bson.D{{Key: "_id", Value: sampleID}}, bson.D{}
	inserted, updated := map[string]any{}, map[string]any{}
	for _, s := range scalars {
		value, other := s.value, s.other
		if s.typ == "timestamp" { // to the millisecond, which is what a document holds
			value, other = realmclient.Timestamp(1_700_000_000, 123_000_000), realmclient.Timestamp(-1, -500_000_000)
		}
		doc = append(doc,
			bson.E{Key: s.name, Value: s.stored},
			bson.E{Key: s.name + "Optional", Value: s.otherRaw},
			bson.E{Key: s.name + "List", Value: bson.A{s.stored, s.otherRaw}},
		)
		inserted[s.name], inserted[s.name+"Optional"] = value, other
		inserted[s.name+"Null"], inserted[s.name+"List"] = nil, []any{value, other}
		update = append(update,
			bson.E{Key: s.name, Value: s.otherRaw},
			bson.E{Key: s.name + "Optional", Value: nil},
			bson.E{Key: s.name + "Null", Value: s.stored},
			bson.E{Key: s.name + "List", Value: bson.A{}},
		)
		updated[s.name], updated[s.name+"Optional"] = other, nil
		updated[s.name+"Null"], updated[s.name+"List"] = value, []any{}
	}
	if _, err := every.InsertOne(within(t), doc); err != nil {
		t.Fatal(err)
	}
	a.sees("Every", key, inserted)

	update = append(update, bson.E{Key: "link", Value: sampleID})
	updated["link"] = realmclient.Link("Every", key)
	if _, err := every.UpdateByID(within(t), sampleID, bson.D{{Key: "$set", Value: update}}); err != nil {
		t.Fatal(err)
	}
	a.sees("Every", key, updated)

	if _, err := every.DeleteOne(within(t), bson.D{{Key: "_id", Value: sampleID}}); err != nil {
		t.Fatal(err)
	}
	a.seesNo("Every", key)
	a.untroubled()
}

// TestNumbersThatShellsWrite updates an int and a double property with the
// BSON types that the shell and drivers of languages without integers choose.
func TestNumbersThatShellsWrite(t *testing.T) {
	b := startBridge(t)
	a := subscribed(t, b, "A", everySchema())
	key := realmclient.ObjectID(sampleID.Hex())
	a.write(realmclient.Create("Every", key, nil))
	a.upload()
	for _, test := range []struct {
		name   string
		fields bson.D
		want   map[string]any
	}{
		{"int32 for an int", bson.D{{Key: "anInt", Value: int32(12)}}, map[string]any{"anInt": realmclient.Int(12)}},
		{"double for an int", bson.D{{Key: "anInt", Value: 13.0}}, map[string]any{"anInt": realmclient.Int(13)}},
		{"int32 for a double", bson.D{{Key: "aDouble", Value: int32(14)}}, map[string]any{"aDouble": realmclient.Double(14)}},
		{"int64 for a float", bson.D{{Key: "aFloat", Value: int64(15)}}, map[string]any{"aFloat": realmclient.Float(15)}},
		{"double for a decimal", bson.D{{Key: "aDecimal", Value: 16.0}}, map[string]any{"aDecimal": realmclient.Decimal("16")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := b.collection("Every").UpdateByID(within(t), sampleID, bson.D{{Key: "$set", Value: test.fields}})
			if err != nil {
				t.Fatal(err)
			}
			a.sees("Every", key, test.want)
		})
	}
	a.untroubled()
}

// TestDocumentsThatWereThereFirst connects the first device to an app whose
// collection has documents already.
func TestDocumentsThatWereThereFirst(t *testing.T) {
	b := startBridge(t)
	tasks := b.collection("Task")
	var docs []any
	for i := range 500 {
		docs = append(docs, bson.D{
			{Key: "_id", Value: bson.NewObjectIDFromTimestamp(time.Unix(int64(i), 0))},
			{Key: "title", Value: "old"}, {Key: "done", Value: i%2 == 0}, {Key: "priority", Value: int32(i)},
			{Key: "somebodyElses", Value: "untouched"},
		})
	}
	if _, err := tasks.InsertMany(within(t), docs); err != nil {
		t.Fatal(err)
	}
	a := subscribed(t, b, "A", taskSchema)
	converge(t, b, a)

	first := docs[0].(bson.D)[0].Value.(bson.ObjectID)
	a.write(realmclient.Update("Task", realmclient.ObjectID(first.Hex()), "title", "new"))
	a.upload()
	expectFields := bson.D{
		{Key: "title", Value: "new"}, {Key: "done", Value: true}, {Key: "priority", Value: int32(0)},
		{Key: "somebodyElses", Value: "untouched"},
	}
	want, err := bson.Marshal(expectFields)
	if err != nil {
		t.Fatal(err)
	}
	if err := differences(document(t, tasks, first), want); err != nil {
		t.Errorf("after a device changed the title alone: %v", err)
	}
}
