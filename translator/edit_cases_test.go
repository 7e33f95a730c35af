package translator

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// Shorthands for instructions on the Task with key 1.

func path(steps ...any) changeset.Path {
	var p changeset.Path
	for _, s := range steps {
		switch s := s.(type) {
		case int:
			p = append(p, changeset.PathElement{Index: uint32(s), IsIndex: true})
		case string:
			p = append(p, changeset.PathElement{Name: s})
		}
	}
	return p
}

func on(op changeset.Op, field string, steps ...any) changeset.Instruction {
	return changeset.Instruction{Op: op, Class: "Task", Key: changeset.IntKey(1), Field: field, Path: path(steps...)}
}

func update(v changeset.Value, field string, steps ...any) changeset.Instruction {
	in := on(changeset.OpUpdate, field, steps...)
	in.Value = v
	return in
}

func insert(v changeset.Value, prior uint32, field string, steps ...any) changeset.Instruction {
	in := on(changeset.OpArrayInsert, field, steps...)
	in.Value, in.Prior = v, prior
	return in
}

func erase(prior uint32, field string, steps ...any) changeset.Instruction {
	in := on(changeset.OpArrayErase, field, steps...)
	in.Prior = prior
	return in
}

func move(to, prior uint32, field string, steps ...any) changeset.Instruction {
	in := on(changeset.OpArrayMove, field, steps...)
	in.To, in.Prior = to, prior
	return in
}

func clearOf(kind changeset.Collection, field string, steps ...any) changeset.Instruction {
	in := on(changeset.OpClear, field, steps...)
	in.Collection = kind
	return in
}

func add(n int64, field string) changeset.Instruction {
	in := on(changeset.OpAddInteger, field)
	in.Addend = n
	return in
}

func setOp(op changeset.Op, v changeset.Value, field string) changeset.Instruction {
	in := on(op, field)
	in.Value = v
	return in
}

var (
	i64       = changeset.IntValue
	text      = changeset.StringValue
	nullValue = changeset.NullValue()
	newObj    = changeset.SpecialValue(changeset.ObjectValue)
	erased    = changeset.SpecialValue(changeset.Erased)
)

// TestEditCases: the updates themselves, for each row of the table of
// instructions and types and each rule of paths. The first field of every
// document is {"_id": 1, "n": 1}.
func TestEditCases(t *testing.T) {
	long := func(n int) string { return fmt.Sprintf(`{"$numberLong":"%d"}`, n) }
	for _, c := range []struct {
		name string
		doc  string
		in   changeset.Changeset
		want string // the update, "" for none
	}{
		{"scalar", `{}`, changeset.Changeset{update(i64(2), "n")}, `{"$set":{"n":` + long(2) + `}}`},
		{"equal scalar of another width", `{}`, changeset.Changeset{update(i64(1), "n")}, ``},
		{"there and back", `{"opt":"a"}`, changeset.Changeset{update(text("b"), "opt"), update(text("a"), "opt")}, ``},
		{"int32", `{}`, changeset.Changeset{update(i64(5), "small")}, `{"$set":{"small":5}}`},
		{"default becomes a value", `{}`, changeset.Changeset{update(text("x"), "state")}, `{"$set":{"state":"x"}}`},
		{"default that a device writes", `{}`, changeset.Changeset{update(text("new"), "state")}, `{"$set":{"state":"new"}}`},
		{"null over absent", `{}`, changeset.Changeset{update(nullValue, "opt")}, ``},
		{"null over null", `{"opt":null}`, changeset.Changeset{update(nullValue, "opt")}, ``},
		{"null over a value", `{"opt":"a"}`, changeset.Changeset{update(nullValue, "opt")}, `{"$set":{"opt":null}}`},
		{"add", `{}`, changeset.Changeset{add(2, "n"), add(-5, "n")}, `{"$set":{"n":` + long(-2) + `}}`},
		{"add to a default", `{}`, changeset.Changeset{add(2, "count")}, `{"$set":{"count":` + long(5) + `}}`},
		{"add to null", `{}`, changeset.Changeset{add(2, "small")}, ``},
		{"add in mixed", `{"any":4}`, changeset.Changeset{add(2, "any")}, `{"$set":{"any":` + long(6) + `}}`},
		{"date loses what MongoDB can't hold", `{"date":{"$date":"1970-01-01T00:00:01Z"}}`,
			changeset.Changeset{update(changeset.TimestampValue(1, 999_999), "date")}, ``},
		{"date before 1970", `{}`, changeset.Changeset{update(changeset.TimestampValue(-1, -500_900_000), "date")},
			`{"$set":{"date":{"$date":{"$numberLong":"-1500"}}}}`},
		{"link", `{}`, changeset.Changeset{update(changeset.LinkValue("Person", changeset.StringKey("ann")), "owner")}, `{"$set":{"owner":"ann"}}`},
		{"link in mixed", `{}`, changeset.Changeset{update(changeset.LinkValue("Person", changeset.StringKey("ann")), "any")},
			`{"$set":{"any":{"$ref":"people","$id":"ann","$db":"here"}}}`},

		{"embedded made", `{}`, changeset.Changeset{update(newObj, "note")}, `{"$set":{"note":{"text":""}}}`},
		{"embedded over null", `{"note":null}`, changeset.Changeset{update(newObj, "note"), update(text("x"), "note", "text")}, `{"$set":{"note":{"text":"x"}}}`},
		{"embedded is there", `{"note":{"text":"a","mine":1}}`, changeset.Changeset{update(newObj, "note"), update(text("b"), "note", "text")}, `{"$set":{"note.text":"b"}}`},
		{"embedded replaced", `{"note":{"text":"a","mine":1}}`, changeset.Changeset{update(nullValue, "note"), update(newObj, "note")}, `{"$set":{"note":{"text":""}}}`},
		{"embedded removed", `{"note":{"text":"a"}}`, changeset.Changeset{update(nullValue, "note")}, `{"$set":{"note":null}}`},
		{"inside an element", `{"notes":[{"text":"a","mine":1}]}`, changeset.Changeset{update(text("b"), "notes", 0, "text")}, `{"$set":{"notes.0.text":"b"}}`},
		{"list in an element", `{"notes":[{"text":"a","tags":["x"]}]}`, changeset.Changeset{insert(text("y"), 1, "notes", 0, "tags", 1)}, `{"$set":{"notes.0.tags.1":"y"}}`},
		{"element appended", `{"notes":[{"text":"a","mine":1}]}`, changeset.Changeset{insert(newObj, 1, "notes", 1)}, `{"$set":{"notes.1":{"text":""}}}`},
		{"element in front", `{"notes":[{"text":"a","mine":1}]}`, changeset.Changeset{insert(newObj, 1, "notes", 0)}, `{"$set":{"notes":[{"text":""},{"text":"a","mine":1}]}}`},
		{"element erased", `{"notes":[{"text":"a","mine":1},{"text":"b","mine":2}]}`, changeset.Changeset{erase(2, "notes", 0)}, `{"$set":{"notes":[{"text":"b","mine":2}]}}`},
		{"element moved and changed", `{"notes":[{"text":"a","mine":1},{"text":"b","mine":2}]}`,
			changeset.Changeset{move(0, 2, "notes", 1), update(text("c"), "notes", 0, "text")},
			`{"$set":{"notes":[{"text":"c","mine":2},{"text":"a","mine":1}]}}`},
		{"made in a dictionary", `{"noteOf":{"k":{"text":"a","mine":1}}}`, changeset.Changeset{update(newObj, "noteOf", "k")}, `{"$set":{"noteOf.k":{"text":""}}}`},

		{"list is made", `{}`, changeset.Changeset{insert(i64(1), 0, "list", 0)}, `{"$set":{"list":[` + long(1) + `]}}`},
		{"list was null", `{"list":null}`, changeset.Changeset{insert(i64(1), 0, "list", 0)}, `{"$set":{"list":[` + long(1) + `]}}`},
		{"append", `{"list":[1,2]}`, changeset.Changeset{insert(i64(3), 2, "list", 2)}, `{"$set":{"list.2":` + long(3) + `}}`},
		{"element set", `{"list":[1,2,3]}`, changeset.Changeset{update(i64(9), "list", 1)}, `{"$set":{"list.1":` + long(9) + `}}`},
		{"more than half", `{"list":[1,2,3]}`, changeset.Changeset{update(i64(9), "list", 1), update(i64(8), "list", 2)}, `{"$set":{"list":[1,` + long(9) + `,` + long(8) + `]}}`},
		{"insert and erase cancel", `{"list":[1,2]}`, changeset.Changeset{insert(i64(3), 2, "list", 0), erase(3, "list", 0)}, ``},
		{"clear", `{"list":[1,2]}`, changeset.Changeset{clearOf(changeset.ListOf, "list")}, `{"$set":{"list":[]}}`},
		{"clear of nothing", `{}`, changeset.Changeset{clearOf(changeset.ListOf, "list")}, ``},

		{"set insert", `{"set":[1,2]}`, changeset.Changeset{setOp(changeset.OpSetInsert, i64(3), "set"), setOp(changeset.OpSetInsert, i64(1), "set")}, `{"$set":{"set.2":` + long(3) + `}}`},
		{"set erase, with its repetition", `{"set":[1,2,1]}`, changeset.Changeset{setOp(changeset.OpSetErase, i64(1), "set")}, `{"$set":{"set":[2]}}`},
		{"set of mixed has the number", `{"anySet":[1]}`, changeset.Changeset{setOp(changeset.OpSetInsert, changeset.DoubleValue(1), "anySet")}, ``},

		{"dictionary is made", `{}`, changeset.Changeset{update(i64(1), "dict", "a")}, `{"$set":{"dict":{"a":` + long(1) + `}}}`},
		{"key set", `{"dict":{"0":1}}`, changeset.Changeset{update(i64(2), "dict", "0")}, `{"$set":{"dict.0":` + long(2) + `}}`},
		{"key removed", `{"dict":{"a":1,"b":2}}`, changeset.Changeset{update(erased, "dict", "a")}, `{"$unset":{"dict.a":""}}`},
		{"key removed that is not there", `{}`, changeset.Changeset{update(erased, "dict", "a")}, ``},
		{"key removed and set", `{"dict":{"a":1,"b":2}}`, changeset.Changeset{update(erased, "dict", "a"), update(i64(3), "dict", "a")}, `{"$set":{"dict.a":` + long(3) + `}}`},
		{"empty key", `{"dict":{"a":1}}`, changeset.Changeset{update(i64(2), "dict", "")}, `{"$set":{"dict":{"a":1,"":` + long(2) + `}}}`},

		{"mixed becomes a list", `{"any":1}`, changeset.Changeset{update(changeset.SpecialValue(changeset.List), "any"), insert(nullValue, 0, "any", 0)}, `{"$set":{"any":[null]}}`},
		{"mixed stays a list", `{"any":[1]}`, changeset.Changeset{update(changeset.SpecialValue(changeset.List), "any")}, ``},
		{"a link is no dictionary", `{"any":{"$ref":"people","$id":"a"}}`, changeset.Changeset{update(changeset.SpecialValue(changeset.Dictionary), "any")}, `{"$set":{"any":{}}}`},
		{"mixed in mixed", `{"any":{"a":[1,{"b":2}],"c":3}}`, changeset.Changeset{update(text("x"), "any", "a", 1, "b")}, `{"$set":{"any.a.1.b":"x"}}`},
		{"clear in mixed", `{"any":{"a":[1]}}`, changeset.Changeset{clearOf(changeset.DictionaryOf, "any", "a")}, `{"$set":{"any.a":{}}}`},

		{"another object", `{}`, changeset.Changeset{{Op: changeset.OpUpdate, Class: "Task", Key: changeset.IntKey(2), Field: "n", Value: i64(5)}}, ``},
		{"created again", `{}`, changeset.Changeset{{Op: changeset.OpCreateObject, Class: "Task", Key: changeset.IntKey(1)}}, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, class := testSchema()
			m := Mapping{Database: "here"}
			var fields bson.D
			if err := bson.Unmarshal(fromJSON(t, c.doc), &fields); err != nil {
				t.Fatal(err)
			}
			doc, err := bson.Marshal(append(bson.D{{Key: "_id", Value: int32(1)}, {Key: "n", Value: int32(1)}}, fields...))
			if err != nil {
				t.Fatal(err)
			}
			before, err := m.MapDocument(s, class, doc)
			if err != nil {
				t.Fatal(err)
			}
			after := before.Clone()
			for i := range c.in {
				if c.in[i].Key != changeset.IntKey(1) || !c.in[i].Op.HasPath() {
					continue
				}
				if err := after.Apply(s, class, &c.in[i]); err != nil {
					t.Fatal(err)
				}
			}
			w, err := m.Edit(s, class, doc, changeset.IntKey(1), before, after, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if w.Kind != None {
					t.Fatalf("%v %s, want nothing", w.Kind, w.Update)
				}
				return
			}
			if want := fromJSON(t, c.want); w.Kind != Update || string(w.Update) != string(want) {
				t.Fatalf("%v\n got %s\nwant %s", w.Kind, w.Update, want)
			}
		})
	}
}

func TestUnsetNulls(t *testing.T) {
	s, class := testSchema()
	m := Mapping{UnsetNulls: true}
	doc := fromJSON(t, `{"_id":1,"n":1,"opt":"a","noteOf":{"k":{"text":"a"}}}`)
	before, err := m.MapDocument(s, class, doc)
	if err != nil {
		t.Fatal(err)
	}
	after := before.Clone()
	in := changeset.Changeset{update(nullValue, "opt"), update(nullValue, "noteOf", "k")}
	for i := range in {
		if err := after.Apply(s, class, &in[i]); err != nil {
			t.Fatal(err)
		}
	}
	w, err := m.Edit(s, class, doc, changeset.IntKey(1), before, after, in)
	if want := fromJSON(t, `{"$set":{"noteOf.k":null},"$unset":{"opt":""}}`); err != nil || string(w.Update) != string(want) {
		t.Fatalf("%v %s, want %s", err, w.Update, want)
	}
}

// TestManyPaths: above twenty paths below a field the field is set whole, with
// what is foreign in it; a field that has no path makes it a replacement.
func TestManyPaths(t *testing.T) {
	s, class := testSchema()
	for _, c := range []struct {
		keys int
		want int // paths
	}{{20, 20}, {21, 1}} {
		var dict bson.D
		for i := range 40 {
			dict = append(dict, bson.E{Key: fmt.Sprint("k", i), Value: i})
		}
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}, {Key: "dict", Value: dict}})
		if err != nil {
			t.Fatal(err)
		}
		before := mustMap(t, s, class, doc)
		after := before.Clone()
		var in changeset.Changeset
		for i := range c.keys {
			in = append(in, update(i64(int64(i+100)), "dict", fmt.Sprint("k", i)))
			if err := after.Apply(s, class, &in[i]); err != nil {
				t.Fatal(err)
			}
		}
		w, err := Edit(s, class, doc, changeset.IntKey(1), before, after, in)
		if err != nil {
			t.Fatal(err)
		}
		set, err := w.Update.Lookup("$set").Document().Elements()
		if err != nil || len(set) != c.want {
			t.Errorf("%d keys in %d paths (%v), want %d", c.keys, len(set), err, c.want)
		}
	}

	name := "a.b"
	p := *class.Properties["opt"]
	p.Name = name
	class.Properties[name] = &p
	doc := fromJSON(t, `{"_id":1,"n":1,"mine":true}`)
	before := mustMap(t, s, class, doc)
	after := before.Clone()
	in := changeset.Changeset{update(text("x"), name)}
	if err := after.Apply(s, class, &in[0]); err != nil {
		t.Fatal(err)
	}
	w, err := Edit(s, class, doc, changeset.IntKey(1), before, after, in)
	if want := fromJSON(t, `{"_id":1,"n":1,"mine":true,"a.b":"x"}`); err != nil || w.Kind != Replace || string(w.Document) != string(want) {
		t.Errorf("%v %v %s, want the replacement %s", err, w.Kind, w.Document, want)
	}
}

func TestEditOfWholeDocuments(t *testing.T) {
	s, class := testSchema()
	key := changeset.IntKey(1)
	doc := fromJSON(t, `{"_id":1.0,"n":1,"mine":true}`)
	o := &object.Object{Fields: map[string]object.Node{"n": i64(5), "opt": text("x")}}
	recreated := changeset.Changeset{
		{Op: changeset.OpEraseObject, Class: "Task", Key: key}, {Op: changeset.OpCreateObject, Class: "Task", Key: key}, update(i64(5), "n"),
	}
	for _, c := range []struct {
		name          string
		doc           bson.Raw
		before, after *object.Object
		in            changeset.Changeset
		kind          WriteKind
		want          string
	}{
		{"nothing", nil, nil, nil, nil, None, ""},
		{"gone already", nil, o, nil, nil, None, ""},
		{"erase", doc, o, nil, nil, Delete, ""},
		{"create", nil, nil, o, nil, Insert, `{"_id":{"$numberLong":"1"},"count":{"$numberLong":"0"},"n":{"$numberLong":"5"},"opt":"x","state":""}`},
		{"document gone, object stays", nil, o, o, nil, Insert, `{"_id":{"$numberLong":"1"},"count":{"$numberLong":"0"},"n":{"$numberLong":"5"},"opt":"x","state":""}`},
		{"erase and create", doc, o, o, recreated, Replace, `{"_id":1.0,"count":{"$numberLong":"0"},"n":{"$numberLong":"5"},"opt":"x","state":""}`},
	} {
		w, err := Edit(s, class, c.doc, key, c.before, c.after, c.in)
		if err != nil || w.Kind != c.kind || c.want != "" && string(w.Document) != string(fromJSON(t, c.want)) {
			t.Errorf("%s: %v %v %s, want %v %s", c.name, err, w.Kind, w.Document, c.kind, c.want)
		}
	}
	var r *RefusedValue
	if _, err := Edit(s, class, doc, key, nil, o, nil); !errors.As(err, &r) {
		t.Errorf("over a document that is not synced: %v", err)
	}
}

// TestRefusedValues: what MongoDB can't hold is refused with its place, in new
// documents and in changes.
func TestRefusedValues(t *testing.T) {
	list := func(items ...object.Node) *object.List { return &object.List{Items: items} }
	dict := func(key string, v object.Node) *object.Dictionary {
		return &object.Dictionary{Entries: map[string]object.Node{key: v}}
	}
	for _, c := range []struct {
		field string
		node  object.Node
		want  string
	}{
		{"date", changeset.TimestampValue(math.MaxInt64/1000+1, 0), `field "date": the date 9223372036854776 s since 1970 is beyond what a BSON date holds`},
		{"date", changeset.TimestampValue(math.MaxInt64/1000, 900_000_000), `field "date": the date 9223372036854775 s since 1970 is beyond what a BSON date holds`},
		{"date", changeset.TimestampValue(math.MinInt64/1000, -900_000_000), `field "date": the date -9223372036854775 s since 1970 is beyond what a BSON date holds`},
		{"small", i64(1 << 31), `field "small": 2147483648 is beyond the 32 bits that the schema gives this integer`},
		{"dec", changeset.DecimalValue(0, 1, 6112, false), `field "dec": the decimal with exponent 6112 is beyond what a BSON decimal holds`},
		{"dec", changeset.DecimalValue(0, 1, -6177, false), `field "dec": the decimal with exponent -6177 is beyond what a BSON decimal holds`},
		{"dec", changeset.DecimalValue(1<<49, 0, 0, false), `field "dec": the decimal with exponent 0 is beyond what a BSON decimal holds`},
		{"dict", dict("a.b", i64(1)), `field "dict": dictionary key "a.b" contains a dot`},
		{"dict", dict("$a", i64(1)), `field "dict": dictionary key "$a" begins with a dollar sign`},
		{"dict", dict("a\x00", i64(1)), `field "dict": dictionary key "a\x00" contains a NUL, which MongoDB can't store`},
		{"any", dict("x", list(nullValue, dict("a.b", nullValue))), `field "any.x.1": dictionary key "a.b" contains a dot`},
		{"any", list(changeset.TimestampValue(math.MaxInt64, 0)), `field "any.0": the date 9223372036854775807 s since 1970 is beyond what a BSON date holds`},
		{"any", changeset.LinkValue("Note", changeset.NullKey), `field "any": a link leads to "Note", which is no class that has documents`},
		{"any", changeset.SpecialValue(changeset.Set), `field "any": a value of type -6 can't stand in a document`},
		{"notes", list(&object.Object{Fields: map[string]object.Node{"tags": list(changeset.SpecialValue(changeset.Erased))}}), `field "notes.0.tags.0": a value of type -4 can't stand in a document`},
		{"moments", &object.Set{Items: []changeset.Value{changeset.TimestampValue(math.MaxInt64, 0)}}, `field "moments.0": the date 9223372036854775807 s since 1970 is beyond what a BSON date holds`},
	} {
		s, class := testSchema()
		after := &object.Object{Fields: map[string]object.Node{c.field: c.node}}
		_, err := NewDocument(s, class, changeset.IntKey(1), after)
		if err == nil || err.Error() != c.want {
			t.Errorf("insert: got %v\nwant %s", err, c.want)
		}
		doc := fromJSON(t, `{"_id":1,"n":0,"state":""}`)
		before := mustMap(t, s, class, doc)
		_, err = Edit(s, class, doc, changeset.IntKey(1), before, after, touchAll(class, changeset.IntKey(1)))
		if err == nil || err.Error() != c.want {
			t.Errorf("update: got %v\nwant %s", err, c.want)
		}
	}
}

// TestRefusedForAWhile: a value that can't be stored does no harm if a later
// instruction replaced it.
func TestRefusedForAWhile(t *testing.T) {
	s, class := testSchema()
	doc := fromJSON(t, `{"_id":1,"n":0,"list":[],"date":{"$date":"2020-01-01T00:00:00Z"}}`)
	before := mustMap(t, s, class, doc)
	after := before.Clone()
	in := changeset.Changeset{
		update(changeset.TimestampValue(math.MaxInt64, 0), "date"),
		update(changeset.TimestampValue(1, 0), "date"),
	}
	for i := range in {
		if err := after.Apply(s, class, &in[i]); err != nil {
			t.Fatal(err)
		}
	}
	w, err := Edit(s, class, doc, changeset.IntKey(1), before, after, in)
	if want := fromJSON(t, `{"$set":{"date":{"$date":"1970-01-01T00:00:01Z"}}}`); err != nil || string(w.Update) != string(want) {
		t.Errorf("%v %s, want %s", err, w.Update, want)
	}
}

// TestSettle: whatever instructions did to the document, in the end it agrees
// with the object, and the foreign fields at its top are there.
func TestSettle(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sc := genScenario(r, Mapping{})
		after := genObject(r, sc.schema, sc.class)
		ref := changeset.ObjectRef{Class: "T", Key: sc.key}
		misleading := genInstructions(r, sc.schema, ref, genObject(r, sc.schema, sc.class), func(*changeset.Instruction) {})
		in := append(misleading, touchAll(sc.class, sc.key)...)
		var err error
		if sc.write, err = Edit(sc.schema, sc.class, sc.doc, sc.key, sc.before, after, in); err != nil {
			r.Fatalf("Edit: %v\n%s", err, sc)
		}
		got, err := applyWrite(sc.doc, sc.write)
		if err != nil {
			r.Fatalf("apply: %v\n%s", err, sc)
		}
		read, err := MapDocument(sc.schema, sc.class, got)
		if err != nil {
			r.Fatalf("map %s: %v\n%s", got, err, sc)
		}
		if Fingerprint(sc.schema, sc.class, read) != Fingerprint(sc.schema, sc.class, after) {
			r.Fatalf("got %s\nof %+v\n%s", got, in, sc)
		}
		for _, name := range foreignFields {
			if was, is := sc.doc.Lookup(name), got.Lookup(name); !sameBytes(was, is) {
				r.Fatalf("%s was %v, is %v\n%s", name, was, is, sc)
			}
		}
	})
}

// TestSettleKeepsForeignFields: without instructions to go by, what the schema
// doesn't name stays with the elements it can be matched to.
func TestSettleKeepsForeignFields(t *testing.T) {
	s, class := testSchema()
	doc := fromJSON(t, `{"_id":1,"n":1,"state":"","note":{"text":"x","mine":0},
		"notes":[{"text":"a","mine":1},{"text":"b","mine":2},{"text":"c","mine":3}],
		"noteOf":{"p":{"text":"p","mine":4},"q":{"text":"q","mine":5}},"set":[1,1,2],"any":{"d":{"x":1}}}`)
	after := mustMap(t, s, class, fromJSON(t, `{"n":1,"state":"","note":{"text":"y"},
		"notes":[{"text":"c"},{"text":"new"},{"text":"b"},{"text":"more"}],
		"noteOf":{"q":{"text":"Q"},"r":{"text":"r"}},"set":[2,3],"any":{"d":{"x":2},"e":[]}}`))
	w, err := Edit(s, class, doc, changeset.IntKey(1), mustMap(t, s, class, doc), after, touchAll(class, changeset.IntKey(1)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := applyWrite(doc, w)
	if err != nil {
		t.Fatal(err)
	}
	want := fromJSON(t, `{"_id":1,"n":1,"state":"","note":{"text":"y","mine":0},
		"notes":[{"text":"c","mine":3},{"text":"new","mine":1},{"text":"b","mine":2},{"text":"more"}],
		"noteOf":{"q":{"text":"Q","mine":5},"r":{"text":"r"}},"set":[2,{"$numberLong":"3"}],"any":{"d":{"x":{"$numberLong":"2"}},"e":[]}}`)
	if string(got) != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestEditIsMinimal: no update names the key, a field that no instruction is
// about, or a value that is there already.
func TestEditIsMinimal(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sc := genScenario(r, Mapping{})
		touched := map[string]bool{}
		for _, in := range sc.instructions {
			touched[in.Field] = true
		}
		if sc.write.Kind != None && len(touched) == 0 {
			r.Fatalf("a write for nothing\n%s", sc)
		}
		set, err := sc.write.Update.LookupErr("$set")
		if err != nil {
			return
		}
		elements, err := set.Document().Elements()
		if err != nil {
			r.Fatal(err)
		}
		for _, e := range elements {
			steps := strings.Split(e.Key(), ".")
			if !touched[steps[0]] {
				r.Fatalf("%s is touched\n%s", e.Key(), sc)
			}
			if was, err := sc.doc.LookupErr(steps...); err == nil && sameBytes(was, e.Value()) {
				r.Fatalf("%s is written again\n%s", e.Key(), sc)
			}
		}
	})
}

// TestLargeDictionary: keys set, removed and set again among many.
func TestLargeDictionary(t *testing.T) {
	s, class := testSchema()
	rapid.Check(t, func(r *rapid.T) {
		dict := bson.D{}
		for i := range rapid.IntRange(indexFrom-2, indexFrom+10).Draw(r, "keys") {
			dict = append(dict, bson.E{Key: fmt.Sprint("k", i), Value: int64(i)})
		}
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}, {Key: "dict", Value: dict}})
		if err != nil {
			r.Fatal(err)
		}
		before := mustMap(t, s, class, doc)
		after := before.Clone()
		var in changeset.Changeset
		for i := range rapid.IntRange(1, 10).Draw(r, "instructions") {
			v := erased
			if rapid.Bool().Draw(r, "set") {
				v = i64(rapid.Int64Range(0, 3).Draw(r, "value"))
			}
			in = append(in, update(v, "dict", fmt.Sprint("k", rapid.IntRange(0, indexFrom+12).Draw(r, "key"))))
			if err := after.Apply(s, class, &in[i]); err != nil {
				r.Fatal(err)
			}
		}
		w, err := Edit(s, class, doc, changeset.IntKey(1), before, after, in)
		if err != nil {
			r.Fatal(err)
		}
		got, err := applyWrite(doc, w)
		if err != nil {
			r.Fatalf("%v: %s", err, w.Update)
		}
		if Fingerprint(s, class, mustMap(t, s, class, got)) != Fingerprint(s, class, after) {
			r.Fatalf("got %s\nof %s", got, w.Update)
		}
	})
}
