package object

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/schema"
)

// TestScripts runs the scripts below testdata/scripts. Their commands:
//
//	schema        one property a line: class.name type[?] [collection] [target]; a class without properties alone
//	object        makes P[1] anew from its properties in the notation of Store.State
//	apply         applies instructions to P[1], one a line, without "class" and "pk"; prints the written properties
//	diff          prints the difference of two objects, one a line
//	state         prints the whole state
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		sc := &script{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			sc.t = t
			switch d.Cmd {
			case "schema":
				sc.schema(d.Input)
				return ""
			case "object":
				sc.st.put(scriptRef, sc.object(d.Input))
				return sc.written()
			case "apply":
				return sc.apply(d.Input)
			case "diff":
				return sc.diff(d.Input)
			case "state":
				text, err := sc.st.State()
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

var scriptRef = changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}

type script struct {
	t  testing.TB
	st *Store
}

// schema starts anew with a schema and an empty object P[1].
func (sc *script) schema(text string) {
	sc.t.Helper()
	s := &schema.Schema{}
	var columns []changeset.Instruction
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		words := strings.Fields(line)
		class, field, _ := strings.Cut(words[0], ".")
		table := &changeset.Table{KeyField: "_id", KeyType: changeset.Int}
		if strings.HasPrefix(class, "Embedded") {
			table = &changeset.Table{Kind: changeset.Embedded}
		}
		if _, err := s.Apply(&changeset.Instruction{Op: changeset.OpAddTable, Class: class, Table: table}); err != nil {
			sc.t.Fatal(err)
		}
		if field == "" {
			continue
		}
		column := &changeset.Column{}
		name, optional := strings.CutSuffix(words[1], "?")
		column.Nullable = optional
		if name == "mixed" {
			column.Type, column.Nullable = changeset.Mixed, true
		} else if typ, ok := changeset.NamedType(name); ok {
			column.Type = typ
		} else {
			sc.t.Fatalf("unknown type %q", name)
		}
		for _, word := range words[2:] {
			if kind, ok := changeset.NamedCollection(word); ok {
				column.Collection = kind
			} else {
				column.Target = word
			}
		}
		columns = append(columns, changeset.Instruction{Op: changeset.OpAddColumn, Class: class, Field: field, Column: column})
	}
	for i := range columns {
		if _, err := s.Apply(&columns[i]); err != nil {
			sc.t.Fatal(err)
		}
	}
	sc.st = NewStore(s)
	sc.st.put(scriptRef, &Object{})
}

func (sc *script) class() *schema.Class { return sc.st.Schema().Class(scriptRef.Class) }

// written returns the properties of P[1] that have not their initial values.
func (sc *script) written() string {
	sc.t.Helper()
	var b strings.Builder
	o := sc.st.Object(scriptRef)
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		p := sc.class().Properties[name]
		if isInitial(p, o.Fields[name]) {
			continue
		}
		text, err := sc.st.node(p, o.Fields[name])
		if err != nil {
			sc.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, text)
	}
	if b.Len() == 0 {
		return "(initial)\n"
	}
	return b.String()
}

func (sc *script) apply(text string) string {
	sc.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		in, err := notation.ParseInstruction([]byte(strings.Replace(line, "{", `{"class":"P","pk":1,`, 1)))
		if err != nil {
			sc.t.Fatal(err)
		}
		if err := sc.st.Object(scriptRef).Apply(sc.st.Schema(), sc.class(), &in); err != nil {
			return strings.TrimPrefix(err.Error(), "bad instruction: ") + "\n"
		}
	}
	return sc.written()
}

func (sc *script) diff(text string) string {
	sc.t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	before, after := sc.object(lines[0]), sc.object(lines[1])
	checkDiff(sc.t, sc.st.Schema(), scriptRef, before, after)
	var b bytes.Buffer
	if err := changeset.Print(&b, Diff(sc.st.Schema(), scriptRef, before, after)); err != nil {
		sc.t.Fatal(err)
	}
	if b.Len() == 0 {
		return "(none)\n"
	}
	return strings.ReplaceAll(b.String(), " P[1].", " ")
}

// object reads an object, nil if it is null.
func (sc *script) object(text string) *Object {
	sc.t.Helper()
	if strings.TrimSpace(text) == "null" {
		return nil
	}
	var fields map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		sc.t.Fatalf("%s: %v", text, err)
	}
	return sc.fields(sc.class(), fields)
}

func (sc *script) fields(c *schema.Class, fields map[string]any) *Object {
	sc.t.Helper()
	o := &Object{Fields: make(map[string]Node)}
	for name, v := range fields {
		p, err := c.Property(name)
		if err != nil {
			sc.t.Fatal(err)
		}
		o.Fields[name] = sc.node(p, v)
	}
	return o
}

func (sc *script) node(p *schema.Property, v any) Node {
	sc.t.Helper()
	switch v := v.(type) {
	case []any:
		list := &List{}
		for _, item := range v {
			list.Items = append(list.Items, sc.node(p, item))
		}
		return list
	case map[string]any:
		if fields, ok := v["$obj"].(map[string]any); ok {
			return sc.fields(sc.st.Schema().Class(p.Target), fields)
		}
		if entries, ok := v["$dict"].(map[string]any); ok {
			dict := &Dictionary{Entries: make(map[string]Node)}
			for key, entry := range entries {
				dict.Entries[key] = sc.node(p, entry)
			}
			return dict
		}
		if items, ok := v["$set"].([]any); ok {
			set := &Set{}
			for _, item := range items {
				set.insert(sc.node(p, item).(changeset.Value), p.Type == changeset.Mixed)
			}
			return set
		}
	}
	value, err := notation.ParseValue([]byte(jsonText(v)))
	if err != nil {
		sc.t.Fatal(err)
	}
	return value
}
