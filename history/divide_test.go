package history_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// tinyMongoDB lets no transaction read or write more than so many documents, and
// says so as MongoDB does of one that does not fit its cache.
type tinyMongoDB struct {
	history.Mirror
	limit   int
	refusal error
	alone   map[changeset.Key]bool // documents refused when they came alone, once each
}

var (
	errTooLarge = mongo.CommandError{Code: 388, Name: "TransactionTooLargeForCache", Message: "transaction is too large and will not fit in the storage engine cache"}
	errConflict = mongo.CommandError{Code: 112, Name: "WriteConflict", Labels: []string{"TransientTransactionError"}, Message: "Cache full while performing initial write"}
)

func (m *tinyMongoDB) Read(ctx context.Context, s *schema.Schema, c *schema.Class, keys []changeset.Key) (map[changeset.Key]*history.Document, error) {
	switch {
	case len(keys) == 1 && m.limit == 0 && !m.alone[keys[0]]:
		m.alone[keys[0]] = true
		return nil, m.refusal
	case len(keys) > max(m.limit, 1):
		return nil, m.refusal
	}
	return m.Mirror.Read(ctx, s, c, keys)
}

// tinyBed is a bed whose device has brought the dogs' schema, and then has a tiny
// MongoDB. It counts the divided batches.
func tinyBed(t *testing.T, limit int, refusal error) (*bed, *device, *int) {
	divided := 0
	tiny := &tinyMongoDB{limit: 1 << 20, refusal: refusal, alone: map[changeset.Key]bool{}}
	b := newBed(t, func(o *history.Options) {
		tiny.Mirror, o.Mirror = o.Mirror, tiny
		o.OnRetry = func(why history.RetryReason) {
			if why == history.RetryTooLarge {
				divided++
			}
		}
	})
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.catchUp()
	tiny.limit = limit
	return b, d, &divided
}

// An upload that is more than a transaction takes goes in parts, each of whole
// changesets, none twice, and is acknowledged when all of it is in.
func TestUploadTooLarge(t *testing.T) {
	for _, refusal := range []error{errTooLarge, errConflict} {
		b, d, divided := tinyBed(t, 5, refusal)
		var entries []changeset.Changeset
		for i := range 23 {
			entries = append(entries, newDogs(i, 1))
		}
		d.mustSend(entries...)
		if *divided == 0 {
			t.Error("all went in one transaction")
		}
		var versions []uint64
		for _, e := range b.entries() {
			if e.Origin == d.ident.Ident {
				versions = append(versions, e.ClientVersion)
			}
		}
		if len(versions) != 24 || !slices.IsSorted(versions) || len(slices.Compact(versions)) != 24 {
			t.Errorf("the history has client versions %v", versions)
		}
		if got := d.client.UploadCursor(); got.Client != d.version {
			t.Errorf("the upload cursor is %+v, want client version %d", got, d.version)
		}
		if diff := b.disagreement(); diff != "" {
			t.Error(diff)
		}
	}
}

// One changeset that is more than a transaction takes is refused for good, and
// nothing of it or behind it is taken; others are not concerned.
func TestChangesetTooLarge(t *testing.T) {
	defer history.SetMaxStrained(7)()
	for _, test := range []struct {
		refusal error
		size    int
	}{{errTooLarge, 100}, {errConflict, 3 << 20}} {
		b, d, _ := tinyBed(t, 5, test.refusal)
		first := make(chan error, 1)
		d.version++
		d.client.Upload(&history.Upload{
			Progress: history.Cursor{Client: d.version, Server: d.base},
			Entries:  []history.UploadEntry{{ClientVersion: d.version, Base: d.base, Timestamp: 300_000_000_000, Changeset: newDogs(0, 6), Size: test.size}},
		}, func(err error) { first <- err })
		second := d.send(newDogs(10, 1))
		var refusal *history.Rejection
		want := fmt.Sprintf("One write transaction of 6 objects, %d bytes", test.size)
		if err := <-first; !errors.As(err, &refusal) || !refusal.Final || !strings.Contains(refusal.Message, want) {
			t.Errorf("the changeset got %v", err)
		}
		if !errors.Is(second, history.ErrDetached) {
			t.Errorf("what came behind it got %v", second)
		}
		other := b.device()
		other.catchUp()
		other.mustSend(newDogs(20, 1))
		if n := len(b.states("Dog")); n != 1 {
			t.Errorf("%d dogs are in, want the other device's", n)
		}
	}
}

// hotMongoDB has a document that others write to whenever a transaction is about to
// write, some times.
type hotMongoDB struct {
	history.Mirror
	write func() // outside
	times int
}

func (m *hotMongoDB) Write(ctx context.Context, c *schema.Class, writes []history.Write) error {
	if m.times > 0 {
		m.times--
		m.write()
	}
	return m.Mirror.Write(ctx, c, writes)
}

// A large changeset that meets others' writes again and again is not taken for too
// large.
func TestLargeChangesetIsContended(t *testing.T) {
	defer history.SetMaxStrained(7)()
	hot := &hotMongoDB{}
	b := newBed(t, func(o *history.Options) {
		hot.Mirror, o.Mirror = o.Mirror, hot
		o.HintWait = 1
	})
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.mustSend(newDogs(0, 6))
	d.catchUp()
	hot.times, hot.write = 20, func() {
		if _, err := b.db.Collection("Dog").UpdateByID(b.ctx, 0, bson.D{{Key: "$inc", Value: bson.D{{Key: "theirs", Value: 1}}}}); err != nil {
			t.Error(err)
		}
	}
	d.version++
	err := d.upload(&history.Upload{
		Progress: history.Cursor{Client: d.version, Server: d.base},
		Entries: []history.UploadEntry{{ClientVersion: d.version, Base: d.base, Timestamp: 300_000_000_000, Size: 3 << 20,
			Changeset: ops(`[{"op":"Update","class":"Dog","pk":0,"path":["age"],"value":50},{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":51}]`)}},
	})
	if err != nil || hot.times != 0 {
		t.Errorf("got %v, with %d writes to come", err, hot.times)
	}
	b.wantDocument("Dog", 0, `{"_id":{"$numberLong":"0"},"age":{"$numberLong":"50"},"name":"dog 0","tags":["0"],"theirs":{"$numberInt":"20"}}`)
}

// What others have written goes in parts as well, and transactions stay whole as
// long as that can be. A document that is too large alone is unsynced.
func TestForeignWritesTooLarge(t *testing.T) {
	for _, test := range []struct {
		name         string
		limit        int
		refusal      error
		transactions int // that the documents are written in
		want         []int
	}{
		{"transactions are kept whole", 6, errTooLarge, 4, []int{3, 3, 3, 3}},
		{"also when MongoDB strains", 6, errConflict, 4, []int{3, 3, 3, 3}},
		{"a transaction too large is divided", 6, errTooLarge, 1, []int{6, 6}},
		{"at last also when MongoDB strains", 6, errConflict, 1, []int{6, 6}},
		{"documents too large", 0, errTooLarge, 4, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer history.SetMaxStrained(7)()
			b, _, _ := tinyBed(t, test.limit, test.refusal)
			head, _ := b.file.Head()
			b.insert("Dog", dogs(0, 12)...)
			var hints []history.Hint
			for i := range 12 {
				hints = append(hints, history.Hint{
					Ref: changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(int64(i))}, Time: 300_000_000_000,
					Transaction: fmt.Sprint("transaction ", i*test.transactions/12),
				})
			}
			if err := b.file.Ingest(b.ctx, &history.Ingest{Hints: hints}); err != nil {
				t.Fatal(err)
			}
			entries, err := b.file.Entries(b.ctx, head, 100)
			if err != nil {
				t.Fatal(err)
			}
			if n := b.file.Unsynced(); test.limit == 0 && n != 12 || test.limit > 0 && n != 0 {
				t.Errorf("%d documents are unsynced", n)
			}
			var got []int
			for _, e := range entries {
				got = append(got, len(e.Objects))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("entries of %v objects, want %v", got, test.want)
			}
			if diff := b.disagreement(); diff != "" {
				t.Error(diff)
			}
		})
	}
}
