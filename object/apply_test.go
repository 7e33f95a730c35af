package object

import (
	"errors"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// mixedSchema has one class P with a mixed m, a list of mixed l and a list of
// ints n.
func mixedSchema() *schema.Schema {
	property := func(name string, typ changeset.Type, kind changeset.Collection) *schema.Property {
		return &schema.Property{Name: name, Type: typ, Nullable: typ == changeset.Mixed, Collection: kind}
	}
	return &schema.Schema{Classes: map[string]*schema.Class{"P": {
		Name: "P", KeyType: changeset.Int,
		Properties: map[string]*schema.Property{
			"m": property("m", changeset.Mixed, changeset.Single),
			"l": property("l", changeset.Mixed, changeset.ListOf),
			"n": property("n", changeset.Int, changeset.ListOf),
		},
	}}}
}

func TestNestingEnds(t *testing.T) {
	s := mixedSchema()
	for _, test := range []struct {
		field string
		steps int // levels of lists below the property's value
	}{{"m", 99}, {"l", 99}} {
		o := &Object{}
		list := changeset.SpecialValue(changeset.List)
		in := changeset.Instruction{Op: changeset.OpUpdate, Class: "P", Key: changeset.IntKey(1), Field: test.field, Value: list}
		if test.field == "m" {
			if err := o.Apply(s, s.Class("P"), &in); err != nil {
				t.Fatal(err)
			}
		}
		in.Op = changeset.OpArrayInsert
		for i := range 120 {
			in.Path = append(in.Path, changeset.PathElement{IsIndex: true})
			err := o.Apply(s, s.Class("P"), &in)
			if failed := err != nil; failed != (i >= test.steps) {
				t.Fatalf("%s: list below %d: %v", test.field, i, err)
			}
			if err != nil {
				break
			}
		}
	}
}

func TestApplyError(t *testing.T) {
	s, o := mixedSchema(), &Object{}
	in := &changeset.Instruction{
		Op: changeset.OpArrayErase, Class: "P", Key: changeset.IntKey(1), Field: "n",
		Path: changeset.Path{{Index: 4, IsIndex: true}}, Prior: 5,
	}
	err := o.Apply(s, s.Class("P"), in)
	var failed *ApplyError
	if !errors.As(err, &failed) || !errors.Is(err, ErrBadInstruction) {
		t.Fatalf("got %T %v", err, err)
	}
	if failed.Class != "P" || failed.Field != "n" || failed.Reason == "" {
		t.Errorf("got %+v", failed)
	}
	if want := "bad instruction: ArrayErase P[1].n[4]: "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, want it to begin with %q", err, want)
	}
	in.Path[0].Index = 9
	if failed.Path[0].Index != 4 {
		t.Error("the error shares the instruction's path")
	}
	create := &changeset.Instruction{Op: changeset.OpCreateObject, Class: "P", Key: changeset.IntKey(1)}
	if err := o.Apply(s, s.Class("P"), create); !errors.Is(err, ErrBadInstruction) {
		t.Errorf("CreateObject: got %v", err)
	}
}

func TestFromInstructionsRefuses(t *testing.T) {
	s := mixedSchema()
	ref := changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}
	create := changeset.Instruction{Op: changeset.OpCreateObject, Class: "P", Key: ref.Key}
	update := func(class string, key int64, field string) changeset.Instruction {
		return changeset.Instruction{Op: changeset.OpUpdate, Class: class, Key: changeset.IntKey(key), Field: field, Value: changeset.IntValue(1)}
	}
	for name, test := range map[string]struct {
		ref changeset.ObjectRef
		cs  changeset.Changeset
	}{
		"empty":            {ref, nil},
		"no creation":      {ref, changeset.Changeset{update("P", 1, "m")}},
		"another object":   {ref, changeset.Changeset{create, update("P", 2, "m")}},
		"another class":    {ref, changeset.Changeset{create, update("Q", 1, "m")}},
		"unknown class":    {changeset.ObjectRef{Class: "Q", Key: ref.Key}, changeset.Changeset{create}},
		"unknown property": {ref, changeset.Changeset{create, update("P", 1, "x")}},
		"created again":    {ref, changeset.Changeset{create, create}},
		"created another":  {changeset.ObjectRef{Class: "P", Key: changeset.IntKey(2)}, changeset.Changeset{create}},
	} {
		if o, err := FromInstructions(s, test.ref, test.cs); !errors.Is(err, ErrBadInstruction) {
			t.Errorf("%s: got %v, %v", name, o, err)
		}
	}
}

func TestDiffOfNothing(t *testing.T) {
	s := mixedSchema()
	ref := changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}
	o := &Object{Fields: map[string]Node{"m": changeset.IntValue(3)}}
	for name, test := range map[string]struct {
		before, after *Object
		want          string
	}{
		"both nil": {nil, nil, ""},
		"created":  {nil, o, "CreateObject P[1]; Update P[1].m = int:3"},
		"erased":   {o, nil, "EraseObject P[1]"},
		"same":     {o, o.Clone(), ""},
	} {
		var texts []string
		for _, in := range Diff(s, ref, test.before, test.after) {
			texts = append(texts, in.String())
		}
		if got := strings.Join(texts, "; "); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	if got := Diff(s, changeset.ObjectRef{Class: "Unknown"}, o, nil); got != nil {
		t.Errorf("unknown class: got %v", got)
	}
}

// TestDiffOfLongLists: lists too different for a search are changed in place.
func TestDiffOfLongLists(t *testing.T) {
	s := mixedSchema()
	ref := changeset.ObjectRef{Class: "P", Key: changeset.IntKey(1)}
	list := func(first, n int64) *Object {
		l := &List{}
		for i := range n {
			l.Items = append(l.Items, changeset.IntValue(first+i))
		}
		return &Object{Fields: map[string]Node{"n": l}}
	}
	checkDiff(t, s, ref, list(0, 3000), list(10_000, 2990))
	if got := len(Diff(s, ref, list(0, 3000), list(10_000, 2990))); got != 3000 {
		t.Errorf("got %d instructions, want 2990 updates and 10 erasures", got)
	}
	checkDiff(t, s, ref, list(0, 3000), list(5, 3000))
	if got := len(Diff(s, ref, list(0, 3000), list(5, 3000))); got != 10 {
		t.Errorf("got %d instructions, want 5 erasures and 5 insertions", got)
	}
}
