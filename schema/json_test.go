package schema

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
)

const taskSchema = `{"title":"Task","bsonType":"object","required":["_id","done","count"],
 "properties":{
   "_id":{"bsonType":"objectId"}, "done":{"bsonType":"bool","default":true}, "name":{"bsonType":"string","maxLength":30},
   "count":{"bsonType":"int","default":"none"},
   "opt":{"bsonType":["string","null"]},
   "any":{"bsonType":"mixed"},
   "owner":{"bsonType":"objectId"},
   "watchers":{"bsonType":"array","items":{"bsonType":"objectId"}},
   "byRole":{"bsonType":"object","additionalProperties":{"bsonType":"objectId"}},
   "tags":{"bsonType":"array","items":{"bsonType":["string","null"]}},
   "flags":{"bsonType":"array","uniqueItems":true,"items":{"bsonType":"long"}},
   "attrs":{"bsonType":"object","additionalProperties":{"bsonType":"mixed"}},
   "addr":{"bsonType":"object","title":"Address","required":["city"],"properties":{"city":{"bsonType":"string"},"mayor":{"bsonType":"objectId"}}},
   "notes":{"bsonType":"array","items":{"bsonType":"object","properties":{"text":{"bsonType":"string"},"author":{"bsonType":"objectId"}}}}}}`

const taskRelationships = `{
  "owner":{"ref":"#/relationship/mongodb-atlas/mydb/people","foreign_key":"_id","is_list":false},
  "watchers":{"ref":"#/relationship/mongodb-atlas/mydb/people","foreign_key":"_id","is_list":true},
  "byRole.[]":{"ref":"#/relationship/mongodb-atlas/mydb/people","foreign_key":"_id","is_list":true},
  "addr.mayor":{"ref":"#/relationship/mongodb-atlas/mydb/people","foreign_key":"_id","is_list":false},
  "notes.[].author":{"ref":"#/relationship/mongodb-atlas/mydb/people","foreign_key":"_id","is_list":false}}`

const personSchema = `{"title":"Person","bsonType":"object","required":["name"],"properties":{"_id":{"bsonType":"objectId"},"name":{"bsonType":"string"}}}`

func printed(s *Schema) string {
	var b bytes.Buffer
	_ = changeset.Print(&b, s.Instructions())
	return b.String()
}

func TestParseJSON(t *testing.T) {
	s, err := ParseJSON(
		JSONFile{Name: "task.json", Schema: []byte(taskSchema), Relationships: []byte(taskRelationships)},
		JSONFile{Name: "person.json", Schema: []byte(personSchema), Collection: "people"},
		JSONFile{Name: "metric.json", Asymmetric: true, Schema: []byte(
			`{"title":"Metric","required":["_id"],"properties":{"_id":{"bsonType":"uuid"},"v":{"bsonType":"float"}}}`)},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := `AddTable Address embedded
AddTable Metric pk='_id' pktype=11 nullable=0 asymmetric=1
AddTable Person pk='_id' pktype=10 nullable=1 asymmetric=0
AddTable Task pk='_id' pktype=10 nullable=0 asymmetric=0
AddTable Task_notes embedded
AddColumn Address.city type=3 nullable=0 coll=single
AddColumn Address.mayor type=9 nullable=1 coll=single target=Person
AddColumn Metric.v type=6 nullable=1 coll=single
AddColumn Person.name type=3 nullable=0 coll=single
AddColumn Task.addr type=9 nullable=1 coll=single target=Address
AddColumn Task.any type=0 nullable=1 coll=single
AddColumn Task.attrs type=0 nullable=1 coll=dict keytype=3
AddColumn Task.byRole type=9 nullable=1 coll=dict target=Person keytype=3
AddColumn Task.count type=1 nullable=0 coll=single
AddColumn Task.done type=2 nullable=0 coll=single
AddColumn Task.flags type=1 nullable=0 coll=set
AddColumn Task.name type=3 nullable=1 coll=single
AddColumn Task.notes type=9 nullable=0 coll=list target=Task_notes
AddColumn Task.opt type=3 nullable=1 coll=single
AddColumn Task.owner type=9 nullable=1 coll=single target=Person
AddColumn Task.tags type=3 nullable=1 coll=list
AddColumn Task.watchers type=9 nullable=0 coll=list target=Person
AddColumn Task_notes.author type=9 nullable=1 coll=single target=Person
AddColumn Task_notes.text type=3 nullable=1 coll=single
`
	if got := printed(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	task := s.Class("Task")
	if got := s.Class("Person").CollectionName(); got != "people" {
		t.Errorf("collection of Person: %q", got)
	}
	if d := task.Properties["done"].Default; d == nil || *d != changeset.BoolValue(true) {
		t.Errorf("default of done: %v", d)
	}
	// A default of another type counts as missing.
	if p := task.Properties["count"]; !p.Int32 || p.Default != nil {
		t.Errorf("count: %+v", p)
	}
	if task.Properties["flags"].Int32 {
		t.Error("flags has 32 bits")
	}
	checkLearned(t, s)
}

// checkLearned checks that devices may say whatever a schema file says.
func checkLearned(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *Schema) {
	t.Helper()
	learned := &Schema{}
	for _, in := range s.Instructions() {
		if changed, err := learned.Apply(&in); err != nil || !changed {
			t.Fatalf("%v: changed %v, error %v", in, changed, err)
		}
	}
	if got := printed(learned); got != printed(s) {
		t.Fatalf("got\n%s\nwant\n%s", got, printed(s))
	}
}

// TestParseJSONProblems: everything wrong is reported, with its place.
func TestParseJSONProblems(t *testing.T) {
	const head = `{"title":"T","required":["_id"],"properties":{"_id":{"bsonType":"long"}`
	property := func(definition string) string { return head + `,"p":` + definition + `}}` }
	for _, test := range []struct {
		name, schema, relationships string
		want                        []string // pointer, a colon, and a part of the reason
	}{
		{name: "syntax", schema: "{\n\n,}", want: []string{":line 3: invalid character"}},
		{name: "more text", schema: head + `}} {}`, want: []string{":more than one"}},
		{name: "null", schema: `null`, want: []string{":not a JSON object"}},
		{name: "array", schema: `[]`, want: []string{":cannot unmarshal array"}},
		{name: "no title", schema: `{"properties":{"_id":{"bsonType":"long"}}}`, want: []string{"/title:no name"}},
		{name: "no properties", schema: `{"title":"T"}`, want: []string{"/properties:no primary key", "/properties:no properties"}},
		{name: "bad title", schema: `{"title":"a$b","properties":{"_id":{"bsonType":"long"}}}`, want: []string{"/title:can't have a collection"}},
		{name: "no key", schema: `{"title":"T","properties":{}}`, want: []string{"/properties:no primary key"}},
		{name: "bad key", schema: `{"title":"T","properties":{"_id":{"bsonType":"double"}}}`, want: []string{`/properties/_id/bsonType:of type "double"`}},
		{name: "bad required", schema: `{"title":"T","required":"x","properties":{"_id":{"bsonType":"long"}}}`,
			want: []string{"/required:not a list", "/required:not a list"}},
		{name: "names", schema: head + `,"a.b":{"bsonType":"long"},"$c":{"bsonType":"long"},"d/e~":{"bsonType":"x"}}}`,
			want: []string{"/properties/$c:dollar", "/properties/a.b:dot", `/properties/d~1e~0/bsonType:type "x"`}},
		{name: "no object", schema: property(`"long"`), want: []string{"/properties/p:not an object"}},
		{name: "no type", schema: property(`{}`), want: []string{"/properties/p/bsonType:no type"}},
		{name: "two types", schema: property(`{"bsonType":["int","string"]}`), want: []string{"/properties/p/bsonType:several types: int, string"}},
		{name: "number", schema: property(`{"bsonType":"number"}`), want: []string{`/properties/p/bsonType:"number"`}},
		{name: "regex", schema: property(`{"bsonType":"regex"}`), want: []string{`/properties/p/bsonType:type "regex" can't be mapped`}},
		{name: "array of anything", schema: property(`{"bsonType":"array"}`), want: []string{"/properties/p/items:what its items are"}},
		{name: "array of arrays", schema: property(`{"bsonType":"array","items":{"bsonType":"array","items":{"bsonType":"int"}}}`),
			want: []string{"/properties/p/items/bsonType:collection of arrays"}},
		{name: "object of anything", schema: property(`{"bsonType":"object"}`), want: []string{"/properties/p:without properties"}},
		{name: "both", schema: property(`{"bsonType":"object","properties":{"a":{"bsonType":"int"}},"additionalProperties":{"bsonType":"int"}}`),
			want: []string{"/properties/p:not both"}},
		{name: "set of objects", schema: property(`{"bsonType":"array","uniqueItems":true,"items":{"bsonType":"object","properties":{"a":{"bsonType":"int"}}}}`),
			want: []string{"/properties/p/items:in a set"}},
		{name: "class in a class", schema: property(`{"bsonType":"object","title":"T","properties":{"a":{"bsonType":"int"}}}`),
			want: []string{`/properties/p/title:that of a collection`}},
		{name: "two shapes", schema: head + `,"p":{"bsonType":"object","title":"E","properties":{"a":{"bsonType":"int"}}},
			"q":{"bsonType":"object","title":"E","properties":{"a":{"bsonType":"string"},"b":{"bsonType":"string"}}}}}`,
			want: []string{`/properties/q:property "a" was optional int, is optional string`, `/properties/q:property "b" added`}},
		{name: "link to nowhere", schema: property(`{"bsonType":"long"}`), relationships: `{"p":{"ref":"#/relationship/s/d/X"}}`,
			want: []string{`/p/ref:no file has the schema of collection "X"`}},
		{name: "bad reference", schema: property(`{"bsonType":"long"}`), relationships: `{"p":{"ref":"d/T"}}`, want: []string{"/p/ref:no reference"}},
		{name: "bad relationship", schema: property(`{"bsonType":"long"}`), relationships: `{"p":"T"}`, want: []string{"/p:not an object"}},
		{name: "bad relationships", schema: property(`{"bsonType":"long"}`), relationships: `[]`, want: []string{":relationships: json"}},
		{name: "foreign key", schema: property(`{"bsonType":"long"}`), relationships: `{"p":{"ref":"#/relationship/s/d/T","foreign_key":"x"}}`,
			want: []string{"/p/foreign_key:the foreign key is x"}},
		{name: "type of link", schema: property(`{"bsonType":"string"}`), relationships: `{"p":{"ref":"#/relationship/s/d/T"}}`,
			want: []string{"/properties/p/bsonType:the type of a link"}},
		{name: "required link", schema: `{"title":"T","required":["p"],"properties":{"_id":{"bsonType":"long"},"p":{"bsonType":"int"}}}`,
			relationships: `{"p":{"ref":"#/relationship/s/d/T"}}`, want: []string{"/properties/p:can't be required"}},
		{name: "unused relationship", schema: property(`{"bsonType":"long"}`), relationships: `{"q":{"ref":"#/relationship/s/d/T"},"_id":{}}`,
			want: []string{"/_id:no property", "/q:no property"}},
		{name: "combined", schema: `{"schema":` + property(`{"bsonType":"string"}`) + `,"relationships":{"p":{"ref":"#/relationship/s/d/T"},"q.r":{}}}`,
			want: []string{"/schema/properties/p/bsonType:the type of a link", "/relationships/q.r:no property"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := ParseJSON(JSONFile{Name: "t.json", Schema: []byte(test.schema), Relationships: []byte(test.relationships)})
			var failed *JSONError
			if !errors.As(err, &failed) || !errors.Is(err, ErrBadJSONSchema) || s != nil {
				t.Fatalf("got %v, error %v", s, err)
			}
			if len(failed.Problems) != len(test.want) {
				t.Fatalf("got %d problems, want %d: %v", len(failed.Problems), len(test.want), err)
			}
			for i, want := range test.want {
				pointer, reason, _ := strings.Cut(want, ":")
				if p := failed.Problems[i]; p.File != "t.json" || p.Pointer != pointer || !strings.Contains(p.Reason, reason) {
					t.Errorf("problem %d: got %v, want %s", i, p, want)
				}
			}
		})
	}
}

func TestParseJSONTwoFiles(t *testing.T) {
	_, err := ParseJSON(
		JSONFile{Name: "a.json", Schema: []byte(personSchema)},
		JSONFile{Name: "b.json", Schema: []byte(personSchema), Collection: "other"},
		JSONFile{Name: "c.json", Schema: []byte(strings.Replace(personSchema, `"Person"`, `"Third"`, 1)), Collection: "other"},
	)
	want := "bad JSON schema: b.json at /title: there are two classes \"Person\""
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = ParseJSON(
		JSONFile{Name: "a.json", Schema: []byte(personSchema), Collection: "other"},
		JSONFile{Name: "c.json", Schema: []byte(strings.Replace(personSchema, `"Person"`, `"Third"`, 1)), Collection: "other"},
	)
	want = "bad JSON schema: c.json: collection \"other\" is that of class \"Person\" already"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMarshalJSONSchema(t *testing.T) {
	s, err := ParseJSON(JSONFile{Schema: []byte(personSchema), Collection: "people"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.MarshalJSONSchema("Person", "mydb")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "metadata": {
    "collection": "people",
    "data_source": "mongodb-atlas",
    "database": "mydb"
  },
  "relationships": {},
  "schema": {
    "bsonType": "object",
    "properties": {
      "_id": {
        "bsonType": "objectId"
      },
      "name": {
        "bsonType": "string"
      }
    },
    "required": [
      "name"
    ],
    "title": "Person"
  }
}
`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestMarshalJSONSchemaRefuses(t *testing.T) {
	s := &Schema{Classes: map[string]*Class{
		"T": {Name: "T", KeyType: changeset.Int, Properties: map[string]*Property{
			"e": {Name: "e", Type: changeset.Link, Target: "E", Nullable: true},
		}},
		"E": {Name: "E", Kind: changeset.Embedded, Properties: map[string]*Property{
			"e": {Name: "e", Type: changeset.Link, Target: "E", Collection: changeset.ListOf},
		}},
	}}
	if _, err := s.MarshalJSONSchema("T", "db"); !errors.Is(err, ErrNotJSONSchema) {
		t.Errorf("a class inside itself: %v", err)
	}
	for _, class := range []string{"E", "X"} {
		if text, err := s.MarshalJSONSchema(class, "db"); err == nil {
			t.Errorf("%s: got %s", class, text)
		}
	}
}

// TestJSONRoundTrip: what is printed is read back, defaults and widths included.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchema(t)
		var files []JSONFile
		for _, name := range s.ClassNames() {
			if s.Class(name).Kind == changeset.Embedded {
				continue
			}
			text, err := s.MarshalJSONSchema(name, "db")
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, JSONFile{Name: name, Schema: text})
		}
		got, err := ParseJSON(files...)
		if err != nil {
			t.Fatal(err)
		}
		if changes := got.Diff(s); len(changes) > 0 || printed(got) != printed(s) {
			t.Fatalf("changes: %v\ngot\n%s\nwant\n%s", changes, printed(got), printed(s))
		}
		checkLearned(t, got)
		for name, c := range s.Classes {
			if got.Class(name).CollectionName() != c.CollectionName() {
				t.Fatalf("collection of %s: %q", name, got.Class(name).CollectionName())
			}
		}
	})
}

var defaults = []changeset.Value{
	changeset.IntValue(math.MinInt64), changeset.IntValue(7), changeset.BoolValue(true), changeset.StringValue("ä\"<"),
	changeset.BinaryValue([]byte{0, 255}), changeset.TimestampValue(-1, -500_000_000), changeset.TimestampValue(1<<33, 1_000_000),
	changeset.FloatValue(0.1), changeset.FloatValue(float32(math.Inf(1))), changeset.DoubleValue(1e300), changeset.DoubleValue(math.Inf(-1)),
	changeset.DecimalValue(0, 1250, -2, true), changeset.ObjectIDValue([12]byte{1, 2}), changeset.UUIDValue([16]byte{3, 15: 4}),
}

// drawSchema draws classes T0…T2 and embedded E0…E2, all of which are used.
func drawSchema(t *rapid.T) *Schema {
	s := &Schema{Classes: make(map[string]*Class)}
	class := func(name string, kind changeset.TableKind) *Class {
		c := &Class{Name: name, Kind: kind, Properties: make(map[string]*Property)}
		s.Classes[name] = c
		return c
	}
	for i := range 3 {
		c := class(fmt.Sprintf("T%d", i), changeset.TopLevel)
		c.KeyType = rapid.SampledFrom([]changeset.Type{changeset.Int, changeset.String, changeset.ObjectID, changeset.UUID}).Draw(t, "key")
		c.KeyNullable = rapid.Bool().Draw(t, "key nullable")
		if rapid.Bool().Draw(t, "named") {
			c.Collection = "c" + c.Name
		}
		class(fmt.Sprintf("E%d", i), changeset.Embedded)
	}
	if rapid.Bool().Draw(t, "asymmetric") {
		class("A", changeset.Asymmetric).KeyType = changeset.ObjectID
	}
	for _, name := range slices.Sorted(maps.Keys(s.Classes)) {
		c := s.Classes[name]
		for i := range rapid.IntRange(1, 5).Draw(t, "properties") {
			p := drawProperty(t)
			p.Name = fmt.Sprintf("p%d", i)
			c.Properties[p.Name] = p
		}
		// E2 is in E1, that in E0, and that in every class.
		if name != "E2" {
			target := "E0"
			if c.Kind == changeset.Embedded {
				target = string([]byte{'E', name[1] + 1})
			}
			p := &Property{Name: "e", Type: changeset.Link, Target: target}
			p.Collection = rapid.SampledFrom([]changeset.Collection{
				changeset.Single, changeset.ListOf, changeset.DictionaryOf}).Draw(t, "embedded")
			p.Nullable = p.AcceptsNull()
			c.Properties["e"] = p
		}
	}
	return s
}

func drawProperty(t *rapid.T) *Property {
	p := &Property{Collection: changeset.Collection(rapid.IntRange(0, 3).Draw(t, "collection"))}
	switch rapid.IntRange(0, 3).Draw(t, "type") {
	case 0:
		p.Type, p.Nullable = changeset.Mixed, true
	case 1:
		p.Type, p.Target = changeset.Link, fmt.Sprintf("T%d", rapid.IntRange(0, 2).Draw(t, "target"))
		p.Nullable = p.AcceptsNull()
	default:
		v := rapid.SampledFrom(defaults).Draw(t, "default")
		p.Type, p.Nullable = v.Type, rapid.Bool().Draw(t, "nullable")
		p.Int32 = p.Type == changeset.Int && rapid.Bool().Draw(t, "32 bits")
		if p.Collection == changeset.Single && !p.Nullable && rapid.Bool().Draw(t, "has default") {
			p.Default = &v
		}
	}
	return p
}

// FuzzParseJSON: no text panics, and what parses can be printed and parsed again.
func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(taskSchema), []byte(taskRelationships))
	f.Add([]byte(personSchema), []byte(""))
	f.Fuzz(func(t *testing.T, data, relationships []byte) {
		person := JSONFile{Name: "person", Schema: []byte(personSchema), Collection: "people"}
		s, err := ParseJSON(person, JSONFile{Name: "fuzz", Schema: data, Relationships: relationships})
		if err != nil {
			if !errors.Is(err, ErrBadJSONSchema) {
				t.Fatal(err)
			}
			return
		}
		checkLearned(t, s)
		var files []JSONFile
		for name, c := range s.Classes {
			if c.Kind == changeset.Embedded {
				continue
			}
			text, err := s.MarshalJSONSchema(name, "db")
			if errors.Is(err, ErrNotJSONSchema) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, JSONFile{Name: name, Schema: text})
		}
		again, err := ParseJSON(files...)
		if err != nil {
			t.Fatal(err)
		}
		if changes := again.Diff(s); len(changes) > 0 {
			t.Fatalf("%v", changes)
		}
	})
}
