package e2e

import (
	"math"
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
