package history_test

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
)

// A dropped collection empties no device: the class is held, what is written to
// it waits, and it is compared when the collection is back.
func TestDroppedCollectionIsHeld(t *testing.T) {
	for _, restored := range []bool{true, false} {
		t.Run(fmt.Sprintf("restored=%v", restored), func(t *testing.T) {
			b := newBed(t)
			d := b.device()
			d.mustSend(ops(dogSchema))
			d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`), ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
			g := b.newIngester()
			g.GuardGrace = 300 * time.Millisecond
			b.run(g)
			dogs := b.db.Collection("Dog")
			if err := dogs.Drop(b.ctx); err != nil {
				t.Fatal(err)
			}
			b.wait("the class is held", func() bool { return len(b.file.Holds()) == 1 })
			head, _ := b.file.Head()
			d.catchUp()
			sent := make(chan error, 1)
			go func() {
				sent <- d.send(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":4}]`))
			}()
			if restored {
				for i := range 3 {
					if _, err := dogs.InsertOne(b.ctx, bson.D{{Key: "_id", Value: i + 1}, {Key: "age", Value: 0}, {Key: "name", Value: "back"}}); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				b.wait("the operator is asked", func() bool { return b.file.Holds()["Dog"].Asks })
				if v, _ := b.file.Head(); v != head {
					t.Errorf("the head moved from %d to %d while the class was held", head, v)
				}
				if n := len(b.states("Dog")); n != 2 {
					t.Fatalf("%d objects are left", n)
				}
				select {
				case err := <-sent:
					t.Fatalf("an upload to a held class was answered: %v", err)
				default:
				}
				if err := b.file.AcceptErase(b.ctx, "Dog"); err != nil {
					t.Fatal(err)
				}
			}
			b.wait("the class is released", func() bool { return len(b.file.Holds()) == 0 })
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if restored {
				b.wantDocument("Dog", 1, `{"_id":{"$numberInt":"1"},"age":{"$numberLong":"4"},"name":"back"}`)
			}
			b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
			if want := map[bool]int{true: 3, false: 0}[restored]; len(b.states("Dog")) != want {
				t.Errorf("%d objects, want %d", len(b.states("Dog")), want)
			}
		})
	}
}

// A script that deletes most of a class at once is asked about, too.
func TestMassErasureIsHeld(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	var cs changeset.Changeset
	for i := range 400 {
		cs = append(cs, changeset.Instruction{Op: changeset.OpCreateObject, Class: "Dog", Key: changeset.IntKey(int64(i))})
	}
	d.mustSend(cs)
	g := b.newIngester()
	g.GuardGrace = 100 * time.Millisecond
	b.run(g)
	dogs := b.db.Collection("Dog")
	// A fifth is nobody's business but theirs.
	if _, err := dogs.DeleteMany(b.ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 80}}}}); err != nil {
		t.Fatal(err)
	}
	b.wait("80 objects are erased", func() bool { return len(b.states("Dog")) == 320 })
	if _, err := dogs.DeleteMany(b.ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	b.wait("the operator is asked", func() bool { return b.file.Holds()["Dog"].Asks })
	if n := len(b.states("Dog")); n < 100 {
		t.Errorf("%d objects are left", n)
	}
	if err := b.file.AcceptErase(b.ctx, "Dog"); err != nil {
		t.Fatal(err)
	}
	b.wait("the class is empty", func() bool { return len(b.states("Dog")) == 0 && len(b.file.Holds()) == 0 })
}
