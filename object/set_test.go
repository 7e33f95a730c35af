package object

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

func decimal(t testing.TB, text string) changeset.Value {
	t.Helper()
	v, err := changeset.ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSetIdentity(t *testing.T) {
	float, double := changeset.FloatValue, changeset.DoubleValue
	tests := []struct {
		name             string
		a, b             changeset.Value
		equal, mixedOnly bool
	}{
		{name: "ints", a: changeset.IntValue(1), b: changeset.IntValue(1), equal: true},
		{name: "other ints", a: changeset.IntValue(1), b: changeset.IntValue(2)},
		{name: "int and text", a: changeset.IntValue(1), b: changeset.StringValue("1")},
		{name: "int and true", a: changeset.IntValue(1), b: changeset.BoolValue(true)},
		{name: "text and binary", a: changeset.StringValue("a"), b: changeset.BinaryValue([]byte("a"))},
		{name: "null and empty", a: changeset.NullValue(), b: changeset.StringValue("")},
		{name: "int and double", a: changeset.IntValue(1), b: double(1), equal: true, mixedOnly: true},
		{name: "int and float", a: changeset.IntValue(-3), b: float(-3), equal: true, mixedOnly: true},
		{name: "int and decimal", a: changeset.IntValue(1200), b: decimal(t, "1.2E+3"), equal: true, mixedOnly: true},
		{name: "double and decimal", a: double(-1.5), b: decimal(t, "-1.500"), equal: true, mixedOnly: true},
		{name: "float and double", a: float(0.5), b: double(0.5), equal: true, mixedOnly: true},
		{name: "float that is no such double", a: float(0.1), b: double(0.1)},
		{name: "double that is no such decimal", a: double(0.1), b: decimal(t, "0.1")},
		{name: "int that is no double", a: changeset.IntValue(math.MaxInt64), b: double(1 << 63)},
		{name: "least int", a: changeset.IntValue(math.MinInt64), b: double(-1 << 63), equal: true, mixedOnly: true},
		{name: "large double and decimal", a: double(1e22), b: decimal(t, "1E+22"), equal: true, mixedOnly: true},
		{name: "decimal beyond doubles", a: double(math.Inf(1)), b: decimal(t, "1E+400")},
		{name: "zeros of floats", a: float(0), b: float(float32(math.Copysign(0, -1))), equal: true},
		{name: "zeros of doubles", a: double(0), b: double(math.Copysign(0, -1)), equal: true},
		{name: "zeros of decimals", a: decimal(t, "0"), b: decimal(t, "-0.00"), equal: true},
		{name: "zero int and decimal", a: changeset.IntValue(0), b: decimal(t, "-0.00"), equal: true, mixedOnly: true},
		{name: "NaNs of floats", a: float(float32(math.NaN())), b: changeset.Value{Type: changeset.Float, Num: 0x7fc00001}, equal: true},
		{name: "NaNs of doubles", a: double(math.NaN()), b: double(math.Float64frombits(0xfff8000000000001)), equal: true},
		{name: "NaNs of decimals", a: decimal(t, "NaN"), b: changeset.DecimalValue(0, 7, changeset.DecimalNaN+1, true), equal: true},
		{name: "NaN double and decimal", a: double(math.NaN()), b: decimal(t, "NaN"), equal: true, mixedOnly: true},
		{name: "trailing zeros", a: decimal(t, "1.50"), b: decimal(t, "1.5"), equal: true},
		{name: "large coefficients", a: decimal(t, "9999999999999999999999999999999999"), b: decimal(t, "9999999999999999999999999999999998")},
		{name: "infinities", a: double(math.Inf(-1)), b: decimal(t, "-Infinity"), equal: true, mixedOnly: true},
		{name: "opposite infinities", a: decimal(t, "Infinity"), b: decimal(t, "-Infinity")},
		{name: "infinite decimals", a: decimal(t, "Infinity"), b: changeset.DecimalValue(0, 3, changeset.DecimalInfinity, false), equal: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, mixed := range []bool{false, true} {
				want := test.equal && (mixed || !test.mixedOnly)
				a, b := SetIdentity(test.a, mixed), SetIdentity(test.b, mixed)
				if got := a == b; got != want {
					t.Errorf("mixed %v: %v and %v equal: got %v, want %v", mixed, a, b, got, want)
				}
				if SetIdentity(a, mixed) != a || SetIdentity(b, mixed) != b {
					t.Errorf("mixed %v: the identity of %v or %v is not itself", mixed, a, b)
				}
			}
		})
	}
}

// TestSet compares a set with a map, also while it grows and shrinks past the
// size from which it is indexed.
func TestSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, want := &Set{}, make(map[changeset.Value]bool)
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			v := changeset.IntValue(int64(rapid.IntRange(0, 40).Draw(t, "value")))
			if rapid.IntRange(0, 2).Draw(t, "op") == 0 {
				set.erase(v, false)
				delete(want, v)
			} else {
				set.insert(v, false)
				want[v] = true
			}
		}
		if len(set.Items) != len(want) {
			t.Fatalf("got %v, want %v", set.Items, want)
		}
		for v := range want {
			if !slices.Contains(set.Items, v) {
				t.Fatalf("%v is missing of %v", v, set.Items)
			}
		}
	})
}

// A set of floats or doubles with a NaN, and one with null, lose elements by a
// Clear, since clients can't erase from them.
func TestDiffClearsWhereClientsCannotErase(t *testing.T) {
	nan, one, two := changeset.DoubleValue(math.NaN()), changeset.DoubleValue(1), changeset.DoubleValue(2)
	for _, test := range []struct {
		name          string
		typ           changeset.Type
		before, after []changeset.Value
		want          []changeset.Op
	}{
		{"next to NaN", changeset.Double, []changeset.Value{one, nan, two}, []changeset.Value{nan, two}, []changeset.Op{changeset.OpClear, changeset.OpSetInsert, changeset.OpSetInsert}},
		{"NaN", changeset.Double, []changeset.Value{one, nan}, []changeset.Value{one}, []changeset.Op{changeset.OpClear, changeset.OpSetInsert}},
		{"none lost", changeset.Double, []changeset.Value{nan}, []changeset.Value{nan, one}, []changeset.Op{changeset.OpSetInsert}},
		{"no NaN", changeset.Double, []changeset.Value{one, two}, []changeset.Value{two, nan}, []changeset.Op{changeset.OpSetErase, changeset.OpSetInsert}},
		{"of mixed", changeset.Mixed, []changeset.Value{one, nan}, []changeset.Value{nan}, []changeset.Op{changeset.OpSetErase}},
		{"null", changeset.Double, []changeset.Value{one, changeset.NullValue()}, []changeset.Value{one}, []changeset.Op{changeset.OpClear, changeset.OpSetInsert}},
	} {
		c := &schema.Class{Name: "C", KeyType: changeset.Int, Properties: map[string]*schema.Property{
			"s": {Name: "s", Type: test.typ, Collection: changeset.SetOf, Nullable: true},
		}}
		s := &schema.Schema{Classes: map[string]*schema.Class{"C": c}}
		holding := func(items []changeset.Value) *Object {
			return &Object{Fields: map[string]Node{"s": &Set{Items: items}}}
		}
		var got []changeset.Op
		for _, in := range Diff(s, changeset.ObjectRef{Class: "C", Key: changeset.IntKey(1)}, holding(test.before), holding(test.after)) {
			got = append(got, in.Op)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
