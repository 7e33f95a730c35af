package translator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/bulk"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Mirror keeps the documents of one database in step with object states.
type Mirror struct {
	db      *mongo.Database
	mapping Mapping
}

var _ history.Mirror = (*Mirror)(nil)

// NewMirror returns a Mirror of the synced collections in db.
func NewMirror(db *mongo.Database, mapping Mapping) *Mirror {
	mapping.Database = db.Name()
	return &Mirror{db, mapping}
}

// collectionName is where a class's documents are.
func collectionName(c *schema.Class) string {
	if c.Collection != "" {
		return c.Collection
	}
	return c.Name
}

func (m *Mirror) collection(c *schema.Class) *mongo.Collection {
	return m.db.Collection(collectionName(c))
}

// Read implements history.Mirror.
func (m *Mirror) Read(ctx context.Context, s *schema.Schema, c *schema.Class, keys []changeset.Key) (map[changeset.Key]*history.Document, error) {
	found, _, err := m.ReadUpTo(ctx, s, c, keys, math.MaxInt)
	return found, err
}

// ReadUpTo implements history.Mirror.
func (m *Mirror) ReadUpTo(ctx context.Context, s *schema.Schema, c *schema.Class, keys []changeset.Key, limit int) (found map[changeset.Key]*history.Document, rest []changeset.Key, err error) {
	ids := make(bson.A, len(keys))
	for i, k := range keys {
		ids[i] = documentID(k)
	}
	cur, err := m.collection(c).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		return nil, nil, fmt.Errorf("find in %s: %w", collectionName(c), err)
	}
	defer cur.Close(ctx)
	found = make(map[changeset.Key]*history.Document, len(keys))
	for cur.Next(ctx) {
		key, d := m.document(s, c, bytes.Clone(cur.Current))
		found[key] = d
		if limit -= len(d.Raw); limit <= 0 && len(found) < len(keys) {
			for _, k := range keys {
				if found[k] == nil {
					rest = append(rest, k)
				}
			}
			return found, rest, nil
		}
	}
	if err := cur.Err(); err != nil {
		return nil, nil, fmt.Errorf("find in %s: %w", collectionName(c), err)
	}
	return found, nil, nil
}

// Document implements history.Mirror.
func (m *Mirror) Document(s *schema.Schema, c *schema.Class, raw bson.Raw) *history.Document {
	_, d := m.document(s, c, raw)
	return d
}

// document reads a document. It takes over raw.
func (m *Mirror) document(s *schema.Schema, c *schema.Class, raw bson.Raw) (changeset.Key, *history.Document) {
	id := raw.Lookup(schema.KeyField)
	key, u := readKey(c, id)
	if u != nil {
		return history.StrayKey(id), &history.Document{Raw: raw, Unsynced: unsyncedIn(u.below(schema.KeyField))}
	}
	mp := mapper{m.mapping, s}
	o, u := mp.readObject(c, raw, 0)
	if u != nil {
		return key, &history.Document{Raw: raw, Unsynced: unsyncedIn(u)}
	}
	return key, &history.Document{Raw: raw, Object: o}
}

func unsyncedIn(u *Unsynced) *history.Unsynced {
	return &history.Unsynced{Path: short(u.Path), Expected: short(u.Expected), Found: short(u.Found), Reason: short(u.Error()), Missing: u.Missing}
}

// Plan implements history.Mirror.
func (m *Mirror) Plan(s *schema.Schema, c *schema.Class, doc *history.Document, ch history.Change) (history.Write, error) {
	var raw bson.Raw
	if doc != nil {
		raw = doc.Raw
	}
	w, err := m.mapping.Edit(s, c, raw, ch.Key, ch.Before, ch.After, ch.Instructions)
	if err != nil {
		var r *RefusedValue
		if errors.As(err, &r) {
			return history.Write{}, &history.Refusal{Ref: changeset.ObjectRef{Class: c.Name, Key: ch.Key}, Reason: short(r.Error()), Err: err}
		}
		return history.Write{}, fmt.Errorf("plan write to %s: %w", collectionName(c), err)
	}
	ref := changeset.ObjectRef{Class: c.Name, Key: ch.Key}
	if w.Kind == Insert && len(ch.Key.Str) > maxKey {
		return history.Write{}, &history.Refusal{Ref: ref, Reason: fmt.Sprintf("its primary key has %d bytes, more than %d", len(ch.Key.Str), maxKey)}
	}
	if len(w.Document) > maxDocument || len(w.Update) > maxDocument || history.IsTooLarge(s, ref, ch.After, len(raw)+len(w.Document)+len(w.Update)) {
		return history.Write{}, &history.Refusal{Ref: ref, Reason: tooLarge}
	}
	out := history.Write{Key: ch.Key}
	if w.Kind == Insert {
		out.Model = w.Document
		return out, nil
	}
	filter := bson.D{{Key: "_id", Value: KeyToBSON(ch.Key)}}
	if raw != nil {
		filter = bson.D{{Key: "_id", Value: raw.Lookup("_id")}}
	}
	switch w.Kind {
	case Update:
		out.Model = mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(w.Update)
	case Replace:
		out.Model = mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(w.Document)
	case Delete:
		out.Model = mongo.NewDeleteOneModel().SetFilter(filter)
	}
	return out, nil
}

// Write implements history.Mirror. It deletes first, then changes, then inserts: a
// few commands, however the writes are mixed, and what takes a value of a unique
// index comes after what gives it up.
func (m *Mirror) Write(ctx context.Context, c *schema.Class, writes []history.Write) error {
	var deletes, changes, inserts batch
	for _, w := range writes {
		switch model := w.Model.(type) {
		case *mongo.DeleteOneModel:
			deletes.add(w.Key, model)
		case mongo.WriteModel:
			changes.add(w.Key, model)
		case bson.Raw:
			inserts.keys = append(inserts.keys, w.Key)
			inserts.docs = append(inserts.docs, model)
		}
	}
	for _, b := range []*batch{&deletes, &changes, &inserts} {
		err := m.write(ctx, c, b)
		if err == nil {
			continue
		}
		r, refused := refusal(c, b.keys, err)
		if r == nil {
			return fmt.Errorf("write to %s: %w", collectionName(c), err)
		}
		// What is deleted or changed gives up values of unique indexes.
		alone := len(deletes.keys)+len(changes.keys) == 0
		if b == &inserts && (alone || refused.Code != codeDuplicateKey) {
			for i := refused.Index + 1; i < len(b.docs); i++ {
				r.Rest = append(r.Rest, history.Write{Key: b.keys[i], Model: b.docs[i]})
			}
		}
		return r
	}
	return nil
}

// refusal says which write of keys failed since MongoDB refuses what it holds; nil if
// it failed for another reason.
func refusal(c *schema.Class, keys []changeset.Key, err error) (*history.Refusal, *bulk.Error) {
	var refused *bulk.Error
	if !errors.As(err, &refused) || refused.Index < 0 || refused.Index >= len(keys) {
		return nil, nil
	}
	reason := refusalReason(refused.WriteError)
	if reason == "" {
		return nil, nil
	}
	return &history.Refusal{Ref: changeset.ObjectRef{Class: c.Name, Key: keys[refused.Index]}, Reason: short(reason), Err: err}, refused
}

// Probe implements history.Mirror.
func (m *Mirror) Probe(ctx context.Context, c *schema.Class, w history.Write) (*history.Refusal, error) {
	session, err := m.db.Client().StartSession()
	if err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	defer session.EndSession(context.WithoutCancel(ctx)) // and the transaction
	if err := session.StartTransaction(); err != nil {
		return nil, fmt.Errorf("start transaction: %w", err)
	}
	err = bulk.Insert(mongo.NewSessionContext(ctx, session), m.collection(c), []bson.Raw{w.Model.(bson.Raw)})
	r, refused := refusal(c, []changeset.Key{w.Key}, err)
	if r == nil {
		return nil, err
	}
	// Somebody else has made the document meanwhile: that is no refusal.
	if _, err := refused.Raw.LookupErr("keyPattern", schema.KeyField); err == nil {
		return nil, nil
	}
	return r, nil
}

// batch is writes of one kind: models, or documents to insert.
type batch struct {
	keys   []changeset.Key
	models []mongo.WriteModel
	docs   []bson.Raw
}

func (b *batch) add(key changeset.Key, model mongo.WriteModel) {
	b.keys = append(b.keys, key)
	b.models = append(b.models, model)
}

// write writes a batch. The error is a *bulk.Error where MongoDB refuses one of it.
func (m *Mirror) write(ctx context.Context, c *schema.Class, b *batch) error {
	if len(b.models) == 0 {
		return bulk.Insert(ctx, m.collection(c), b.docs)
	}
	_, err := m.collection(c).BulkWrite(ctx, b.models, options.BulkWrite().SetOrdered(true))
	if several := (mongo.BulkWriteException{}); errors.As(err, &several) && len(several.WriteErrors) > 0 {
		first := several.WriteErrors[0].WriteError
		return &bulk.Error{Index: first.Index, WriteError: first, Err: err}
	}
	return err
}

// Codes by which MongoDB refuses a document for what it holds.
const (
	codeDuplicateKey      = 11000
	codeDocumentInvalid   = 121
	codeObjectTooLarge    = 10334
	codeBSONTooLarge      = 17419 // an update made the document too large
	codeBSONTooLargeOther = 17420
	codeKeyTooLong        = 17280
	codeCannotBuildKeys   = 171 // an index can't hold the value: two arrays in a compound index
	codeBadGeometry       = 16755
)

// maxDocument is the size of the largest document in bytes.
const maxDocument = 16 << 20

// maxKey is the size of the largest key that a device may create in bytes. Every
// event of a document has its _id, and has it twice more in its resume token: one
// of a few MB would end the change stream.
const maxKey = 32 << 10

const tooLarge = "the document would be larger than MongoDB allows (16 MB)"

// refusalReason is the reason, for people, why MongoDB refuses a document
// whenever it is tried; empty if another try may succeed.
func refusalReason(e mongo.WriteError) string {
	switch e.Code {
	case codeDuplicateKey:
		return "another document has the same value in a unique index: " + e.Message
	case codeDocumentInvalid:
		return "the collection's validation refuses the document: " + e.Message
	case codeObjectTooLarge, codeBSONTooLarge, codeBSONTooLargeOther:
		return tooLarge
	case codeKeyTooLong, codeCannotBuildKeys, codeBadGeometry:
		return "an index of the collection can't hold the document: " + e.Message
	}
	return ""
}

// Fingerprint implements history.Mirror.
func (m *Mirror) Fingerprint(s *schema.Schema, c *schema.Class, o *object.Object) []byte {
	f := Fingerprint(s, c, o)
	return f[:]
}

// Refine implements history.Mirror.
func (m *Mirror) Refine(s *schema.Schema, c *schema.Class, read, state *object.Object) *object.Object {
	return Refine(s, c, read, state)
}

// codeNamespaceExists: the collection is there already.
const codeNamespaceExists = 48

// Prepare implements history.Mirror.
func (m *Mirror) Prepare(ctx context.Context, c *schema.Class) error {
	err := m.db.CreateCollection(ctx, collectionName(c))
	var se mongo.ServerError
	if errors.As(err, &se) && se.HasErrorCode(codeNamespaceExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create collection %s: %w", collectionName(c), err)
	}
	return nil
}

// Exists implements history.Mirror.
func (m *Mirror) Exists(ctx context.Context, c *schema.Class) (bool, error) {
	names, err := m.db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: collectionName(c)}})
	if err != nil {
		return false, fmt.Errorf("look for collection %s: %w", collectionName(c), err)
	}
	return len(names) > 0, nil
}

// Count implements history.Mirror.
func (m *Mirror) Count(ctx context.Context, c *schema.Class, limit int64) (int64, error) {
	n, err := m.db.Collection(collectionName(c)).CountDocuments(ctx, bson.D{},
		options.Count().SetHint(bson.D{{Key: schema.KeyField, Value: 1}}).SetLimit(limit))
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", collectionName(c), err)
	}
	return n, nil
}
