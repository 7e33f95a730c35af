package translator

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// maxExactInt is the largest magnitude at which every integer is a double.
const maxExactInt = 1 << 53

// KeyFromBSON reads a document's _id, or a link to it, as a key of the class.
// Any BSON number that is an integer makes an int key, since MongoDB holds 1
// and 1.0 for the same _id. The error is an *Unsynced with an empty path.
func KeyFromBSON(c *schema.Class, v bson.RawValue) (changeset.Key, error) {
	k, u := readKey(c, v)
	if u != nil {
		return changeset.Key{}, u
	}
	return k, nil
}

func readKey(c *schema.Class, v bson.RawValue) (changeset.Key, *Unsynced) {
	if v.Type == bson.TypeNull && c.KeyNullable {
		return changeset.NullKey, nil
	}
	switch c.KeyType {
	case changeset.Int:
		switch v.Type {
		case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128:
			n, u := readInt(v)
			return changeset.IntKey(n), u
		}
	case changeset.String:
		if v.Type == bson.TypeString {
			if s, _, ok := bsoncore.ReadString(v.Value); ok {
				return changeset.StringKey(s), nil
			}
			return changeset.Key{}, broken(v)
		}
	case changeset.ObjectID:
		if v.Type == bson.TypeObjectID && len(v.Value) == 12 {
			return changeset.ObjectIDKey([12]byte(v.Value)), nil
		}
	case changeset.UUID:
		if subtype, b, ok := readBinary(v); ok && subtype == bson.TypeBinaryUUID && len(b) == 16 {
			return changeset.UUIDKey([16]byte(b)), nil
		}
	}
	return changeset.Key{}, &Unsynced{Expected: keyTypeName(c), Found: typeName(v)}
}

// documentKey is the key by which the history knows the document with that _id:
// a stray one where the _id can't be a key of the class.
func documentKey(c *schema.Class, id bson.RawValue) changeset.Key {
	k, u := readKey(c, id)
	if u != nil {
		return history.StrayKey(id)
	}
	return k
}

// documentID is the _id to look for a document by.
func documentID(k changeset.Key) bson.RawValue {
	if id, stray := history.StrayID(k); stray {
		return id
	}
	return KeyToBSON(k)
}

func keyTypeName(c *schema.Class) string {
	name := expectedName(c.KeyType)
	if c.KeyNullable {
		name += " or null"
	}
	return name
}

// KeyToBSON returns the _id a key is written as: int64 for integers, binary
// subtype 4 for UUIDs. (A GlobalKey, which no synced class has, comes out as
// its sixteen bytes.)
func KeyToBSON(k changeset.Key) bson.RawValue {
	t, b := appendKeyValue(nil, k)
	return bson.RawValue{Type: t, Value: b}
}

// AppendKey appends the element "name: key" to a document under construction.
// The name holds no NUL.
func AppendKey(dst []byte, name string, k changeset.Key) []byte {
	at := len(dst)
	dst = appendHeader(dst, 0, name)
	t, dst := appendKeyValue(dst, k)
	dst[at] = byte(t)
	return dst
}

func appendKeyValue(dst []byte, k changeset.Key) (bson.Type, []byte) {
	switch k.Type {
	case changeset.Int:
		return bson.TypeInt64, bsoncore.AppendInt64(dst, k.Int)
	case changeset.String:
		return bson.TypeString, bsoncore.AppendString(dst, k.Str)
	case changeset.ObjectID:
		return bson.TypeObjectID, append(dst, k.Str...)
	case changeset.UUID:
		return bson.TypeBinary, bsoncore.AppendBinary(dst, bson.TypeBinaryUUID, []byte(k.Str))
	case changeset.GlobalKey:
		return bson.TypeBinary, bsoncore.AppendBinary(dst, bson.TypeBinaryGeneric, []byte(k.Str))
	}
	return bson.TypeNull, dst
}

// integral returns the integer a double stands for exactly, within ±2^53.
func integral(f float64) (int64, bool) {
	if f != math.Trunc(f) || math.Abs(f) > maxExactInt {
		return 0, false
	}
	return int64(f), true
}
