// Package schema holds the classes and properties of an app: what instructions
// and JSON Schema files say about them, and which changes are additive. It
// knows nothing of storage or of objects.
package schema

import (
	"maps"
	"slices"

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

// MixedElement is the property as which the values inside a collection in a
// mixed are treated. It must not be changed.
var MixedElement = &Property{Type: changeset.Mixed, Nullable: true}

// AcceptsNull reports whether the property, or an element of it, may be null.
// Of mixed and links the kind of collection alone decides, whatever AddColumn
// said: a mixed, a single link and a dictionary of links may, lists and sets of
// links may not.
func (p *Property) AcceptsNull() bool {
	switch p.Type {
	case changeset.Mixed:
		return true
	case changeset.Link:
		return p.Collection == changeset.Single || p.Collection == changeset.DictionaryOf
	}
	return p.Nullable
}

// PropertyNames returns the names of the class's properties, sorted, without _id.
func (c *Class) PropertyNames() []string {
	return slices.Sorted(maps.Keys(c.Properties))
}

// ClassNames returns the names of the classes, sorted.
func (s *Schema) ClassNames() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Classes))
}

// Clone returns a deep copy, which may be changed freely.
func (s *Schema) Clone() *Schema {
	out := &Schema{}
	if s == nil || s.Classes == nil {
		return out
	}
	out.Classes = make(map[string]*Class, len(s.Classes))
	for name, c := range s.Classes {
		out.Classes[name] = c.Clone()
	}
	return out
}

// Clone returns a deep copy.
func (c *Class) Clone() *Class {
	out := *c
	out.Properties = make(map[string]*Property, len(c.Properties))
	for name, p := range c.Properties {
		copied := *p
		if p.Default != nil {
			v := *p.Default
			copied.Default = &v
		}
		out.Properties[name] = &copied
	}
	return &out
}
