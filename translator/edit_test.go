package translator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// foreignFields are what scripts put next to mapped fields in the tests.
var foreignFields = []string{"other", "$odd", "dotted.name"}

// withForeignFields returns the schema that names the foreign fields, too: an
// object of it says where they are, and applying instructions to that object
// says where they belong afterwards.
func withForeignFields(s *schema.Schema) *schema.Schema {
	out := s.Clone()
	for _, c := range out.Classes {
		if strings.HasPrefix(c.Name, "K_") {
			continue
		}
		for _, name := range foreignFields {
			c.Properties[name] = &schema.Property{Name: name, Type: changeset.String, Nullable: true}
		}
	}
	return out
}

// genForeignFields puts foreign fields of distinct content into an object and
// what it embeds.
func genForeignFields(t *rapid.T, s *schema.Schema, c *schema.Class, o *object.Object, count *int) {
	for _, name := range c.PropertyNames() {
		p := c.Properties[name]
		if slices.Contains(foreignFields, name) {
			if *count++; rapid.Bool().Draw(t, "foreign") {
				o.Fields[name] = changeset.StringValue(fmt.Sprint("foreign ", *count))
			}
			continue
		}
		var embedded []object.Node
		switch n := o.Fields[name].(type) {
		case *object.List:
			embedded = n.Items
		case *object.Dictionary:
			for _, key := range sortedKeys(n.Entries) {
				embedded = append(embedded, n.Entries[key])
			}
		default:
			embedded = []object.Node{n}
		}
		for _, node := range embedded {
			if inner, ok := node.(*object.Object); ok {
				genForeignFields(t, s, s.Class(p.Target), inner, count)
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// genLoose rewrites a document the way other drivers could have written it:
// other widths of numbers, null for absent, repeated elements of sets.
func genLoose(t *rapid.T, s *schema.Schema, c *schema.Class, doc bson.Raw) bson.Raw {
	var d bson.D
	if err := bson.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	out := loosen(t, s, c, d)
	raw, err := bson.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func loosen(t *rapid.T, s *schema.Schema, c *schema.Class, d bson.D) bson.D {
	present := map[string]bool{}
	for i, e := range d {
		present[e.Key] = true
		p := c.Properties[e.Key]
		if p == nil {
			continue
		}
		switch v := e.Value.(type) {
		case bson.A:
			for j := range v {
				v[j] = loosenElement(t, s, p, v[j])
			}
			if p.Collection == changeset.SetOf && len(v) > 0 && rapid.Bool().Draw(t, "repeat") {
				d[i].Value = append(v, v[0])
			}
		case bson.D:
			if p.Collection != changeset.DictionaryOf {
				d[i].Value = loosenElement(t, s, p, v)
				continue
			}
			for j := range v {
				v[j].Value = loosenElement(t, s, p, v[j].Value)
			}
		default:
			d[i].Value = loosenElement(t, s, p, v)
		}
	}
	for _, name := range c.PropertyNames() {
		p := c.Properties[name]
		if present[name] || requiresValue(p) || slices.Contains(foreignFields, name) || rapid.Bool().Draw(t, "absent") {
			continue
		}
		d = append(d, bson.E{Key: name, Value: nil})
	}
	return d
}

func loosenElement(t *rapid.T, s *schema.Schema, p *schema.Property, v any) any {
	if inner, ok := v.(bson.D); ok && s.IsEmbedded(p) {
		return loosen(t, s, s.Class(p.Target), inner)
	}
	n, ok := v.(int64)
	if !ok || p.Type != changeset.Int || n < -100 || n > 100 {
		return v
	}
	return rapid.SampledFrom([]any{n, int32(n), float64(n)}).Draw(t, "width")
}

// scenario is a random document with foreign fields, what is known of it, and
// what instructions do to it.
type scenario struct {
	schema        *schema.Schema
	class         *schema.Class
	key           changeset.Key
	doc           bson.Raw
	before, after *object.Object
	instructions  changeset.Changeset
	write         Write
	wide          *schema.Schema // names the foreign fields
	wideAfter     *object.Object // what applying the instructions makes of all fields
}

func genScenario(t *rapid.T, m Mapping) *scenario {
	narrow := genSchema(t)
	wide := withForeignFields(narrow)
	sc := &scenario{schema: narrow, class: narrow.Class("T"), wide: wide, key: changeset.ObjectIDKey([12]byte{1})}
	o := genObject(t, narrow, sc.class)
	count := 0
	genForeignFields(t, wide, wide.Class("T"), o, &count)
	doc, err := NewDocument(wide, wide.Class("T"), sc.key, o)
	if err != nil {
		t.Fatal(err)
	}
	sc.doc = genLoose(t, wide, wide.Class("T"), doc)

	if sc.before, err = m.MapDocument(narrow, sc.class, sc.doc); err != nil {
		t.Fatal(err)
	}
	Refine(narrow, sc.class, sc.before, o)
	if sc.wideAfter, err = m.MapDocument(wide, wide.Class("T"), sc.doc); err != nil {
		t.Fatal(err)
	}
	Refine(wide, wide.Class("T"), sc.wideAfter, o)

	ref := changeset.ObjectRef{Class: "T", Key: sc.key}
	sc.after = sc.before.Clone()
	sc.instructions = genInstructions(t, narrow, ref, sc.after, func(in *changeset.Instruction) {
		if err := sc.wideAfter.Apply(wide, wide.Class("T"), in); err != nil {
			t.Fatal(err)
		}
	})
	if sc.write, err = m.Edit(narrow, sc.class, sc.doc, sc.key, sc.before, sc.after, sc.instructions); err != nil {
		t.Fatalf("Edit: %v", err)
	}
	return sc
}

func (sc *scenario) String() string {
	return fmt.Sprintf("document %s\ninstructions %+v\nwrite %v %s%s", sc.doc, sc.instructions, sc.write.Kind, sc.write.Update, sc.write.Document)
}

// TestEditMatchesTheObject: the write, applied, gives a document that agrees
// with what the instructions made of the object, and every foreign field is
// where it was, or where its element went.
func TestEditMatchesTheObject(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sc := genScenario(r, Mapping{UnsetNulls: rapid.Bool().Draw(r, "unset nulls")})
		got, err := applyWrite(sc.doc, sc.write)
		if err != nil {
			r.Fatalf("apply: %v\n%s", err, sc)
		}
		read, err := MapDocument(sc.schema, sc.class, got)
		if err != nil {
			r.Fatalf("map %s: %v\n%s", got, err, sc)
		}
		if Fingerprint(sc.schema, sc.class, read) != Fingerprint(sc.schema, sc.class, sc.after) {
			r.Fatalf("got %s\n%s", got, sc)
		}
		wide := sc.wide.Class("T")
		read, err = MapDocument(sc.wide, wide, got)
		if err != nil {
			r.Fatalf("map %s: %v\n%s", got, err, sc)
		}
		if Fingerprint(sc.wide, wide, read) != Fingerprint(sc.wide, wide, sc.wideAfter) {
			r.Fatalf("foreign fields: got %s\n%s", got, sc)
		}
	})
}
