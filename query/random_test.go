package query_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/object"
)

// sample has values of a property's type and literals of the query language that
// are near them.
type sample struct {
	values   []changeset.Value
	literals []string
}

// samples are keyed by the names that coreClass has for the types.
var samples = map[string]sample{
	"i": {[]changeset.Value{changeset.IntValue(0), changeset.IntValue(1), changeset.IntValue(-1), changeset.IntValue(math.MaxInt64), changeset.IntValue(1 << 53)},
		[]string{"0", "1", "-1", "1.5", "9223372036854775807", "9007199254740993", "NULL", "-0.5"}},
	"b": {[]changeset.Value{changeset.BoolValue(true), changeset.BoolValue(false)}, []string{"true", "false", "NULL"}},
	"f": {[]changeset.Value{changeset.FloatValue(0.1), changeset.FloatValue(-1), changeset.FloatValue(float32(math.NaN())), changeset.FloatValue(float32(math.Inf(1)))},
		[]string{"0.1", "0.100000001", "-1", "-1.0", "nan", "inf", "NULL", "0"}},
	"d": {[]changeset.Value{changeset.DoubleValue(0.1), changeset.DoubleValue(0), changeset.DoubleValue(math.NaN()), changeset.DoubleValue(math.Inf(-1))},
		[]string{"0.1", "0", "-0.0", "nan", "-inf", "NULL", "1e300"}},
	"s": {[]changeset.Value{changeset.StringValue(""), changeset.StringValue("a"), changeset.StringValue("Ab"), changeset.StringValue("é.*\n"), changeset.StringValue("日")},
		[]string{`""`, `"a"`, `"aB"`, `"É"`, `"*b"`, `"?"`, `"."`, `B64"XC4qCg=="`, "NULL", `"*a*b*c*d*"`}},
	"bin": {[]changeset.Value{changeset.BinaryValue(nil), changeset.BinaryValue([]byte("a")), changeset.BinaryValue([]byte("AB")), changeset.BinaryValue([]byte{0, 255})},
		[]string{`binary("")`, `binary("a")`, `binary("AB")`, `binary(B64"AP8=")`, "NULL"}},
	"ts": {[]changeset.Value{changeset.TimestampValue(0, 0), changeset.TimestampValue(0, 1), changeset.TimestampValue(-1, -999_999_999), changeset.TimestampValue(1, 1_000_001)},
		[]string{"T0:0", "T0:2", "T-1:-999999998", "T1:1000000", "T9223372036854775807:0", "NULL"}},
	"dec": {[]changeset.Value{decimal("0.1"), decimal("1"), decimal("1.0"), decimal("NaN"), decimal("-Infinity"), decimal("1E300")},
		[]string{"0.1", "1", "1.00", "NaN", "-inf", "1E300", "NULL"}},
	"oid": {[]changeset.Value{changeset.ObjectIDValue([12]byte{}), changeset.ObjectIDValue([12]byte{1})},
		[]string{"oid(000000000000000000000000)", "oid(010000000000000000000000)", "NULL"}},
	"uid": {[]changeset.Value{changeset.UUIDValue([16]byte{}), changeset.UUIDValue([16]byte{1})},
		[]string{"uuid(00000000-0000-0000-0000-000000000000)", "uuid(01000000-0000-0000-0000-000000000000)", "NULL"}},
}

func decimal(text string) changeset.Value {
	v, err := changeset.ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return v
}

var typeNames = func() []string {
	var out []string
	for name := range samples {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}()

func randomValue(t *rapid.T, typ string, nullable bool) changeset.Value {
	values := samples[typ].values
	if nullable && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		return changeset.NullValue()
	}
	return rapid.SampledFrom(values).Draw(t, typ)
}

func randomMixed(t *rapid.T) changeset.Value {
	return randomValue(t, rapid.SampledFrom(typeNames).Draw(t, "type"), true)
}

func randomObject(t *rapid.T) *object.Object {
	o := &object.Object{Fields: map[string]object.Node{}}
	list := func(typ string, nullable bool) *object.List {
		l := &object.List{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			if typ == "" {
				l.Items = append(l.Items, randomMixed(t))
			} else {
				l.Items = append(l.Items, randomValue(t, typ, nullable))
			}
		}
		return l
	}
	// A few properties are enough; the others are absent.
	for range rapid.IntRange(0, 6).Draw(t, "properties") {
		typ := rapid.SampledFrom(typeNames).Draw(t, "type")
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			o.Fields[typ] = randomValue(t, typ, false)
		case 1:
			o.Fields["n"+typ] = randomValue(t, typ, true)
		case 2:
			o.Fields["l"+typ] = list(typ, false)
		case 3:
			o.Fields["ln"+typ] = list(typ, true)
		case 4:
			o.Fields["s"+typ+"s"] = &object.Set{Items: []changeset.Value{randomValue(t, typ, false)}}
		case 5:
			o.Fields["mx"] = randomMixed(t)
			o.Fields["lmx"] = list("", true)
		}
	}
	return o
}

// randomQuery returns two spellings of one query: the terms of AND, OR and IN
// are in another order.
func randomQuery(t *rapid.T, depth int) (string, string) {
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "inner") == 0 {
		op := rapid.SampledFrom([]string{" and ", " or ", "!"}).Draw(t, "op")
		a1, a2 := randomQuery(t, depth-1)
		if op == "!" {
			return "!(" + a1 + ")", "NOT (" + a2 + ")"
		}
		b1, b2 := randomQuery(t, depth-1)
		return "(" + a1 + op + b1 + ")", "(" + b2 + op + a2 + ")"
	}
	typ := rapid.SampledFrom(typeNames).Draw(t, "type")
	literals := samples[typ].literals
	literal := func() string { return rapid.SampledFrom(literals).Draw(t, "literal") }
	field := rapid.SampledFrom([]string{typ, "n" + typ, "mx"}).Draw(t, "field")
	relations := []string{"==", "!=", "<", "<=", ">", ">="}
	textual := typ == "s" || typ == "bin"
	if textual {
		relations = append(relations, "BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE", "==[c]", "!=[c]", "CONTAINS[c]", "LIKE[c]")
	}
	relation := rapid.SampledFrom(relations).Draw(t, "relation")
	quantifier := rapid.SampledFrom([]string{"ANY ", "ALL ", "NONE "}).Draw(t, "quantifier")
	collection := rapid.SampledFrom([]string{"l" + typ, "ln" + typ, "s" + typ + "s", "lmx"}).Draw(t, "collection")
	one := func(text string) (string, string) { return text, text }
	switch rapid.IntRange(0, 6).Draw(t, "shape") {
	case 0:
		return one(quantifier + collection + " " + relation + " " + literal())
	case 1:
		a, b := literal(), literal()
		return field + " IN {" + a + ", " + b + "}", field + " == {" + b + ", " + a + "}"
	case 2:
		return one(fmt.Sprintf("%s.@size %s %d", collection, rapid.SampledFrom(relations[:6]).Draw(t, "relation"), rapid.IntRange(-1, 4).Draw(t, "n")))
	case 3:
		return one(quantifier + collection + " IN {" + literal() + ", " + literal() + "}")
	case 4:
		return one(literal() + " " + relation + " " + field)
	case 5:
		return one(quantifier + "{" + literal() + ", " + literal() + "} " + rapid.SampledFrom(relations[:6]).Draw(t, "relation") + " " + field)
	}
	return one(field + " " + relation + " " + literal())
}

// Whatever Match accepts is found by the filter in a real MongoDB, and spellings of
// one query have one key.
func TestRandomQueries(t *testing.T) {
	s := coreClass()
	collection := mongotest.Database(t).Collection("states")
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := collection.DeleteMany(t.Context(), bson.D{}); err != nil {
			rt.Fatal(err)
		}
		objects := rapid.SliceOfN(rapid.Custom(randomObject), 1, 12).Draw(rt, "objects")
		insertStates(t, collection, s.Class("T"), objects, rapid.Bool().Draw(rt, "sparse"))
		for range 4 {
			text, other := randomQuery(rt, 3)
			p, err := bind(s, "T", text)
			if err != nil {
				if strings.Contains(text, "mx NULL") || strings.Contains(err.Error(), "is for strings and binaries") {
					continue
				}
				rt.Fatalf("%s: %v", text, err)
			}
			same, err := bind(s, "T", other)
			if err != nil || same.Key() != p.Key() {
				rt.Fatalf("%s and %s: error %v, or other keys", text, other, err)
			}
			found := mongoMask(t, collection, p.Filter("q."))
			for k, o := range objects {
				if !p.Match(changeset.IntKey(int64(k)), o) {
					continue
				}
				if found>>k&1 == 0 {
					rt.Fatalf("%s: %v misses %s", text, bsonFilter(p.Filter("q.")), values(p, o))
				}
			}
		}
	})
}
