package history_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/internal/mongod"
	"github.com/isthmus-sync/isthmus/translator"
)

// herd is a bed with a class of n dogs, aged as their keys, that is being
// ingested.
func herd(t *testing.T, n int, change func(*translator.Ingester)) *bed {
	t.Helper()
	b := newBed(t)
	b.device().mustSend(ops(dogSchema))
	b.insert("Dog", dogs(0, n)...)
	g := b.newIngester()
	g.GuardGrace = 200 * time.Millisecond
	if change != nil {
		change(g)
	}
	b.run(g)
	b.wait("the dogs are in", func() bool { return len(b.states("Dog")) == n })
	b.waitScanned("Dog")
	return b
}

func dogs(from, n int) []any {
	var out []any
	for i := range n {
		out = append(out, bson.D{{Key: "_id", Value: from + i}, {Key: "age", Value: from + i}})
	}
	return out
}

// ages are the dogs' ages by key, as devices have them.
func (b *bed) ages() map[int64]int64 {
	b.t.Helper()
	out := map[int64]int64{}
	for k, o := range b.states("Dog") {
		v, _ := o.Fields["age"].(changeset.Value)
		out[k.Int] = v.Num
	}
	return out
}

func (b *bed) waitAges(want map[int64]int64) {
	b.t.Helper()
	b.wait(fmt.Sprintf("ages are %v", want), func() bool { return maps.Equal(b.ages(), want) })
}

func (b *bed) aggregate(coll, pipeline string) {
	b.t.Helper()
	cur, err := b.db.Collection(coll).Aggregate(b.ctx, fields(`"a":` + pipeline)[0].Value)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cur.Close(b.ctx); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) admin(cmd bson.D) {
	b.t.Helper()
	if err := b.db.Client().Database("admin").RunCommand(b.ctx, cmd).Err(); err != nil {
		b.t.Fatal(err)
	}
}

// erased counts the EraseObject instructions in the history.
func (b *bed) erased() int {
	n := 0
	for _, e := range b.entries() {
		for _, in := range e.Changeset {
			if in.Op == changeset.OpEraseObject {
				n++
			}
		}
	}
	return n
}

// What happens to many documents at once, or to a collection, and what devices
// have afterwards. None of these needs anybody to say that it is meant.
func TestForeignWritesToMany(t *testing.T) {
	ten := map[int64]int64{}
	for i := range int64(10) {
		ten[i] = i
	}
	with := func(changes map[int64]int64, without ...int64) map[int64]int64 {
		out := maps.Clone(ten)
		maps.Copy(out, changes)
		for _, k := range without {
			delete(out, k)
		}
		return out
	}
	rows := []struct {
		name   string
		do     func(b *bed, coll *mongo.Collection) error
		want   map[int64]int64
		erased int
	}{
		{"update of many", func(b *bed, coll *mongo.Collection) error {
			_, err := coll.UpdateMany(b.ctx, fields(`"_id":{"$lt":3}`), fields(`"$inc":{"age":100}`))
			return err
		}, with(map[int64]int64{0: 100, 1: 101, 2: 102}), 0},
		{"deletion of many", func(b *bed, coll *mongo.Collection) error {
			_, err := coll.DeleteMany(b.ctx, fields(`"_id":{"$gt":3}`))
			return err
		}, with(nil, 4, 5, 6, 7, 8, 9), 6},
		{"deletion of all of a small class", func(b *bed, coll *mongo.Collection) error {
			_, err := coll.DeleteMany(b.ctx, bson.D{})
			return err
		}, map[int64]int64{}, 10},
		{"bulk write", func(b *bed, coll *mongo.Collection) error {
			_, err := coll.BulkWrite(b.ctx, []mongo.WriteModel{
				mongo.NewInsertOneModel().SetDocument(bson.D{{Key: "_id", Value: 20}, {Key: "age", Value: 1}}),
				mongo.NewDeleteOneModel().SetFilter(bson.D{{Key: "_id", Value: 1}}),
				mongo.NewInsertOneModel().SetDocument(bson.D{{Key: "_id", Value: 1}, {Key: "age", Value: 77}}),
				mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: 2}}).SetReplacement(fields(`"age":5`)),
				mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: 21}}).SetUpdate(fields(`"$set":{"age":6}`)).SetUpsert(true),
			}, options.BulkWrite().SetOrdered(true))
			return err
		}, with(map[int64]int64{20: 1, 1: 77, 2: 5, 21: 6}), -1},
		{"$merge", func(b *bed, coll *mongo.Collection) error {
			b.insert("Source", fields(`"_id":1,"age":50`), fields(`"_id":30,"age":51`))
			b.aggregate("Source", `[{"$merge":{"into":"Dog"}}]`)
			return nil
		}, with(map[int64]int64{1: 50, 30: 51}), 0},
		{"$out", func(b *bed, coll *mongo.Collection) error {
			b.insert("Source", append(dogs(3, 7), fields(`"_id":1,"age":50`), fields(`"_id":30,"age":51`))...)
			b.aggregate("Source", `[{"$out":"Dog"}]`)
			return nil
		}, with(map[int64]int64{1: 50, 30: 51}, 0, 2), 2},
		{"renaming onto", func(b *bed, coll *mongo.Collection) error {
			b.insert("Source", append(dogs(1, 9), fields(`"_id":30,"age":51`))...)
			b.admin(bson.D{{Key: "renameCollection", Value: b.db.Name() + ".Source"}, {Key: "to", Value: b.db.Name() + ".Dog"}, {Key: "dropTarget", Value: true}})
			return nil
		}, with(map[int64]int64{30: 51}, 0), 1},
		{"renaming away and back", func(b *bed, coll *mongo.Collection) error {
			b.admin(bson.D{{Key: "renameCollection", Value: b.db.Name() + ".Dog"}, {Key: "to", Value: b.db.Name() + ".Away"}})
			b.insert("Away", fields(`"_id":30,"age":51`))
			b.wait("the class is held", func() bool { return len(b.file.Holds()) == 1 })
			b.admin(bson.D{{Key: "renameCollection", Value: b.db.Name() + ".Away"}, {Key: "to", Value: b.db.Name() + ".Dog"}})
			return nil
		}, with(map[int64]int64{30: 51}), 0},
		{"drop and restore", func(b *bed, coll *mongo.Collection) error {
			if err := coll.Drop(b.ctx); err != nil {
				return err
			}
			b.insert("Dog", append(dogs(0, 9), fields(`"_id":30,"age":51`))...)
			return nil
		}, with(map[int64]int64{30: 51}, 9), 1},
		{"drop of the database and restore", func(b *bed, coll *mongo.Collection) error {
			if err := b.db.Drop(b.ctx); err != nil {
				return err
			}
			b.insert("Dog", dogs(0, 9)...)
			return nil
		}, with(nil, 9), 1},
		{"index and validator", func(b *bed, coll *mongo.Collection) error {
			_, err := coll.Indexes().CreateOne(b.ctx, mongo.IndexModel{Keys: fields(`"age":1`)})
			if err != nil {
				return err
			}
			return b.db.RunCommand(b.ctx, fields(`"collMod":"Dog","validator":{"age":{"$gte":0}}`)).Err()
		}, ten, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := herd(t, 10, nil)
			if err := row.do(b, b.db.Collection("Dog")); err != nil {
				t.Fatal(err)
			}
			b.waitAges(row.want)
			b.wait("no class is held", func() bool { return len(b.file.Holds()) == 0 })
			b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
			// What comes later arrives as well.
			b.insert("Dog", fields(`"_id":99,"age":1`))
			b.wait("a later document is in", func() bool { return b.ages()[99] == 1 })
			if n := b.erased(); row.erased >= 0 && n != row.erased {
				t.Errorf("%d objects were erased, want %d", n, row.erased)
			}
		})
	}
}

// A collection that is replaced at one stroke is compared at once: its class does
// not wait for the grace of a restore.
func TestReplacedCollectionIsNotWaitedFor(t *testing.T) {
	b := herd(t, 10, func(g *translator.Ingester) { g.GuardGrace = time.Hour })
	b.insert("Source", append(dogs(0, 9), fields(`"_id":30,"age":51`))...)
	b.aggregate("Source", `[{"$out":"Dog"}]`)
	b.wait("it is compared", func() bool { return b.ages()[30] == 51 && len(b.file.Holds()) == 0 })
}

// A restore takes its time. Nothing is erased while the collection still grows,
// even after the grace.
func TestSlowRestore(t *testing.T) {
	b := herd(t, 40, func(g *translator.Ingester) { g.GuardGrace = 400 * time.Millisecond })
	if err := b.db.Collection("Dog").Drop(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wait("the class is held", func() bool { return len(b.file.Holds()) == 1 })
	for i := range 40 {
		b.insert("Dog", dogs(i, 1)...)
		<-time.After(50 * time.Millisecond)
	}
	b.wait("the class is released", func() bool { return len(b.file.Holds()) == 0 })
	if n := b.erased(); n != 0 {
		t.Errorf("%d objects were erased", n)
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

const codeQueryPlanKilled = 175

// What is written to a class while it is compared at the end of a hold is not
// lost, whichever side of the comparison it falls on.
func TestWritesWhileAHoldEnds(t *testing.T) {
	b := herd(t, 400, func(g *translator.Ingester) { g.ScanRange = 20 })
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			_, err := b.db.Collection("Dog").UpdateByID(b.ctx, i%400, fields(`"$inc":{"age":1000}`))
			// A write is not done that has begun when the collection is replaced.
			if we := (mongo.WriteException{}); errors.As(err, &we) && we.HasErrorCode(codeQueryPlanKilled) {
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 5 {
		b.insertAside("Source", 400)
		b.aggregate("Source", `[{"$out":"Dog"}]`)
		b.wait("the class is held", func() bool { return len(b.file.Holds()) == 1 })
		b.wait("the class is released", func() bool { return len(b.file.Holds()) == 0 })
	}
	cancel()
	<-done
	b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
	if n := b.erased(); n != 0 {
		t.Errorf("%d objects were erased", n)
	}
}

// insertAside fills a collection with dogs unless it is full.
func (b *bed) insertAside(coll string, n int) {
	b.t.Helper()
	if have, err := b.db.Collection(coll).EstimatedDocumentCount(b.ctx); err != nil {
		b.t.Fatal(err)
	} else if have == 0 {
		b.insert(coll, dogs(0, n)...)
	}
}

// A stream of the database alone ends when that is dropped. It goes on.
func TestStreamOfTheDatabaseAlone(t *testing.T) {
	b := herd(t, 10, func(g *translator.Ingester) { g.DatabaseOnly = true })
	d := b.device()
	d.catchUp()
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":55}]`))
	head, _ := b.file.Head()
	b.update("Dog", 2, fields(`"$set":{"age":56}`))
	b.waitHead(head + 1)
	if v, _ := b.file.Head(); v != head+1 {
		t.Errorf("head is %d, want %d: the bridge's own write came back", v, head+1)
	}
	for range 2 {
		if err := b.db.Drop(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.wait("the operator is asked", func() bool { return b.file.Holds()["Dog"].Asks })
		b.insert("Dog", append(dogs(0, 9), fields(`"_id":30,"age":51`))...)
		b.wait("it is compared", func() bool { return b.ages()[30] == 51 && len(b.file.Holds()) == 0 })
		b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
	}
}

// Documents that a TTL index expires are deleted like any other.
func TestExpiredDocuments(t *testing.T) {
	b := newServerBed(t, mongod.Options{Parameters: map[string]string{"ttlMonitorSleepSecs": "1"}})
	b.device().mustSend(ops(dogSchema))
	b.insert("Dog", dogs(0, 3)...)
	b.ingest()
	b.waitAges(map[int64]int64{0: 0, 1: 1, 2: 2})
	_, err := b.db.Collection("Dog").Indexes().CreateOne(b.ctx, mongo.IndexModel{Keys: fields(`"until":1`), Options: options.Index().SetExpireAfterSeconds(0)})
	if err != nil {
		t.Fatal(err)
	}
	b.update("Dog", 1, bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: time.Now().Add(-time.Hour)}}}})
	b.waitAges(map[int64]int64{0: 0, 2: 2})
	b.wantInstructions(b.last(), "EraseObject Dog[1]")
}

// Documents as large as MongoDB has them pass in both directions; the events are
// small whatever they say. What is too large for an object is unsynced.
func TestLargeDocuments(t *testing.T) {
	b := herd(t, 1, nil)
	d := b.device()
	const nearly = 16<<20 - 100
	text := func(letter string, n int) string { return strings.Repeat(letter, n) }
	b.insert("Dog", bson.D{{Key: "_id", Value: 10}, {Key: "age", Value: 1}, {Key: "name", Value: text("a", 15<<20)}})
	b.waitLast("a document of 15 MB is in", "Update Dog[10].age = int:1")
	b.update("Dog", 10, bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: text("b", 9<<20)}, {Key: "age", Value: 2}}}})
	b.waitLast("it has changed", "Update Dog[10].age = int:2")
	b.insert("Dog", bson.D{{Key: "_id", Value: 11}, {Key: "age", Value: 1}, {Key: "name", Value: text("c", nearly)}})
	b.wait("what is too large is unsynced", func() bool { return b.file.Unsynced() == 1 })
	if diff := b.disagreement(); diff != "" {
		t.Errorf("with an unsynced document: %s", diff)
	}
	b.update("Dog", 11, fields(`"$set":{"name":"short"}`))
	b.waitLast("it is in when it is smaller", "Update Dog[11].age = int:1")
	b.wait("it is struck off", func() bool { return b.file.Unsynced() == 0 })
	// Many of them at once.
	for i := range 4 {
		b.insert("Dog", bson.D{{Key: "_id", Value: 20 + i}, {Key: "age", Value: i}, {Key: "name", Value: text("d", 9<<20)}})
	}
	b.waitLast("many large ones are in", "Update Dog[23].age = int:3")

	// A device makes objects too large, in one change and in two.
	d.catchUp()
	half := text("x", 9<<20)
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":40},{"op":"Update","class":"Dog","pk":40,"path":["name"],"value":"%s"}]`, half))
	d.catchUp()
	d.mustSend(ops(`[{"op":"ArrayInsert","class":"Dog","pk":40,"path":["tags",0],"value":"%s","prior_size":0},{"op":"CreateObject","class":"Dog","pk":41}]`, half),
		ops(`[{"op":"CreateObject","class":"Dog","pk":42},{"op":"Update","class":"Dog","pk":42,"path":["name"],"value":"%s"},
			{"op":"ArrayInsert","class":"Dog","pk":42,"path":["tags",0],"value":"%s","prior_size":0}]`, half, half))
	refused := map[string]string{}
	for _, e := range b.entries() {
		for _, o := range e.Objects {
			if o.Refused != "" {
				refused[o.Ref.Key.String()] = o.Refused
			}
		}
	}
	if got := slices.Sorted(maps.Keys(refused)); fmt.Sprint(got) != "[40 42]" {
		t.Errorf("refused are %v", got)
	}
	for key, reason := range refused {
		if !strings.Contains(reason, "too large") && !strings.Contains(reason, "larger than MongoDB allows") {
			t.Errorf("%s is refused for another reason: %s", key, reason)
		}
	}
	if n := len(b.ages()); n != 9 {
		t.Errorf("%d objects", n)
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// An _id can be so large that no change event has room for it. The stream goes on
// behind it, and what it passed over is found by comparing.
func TestLargeKeys(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"string","nullable":false}},
		{"op":"AddColumn","class":"Cat","field":"age","type":"int","nullable":false,"collection":"single"}]`))
	b.ingest()
	b.waitScanned("Cat")
	// The largest that MongoDB takes is a few hundred bytes larger than the last.
	sizes := []int{40_000, 1000, 5 << 20, 5_400_000, 5_700_000, 7 << 20, 8_396_000}
	for i, size := range sizes {
		b.insert("Cat", bson.D{{Key: "_id", Value: strings.Repeat("k", size)}, {Key: "age", Value: i}})
		b.insert("Cat", bson.D{{Key: "_id", Value: fmt.Sprint("behind ", size)}, {Key: "age", Value: i}})
	}
	b.wait("what can be synced is in", func() bool { return len(b.states("Cat")) == 4+len(sizes) && b.file.Unsynced() == 3 })

	// A device may not make one such.
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Cat","pk":"%s"},{"op":"CreateObject","class":"Cat","pk":"next"}]`, strings.Repeat("d", 40_000)))
	e := b.last()
	if len(e.Objects) != 2 || !strings.Contains(e.Objects[0].Refused, "primary key") || e.Objects[1].Refused != "" {
		t.Errorf("a large key of a device: %d objects, %.200q", len(e.Objects), e.Objects[0].Refused)
	}
	if len(e.Objects[0].Refused) > 1000 {
		t.Errorf("the reason has %d bytes", len(e.Objects[0].Refused))
	}
}

// waitLast waits until an instruction is in the newest entry.
func (b *bed) waitLast(what, instruction string) {
	b.t.Helper()
	b.wait(what, func() bool {
		head, _ := b.file.Head()
		entries, err := b.file.Entries(b.ctx, head-1, 1)
		if err != nil {
			b.t.Fatal(err)
		}
		return len(entries) == 1 && slices.ContainsFunc(entries[0].Changeset, func(in changeset.Instruction) bool { return in.String() == instruction })
	})
}

// Two apps with the same classes in one deployment have nothing to do with each
// other.
func TestTwoDatabases(t *testing.T) {
	one, other := herd(t, 3, nil), herd(t, 5, nil)
	one.insert("Dog", fields(`"_id":7,"age":70`))
	other.update("Dog", 1, fields(`"$set":{"age":11}`))
	other.device().mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":8}]`))
	one.waitAges(map[int64]int64{0: 0, 1: 1, 2: 2, 7: 70})
	other.waitAges(map[int64]int64{0: 0, 1: 11, 2: 2, 3: 3, 4: 4, 8: 0})
	if err := one.db.Drop(one.ctx); err != nil {
		t.Fatal(err)
	}
	one.wait("the class is held", func() bool { return len(one.file.Holds()) == 1 })
	other.insert("Dog", fields(`"_id":9,"age":9`))
	other.waitAges(map[int64]int64{0: 0, 1: 11, 2: 2, 3: 3, 4: 4, 8: 0, 9: 9})
	if len(other.file.Holds()) != 0 {
		t.Errorf("held: %v", other.file.Holds())
	}
	for _, b := range []*bed{one, other} {
		if n := len(b.entries()); n > 8 {
			t.Errorf("%d entries", n)
		}
	}
	if diff := other.disagreement(); diff != "" {
		t.Error(diff)
	}
}
