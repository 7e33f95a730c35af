package history_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongod"
	"github.com/isthmus-sync/isthmus/translator"
)

// created counts how often the history creates each object.
func (b *bed) created() map[changeset.ObjectRef]int {
	b.t.Helper()
	out := map[changeset.ObjectRef]int{}
	for _, e := range b.entries() {
		for i := range e.Changeset {
			if e.Changeset[i].Op == changeset.OpCreateObject {
				out[e.Changeset[i].Object()]++
			}
		}
	}
	return out
}

// An import that is stopped in the middle goes on where it was on another node,
// and nothing is imported twice.
func TestImportGoesOnWhereItStopped(t *testing.T) {
	const n = 10_000
	b := newBed(t)
	b.device().mustSend(ops(dogSchema))
	b.insert("Dog", dogs(0, n)...)
	first := b.newIngester()
	first.ScanRange, first.ScanSaved = 100, time.Millisecond
	stop := b.start(first)
	b.wait("a part is imported, and noted", func() bool {
		scan, err := b.file.ReadScan(b.ctx, "Dog")
		if err != nil {
			t.Fatal(err)
		}
		return scan.Looked >= 1000
	})
	progress := first.Scans()
	stop()
	if len(progress) != 1 || progress[0].Class != "Dog" || progress[0].Done || progress[0].Looked < 1000 || progress[0].Looked > n || progress[0].Total < n {
		t.Errorf("progress: %+v", progress)
	}
	scan, err := b.file.ReadScan(b.ctx, "Dog")
	if err != nil || scan.Done {
		t.Fatalf("the import is through already: %+v, %v", scan, err)
	}
	imported, err := b.file.CountStates(b.ctx, "Dog")
	if err != nil || imported >= n {
		t.Fatal(imported, err)
	}
	other := b.node()
	second := other.newIngester()
	other.run(second)
	other.waitScanned("Dog")
	made := other.created()
	if len(made) != n {
		t.Errorf("%d objects were created, want %d", len(made), n)
	}
	for ref, times := range made {
		if times != 1 {
			t.Errorf("%v was created %d times", ref, times)
		}
	}
	all := second.Scans()
	if len(all) != 1 || !all[0].Done || all[0].Looked < n || all[0].Looked > n+2*100 {
		t.Errorf("progress at the end: %+v", all)
	}
	if scan, err := other.file.ReadScan(b.ctx, "Dog"); err != nil || !scan.Done {
		t.Errorf("the scan: %+v, %v", scan, err)
	}
	if diff := other.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// writeDogs makes foreign writes to random documents of Dog until ctx ends. It
// makes more than it deletes, so that most of the class is never gone.
func (b *bed) writeDogs(ctx context.Context, random *rand.Rand, n int) {
	coll := b.db.Collection("Dog")
	for ctx.Err() == nil {
		id := bson.D{{Key: "_id", Value: random.IntN(n)}}
		var err error
		switch random.IntN(5) {
		case 0:
			_, err = coll.DeleteOne(b.ctx, id)
		case 1, 4:
			_, err = coll.UpdateOne(b.ctx, id, fields(`"$set":{"age":1},"$push":{"tags":"x"}`), options.UpdateOne().SetUpsert(true))
		case 2:
			_, err = coll.UpdateOne(b.ctx, id, fields(`"$inc":{"age":1}`))
		case 3:
			_, err = coll.UpdateOne(b.ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: "age", Value: "unfit"}}}})
			if random.IntN(2) == 0 && err == nil {
				_, err = coll.UpdateOne(b.ctx, id, fields(`"$set":{"age":7}`))
			}
		}
		// What can't be incremented is unfit already.
		if err != nil && !strings.Contains(err.Error(), "non-numeric") {
			b.t.Error(err)
			return
		}
	}
}

// An import, beside a stream with writers and devices at work on the same
// documents, and two comparisons on demand beside it, from a process of their own.
func TestImportBesideWriters(t *testing.T) {
	const n = 1500
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b := newBed(t, func(o *history.Options) { o.HintWait = 5 * time.Millisecond })
	d := b.device()
	d.mustSend(ops(dogSchema))
	b.insert("Dog", dogs(0, n)...)
	g := b.newIngester()
	g.ScanRange, g.StreamBatch = 50, 20
	ctx, cancel := context.WithCancel(b.ctx)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() { b.writeDogs(ctx, rand.New(rand.NewPCG(seed, uint64(w))), n) })
	}
	wg.Go(func() {
		random := rand.New(rand.NewPCG(seed, 99))
		for ctx.Err() == nil {
			d.catchUp()
			if err := d.send(ops(`[{"op":"CreateObject","class":"Dog","pk":%d}]`, random.IntN(n+50)),
				ops(`[{"op":"CreateObject","class":"Dog","pk":%[1]d},{"op":"Update","class":"Dog","pk":%[1]d,"path":["name"],"value":"%d"}]`, random.IntN(n+50), random.IntN(9))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	b.run(g)
	b.waitScanned("Dog")
	other := b.node()
	r := &translator.Resyncer{DB: other.db, File: other.file, ScanRange: 40}
	for range 2 {
		if err := r.Class(b.ctx, "Dog", nil); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
	for _, u := range b.unsynced() {
		if !strings.HasSuffix(u, "age: expected long, found string") {
			t.Errorf("unsynced: %s", u)
		}
	}
}

// When the place in the stream is lost, what was written meanwhile is found.
func TestLostToken(t *testing.T) {
	for name, token := range map[string]bson.D{
		"no token at all": {{Key: "_data", Value: "nonsense"}},
		"no place":        {{Key: "_data", Value: "820000000100000001" + "2B022C0100296E5A1004A6561DF8D17B42C9A7DBB59F5912417246645F696400646B058803CEA9A4F6DBF076970004"}},
		"another form":    {{Key: "x", Value: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.device().mustSend(ops(dogSchema))
			b.insert("Dog", dogs(0, 10)...)
			stop := b.start(b.newIngester())
			b.waitScanned("Dog")
			stop()
			b.update("Dog", 1, fields(`"$set":{"age":100}`))
			b.insert("Dog", fields(`"_id":30,"age":30`), fields(`"_id":31,"age":"x"`))
			if _, err := b.db.Collection("Dog").DeleteOne(b.ctx, bson.D{{Key: "_id", Value: 2}}); err != nil {
				t.Fatal(err)
			}
			meta := b.db.Client().Database("__bridge_" + b.db.Name())
			if _, err := meta.Collection("ingest").UpdateByID(b.ctx, "stream", bson.D{{Key: "$set", Value: bson.D{{Key: "token", Value: token}}}}); err != nil {
				t.Fatal(err)
			}
			b.ingest()
			b.waitAges(map[int64]int64{0: 0, 1: 100, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 30: 30})
			b.wantUnsynced("Dog/31 age: expected long, found string")
			b.update("Dog", 3, fields(`"$set":{"age":33}`))
			b.wait("later writes arrive", func() bool { return b.ages()[3] == 33 })
			if diff := b.disagreement(); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// newServerBed is a bed on a MongoDB server of its own.
func newServerBed(t *testing.T, opts mongod.Options) *bed {
	t.Helper()
	opts.Dir = t.TempDir()
	server, err := mongod.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	client, err := mongo.Connect(options.Client().ApplyURI(server.URI))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	b := &bed{t: t, ctx: ctx, db: client.Database("app"), uri: server.URI}
	b.open()
	return b
}

// The oplog of a server is rolled over while nobody reads it. What was written
// meanwhile is found, and the sync of what comes then goes on.
func TestOplogIsRolledOver(t *testing.T) {
	path, err := mongod.Find()
	if err != nil {
		t.Fatal(err)
	}
	// Only what a checkpoint has is dropped from an oplog, and one is made every
	// minute.
	hasty := filepath.Join(t.TempDir(), "mongod")
	if err := os.WriteFile(hasty, fmt.Appendf(nil, "#!/bin/sh\nexec '%s' --syncdelay 1 \"$@\"\n", path), 0o700); err != nil {
		t.Fatal(err)
	}
	b := newServerBed(t, mongod.Options{OplogMB: 1, Path: hasty})
	client, ctx := b.db.Client(), b.ctx
	b.device().mustSend(ops(dogSchema))
	b.insert("Dog", dogs(0, 10)...)
	var log strings.Builder
	newIngester := func() *translator.Ingester {
		return translator.NewIngester(client, b.db.Name(), "__bridge_"+b.db.Name(), b.store, b.file, "node", slog.New(slog.NewTextHandler(&log, nil)))
	}
	stop := b.start(newIngester())
	b.waitScanned("Dog")
	stop()
	b.update("Dog", 1, fields(`"$set":{"age":100}`))
	first := func() bson.Timestamp {
		var e struct {
			TS bson.Timestamp `bson:"ts"`
		}
		if err := client.Database("local").Collection("oplog.rs").FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: 1}})).Decode(&e); err != nil {
			t.Fatal(err)
		}
		return e.TS
	}
	before, err := lastWrite(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	filler := strings.Repeat("x", 100_000)
	for !first().After(before) {
		b.insert("Filler", bson.D{{Key: "filler", Value: filler}})
	}
	stop = b.start(newIngester())
	b.wait("what was missed is found", func() bool { return b.ages()[1] == 100 })
	b.update("Dog", 3, fields(`"$set":{"age":33}`))
	b.wait("later writes arrive", func() bool { return b.ages()[3] == 33 })
	stop()
	if !strings.Contains(log.String(), "ChangeStreamHistoryLost") {
		t.Errorf("the place was not lost:\n%s", log.String())
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// lastWrite is the time of the newest write.
func lastWrite(ctx context.Context, client *mongo.Client) (bson.Timestamp, error) {
	var e struct {
		TS bson.Timestamp `bson:"ts"`
	}
	err := client.Database("local").Collection("oplog.rs").FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "$natural", Value: -1}})).Decode(&e)
	return e.TS, err
}

// Most of a class goes while nobody looks and the place is lost: it is asked
// about before anything is erased. So it is when a class is compared on demand.
func TestMassErasureUnseen(t *testing.T) {
	for _, row := range []struct {
		name     string
		had, has int
		other    bool // instead there are others
		asks     bool
	}{
		{"few of many", 250, 200, false, false},
		{"most of many", 250, 100, false, true},
		{"others instead of many", 250, 0, true, true},
		{"most of few", 50, 10, false, false},
		{"all of few", 50, 0, false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t)
			b.device().mustSend(ops(dogSchema))
			b.insert("Dog", dogs(0, row.had)...)
			stop := b.start(b.newIngester())
			b.waitScanned("Dog")
			stop()
			if _, err := b.db.Collection("Dog").DeleteMany(b.ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: row.has}}}}); err != nil {
				t.Fatal(err)
			}
			if row.other {
				b.insert("Dog", dogs(1000, row.had)...)
			}
			// The stream's place is lost.
			meta := b.db.Client().Database("__bridge_" + b.db.Name())
			if _, err := meta.Collection("ingest").DeleteMany(b.ctx, bson.D{}); err != nil {
				t.Fatal(err)
			}
			r := &translator.Resyncer{DB: b.db, File: b.file}
			var held *translator.HeldError
			err := r.Class(b.ctx, "Dog", nil)
			if got := errors.As(err, &held); got != row.asks || err != nil && !got {
				t.Errorf("on demand: %v", err)
			}
			g := b.newIngester()
			g.GuardGrace = 100 * time.Millisecond
			b.run(g)
			want := row.has
			if row.other {
				want = row.had
			}
			if row.asks {
				b.wait("the operator is asked", func() bool { return b.file.Holds()["Dog"].Asks })
				if n := len(b.states("Dog")); n < row.had {
					t.Errorf("%d objects are left", n)
				}
				if err := r.Class(b.ctx, "Dog", nil); !errors.As(err, &held) || held.Hint() == "" {
					t.Errorf("of a held class, on demand: %v", err)
				}
				if err := r.AcceptErase(b.ctx, "Dog"); err != nil {
					t.Fatal(err)
				}
			}
			b.wait("the class is compared", func() bool { return len(b.states("Dog")) == want && len(b.file.Holds()) == 0 })
			if diff := b.disagreement(); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the stream is about to tell is gone for a reason, also where that is all of
// a class that is to be compared: nobody is asked. (Of much at once the stream's own
// guard asks.)
func TestErasureThatTheStreamTells(t *testing.T) {
	for _, had := range []int{1, 50} {
		t.Run(fmt.Sprintf("all of %d", had), func(t *testing.T) {
			b := newBed(t)
			b.device().mustSend(ops(dogSchema))
			b.insert("Dog", dogs(0, had)...)
			stop := b.start(b.newIngester())
			b.waitScanned("Dog")
			stop()
			// Enough is told before it that the comparison looks first.
			filler := make([]any, 2000)
			for i := range filler {
				filler[i] = bson.D{}
			}
			if _, err := b.db.Collection("Filler").InsertMany(b.ctx, filler); err != nil {
				t.Fatal(err)
			}
			if _, err := b.db.Collection("Dog").DeleteMany(b.ctx, bson.D{}); err != nil {
				t.Fatal(err)
			}
			if err := b.file.ForgetScans(b.ctx); err != nil {
				t.Fatal(err)
			}
			g := b.newIngester()
			g.StreamBatch = 10
			b.run(g)
			b.wait("what is told is erased", func() bool {
				if holds := b.file.Holds(); len(holds) > 0 {
					t.Fatalf("held: %+v", holds)
				}
				return len(b.states("Dog")) == 0
			})
			b.waitScanned("Dog")
			if holds := b.file.Holds(); len(holds) > 0 {
				t.Errorf("held: %+v", holds)
			}
		})
	}
}

func TestResyncOnDemand(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(dogSchema))
	b.insert("Dog", append(dogs(0, 25), fields(`"_id":"stray"`))...)
	r := &translator.Resyncer{DB: b.db, File: b.node().file, ScanRange: 10}
	var told []translator.Progress
	if err := r.Class(b.ctx, "Dog", func(p translator.Progress) { told = append(told, p) }); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(told), "[{Dog 0 26 false} {Dog 10 26 false} {Dog 20 26 false} {Dog 26 26 true}]"; got != want {
		t.Errorf("progress: got %s, want %s", got, want)
	}
	if err := b.file.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(b.states("Dog")); n != 25 {
		t.Errorf("%d objects", n)
	}
	head, _ := b.file.Head()
	b.update("Dog", 7, fields(`"$set":{"age":70}`))
	b.update("Dog", 8, fields(`"$set":{"age":80}`))
	if err := r.Object(b.ctx, "Dog", "7"); err != nil {
		t.Fatal(err)
	}
	if err := b.file.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wantInstructions(b.last(), "Update Dog[7].age = int:70")
	if v, _ := b.file.Head(); v != head+1 {
		t.Errorf("%d entries, want one", v-head)
	}
	if _, err := b.db.Collection("Dog").DeleteOne(b.ctx, bson.D{{Key: "_id", Value: "stray"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Object(b.ctx, "Dog", `"stray"`); err != nil {
		t.Fatal(err)
	}
	if got := b.unsynced(); len(got) != 0 {
		t.Errorf("unsynced: %q", got)
	}
	var unknown *translator.UnknownClassError
	if err := r.Class(b.ctx, "Cat", nil); !errors.As(err, &unknown) || fmt.Sprint(unknown.Known) != "[Dog]" {
		t.Errorf("of an unknown class: %v", err)
	}
	if err := r.Object(b.ctx, "Dog", "rex"); err == nil {
		t.Error("a key that is none was taken")
	}
}
