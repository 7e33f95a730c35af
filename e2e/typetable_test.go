package e2e

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// kind is a row of a table in docs/types.md, with values of it.
type kind struct {
	table, row string // heading and first cell
	class      string // that has properties of it
	property   realmclient.Property
	both       []pair // whichever side writes the one, the other has the other
	written    []pair // by devices; documents hold less
	read       []pair // of documents that others wrote
	unread     []any  // what others may write that makes a document unsynced
}

// pair is a value as devices have it and as documents do.
type pair struct{ device, stored any }

// absent is stored where the document has no such field.
type absent struct{}

const (
	mainTable  = "The table"
	nullTable  = "Null and absent"
	mixedTable = "Mixed"
	keyTable   = "Keys"
)

func binary(subtype byte, data ...byte) bson.Binary {
	return bson.Binary{Subtype: subtype, Data: append([]byte{}, data...)}
}

var (
	zeroUUID   = realmclient.UUID("00000000-0000-0000-0000-000000000000")
	storedUUID = binary(4, sampleBinary...)
	undefined  = bson.Undefined{}
	regex      = bson.Regex{Pattern: "a", Options: "i"}
)

// scalarKinds are the scalar types.
var scalarKinds = []kind{
	{mainTable, "int", "Ints", realmclient.Property{Type: "int"},
		[]pair{{realmclient.Int(math.MinInt64), int64(math.MinInt64)}, {realmclient.Int(5), int64(5)}, {realmclient.Int(math.MaxInt64), int64(math.MaxInt64)}},
		nil,
		[]pair{{realmclient.Int(-12), int32(-12)}, {realmclient.Int(13), 13.0}, {realmclient.Int(14), decimal("14")}, {realmclient.Int(-1 << 53), -math.Pow(2, 53)}},
		[]any{"5", 1.5, decimal("1.5"), math.Pow(2, 54), true, math.NaN()}},
	{mainTable, "bool", "Bools", realmclient.Property{Type: "bool"},
		[]pair{{true, true}, {false, false}}, nil, nil,
		[]any{1, "true"}},
	{mainTable, "string", "Strings", realmclient.Property{Type: "string"},
		[]pair{{"grüße\x00 日本 🙂", "grüße\x00 日本 🙂"}, {"", ""}, {"$a.b", "$a.b"}}, nil, nil,
		[]any{5, bson.Symbol("s")}},
	{mainTable, "data", "Data", realmclient.Property{Type: "data"},
		[]pair{{realmclient.Binary([]byte{0, 255, 7}), binary(0, 0, 255, 7)}, {realmclient.Binary(nil), binary(0)}},
		nil,
		[]pair{{realmclient.Binary([]byte{1}), binary(0x80, 1)}, {realmclient.Binary([]byte{2}), binary(2, 2)}, {realmclient.Binary([]byte{5}), binary(5, 5)}},
		[]any{"AA==", storedUUID, binary(3, sampleBinary...)}},
	{mainTable, "date", "Dates", realmclient.Property{Type: "timestamp"},
		[]pair{
			{realmclient.Timestamp(1_700_000_000, 123_000_000), bson.DateTime(1_700_000_000_123)},
			{realmclient.Timestamp(-1, -500_000_000), bson.DateTime(-1500)},
			{realmclient.Timestamp(0, 0), bson.DateTime(0)},
			{realmclient.Timestamp(math.MaxInt64/1000, 807_000_000), bson.DateTime(math.MaxInt64)},
			{realmclient.Timestamp(math.MinInt64/1000, -808_000_000), bson.DateTime(math.MinInt64)},
		},
		[]pair{
			{realmclient.Timestamp(1_700_000_000, 123_456_789), bson.DateTime(1_700_000_000_123)},
			{realmclient.Timestamp(-1, -500_999_999), bson.DateTime(-1500)},
			{realmclient.Timestamp(0, -1), bson.DateTime(0)},
		},
		nil,
		[]any{"2023-11-14", int64(1_700_000_000_000), bson.Timestamp{T: 1_700_000_000}}},
	{mainTable, "float", "Floats", realmclient.Property{Type: "float"},
		[]pair{
			{realmclient.Float(0.1), float64(float32(0.1))}, {realmclient.Float(-2.5), -2.5},
			{realmclient.Float(math.MaxFloat32), math.MaxFloat32}, {realmclient.Float(math.SmallestNonzeroFloat32), math.SmallestNonzeroFloat32},
			{realmclient.Float(float32(math.NaN())), math.NaN()}, {realmclient.Float(float32(math.Inf(1))), math.Inf(1)},
			{realmclient.Float(float32(math.Inf(-1))), math.Inf(-1)}, {realmclient.Float(float32(math.Copysign(0, -1))), math.Copysign(0, -1)},
		},
		nil,
		[]pair{{realmclient.Float(0.2), 0.2}, {realmclient.Float(7), int32(7)}, {realmclient.Float(15), int64(15)}},
		[]any{"0.1", 1e300, decimal("0.5")}},
	{mainTable, "double", "Doubles", realmclient.Property{Type: "double"},
		[]pair{
			{realmclient.Double(-1e300), -1e300}, {realmclient.Double(4), 4.0}, {realmclient.Double(math.SmallestNonzeroFloat64), math.SmallestNonzeroFloat64},
			{realmclient.Double(math.NaN()), math.NaN()}, {realmclient.Double(math.Inf(1)), math.Inf(1)},
			{realmclient.Double(math.Inf(-1)), math.Inf(-1)}, {realmclient.Double(math.Copysign(0, -1)), math.Copysign(0, -1)},
		},
		nil,
		[]pair{{realmclient.Double(14), int32(14)}, {realmclient.Double(1 << 60), int64(1 << 60)}},
		[]any{"0.1", int64(1<<53 + 1), decimal("0.5")}},
	{mainTable, "decimal128", "Decimals", realmclient.Property{Type: "decimal128"},
		[]pair{
			{realmclient.Decimal("-12345678901234567890.123400"), decimal("-12345678901234567890.123400")}, {realmclient.Decimal("0.5"), decimal("0.5")},
			{realmclient.Decimal("NaN"), decimal("NaN")}, {realmclient.Decimal("Infinity"), decimal("Infinity")},
			{realmclient.Decimal("-Infinity"), decimal("-Infinity")}, {realmclient.Decimal("-0"), decimal("-0")},
			{realmclient.Decimal("9.999999999999999999999999999999999E+6144"), decimal("9.999999999999999999999999999999999E+6144")},
			{realmclient.Decimal("1E-6176"), decimal("1E-6176")},
		},
		nil,
		[]pair{{realmclient.Decimal("3"), int32(3)}, {realmclient.Decimal("-4"), int64(-4)}, {realmclient.Decimal("0.1"), 0.1}, {realmclient.Decimal("16"), 16.0}},
		[]any{"0.5", true}},
	{mainTable, "ObjectId", "ObjectIds", realmclient.Property{Type: "objectId"},
		[]pair{{realmclient.ObjectID(sampleID.Hex()), sampleID}, {realmclient.ObjectID(otherID.Hex()), otherID}}, nil, nil,
		[]any{sampleID.Hex(), storedUUID}},
	{mainTable, "UUID", "UUIDs", realmclient.Property{Type: "uuid"},
		[]pair{{realmclient.UUID(sampleUUID), storedUUID}, {zeroUUID, binary(4, make([]byte, 16)...)}}, nil, nil,
		[]any{sampleUUID, binary(0, sampleBinary...), binary(3, sampleBinary...)}},
}

// keyKinds are the types of primary keys: both holds keys, of which others are
// linked to.
var keyKinds = []kind{
	{keyTable, "int", "ByInt", realmclient.Property{Type: "int"},
		[]pair{{realmclient.Int(-7), int64(-7)}, {realmclient.Int(math.MaxInt64), int64(math.MaxInt64)}}, nil,
		[]pair{{realmclient.Int(8), int32(8)}, {realmclient.Int(9), 9.0}, {realmclient.Int(10), decimal("10")}},
		[]any{"seven", 1.5}},
	{keyTable, "string", "ByString", realmclient.Property{Type: "string"},
		[]pair{{"key ü", "key ü"}, {"", ""}, {"$a.b", "$a.b"}}, nil, nil, []any{7, sampleID}},
	{keyTable, "ObjectId", "ByObjectId", realmclient.Property{Type: "objectId"},
		[]pair{{realmclient.ObjectID(sampleID.Hex()), sampleID}, {realmclient.ObjectID(otherID.Hex()), otherID}}, nil, nil, []any{sampleID.Hex()}},
	{keyTable, "UUID", "ByUUID", realmclient.Property{Type: "uuid"},
		[]pair{{realmclient.UUID(sampleUUID), storedUUID}, {zeroUUID, binary(4, make([]byte, 16)...)}}, nil, nil, []any{sampleUUID, binary(0, 1)}},
	{keyTable, "null, where the class lets it be", "ByNull", realmclient.Property{Type: "string", Nullable: true},
		[]pair{{nil, nil}, {"not null", "not null"}}, nil, nil, []any{7}},
}

// linkKinds are links to classes of every type of key.
func linkKinds() []kind {
	var out []kind
	for _, key := range keyKinds {
		link := kind{table: mainTable, row: "link to a class", class: "LinksTo" + key.class,
			property: realmclient.Property{Type: "object", Target: key.class}}
		for _, k := range key.both {
			p := pair{realmclient.Link(key.class, k.device), k.stored}
			if k.device == nil {
				link.written = append(link.written, p) // reads as no link
			} else {
				link.both = append(link.both, p)
			}
		}
		if key.class == "ByInt" {
			link.read = []pair{{realmclient.Link(key.class, realmclient.Int(-7)), int32(-7)}, {realmclient.Link(key.class, realmclient.Int(-7)), -7.0}}
		}
		link.unread = []any{true, bson.D{{Key: "$ref", Value: key.class}, {Key: "$id", Value: 1}}}
		out = append(out, link)
	}
	return out
}

// embeddedKind is an embedded object three deep, with all scalars and every
// collection of embedded objects in it.
func embeddedKind() kind {
	leaf := func(i int) pair {
		device, stored := map[string]any{}, bson.D{}
		for _, k := range scalarKinds {
			p := k.both[i%len(k.both)]
			device[k.class] = p.device
			stored = append(stored, bson.E{Key: k.class, Value: p.stored})
		}
		return pair{realmclient.Embedded(device), stored}
	}
	part := func(i int) pair {
		a, b := leaf(i), leaf(i+1)
		return pair{
			realmclient.Embedded(map[string]any{"one": a.device, "none": nil, "list": []any{b.device, a.device}, "byName": realmclient.Dictionary(map[string]any{"x": b.device, "no": nil})}),
			bson.D{{Key: "one", Value: a.stored}, {Key: "list", Value: bson.A{b.stored, a.stored}}, {Key: "byName", Value: bson.D{{Key: "x", Value: b.stored}, {Key: "no", Value: nil}}}},
		}
	}
	whole := func(i int) pair {
		a, b := part(i), part(i+1)
		return pair{
			realmclient.Embedded(map[string]any{"part": a.device, "parts": []any{b.device}, "n": realmclient.Int(int64(i))}),
			bson.D{{Key: "part", Value: a.stored}, {Key: "parts", Value: bson.A{b.stored}}, {Key: "n", Value: int64(i)}},
		}
	}
	return kind{mainTable, "embedded object", "Wholes", realmclient.Property{Type: "object", Target: "Whole"},
		[]pair{whole(0), whole(1)}, nil, nil, []any{5, bson.A{}, bson.D{{Key: "n", Value: "five"}}}}
}

// embeddedClasses are those of embeddedKind.
func embeddedClasses() []realmclient.Class {
	leaf := realmclient.Class{Name: "Leaf", Kind: "embedded"}
	for _, k := range scalarKinds {
		p := k.property
		p.Name = k.class
		leaf.Properties = append(leaf.Properties, p)
	}
	return []realmclient.Class{
		leaf,
		{Name: "Part", Kind: "embedded", Properties: []realmclient.Property{
			{Name: "one", Type: "object", Target: "Leaf"}, {Name: "none", Type: "object", Target: "Leaf"},
			{Name: "list", Type: "object", Target: "Leaf", Collection: "list"},
			{Name: "byName", Type: "object", Target: "Leaf", Collection: "dictionary"},
		}},
		{Name: "Whole", Kind: "embedded", Properties: []realmclient.Property{
			{Name: "n", Type: "int"}, {Name: "part", Type: "object", Target: "Part"},
			{Name: "parts", Type: "object", Target: "Part", Collection: "list"},
		}},
	}
}

// mixedKinds are the contents of mixed properties; database is that of links.
func mixedKinds(database string) []kind {
	mixed := realmclient.Property{Type: "mixed"}
	deep := pair{realmclient.Int(1), int64(1)}
	for i := range 20 {
		if i%2 == 0 {
			deep = pair{[]any{deep.device}, bson.A{deep.stored}}
		} else {
			deep = pair{realmclient.Dictionary(map[string]any{"d": deep.device}), bson.D{{Key: "d", Value: deep.stored}}}
		}
	}
	same := kind{mixedTable, "null, bool, string, date, double, decimal128, ObjectId, UUID", "MixedSame", mixed,
		[]pair{{nil, nil}}, []pair{{realmclient.Timestamp(1, 999_999), bson.DateTime(1000)}}, nil,
		[]any{regex, undefined, bson.JavaScript("1"), bson.Symbol("s"), bson.Timestamp{T: 1}, bson.MinKey{}, bson.MaxKey{}}}
	for _, k := range scalarKinds {
		if strings.Contains(same.row, k.row) && k.row != "int" {
			same.both = append(same.both, k.both...)
		}
	}
	ref := func(class string, id any) bson.D {
		return bson.D{{Key: "$ref", Value: class}, {Key: "$id", Value: id}, {Key: "$db", Value: database}}
	}
	link := kind{mixedTable, "link", "MixedLink", mixed, nil, nil,
		[]pair{{realmclient.Link("ByString", "key ü"), bson.D{{Key: "$ref", Value: "ByString"}, {Key: "$id", Value: "key ü"}}}}, nil}
	for _, key := range keyKinds {
		for _, k := range key.both {
			if k.device != nil {
				link.both = append(link.both, pair{realmclient.Link(key.class, k.device), ref(key.class, k.stored)})
			}
		}
	}
	return []kind{
		same,
		{mixedTable, "int", "MixedInt", mixed, []pair{{realmclient.Int(math.MinInt64), int64(math.MinInt64)}, {realmclient.Int(3), int64(3)}}, nil,
			[]pair{{realmclient.Int(4), int32(4)}}, nil},
		{mixedTable, "float", "MixedFloat", mixed, nil, []pair{{realmclient.Float(0.1), float64(float32(0.1))}, {realmclient.Float(-2.5), -2.5}},
			[]pair{{realmclient.Double(-2.5), -2.5}}, nil},
		{mixedTable, "data", "MixedData", mixed, []pair{{realmclient.Binary([]byte{9}), binary(0, 9)}, {realmclient.Binary(nil), binary(0)}}, nil,
			[]pair{{realmclient.Binary([]byte{1}), binary(0x80, 1)}, {realmclient.Binary(sampleBinary), binary(3, sampleBinary...)}}, nil},
		link,
		{mixedTable, "list", "MixedList", mixed, []pair{
			{[]any{}, bson.A{}}, {[]any{realmclient.Int(1), "two", nil, []any{true, []any{}}, realmclient.Dictionary(map[string]any{})},
				bson.A{int64(1), "two", nil, bson.A{true, bson.A{}}, bson.D{}}}, deep,
		}, nil, []pair{{[]any{realmclient.Int(1), realmclient.Double(1.5)}, bson.A{int32(1), 1.5}}}, []any{bson.A{regex}}},
		{mixedTable, "dictionary", "MixedDictionary", mixed, []pair{
			{realmclient.Dictionary(map[string]any{}), bson.D{}},
			{realmclient.Dictionary(map[string]any{"": "empty", "n": nil, "l": []any{realmclient.Int(1)}, "d": realmclient.Dictionary(map[string]any{"x": true})}),
				bson.D{{Key: "", Value: "empty"}, {Key: "n", Value: nil}, {Key: "l", Value: bson.A{int64(1)}}, {Key: "d", Value: bson.D{{Key: "x", Value: true}}}}},
		}, nil,
			[]pair{{realmclient.Dictionary(map[string]any{"ref": "no", "id": realmclient.Int(1)}), bson.D{{Key: "ref", Value: "no"}, {Key: "id", Value: int32(1)}}}},
			[]any{bson.D{{Key: "$x", Value: 1}}, bson.D{{Key: "a", Value: bson.D{{Key: "b.c", Value: 1}}}}}},
	}
}

// dictionaryKeys are names that need no escaping, though they look as if.
var dictionaryKeys = []string{"", "a", "0", "with space", "%24%2E", "größe", "x$y", "_id", "quote\"'"}

// shape is a row of the main table that other rows are elements of.
type shape struct {
	row  string // empty for the property itself
	name string // of the property
	of   func(kind) (kind, bool)
}

// shapes are what a class has of a kind: one, and collections, of elements that
// may be null where that is possible.
var shapes = []shape{
	{"", "one", one},
	{"", "optional", optional},
	{"list", "list", listOf},
	{"list", "listOptional", nullable(listOf)},
	{"set", "set", setOf},
	{"set", "setOptional", nullable(setOf)},
	{"dictionary", "dictionary", dictionaryOf},
	{"dictionary", "dictionaryOptional", nullable(dictionaryOf)},
}

// one is a value of the kind: null is not written into a new document, and devices
// keep the 0.0 of a new object where -0.0 is to take its place.
func one(k kind) (kind, bool) {
	bare := func(pairs []pair) []pair {
		var out []pair
		for _, p := range pairs {
			if p.stored == nil {
				p.stored = absent{}
			}
			if f, ok := p.stored.(float64); !ok || f != 0 || k.property.Type == "mixed" {
				out = append(out, p)
			}
		}
		return out
	}
	k.both, k.written = bare(k.both), bare(k.written)
	return k, true
}

// optional is the kind with null.
func optional(k kind) (kind, bool) {
	if t := k.property.Type; t == "mixed" {
		return k, false
	}
	k.property.Nullable = true
	k.both = append(slices.Clip(k.both), pair{nil, absent{}})
	return k, true
}

// nullable is the collection of elements that may be null.
func nullable(of func(kind) (kind, bool)) func(kind) (kind, bool) {
	return func(k kind) (kind, bool) {
		if k.property.Type == "object" || k.property.Type == "mixed" {
			return k, false
		}
		k.property.Nullable = true
		k.both = append(slices.Clip(k.both), pair{nil, nil})
		return of(k)
	}
}

// collectionOf is a collection of the kind's values: all of a way together, and
// none.
func collectionOf(k kind, collection string, make func([]pair) pair) kind {
	out := kind{property: k.property}
	out.property.Collection = collection
	if len(k.both) > 0 {
		out.both = []pair{make(k.both), make(k.both[:1])}
	}
	empty := make(nil)
	out.both = append(out.both, pair{empty.device, absent{}})
	if len(k.written) > 0 {
		out.written = []pair{make(k.written)}
	}
	if len(k.read) > 0 {
		out.read = []pair{make(k.read)}
	}
	for _, v := range k.unread {
		out.unread = append(out.unread, make([]pair{{nil, v}}).stored)
	}
	return out
}

func listOf(k kind) (kind, bool) {
	return collectionOf(k, "list", func(values []pair) pair {
		device, stored := []any{}, bson.A{}
		for _, v := range append(slices.Clip(values), values[:min(1, len(values))]...) {
			device, stored = append(device, v.device), append(stored, v.stored)
		}
		return pair{device, stored}
	}), true
}

func setOf(k kind) (kind, bool) {
	if k.property.Type == "object" && k.row == "embedded object" || k.table == mixedTable && (k.row == "list" || k.row == "dictionary") {
		return k, false
	}
	return collectionOf(k, "set", func(values []pair) pair {
		device, stored := []any{}, bson.A{}
		seenDevice, seenStored := map[string]bool{}, map[string]bool{}
		for _, v := range values {
			if d, ok := v.stored.(bson.Decimal128); ok && k.property.Type == "mixed" && slices.Contains([]string{"NaN", "Infinity", "-Infinity", "-0"}, d.String()) {
				continue // one with the double of the same value
			}
			if text := fmt.Sprint(v.device); !seenDevice[text] {
				seenDevice[text] = true
				device = append(device, v.device)
			}
			if text := fmt.Sprintf("%T %v", v.stored, v.stored); !seenStored[text] {
				seenStored[text] = true
				stored = append(stored, v.stored)
			}
		}
		return pair{realmclient.Set(device...), stored}
	}), true
}

func dictionaryOf(k kind) (kind, bool) {
	if k.property.Type == "object" { // an entry may be null
		k.both = append(slices.Clip(k.both), pair{nil, nil})
	}
	out := collectionOf(k, "dictionary", func(values []pair) pair {
		device, stored := map[string]any{}, bson.D{}
		for i, v := range values {
			key := dictionaryKeys[i%len(dictionaryKeys)] + strings.Repeat("+", i/len(dictionaryKeys))
			device[key] = v.device
			stored = append(stored, bson.E{Key: key, Value: v.stored})
		}
		return pair{realmclient.Dictionary(device), stored}
	})
	out.unread = append(out.unread, bson.D{{Key: "$key", Value: nil}}, bson.D{{Key: "with.dot", Value: nil}})
	return out, true
}

// typeKinds are all kinds that properties are made of.
func typeKinds(database string) []kind {
	return slices.Concat(scalarKinds, linkKinds(), []kind{embeddedKind()}, mixedKinds(database))
}

// typeProperty is a property of a kind's class, and its values.
type typeProperty struct {
	name string
	kind
}

// propertiesOf are those of a kind's class.
func propertiesOf(k kind) []typeProperty {
	var out []typeProperty
	for _, s := range shapes {
		if of, ok := s.of(k); ok && !(k.property.Type == "object" && s.name == "optional") {
			out = append(out, typeProperty{s.name, of})
		}
	}
	return out
}

// typesSchema is a class for each kind, and for each type of key.
func typesSchema() []realmclient.Class {
	schema := embeddedClasses()
	for _, key := range keyKinds {
		id := key.property
		id.Name, id.PrimaryKey = "_id", true
		schema = append(schema, realmclient.Class{Name: key.class, Properties: []realmclient.Property{id, {Name: "n", Type: "int"}}})
	}
	for _, k := range typeKinds("") {
		class := realmclient.Class{Name: k.class, Properties: []realmclient.Property{{Name: "_id", Type: "int", PrimaryKey: true}}}
		for _, p := range propertiesOf(k) {
			property := p.property
			property.Name = p.name
			class.Properties = append(class.Properties, property)
		}
		schema = append(schema, class)
	}
	return schema
}

// testedRows are the rows of the tables in docs/types.md that these kinds are.
func testedRows() map[string][]string {
	rows := map[string]map[string]bool{}
	add := func(table, row string) {
		if rows[table] == nil {
			rows[table] = map[string]bool{}
		}
		rows[table][row] = true
	}
	for _, k := range slices.Concat(typeKinds(""), keyKinds) {
		add(k.table, k.row)
		if k.property.Type == "mixed" {
			add(mainTable, "mixed")
		}
	}
	for _, s := range shapes {
		if s.row != "" {
			add(mainTable, s.row)
		}
	}
	for _, n := range nullCases {
		add(nullTable, n.row)
	}
	out := map[string][]string{}
	for table, set := range rows {
		out[table] = slices.Sorted(maps.Keys(set))
	}
	return out
}
