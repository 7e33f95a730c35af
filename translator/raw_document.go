package translator

import (
	"bytes"
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// elements walks the elements of a raw document or array without allocating.
// It reads only what lies inside the bytes it was given, whatever they claim.
type elements struct {
	rest []byte
	bad  bool // the bytes are no BSON document; nothing more follows
}

// elementsOf starts a walk over a document's or an array's bytes.
func elementsOf(doc []byte) elements {
	if len(doc) < 5 || int(int32(binary.LittleEndian.Uint32(doc))) != len(doc) || doc[len(doc)-1] != 0 {
		return elements{bad: true}
	}
	return elements{rest: doc[4 : len(doc)-1]}
}

// next returns the next element. The key and the value alias the document. ok
// is false at the end, and where the bytes turn out to be broken.
func (e *elements) next() (key []byte, v bson.RawValue, ok bool) {
	if e.bad || len(e.rest) == 0 {
		return nil, v, false
	}
	end := bytes.IndexByte(e.rest[1:], 0)
	if end < 0 {
		e.bad = true
		return nil, v, false
	}
	value, rest, ok := bsoncore.ReadValue(e.rest[end+2:], bsoncore.Type(e.rest[0]))
	if !ok {
		e.bad = true
		return nil, v, false
	}
	key = e.rest[1 : end+1]
	e.rest = rest
	return key, bson.RawValue{Type: bson.Type(value.Type), Value: value.Data}, true
}

// countElements counts the elements of an array or document, up to the first
// broken one.
func countElements(doc []byte) int {
	n := 0
	e := elementsOf(doc)
	for {
		if _, _, ok := e.next(); !ok {
			return n
		}
		n++
	}
}

// openDocument reserves a document's or an array's length; closeDocument ends
// it and fills in the length.
func openDocument(dst []byte) (start int, out []byte) {
	return len(dst), append(dst, 0, 0, 0, 0)
}

func closeDocument(dst []byte, start int) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// appendHeader starts an element: its type and its key, which holds no NUL.
func appendHeader(dst []byte, t bson.Type, key string) []byte {
	dst = append(dst, byte(t))
	dst = append(dst, key...)
	return append(dst, 0)
}

func appendRawElement(dst []byte, key string, v bson.RawValue) []byte {
	return append(appendHeader(dst, v.Type, key), v.Value...)
}

// sameBytes reports whether two raw values are the same to MongoDB, which
// compares bytes to decide whether an update changes anything.
func sameBytes(a, b bson.RawValue) bool {
	return a.Type == b.Type && bytes.Equal(a.Value, b.Value)
}
