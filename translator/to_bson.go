package translator

import (
	"math"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// NewDocument is Mapping{}.NewDocument.
func NewDocument(s *schema.Schema, c *schema.Class, key changeset.Key, o *object.Object) (bson.Raw, error) {
	return Mapping{}.NewDocument(s, c, key, o)
}

// NewDocument returns the document of a new object: its _id, the required
// properties (the zero of their type where the object has none), the optional
// ones that are not null and the collections that are not empty, by name. The
// error is a *RefusedValue.
func (m Mapping) NewDocument(s *schema.Schema, c *schema.Class, key changeset.Key, o *object.Object) (bson.Raw, error) {
	mp := mapper{m, s}
	doc, r := mp.newDocument(c, KeyToBSON(key), o)
	if r != nil {
		return nil, r
	}
	return doc, nil
}

func (m *mapper) newDocument(c *schema.Class, id bson.RawValue, o *object.Object) (bson.Raw, *RefusedValue) {
	start, dst := openDocument(make([]byte, 0, 256))
	dst = appendRawElement(dst, schema.KeyField, id)
	dst, r := m.appendFields(dst, c, o)
	return closeDocument(dst, start), r
}

// appendFields appends the fields of an object that a new document has.
func (m *mapper) appendFields(dst []byte, c *schema.Class, o *object.Object) ([]byte, *RefusedValue) {
	for _, name := range c.PropertyNames() {
		p := c.Properties[name]
		var node object.Node
		if o != nil {
			node = o.Fields[name]
		}
		if isInitial(p, node) && !requiresValue(p) {
			continue
		}
		if node == nil {
			node = object.Initial(p)
		}
		var r *RefusedValue
		if dst, r = m.appendElement(dst, p, name, node); r != nil {
			return dst, r.below(name)
		}
	}
	return dst, nil
}

// appendElement appends the element "name: node".
func (m *mapper) appendElement(dst []byte, p *schema.Property, name string, node object.Node) ([]byte, *RefusedValue) {
	at := len(dst)
	t, dst, r := m.appendNode(appendHeader(dst, 0, name), p, node)
	if r != nil {
		return dst, r
	}
	dst[at] = byte(t)
	return dst, nil
}

// appendNode appends what a property holds, or one element of it, as the bytes
// of a BSON value, and returns their type.
func (m *mapper) appendNode(dst []byte, p *schema.Property, node object.Node) (bson.Type, []byte, *RefusedValue) {
	switch n := node.(type) {
	case changeset.Value:
		return m.appendValue(dst, p, n)
	case *object.Object:
		c := m.schema.Class(p.Target)
		if c == nil {
			return 0, dst, refused("the schema has no class %q", p.Target)
		}
		start, dst := openDocument(dst)
		dst, r := m.appendFields(dst, c, n)
		return bson.TypeEmbeddedDocument, closeDocument(dst, start), r
	case *object.List:
		start, dst := openDocument(dst)
		for i, item := range n.Items {
			var r *RefusedValue
			if dst, r = m.appendElement(dst, p, strconv.Itoa(i), item); r != nil {
				return 0, dst, r.below(strconv.Itoa(i))
			}
		}
		return bson.TypeArray, closeDocument(dst, start), nil
	case *object.Set:
		return m.appendSet(dst, p, n)
	case *object.Dictionary:
		return m.appendDictionary(dst, p, n)
	}
	return bson.TypeNull, dst, nil
}

// appendSet appends a set as an array. Elements that a document can't tell
// apart are written once.
func (m *mapper) appendSet(dst []byte, p *schema.Property, set *object.Set) (bson.Type, []byte, *RefusedValue) {
	seen := make(map[changeset.Value]bool, len(set.Items))
	start, dst := openDocument(dst)
	for _, v := range set.Items {
		id := setIdentity(p, v)
		if seen[id] {
			continue
		}
		step := strconv.Itoa(len(seen))
		seen[id] = true
		var r *RefusedValue
		if dst, r = m.appendElement(dst, p, step, v); r != nil {
			return 0, dst, r.below(step)
		}
	}
	return bson.TypeArray, closeDocument(dst, start), nil
}

func (m *mapper) appendDictionary(dst []byte, p *schema.Property, d *object.Dictionary) (bson.Type, []byte, *RefusedValue) {
	keys := make([]string, 0, len(d.Entries))
	for key := range d.Entries {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	start, dst := openDocument(dst)
	for _, key := range keys {
		if err := schema.CheckKeyName(key); err != nil {
			return 0, dst, refused("%v", err)
		}
		var r *RefusedValue
		if dst, r = m.appendElement(dst, p, key, d.Entries[key]); r != nil {
			return 0, dst, r.below(key)
		}
	}
	return bson.TypeEmbeddedDocument, closeDocument(dst, start), nil
}

// appendValue appends a scalar, a link or null as the property stores it.
func (m *mapper) appendValue(dst []byte, p *schema.Property, v changeset.Value) (bson.Type, []byte, *RefusedValue) {
	switch v.Type {
	case changeset.Null:
		return bson.TypeNull, dst, nil
	case changeset.Int:
		if !p.Int32 {
			return bson.TypeInt64, bsoncore.AppendInt64(dst, v.Num), nil
		}
		if v.Num < math.MinInt32 || v.Num > math.MaxInt32 {
			return 0, dst, refused("%d is beyond the 32 bits that the schema gives this integer", v.Num)
		}
		return bson.TypeInt32, bsoncore.AppendInt32(dst, int32(v.Num)), nil
	case changeset.Bool:
		return bson.TypeBoolean, bsoncore.AppendBoolean(dst, v.Bool()), nil
	case changeset.String:
		return bson.TypeString, bsoncore.AppendString(dst, v.Str), nil
	case changeset.Binary:
		return bson.TypeBinary, bsoncore.AppendBinary(dst, bson.TypeBinaryGeneric, []byte(v.Str)), nil
	case changeset.Timestamp:
		ms, ok := millisecondsOf(v)
		if !ok {
			return 0, dst, refused("the date %d s since 1970 is beyond what a BSON date holds", v.Num)
		}
		return bson.TypeDateTime, bsoncore.AppendDateTime(dst, ms), nil
	case changeset.Float:
		return bson.TypeDouble, bsoncore.AppendDouble(dst, float64(v.Float32())), nil
	case changeset.Double:
		return bson.TypeDouble, bsoncore.AppendDouble(dst, v.Float64()), nil
	case changeset.Decimal:
		high, low, ok := decimalBits(v)
		if !ok {
			return 0, dst, refused("the decimal with exponent %d is beyond what a BSON decimal holds", v.Nanos)
		}
		return bson.TypeDecimal128, bsoncore.AppendDecimal128(dst, high, low), nil
	case changeset.ObjectID:
		return bson.TypeObjectID, append(dst, v.Str...), nil
	case changeset.UUID:
		return bson.TypeBinary, bsoncore.AppendBinary(dst, bson.TypeBinaryUUID, []byte(v.Str)), nil
	case changeset.Link:
		if p.Type == changeset.Mixed {
			return m.appendReference(dst, v)
		}
		t, dst := appendKeyValue(dst, v.Key)
		return t, dst, nil
	}
	return 0, dst, refused("a value of type %d can't stand in a document", v.Type)
}

// rawOf is appendNode on its own.
func (m *mapper) rawOf(p *schema.Property, node object.Node) (bson.RawValue, *RefusedValue) {
	t, b, r := m.appendNode(nil, p, node)
	return bson.RawValue{Type: t, Value: b}, r
}
