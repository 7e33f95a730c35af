package device

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Delete deletes an object. As in the SDKs the links to it go first, each by an
// instruction of its own (trap 13).
func (tx *Tx) Delete(class string, key changeset.Key) error {
	ref := changeset.ObjectRef{Class: class, Key: key}
	if tx.file.store.Object(ref) == nil {
		return fmt.Errorf("delete: %s has no object with that primary key", class)
	}
	for _, mixed := range []bool{false, true} {
		for _, place := range tx.linksTo(ref, mixed) {
			if err := tx.unlink(place, ref); err != nil {
				return fmt.Errorf("delete: unlink: %w", err)
			}
		}
	}
	return tx.emit(spot{}, changeset.Instruction{Op: changeset.OpEraseObject, Class: class, Key: key})
}

// unlink takes one link away: the property or the entry is null, the list or
// the set has one element less.
func (tx *Tx) unlink(p Place, ref changeset.ObjectRef) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return err
	}
	switch {
	case sp.collection():
		return tx.SetErase(p, changeset.LinkValue(ref.Class, ref.Key))
	case sp.at == schema.InList && sp.prop.Type != changeset.Mixed:
		return tx.Erase(p)
	}
	return tx.value(p, sp, changeset.NullValue(), putSet)
}

// linksTo finds the links to an object, in properties for links to its class
// or in mixed ones. Of one list the last come first, so that erasing one leaves
// the places of the others.
func (tx *Tx) linksTo(ref changeset.ObjectRef, mixed bool) []Place {
	s := tx.file.store.Schema()
	f := linkFinder{target: changeset.LinkValue(ref.Class, ref.Key), schema: s, mixed: mixed}
	for _, name := range s.ClassNames() {
		c := s.Class(name)
		if c.Kind == changeset.Embedded || !f.mayLink(c, map[string]bool{}) {
			continue
		}
		objects := tx.file.store.Objects(name)
		for _, key := range slices.SortedFunc(maps.Keys(objects), compareKeys) {
			if name == ref.Class && key == ref.Key {
				continue
			}
			for _, property := range tx.file.propertyNames(c) {
				if node := objects[key].Fields[property]; node != nil {
					f.search(c.Properties[property], node, At(name, key, property))
				}
			}
		}
	}
	return f.found
}

// compareKeys is some order of primary keys.
func compareKeys(a, b changeset.Key) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Int, b.Int), strings.Compare(a.Str, b.Str))
}

type linkFinder struct {
	target changeset.Value
	schema *schema.Schema
	mixed  bool // looks into mixed properties; else into properties for links
	found  []Place
}

// wanted reports whether values of the property may be what is looked for.
func (f *linkFinder) wanted(p *schema.Property) bool {
	if f.mixed {
		return p.Type == changeset.Mixed
	}
	return p.Type == changeset.Link && p.Target == f.target.Str
}

// mayLink reports whether objects of a class may hold what is looked for.
func (f *linkFinder) mayLink(c *schema.Class, seen map[string]bool) bool {
	if c == nil || seen[c.Name] {
		return false
	}
	seen[c.Name] = true
	for _, p := range c.Properties {
		if f.wanted(p) || f.schema.IsEmbedded(p) && f.mayLink(f.schema.Class(p.Target), seen) {
			return true
		}
	}
	return false
}

func (f *linkFinder) search(p *schema.Property, node object.Node, at Place) {
	switch node := node.(type) {
	case changeset.Value:
		if f.wanted(p) && node == f.target {
			f.found = append(f.found, at)
		}
	case *object.List:
		for i := len(node.Items) - 1; i >= 0; i-- {
			f.search(p, node.Items[i], at.Index(i))
		}
	case *object.Dictionary:
		for _, key := range slices.Sorted(maps.Keys(node.Entries)) {
			f.search(p, node.Entries[key], at.Name(key))
		}
	case *object.Set:
		for _, item := range node.Items {
			if f.wanted(p) && item == f.target {
				f.found = append(f.found, at)
			}
		}
	case *object.Object:
		c := f.schema.Class(p.Target)
		if c == nil {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(node.Fields)) {
			if inner := c.Properties[name]; inner != nil {
				f.search(inner, node.Fields[name], at.Name(name))
			}
		}
	}
}
