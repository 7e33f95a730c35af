package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/translator"
)

// verified is what a verification in ranges of that size finds, one line each.
func (b *bed) verified(size int) (lines []string, found *translator.Verification) {
	b.t.Helper()
	v := translator.Verifier{DB: b.db, File: b.file, Patience: time.Nanosecond, Range: size}
	found, err := v.Verify(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range found.Differences {
		line := d.What
		if d.Ref.Class != "" {
			line = d.Ref.Key.String() + " " + d.What
		}
		lines = append(lines, line)
	}
	return lines, found
}

func TestVerifyFindsDifferences(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	for i := range 9 {
		d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":%d}]`, i))
	}
	meta := b.db.Client().Database("__bridge_" + b.db.Name())
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.db.Collection("Dog").UpdateByID(b.ctx, 0, set(bson.E{Key: "age", Value: 1})))
	must(b.db.Collection("Dog").DeleteOne(b.ctx, bson.D{{Key: "_id", Value: 1}}))
	b.insert("Dog", bson.D{{Key: "_id", Value: 9}, {Key: "age", Value: 1}}, bson.D{{Key: "_id", Value: "a"}}, bson.D{{Key: "_id", Value: "b"}},
		bson.D{{Key: "_id", Value: 10}, {Key: "age", Value: "ten"}}, bson.D{{Key: "_id", Value: -1.0}, {Key: "age", Value: 1}})
	must(meta.Collection("state_Dog").DeleteOne(b.ctx, bson.D{{Key: "_id", Value: int64(2)}}))
	must(meta.Collection("state_Dog").UpdateByID(b.ctx, int64(3), set(bson.E{Key: "h", Value: []byte("x")})))
	want := []string{
		"-1 there is a document and no object state",
		"0 the document is not what the object state says",
		"1 there is an object state and no document",
		"2 there is a document and no object state",
		"2 the history has it, the object states don't",
		"3 the document is not what the object state says",
		"3 the object state is not what its fingerprint says",
		"9 there is a document and no object state",
	}
	slices.Sort(want)
	for _, size := range []int{0, 2, 3, 10} {
		got, found := b.verified(size)
		slices.Sort(got)
		if !slices.Equal(got, want) || found.Objects != 8 || found.Frozen != 3 || !found.Replayed {
			t.Errorf("in ranges of %d: found\n%s\nwant\n%s\nof %+v", size, strings.Join(got, "\n"), strings.Join(want, "\n"), found)
		}
	}
	must(meta.Collection("history").DeleteOne(b.ctx, bson.D{{Key: "_id.last", Value: int64(6)}}))
	n := b.node() // which has none of it in memory
	if got, _ := n.verified(2); !slices.Contains(got, "versions 6 to 6 of the history are missing") ||
		!slices.Contains(got, "4 the object states have it, the history doesn't") {
		t.Errorf("with a part of the history missing: found\n%s", strings.Join(got, "\n"))
	}
}

// A collation of the collection's own gives documents another order than object
// states have: comparing and verifying go by ranges all the same.
func TestCollectionWithACollation(t *testing.T) {
	b := newBed(t)
	err := b.db.CreateCollection(b.ctx, "Word", options.CreateCollection().SetCollation(&options.Collation{Locale: "en"}))
	if err != nil {
		t.Fatal(err)
	}
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"Word","pk":{"field":"_id","type":"string","nullable":false}}]`))
	for _, word := range []string{"a", "B", "c", "D", "e", "F", "A"} {
		d.mustSend(ops(`[{"op":"CreateObject","class":"Word","pk":%q}]`, word))
	}
	for _, word := range []string{"C", "b", "d", "E"} {
		b.insert("Word", bson.D{{Key: "_id", Value: word}})
	}
	for _, word := range []string{"F", "a", "c"} {
		if _, err := b.db.Collection("Word").DeleteOne(b.ctx, bson.D{{Key: "_id", Value: word}}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"'C' there is a document and no object state", "'E' there is a document and no object state",
		"'F' there is an object state and no document", "'a' there is an object state and no document",
		"'b' there is a document and no object state", "'c' there is an object state and no document",
		"'d' there is a document and no object state",
	}
	if got, found := b.verified(2); !slices.Equal(got, want) || found.Objects != 7 {
		t.Errorf("found %q of %d objects", got, found.Objects)
	}
	looked := int64(0)
	r := translator.Resyncer{DB: b.db, File: b.file, ScanRange: 3}
	if err := r.Class(b.ctx, "Word", func(p translator.Progress) { looked = p.Looked }); err != nil {
		t.Fatal(err)
	}
	if got, found := b.verified(2); len(got) > 0 || found.Objects != 8 || looked != 11 {
		t.Errorf("after the comparison of %d: found %q of %d objects", looked, got, found.Objects)
	}
}

// A link into another database is unsynced, and no difference.
func TestVerifyLinkElsewhere(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(dogSchema), ops(`[{"op":"AddColumn","class":"Dog","field":"any","type":"mixed","nullable":true,"collection":"single"}]`))
	b.insert("Dog", bson.D{{Key: "_id", Value: 1}, {Key: "age", Value: 1},
		{Key: "any", Value: bson.D{{Key: "$ref", Value: "Dog"}, {Key: "$id", Value: 1}, {Key: "$db", Value: "elsewhere"}}}})
	b.ingest()
	b.wait("the document is frozen", func() bool { return b.file.Unsynced() == 1 })
	if got, found := b.verified(0); len(got) > 0 || found.Frozen != 1 {
		t.Errorf("found %v, %d frozen", got, found.Frozen)
	}
}

// Objects come and go while they are verified.
func TestVerifyBesideWriters(t *testing.T) {
	b := newBed(t)
	g := b.newIngester()
	b.run(g)
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.mustSend(newDogs(0, 20))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 60 {
			k := i * 7 % 20
			d.catchUp()
			if err := d.send(ops(`[{"op":"EraseObject","class":"Dog","pk":%d}]`, k), ops(`[{"op":"CreateObject","class":"Dog","pk":%d},
				{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":%d},{"op":"CreateObject","class":"Dog","pk":%d}]`, k, k, i, 100+i)); err != nil {
				t.Error(err)
				return
			}
			if _, err := b.db.Collection("Dog").UpdateByID(b.ctx, (k+3)%20, set(bson.E{Key: "name", Value: fmt.Sprint(i)})); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	v := translator.Verifier{DB: b.db, File: b.file, Patience: time.Minute, Range: 3}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		found, err := v.Verify(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Differences) > 0 || !found.Replayed {
			t.Fatalf("found %+v", found)
		}
	}
	if _, found := b.verified(0); found.Objects != 80 {
		t.Errorf("%d objects, want 80", found.Objects)
	}
}
