package translator

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// FingerprintSize is the length of a fingerprint in bytes.
const FingerprintSize = 16

// Fingerprint identifies what the document of an object holds. The fingerprint
// of a state equals that of the object read back from a document written from
// it, though the document holds less: dates in milliseconds, floats as doubles.
// Differences that mean nothing don't show: the order of fields and of sets,
// the width of integers, null or absent.
//
// It hashes a canonical form that is stored nowhere: names sorted, nulls, empty
// collections and zeros of required properties left out, so that a property
// which the class gains changes no fingerprint of a document without it.
func Fingerprint(s *schema.Schema, c *schema.Class, o *object.Object) [FingerprintSize]byte {
	buffer := canonicalBuffers.Get().(*[]byte)
	*buffer = appendCanonicalObject((*buffer)[:0], s, c, o)
	sum := sha256.Sum256(*buffer)
	if cap(*buffer) <= maxKeptBuffer {
		canonicalBuffers.Put(buffer)
	}
	return [FingerprintSize]byte(sum[:])
}

// maxKeptBuffer bounds the buffers that wait for the next fingerprint.
const maxKeptBuffer = 1 << 20

var canonicalBuffers = sync.Pool{New: func() any { return new([]byte) }}

// What a node of the canonical form is. Values are marked by their type, whose
// codes lie elsewhere.
const (
	canonicalObject     = 0xf0
	canonicalEnd        = 0xf1
	canonicalField      = 0xf2
	canonicalList       = 0xf3
	canonicalDictionary = 0xf4
	canonicalSet        = 0xf5
)

func appendCanonicalObject(dst []byte, s *schema.Schema, c *schema.Class, o *object.Object) []byte {
	dst = append(dst, canonicalObject)
	if o != nil {
		var few [16]string
		names := few[:0]
		for name, node := range o.Fields {
			if p := c.Properties[name]; p != nil && !isInitial(p, node) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			dst = appendCanonicalText(append(dst, canonicalField), name)
			dst = appendCanonical(dst, s, c.Properties[name], o.Fields[name])
		}
	}
	return append(dst, canonicalEnd)
}

// isInitial reports whether a property's value is the one that an absent
// property has.
func isInitial(p *schema.Property, node object.Node) bool {
	switch n := node.(type) {
	case nil:
		return true
	case *object.List:
		return n == nil || p.Collection == changeset.ListOf && len(n.Items) == 0
	case *object.Set:
		return n == nil || p.Collection == changeset.SetOf && len(n.Items) == 0
	case *object.Dictionary:
		return n == nil || p.Collection == changeset.DictionaryOf && len(n.Entries) == 0
	case *object.Object:
		return n == nil
	case changeset.Value:
		if p.Collection != changeset.Single {
			return n.IsNull()
		}
		n = atBSONPrecision(p, n)
		return n.IsNull() || requiresValue(p) && isZero(n)
	}
	return false
}

// isZero reports whether a value is the zero of its type.
func isZero(v changeset.Value) bool {
	if v.Type == changeset.ObjectID || v.Type == changeset.UUID {
		return strings.Trim(v.Str, "\x00") == ""
	}
	return v == changeset.Value{Type: v.Type}
}

func appendCanonical(dst []byte, s *schema.Schema, p *schema.Property, node object.Node) []byte {
	switch n := node.(type) {
	case changeset.Value:
		return appendCanonicalValue(dst, atBSONPrecision(p, n))
	case *object.Object:
		if c := s.Class(p.Target); c != nil {
			return appendCanonicalObject(dst, s, c, n)
		}
	case *object.List:
		dst = binary.AppendUvarint(append(dst, canonicalList), uint64(len(n.Items)))
		for _, item := range n.Items {
			dst = appendCanonical(dst, s, p, item)
		}
		return dst
	case *object.Dictionary:
		keys := make([]string, 0, len(n.Entries))
		for key := range n.Entries {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		dst = binary.AppendUvarint(append(dst, canonicalDictionary), uint64(len(keys)))
		for _, key := range keys {
			dst = appendCanonical(appendCanonicalText(dst, key), s, p, n.Entries[key])
		}
		return dst
	case *object.Set:
		return appendCanonicalSet(dst, p, n)
	}
	return appendCanonicalValue(dst, changeset.NullValue())
}

func appendCanonicalSet(dst []byte, p *schema.Property, set *object.Set) []byte {
	elements := make([]string, 0, len(set.Items))
	var one []byte
	for _, v := range set.Items {
		one = appendCanonicalValue(one[:0], setIdentity(p, v))
		elements = append(elements, string(one))
	}
	slices.Sort(elements)
	elements = slices.Compact(elements)
	dst = binary.AppendUvarint(append(dst, canonicalSet), uint64(len(elements)))
	for _, e := range elements {
		dst = append(dst, e...)
	}
	return dst
}

// appendCanonicalValue appends a value that is already at BSON precision.
func appendCanonicalValue(dst []byte, v changeset.Value) []byte {
	dst = append(dst, byte(v.Type))
	switch v.Type {
	case changeset.Bool, changeset.Int, changeset.Double:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Num))
	case changeset.Timestamp:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Num))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v.Nanos))
	case changeset.Decimal:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Num))
		dst = binary.LittleEndian.AppendUint64(dst, v.High)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v.Nanos))
	case changeset.String, changeset.Binary, changeset.ObjectID, changeset.UUID:
		dst = appendCanonicalText(dst, v.Str)
	case changeset.Link:
		dst = appendCanonicalText(dst, v.Str)
		dst = binary.LittleEndian.AppendUint64(append(dst, byte(v.Key.Type)), uint64(v.Key.Int))
		dst = appendCanonicalText(dst, v.Key.Str)
	}
	return dst
}

func appendCanonicalText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
