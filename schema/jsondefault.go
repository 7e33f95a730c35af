package schema

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
)

// defaultOf reads a default of a property's type, in extended JSON. One of
// another type counts as missing, as it did at App Services.
func defaultOf(t changeset.Type, v any) (changeset.Value, bool) {
	tag, content := "", v
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		for name, inner := range m {
			tag, content = name, inner
		}
	}
	switch t {
	case changeset.Bool:
		b, ok := v.(bool)
		return changeset.BoolValue(b), ok
	case changeset.String:
		s, ok := v.(string)
		return changeset.StringValue(s), ok
	case changeset.Int:
		n, err := strconv.ParseInt(numberText(tag, content, "$numberLong", "$numberInt"), 10, 64)
		return changeset.IntValue(n), err == nil
	case changeset.Double, changeset.Float:
		bits := 64
		if t == changeset.Float {
			bits = 32
		}
		f, err := strconv.ParseFloat(numberText(tag, content, "$numberDouble", "$numberInt"), bits)
		if t == changeset.Float {
			return changeset.FloatValue(float32(f)), err == nil
		}
		return changeset.DoubleValue(f), err == nil
	case changeset.Decimal:
		d, err := changeset.ParseDecimal(numberText(tag, content, "$numberDecimal", "$numberInt"))
		return d, err == nil
	case changeset.Timestamp:
		return dateOf(tag, content)
	}
	return bytesOf(t, tag, content)
}

// numberText returns a number's text, if it is a plain one or has one of the tags.
func numberText(tag string, content any, tags ...string) string {
	if n, ok := content.(json.Number); ok && tag == "" {
		return n.String()
	}
	for _, t := range tags {
		if s, ok := content.(string); ok && tag == t {
			return s
		}
	}
	return ""
}

func dateOf(tag string, content any) (changeset.Value, bool) {
	if tag != "$date" {
		return changeset.Value{}, false
	}
	switch v := content.(type) {
	case string:
		at, err := time.Parse(time.RFC3339Nano, v)
		return dateValue(at.UnixMilli()), err == nil
	case json.Number:
		ms, err := v.Int64()
		return dateValue(ms), err == nil
	case map[string]any:
		text, _ := v["$numberLong"].(string)
		ms, err := strconv.ParseInt(text, 10, 64)
		return dateValue(ms), err == nil
	}
	return changeset.Value{}, false
}

func dateValue(ms int64) changeset.Value {
	return changeset.TimestampValue(ms/1000, int32(ms%1000)*1_000_000)
}

// bytesOf reads the types whose values are bytes.
func bytesOf(t changeset.Type, tag string, content any) (changeset.Value, bool) {
	text, _ := content.(string)
	var data []byte
	var err error
	switch {
	case t == changeset.ObjectID && tag == "$oid":
		data, err = hex.DecodeString(text)
	case t == changeset.UUID && tag == "$uuid":
		data, err = hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	case tag == "$binary":
		if m, ok := content.(map[string]any); ok {
			text, _ = m["base64"].(string)
		}
		data, err = base64.StdEncoding.DecodeString(text)
	default:
		return changeset.Value{}, false
	}
	v := changeset.Value{Type: t, Str: string(data)}
	return v, err == nil && wellFormed(v) == nil
}

// defaultJSON writes what defaultOf reads.
func defaultJSON(v changeset.Value) any {
	tagged := func(tag string, content any) any { return map[string]any{tag: content} }
	switch v.Type {
	case changeset.Int:
		return v.Num
	case changeset.Bool:
		return v.Bool()
	case changeset.String:
		return v.Str
	case changeset.Float:
		return doubleJSON(float64(v.Float32()), 32)
	case changeset.Double:
		return doubleJSON(v.Float64(), 64)
	case changeset.Decimal:
		return tagged("$numberDecimal", v.DecimalText())
	case changeset.Timestamp:
		return tagged("$date", tagged("$numberLong", strconv.FormatInt(v.Num*1000+int64(v.Nanos/1_000_000), 10)))
	case changeset.ObjectID:
		return tagged("$oid", hex.EncodeToString([]byte(v.Str)))
	case changeset.UUID:
		return tagged("$uuid", changeset.UUIDText(v.Str))
	case changeset.Binary:
		return tagged("$binary", map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte(v.Str)), "subType": "00"})
	}
	return nil
}

func doubleJSON(f float64, bits int) any {
	text := strconv.FormatFloat(f, 'g', -1, bits)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return map[string]any{"$numberDouble": text}
	}
	return json.Number(text)
}
