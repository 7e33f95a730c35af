package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// holdPatience is how long a class may be held: the bridge waits for half a minute
// for what comes after a drop, and as long for the end of a restore.
const holdPatience = 2 * time.Minute

// Collections are dropped under load. One comes back as a restore brings it: no
// device ever misses anything. The other does not come back: when an operator says
// that this is meant, devices lose it, and not before.
func TestDrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{nodes: 1, phones: 3, writers: 2, seed: newSeed(t)})
	w.touchArchive.Store(true)
	rng := w.rng(1)
	began := time.Now()
	for round := range *roundsFlag {
		w.begin()
		w.wait(rng, time.Second, 2*time.Second)
		backup := w.documents(attic)
		lost := w.documents(archive)
		for _, class := range []string{archive, attic} {
			if err := w.db.Collection(class).Drop(w.ctx); err != nil {
				t.Fatal(err)
			}
		}
		w.awaitHolds("archive and attic", archive, attic)
		w.wait(rng, 0, 5*time.Second)
		if _, err := w.db.Collection(archive).InsertMany(w.ctx, lost); err != nil {
			t.Fatal(err)
		}
		w.awaitHolds("attic, which the operator is asked about", attic+"?")
		w.progress(time.Minute)
		for _, p := range w.phones {
			if n, m := len(p.realm.Keys(archive)), len(p.realm.Keys(attic)); n != archived || m != archived {
				t.Errorf("%s has %d and %d objects of %d", p.name, n, m, archived)
			}
		}
		if errors := w.nodes[0].log.takeErrors(); len(errors) != 1 {
			t.Errorf("the bridge asks in %q", errors)
		}
		if out, err := w.nodes[0].command("resync", attic, "--accept-erase"); err != nil {
			t.Fatalf("bridge resync: %v\n%s", err, out)
		}
		w.awaitHolds("none")
		w.agree()
		for _, p := range w.phones {
			if n := len(p.realm.Keys(attic)); n != 0 {
				t.Errorf("%s has %d objects of the collection that is gone", p.name, n)
			}
		}
		t.Logf("round %d", round)
		if _, err := w.db.Collection(attic).InsertMany(w.ctx, backup); err != nil {
			t.Fatal(err)
		}
		w.agree()
	}
	w.report(began, fmt.Sprintf("%d times two collections dropped", *roundsFlag))
}

// The collection that everybody writes to is renamed, and what it held comes back
// by and by beside what is written meanwhile.
func TestRename(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{nodes: 1, phones: 3, writers: 2, seed: newSeed(t)})
	rng := w.rng(1)
	began := time.Now()
	for round := range *roundsFlag {
		w.begin()
		w.wait(rng, time.Second, 2*time.Second)
		away := fmt.Sprintf("%sAway%d", receipt, round)
		err := w.client.Database("admin").RunCommand(w.ctx, bson.D{
			{Key: "renameCollection", Value: w.name + "." + receipt}, {Key: "to", Value: w.name + "." + away},
		}).Err()
		if err != nil {
			t.Fatal(err)
		}
		w.awaitHolds("receipts", receipt)
		for part := range slices.Chunk(w.documents(away), 100) {
			if _, err := w.db.Collection(receipt).InsertMany(w.ctx, part); err != nil {
				t.Fatal(err)
			}
			w.wait(rng, 0, 200*time.Millisecond)
		}
		w.awaitHolds("none")
		w.progress(time.Minute)
		w.wait(rng, 0, time.Second)
		w.agree()
	}
	w.report(began, fmt.Sprintf("%d times a collection renamed", *roundsFlag))
}

// documents reads a collection.
func (w *world) documents(collection string) []any {
	w.t.Helper()
	var docs []any
	err := each(w.ctx, w.db.Collection(collection), func(raw bson.Raw) { docs = append(docs, slices.Clone(raw)) })
	if err != nil {
		w.t.Fatal(err)
	}
	return docs
}

// awaitHolds waits until the classes that are held are those; a question mark says
// that an operator is asked about one.
func (w *world) awaitHolds(what string, want ...string) {
	w.t.Helper()
	deadline := time.Now().Add(holdPatience)
	rng := w.rng(2)
	for {
		cur, err := w.client.Database("__bridge_"+w.name).Collection("holds").Find(w.ctx, bson.D{})
		if err != nil {
			w.t.Fatal(err)
		}
		var holds []struct {
			ID struct {
				Class string `bson:"class"`
			} `bson:"_id"`
			Asks bool `bson:"asks"`
		}
		if err := cur.All(w.ctx, &holds); err != nil {
			w.t.Fatal(err)
		}
		var got []string
		for _, h := range holds {
			if h.Asks {
				h.ID.Class += "?"
			}
			got = append(got, h.ID.Class)
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("held are %q, want %s", got, what)
		}
		w.wait(rng, 20*time.Millisecond, 100*time.Millisecond)
	}
}
