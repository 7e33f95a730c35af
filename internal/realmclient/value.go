package realmclient

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// Int is a value of type int.
func Int(n int64) any { return tagged("$int", strconv.FormatInt(n, 10)) }

// Float is a value of type float.
func Float(f float32) any {
	return tagged("$float", strconv.FormatFloat(float64(f), 'g', -1, 32))
}

// Double is a value of type double.
func Double(f float64) any { return tagged("$double", strconv.FormatFloat(f, 'g', -1, 64)) }

// Decimal is a value of type decimal128, such as "1.50" or "-1E+10".
func Decimal(s string) any { return tagged("$decimal", s) }

// Binary is a value of type data.
func Binary(b []byte) any { return tagged("$binary", base64.StdEncoding.EncodeToString(b)) }

// Timestamp is a value of type timestamp; both numbers have the same sign.
func Timestamp(seconds int64, nanoseconds int32) any {
	return tagged("$ts", []any{
		json.Number(strconv.FormatInt(seconds, 10)),
		json.Number(strconv.Itoa(int(nanoseconds))),
	})
}

// ObjectID is a value of type objectId, from 24 hex digits.
func ObjectID(hex string) any { return tagged("$oid", hex) }

// UUID is a value of type uuid, in the form 8-4-4-4-12.
func UUID(s string) any { return tagged("$uuid", s) }

// Link is a link to the object of that class and primary key.
func Link(class string, pk any) any {
	return tagged("$link", map[string]any{"class": class, "pk": pk})
}

// Set is a set with those elements.
func Set(elements ...any) any { return tagged("$set", append([]any{}, elements...)) }

// Dictionary is a dictionary with those entries.
func Dictionary(entries map[string]any) any { return tagged("$dict", entries) }

// Embedded is an embedded object with those properties.
func Embedded(properties map[string]any) any { return tagged("$embedded", properties) }

func tagged(tag string, v any) any { return map[string]any{tag: v} }
