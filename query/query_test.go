package query_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

// taskSchema has properties whose names need care, too.
func taskSchema() *schema.Schema {
	class := &schema.Class{Name: "Task", KeyType: changeset.ObjectID, Properties: map[string]*schema.Property{}}
	add := func(name string, t changeset.Type, nullable bool, c changeset.Collection, target string) {
		class.Properties[name] = &schema.Property{Name: name, Type: t, Nullable: nullable, Collection: c, Target: target}
	}
	for _, name := range []string{"a", "b", "c", "in", "not", "any", "or", "and", "contains", "between", "limit", "my field", "sort", "größe", "x-y", "T5"} {
		add(name, changeset.Int, false, changeset.Single, "")
	}
	add("ni", changeset.Int, true, changeset.Single, "")
	add("done", changeset.Bool, false, changeset.Single, "")
	add("s", changeset.String, true, changeset.Single, "")
	add("bin", changeset.Binary, true, changeset.Single, "")
	add("f", changeset.Float, false, changeset.Single, "")
	add("d", changeset.Double, false, changeset.Single, "")
	add("dec", changeset.Decimal, false, changeset.Single, "")
	add("ts", changeset.Timestamp, false, changeset.Single, "")
	add("oid", changeset.ObjectID, true, changeset.Single, "")
	add("uuid", changeset.UUID, true, changeset.Single, "")
	add("mx", changeset.Mixed, true, changeset.Single, "")
	add("tags", changeset.String, false, changeset.ListOf, "")
	add("nums", changeset.Int, false, changeset.SetOf, "")
	add("dict", changeset.Int, false, changeset.DictionaryOf, "")
	add("owner", changeset.Link, true, changeset.Single, "Person")
	add("addr", changeset.Link, true, changeset.Single, "Address")
	add("loc", changeset.Link, true, changeset.Single, "Point")
	return &schema.Schema{Classes: map[string]*schema.Class{
		"Task":   class,
		"Person": {Name: "Person", KeyType: changeset.String, KeyNullable: true},
		"Address": {Name: "Address", Kind: changeset.Embedded, Properties: map[string]*schema.Property{
			"city": {Name: "city", Type: changeset.String}}},
		"Point": {Name: "Point", Kind: changeset.Embedded, Properties: map[string]*schema.Property{
			"type":        {Name: "type", Type: changeset.String},
			"coordinates": {Name: "coordinates", Type: changeset.Double, Collection: changeset.ListOf}}},
		"Event": {Name: "Event", Kind: changeset.Asymmetric, KeyType: changeset.ObjectID},
	}}
}

var taskKey = changeset.ObjectIDKey([12]byte{11: 7})

// task is what the queries of TestMatch are asked about.
func task() *object.Object {
	return &object.Object{Fields: map[string]object.Node{
		"a": changeset.IntValue(1), "in": changeset.IntValue(2), "not": changeset.IntValue(3), "any": changeset.IntValue(4),
		"or": changeset.IntValue(5), "and": changeset.IntValue(6), "contains": changeset.IntValue(7), "between": changeset.IntValue(8),
		"limit": changeset.IntValue(9), "my field": changeset.IntValue(10), "sort": changeset.IntValue(11),
		"größe": changeset.IntValue(12), "x-y": changeset.IntValue(13), "T5": changeset.IntValue(14),
		"done": changeset.BoolValue(true), "s": changeset.StringValue(`O'Brien "x"`), "bin": changeset.BinaryValue([]byte("ab\x00")),
		"f": changeset.FloatValue(0.1), "d": changeset.DoubleValue(0.1), "dec": changeset.DecimalValue(0, 150, -2, false),
		"ts":   changeset.TimestampValue(1577934245, 6),
		"oid":  changeset.ObjectIDValue([12]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67}),
		"uuid": changeset.UUIDValue([16]byte{15: 0xff}), "mx": changeset.StringValue("5"),
		"tags": &object.List{Items: []object.Node{changeset.StringValue("x"), changeset.StringValue("y")}},
		"nums": &object.Set{Items: []changeset.Value{changeset.IntValue(1), changeset.IntValue(5)}},
		"loc": &object.Object{Fields: map[string]object.Node{
			"type":        changeset.StringValue("Point"),
			"coordinates": &object.List{Items: []object.Node{changeset.DoubleValue(2), changeset.DoubleValue(1)}}}},
	}}
}

func TestMatch(t *testing.T) {
	s, o := taskSchema(), task()
	b64 := func(text string) string { return `B64"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"` }
	for _, test := range []struct {
		text string
		want bool
	}{
		// Rule 3.3: what core prints.
		{`a == 1 and (b == 2 or c == 0)`, true},
		{`(a == 1 and b == 2 or c == 3)`, false},
		{`!(a == 2)`, true},
		{`TRUEPREDICATE`, true}, {`FALSEPREDICATE`, false},
		{`"x" == tags`, true}, {`ANY tags == "x"`, true}, {`"z" == tags`, false},
		{`a IN {3, 1, 2}`, true}, {`a IN {3}`, false},
		{`(d == 1.5 or d == 0.10000000000000001)`, true},
		{`mx == {1, "5", NULL}`, true}, {`mx == {1, 5, NULL}`, false},
		{`a == {}`, false}, {`NONE {1,2} == a`, false}, {`NONE {2,3} == a`, true},
		{`a between {1, 5}`, true}, {`a between {2, 5}`, false},
		{`s == ` + b64(`O'Brien "x"`), true}, {`s == "O'Brien"`, false}, {`s == 'O"Brien'`, false},
		{`bin == binary("abc")`, false}, {`bin == binary(` + b64("ab\x00") + `)`, true}, {`bin BEGINSWITH binary("ab")`, true},
		{`ts == T1577934245:6`, true}, {`ts > T-5:-1`, true}, {`ts == 2020-01-02@03:04:05:6`, true}, {`ts == 2020-01-02T03:04:05`, false},
		{`f == 0.100000001`, true}, {`f == 0.1`, true}, {`d == 0.10000000000000001`, true}, {`d < inf`, true}, {`d > -inf`, true}, {`d == nan`, false},
		{`dec == 1.50`, true}, {`dec == 1.5`, true}, {`dec < 1E10`, true}, {`dec == NaN`, false}, {`a == 0x1`, true}, {`a == 1.5`, false}, {`a == 1.0`, true},
		{`ni == NULL`, true}, {`mx == null`, false}, {`ni == nil`, true},
		{`tags.@size == 2`, true}, {`tags.@count == 2`, true}, {`s.@size == 11`, true}, {`bin.@size > 3`, false},
		{`loc GEOWITHIN GeoPolygon({[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]})`, true},
		{`loc GEOWITHIN GeoPolygon({[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]}, {[1, 0.5], [3, 0.5], [3, 2], [1, 2], [1, 0.5]})`, false},
		{`loc GEOWITHIN GeoCircle([2, 1], 0.001)`, true}, {`loc geowithin geobox([3, 0], geopoint(4, 1))`, false},
		{`my\ field == 10`, true}, {`größe == 12`, true}, {`x-y == 13`, true}, {`T5 == 14`, true},
		{`5 == a`, false}, {`1 == a`, true}, {`2 > a`, true}, {`a == b`, false}, {`b == c`, true},

		// Names like keywords.
		{`in == 2`, true}, {`not == 3`, true}, {`any == 4`, true}, {`or == 5`, true}, {`and == 6`, true}, {`contains == 7`, true},
		{`between == 8`, true}, {`limit == 9`, true}, {`sort == 11`, true}, {`not in == 3`, true}, {`not not == 3`, false},
		{`in in {2}`, true}, {`any in {4}`, true}, {`not in {3}`, true}, {`between between {8, 8}`, true},
		{`or == 5 or or == 6 and and == 7`, true}, {`and == 6 and or == 5`, true}, {`not (not == 4)`, true},

		// Any case, and synonyms.
		{`a = 1 AND b <> 2 && c =< 0 OR FALSEPREDICATE`, true}, {`a => 1`, true}, {`NOT a == 1 || some tags == 'y'`, true},
		{`All tags BeginsWith ''`, true}, {`s like[c] 'o*'`, true}, {`truepredicate`, true}, {`s ContAins[c] 'brien'`, true},
		{"a\n==\t1", true}, {`((((a == 1))))`, true}, {`((a)) == 1`, true}, {`a == +1`, true}, {`a != -1`, true}, {`a == -0x1`, false},

		// Precedence.
		{`a == 2 or a == 1 and b == 1`, false}, {`not a == 2 and a == 1`, true}, {`!a == 2 and a == 1`, true},

		// Arithmetic.
		{`(a + 1) == 2`, true}, {`a + 1 * 2 == 3`, true}, {`(a + 1) * 2 == 4`, true}, {`(a - 3) < b`, true}, {`a/2 == 0`, true}, {`2 == (a + a)`, true},
		{`(a + dec) == 2.5`, true}, {`(ni + 1) == NULL`, true}, {`a -3 == -2`, true},

		// Lists and sets.
		{`ALL tags != "z"`, true}, {`NONE tags == "x"`, false}, {`ALL nums BETWEEN {1, 5}`, true}, {`ANY nums > 4`, true}, {`nums == 5`, true},
		{`ALL nums IN {1, 5, 7}`, true}, {`ANY tags IN {"q", "y"}`, true}, {`NONE tags IN {"q"}`, true}, {`a IN nums`, true}, {`ALL nums == a`, false},
		{`a IN {9, 8, 7, 6, 5, 4, 3, 2, 1}`, true}, {`b IN {9, 8, 7, 6, 5, 4, 3, 2, 1}`, false}, {`b IN {9, 8, 7, 6, 5, 4, 3, 2, 1, 0.0}`, true},
		{`NONE {9, 8, 7, 6, 5, 4, 3, 2, 1} == a`, false}, {`NONE {9, 8, 7, 6, 5, 4, 3, 2, 1} == b`, true},
		{`ni IN {9, 8, 7, 6, 5, 4, 3, 2, 1, NULL}`, true}, {`ALL {1, 1, 1, 1, 1, 1, 1, 1, 1} == a`, true},
		{`d IN {9, 8, 7, 6, 5, 4, 3, 2, 0.1}`, true}, {`mx IN {9, 8, 7, 6, 5, 4, 3, 2, "5"}`, true},
		{`{1, 2} == a`, true}, {`a > ALL {0, -1}`, true}, {`a != {1}`, false},

		// Keys and absent properties.
		{`_id == oid(000000000000000000000007)`, true}, {`_id IN {oid(000000000000000000000007)}`, true}, {`_id > oid(000000000000000000000007)`, false},
		{`b == 0`, true}, {`oid == oid( 0123456789ABCDEF01234567 )`, true}, {`uuid == uuid(00000000-0000-0000-0000-0000000000ff)`, true},
	} {
		p, err := bind(s, "Task", test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := p.Match(taskKey, o); got != test.want {
			t.Errorf("%s: %v, want %v", test.text, got, test.want)
		}
	}
}

// Keys of all types can be asked about.
func TestMatchKeys(t *testing.T) {
	for _, test := range []struct {
		typ  changeset.Type
		key  changeset.Key
		text string
		want bool
	}{
		{changeset.Int, changeset.IntKey(5), `_id == 5`, true},
		{changeset.Int, changeset.IntKey(5), `_id < 5.5`, true},
		{changeset.String, changeset.StringKey("a"), `_id == "a"`, true},
		{changeset.String, changeset.StringKey(""), `_id == NULL`, false},
		{changeset.String, changeset.NullKey, `_id == NULL`, true},
		{changeset.String, changeset.NullKey, `_id < "a"`, true},
		{changeset.UUID, changeset.UUIDKey([16]byte{}), `_id == uuid(00000000000000000000000000000000)`, true},
	} {
		s := &schema.Schema{Classes: map[string]*schema.Class{"T": {Name: "T", KeyType: test.typ, KeyNullable: true}}}
		p, err := bind(s, "T", test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := p.Match(test.key, &object.Object{}); got != test.want {
			t.Errorf("%s of %v: %v, want %v", test.text, test.key, got, test.want)
		}
		if p.Match(test.key, nil) {
			t.Errorf("%s is true of no object", test.text)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, test := range []struct {
		text   string
		offset int
		reason string
	}{
		{``, 0, "expected a property or a value"},
		{`a`, 1, "expected a comparison"},
		{`a ==`, 4, "expected a property or a value"},
		{`a == 1 b == 2`, 7, "expected AND, OR or the end"},
		{`a == 1 and`, 10, "expected a property or a value"},
		{`(a == 1`, 0, "never closed"},
		{`a == 1)`, 6, "never opened"},
		{`()`, 1, "expected a property or a value"},
		{`a == "x`, 5, "no closing quote"},
		{`a == B64"x"`, 5, "not base64"},
		{`a == 1 SORT(a ASC) LIMIT(3)`, 7, "can't SORT"},
		{`(a == 1 DISTINCT(a)) or b == 2`, 8, "can't SORT"},
		{`SUBQUERY(tags, $x, $x == 1).@count > 0`, 15, "arguments"},
		{`SUBQUERY(tags, x, x == 1).@count > 0`, 0, "SUBQUERY"},
		{`@links.Person.tasks.@count == 0`, 0, "backlinks"},
		{`a == $0`, 5, "arguments"},
		{`a == 12x`, 5, "not a number"},
		{`a == 0x`, 5, "not a number"},
		{`a == 1e`, 5, "exponent"},
		{`a == #`, 5, "unexpected character"},
		{`a BETWEEN {1}`, 10, "two values"},
		{`a BETWEEN 1`, 10, "expected {"},
		{`a IN 5`, 2, "IN needs a list"},
		{`a <[c] 5`, 2, "case-insensitive"},
		{`a == {1 2}`, 8, "expected ,"},
		{`a == {b}`, 6, "expected a value"},
		{`a == {1,`, 8, "expected a value"},
		{`a == -`, 5, "expected a number"},
		{`oid == oid(123)`, 7, "24 hexadecimal digits"},
		{`oid == oid(`, 7, "parenthesis"},
		{`uuid == uuid(xyz)`, 8, "32 hexadecimal digits"},
		{`bin == binary(5)`, 14, "expected a string"},
		{`ts == T5:-1`, 6, "not a point in time"},
		{`ts == T5:1000000000`, 6, "not a point in time"},
		{`ts == 2020-02-30@00:00:00`, 6, "not a point in time"},
		{`ts == 2020-13-01@00:00:00`, 6, "not a point in time"},
		{`ts == 2020-01-01@24:00:00`, 6, "not a point in time"},
		{`a[0 == 1`, 0, "no closing ]"},
		{`a. == 1`, 3, "expected a property"},
		{`any == == 1`, 7, "expected a property or a value"},
		{`a\`, 1, "backslash"},
		{`loc GEOWITHIN 5`, 15, "expected ("},
		{`loc GEOWITHIN geoHexagon([1, 2])`, 14, "expected geoPolygon"},
		{`loc GEOWITHIN geoCircle([1, 2], "x")`, 32, "expected a number"},
		{`loc GEOWITHIN geoCircle([200, 2], 1)`, 14, "no place"},
		{`loc GEOWITHIN geoCircle([20, 2], -1)`, 14, "radius"},
		{`loc GEOWITHIN geoPolygon({[0, 0], [0, 1], [1, 1]})`, 14, "ring"},
		{`loc GEOWITHIN geoPolygon({[0, 0], [0, 0], [0, 0], [0, 0]})`, 14, "ring"},
		{`ANY loc GEOWITHIN geoCircle([1, 2], 1)`, 8, "only a property"},
		{strings.Repeat("(", 300) + "a == 1" + strings.Repeat(")", 300), 201, "levels deep"},
		{strings.Repeat("!", 300) + "a == 1", 201, "levels deep"},
		{strings.Repeat("(", 300) + "a" + strings.Repeat(")", 300) + " == 1", 200, "levels deep"},
		{"a" + strings.Repeat(" + 1", 300) + " == 1", 802, "operands"},
	} {
		q, err := query.Parse(test.text)
		var syntax *query.SyntaxError
		if !errors.As(err, &syntax) || !errors.Is(err, query.ErrBadQuery) {
			t.Errorf("%.60s: parsed to %v, error %v", test.text, q, err)
			continue
		}
		if syntax.Offset != test.offset || !strings.Contains(syntax.Reason, test.reason) {
			t.Errorf("%.60s: %v, want byte %d: %s", test.text, err, test.offset, test.reason)
		}
		if !strings.HasPrefix(err.Error(), "Client provided query with bad syntax: ") {
			t.Errorf("%.60s: %v", test.text, err)
		}
	}
	long := "a == " + strings.Repeat(" ", query.MaxText)
	if _, err := query.Parse(long); !errors.Is(err, query.ErrBadQuery) {
		t.Errorf("a query of %d bytes: error %v", len(long), err)
	}
}

func TestRefusals(t *testing.T) {
	notQueryable := func(field string) string {
		return `Client provided query with bad syntax: invalid match expression for table "Task": key "` + field + `" is not a queryable field`
	}
	for _, test := range []struct{ text, want string }{
		{`unknown == 1`, notQueryable("unknown")},
		{`a == 1 or unknown == 1`, notQueryable("unknown")},
		{`owner == NULL`, notQueryable("owner")},
		{`owner._id == "x"`, notQueryable("owner")},
		{`addr.city == "x"`, notQueryable("addr")},
		{`addr == NULL`, notQueryable("addr")},
		{`loc.type == "Point"`, notQueryable("loc")},
		{`addr GEOWITHIN geoCircle([1, 2], 1)`, notQueryable("addr")},
		{`a GEOWITHIN geoCircle([1, 2], 1)`, notQueryable("a")},
		{`dict == 1`, notQueryable("dict")},
		{`dict["k"] == 1`, notQueryable("dict")},
		{`dict[*] == 1`, notQueryable("dict")},
		{`dict.@keys == "k"`, notQueryable("dict")},
		{`tags[FIRST] == "x"`, notQueryable("tags")},
		{`tags[0] == "x"`, notQueryable("tags")},
		{`mx["a"] == 1`, notQueryable("mx")},
		{`_id.x == 1`, notQueryable("_id")},
		{`nums.@avg > 1`, "@avg is not supported"},
		{`nums.@max > 1`, "@max is not supported"},
		{`nums.@min > 1`, "@min is not supported"},
		{`nums.@sum > 1`, "@sum is not supported"},
		{`mx.@type == "int"`, "@type is not supported"},
		{`a.@size == 1`, `"a" has no @size`},
		{`mx.@size == 1`, `"mx" has no @size`},
		{`oid == obj("class_Person", "x")`, "links are not queryable"},
		{`oid IN {obj("class_Person", "x")}`, "links are not queryable"},
		{`tags == {"x", "y"}`, "lists can't be compared with lists"},
		{`tags IN {"x", "y"}`, `write ANY "tags" IN {…}`},
		{`{"x"} == tags`, "lists can't be compared with lists"},
		{`tags == tags`, "lists can't be compared with lists"},
		{`ANY nums > {1, 2}`, "lists can't be compared with lists"},
		{`nums BETWEEN {1, 2}`, "only ALL can be BETWEEN"},
		{`ANY a == 1`, "ANY, ALL and NONE need a list or a set"},
		{`a == "x"`, "a value of type string can't be compared with a int"},
		{`s == 5`, "a number can't be compared with a string"},
		{`bin == "x"`, "a value of type string can't be compared with a binary"},
		{`oid == "x"`, "a value of type string can't be compared with a objectid"},
		{`done == 1`, "a number can't be compared with a bool"},
		{`a == s`, `"a" (int) and "s" (string) can't be compared`},
		{`a IN s`, "can't be compared"},
		{`a IN b`, "IN needs a list or a set"},
		{`a BEGINSWITH 1`, "BEGINSWITH is for strings and binaries"},
		{`1 == 1`, "two constants"},
		{`1 BETWEEN {0, 2}`, "BETWEEN needs a property"},
		{`(s + "x") == "y"`, "only numbers can be computed with"},
		{`(s + 1) == 1`, "only numbers can be computed with"},
		{`(nums + 1) == 1`, "only numbers can be computed with"},
	} {
		p, err := bind(taskSchema(), "Task", test.text)
		var match *query.MatchError
		if !errors.As(err, &match) || !errors.Is(err, query.ErrBadQuery) || match.Class != "Task" {
			t.Errorf("%s: bound to %v, error %v", test.text, p, err)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
	if got := query.NotQueryable("Task", "x").Error(); got != notQueryable("x") {
		t.Errorf("NotQueryable: %s", got)
	}
	if _, err := bind(taskSchema(), "Nothing", "TRUEPREDICATE"); !errors.Is(err, query.ErrUnknownClass) || errors.Is(err, query.ErrBadQuery) {
		t.Errorf("unknown class: error %v", err)
	}
	for _, class := range []string{"Event", "Address"} {
		if _, err := bind(taskSchema(), class, "TRUEPREDICATE"); !errors.Is(err, query.ErrBadQuery) {
			t.Errorf("%s: error %v", class, err)
		}
	}
}

func TestParseBody(t *testing.T) {
	got, err := query.ParseBody([]byte(`{"Dog":"(_id > 3) OR (name == \"Rex\")","Person":"(TRUEPREDICATE )"}`))
	if err != nil || len(got) != 2 || got["Dog"] != `(_id > 3) OR (name == "Rex")` || got["Person"] != "(TRUEPREDICATE )" {
		t.Errorf("got %v, error %v", got, err)
	}
	if got, err := query.ParseBody([]byte(`{}`)); err != nil || len(got) != 0 {
		t.Errorf("got %v, error %v", got, err)
	}
	long := `{"Dog":"` + strings.Repeat(" ", query.MaxText+1) + `"}`
	for _, bad := range []string{``, `null`, `[]`, `{"Dog":5}`, `{"Dog":null,}`, `{} {}`, long} {
		if got, err := query.ParseBody([]byte(bad)); !errors.Is(err, query.ErrBadQuery) {
			t.Errorf("%.40s: got %v, error %v", bad, got, err)
		}
	}
}

func TestFields(t *testing.T) {
	p, err := bind(taskSchema(), "Task", `_id != NULL and (tags.@size > a or loc GEOWITHIN geoCircle([1, 2], 1)) and !((f + d) > 1) and a in {5}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Fields(), " "); got != "a d f loc tags" {
		t.Errorf("fields %s", got)
	}
	if p.Class() != "Task" {
		t.Errorf("class %s", p.Class())
	}
}
