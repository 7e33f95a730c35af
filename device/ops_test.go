package device

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// The recordings of a real client name what the app did in a notation of their
// own, which this file reads.

// recordedOp is one operation of an app.
type recordedOp struct {
	Op      string                     `json:"op"`
	Class   string                     `json:"class"`
	PK      json.RawMessage            `json:"pk"`
	Set     map[string]json.RawMessage `json:"set"`
	Path    []any                      `json:"path"`
	Value   json.RawMessage            `json:"value"`
	Index   *int                       `json:"index"`
	From    int                        `json:"from"`
	To      int                        `json:"to"`
	By      int64                      `json:"by"`
	Default bool                       `json:"default"`
	Upsert  bool                       `json:"upsert"`
	Schema  []recordedClass            `json:"schema"`
}

type recordedClass struct {
	Name  string         `json:"name"`
	Kind  string         `json:"kind"`
	Props []recordedProp `json:"props"`
}

type recordedProp struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Collection string `json:"collection"`
	Target     string `json:"target"`
	Nullable   bool   `json:"nullable"`
	PK         bool   `json:"pk"`
}

var recordedTypes = map[string]changeset.Type{
	"int": changeset.Int, "bool": changeset.Bool, "string": changeset.String, "data": changeset.Binary,
	"timestamp": changeset.Timestamp, "float": changeset.Float, "double": changeset.Double,
	"decimal128": changeset.Decimal, "object": changeset.Link, "objectId": changeset.ObjectID,
	"uuid": changeset.UUID, "mixed": changeset.Mixed,
}

// recordedSchema makes a schema, and the order of its properties.
func recordedSchema(t *testing.T, classes []recordedClass) (*schema.Schema, map[string][]string) {
	t.Helper()
	s, order := &schema.Schema{Classes: map[string]*schema.Class{}}, map[string][]string{}
	for _, rc := range classes {
		c := &schema.Class{Name: rc.Name, Properties: map[string]*schema.Property{}}
		switch rc.Kind {
		case "embedded":
			c.Kind = changeset.Embedded
		case "asymmetric":
			c.Kind = changeset.Asymmetric
		}
		for _, rp := range rc.Props {
			typ, known := recordedTypes[rp.Type]
			if !known {
				t.Fatalf("recorded type %q", rp.Type)
			}
			if rp.PK {
				c.KeyType, c.KeyNullable = typ, rp.Nullable
				continue
			}
			collection := changeset.Single
			switch rp.Collection {
			case "list":
				collection = changeset.ListOf
			case "set":
				collection = changeset.SetOf
			case "dictionary":
				collection = changeset.DictionaryOf
			}
			c.Properties[rp.Name] = &schema.Property{
				Name: rp.Name, Type: typ, Nullable: rp.Nullable, Collection: collection, Target: rp.Target,
			}
			order[rc.Name] = append(order[rc.Name], rp.Name)
		}
		s.Classes[rc.Name] = c
	}
	return s, order
}

// recordedValue reads a value. Bare numbers stay numbers.
func recordedValue(data json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return readValue(v)
}

func readValue(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		return n, err
	case []any:
		items, err := readList(v)
		return List(items), err
	case map[string]any:
		for tag, inner := range v {
			return readTagged(tag, inner)
		}
	}
	return v, nil
}

func readList(items []any) ([]any, error) {
	out := make([]any, len(items))
	for i, item := range items {
		v, err := readValue(item)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func readMap(entries map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(entries))
	for k, entry := range entries {
		v, err := readValue(entry)
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

func readTagged(tag string, v any) (any, error) {
	text, _ := v.(string)
	switch tag {
	case "$int":
		n, err := strconv.ParseInt(text, 10, 64)
		return changeset.IntValue(n), err
	case "$float":
		f, err := strconv.ParseFloat(text, 32)
		return changeset.FloatValue(float32(f)), err
	case "$double":
		f, err := strconv.ParseFloat(text, 64)
		return changeset.DoubleValue(f), err
	case "$decimal":
		return readDecimal(text)
	case "$binary":
		b, err := base64.StdEncoding.DecodeString(text)
		return changeset.BinaryValue(b), err
	case "$oid":
		b, err := hex.DecodeString(text)
		return changeset.Value{Type: changeset.ObjectID, Str: string(b)}, err
	case "$uuid":
		b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		return changeset.Value{Type: changeset.UUID, Str: string(b)}, err
	case "$ts":
		parts, err := readList(v.([]any))
		if err != nil {
			return nil, err
		}
		return changeset.TimestampValue(parts[0].(int64), int32(parts[1].(int64))), nil
	case "$link":
		link := v.(map[string]any)
		key, err := readValue(link["pk"])
		if err != nil {
			return nil, err
		}
		return changeset.LinkValue(link["class"].(string), keyOf(key)), nil
	case "$set":
		items, err := readList(v.([]any))
		return Set(items), err
	case "$dict":
		entries, err := readMap(v.(map[string]any))
		return Dict(entries), err
	case "$embedded":
		fields, err := readMap(v.(map[string]any))
		return Embedded(fields), err
	}
	return nil, fmt.Errorf("recorded value %q", tag)
}

func readDecimal(text string) (any, error) {
	negative := strings.HasPrefix(text, "-")
	text = strings.TrimPrefix(text, "-")
	switch text {
	case "NaN":
		return changeset.DecimalValue(0, 0, changeset.DecimalNaN, negative), nil
	case "Infinity":
		return changeset.DecimalValue(0, 0, changeset.DecimalInfinity, negative), nil
	}
	mantissa, exponentText, _ := strings.Cut(text, "E")
	exponent := 0
	if exponentText != "" {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil {
			return nil, err
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= len(fraction)
	coefficient, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return nil, fmt.Errorf("recorded decimal %q", text)
	}
	high := new(big.Int).Rsh(coefficient, 64).Uint64()
	low := new(big.Int).And(coefficient, new(big.Int).SetUint64(1<<64-1)).Uint64()
	return changeset.DecimalValue(high, low, int32(exponent), negative), nil
}

// keyOf makes a primary key of a value.
func keyOf(v any) changeset.Key {
	switch v := v.(type) {
	case nil:
		return changeset.NullKey
	case string:
		return changeset.StringKey(v)
	case int64:
		return changeset.IntKey(v)
	case changeset.Value:
		return changeset.Key{Type: v.Type, Int: v.Num, Str: v.Str}
	}
	panic(fmt.Sprintf("recorded key %T", v))
}

// do does the operation.
func (op *recordedOp) do(tx *Tx) error {
	var key changeset.Key
	if op.PK != nil {
		v, err := recordedValue(op.PK)
		if err != nil {
			return err
		}
		key = keyOf(v)
	}
	var value any
	if op.Value != nil {
		var err error
		if value, err = recordedValue(op.Value); err != nil {
			return err
		}
	}
	if op.Index != nil {
		op.Path = append(op.Path, float64(*op.Index))
	}
	var at Place
	for i, step := range op.Path {
		switch step := step.(type) {
		case float64:
			at = at.Index(int(step))
		case string:
			if i == 0 {
				at = At(op.Class, key, step)
			} else {
				at = at.Name(step)
			}
		}
	}
	switch op.Op {
	case "create":
		set := map[string]any{}
		for name, data := range op.Set {
			v, err := recordedValue(data)
			if err != nil {
				return err
			}
			set[name] = v
		}
		if op.Upsert {
			return tx.Upsert(op.Class, key, set)
		}
		return tx.Create(op.Class, key, set)
	case "delete":
		return tx.Delete(op.Class, key)
	case "set":
		if op.Default {
			return tx.SetDefault(at, value)
		}
		return tx.Set(at, value)
	case "add_int":
		return tx.Add(at, op.By)
	case "list_insert":
		return tx.Insert(at, value)
	case "list_append":
		return tx.Append(at, value)
	case "list_erase", "dict_erase":
		return tx.Erase(at)
	case "list_move":
		return tx.Move(at, op.From, op.To)
	case "set_insert":
		return tx.SetInsert(at, value)
	case "set_erase":
		return tx.SetErase(at, value)
	case "clear":
		return tx.Clear(at)
	case "remove_table":
		return tx.Instruct(changeset.Instruction{Op: changeset.OpEraseTable, Class: op.Class})
	}
	return fmt.Errorf("recorded operation %q", op.Op)
}

// readLines reads the JSON lines of a compressed file of testdata.
func readLines[T any](t *testing.T, name string) []T {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, v)
	}
	return out
}
