package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// A document of the history collection is one commit, or, where that would be
// too large, one of several with the same salt. Objects are stored as the
// encoded changeset that makes them. An entry too large for one document lies
// in history_parts, cut anywhere.

const (
	maxCommitDoc = 12 << 20 // bytes of entries in one document
	maxPart      = 12 << 20
	maxEntry     = 8 << 20 // a larger entry goes to history_parts
)

type commitID struct {
	File string `bson:"file"`
	Last int64  `bson:"last"`
}

type commitDoc struct {
	ID      commitID   `bson:"_id"`
	First   int64      `bson:"first"`
	Salt    int64      `bson:"salt"`
	Entries []entryDoc `bson:"entries"`
}

type entryDoc struct {
	Version       int64        `bson:"v"`
	Origin        int64        `bson:"o,omitempty"`
	User          string       `bson:"u,omitempty"`
	ClientVersion int64        `bson:"cv,omitempty"`
	Base          int64        `bson:"b,omitempty"`
	Timestamp     int64        `bson:"ts,omitempty"`
	Changeset     []byte       `bson:"cs,omitempty"`
	Objects       []touchedDoc `bson:"t,omitempty"`
	Schema        bool         `bson:"s,omitempty"`
	Parts         int          `bson:"parts,omitempty"`
}

// touchedDoc names an object by Ref: the encoding of a changeset that creates
// it, which is also what Before, After and Whole begin with.
type touchedDoc struct {
	Ref     []byte `bson:"r"`
	Before  []byte `bson:"b,omitempty"`
	After   []byte `bson:"a,omitempty"`
	Whole   []byte `bson:"w,omitempty"`
	Refresh bool   `bson:"f,omitempty"`
	Refused string `bson:"x,omitempty"`
}

func (t *touchedDoc) ref() (changeset.ObjectRef, error) {
	head, err := changeset.Decode(t.Ref)
	if err != nil || len(head) != 1 {
		return changeset.ObjectRef{}, errors.New("bad reference")
	}
	return head[0].Object(), nil
}

type partID struct {
	File    string `bson:"file"`
	Version int64  `bson:"version"`
	Part    int    `bson:"part"`
}

type partDoc struct {
	ID   partID `bson:"_id"`
	Data []byte `bson:"data"`
}

// unknownClassError: an object of a class the schema at hand doesn't have.
type unknownClassError struct{ class string }

func (e *unknownClassError) Error() string { return fmt.Sprintf("unknown class %q", e.class) }

func encodeObject(s *schema.Schema, ref changeset.ObjectRef, o *object.Object) []byte {
	if o == nil {
		return nil
	}
	return changeset.Encode(object.Instructions(s, ref, o))
}

func decodeObject(s *schema.Schema, ref changeset.ObjectRef, data []byte) (*object.Object, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if s.Class(ref.Class) == nil {
		return nil, &unknownClassError{ref.Class}
	}
	cs, err := changeset.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode object %s %v: %w", ref.Class, ref.Key, err)
	}
	o, err := object.FromInstructions(s, ref, cs)
	if err != nil {
		return nil, fmt.Errorf("decode object %s %v: %w", ref.Class, ref.Key, err)
	}
	return o, nil
}

// appendEntry appends the document of an entry: that which entryDoc reads.
func (c *commitEncoder) appendEntry(dst []byte, s *schema.Schema, e *Entry) []byte {
	at, dst := bsoncore.AppendDocumentStart(dst)
	dst = bsoncore.AppendInt64Element(dst, "v", int64(e.Version))
	dst = appendNumber(dst, "o", e.Origin)
	if e.User != "" {
		dst = bsoncore.AppendStringElement(dst, "u", e.User)
	}
	dst = appendNumber(dst, "cv", e.ClientVersion)
	dst = appendNumber(dst, "b", e.Base)
	dst = appendNumber(dst, "ts", e.Timestamp)
	dst = c.appendChangeset(dst, "cs", e.Changeset)
	if len(e.Objects) > 0 {
		var list int32
		list, dst = bsoncore.AppendArrayElementStart(dst, "t")
		for i := range e.Objects {
			dst = c.appendTouched(appendIndex(dst, i), s, &e.Objects[i])
		}
		dst = endDocument(dst, list)
	}
	if e.Schema {
		dst = bsoncore.AppendBooleanElement(dst, "s", true)
	}
	return endDocument(dst, at)
}

func (c *commitEncoder) appendTouched(dst []byte, s *schema.Schema, t *Touched) []byte {
	at, dst := bsoncore.AppendDocumentStart(dst)
	dst = c.appendChangeset(dst, "r", changeset.Changeset{{Op: changeset.OpCreateObject, Class: t.Ref.Class, Key: t.Ref.Key}})
	dst = c.appendObject(dst, "b", s, t.Ref, t.Before)
	dst = c.appendObject(dst, "a", s, t.Ref, t.After)
	dst = c.appendObject(dst, "w", s, t.Ref, t.Whole)
	if t.Refresh {
		dst = bsoncore.AppendBooleanElement(dst, "f", true)
	}
	if t.Refused != "" {
		dst = bsoncore.AppendStringElement(dst, "x", t.Refused)
	}
	return endDocument(dst, at)
}

// appendChangeset appends an element with an encoded changeset, unless it is empty.
func (c *commitEncoder) appendChangeset(dst []byte, key string, cs changeset.Changeset) []byte {
	if len(cs) == 0 {
		return dst
	}
	c.scratch = changeset.Append(c.scratch[:0], cs)
	return bsoncore.AppendBinaryElement(dst, key, bson.TypeBinaryGeneric, c.scratch)
}

// appendObject appends an element with an encoded object, unless there is none.
func (c *commitEncoder) appendObject(dst []byte, key string, s *schema.Schema, ref changeset.ObjectRef, o *object.Object) []byte {
	c.instructions = object.AppendInstructions(c.instructions[:0], s, ref, o)
	return c.appendChangeset(dst, key, c.instructions)
}

// appendNumber appends an element with a number, unless it is 0.
func appendNumber(dst []byte, key string, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return bsoncore.AppendInt64Element(dst, key, int64(v))
}

// appendIndex begins an element of an array of documents.
func appendIndex(dst []byte, i int) []byte {
	dst = append(dst, byte(bson.TypeEmbeddedDocument))
	return append(strconv.AppendInt(dst, int64(i), 10), 0)
}

// endDocument ends a document or an array, and fills in its length.
func endDocument(dst []byte, at int32) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-int(at)))
	return dst
}

func (f *File) decodeEntry(ctx context.Context, s *schema.Schema, doc *commitDoc, d *entryDoc) (*Entry, error) {
	if d.Parts > 0 {
		whole, err := f.readParts(ctx, d.Version, d.Parts)
		if err != nil {
			return nil, err
		}
		d = whole
	}
	cs, err := changeset.Decode(d.Changeset)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Version:       uint64(d.Version),
		Salt:          uint64(doc.Salt),
		Origin:        uint64(d.Origin),
		User:          d.User,
		ClientVersion: uint64(d.ClientVersion),
		Base:          uint64(d.Base),
		Timestamp:     uint64(d.Timestamp),
		Changeset:     cs,
		Schema:        d.Schema,
	}
	for i := range d.Objects {
		t := &d.Objects[i]
		ref, err := t.ref()
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		touched := Touched{Ref: ref, Refresh: t.Refresh, Refused: t.Refused}
		for _, part := range []struct {
			to   **object.Object
			data []byte
		}{{&touched.Before, t.Before}, {&touched.After, t.After}, {&touched.Whole, t.Whole}} {
			if *part.to, err = decodeObject(s, touched.Ref, part.data); err != nil {
				return nil, err
			}
		}
		e.Objects = append(e.Objects, touched)
	}
	return e, nil
}

func (f *File) readParts(ctx context.Context, version int64, n int) (*entryDoc, error) {
	cur, err := f.store.parts.Find(ctx, bson.D{
		{Key: "_id", Value: bson.D{{Key: "$gte", Value: partID{f.name, version, 0}}, {Key: "$lt", Value: partID{f.name, version, n}}}},
	}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read parts: %w", err)
	}
	var parts []partDoc
	if err := cur.All(ctx, &parts); err != nil {
		return nil, fmt.Errorf("read parts: %w", err)
	}
	if len(parts) != n {
		return nil, fmt.Errorf("read parts: %d of %d found", len(parts), n)
	}
	var data []byte
	for _, p := range parts {
		data = append(data, p.Data...)
	}
	var d entryDoc
	if err := bson.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("read parts: %w", err)
	}
	return &d, nil
}

// encodeCommit makes the documents of one commit. Entries are consecutive.
func encodeCommit(file string, s *schema.Schema, salt uint64, entries []*Entry) (docs []bson.Raw, parts []partDoc) {
	c := commitEncoder{file: file, salt: salt}
	var raw []byte
	for i, e := range entries {
		raw = c.appendEntry(raw[:0], s, e)
		if i == 0 {
			// Room for all, if they are like the first.
			c.entries = make([]byte, 0, min(len(entries)*(len(raw)+len(raw)/8+8), maxCommitDoc))
		}
		if len(raw) > maxEntry {
			n := 0
			for rest := bytes.Clone(raw); len(rest) > 0; n++ {
				k := min(len(rest), maxPart)
				parts = append(parts, partDoc{partID{file, int64(e.Version), n}, rest[:k]})
				rest = rest[k:]
			}
			at, stub := bsoncore.AppendDocumentStart(raw[:0])
			stub = bsoncore.AppendInt64Element(stub, "v", int64(e.Version))
			raw = endDocument(bsoncore.AppendInt32Element(stub, "parts", int32(n)), at)
		}
		c.add(e.Version, raw)
	}
	c.flush()
	return c.docs, parts
}

// commitEncoder makes the documents of a commit: those which commitDoc reads.
type commitEncoder struct {
	file string
	salt uint64

	first, last uint64 // versions of the entries that are waiting
	n           int    // of them
	entries     []byte // elements of an array
	docs        []bson.Raw

	scratch      []byte
	instructions changeset.Changeset
}

func (c *commitEncoder) add(version uint64, raw []byte) {
	if len(c.entries)+len(raw) > maxCommitDoc {
		c.flush()
	}
	if c.n == 0 {
		c.first = version
	}
	c.entries = append(appendIndex(c.entries, c.n), raw...)
	c.last = version
	c.n++
}

func (c *commitEncoder) flush() {
	if c.n == 0 {
		return
	}
	at, doc := bsoncore.AppendDocumentStart(make([]byte, 0, len(c.entries)+len(c.file)+100))
	id, doc := bsoncore.AppendDocumentElementStart(doc, "_id")
	doc = bsoncore.AppendStringElement(doc, "file", c.file)
	doc = endDocument(bsoncore.AppendInt64Element(doc, "last", int64(c.last)), id)
	doc = bsoncore.AppendInt64Element(doc, "first", int64(c.first))
	doc = bsoncore.AppendInt64Element(doc, "salt", int64(c.salt))
	list, doc := bsoncore.AppendArrayElementStart(doc, "entries")
	doc = endDocument(append(doc, c.entries...), list)
	c.docs = append(c.docs, endDocument(doc, at))
	c.entries, c.n = c.entries[:0], 0
}

// size estimates the memory an entry holds, in bytes.
func (e *Entry) size() int {
	n := 300
	for i := range e.Changeset {
		n += 220 + len(e.Changeset[i].Value.Str) + 32*len(e.Changeset[i].Path)
	}
	for i := range e.Objects {
		t := &e.Objects[i]
		n += 200 + t.Before.Size() + t.After.Size() + t.Whole.Size()
	}
	return n
}
