package object

import (
	"fmt"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// benchObject is a typical object: 12 scalars, a list of 20 strings, 5 embedded
// objects of 4 properties.
func benchObject(b *testing.B) (*schema.Schema, changeset.ObjectRef, *Object) {
	b.Helper()
	sc := &script{t: b}
	text, o := "", &Object{Fields: make(map[string]Node)}
	for i := range 12 {
		text += fmt.Sprintf("P.s%d string\n", i)
		o.Fields[fmt.Sprintf("s%d", i)] = changeset.StringValue("some text of a field")
	}
	text += "P.tags string list\nP.notes link list Embedded\nEmbedded.a int\nEmbedded.b string\nEmbedded.c double\nEmbedded.d bool"
	tags, notes := &List{}, &List{}
	for i := range 20 {
		tags.Items = append(tags.Items, changeset.StringValue(fmt.Sprint("tag", i)))
	}
	for i := range 5 {
		notes.Items = append(notes.Items, &Object{Fields: map[string]Node{
			"a": changeset.IntValue(int64(i + 1)), "b": changeset.StringValue("text"), "c": changeset.DoubleValue(1.5), "d": changeset.BoolValue(true),
		}})
	}
	o.Fields["tags"], o.Fields["notes"] = tags, notes
	sc.schema(text)
	return sc.st.Schema(), scriptRef, o
}

func BenchmarkInstructions(b *testing.B) {
	s, ref, o := benchObject(b)
	b.ReportAllocs()
	for b.Loop() {
		Instructions(s, ref, o)
	}
}

func BenchmarkFromInstructions(b *testing.B) {
	s, ref, o := benchObject(b)
	cs := Instructions(s, ref, o)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromInstructions(s, ref, cs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeState(b *testing.B) {
	s, ref, o := benchObject(b)
	data := changeset.Encode(Instructions(s, ref, o))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		cs, err := changeset.Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := FromInstructions(s, ref, cs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	s, ref, o := benchObject(b)
	after := o.Clone()
	after.Fields["s3"] = changeset.StringValue("other")
	after.Fields["notes"].(*List).Items[2].(*Object).Fields["a"] = changeset.IntValue(77)
	b.ReportAllocs()
	for b.Loop() {
		Diff(s, ref, o, after)
	}
}

func BenchmarkApply(b *testing.B) {
	s, _, o := benchObject(b)
	c := s.Class("P")
	update := &changeset.Instruction{Op: changeset.OpUpdate, Field: "s3", Value: changeset.StringValue("other")}
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Apply(s, c, update); err != nil {
			b.Fatal(err)
		}
	}
}
