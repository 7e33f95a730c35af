package schema

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

func TestClone(t *testing.T) {
	v := changeset.IntValue(1)
	s := &Schema{Classes: map[string]*Class{"P": {
		Name: "P", KeyType: changeset.Int,
		Properties: map[string]*Property{"n": {Name: "n", Type: changeset.Int, Default: &v}},
	}}}
	c := s.Clone()
	if changes := c.Diff(s); len(changes) > 0 {
		t.Errorf("a clone differs: %v", changes)
	}
	c.Classes["P"].KeyNullable = true
	c.Classes["P"].Properties["n"].Nullable = true
	c.Classes["P"].Properties["n"].Default.Num = 2
	c.Classes["P"].Properties["x"] = &Property{Name: "x"}
	c.Classes["Q"] = &Class{Name: "Q"}
	p := s.Classes["P"]
	if len(s.Classes) != 1 || p.KeyNullable || len(p.Properties) != 1 || p.Properties["n"].Nullable || v.Num != 1 {
		t.Errorf("the clone shares memory: %+v", p)
	}
	var none *Schema
	if c := none.Clone(); c == nil || len(c.ClassNames()) != 0 || c.Class("P") != nil {
		t.Errorf("clone of nil: %+v", c)
	}
}

func TestAcceptsNull(t *testing.T) {
	single, list, dict, set := changeset.Single, changeset.ListOf, changeset.DictionaryOf, changeset.SetOf
	for _, test := range []struct {
		typ      changeset.Type
		accept   []changeset.Collection // whatever the flag says
		declared bool                   // as the flag says
	}{
		{typ: changeset.Mixed, accept: []changeset.Collection{single, list, dict, set}},
		{typ: changeset.Link, accept: []changeset.Collection{single, dict}},
		{typ: changeset.String, declared: true},
	} {
		for _, kind := range []changeset.Collection{single, list, dict, set} {
			for _, nullable := range []bool{false, true} {
				want := slices.Contains(test.accept, kind)
				if test.declared {
					want = nullable
				}
				p := &Property{Type: test.typ, Collection: kind, Nullable: nullable}
				if got := p.AcceptsNull(); got != want {
					t.Errorf("%v of type %v, nullable %v: got %v, want %v", kind, test.typ, nullable, got, want)
				}
			}
		}
	}
}

// TestMalformedPayloads: values that no client could hold are refused.
func TestMalformedPayloads(t *testing.T) {
	s := &Schema{}
	for name, v := range map[string]changeset.Value{
		"nanoseconds too many":  changeset.TimestampValue(0, 1_000_000_000),
		"nanoseconds too few":   changeset.TimestampValue(0, -1_000_000_000),
		"signs differ":          changeset.TimestampValue(1, -1),
		"signs differ, 1969":    changeset.TimestampValue(-1, 1),
		"short object id":       {Type: changeset.ObjectID, Str: "short"},
		"long UUID":             {Type: changeset.UUID, Str: strings.Repeat("x", 17)},
		"string too long":       changeset.StringValue(strings.Repeat("x", changeset.MaxString+1)),
		"binary too long":       {Type: changeset.Binary, Str: strings.Repeat("x", changeset.MaxBinary+1)},
		"global key":            {Type: changeset.GlobalKey},
		"set":                   {Type: changeset.Set},
		"type outside the list": {Type: 77},
	} {
		if err := s.CheckPayload(MixedElement, InField, v); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, v := range map[string]changeset.Value{
		"before 1970":     changeset.TimestampValue(-1, -999_999_999),
		"around 1970":     changeset.TimestampValue(0, -5),
		"after":           changeset.TimestampValue(5, 999_999_999),
		"longest string":  changeset.StringValue(strings.Repeat("x", changeset.MaxString)),
		"longest binary":  {Type: changeset.Binary, Str: strings.Repeat("x", changeset.MaxBinary)},
		"infinite number": changeset.DecimalValue(0, 0, changeset.DecimalInfinity, true),
	} {
		if err := s.CheckPayload(MixedElement, InField, v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChangeError(t *testing.T) {
	s := &Schema{}
	add := func(c changeset.Column) error {
		_, err := s.Apply(&changeset.Instruction{Op: changeset.OpAddColumn, Class: "P", Field: "n", Column: &c})
		return err
	}
	if _, err := s.Apply(&changeset.Instruction{Op: changeset.OpAddTable, Class: "P",
		Table: &changeset.Table{KeyField: "_id", KeyType: changeset.Int}}); err != nil {
		t.Fatal(err)
	}
	if err := add(changeset.Column{Type: changeset.Int}); err != nil {
		t.Fatal(err)
	}
	err := add(changeset.Column{Type: changeset.Int, Nullable: true, Collection: changeset.ListOf})
	var failed *ChangeError
	if !errors.As(err, &failed) || !errors.Is(err, ErrInvalidSchemaChange) {
		t.Fatalf("got %v", err)
	}
	want := ChangeError{Class: "P", Property: "n", Have: "int", Want: "list of optional int", Hint: breakingHint}
	if *failed != want {
		t.Errorf("got %+v, want %+v", *failed, want)
	}
	// Instructions without their operands are refused, too.
	for _, op := range []changeset.Op{changeset.OpAddTable, changeset.OpAddColumn} {
		in := &changeset.Instruction{Op: op, Class: "P", Field: "x"}
		if _, err := s.Apply(in); !errors.Is(err, ErrInvalidSchemaChange) {
			t.Errorf("%v without operand: %v", op, err)
		}
		if _, err := s.ApplyAsClient(in); !errors.Is(err, ErrInvalidSchemaChange) {
			t.Errorf("%v without operand, as client: %v", op, err)
		}
	}
}

func TestDiff(t *testing.T) {
	build := func(change func(*Schema)) *Schema {
		s := &Schema{Classes: map[string]*Class{
			"E": {Name: "E", Kind: changeset.Embedded, Properties: map[string]*Property{}},
			"P": {Name: "P", KeyType: changeset.Int, Properties: map[string]*Property{
				"n": {Name: "n", Type: changeset.Int},
				"s": {Name: "s", Type: changeset.String, Nullable: true},
				"l": {Name: "l", Type: changeset.Link, Target: "P", Nullable: true},
			}},
		}}
		change(s)
		return s
	}
	seven := changeset.IntValue(7)
	old := build(func(*Schema) {})
	for _, test := range []struct {
		name   string
		change func(*Schema)
		want   []string // prefixed with "breaking: "
	}{
		{"nothing", func(*Schema) {}, nil},
		{"flag of a link", func(s *Schema) { s.Classes["P"].Properties["l"].Nullable = false }, nil},
		{"class added", func(s *Schema) {
			s.Classes["Q"] = &Class{Name: "Q", KeyType: changeset.UUID, KeyNullable: true,
				Properties: map[string]*Property{"x": {Name: "x", Type: changeset.Mixed, Nullable: true, Collection: changeset.SetOf}}}
		}, []string{`class "Q" added: class with a primary key of type optional uuid`, `class "Q", property "x" added: set of mixed`}},
		{"class removed", func(s *Schema) { delete(s.Classes, "E") }, []string{`breaking: class "E" removed: embedded class`}},
		{"class redefined", func(s *Schema) { s.Classes["P"].Kind = changeset.Asymmetric }, []string{
			`breaking: class "P" was class with a primary key of type int, is asymmetric class with a primary key of type int`}},
		{"collection", func(s *Schema) { s.Classes["P"].Collection = "ps" }, []string{
			`breaking: class "P" was class with a primary key of type int, is class with a primary key of type int in collection "ps"`}},
		{"same collection", func(s *Schema) { s.Classes["P"].Collection = "P" }, nil},
		{"property added", func(s *Schema) { s.Classes["P"].Properties["a"] = &Property{Name: "a", Type: changeset.Bool} },
			[]string{`class "P", property "a" added: bool`}},
		{"property removed", func(s *Schema) { delete(s.Classes["P"].Properties, "s") },
			[]string{`breaking: class "P", property "s" removed: optional string`}},
		{"property redefined", func(s *Schema) { s.Classes["P"].Properties["s"].Nullable = false },
			[]string{`breaking: class "P", property "s" was optional string, is string`}},
		{"width", func(s *Schema) { s.Classes["P"].Properties["n"].Int32 = true },
			[]string{`class "P", property "n" was int, is int of 32 bits`}},
		{"default", func(s *Schema) { s.Classes["P"].Properties["n"].Default = &seven },
			[]string{`class "P", property "n" was int, is int with default int:7`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, c := range build(test.change).Diff(old) {
				text := c.String()
				if c.Breaking {
					text = "breaking: " + text
				}
				got = append(got, text)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}
