package translator

import (
	"fmt"
	"math"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Random schemas and objects of them. Every schema has the class T under test,
// its link targets K_… (one for each type of key) and a chain of embedded
// classes E0, E1, E2.

var scalarTypes = []changeset.Type{
	changeset.Int, changeset.Bool, changeset.String, changeset.Binary, changeset.Timestamp,
	changeset.Float, changeset.Double, changeset.Decimal, changeset.ObjectID, changeset.UUID,
}

var keyTypes = []changeset.Type{changeset.Int, changeset.String, changeset.ObjectID, changeset.UUID}

var collections = []changeset.Collection{changeset.Single, changeset.ListOf, changeset.SetOf, changeset.DictionaryOf}

const embeddedClasses = 3

func genSchema(t *rapid.T) *schema.Schema {
	s := &schema.Schema{Classes: map[string]*schema.Class{}}
	for i, kt := range keyTypes {
		name := fmt.Sprintf("K_%d", kt)
		s.Classes[name] = &schema.Class{Name: name, KeyType: kt, KeyNullable: i%2 == 0, Collection: "things_" + name}
	}
	for i := embeddedClasses - 1; i >= 0; i-- {
		name := fmt.Sprintf("E%d", i)
		s.Classes[name] = &schema.Class{Name: name, Kind: changeset.Embedded, Properties: genProperties(t, s, i+1)}
	}
	s.Classes["T"] = &schema.Class{Name: "T", KeyType: changeset.ObjectID, Properties: genProperties(t, s, 0)}
	return s
}

// genProperties draws the properties of a class that may embed E<first> and up.
func genProperties(t *rapid.T, s *schema.Schema, first int) map[string]*schema.Property {
	out := map[string]*schema.Property{}
	for i := range rapid.IntRange(1, 7).Draw(t, "properties") {
		p := genProperty(t, s, first)
		p.Name = fmt.Sprintf("p%d", i)
		if first > 0 && i == 3 {
			p.Name = "_id" // embedded classes have no key, but may have such a property
		}
		out[p.Name] = p
	}
	return out
}

func genProperty(t *rapid.T, s *schema.Schema, first int) *schema.Property {
	p := &schema.Property{Collection: rapid.SampledFrom(collections).Draw(t, "collection")}
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case kind < 5:
		p.Type = rapid.SampledFrom(scalarTypes).Draw(t, "type")
		p.Nullable = rapid.Bool().Draw(t, "nullable")
		p.Int32 = p.Type == changeset.Int && rapid.Bool().Draw(t, "int32")
	case kind < 7:
		p.Type, p.Nullable = changeset.Mixed, true
	case kind < 8 || first == embeddedClasses:
		p.Type, p.Target = changeset.Link, fmt.Sprintf("K_%d", rapid.SampledFrom(keyTypes).Draw(t, "target"))
		p.Nullable = p.AcceptsNull()
	default:
		p.Type, p.Target = changeset.Link, fmt.Sprintf("E%d", rapid.IntRange(first, embeddedClasses-1).Draw(t, "embedded"))
		if p.Collection == changeset.SetOf {
			p.Collection = changeset.ListOf
		}
		p.Nullable = p.AcceptsNull()
	}
	return p
}

func genObject(t *rapid.T, s *schema.Schema, c *schema.Class) *object.Object {
	o := &object.Object{Fields: map[string]object.Node{}}
	for _, name := range c.PropertyNames() {
		if rapid.IntRange(0, 3).Draw(t, "absent") > 0 {
			o.Fields[name] = genNode(t, s, c.Properties[name])
		}
	}
	return o
}

// genNode draws what a property holds.
func genNode(t *rapid.T, s *schema.Schema, p *schema.Property) object.Node {
	n := rapid.IntRange(0, 4)
	switch p.Collection {
	case changeset.ListOf:
		list := &object.List{}
		for range n.Draw(t, "items") {
			list.Items = append(list.Items, genElement(t, s, p))
		}
		return list
	case changeset.SetOf:
		set := &object.Set{}
		seen := map[changeset.Value]bool{}
		for range n.Draw(t, "items") {
			v := genElement(t, s, p).(changeset.Value)
			if id := object.SetIdentity(v, p.Type == changeset.Mixed); !seen[id] {
				seen[id] = true
				set.Items = append(set.Items, v)
			}
		}
		return set
	case changeset.DictionaryOf:
		d := &object.Dictionary{Entries: map[string]object.Node{}}
		for range n.Draw(t, "entries") {
			d.Entries[genDictionaryKey(t)] = genElement(t, s, p)
		}
		return d
	}
	return genElement(t, s, p)
}

func genDictionaryKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "0", "1", "c d", "ä", "_id", "", "a$", "A"}).Draw(t, "key")
}

func genElement(t *rapid.T, s *schema.Schema, p *schema.Property) object.Node {
	switch {
	case p.Type == changeset.Mixed && p.Collection != changeset.SetOf:
		return genMixed(t, s, 3)
	case s.IsEmbedded(p):
		if p.AcceptsNull() && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			return changeset.NullValue()
		}
		return genObject(t, s, s.Class(p.Target))
	}
	return genValue(t, s, p)
}

func genMixed(t *rapid.T, s *schema.Schema, depth int) object.Node {
	switch kind := rapid.IntRange(0, 9).Draw(t, "mixed"); {
	case kind == 0 && depth > 0:
		list := &object.List{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list.Items = append(list.Items, genMixed(t, s, depth-1))
		}
		return list
	case kind == 1 && depth > 0:
		d := &object.Dictionary{Entries: map[string]object.Node{}}
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			d.Entries[genDictionaryKey(t)] = genMixed(t, s, depth-1)
		}
		return d
	}
	return genValue(t, s, schema.MixedElement)
}

// genValue draws a scalar, a link or null for the property.
func genValue(t *rapid.T, s *schema.Schema, p *schema.Property) changeset.Value {
	if p.AcceptsNull() && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return changeset.NullValue()
	}
	switch p.Type {
	case changeset.Mixed:
		if rapid.IntRange(0, 6).Draw(t, "link") == 0 {
			return genLink(t, s.Class(fmt.Sprintf("K_%d", rapid.SampledFrom(keyTypes).Draw(t, "target"))))
		}
		return genScalar(t, rapid.SampledFrom(scalarTypes).Draw(t, "type"), false)
	case changeset.Link:
		return genLink(t, s.Class(p.Target))
	}
	return genScalar(t, p.Type, p.Int32)
}

func genLink(t *rapid.T, c *schema.Class) changeset.Value {
	if c.KeyNullable && rapid.IntRange(0, 5).Draw(t, "null key") == 0 {
		return changeset.LinkValue(c.Name, changeset.NullKey)
	}
	return changeset.LinkValue(c.Name, genKey(t, c.KeyType))
}

func genKey(t *rapid.T, kt changeset.Type) changeset.Key {
	switch kt {
	case changeset.Int:
		return changeset.IntKey(rapid.Int64().Draw(t, "key"))
	case changeset.String:
		return changeset.StringKey(rapid.StringN(0, 5, -1).Draw(t, "key"))
	case changeset.ObjectID:
		return changeset.ObjectIDKey([12]byte{0: 1, 11: rapid.Byte().Draw(t, "key")})
	}
	return changeset.UUIDKey([16]byte{0: 1, 15: rapid.Byte().Draw(t, "key")})
}

func genScalar(t *rapid.T, typ changeset.Type, int32only bool) changeset.Value {
	switch typ {
	case changeset.Int:
		if int32only {
			return changeset.IntValue(int64(rapid.Int32().Draw(t, "int")))
		}
		return changeset.IntValue(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2)).Draw(t, "int"))
	case changeset.Bool:
		return changeset.BoolValue(rapid.Bool().Draw(t, "bool"))
	case changeset.String:
		return changeset.StringValue(rapid.SampledFrom([]string{"", "a", "b", "ä\x00z", "$x.y", "a\xffb"}).Draw(t, "string"))
	case changeset.Binary:
		return changeset.BinaryValue(rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "binary"))
	case changeset.Timestamp:
		return genTimestamp(t)
	case changeset.Float:
		return changeset.FloatValue(rapid.OneOf(rapid.Float32(), rapid.SampledFrom([]float32{
			0, float32(math.Copysign(0, -1)), 1, 0.1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32,
		})).Draw(t, "float"))
	case changeset.Double:
		return changeset.DoubleValue(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), 1, 0.1, -1 << 63, 1 << 63, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64,
		})).Draw(t, "double"))
	case changeset.Decimal:
		return genDecimal(t)
	case changeset.ObjectID:
		return changeset.ObjectIDValue([12]byte{11: rapid.Byte().Draw(t, "objectid")})
	case changeset.UUID:
		return changeset.UUIDValue([16]byte{15: rapid.Byte().Draw(t, "uuid")})
	}
	panic(fmt.Sprintf("no scalars of type %d", typ))
}

func genTimestamp(t *rapid.T) changeset.Value {
	nanos := rapid.SampledFrom([]int32{0, 1, 999_999, 1_000_000, 1_000_001, 999_999_999}).Draw(t, "nanos")
	seconds := rapid.OneOf(rapid.Int64Range(0, 2), rapid.Int64Range(0, math.MaxInt64/1000-1)).Draw(t, "seconds")
	if rapid.Bool().Draw(t, "before 1970") {
		return changeset.TimestampValue(-seconds, -nanos)
	}
	return changeset.TimestampValue(seconds, nanos)
}

func genDecimal(t *rapid.T) changeset.Value {
	negative := rapid.Bool().Draw(t, "negative")
	switch rapid.IntRange(0, 9).Draw(t, "decimal") {
	case 0:
		return changeset.DecimalValue(0, 0, changeset.DecimalNaN, negative)
	case 1:
		return changeset.DecimalValue(0, 0, changeset.DecimalInfinity, negative)
	case 2:
		return changeset.DecimalValue(rapid.Uint64Range(0, 1<<49-1).Draw(t, "high"), rapid.Uint64().Draw(t, "low"),
			rapid.Int32Range(-6176, 6111).Draw(t, "exponent"), negative)
	}
	return changeset.DecimalValue(0, rapid.SampledFrom([]uint64{0, 1, 10, 125, 1250}).Draw(t, "low"), rapid.Int32Range(-3, 3).Draw(t, "exponent"), negative)
}
