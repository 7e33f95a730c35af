package object

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// What random objects are made of. Values are few, so that they often meet.

var scalarTypes = []changeset.Type{
	changeset.Int, changeset.Bool, changeset.String, changeset.Binary, changeset.Timestamp, changeset.Float,
	changeset.Double, changeset.Decimal, changeset.ObjectID, changeset.UUID,
}

// drawSchema draws a schema with the classes Main (int key), Other (string key,
// nullable), Inner and Outer (embedded, Outer may hold Inner).
func drawSchema(t *rapid.T) *schema.Schema {
	s := &schema.Schema{}
	add := func(in changeset.Instruction) {
		if _, err := s.Apply(&in); err != nil {
			t.Fatalf("drawn schema: %v", err)
		}
	}
	table := func(name string, spec changeset.Table) {
		add(changeset.Instruction{Op: changeset.OpAddTable, Class: name, Table: &spec})
	}
	table("Main", changeset.Table{KeyField: "_id", KeyType: changeset.Int})
	table("Other", changeset.Table{KeyField: "_id", KeyType: changeset.String, KeyNullable: true})
	table("Inner", changeset.Table{Kind: changeset.Embedded})
	table("Outer", changeset.Table{Kind: changeset.Embedded})
	classes := []string{"Inner", "Outer", "Main"}
	for n, class := range classes {
		targets := append([]string{"Other"}, classes[:n]...)
		for i := range rapid.IntRange(1, 6).Draw(t, "properties of "+class) {
			name := fmt.Sprintf("p%d", i)
			if i == 0 && class != "Main" {
				name = rapid.SampledFrom([]string{"id", "key", "p0"}).Draw(t, "name")
			}
			add(changeset.Instruction{Op: changeset.OpAddColumn, Class: class, Field: name, Column: drawColumn(t, s, targets)})
		}
	}
	return s
}

func drawColumn(t *rapid.T, s *schema.Schema, targets []string) *changeset.Column {
	c := &changeset.Column{
		Collection: changeset.Collection(rapid.IntRange(0, 3).Draw(t, "collection")),
		Nullable:   rapid.Bool().Draw(t, "nullable"),
	}
	switch rapid.IntRange(0, 2).Draw(t, "type") {
	case 0:
		c.Type = rapid.SampledFrom(scalarTypes).Draw(t, "scalar")
	case 1:
		c.Type, c.Nullable = changeset.Mixed, true
	default:
		c.Type, c.Target = changeset.Link, rapid.SampledFrom(targets).Draw(t, "target")
		if c.Collection == changeset.SetOf && s.Class(c.Target).Kind == changeset.Embedded {
			c.Collection = changeset.ListOf
		}
		c.Nullable = c.Collection == changeset.Single || c.Collection == changeset.DictionaryOf
	}
	return c
}

func drawObject(t *rapid.T, s *schema.Schema, c *schema.Class) *Object {
	o := &Object{Fields: make(map[string]Node)}
	for _, name := range c.PropertyNames() {
		if rapid.IntRange(0, 3).Draw(t, "present") > 0 {
			o.Fields[name] = drawProperty(t, s, c.Properties[name])
		}
	}
	return o
}

func drawProperty(t *rapid.T, s *schema.Schema, p *schema.Property) Node {
	const most = 6
	switch p.Collection {
	case changeset.ListOf:
		return &List{Items: drawElements(t, s, p, most, 0)}
	case changeset.DictionaryOf:
		return drawDictionary(t, s, p, most, 0)
	case changeset.SetOf:
		set := &Set{}
		for range rapid.IntRange(0, most).Draw(t, "elements") {
			set.insert(drawValue(t, p), p.Type == changeset.Mixed)
		}
		return set
	}
	return drawElement(t, s, p, 0)
}

func drawElements(t *rapid.T, s *schema.Schema, p *schema.Property, most, depth int) []Node {
	items := make([]Node, rapid.IntRange(0, most).Draw(t, "elements"))
	for i := range items {
		items[i] = drawElement(t, s, p, depth)
	}
	return items
}

func drawDictionary(t *rapid.T, s *schema.Schema, p *schema.Property, most, depth int) *Dictionary {
	d := &Dictionary{Entries: make(map[string]Node)}
	for range rapid.IntRange(0, most).Draw(t, "entries") {
		d.Entries[rapid.SampledFrom([]string{"", "a", "b", "id", "ß", "e"}).Draw(t, "key")] = drawElement(t, s, p, depth)
	}
	return d
}

// drawElement draws a single value, an element or an entry.
func drawElement(t *rapid.T, s *schema.Schema, p *schema.Property, depth int) Node {
	if s.IsEmbedded(p) {
		if p.AcceptsNull() && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			return changeset.NullValue()
		}
		return drawObject(t, s, s.Class(p.Target))
	}
	if p.Type == changeset.Mixed && depth < 3 {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return &List{Items: drawElements(t, s, p, 3, depth+1)}
		case 1:
			return drawDictionary(t, s, p, 3, depth+1)
		}
	}
	return drawValue(t, p)
}

func drawValue(t *rapid.T, p *schema.Property) changeset.Value {
	if p.AcceptsNull() && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return changeset.NullValue()
	}
	typ := p.Type
	if typ == changeset.Mixed {
		typ = rapid.SampledFrom(append([]changeset.Type{changeset.Link}, scalarTypes...)).Draw(t, "type")
	}
	n := rapid.IntRange(0, 3).Draw(t, "value")
	switch typ {
	case changeset.Int:
		return changeset.IntValue([]int64{0, 1, -7, math.MaxInt64}[n])
	case changeset.Bool:
		return changeset.BoolValue(n > 1)
	case changeset.String:
		return changeset.StringValue([]string{"", "a", "b\x00", "žluť"}[n])
	case changeset.Binary:
		return changeset.BinaryValue([][]byte{nil, {0}, {0xff, 1}, {1, 2, 3}}[n])
	case changeset.Timestamp:
		return changeset.TimestampValue([]int64{0, 1, -1, 1 << 40}[n], []int32{0, 5, -999999999, 0}[n])
	case changeset.Float:
		return changeset.FloatValue([]float32{0, 1, 1.5, float32(math.NaN())}[n])
	case changeset.Double:
		return changeset.DoubleValue([]float64{0, 1, math.Inf(-1), math.NaN()}[n])
	case changeset.Decimal:
		return []changeset.Value{
			changeset.DecimalValue(0, 1, 0, false), changeset.DecimalValue(0, 10, -1, false),
			changeset.DecimalValue(0, 15, -1, true), changeset.DecimalValue(0, 0, changeset.DecimalNaN, false),
		}[n]
	case changeset.ObjectID:
		return changeset.ObjectIDValue([12]byte{11: byte(n)})
	case changeset.UUID:
		return changeset.UUIDValue([16]byte{15: byte(n)})
	}
	return changeset.LinkValue("Other", []changeset.Key{
		changeset.NullKey, changeset.StringKey(""), changeset.StringKey("a"), changeset.StringKey("b"),
	}[n])
}

// drawChanged draws an object that differs from another in a few places, lists
// in the way that programs change them.
func drawChanged(t *rapid.T, s *schema.Schema, c *schema.Class, o *Object) *Object {
	out := o.Clone()
	if out.Fields == nil {
		out.Fields = make(map[string]Node)
	}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		p := c.Properties[rapid.SampledFrom(c.PropertyNames()).Draw(t, "changed")]
		out.Fields[p.Name] = drawChangedNode(t, s, p, out.Get(p))
	}
	return out
}

func drawChangedNode(t *rapid.T, s *schema.Schema, p *schema.Property, node Node) Node {
	if rapid.IntRange(0, 5).Draw(t, "replace") == 0 {
		return drawProperty(t, s, p)
	}
	switch node := node.(type) {
	case *Object:
		return drawChanged(t, s, s.Class(p.Target), node)
	case *List:
		return &List{Items: drawChangedItems(t, s, p, node.Items)}
	case *Dictionary:
		for _, key := range slices.Sorted(maps.Keys(node.Entries)) {
			switch rapid.IntRange(0, 3).Draw(t, "entry "+key) {
			case 0:
				delete(node.Entries, key)
			case 1:
				node.Entries[key] = drawElement(t, s, p, 2)
			}
		}
		return node
	case *Set:
		changed := &Set{}
		for _, v := range node.Items {
			if rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
				changed.insert(v, p.Type == changeset.Mixed)
			}
		}
		changed.insert(drawValue(t, p), p.Type == changeset.Mixed)
		return changed
	}
	return drawProperty(t, s, p)
}

func drawChangedItems(t *rapid.T, s *schema.Schema, p *schema.Property, items []Node) []Node {
	var out []Node
	for _, item := range items {
		switch rapid.IntRange(0, 7).Draw(t, "item") {
		case 0: // erased
		case 1:
			out = append(out, drawElement(t, s, p, 2), item)
		case 2:
			out = append(out, drawElement(t, s, p, 2))
		case 3:
			if o, ok := item.(*Object); ok {
				item = drawChanged(t, s, s.Class(p.Target), o)
			}
			out = append(out, item)
		default:
			out = append(out, item)
		}
	}
	return out
}
