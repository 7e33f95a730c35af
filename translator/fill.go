package translator

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Fill is Mapping{}.Fill.
func Fill(s *schema.Schema, c *schema.Class, doc bson.Raw, isNew func(class, property string) bool) (filled bson.Raw, w Write) {
	return Mapping{}.Fill(s, c, doc, isNew)
}

// Fill gives a document, and what is embedded in it, the zeros of required
// properties that are absent or null, that have no default, and that isNew
// names. It returns the document as it then is and the smallest write that makes
// it so. Nothing else in the document is touched.
func (m Mapping) Fill(s *schema.Schema, c *schema.Class, doc bson.Raw, isNew func(class, property string) bool) (filled bson.Raw, w Write) {
	e := editor{mapper: mapper{m, s}, class: c}
	e.root = rawNode(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	e.fill(c, e.root, isNew, 0)
	w = e.write()
	if w.Kind == None {
		return doc, w
	}
	return e.root.append(nil), w
}

// fill fills an object's document.
func (e *editor) fill(c *schema.Class, doc *node, isNew func(class, property string) bool, depth int) {
	if depth > maxNesting || doc.kind() != bson.TypeEmbeddedDocument || !doc.expand() {
		return
	}
	for _, name := range c.PropertyNames() {
		p := c.Properties[name]
		at := slot{in: doc, key: name}
		switch {
		case e.schema.IsEmbedded(p):
			e.fillEmbedded(p, at.get(), isNew, depth+1)
		case requiresValue(p) && at.get().isNull() && isNew(c.Name, name):
			if _, has := defaultOf(p); has {
				continue
			}
			if zero, r := e.rawOf(p, object.Initial(p)); r == nil {
				at.set(rawNode(zero))
			}
		}
	}
}

// fillEmbedded fills what a property of embedded objects holds.
func (e *editor) fillEmbedded(p *schema.Property, held *node, isNew func(class, property string) bool, depth int) {
	target := e.schema.Class(p.Target)
	if p.Collection == changeset.Single {
		e.fill(target, held, isNew, depth)
		return
	}
	if !held.expand() || held.isArray != (p.Collection == changeset.ListOf) {
		return
	}
	for _, item := range held.items {
		e.fill(target, item, isNew, depth)
	}
	for _, f := range held.fields {
		if f.node != nil {
			e.fill(target, f.node, isNew, depth)
		}
	}
}

// Fill implements history.Mirror.
func (m *Mirror) Fill(s *schema.Schema, c *schema.Class, key changeset.Key, doc *history.Document, isNew func(class, property string) bool) (*history.Document, history.Write) {
	raw, w := m.mapping.Fill(s, c, doc.Raw, isNew)
	if w.Kind == None {
		return nil, history.Write{}
	}
	_, filled := m.document(s, c, raw)
	if filled.Unsynced != nil {
		return nil, history.Write{}
	}
	filter := bson.D{{Key: schema.KeyField, Value: raw.Lookup(schema.KeyField)}}
	out := history.Write{Key: key, Model: mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(w.Update)}
	if w.Kind == Replace {
		out.Model = mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(w.Document)
	}
	return filled, out
}
