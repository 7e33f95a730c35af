package object

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

var mainRef = changeset.ObjectRef{Class: "Main", Key: changeset.IntKey(1)}

// TestStored: what Instructions writes, encoded and decoded, FromInstructions
// reads back.
func TestStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchema(t)
		o := drawObject(t, s, s.Class("Main"))
		checkStored(t, s, mainRef, o)
		if clone := o.Clone(); !reflect.DeepEqual(Instructions(s, mainRef, clone), Instructions(s, mainRef, o)) {
			t.Fatal("a clone is not equal")
		}
	})
}

// TestDiff: applying the difference of two objects to one gives the other.
func TestDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchema(t)
		before := drawObject(t, s, s.Class("Main"))
		after := drawChanged(t, s, s.Class("Main"), before)
		if rapid.IntRange(0, 3).Draw(t, "unrelated") == 0 {
			after = drawObject(t, s, s.Class("Main"))
		}
		checkDiff(t, s, mainRef, before, after)
	})
}

// checkDiff checks the difference of two objects, which are not nil.
func checkDiff(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *schema.Schema, ref changeset.ObjectRef, before, after *Object) {
	t.Helper()
	c := s.Class(ref.Class)
	if cs := Diff(s, ref, after, after.Clone()); len(cs) != 0 {
		t.Fatalf("an object differs from its clone: %v", cs)
	}
	cs := Diff(s, ref, before, after)
	if len(cs) == 0 != Equal(s, c, before, after) {
		t.Fatalf("equal: %v, difference: %v", Equal(s, c, before, after), cs)
	}
	decoded, err := changeset.Decode(changeset.Encode(cs))
	if err != nil {
		t.Fatalf("decode %v: %v", cs, err)
	}
	got, untouched := before.Clone(), before.Clone()
	for i := range decoded {
		in := &decoded[i]
		if err := s.Check(in); err != nil {
			t.Fatalf("check: %v", err)
		}
		if in.Op == changeset.OpSetErase && in.Value.IsNull() && setType(s, c, in) != changeset.Mixed {
			t.Fatalf("%v: clients can't apply it", in)
		}
		if err := got.Apply(s, c, in); err != nil {
			t.Fatalf("%v\nin %v", err, cs)
		}
	}
	if !Equal(s, c, got, after) {
		t.Fatalf("before %v\nafter %v\ndifference %v\ngives %v", Instructions(s, ref, before),
			Instructions(s, ref, after), cs, Instructions(s, ref, got))
	}
	if !Equal(s, c, before, untouched) {
		t.Fatalf("the object before has changed")
	}
}

// setType is the type of the elements of the set that the instruction is about.
func setType(s *schema.Schema, c *schema.Class, in *changeset.Instruction) changeset.Type {
	p := c.Properties[in.Field]
	collection := p.Collection != changeset.Single
	for _, step := range in.Path {
		switch {
		case collection:
			collection = false // an index or a key, of whatever name
		case s.IsEmbedded(p):
			p = s.Class(p.Target).Properties[step.Name]
			collection = p.Collection != changeset.Single
		}
	}
	return p.Type
}

// TestFailedApplyLeavesObject: an instruction that can't be applied changes nothing.
func TestFailedApplyLeavesObject(t *testing.T) {
	failed := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchema(t)
		c := s.Class("Main")
		o := drawObject(t, s, c)
		for range 20 {
			in := drawInstruction(t, s, c, o)
			before := o.Clone()
			if err := o.Apply(s, c, &in); err != nil {
				failed++
				if !Equal(s, c, o, before) {
					t.Fatalf("%v has changed the object", err)
				}
			}
			checkStored(t, s, mainRef, o)
		}
	})
	if failed == 0 {
		t.Error("no instruction failed")
	}
}

// drawInstruction draws a path instruction that begins well but need not be right.
func drawInstruction(t *rapid.T, s *schema.Schema, c *schema.Class, o *Object) changeset.Instruction {
	in := changeset.Instruction{Class: mainRef.Class, Key: mainRef.Key}
	in.Op = rapid.SampledFrom([]changeset.Op{
		changeset.OpUpdate, changeset.OpAddInteger, changeset.OpArrayInsert, changeset.OpArrayMove,
		changeset.OpArrayErase, changeset.OpClear, changeset.OpSetInsert, changeset.OpSetErase,
	}).Draw(t, "op")
	p := c.Properties[rapid.SampledFrom(c.PropertyNames()).Draw(t, "field")]
	in.Field = p.Name
	node := o.Get(p)
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		step := changeset.PathElement{}
		switch n := node.(type) {
		case *List:
			step.IsIndex, step.Index = true, uint32(rapid.IntRange(0, len(n.Items)+1).Draw(t, "index"))
			node = changeset.NullValue()
			if int(step.Index) < len(n.Items) {
				node = n.Items[step.Index]
			}
			in.Prior = uint32(len(n.Items) - rapid.IntRange(0, 1).Draw(t, "prior")*rapid.IntRange(0, len(n.Items)).Draw(t, "wrong"))
		case *Object:
			step.Name = rapid.SampledFrom([]string{"p0", "p1", "id", "key"}).Draw(t, "property")
			node = n.Fields[step.Name]
		default:
			step.Name = rapid.SampledFrom([]string{"", "a", "$x", "a.b"}).Draw(t, "key")
		}
		in.Path = append(in.Path, step)
	}
	in.Value = drawValue(t, p)
	if rapid.Bool().Draw(t, "special") {
		in.Value = changeset.SpecialValue(rapid.SampledFrom([]changeset.Type{
			changeset.ObjectValue, changeset.List, changeset.Dictionary, changeset.Erased, changeset.Set, changeset.GlobalKey,
		}).Draw(t, "payload"))
	}
	in.To = uint32(rapid.IntRange(0, 6).Draw(t, "to"))
	in.Addend = int64(rapid.IntRange(-1, 1).Draw(t, "addend"))
	in.Collection = changeset.Collection(rapid.IntRange(0, 3).Draw(t, "kind"))
	return in
}
