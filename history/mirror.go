package history

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Mirror keeps documents in step with object states. Its methods are called
// inside the commit's transaction, with the transaction's context.
type Mirror interface {
	// Read returns the documents of a class by key. A key without a document is
	// absent from the map. A stray key finds the document with that _id.
	Read(ctx context.Context, s *schema.Schema, c *schema.Class, keys []changeset.Key) (map[changeset.Key]*Document, error)
	// ReadUpTo is Read, except that it ends after so many bytes of documents, but
	// not before the first; rest are the keys that it did not come to.
	ReadUpTo(ctx context.Context, s *schema.Schema, c *schema.Class, keys []changeset.Key, bytes int) (found map[changeset.Key]*Document, rest []changeset.Key, err error)
	// Document is a document of a class, read from what was told of it. It takes
	// over raw.
	Document(s *schema.Schema, c *schema.Class, raw bson.Raw) *Document
	// Plan turns a change of one object into a write of its document. doc is nil
	// where there is none; after is nil to delete. The error is a *Refusal when
	// the value can't be stored.
	Plan(s *schema.Schema, c *schema.Class, doc *Document, ch Change) (Write, error)
	// Write performs planned writes of one class. When MongoDB refuses one of
	// them the error is a *Refusal naming the key.
	Write(ctx context.Context, c *schema.Class, writes []Write) error
	// Probe tries an insert of a *Refusal's Rest, and undoes it. It returns why MongoDB
	// refuses it, nil if it does not; outside transactions.
	Probe(ctx context.Context, c *schema.Class, w Write) (*Refusal, error)
	// Fill gives a document that lacks required properties the zeros of those
	// that isNew names, by class and property. It returns the document as it then
	// is, and the write that makes it so; nil where that does not make an object
	// of it.
	Fill(s *schema.Schema, c *schema.Class, key changeset.Key, doc *Document, isNew func(class, property string) bool) (*Document, Write)
	// Fingerprint is that of the document an object's state corresponds to.
	Fingerprint(s *schema.Schema, c *schema.Class, o *object.Object) []byte
	// Queryable returns the document of an object's fields of these names, without
	// those that have their initial value, and with all elements of sets. It is nil
	// where a value can't stand in a document.
	Queryable(s *schema.Schema, c *schema.Class, fields []string, o *object.Object) bson.Raw
	// Refine gives an object read from a document what documents can't hold of
	// its state, so that only what somebody else wrote differs. It changes and
	// returns read.
	Refine(s *schema.Schema, c *schema.Class, read, state *object.Object) *object.Object
	// Exists reports whether the class's collection exists; outside transactions.
	Exists(ctx context.Context, c *schema.Class) (bool, error)
	// Count returns how many documents the class's collection has, but counts no
	// further than to a limit; outside transactions.
	Count(ctx context.Context, c *schema.Class, limit int64) (int64, error)
	// Prepare makes the class's collection exist; outside transactions.
	Prepare(ctx context.Context, c *schema.Class) error
}

// Document is a document as read.
type Document struct {
	Raw bson.Raw
	// Object is what the document holds; nil when Unsynced says why it holds
	// no object of its class.
	Object   *object.Object
	Unsynced *Unsynced
}

// Unsynced says why a document can't be mapped to an object.
type Unsynced struct {
	Path     string // dotted path in the document
	Expected string // type or condition
	Found    string // type or value
	Reason   string // the whole sentence, for people
	Missing  bool   // a required property is absent or null
}

func (u *Unsynced) Error() string { return u.Reason }

// Change is what a commit does to one object.
type Change struct {
	Key           changeset.Key
	Before, After *object.Object // nil: does not exist
	Instructions  changeset.Changeset
}

// Write is one planned document write. The Model is the Mirror's own.
type Write struct {
	Key   changeset.Key
	Model any // nil: nothing to write
}

// Refusal says that one object can't be written, and why, for people.
type Refusal struct {
	Ref    changeset.ObjectRef
	Reason string
	Err    error
	// Rest are inserts that were still to come, and that MongoDB refuses or not
	// whatever else the commit writes before them.
	Rest []Write
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("write to %v in table %q refused: %s", r.Ref.Key, r.Ref.Class, r.Reason)
}

func (r *Refusal) Unwrap() error { return r.Err }
