package translator

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// Resyncer compares classes with their collections on demand. It needs no lease
// and runs in a process of its own, beside a running bridge or without one.
type Resyncer struct {
	DB   *mongo.Database // of the synced collections
	File *history.File
	// ScanRange is how many documents are looked at in one commit; 0 means
	// DefaultScanRange.
	ScanRange int
}

// HeldError says that a class can't be compared, since that would erase most of
// it from every device.
type HeldError struct {
	Class  string
	Reason string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("class %q is held: %s", e.Class, e.Reason)
}

// Hint says, for people, what to do.
func (e *HeldError) Hint() string {
	return fmt.Sprintf("restore the collection, or say that its objects are to be erased: bridge resync %s --accept-erase", e.Class)
}

// UnknownClassError: there is no class of that name that has a collection.
type UnknownClassError struct {
	Class string
	Known []string
}

func (e *UnknownClassError) Error() string {
	return fmt.Sprintf("there is no synced class %q; there are: %s", e.Class, strings.Join(e.Known, ", "))
}

// Classes returns the names of the classes that have collections, sorted.
func (r *Resyncer) Classes() []string {
	var out []string
	s := r.File.Schema()
	for _, name := range s.ClassNames() {
		if s.Class(name).Kind != changeset.Embedded {
			out = append(out, name)
		}
	}
	return out
}

// class returns the class of that name, or whose collection has it.
func (r *Resyncer) class(name string) (*schema.Class, error) {
	s := r.File.Schema()
	known := r.Classes()
	for _, k := range known {
		if k == name {
			return s.Class(k), nil
		}
	}
	for _, k := range known {
		if c := s.Class(k); collectionName(c) == name {
			return c, nil
		}
	}
	return nil, &UnknownClassError{name, known}
}

func (r *Resyncer) comparer() *comparer {
	c := &comparer{db: r.DB, file: r.File, scanRange: r.ScanRange}
	if c.scanRange == 0 {
		c.scanRange = DefaultScanRange
	}
	return c
}

// Class compares a class, named by itself or by its collection, with all of the
// collection and has what differs committed. progress, which may be nil, is told
// how far that has come. The error is a *HeldError when the class is held or
// comparing it would erase most of it, an *UnknownClassError when there is none.
func (r *Resyncer) Class(ctx context.Context, name string, progress func(Progress)) error {
	c, err := r.class(name)
	if err != nil {
		return err
	}
	if err := r.held(c); err != nil {
		return err
	}
	cmp := r.comparer()
	id, err := cmp.identity(ctx, c)
	if err != nil {
		return err
	}
	lost, err := cmp.losses(ctx, c, false)
	if err != nil {
		return err
	}
	if lost.askable() {
		return &HeldError{c.Name, lost.reason()}
	}
	total, err := cmp.total(ctx, c)
	if err != nil {
		return err
	}
	p := Progress{Class: c.Name, Total: total}
	tell := func() {
		if progress != nil {
			progress(p)
		}
	}
	tell()
	err = cmp.compare(ctx, c, id, bson.RawValue{}, func(last bson.RawValue, looked int) error {
		p.Looked += int64(looked)
		p.Total, p.Done = max(p.Total, p.Looked), last.Type == 0
		tell()
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare %s: %w", collectionName(c), err)
	}
	return r.held(c)
}

func (r *Resyncer) held(c *schema.Class) error {
	if h, held := r.File.Holds()[c.Name]; held {
		return &HeldError{c.Name, h.Reason}
	}
	return nil
}

// Object has the history look at one document, whose _id is given as people
// write it (see ParseKey).
func (r *Resyncer) Object(ctx context.Context, class, key string) error {
	c, err := r.class(class)
	if err != nil {
		return err
	}
	k, err := ParseKey(c, key)
	if err != nil {
		return err
	}
	if err := r.held(c); err != nil {
		return err
	}
	hint := history.Hint{Ref: changeset.ObjectRef{Class: c.Name, Key: k}, Time: history.Timestamp(time.Now())}
	if err := r.File.Ingest(ctx, &history.Ingest{Hints: []history.Hint{hint}}); err != nil {
		return fmt.Errorf("look at %s %s: %w", collectionName(c), key, err)
	}
	return r.held(c)
}

// AcceptErase says that a class may be made what its collection holds, even if
// that erases most of it from every device, and waits until the node that
// ingests has done so. Where no bridge runs, that is when one does.
func (r *Resyncer) AcceptErase(ctx context.Context, name string) error {
	c, err := r.class(name)
	if err != nil {
		return err
	}
	if err := r.File.HoldErased(ctx, c.Name, "an operator had it compared with its collection"); err != nil {
		return err
	}
	if err := r.File.AcceptErase(ctx, c.Name); err != nil && !errors.Is(err, history.ErrNotHeld) {
		return err
	}
	t := time.NewTicker(releasePoll)
	defer t.Stop()
	for r.held(c) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a running bridge to compare %s: %w", collectionName(c), ctx.Err())
		case <-t.C:
		}
	}
	return nil
}

// releasePoll is how often it is looked whether a class was released.
const releasePoll = 100 * time.Millisecond

// ParseKey reads an _id as people write it: an integer, a string, the hexadecimal
// digits of an ObjectId, a UUID, with or without the type's name around it as
// lists of unsynced documents have it; null; or extended JSON, also of an _id
// that can't be a key of the class.
func ParseKey(c *schema.Class, text string) (changeset.Key, error) {
	if text == "null" && c.KeyNullable {
		return changeset.NullKey, nil
	}
	switch c.KeyType {
	case changeset.Int:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return changeset.IntKey(n), nil
		}
	case changeset.ObjectID:
		if id, err := bson.ObjectIDFromHex(unwrap(text, "ObjectID", "ObjectId")); err == nil {
			return changeset.ObjectIDKey(id), nil
		}
	case changeset.UUID:
		id, err := hex.DecodeString(strings.ReplaceAll(unwrap(text, "UUID"), "-", ""))
		if err == nil && len(id) == 16 {
			return changeset.UUIDKey([16]byte(id)), nil
		}
	case changeset.String:
		if !strings.HasPrefix(text, `"`) && !strings.HasPrefix(text, "{") {
			return changeset.StringKey(text), nil
		}
	}
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(`{"_id":`+text+`}`), false, &doc); err == nil {
		return documentKey(c, doc.Lookup(schema.KeyField)), nil
	}
	if c.KeyType == changeset.String {
		return changeset.StringKey(text), nil
	}
	return changeset.Key{}, fmt.Errorf("%q is no _id of %s: expected %s", text, collectionName(c), keyTypeName(c))
}

// unwrap takes Name("…") or Name(…) off a text.
func unwrap(text string, names ...string) string {
	for _, name := range names {
		if inner, ok := strings.CutPrefix(text, name+"("); ok {
			return strings.Trim(strings.TrimSuffix(inner, ")"), `"`)
		}
	}
	return text
}
