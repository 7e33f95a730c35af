package translator

import (
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// WriteKind is what a Write does to a document.
type WriteKind uint8

// The kinds of write.
const (
	None    WriteKind = iota
	Insert            // of Document
	Update            // by Update
	Replace           // of the whole document by Document
	Delete
)

func (k WriteKind) String() string {
	return [...]string{"nothing", "insert", "update", "replace", "delete"}[k]
}

// Write is the smallest write that makes a document what its object became. All
// of it is absolute, so that repeating it is harmless; it relies on nobody else
// writing the document between its reading and the write.
type Write struct {
	Kind     WriteKind
	Document bson.Raw // of an insert or a replacement, with its _id
	Update   bson.Raw // {$set: {path: value, …}, $unset: {path: "", …}}, either if needed
}

// Edit is Mapping{}.Edit.
func Edit(s *schema.Schema, c *schema.Class, doc bson.Raw, key changeset.Key,
	before, after *object.Object, instructions changeset.Changeset) (Write, error) {
	return Mapping{}.Edit(s, c, doc, key, before, after, instructions)
}

// Edit returns the write that does to the document what the instructions did to
// its object. The document agrees with before (by its fingerprint); it is empty
// if there is none. Before or after is nil where the object does not exist.
// Instructions about other objects are ignored.
//
// The instructions are applied to the document itself, so that fields which the
// schema does not name survive, also inside embedded documents and inside the
// elements of lists; then the fields they touched are compared with after. A
// field that disagrees, which only a value that documents can't hold exactly
// brings about, is built from after, around what the document has there.
//
// The error is a *RefusedValue where after can't be stored.
func (m Mapping) Edit(s *schema.Schema, c *schema.Class, doc bson.Raw, key changeset.Key,
	before, after *object.Object, instructions changeset.Changeset) (Write, error) {
	mp := mapper{m, s}
	switch {
	case len(doc) == 0 && after == nil:
		return Write{}, nil
	case after == nil:
		return Write{Kind: Delete}, nil
	case len(doc) == 0:
		doc, r := mp.newDocument(c, KeyToBSON(key), after)
		return written(Write{Kind: Insert, Document: doc}, r)
	case before == nil:
		return Write{}, refused("there is a document with this %s already, which does not fit the schema", schema.KeyField)
	}
	e := editor{mapper: mp, class: c, touched: make(map[string]bool)}
	e.root = rawNode(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: doc})
	if !e.root.expand() {
		return Write{}, refused("the document is not well-formed")
	}
	for i := range instructions {
		in := &instructions[i]
		if in.Class != c.Name || in.Key != key {
			continue
		}
		if in.Op == changeset.OpEraseObject {
			// Created anew afterwards: nothing of the old document is to survive.
			// The key stays as it is written, were it a double.
			doc, r := mp.newDocument(c, doc.Lookup(schema.KeyField), after)
			return written(Write{Kind: Replace, Document: doc}, r)
		}
		if in.Op.HasPath() {
			e.apply(in)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.touched)) {
		p := c.Properties[name]
		if r := e.settle(place{prop: p, at: slot{in: e.root, key: name}, whole: true}, after.Get(p)); r != nil {
			return written(Write{}, r.below(name))
		}
	}
	return e.write(), nil
}

// written returns the write, or the error if there is one.
func written(w Write, r *RefusedValue) (Write, error) {
	if r != nil {
		return Write{}, r
	}
	return w, nil
}

// editor applies instructions to a document.
type editor struct {
	mapper
	class   *schema.Class
	root    *node
	touched map[string]bool // properties that instructions are about
}

// write is what turns the document into what the editor has made of it.
func (e *editor) write() Write {
	var d differ
	if !d.document("", e.root) {
		return Write{Kind: Replace, Document: e.root.append(nil)}
	}
	if len(d.changes) == 0 {
		return Write{}
	}
	return Write{Kind: Update, Update: d.update()}
}
