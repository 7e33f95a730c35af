package history

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

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

func encodeEntry(s *schema.Schema, e *Entry) entryDoc {
	d := entryDoc{
		Version:       int64(e.Version),
		Origin:        int64(e.Origin),
		User:          e.User,
		ClientVersion: int64(e.ClientVersion),
		Base:          int64(e.Base),
		Timestamp:     int64(e.Timestamp),
		Changeset:     changeset.Encode(e.Changeset),
		Schema:        e.Schema,
	}
	for i := range e.Objects {
		t := &e.Objects[i]
		d.Objects = append(d.Objects, touchedDoc{
			Ref:     changeset.Encode(changeset.Changeset{{Op: changeset.OpCreateObject, Class: t.Ref.Class, Key: t.Ref.Key}}),
			Before:  encodeObject(s, t.Ref, t.Before),
			After:   encodeObject(s, t.Ref, t.After),
			Whole:   encodeObject(s, t.Ref, t.Whole),
			Refresh: t.Refresh,
			Refused: t.Refused,
		})
	}
	return d
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
		head, err := changeset.Decode(t.Ref)
		if err != nil || len(head) != 1 {
			return nil, fmt.Errorf("object %d: bad reference", i)
		}
		touched := Touched{Ref: head[0].Object(), Refresh: t.Refresh, Refused: t.Refused}
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
func encodeCommit(file string, s *schema.Schema, salt uint64, entries []*Entry) (docs []commitDoc, parts []partDoc, err error) {
	cur := commitDoc{Salt: int64(salt)}
	size := 0
	flush := func() {
		if len(cur.Entries) == 0 {
			return
		}
		cur.First = cur.Entries[0].Version
		cur.ID = commitID{file, cur.Entries[len(cur.Entries)-1].Version}
		docs = append(docs, cur)
		cur, size = commitDoc{Salt: int64(salt)}, 0
	}
	for _, e := range entries {
		d := encodeEntry(s, e)
		n := d.size()
		if n > maxEntry {
			data, err := bson.Marshal(d)
			if err != nil {
				return nil, nil, fmt.Errorf("encode version %d: %w", e.Version, err)
			}
			stub := entryDoc{Version: d.Version}
			for len(data) > 0 {
				k := min(len(data), maxPart)
				parts = append(parts, partDoc{partID{file, d.Version, stub.Parts}, data[:k]})
				data = data[k:]
				stub.Parts++
			}
			d, n = stub, 100
		}
		if size+n > maxCommitDoc {
			flush()
		}
		cur.Entries = append(cur.Entries, d)
		size += n
	}
	flush()
	return docs, parts, nil
}

func (d *entryDoc) size() int {
	n := 120 + len(d.User) + len(d.Changeset)
	for i := range d.Objects {
		t := &d.Objects[i]
		n += 60 + len(t.Ref) + len(t.Before) + len(t.After) + len(t.Whole) + len(t.Refused)
	}
	return n
}

// size estimates the memory an entry holds, in bytes.
func (e *Entry) size() int {
	n := 300
	for i := range e.Changeset {
		n += 220 + len(e.Changeset[i].Value.Str) + 32*len(e.Changeset[i].Path)
	}
	return n + 200*len(e.Objects)
}
