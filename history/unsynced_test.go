package history_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
)

// wantUnsynced waits until these are the unsynced documents.
func (b *bed) wantUnsynced(want ...string) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		changed := b.file.Changed()
		got := b.unsynced()
		if fmt.Sprint(got) == fmt.Sprint(want) && b.file.Unsynced() == len(want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("unsynced, of %d known:\n got %q\nwant %q", b.file.Unsynced(), got, want)
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Documents whose _id can't be a key are listed as others are, whether they are
// met by a scan or by the stream, and struck off when they go.
func TestDocumentsOfForeignKeysAreListed(t *testing.T) {
	b, g := newLearningBed(t)
	oid, err := bson.ObjectIDFromHex("65f000000000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	b.insert("Dog", bson.D{{Key: "_id", Value: "rex"}, {Key: "age", Value: 1}}, bson.D{{Key: "_id", Value: 1.5}, {Key: "age", Value: 1}},
		bson.D{{Key: "_id", Value: bson.D{{Key: "a", Value: 1}}}}, bson.D{{Key: "_id", Value: 2.0}, {Key: "age", Value: 2}}, bson.D{{Key: "_id", Value: nil}})
	d := b.device()
	d.mustSend(ops(dogSchema))
	b.run(g)
	b.wantUnsynced(
		`Dog/null _id: expected long, found null`,
		`Dog/{"$numberDouble":"1.5"} _id: expected long, found double`,
		`Dog/"rex" _id: expected long, found string`,
		`Dog/{"a": {"$numberInt":"1"}} _id: expected long, found object`)
	b.wait("the document with a key is in", func() bool { return len(b.states("Dog")) == 1 })
	b.insert("Dog", bson.D{{Key: "_id", Value: oid}})
	b.wantUnsynced(
		`Dog/null _id: expected long, found null`,
		`Dog/{"$numberDouble":"1.5"} _id: expected long, found double`,
		`Dog/"rex" _id: expected long, found string`,
		`Dog/{"a": {"$numberInt":"1"}} _id: expected long, found object`,
		`Dog/{"$oid":"65f000000000000000000001"} _id: expected long, found objectId`)
	counts, err := b.file.CountUnsynced(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if counts["Dog"] != 5 {
		t.Errorf("counted %v", counts)
	}
	all, err := b.file.ListUnsynced(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Frozen || time.Since(all[0].Since) > time.Minute || all[0].Class != "Dog" {
		t.Errorf("listed as %+v", all[0])
	}
	// Those that go are struck off; a change of one is no news.
	b.update("Dog", "rex", set(bson.E{Key: "age", Value: "x"}))
	for _, id := range []any{nil, 1.5, bson.D{{Key: "a", Value: 1}}, oid} {
		if _, err := b.db.Collection("Dog").DeleteOne(b.ctx, bson.D{{Key: "_id", Value: id}}); err != nil {
			t.Fatal(err)
		}
	}
	b.wantUnsynced(`Dog/"rex" _id: expected long, found string`)
	if n := len(b.states("Dog")); n != 1 {
		t.Errorf("%d objects", n)
	}
}

// What is gone while nobody looks is struck off by the next comparison, on
// whatever node that runs.
func TestUnsyncedGoneUnseen(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(dogSchema))
	b.insert("Dog", bson.D{{Key: "_id", Value: "rex"}}, bson.D{{Key: "_id", Value: 1}, {Key: "age", Value: "x"}}, bson.D{{Key: "_id", Value: 2}, {Key: "age", Value: 2}})
	stop := b.start(b.newIngester())
	b.wantUnsynced(`Dog/1 age: expected long, found string`, `Dog/"rex" _id: expected long, found string`)
	stop()
	if _, err := b.db.Collection("Dog").DeleteMany(b.ctx, bson.D{{Key: "age", Value: bson.D{{Key: "$ne", Value: 2}}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.file.ForgetScans(b.ctx); err != nil {
		t.Fatal(err)
	}
	other := b.node()
	other.ingest()
	other.wantUnsynced()
}

// Unsynced documents are retried by themselves when the schema changes: here a
// link in a mixed property leads to a class that is synced only later.
func TestUnsyncedIsRetriedWhenTheSchemaChanges(t *testing.T) {
	b, g := newLearningBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"AddColumn","class":"Dog","field":"any","type":"mixed","nullable":true,"collection":"single"}]`))
	b.insert("Dog", bson.D{{Key: "_id", Value: 1}, {Key: "age", Value: 1}, {Key: "any", Value: bson.D{{Key: "$ref", Value: "Cat"}, {Key: "$id", Value: 7}}}})
	b.run(g)
	b.wait("the document is frozen", func() bool { return b.file.Unsynced() == 1 })
	d.catchUp()
	d.mustSend(ops(`[{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"int","nullable":false}}]`))
	b.wantUnsynced()
	b.wantInstructions(b.last(), "CreateObject Dog[1]", "Update Dog[1].age = int:1", "Update Dog[1].any = link:Cat[7]")
}

// A device can't create an object whose document exists and can't be synced: the
// document stays, and the device is told.
func TestCreationOverUnsyncedDocument(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("listed=%v", running), func(t *testing.T) {
			b := newBed(t)
			d := b.device()
			d.mustSend(ops(dogSchema))
			b.insert("Dog", bson.D{{Key: "_id", Value: 1}, {Key: "age", Value: "x"}})
			if running {
				b.ingest()
				b.wait("the document is listed", func() bool { return b.file.Unsynced() == 1 })
			}
			d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"mine"},
				{"op":"CreateObject","class":"Dog","pk":2}]`))
			e := b.last()
			b.wantInstructions(e, "CreateObject Dog[2]")
			ref := changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(1)}
			var found bool
			for _, o := range e.Objects {
				if o.Ref == ref {
					found = o.Refresh && o.Refused != "" && o.Whole == nil && o.After == nil
				}
			}
			if !found {
				t.Errorf("the device is not told: %+v", e.Objects)
			}
			b.wantDocument("Dog", 1, `{"_id":{"$numberInt":"1"},"age":"x"}`)
			b.wantUnsynced(`Dog/1 age: expected long, found string`)

			// Mended, it becomes an object, and the device may write to it.
			b.update("Dog", 1, set(bson.E{Key: "age", Value: 5}))
			if !running {
				b.ingest()
			}
			b.wantUnsynced()
			b.wantInstructions(b.last(), "CreateObject Dog[1]", "Update Dog[1].age = int:5")
			d.catchUp()
			d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"mine"}]`))
			b.wantDocument("Dog", 1, `{"_id":{"$numberInt":"1"},"age":{"$numberInt":"5"},"name":"mine"}`)
		})
	}
}

// An upload that meets a frozen document on a node that does not ingest lists it
// too; when it is mended, the node that ingests strikes it off.
func TestUnsyncedMetByUploadElsewhere(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	other := b.node()
	d := other.device()
	d.catchUp()
	b.update("Dog", 1, set(bson.E{Key: "age", Value: "x"}))
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"mine"}]`))
	if got := fmt.Sprint(b.unsynced()); got != "[Dog/1 age: expected long, found string]" {
		t.Errorf("listed: %s", got)
	}
	b.ingest()
	b.update("Dog", 1, set(bson.E{Key: "age", Value: 6}))
	b.wait("it is struck off", func() bool { return len(b.unsynced()) == 0 })
	b.waitLast("the change is in", "Update Dog[1].age = int:6")
}

// The object of the null key has nothing to do with documents whose _id can't be a
// key, though all of these lack one.
func TestForeignKeyBesideTheNullKey(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"int","nullable":true}}]`), ops(`[{"op":"CreateObject","class":"Cat","pk":null}]`))
	b.insert("Cat", bson.D{{Key: "_id", Value: "tom"}})
	n := b.node() // which has no states in memory
	hint := history.Hint{Ref: changeset.ObjectRef{Class: "Cat", Key: history.StrayKey(bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, "tom")})}}
	if err := n.file.Ingest(b.ctx, &history.Ingest{Hints: []history.Hint{hint}}); err != nil {
		t.Fatal(err)
	}
	n.wantUnsynced(`Cat/"tom" _id: expected long or null, found string`)
	if all := n.states("Cat"); len(all) != 1 || all[changeset.NullKey] == nil {
		t.Errorf("objects %v, want that of the null key", all)
	}
}

// A document can't have so long a name in it that it could not be listed, and what
// comes after it not be read.
func TestUnsyncedForALongName(t *testing.T) {
	b, g := newLearningBed(t)
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"Cat","field":"kittens","type":"string","nullable":false,"collection":"dictionary"}]`))
	b.run(g)
	long := strings.Repeat("x", 9<<20)
	b.insert("Cat", bson.D{{Key: "_id", Value: 1}, {Key: "kittens", Value: bson.D{{Key: "$" + long, Value: "a"}}}})
	b.insert("Cat", bson.D{{Key: "_id", Value: 2}, {Key: "kittens", Value: bson.D{{Key: long, Value: 7}}}})
	b.insert("Cat", bson.D{{Key: "_id", Value: 3}})
	b.wait("what comes after is in", func() bool { return len(b.states("Cat")) == 1 })
	all, err := b.file.ListUnsynced(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("%d are listed", len(all))
	}
	for _, u := range all {
		if n := len(u.Path) + len(u.Found) + len(u.Reason); n > 4000 {
			t.Errorf("%s is listed with %d bytes", u.Key, n)
		}
	}
}
