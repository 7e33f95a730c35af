package translator

import (
	"encoding/binary"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
)

// readScalar reads a BSON value as exactly the type of a property that is
// neither mixed nor a link. Numbers of other widths are taken where nothing is
// lost, since drivers choose the width by the value and not by the schema.
func readScalar(t changeset.Type, v bson.RawValue) (changeset.Value, *Unsynced) {
	switch t {
	case changeset.Int:
		n, u := readInt(v)
		return changeset.IntValue(n), u
	case changeset.Double:
		f, u := readDouble(v)
		return changeset.DoubleValue(f), u
	case changeset.Float:
		f, u := readFloat(v)
		return changeset.FloatValue(f), u
	case changeset.Decimal:
		return readDecimal(v)
	case changeset.Bool:
		if v.Type == bson.TypeBoolean && len(v.Value) == 1 {
			return changeset.BoolValue(v.Value[0] != 0), nil
		}
	case changeset.String:
		if v.Type == bson.TypeString {
			s, _, ok := bsoncore.ReadString(v.Value)
			if !ok {
				return changeset.Value{}, broken(v)
			}
			return changeset.StringValue(s), nil
		}
	case changeset.Timestamp:
		if v.Type == bson.TypeDateTime && len(v.Value) == 8 {
			return timestampOf(int64(binary.LittleEndian.Uint64(v.Value))), nil
		}
	case changeset.ObjectID:
		if v.Type == bson.TypeObjectID && len(v.Value) == 12 {
			return changeset.ObjectIDValue([12]byte(v.Value)), nil
		}
	case changeset.Binary:
		if subtype, b, ok := readBinary(v); ok && subtype != bson.TypeBinaryUUID && subtype != bson.TypeBinaryUUIDOld {
			return changeset.BinaryValue(b), nil
		}
	case changeset.UUID:
		if subtype, b, ok := readBinary(v); ok && subtype == bson.TypeBinaryUUID && len(b) == 16 {
			return changeset.UUIDValue([16]byte(b)), nil
		}
	}
	return changeset.Value{}, &Unsynced{Expected: expectedName(t), Found: typeName(v)}
}

// expectedName is the bsonType that a schema file has for the type.
func expectedName(t changeset.Type) string {
	switch t {
	case changeset.Int:
		return "long"
	case changeset.Bool:
		return "bool"
	case changeset.String:
		return "string"
	case changeset.Binary:
		return "binData"
	case changeset.Timestamp:
		return "date"
	case changeset.Float:
		return "float"
	case changeset.Double:
		return "double"
	case changeset.Decimal:
		return "decimal"
	case changeset.ObjectID:
		return "objectId"
	case changeset.UUID:
		return "uuid"
	}
	return "mixed"
}

// broken is the error for bytes that are no value of the type they claim.
func broken(v bson.RawValue) *Unsynced {
	return &Unsynced{Expected: "well-formed BSON", Found: "a broken " + typeName(v)}
}

func readInt(v bson.RawValue) (int64, *Unsynced) {
	switch {
	case v.Type == bson.TypeInt32 && len(v.Value) == 4:
		return int64(int32(binary.LittleEndian.Uint32(v.Value))), nil
	case v.Type == bson.TypeInt64 && len(v.Value) == 8:
		return int64(binary.LittleEndian.Uint64(v.Value)), nil
	case v.Type == bson.TypeDouble && len(v.Value) == 8:
		if n, ok := integral(math.Float64frombits(binary.LittleEndian.Uint64(v.Value))); ok {
			return n, nil
		}
	case v.Type == bson.TypeDecimal128 && len(v.Value) == 16:
		d, _ := readDecimal(v)
		if n, ok := decimalToInt(d); ok {
			return n, nil
		}
	default:
		return 0, &Unsynced{Expected: "long", Found: typeName(v)}
	}
	return 0, &Unsynced{Expected: "long", Found: typeName(v), Reason: "it is not an integer that fits exactly"}
}

func readDouble(v bson.RawValue) (float64, *Unsynced) {
	switch {
	case v.Type == bson.TypeDouble && len(v.Value) == 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.Value)), nil
	case v.Type == bson.TypeInt32, v.Type == bson.TypeInt64:
		n, u := readInt(v)
		if u != nil {
			return 0, u
		}
		// 2^63 is a double but no int64: converting it back would overflow.
		if f := float64(n); f < 1<<63 && int64(f) == n {
			return f, nil
		}
		return 0, &Unsynced{Expected: "double", Found: typeName(v), Reason: "it is an integer that no double holds exactly"}
	}
	return 0, &Unsynced{Expected: "double", Found: typeName(v)}
}

func readFloat(v bson.RawValue) (float32, *Unsynced) {
	switch {
	case v.Type == bson.TypeDouble && len(v.Value) == 8:
		f := math.Float64frombits(binary.LittleEndian.Uint64(v.Value))
		if narrow := float32(f); !math.IsInf(float64(narrow), 0) || math.IsInf(f, 0) {
			return narrow, nil
		}
		return 0, &Unsynced{Expected: "float", Found: typeName(v), Reason: "it is beyond the range of a float"}
	case v.Type == bson.TypeInt32, v.Type == bson.TypeInt64:
		n, u := readInt(v)
		return float32(n), u
	}
	return 0, &Unsynced{Expected: "float", Found: typeName(v)}
}

func readDecimal(v bson.RawValue) (changeset.Value, *Unsynced) {
	switch {
	case v.Type == bson.TypeDecimal128 && len(v.Value) == 16:
		return decimalFromBits(binary.LittleEndian.Uint64(v.Value[8:]), binary.LittleEndian.Uint64(v.Value)), nil
	case v.Type == bson.TypeDouble && len(v.Value) == 8:
		return decimalFromDouble(math.Float64frombits(binary.LittleEndian.Uint64(v.Value))), nil
	case v.Type == bson.TypeInt32, v.Type == bson.TypeInt64:
		n, u := readInt(v)
		return decimalFromInt(n), u
	}
	return changeset.Value{}, &Unsynced{Expected: "decimal", Found: typeName(v)}
}

func readBinary(v bson.RawValue) (subtype byte, b []byte, ok bool) {
	if v.Type != bson.TypeBinary {
		return 0, nil, false
	}
	subtype, b, _, ok = bsoncore.ReadBinary(v.Value)
	return subtype, b, ok
}

// timestampOf splits milliseconds since 1970 into seconds and nanoseconds of
// one sign, as a Timestamp demands.
func timestampOf(ms int64) changeset.Value {
	return changeset.TimestampValue(ms/1000, int32(ms%1000)*1_000_000)
}

// millisecondsOf truncates a Timestamp toward zero to what a BSON date holds;
// ok is false when it lies beyond.
func millisecondsOf(v changeset.Value) (ms int64, ok bool) {
	const limit = math.MaxInt64 / 1000
	part := int64(v.Nanos) / 1_000_000
	if v.Num > limit || v.Num < -limit {
		return 0, false
	}
	ms = v.Num * 1000
	if part > 0 && ms > math.MaxInt64-part || part < 0 && ms < math.MinInt64-part {
		return 0, false
	}
	return ms + part, true
}
