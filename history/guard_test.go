package history_test

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/translator"
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

// A queue, in which as many objects come as go, is never gone, however many go in
// a short time and whoever fills it.
func TestQueueIsNotGone(t *testing.T) {
	const at = 120 // a time
	for _, filledBy := range []string{"a script", "a device", "a device of another node"} {
		t.Run(filledBy, func(t *testing.T) {
			b := newBed(t)
			d := b.device()
			d.mustSend(ops(dogSchema))
			if filledBy == "a device of another node" {
				d = b.node().device()
			}
			b.ingest()
			made := 0
			fill := func() {
				if filledBy == "a script" {
					b.insert("Dog", dogs(made, at)...)
				} else {
					var cs changeset.Changeset
					for i := range at {
						cs = append(cs, changeset.Instruction{Op: changeset.OpCreateObject, Class: "Dog", Key: changeset.IntKey(int64(made + i))})
					}
					d.catchUp()
					d.mustSend(cs)
				}
				made += at
			}
			fill()
			fill()
			fill()
			for range 6 {
				fill()
				if _, err := b.db.Collection("Dog").DeleteMany(b.ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: made - 3*at}}}}); err != nil {
					t.Fatal(err)
				}
				b.wait("what was taken off is erased", func() bool {
					if holds := b.file.Holds(); len(holds) > 0 {
						t.Fatalf("held: %+v", holds)
					}
					if err := b.file.Refresh(b.ctx); err != nil {
						t.Fatal(err)
					}
					return len(b.states("Dog")) == 3*at
				})
			}
		})
	}
}

// What others write to a collection that comes back is no sign that the restore
// goes on: what they have deleted meanwhile is erased when it is over.
func TestHoldEndsUnderLoad(t *testing.T) {
	b := herd(t, 40, func(g *translator.Ingester) { g.GuardGrace = 300 * time.Millisecond })
	coll := b.db.Collection("Dog")
	if err := coll.Drop(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wait("the class is held", func() bool { return len(b.file.Holds()) == 1 })
	b.insert("Dog", dogs(0, 39)...)
	n := 0
	b.wait("the class is released", func() bool {
		n++
		b.insert("Dog", dogs(1000+n, 1)...)
		return len(b.file.Holds()) == 0
	})
	b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
	if n := b.erased(); n != 1 {
		t.Errorf("%d objects were erased, want 1", n)
	}
}

// So it is with an operator who has to be asked.
func TestOperatorIsAskedUnderLoad(t *testing.T) {
	b := herd(t, 40, func(g *translator.Ingester) { g.GuardGrace = 300 * time.Millisecond })
	if err := b.db.Collection("Dog").Drop(b.ctx); err != nil {
		t.Fatal(err)
	}
	n := 0
	b.wait("the operator is asked", func() bool {
		n++
		b.insert("Dog", dogs(1000+n, 1)...)
		return b.file.Holds()["Dog"].Asks
	})
	// Most of what there was comes back after all.
	b.insert("Dog", dogs(0, 30)...)
	b.wait("the class is released", func() bool { return len(b.file.Holds()) == 0 })
	b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
	if n := b.erased(); n != 10 {
		t.Errorf("%d objects were erased, want 10", n)
	}
}

// An operator who has dropped a collection may say so before the bridge has read of
// the drop: it does not ask again.
func TestAcceptedBeforeTheDropIsRead(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	stop := b.start(b.newIngester())
	b.waitScanned("Dog")
	stop()
	if err := b.db.Collection("Dog").Drop(b.ctx); err != nil {
		t.Fatal(err)
	}
	r := &translator.Resyncer{DB: b.db, File: b.node().file}
	accepted := make(chan error, 1)
	go func() { accepted <- r.AcceptErase(b.ctx, "Dog") }()
	b.wait("the operator has accepted", func() bool {
		var h struct {
			Accepted bool `bson:"accepted"`
		}
		holds := b.db.Client().Database("__bridge_" + b.db.Name()).Collection("holds")
		err := holds.FindOne(b.ctx, bson.D{}).Decode(&h)
		return err == nil && h.Accepted
	})
	g := b.newIngester()
	g.GuardGrace = time.Hour // it is not waited for what is known
	b.run(g)
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	b.wait("the class is empty, and not held", func() bool { return len(b.states("Dog")) == 0 && len(b.file.Holds()) == 0 })
}

// What was accepted is not what happens afterwards.
func TestAcceptanceIsOfWhatWas(t *testing.T) {
	for _, row := range []struct {
		name     string
		gone     uint32 // in seconds after it was accepted
		accepted bool
	}{
		{"gone before", ^uint32(0), true}, // a second before
		{"gone after", 60, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t)
			b.device().mustSend(ops(dogSchema))
			if err := b.file.HoldErased(b.ctx, "Dog", "much is gone"); err != nil {
				t.Fatal(err)
			}
			if err := b.file.AcceptErase(b.ctx, "Dog"); err != nil {
				t.Fatal(err)
			}
			at, err := lastWrite(b.ctx, b.db.Client())
			if err != nil {
				t.Fatal(err)
			}
			if err := b.file.HoldGone(b.ctx, "Dog", "it was dropped", false, bson.Timestamp{T: at.T + row.gone, I: 1}); err != nil {
				t.Fatal(err)
			}
			h := b.file.Holds()["Dog"]
			if h.Accepted != row.accepted || h.Asks || h.Settling || h.Reason != "it was dropped" {
				t.Errorf("held as %+v, want accepted=%v", h, row.accepted)
			}
		})
	}
}

// Uploads that wait for a class go on when it is released, though another one is
// held by the time that this node hears of both.
func TestReleasedWhileAnotherIsHeld(t *testing.T) {
	b := newBed(t, func(o *history.Options) { o.TailInterval = time.Hour })
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"int","nullable":false}}]`))
	if err := b.file.HoldErased(b.ctx, "Dog", "a test"); err != nil {
		t.Fatal(err)
	}
	sent := d.queue(&history.Upload{Entries: []history.UploadEntry{{ClientVersion: 4, Changeset: ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`)}}})
	b.wait("the committer has put the upload off", func() bool { return b.file.Queued() == 1 && b.file.IsIdle() })
	n := b.node()
	if _, err := n.file.Release(b.ctx, n.file.Holds()["Dog"]); err != nil {
		t.Fatal(err)
	}
	if err := b.file.HoldErased(b.ctx, "Cat", "a test"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-sent:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the upload still waits for a class that is released")
	}
}
