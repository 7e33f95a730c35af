package query_test

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

// coreClass is the class of testdata/core-queries.jsonl.gz: of each type a
// required property (i), a nullable one (ni), a list (li), a list with nulls
// (lni) and a set (sis); mixed ones; an integer key.
func coreClass() *schema.Schema {
	class := &schema.Class{Name: "T", KeyType: changeset.Int, Properties: map[string]*schema.Property{}}
	add := func(name string, t changeset.Type, nullable bool, c changeset.Collection) {
		class.Properties[name] = &schema.Property{Name: name, Type: t, Nullable: nullable, Collection: c}
	}
	for name, t := range map[string]changeset.Type{
		"i": changeset.Int, "b": changeset.Bool, "f": changeset.Float, "d": changeset.Double, "s": changeset.String,
		"bin": changeset.Binary, "ts": changeset.Timestamp, "dec": changeset.Decimal, "oid": changeset.ObjectID, "uid": changeset.UUID,
	} {
		add(name, t, false, changeset.Single)
		add("n"+name, t, true, changeset.Single)
		add("l"+name, t, false, changeset.ListOf)
		add("ln"+name, t, true, changeset.ListOf)
		add("s"+name+"s", t, false, changeset.SetOf)
	}
	add("mx", changeset.Mixed, true, changeset.Single)
	add("mx2", changeset.Mixed, true, changeset.Single)
	add("lmx", changeset.Mixed, true, changeset.ListOf)
	add("smx", changeset.Mixed, true, changeset.SetOf)
	return &schema.Schema{Classes: map[string]*schema.Class{"T": class}}
}

// coreQuery is a query that was tried on the client library, in the spelling in
// which the library sends it.
type coreQuery struct {
	Text string `json:"q"`
	Mask string `json:"m"` // bit k is set if object k satisfies it
}

func coreVectors(t testing.TB, file string) ([]*object.Object, []coreQuery) {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<22)
	var head struct{ Objects []map[string]any }
	lines.Scan()
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
		t.Fatal(err)
	}
	objects := make([]*object.Object, len(head.Objects))
	for _, fields := range head.Objects {
		o := &object.Object{Fields: map[string]object.Node{}}
		k := coreNode(t, fields["_id"]).(changeset.Value).Num
		delete(fields, "_id")
		for name, v := range fields {
			o.Fields[name] = coreNode(t, v)
		}
		objects[k] = o
	}
	var queries []coreQuery
	for lines.Scan() {
		var q coreQuery
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		queries = append(queries, q)
	}
	if err := lines.Err(); err != nil || len(queries) < 250 {
		t.Fatalf("%d queries, error %v", len(queries), err)
	}
	return objects, queries
}

// coreNode reads a value of the vectors.
func coreNode(t testing.TB, v any) object.Node {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	switch v := v.(type) {
	case nil:
		return changeset.NullValue()
	case bool:
		return changeset.BoolValue(v)
	case string:
		return changeset.StringValue(v)
	case []any:
		l := &object.List{}
		for _, item := range v {
			l.Items = append(l.Items, coreNode(t, item))
		}
		return l
	case map[string]any:
		for tag, content := range v {
			text, _ := content.(string)
			switch tag {
			case "$int":
				i, err := strconv.ParseInt(text, 10, 64)
				check(err)
				return changeset.IntValue(i)
			case "$float":
				f, err := strconv.ParseFloat(text, 32)
				check(err)
				return changeset.FloatValue(float32(f))
			case "$double":
				f, err := strconv.ParseFloat(text, 64)
				check(err)
				if f != f {
					return changeset.Value{Type: changeset.Double, Num: 0x7ff8000000000000}
				}
				return changeset.DoubleValue(f)
			case "$decimal":
				d, err := changeset.ParseDecimal(text)
				check(err)
				return d
			case "$binary":
				b, err := base64.StdEncoding.DecodeString(text)
				check(err)
				return changeset.BinaryValue(b)
			case "$ts":
				parts := content.([]any)
				return changeset.TimestampValue(int64(parts[0].(float64)), int32(parts[1].(float64)))
			case "$oid":
				b, err := hex.DecodeString(text)
				check(err)
				return changeset.ObjectIDValue([12]byte(b))
			case "$uuid":
				b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
				check(err)
				return changeset.UUIDValue([16]byte(b))
			case "$embedded":
				o := &object.Object{Fields: map[string]object.Node{}}
				for name, field := range content.(map[string]any) {
					o.Fields[name] = coreNode(t, field)
				}
				return o
			case "$set":
				s := &object.Set{}
				for _, item := range content.([]any) {
					s.Items = append(s.Items, coreNode(t, item).(changeset.Value))
				}
				return s
			case "$dict":
				d := &object.Dictionary{Entries: map[string]object.Node{}}
				for name, entry := range content.(map[string]any) {
					d.Entries[name] = coreNode(t, entry)
				}
				return d
			}
		}
	}
	t.Fatalf("unknown value %v", v)
	return nil
}

func bind(s *schema.Schema, class, text string) (*query.Predicate, error) {
	q, err := query.Parse(text)
	if err != nil {
		return nil, err
	}
	return q.Bind(s, class)
}

// What the client library finds, we find.
func TestAsCore(t *testing.T) {
	objects, queries := coreVectors(t, "core-queries.jsonl.gz")
	compareWithCore(t, coreClass(), objects, queries)
}

func TestGeoAsCore(t *testing.T) {
	objects, queries := coreVectors(t, "core-geo.jsonl.gz")
	compareWithCore(t, geoClass(), objects, queries)
}

func geoClass() *schema.Schema {
	return &schema.Schema{Classes: map[string]*schema.Class{
		"T": {Name: "T", KeyType: changeset.Int, Properties: map[string]*schema.Property{
			"loc": {Name: "loc", Type: changeset.Link, Nullable: true, Target: "Geo"},
		}},
		"Geo": {Name: "Geo", Kind: changeset.Embedded, Properties: map[string]*schema.Property{
			"type":        {Name: "type", Type: changeset.String},
			"coordinates": {Name: "coordinates", Type: changeset.Double, Collection: changeset.ListOf},
		}},
	}}
}

func compareWithCore(t *testing.T, s *schema.Schema, objects []*object.Object, queries []coreQuery) {
	t.Helper()
	for _, q := range queries {
		p, err := bind(s, "T", q.Text)
		if err != nil {
			t.Errorf("%s: %v", q.Text, err)
			continue
		}
		var got uint64
		for k, o := range objects {
			if p.Match(changeset.IntKey(int64(k)), o) {
				got |= 1 << k
			}
		}
		want, err := strconv.ParseUint(q.Mask, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			k := trailingZeros(got ^ want)
			t.Errorf("%s: want %v for %s", q.Text, want>>k&1 == 1, values(p, objects[k]))
		}
	}
}

// values shows what the object has in the fields that the predicate is about.
func values(p *query.Predicate, o *object.Object) string {
	var out []string
	for _, f := range p.Fields() {
		switch node := o.Fields[f].(type) {
		case *object.List:
			out = append(out, fmt.Sprintf("%s=%v", f, node.Items))
		case *object.Object:
			out = append(out, fmt.Sprintf("%s=%v", f, node.Fields["coordinates"]))
		case *object.Set:
			out = append(out, fmt.Sprintf("%s={%v}", f, node.Items))
		default:
			out = append(out, fmt.Sprintf("%s=%v", f, node))
		}
	}
	return strings.Join(out, " ")
}

func trailingZeros(mask uint64) int { return bits.TrailingZeros64(mask) }
