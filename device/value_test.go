package device

import (
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

func TestScalars(t *testing.T) {
	of := func(typ changeset.Type) *schema.Property { return &schema.Property{Type: typ} }
	key := changeset.IntKey(1)
	for _, tc := range []struct {
		in   any
		prop *schema.Property
		want changeset.Value
	}{
		{nil, of(changeset.Int), changeset.NullValue()},
		{true, of(changeset.Bool), changeset.BoolValue(true)},
		{"s", of(changeset.String), changeset.StringValue("s")},
		{[]byte{1}, of(changeset.Binary), changeset.BinaryValue([]byte{1})},
		{5, of(changeset.Int), changeset.IntValue(5)},
		{int32(5), of(changeset.Mixed), changeset.IntValue(5)},
		{int64(5), of(changeset.Double), changeset.DoubleValue(5)},
		{5, of(changeset.Float), changeset.FloatValue(5)},
		{-5, of(changeset.Decimal), changeset.DecimalValue(0, 5, 0, true)},
		{5, of(changeset.Decimal), changeset.DecimalValue(0, 5, 0, false)},
		{1.5, of(changeset.Double), changeset.DoubleValue(1.5)},
		{1.5, of(changeset.Float), changeset.FloatValue(1.5)},
		{float32(1.5), of(changeset.Mixed), changeset.FloatValue(1.5)},
		{changeset.ObjectRef{Class: "C", Key: key}, of(changeset.Link), changeset.LinkValue("C", key)},
		{time.Unix(5, 7), of(changeset.Timestamp), changeset.TimestampValue(5, 7)},
		{time.Unix(-5, 0), of(changeset.Timestamp), changeset.TimestampValue(-5, 0)},
		{time.Unix(-5, 7), of(changeset.Timestamp), changeset.TimestampValue(-4, -999999993)},
		{time.Unix(-1, 7), of(changeset.Timestamp), changeset.TimestampValue(0, -999999993)},
	} {
		if got, err := scalar(tc.in, tc.prop); err != nil || got != tc.want {
			t.Errorf("%v: got %v, %v, want %v", tc.in, got, err, tc.want)
		}
	}
	if _, err := scalar(t, of(changeset.Mixed)); err == nil {
		t.Error("anything can be stored")
	}
}

// TestNodes sets what was read from another object.
func TestNodes(t *testing.T) {
	f, err := NewFile(Config{Schema: convergeSchema()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := changeset.IntKey(1), changeset.IntKey(2)
	_, err = f.Write(func(tx *Tx) error {
		return tx.Create("P", one, map[string]any{
			"l": List{1, 2}, "t": Set{"a"}, "d": Dict{"k": 1, "n": nil}, "e": Embedded{"a": 3, "l": List{4}}, "m": List{Dict{"x": List{1}}},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	original := f.Get("P", one)
	_, err = f.Write(func(tx *Tx) error {
		set := map[string]any{}
		for name, node := range original.Fields {
			set[name] = node
		}
		return tx.Create("P", two, set)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range original.Fields {
		copied := dumpNode(t, f, At("P", two, name))
		if want := dumpNode(t, f, At("P", one, name)); copied != want || want == "" {
			t.Errorf("%s: got %s, want %s", name, copied, want)
		}
	}
}

// dumpNode writes what is at a place.
func dumpNode(t *testing.T, f *File, p Place) string {
	t.Helper()
	return textOf(f.Value(p))
}
