// Package schema holds the classes and properties of an app: what instructions
// and JSON Schema files say about them, and which changes are additive. It
// knows nothing of storage or of objects.
package schema

import (
	"github.com/isthmus-sync/isthmus/changeset"
)

// KeyField is the primary key property of every synced class.
const KeyField = "_id"

// Schema is a set of classes. The zero value is empty and ready to use.
// A Schema that is shared must not be changed: Clone it first.
type Schema struct {
	Classes map[string]*Class
}

// Class is a class: a collection's documents, or a kind of embedded document.
type Class struct {
	Name        string
	Kind        changeset.TableKind
	KeyType     changeset.Type // of _id; not of embedded classes
	KeyNullable bool
	Properties  map[string]*Property // by name, without _id
	Collection  string               // MongoDB collection; empty means the class's name, or an embedded class
}

// Property is a property of a class other than its primary key.
type Property struct {
	Name       string
	Type       changeset.Type // changeset.Mixed for mixed; Link for links and embedded objects
	Nullable   bool           // as AddColumn carries it
	Collection changeset.Collection
	Target     string // class a Link leads to
	Int32      bool   // an Int stored as BSON int32 (bsonType "int")
	Default    *changeset.Value
}

// Class returns the class of that name, or nil.
func (s *Schema) Class(name string) *Class {
	if s == nil {
		return nil
	}
	return s.Classes[name]
}

// IsEmbedded reports whether the property holds embedded objects.
func (s *Schema) IsEmbedded(p *Property) bool {
	if p.Type != changeset.Link {
		return false
	}
	c := s.Class(p.Target)
	return c != nil && c.Kind == changeset.Embedded
}
