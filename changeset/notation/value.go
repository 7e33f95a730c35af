package notation

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ErrNotation is what all errors of this package wrap: text that is not in the
// notation, or a changeset that it cannot express.
var ErrNotation = errors.New("changeset notation")

func errorf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotation}, args...)...)
}

// ParseValue reads a payload.
func ParseValue(data []byte) (changeset.Value, error) {
	v, err := decode(data)
	if err != nil {
		return changeset.Value{}, err
	}
	return valueOf(v)
}

// ParseKey reads a primary key.
func ParseKey(data []byte) (changeset.Key, error) {
	v, err := decode(data)
	if err != nil {
		return changeset.Key{}, err
	}
	return keyOf(v)
}

// FormatValue writes a payload.
func FormatValue(v changeset.Value) ([]byte, error) {
	x, err := valueJSON(v)
	if err != nil {
		return nil, err
	}
	return encode(x)
}

// FormatKey writes a primary key.
func FormatKey(k changeset.Key) ([]byte, error) {
	x, err := keyJSON(k)
	if err != nil {
		return nil, err
	}
	return encode(x)
}

// decode reads one JSON value with its integers intact.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errorf("%v", err)
	}
	if d.More() {
		return nil, errorf("more than one value")
	}
	return v, nil
}

// encode writes JSON without the escapes that are only for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, errorf("%v", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func keyOf(v any) (changeset.Key, error) {
	switch v := v.(type) {
	case nil:
		return changeset.NullKey, nil
	case string:
		return changeset.StringKey(v), nil
	case json.Number:
		n, err := integer(v)
		return changeset.IntKey(n), err
	case map[string]any:
		name, content, err := tagged(v)
		if err != nil {
			return changeset.Key{}, err
		}
		switch name {
		case "$oid", "$uuid":
			payload, err := valueOf(v)
			return changeset.Key{Type: payload.Type, Str: payload.Str}, err
		case "$gkey":
			if halves, ok := content.([]any); ok && len(halves) == 2 {
				hi, err1 := unsigned(halves[0])
				lo, err2 := unsigned(halves[1])
				return changeset.GlobalKeyOf(hi, lo), errors.Join(err1, err2)
			}
		}
	}
	return changeset.Key{}, errorf("%v is no primary key", v)
}

func valueOf(v any) (changeset.Value, error) {
	switch v := v.(type) {
	case nil:
		return changeset.NullValue(), nil
	case bool:
		return changeset.BoolValue(v), nil
	case string:
		return changeset.StringValue(v), nil
	case json.Number:
		n, err := integer(v)
		return changeset.IntValue(n), err
	case map[string]any:
		name, content, err := tagged(v)
		if err != nil {
			return changeset.Value{}, err
		}
		return taggedValue(name, content)
	}
	return changeset.Value{}, errorf("%v is no value", v)
}

func tagged(m map[string]any) (name string, content any, err error) {
	if len(m) != 1 {
		return "", nil, errorf("%v has not exactly one field", m)
	}
	for name, content = range m {
	}
	return name, content, nil
}

var newValues = map[string]changeset.Type{
	"object": changeset.ObjectValue, "list": changeset.List, "dictionary": changeset.Dictionary, "set": changeset.Set,
}

func taggedValue(name string, content any) (changeset.Value, error) {
	bad := errorf("%s: %v is no such value", name, content)
	list, _ := content.([]any)
	text, isText := content.(string)
	switch name {
	case "$bin", "$oid", "$uuid":
		if name == "$uuid" {
			text = strings.ReplaceAll(text, "-", "")
		}
		raw, err := hex.DecodeString(text)
		switch {
		case err != nil || !isText:
			return changeset.Value{}, bad
		case name == "$bin":
			return changeset.BinaryValue(raw), nil
		case name == "$oid" && len(raw) == 12:
			return changeset.ObjectIDValue([12]byte(raw)), nil
		case name == "$uuid" && len(raw) == 16:
			return changeset.UUIDValue([16]byte(raw)), nil
		}
	case "$ts":
		if len(list) == 2 {
			seconds, err1 := integer(list[0])
			nanos, err2 := integer(list[1])
			if err1 == nil && err2 == nil && nanos == int64(int32(nanos)) {
				return changeset.TimestampValue(seconds, int32(nanos)), nil
			}
		}
	case "$float":
		f, err := float(content, 32)
		if err == nil {
			return changeset.FloatValue(float32(f)), nil
		}
	case "$double":
		f, err := float(content, 64)
		if err == nil {
			return changeset.DoubleValue(f), nil
		}
	case "$dec":
		if v, err := changeset.ParseDecimal(text); err == nil {
			return v, nil
		}
	case "$decraw":
		if len(list) == 3 {
			if v, ok := rawDecimal(list); ok {
				return v, nil
			}
		}
	case "$link":
		if len(list) != 2 {
			break
		}
		class, ok := list[0].(string)
		key, err := keyOf(list[1])
		if ok && err == nil {
			return changeset.LinkValue(class, key), nil
		}
	case "$erased":
		if content == true {
			return changeset.SpecialValue(changeset.Erased), nil
		}
	case "$new":
		if t, ok := newValues[text]; ok {
			return changeset.SpecialValue(t), nil
		}
	}
	return changeset.Value{}, bad
}

func rawDecimal(parts []any) (changeset.Value, bool) {
	n, ok := parts[0].(json.Number)
	if !ok {
		return changeset.Value{}, false
	}
	c, ok := new(big.Int).SetString(n.String(), 10)
	exponent, err1 := integer(parts[1])
	sign, err2 := integer(parts[2])
	if !ok || c.Sign() < 0 || c.BitLen() > 113 || err1 != nil || err2 != nil || exponent != int64(int32(exponent)) {
		return changeset.Value{}, false
	}
	low := new(big.Int).And(c, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	return changeset.DecimalValue(c.Rsh(c, 64).Uint64(), low, int32(exponent), sign != 0), true
}

func integer(v any) (int64, error) {
	if n, ok := v.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return i, nil
		}
	}
	return 0, errorf("%v is no 64-bit integer", v)
}

func unsigned(v any) (uint64, error) {
	if n, ok := v.(json.Number); ok {
		if i, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
			return i, nil
		}
	}
	return 0, errorf("%v is no unsigned 64-bit integer", v)
}

func float(v any, bits int) (float64, error) {
	switch v := v.(type) {
	case json.Number:
		return strconv.ParseFloat(v.String(), bits)
	case string:
		switch v {
		case "NaN":
			return math.NaN(), nil
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		}
	}
	return 0, errorf("%v is no floating-point number", v)
}

func keyJSON(k changeset.Key) (any, error) {
	switch k.Type {
	case changeset.Null:
		return nil, nil
	case changeset.Int:
		return k.Int, nil
	case changeset.String:
		return text(k.Str)
	case changeset.ObjectID, changeset.UUID:
		return valueJSON(changeset.Value{Type: k.Type, Str: k.Str})
	case changeset.GlobalKey:
		hi, lo := k.Global()
		return map[string]any{"$gkey": []uint64{hi, lo}}, nil
	}
	return nil, errorf("primary key of type %d", k.Type)
}

func valueJSON(v changeset.Value) (any, error) {
	switch v.Type {
	case changeset.Null:
		return nil, nil
	case changeset.Int:
		return v.Num, nil
	case changeset.Bool:
		return v.Bool(), nil
	case changeset.String:
		return text(v.Str)
	case changeset.Binary:
		return map[string]any{"$bin": hex.EncodeToString([]byte(v.Str))}, nil
	case changeset.Timestamp:
		return map[string]any{"$ts": []int64{v.Num, int64(v.Nanos)}}, nil
	case changeset.Float:
		return map[string]any{"$float": floatJSON(float64(v.Float32()), 32)}, nil
	case changeset.Double:
		return map[string]any{"$double": floatJSON(v.Float64(), 64)}, nil
	case changeset.Decimal:
		return decimalJSON(v), nil
	case changeset.Link:
		class, err := text(v.Str)
		if err != nil {
			return nil, err
		}
		key, err := keyJSON(v.Key)
		return map[string]any{"$link": []any{class, key}}, err
	case changeset.ObjectID:
		return map[string]any{"$oid": hex.EncodeToString([]byte(v.Str))}, nil
	case changeset.UUID:
		return map[string]any{"$uuid": changeset.UUIDText(v.Str)}, nil
	case changeset.Erased:
		return map[string]any{"$erased": true}, nil
	}
	for name, t := range newValues {
		if t == v.Type {
			return map[string]any{"$new": name}, nil
		}
	}
	return nil, errorf("value of type %d", v.Type)
}

// decimalJSON writes a decimal as text, if that says everything about it.
func decimalJSON(v changeset.Value) any {
	t := v.DecimalText()
	if again, err := changeset.ParseDecimal(t); err == nil && again == v {
		return map[string]any{"$dec": t}
	}
	high, low, exponent, negative := v.Decimal()
	c := new(big.Int).SetUint64(high)
	c.Lsh(c, 64).Or(c, new(big.Int).SetUint64(low))
	sign := 0
	if negative {
		sign = 1
	}
	return map[string]any{"$decraw": []any{json.Number(c.String()), exponent, sign}}
}

func floatJSON(f float64, bits int) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	t := strconv.FormatFloat(f, 'g', -1, bits)
	if !strings.ContainsAny(t, ".e") {
		t += ".0"
	}
	return json.Number(t)
}

// text refuses what JSON cannot hold.
func text(s string) (any, error) {
	if !utf8.ValidString(s) {
		return nil, errorf("text %.50q is not UTF-8", s)
	}
	return s, nil
}
