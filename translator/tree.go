package translator

import (
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
)

// node is a BSON value under edit. It stays raw until something inside it is
// touched; then it is a document or an array of nodes.
type node struct {
	raw    bson.RawValue // while it is not open
	open   bool
	fields []field // of an open document: those it had, in order, then new ones
	items  []*node // of an open array

	isArray bool          // of an open node
	base    bson.RawValue // what an open node was before; zero for one that was made

	index    map[string]int           // of the fields by key, once there are many
	elements map[changeset.Value]bool // identities of a set's items, once asked for
}

type field struct {
	key  string
	node *node // nil: removed
}

// indexFrom is the number of fields from which a document keeps an index.
const indexFrom = 32

func rawNode(v bson.RawValue) *node { return &node{raw: v} }

// kind is the BSON type of the value; zero for no node.
func (n *node) kind() bson.Type {
	switch {
	case n == nil:
		return 0
	case !n.open:
		return n.raw.Type
	case n.isArray:
		return bson.TypeArray
	}
	return bson.TypeEmbeddedDocument
}

// isNull reports whether there is no value, which is what null means.
func (n *node) isNull() bool { return n == nil || n.kind() == bson.TypeNull }

// expand opens a document or an array. It reports whether the node is one.
func (n *node) expand() bool {
	if n == nil {
		return false
	}
	if n.open {
		return true
	}
	if n.raw.Type != bson.TypeEmbeddedDocument && n.raw.Type != bson.TypeArray {
		return false
	}
	isArray := n.raw.Type == bson.TypeArray
	var fields []field
	var items []*node
	e := elementsOf(n.raw.Value)
	for {
		key, v, ok := e.next()
		if !ok {
			break
		}
		if isArray {
			items = append(items, rawNode(v))
		} else {
			fields = append(fields, field{string(key), rawNode(v)})
		}
	}
	if e.bad {
		return false
	}
	*n = node{open: true, isArray: isArray, fields: fields, items: items, base: n.raw}
	return true
}

// value returns the node as a raw value.
func (n *node) value() bson.RawValue {
	if !n.open {
		return n.raw
	}
	return bson.RawValue{Type: n.kind(), Value: n.append(nil)}
}

func (n *node) append(dst []byte) []byte {
	if !n.open {
		return append(dst, n.raw.Value...)
	}
	start, dst := openDocument(dst)
	for _, f := range n.fields {
		if f.node == nil {
			continue
		}
		dst = f.node.append(appendHeader(dst, f.node.kind(), f.key))
	}
	for i, item := range n.items {
		dst = item.append(appendHeader(dst, item.kind(), strconv.Itoa(i)))
	}
	return closeDocument(dst, start)
}

// find returns the position of a field of an open document, or -1. Of several
// with one key, it is the first, as for MongoDB.
func (n *node) find(key string) int {
	if len(n.fields) < indexFrom {
		return slices.IndexFunc(n.fields, func(f field) bool { return f.key == key })
	}
	if n.index == nil {
		n.index = make(map[string]int, len(n.fields))
		for i, f := range n.fields {
			if _, repeated := n.index[f.key]; !repeated {
				n.index[f.key] = i
			}
		}
	}
	if i, ok := n.index[key]; ok {
		return i
	}
	return -1
}

// slot is where a value is or could be: a field of an open document, or an item
// of an open array.
type slot struct {
	in    *node
	key   string // of a document
	index int    // of an array
}

// get returns what is there, or nil.
func (s slot) get() *node {
	if s.in.isArray {
		if s.index < len(s.in.items) {
			return s.in.items[s.index]
		}
		return nil
	}
	if i := s.in.find(s.key); i >= 0 {
		return s.in.fields[i].node
	}
	return nil
}

// set puts a node into the slot. The item of an array exists.
func (s slot) set(n *node) {
	if s.in.isArray {
		s.in.items[s.index] = n
		return
	}
	if i := s.in.find(s.key); i >= 0 {
		s.in.fields[i].node = n
		return
	}
	if s.in.index != nil {
		s.in.index[s.key] = len(s.in.fields)
	}
	s.in.fields = append(s.in.fields, field{s.key, n})
}

// empty takes everything out of an open document or array.
func (n *node) empty() {
	for i := range n.fields {
		n.fields[i].node = nil
	}
	n.items, n.elements = nil, nil
}

// remove takes a field out of its document.
func (s slot) remove() {
	if i := s.in.find(s.key); i >= 0 {
		s.in.fields[i].node = nil
	}
}
