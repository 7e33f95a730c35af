package object

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// appendContent appends bytes that are equal for nodes that are equal, and for
// no others.
func (w *writer) appendContent(dst []byte, p *schema.Property, node Node) []byte {
	switch node := node.(type) {
	case changeset.Value:
		return appendValue(append(dst, 'v'), node)
	case *Object:
		dst = append(dst, 'o')
		c := w.schema.Class(p.Target)
		if c == nil {
			return dst
		}
		fields := written(c, node)
		dst = binary.AppendUvarint(dst, uint64(len(fields)))
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			dst = w.appendContent(appendText(dst, name), c.Properties[name], fields[name])
		}
	case *List:
		dst = binary.AppendUvarint(append(dst, 'l'), uint64(len(node.Items)))
		for _, item := range node.Items {
			dst = w.appendContent(dst, p, item)
		}
	case *Dictionary:
		dst = binary.AppendUvarint(append(dst, 'd'), uint64(len(node.Entries)))
		for _, key := range slices.Sorted(maps.Keys(node.Entries)) {
			dst = w.appendContent(appendText(dst, key), p, node.Entries[key])
		}
	case *Set:
		texts := make([]string, len(node.Items))
		for i, v := range node.Items {
			texts[i] = string(appendValue(nil, SetIdentity(v, p.Type == changeset.Mixed)))
		}
		slices.Sort(texts)
		dst = binary.AppendUvarint(append(dst, 's'), uint64(len(texts)))
		for _, text := range texts {
			dst = append(dst, text...)
		}
	}
	return dst
}

// appendValue appends bytes that are equal for equal values only, and none the
// beginning of another.
func appendValue(dst []byte, v changeset.Value) []byte {
	dst = append(dst, byte(v.Type))
	dst = binary.AppendVarint(dst, int64(v.Nanos))
	dst = binary.AppendVarint(dst, v.Num)
	dst = binary.AppendUvarint(dst, v.High)
	dst = appendText(dst, v.Str)
	dst = append(dst, byte(v.Key.Type))
	dst = binary.AppendVarint(dst, v.Key.Int)
	return appendText(dst, v.Key.Str)
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}
