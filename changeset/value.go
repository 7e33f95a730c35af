package changeset

import "math"

// Type is the code space shared by payloads, primary keys and columns.
type Type int8

// The types, with their wire codes. Null as a column type means Mixed.
const (
	Null        Type = 0
	Int         Type = 1
	Bool        Type = 2
	String      Type = 3
	Binary      Type = 4
	Timestamp   Type = 5
	Float       Type = 6
	Double      Type = 7
	Decimal     Type = 8
	Link        Type = 9
	ObjectID    Type = 10
	UUID        Type = 11
	GlobalKey   Type = -1 // only as a primary key
	ObjectValue Type = -2 // payload: create the embedded object here
	Dictionary  Type = -3 // payload: make this Mixed a dictionary
	Erased      Type = -4 // payload: remove this dictionary key
	List        Type = -5 // payload: make this Mixed a list
	Set         Type = -6 // parses, but can never be applied
)

// Mixed is the column type of properties that hold any value.
const Mixed = Null

// Key is a primary key. It is comparable, and two keys are equal exactly when
// type and value are: int 1 is not string "1", null is not the empty string.
type Key struct {
	Type Type   // Null, Int, String, ObjectID, UUID, GlobalKey
	Int  int64  // of Int
	Str  string // text of String; raw bytes of ObjectID (12), UUID (16), GlobalKey (hi and lo, big-endian, 16)
}

// IntKey, StringKey, ObjectIDKey and UUIDKey make primary keys; NullKey is the null one.
func IntKey(v int64) Key         { return Key{Type: Int, Int: v} }
func StringKey(s string) Key     { return Key{Type: String, Str: s} }
func ObjectIDKey(b [12]byte) Key { return Key{Type: ObjectID, Str: string(b[:])} }
func UUIDKey(b [16]byte) Key     { return Key{Type: UUID, Str: string(b[:])} }

// NullKey is the null primary key.
var NullKey = Key{Type: Null}

// Value is a payload. It is comparable: == is equality by type and content
// (doubles and floats by their bits).
type Value struct {
	Type  Type
	Nanos int32  // Timestamp: nanoseconds, of the sign of the seconds. Decimal: exponent
	Num   int64  // Int; Bool (0, 1); Timestamp: seconds since 1970. Float, Double: IEEE bits. Decimal: low 64 bits of the coefficient
	High  uint64 // Decimal: the coefficient's high bits, and the sign in the top bit
	Str   string // String; Binary, ObjectID, UUID: raw bytes. Link: the target's class
	Key   Key    // Link: the target's primary key
}

// Constructors of payloads.
func NullValue() Value               { return Value{} }
func IntValue(v int64) Value         { return Value{Type: Int, Num: v} }
func StringValue(s string) Value     { return Value{Type: String, Str: s} }
func BinaryValue(b []byte) Value     { return Value{Type: Binary, Str: string(b)} }
func FloatValue(f float32) Value     { return Value{Type: Float, Num: int64(math.Float32bits(f))} }
func DoubleValue(f float64) Value    { return Value{Type: Double, Num: int64(math.Float64bits(f))} }
func ObjectIDValue(b [12]byte) Value { return Value{Type: ObjectID, Str: string(b[:])} }
func UUIDValue(b [16]byte) Value     { return Value{Type: UUID, Str: string(b[:])} }

// BoolValue makes a Bool payload.
func BoolValue(b bool) Value {
	if b {
		return Value{Type: Bool, Num: 1}
	}
	return Value{Type: Bool}
}

// TimestampValue makes a Timestamp payload. Seconds count from 1970; nanoseconds
// are below 10^9 in magnitude and of the same sign as the seconds, or one is zero.
func TimestampValue(seconds int64, nanos int32) Value {
	return Value{Type: Timestamp, Num: seconds, Nanos: nanos}
}

// LinkValue makes a Link payload.
func LinkValue(class string, key Key) Value { return Value{Type: Link, Str: class, Key: key} }

// SpecialValue makes one of the payloads without content: ObjectValue,
// Dictionary, Erased, List, Set.
func SpecialValue(t Type) Value { return Value{Type: t} }

const decimalSign = 1 << 63

// Exponents that stand for the decimals that are no numbers.
const (
	DecimalInfinity = 9184
	DecimalNaN      = 9696
)

// DecimalValue makes a Decimal payload of (-1)^negative × (high·2^64 + low) × 10^exponent.
// The coefficient is below 2^113, and its trailing zeros count.
func DecimalValue(high, low uint64, exponent int32, negative bool) Value {
	if negative {
		high |= decimalSign
	}
	return Value{Type: Decimal, Num: int64(low), High: high, Nanos: exponent}
}

// Bool, Float32, Float64, Decimal and Target read the payloads of those types.
func (v Value) Bool() bool       { return v.Num != 0 }
func (v Value) Float32() float32 { return math.Float32frombits(uint32(v.Num)) }
func (v Value) Float64() float64 { return math.Float64frombits(uint64(v.Num)) }

// Decimal returns the parts of a Decimal payload, as DecimalValue takes them.
func (v Value) Decimal() (high, low uint64, exponent int32, negative bool) {
	return v.High &^ decimalSign, uint64(v.Num), v.Nanos, v.High&decimalSign != 0
}

// Target returns the object that a Link payload names.
func (v Value) Target() ObjectRef { return ObjectRef{v.Str, v.Key} }

// IsNull reports whether the payload is null.
func (v Value) IsNull() bool { return v.Type == Null }
