package object

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// readLines decodes a testdata file of one JSON value a line.
func readLines[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v T
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// clientChangeset is a changeset that a real client uploaded.
type clientChangeset struct {
	ID          int
	Description string
	Changeset   string
}

// TestClientChangesets applies what a real client uploaded, and compares with
// what that client then held.
func TestClientChangesets(t *testing.T) {
	states := make(map[string]map[string][]any)
	for _, s := range readLines[struct {
		After string
		State map[string][]any
	}](t, "client-states.jsonl") {
		states[s.After] = s.State
	}
	st := NewStore(nil, AcceptErasures())
	compared := 0
	for _, c := range readLines[clientChangeset](t, "client-changesets.jsonl") {
		data, err := hex.DecodeString(c.Changeset)
		if err != nil {
			t.Fatal(err)
		}
		cs, err := changeset.Decode(data)
		if err != nil {
			t.Fatalf("%d (%s): %v", c.ID, c.Description, err)
		}
		for i := range cs {
			if err := st.Schema().Check(&cs[i]); err != nil && !makesClass(cs, cs[i].Class) {
				t.Errorf("%d (%s): check: %v", c.ID, c.Description, err)
			}
		}
		if err := st.Apply(cs); err != nil {
			t.Fatalf("%d (%s): %v", c.ID, c.Description, err)
		}
		want, ok := states[c.Description]
		if !ok {
			continue
		}
		compared++
		for class, rows := range want {
			got := normal(clientDump(st, class)).([]any)
			if rows := normal(rows).([]any); !reflect.DeepEqual(got, rows) {
				t.Errorf("%d (%s): class %s: %s", c.ID, c.Description, class, firstDifference("", got, rows))
			}
		}
		// The state of every object survives being stored.
		for class, objects := range st.objects {
			for key, o := range objects {
				checkStored(t, st.Schema(), changeset.ObjectRef{Class: class, Key: key}, o)
			}
		}
	}
	if compared != len(states) {
		t.Errorf("compared %d states of %d", compared, len(states))
	}
}

func makesClass(cs changeset.Changeset, class string) bool {
	return slices.ContainsFunc(cs, func(in changeset.Instruction) bool {
		return in.Op == changeset.OpAddTable && in.Class == class
	})
}

// checkStored checks that an object is the same after having been written as
// encoded instructions.
func checkStored(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *schema.Schema, ref changeset.ObjectRef, o *Object) {
	t.Helper()
	cs := Instructions(s, ref, o)
	decoded, err := changeset.Decode(changeset.Encode(cs))
	if err != nil {
		t.Fatalf("%v: decode: %v", ref, err)
	}
	if !reflect.DeepEqual(decoded, cs) {
		t.Fatalf("%v: instructions changed:\n got %v\nwant %v", ref, decoded, cs)
	}
	got, err := FromInstructions(s, ref, decoded)
	if err != nil {
		t.Fatalf("%v: %v", ref, err)
	}
	if !Equal(s, s.Class(ref.Class), got, o) {
		t.Fatalf("%v: stored and read:\n got %v\nwant %v", ref, Instructions(s, ref, got), cs)
	}
}

func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// firstDifference names the first place at which two dumps differ.
func firstDifference(path string, got, want any) string {
	switch g := got.(type) {
	case []any:
		if w, ok := want.([]any); ok && len(g) == len(w) {
			for i := range g {
				if d := firstDifference(fmt.Sprintf("%s[%d]", path, i), g[i], w[i]); d != "" {
					return d
				}
			}
			return ""
		}
	case map[string]any:
		if w, ok := want.(map[string]any); ok && len(g) == len(w) {
			for name := range g {
				if d := firstDifference(path+"."+name, g[name], w[name]); d != "" {
					return d
				}
			}
			return ""
		}
	}
	if reflect.DeepEqual(got, want) {
		return ""
	}
	return fmt.Sprintf("%s: got %s, want %s", path, jsonText(got), jsonText(want))
}

// normal sorts sets and objects of a dump, and writes numbers one way.
func normal(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = normal(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = normal(item)
		}
		if set, ok := out["$set"].([]any); ok {
			slices.SortFunc(set, func(a, b any) int { return strings.Compare(jsonText(a), jsonText(b)) })
		}
		if text, ok := out["$decimal"].(string); ok {
			d, err := changeset.ParseDecimal(text)
			if err != nil {
				panic(err)
			}
			out["$decimal"] = d.DecimalText()
			if d.Coefficient().Sign() == 0 { // the client shows zeros without their sign
				out["$decimal"] = strings.TrimPrefix(d.DecimalText(), "-")
			}
		}
		return out
	case json.Number:
		return v.String()
	case int64, int32, int, float64:
		return fmt.Sprint(v)
	}
	return v
}

// clientDump writes a class's objects as the real client's harness does:
// links to what does not exist are null, or missing from lists and sets.
func clientDump(st *Store, class string) any {
	c := st.schema.Class(class)
	rows := []any{}
	for key, o := range st.objects[class] {
		row := clientFields(st, c, o)
		row["_id"] = clientKey(key)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b any) int {
		x, y := a.(map[string]any)["_id"], b.(map[string]any)["_id"]
		if i, ok := x.(map[string]any); ok && i["$int"] != nil {
			if j, ok := y.(map[string]any); ok && j["$int"] != nil {
				m, _ := strconv.Atoi(i["$int"].(string))
				n, _ := strconv.Atoi(j["$int"].(string))
				return m - n
			}
		}
		return strings.Compare(keyOrder(x), keyOrder(y))
	})
	return rows
}

// keyOrder sorts as the harness does: by JSON text, which puts strings first.
func keyOrder(v any) string { return jsonText(v) }

func clientKey(k changeset.Key) any {
	return clientValue(nil, changeset.Value{Type: k.Type, Num: k.Int, Str: k.Str})
}

func clientFields(st *Store, c *schema.Class, o *Object) map[string]any {
	out := make(map[string]any)
	for name, p := range c.Properties {
		out[name] = clientNode(st, p, o.Get(p))
	}
	return out
}

func clientNode(st *Store, p *schema.Property, node Node) any {
	dangling := func(node Node) bool {
		v, ok := node.(changeset.Value)
		return ok && v.Type == changeset.Link && p.Type == changeset.Link && st.Object(v.Target()) == nil
	}
	switch node := node.(type) {
	case *Object:
		return map[string]any{"$embedded": clientFields(st, st.schema.Class(p.Target), node)}
	case *List:
		items := []any{}
		for _, item := range node.Items {
			if !dangling(item) {
				items = append(items, clientNode(st, p, item))
			}
		}
		return items
	case *Set:
		items := []any{}
		for _, v := range node.Items {
			if !dangling(v) {
				items = append(items, clientNode(st, p, v))
			}
		}
		return map[string]any{"$set": items}
	case *Dictionary:
		entries := make(map[string]any)
		for key, entry := range node.Entries {
			entries[key] = clientNode(st, p, entry)
		}
		return map[string]any{"$dict": entries}
	case changeset.Value:
		return clientValue(st, node)
	}
	panic("unknown node")
}

func clientValue(st *Store, v changeset.Value) any {
	tag := func(name string, content any) any { return map[string]any{name: content} }
	switch v.Type {
	case changeset.Null:
		return nil
	case changeset.Int:
		return tag("$int", strconv.FormatInt(v.Num, 10))
	case changeset.Bool:
		return v.Bool()
	case changeset.String:
		return v.Str
	case changeset.Binary:
		return tag("$binary", base64.StdEncoding.EncodeToString([]byte(v.Str)))
	case changeset.Timestamp:
		return tag("$ts", []any{v.Num, v.Nanos})
	case changeset.Float:
		return tag("$float", strconv.FormatFloat(float64(v.Float32()), 'g', -1, 32))
	case changeset.Double:
		return tag("$double", strconv.FormatFloat(v.Float64(), 'g', -1, 64))
	case changeset.Decimal:
		return tag("$decimal", v.DecimalText())
	case changeset.ObjectID:
		return tag("$oid", hex.EncodeToString([]byte(v.Str)))
	case changeset.UUID:
		h := hex.EncodeToString([]byte(v.Str))
		return tag("$uuid", h[:8]+"-"+h[8:12]+"-"+h[12:16]+"-"+h[16:20]+"-"+h[20:])
	case changeset.Link:
		if st.Object(v.Target()) == nil {
			return nil
		}
		return tag("$link", map[string]any{"class": v.Str, "pk": clientKey(v.Key)})
	}
	panic("unknown value")
}
