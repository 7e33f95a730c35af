package translator

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// maxPaths is how many paths below one field an update has before it sets the
// field as a whole.
const maxPaths = 20

// differ turns an edited document into the paths that an update sets and
// unsets. It never names a path and one below it.
type differ struct {
	changes []pathChange
}

type pathChange struct {
	path  string
	value bson.RawValue // zero: the path is unset
}

// document compares an open document with what it was and reports whether the
// difference can be told in paths below it.
func (d *differ) document(path string, n *node) bool {
	rest := n.fields // the old ones, in their old order, then new ones
	e := elementsOf(n.base.Value)
	for {
		_, base, ok := e.next()
		if !ok {
			break
		}
		if !d.field(path, rest[0].key, base, rest[0].node) {
			return false
		}
		rest = rest[1:]
	}
	for _, f := range rest {
		if f.node != nil && !d.field(path, f.key, bson.RawValue{}, f.node) {
			return false
		}
	}
	return true
}

// field compares a field with what it was (zero: absent); n is nil where it is
// gone. It reports whether the difference can be told.
func (d *differ) field(path, key string, base bson.RawValue, n *node) bool {
	before := len(d.changes)
	if path != "" {
		path += "."
	}
	d.value(path+key, base, n)
	return len(d.changes) == before || expressible(key)
}

// expressible reports whether a key can be a step of a path.
func expressible(key string) bool {
	return key != "" && key[0] != '$' && !strings.Contains(key, ".")
}

// array compares an open array with what it was and reports whether the
// difference can be told, and is told best, in paths below it: elements set in
// place, or appended.
func (d *differ) array(path string, n *node) bool {
	e := elementsOf(n.base.Value)
	whole := 0 // elements that are set whole
	for i := 0; ; i++ {
		_, base, ok := e.next()
		if !ok && i >= len(n.items) {
			break
		}
		if i >= len(n.items) {
			return false
		}
		step := path + "." + strconv.Itoa(i)
		before := len(d.changes)
		d.value(step, base, n.items[i])
		if len(d.changes) > before && d.changes[before].path == step {
			whole++
		}
	}
	return whole*2 <= len(n.items)
}

// value compares what is at a path with what was.
func (d *differ) value(path string, base bson.RawValue, n *node) {
	if n == nil {
		d.changes = append(d.changes, pathChange{path: path})
		return
	}
	if n.open && sameSpan(n.base, base) {
		before := len(d.changes)
		told := false
		if n.isArray {
			told = d.array(path, n)
		} else {
			told = d.document(path, n)
		}
		if told && len(d.changes)-before <= maxPaths {
			return
		}
		d.changes = d.changes[:before]
	} else if !n.open && sameSpan(n.raw, base) {
		return
	}
	if v := n.value(); !sameBytes(v, base) {
		d.changes = append(d.changes, pathChange{path, v})
	}
}

// sameSpan reports whether two values are the very same bytes of a document.
func sameSpan(a, b bson.RawValue) bool {
	if a.Type != b.Type || len(a.Value) != len(b.Value) {
		return false
	}
	return len(a.Value) > 0 && &a.Value[0] == &b.Value[0]
}

// update is the update document of the changes.
func (d *differ) update() bson.Raw {
	start, dst := openDocument(nil)
	dst = d.appendOperator(dst, "$set", false, func(dst []byte, c pathChange) []byte {
		return appendRawElement(dst, c.path, c.value)
	})
	dst = d.appendOperator(dst, "$unset", true, func(dst []byte, c pathChange) []byte {
		return bsoncore.AppendString(appendHeader(dst, bson.TypeString, c.path), "")
	})
	return closeDocument(dst, start)
}

func (d *differ) appendOperator(dst []byte, operator string, unset bool, appendChange func([]byte, pathChange) []byte) []byte {
	start := -1
	for _, c := range d.changes {
		if (c.value.Type == 0) != unset {
			continue
		}
		if start < 0 {
			dst = appendHeader(dst, bson.TypeEmbeddedDocument, operator)
			start, dst = openDocument(dst)
		}
		dst = appendChange(dst, c)
	}
	if start >= 0 {
		dst = closeDocument(dst, start)
	}
	return dst
}
