package history_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

func (b *bed) newIngester() *translator.Ingester {
	return translator.NewIngester(b.db.Client(), b.db.Name(), "__bridge_"+b.db.Name(), b.store, b.file, "node", slog.New(slog.DiscardHandler))
}

// ingest runs an Ingester until the test ends.
func (b *bed) ingest() *translator.Ingester {
	b.t.Helper()
	g := b.newIngester()
	b.run(g)
	return g
}

func (b *bed) run(g *translator.Ingester) {
	b.t.Helper()
	b.t.Cleanup(b.start(g))
}

// start runs an Ingester until stop is called.
func (b *bed) start(g *translator.Ingester) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	for !g.Running() {
		select {
		case <-b.ctx.Done():
			stop()
			b.t.Fatal("the stream is not opened")
		case <-time.After(time.Millisecond):
		}
	}
	return stop
}

// wait waits for a condition.
func (b *bed) wait(what string, ok func() bool) {
	b.t.Helper()
	for !ok() {
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("in vain: %s", what)
		case <-b.file.Changed():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (b *bed) waitHead(version uint64) {
	b.t.Helper()
	b.wait(fmt.Sprintf("the head reaches %d", version), func() bool {
		v, _ := b.file.Head()
		return v >= version
	})
}

func TestForeignWritesBecomeEntries(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	b.ingest()
	dogs := b.db.Collection("Dog")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := dogs.InsertOne(b.ctx, bson.D{{Key: "_id", Value: 5}, {Key: "age", Value: 2}, {Key: "name", Value: "Fox"}, {Key: "theirs", Value: true}})
	check(err)
	b.waitHead(2)
	b.wantInstructions(b.last(), "CreateObject Dog[5]", "Update Dog[5].age = int:2", "Update Dog[5].name = str:'Fox'")
	if e := b.last(); e.Origin != history.ServerIdent || e.ClientVersion != 0 {
		t.Errorf("origin %d, client version %d", e.Origin, e.ClientVersion)
	}
	_, err = dogs.UpdateByID(b.ctx, 5, bson.D{{Key: "$set", Value: bson.D{{Key: "age", Value: 3.0}}}, {Key: "$push", Value: bson.D{{Key: "tags", Value: "x"}}}})
	check(err)
	b.waitHead(3)
	b.wantInstructions(b.last(), "Update Dog[5].age = int:3", "ArrayInsert Dog[5].tags[0] = str:'x' prior_size=0")

	// A device's write leaves alone what is not in the schema, and is no foreign write.
	d.catchUp()
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":5,"path":["name"],"value":"Max"}]`))
	b.wantDocument("Dog", 5, `{"_id":{"$numberInt":"5"},"age":{"$numberDouble":"3.0"},"name":"Max","theirs":true,"tags":["x"]}`)

	_, err = dogs.DeleteOne(b.ctx, bson.D{{Key: "_id", Value: 5}})
	check(err)
	b.waitHead(5)
	b.wantInstructions(b.last(), "EraseObject Dog[5]")

	// A transaction becomes one entry.
	check(b.db.Client().UseSession(b.ctx, func(ctx context.Context) error {
		s := mongo.SessionFromContext(ctx)
		_, err := s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
			for i := range 3 {
				if _, err := dogs.InsertOne(ctx, bson.D{{Key: "_id", Value: 10 + i}, {Key: "age", Value: i}}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		return err
	}))
	b.waitHead(6)
	if e := b.last(); len(e.Objects) != 3 {
		t.Errorf("a transaction of three documents became %v", e.Changeset)
	}
	if v, _ := b.file.Head(); v != 6 {
		t.Errorf("head is %d: own writes have come back", v)
	}
}

func TestCollectionWithDocumentsIsLearned(t *testing.T) {
	changed := make(chan struct{}, 10)
	b := newBed(t, func(o *history.Options) { o.OnSchema = func(string, *schema.Schema) { changed <- struct{}{} } })
	g := b.ingest()
	var docs []any
	for i := range 1234 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "age", Value: i}})
	}
	if _, err := b.db.Collection("Dog").InsertMany(b.ctx, docs); err != nil {
		t.Fatal(err)
	}
	b.device().mustSend(ops(dogSchema))
	<-changed
	g.SchemaChanged()
	b.wait("all documents are imported", func() bool {
		n := 0
		for _, e := range b.entries() {
			n += len(e.Objects)
		}
		return n == 1234
	})
	if n := len(b.states("Dog")); n != 1234 {
		t.Errorf("%d object states", n)
	}
}

func TestUnsyncedDocumentIsFrozen(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	b.ingest()
	dogs := b.db.Collection("Dog")
	if _, err := dogs.UpdateByID(b.ctx, 1, bson.D{{Key: "$set", Value: bson.D{{Key: "age", Value: "old"}}}}); err != nil {
		t.Fatal(err)
	}
	b.wait("the document is frozen", func() bool { return b.file.Unsynced() == 1 })
	var row struct {
		Path, Expected, Found string
	}
	if err := b.db.Client().Database("__bridge_"+b.db.Name()).Collection("unsynced").FindOne(b.ctx, bson.D{}).Decode(&row); err != nil {
		t.Fatal(err)
	}
	if row.Path != "age" || row.Expected == "" || row.Found != "string" {
		t.Errorf("listed as %+v", row)
	}
	d.catchUp()
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"x"}]`))
	if e := b.last(); e.Objects[0].Refused == "" || e.Objects[0].Whole == nil {
		t.Errorf("a write to a frozen object: %+v", e.Objects[0])
	}
	if _, err := dogs.UpdateByID(b.ctx, 1, bson.D{{Key: "$set", Value: bson.D{{Key: "age", Value: 4}}}}); err != nil {
		t.Fatal(err)
	}
	b.wait("the document thaws", func() bool { return b.file.Unsynced() == 0 })
	b.wantInstructions(b.last(), "Update Dog[1].age = int:4")
}

// A foreign write that the change stream has not told of yet is met by an upload.
func TestForeignWriteIsIngestedOnTheSpot(t *testing.T) {
	b := newBed(t, func(o *history.Options) { o.HintWait = time.Millisecond })
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	d.catchUp()
	if _, err := b.db.Collection("Dog").UpdateByID(b.ctx, 1, bson.D{{Key: "$set", Value: bson.D{{Key: "age", Value: 9}, {Key: "name", Value: "theirs"}}}}); err != nil {
		t.Fatal(err)
	}
	// The device's clock says it wrote long before: on the same field it loses.
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"mine"},
		{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",0],"value":"t","prior_size":0}]`))
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberInt":"9"},"name":"theirs","tags":["t"]}`)
	all := b.entries()
	b.wantInstructions(all[2], "Update Dog[1].age = int:9", "Update Dog[1].name = str:'theirs'")
	b.wantInstructions(all[3], "ArrayInsert Dog[1].tags[0] = str:'t' prior_size=0")
}

func TestIngestLease(t *testing.T) {
	b := newBed(t)
	_, ok, err := b.store.AcquireIngest(b.ctx, "a", time.Minute)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := b.store.AcquireIngest(b.ctx, "b", time.Minute); ok || err != nil {
		t.Fatal("two owners at once", err)
	}
	token, err := bson.Marshal(bson.D{{Key: "_data", Value: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.file.Ingest(b.ctx, &history.Ingest{Token: token, Owner: "b"}); !errors.Is(err, history.ErrLeaseLost) {
		t.Errorf("ingest without the lease: %v", err)
	}
	if err := b.store.ReleaseIngest(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := b.store.AcquireIngest(b.ctx, "b", time.Minute); !ok || err != nil {
		t.Errorf("after the release: %v, %v", ok, err)
	}
}

// Two nodes and a script write to the same objects at once: nothing is lost, and
// documents, object states and the replayed history agree.
func TestNodesAndScriptsAtOnce(t *testing.T) {
	b := newBed(t, func(o *history.Options) { o.HintWait = 5 * time.Millisecond })
	d := b.device()
	d.mustSend(ops(dogSchema))
	b.ingest()
	nodes := []*bed{b, b.node()}
	const devices, writes = 6, 30
	var wg sync.WaitGroup
	for i := range devices {
		dev := nodes[i%2].device()
		wg.Go(func() {
			for k := range writes {
				dev.catchUp()
				err := dev.send(ops(`[{"op":"CreateObject","class":"Dog","pk":%d},{"op":"AddInteger","class":"Dog","pk":%d,"path":["age"],"value":1}]`, k%3, k%3),
					ops(`[{"op":"CreateObject","class":"Dog","pk":%d}]`, 1000*(i+1)+k))
				if err != nil {
					t.Errorf("device %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for k := range writes {
			// Their own field: it must not disturb the devices' counters.
			_, err := b.db.Collection("Dog").UpdateByID(b.ctx, k%3, bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: fmt.Sprint("script ", k)}}}})
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	agree := func() bool { return b.disagreement() == "" }
	b.wait("documents, states and history agree", agree)
	total := int64(0)
	for _, o := range b.states("Dog") {
		if v, ok := o.Fields["age"].(changeset.Value); ok {
			total += v.Num
		}
	}
	if total != devices*writes {
		t.Errorf("the counters add up to %d, want %d", total, devices*writes)
	}
	if n := len(b.states("Dog")); n != 3+devices*writes {
		t.Errorf("%d objects, want %d", n, 3+devices*writes)
	}
}

// disagreement says how documents, object states and a replay of the history
// differ; "" when they don't.
func (b *bed) disagreement() string {
	b.t.Helper()
	v := translator.Verifier{DB: b.db, File: b.file, Patience: time.Nanosecond}
	found, err := v.Verify(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	if !found.Replayed {
		b.t.Fatal("the history was not replayed")
	}
	if len(found.Differences) > 0 {
		return fmt.Sprint(found.Differences)
	}
	return ""
}
