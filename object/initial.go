package object

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// Get returns the property's node: what the object holds, or the initial value.
// An initial collection is a new one; to change it changes nothing in the object.
func (o *Object) Get(p *schema.Property) Node {
	if node := o.Fields[p.Name]; node != nil {
		return node
	}
	return Initial(p)
}

// Initial returns what the property holds in a new object: an empty collection;
// null if it may be null; else 0, false, "", no bytes, 1970-01-01, 0.0, or an
// all-zero ObjectID or UUID (rule 2.1).
func Initial(p *schema.Property) Node {
	switch p.Collection {
	case changeset.ListOf:
		return &List{}
	case changeset.DictionaryOf:
		return &Dictionary{}
	case changeset.SetOf:
		return &Set{}
	}
	return initialValue(p)
}

// initialValue is Initial of a property that is no collection.
func initialValue(p *schema.Property) changeset.Value {
	if p.AcceptsNull() {
		return changeset.NullValue()
	}
	switch p.Type {
	case changeset.ObjectID:
		return changeset.ObjectIDValue([12]byte{})
	case changeset.UUID:
		return changeset.UUIDValue([16]byte{})
	}
	return changeset.Value{Type: p.Type}
}

// isInitial reports whether the node is what the property has initially.
func isInitial(p *schema.Property, node Node) bool {
	switch node := node.(type) {
	case nil:
		return true
	case changeset.Value:
		return p.Collection == changeset.Single && node == initialValue(p)
	case *List:
		return p.Collection == changeset.ListOf && len(node.Items) == 0
	case *Dictionary:
		return p.Collection == changeset.DictionaryOf && len(node.Entries) == 0
	case *Set:
		return p.Collection == changeset.SetOf && len(node.Items) == 0
	}
	return false
}
