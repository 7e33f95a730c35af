package history_test

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/translator"
)

// ledger notes what a store tells of its commits.
type ledger struct {
	mu      sync.Mutex
	batches []history.Batch
	retries map[history.RetryReason]int
}

func (l *ledger) options(o *history.Options) {
	l.retries = map[history.RetryReason]int{}
	o.OnBatch = func(b history.Batch) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.batches = append(l.batches, b)
	}
	o.OnRetry = func(why history.RetryReason) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.retries[why]++
	}
}

// last returns the newest batch, without how long it took, and forgets all.
func (l *ledger) last(t *testing.T) history.Batch {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.batches) == 0 {
		t.Fatal("nothing was committed")
	}
	b := l.batches[len(l.batches)-1]
	if b.Took <= 0 || b.Took > time.Minute {
		t.Errorf("it took %s", b.Took)
	}
	b.Took, l.batches = 0, nil
	return b
}

func (l *ledger) retried(why history.RetryReason) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries[why]
}

func TestBatchesAreTold(t *testing.T) {
	var l ledger
	b := newBed(t, l.options)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	if got, want := l.last(t), (history.Batch{Uploads: 1, Changesets: 2, Bytes: 200, Entries: 2, Objects: 1}); got != want {
		t.Errorf("an upload:\n got %+v\nwant %+v", got, want)
	}
	if _, err := b.db.Collection("Dog").InsertOne(b.ctx, bson.D{{Key: "_id", Value: 2}, {Key: "age", Value: 3}}); err != nil {
		t.Fatal(err)
	}
	hints := []history.Hint{{Ref: ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`)[0].Object()}, {Ref: ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`)[0].Object()}}
	if err := b.file.Ingest(b.ctx, &history.Ingest{Hints: hints}); err != nil {
		t.Fatal(err)
	}
	if got, want := l.last(t), (history.Batch{Hints: 2, Entries: 1, Objects: 1}); got != want {
		t.Errorf("hints:\n got %+v\nwant %+v", got, want)
	}

	// Another node, which does not know of the first one's commits yet, is told so.
	var other ledger
	n := b.node(other.options, func(o *history.Options) { o.TailInterval = time.Hour })
	e := n.device()
	e.catchUp()
	d.catchUp()
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":4}]`))
	e.mustSend(ops(`[{"op":"Update","class":"Dog","pk":2,"path":["age"],"value":5}]`))
	if other.retried(history.RetryHeadMoved) == 0 {
		t.Error("no retry is told though the head had moved")
	}
	// So is a foreign write that no event tells of.
	if _, err := b.db.Collection("Dog").UpdateByID(b.ctx, 1, bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: "Rex"}}}}); err != nil {
		t.Fatal(err)
	}
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":6}]`))
	if l.retried(history.RetryForeignWrite) == 0 {
		t.Error("no retry is told though the upload met a foreign write")
	}
}

func TestWaitingUploads(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	if err := b.file.HoldGone(b.ctx, "Dog", "collection Dog was dropped", false, bson.Timestamp{}); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- d.send(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`)) }()
	b.wait("the upload waits for the class", func() bool {
		uploads, held := b.file.Waiting()
		return uploads == 1 && held == 1
	})
	if _, err := b.file.Release(b.ctx, b.file.Holds()["Dog"]); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if uploads, held := b.file.Waiting(); uploads != 0 || held != 0 {
		t.Errorf("%d uploads wait, %d for a class, after they were committed", uploads, held)
	}

	// What waits for a class is not waited for at the end.
	if err := b.file.HoldGone(b.ctx, "Dog", "collection Dog was dropped", false, bson.Timestamp{}); err != nil {
		t.Fatal(err)
	}
	go func() { sent <- d.send(ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`)) }()
	b.wait("the upload waits for the class", func() bool { _, held := b.file.Waiting(); return held == 1 })
	b.store.Drain()
	if err := <-sent; !errors.Is(err, history.ErrClosed) {
		t.Errorf("an upload that waits for a class when the store is drained: %v, want ErrClosed", err)
	}
}

// A guest sets nothing up, and works on what nodes have set up.
func TestGuest(t *testing.T) {
	b := newBed(t)
	guest := func(database string) (*history.Store, *history.File, error) {
		s, err := history.Open(b.ctx, history.Options{
			Client: b.db.Client(), Database: database, Mirror: translator.NewMirror(b.db, translator.Mapping{}),
			Logger: slog.New(slog.DiscardHandler), QueryableFields: []string{"age"}, Guest: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		f, err := s.File(b.ctx, history.FlexibleFile)
		return s, f, err
	}
	const nobodys = "__bridge_nobodys"
	if _, _, err := guest(nobodys); !errors.Is(err, history.ErrNeverServed) {
		t.Errorf("a file that was never served: %v, want ErrNeverServed", err)
	}
	names, err := b.db.Client().ListDatabaseNames(b.ctx, bson.D{{Key: "name", Value: nobodys}})
	if err != nil || len(names) > 0 {
		t.Errorf("the guest made a database: %v, %v", names, err)
	}

	d := b.device()
	d.mustSend(ops(dogSchema))
	head, _ := b.file.Head()
	_, f, err := guest("__bridge_" + b.db.Name())
	if err != nil {
		t.Fatal(err)
	}
	if f.Schema().Class("Dog") == nil {
		t.Error("the guest does not know the class")
	}
	if v, _ := f.Head(); v != head {
		t.Errorf("the head is %d, want %d: a guest configures nothing", v, head)
	}
	if _, err := b.db.Collection("Dog").InsertOne(b.ctx, bson.D{{Key: "_id", Value: 7}, {Key: "age", Value: 3}}); err != nil {
		t.Fatal(err)
	}
	ref := ops(`[{"op":"CreateObject","class":"Dog","pk":7}]`)[0].Object()
	if err := f.Ingest(b.ctx, &history.Ingest{Hints: []history.Hint{{Ref: ref}}}); err != nil {
		t.Fatal(err)
	}
	b.wait("the node sees what the guest committed", func() bool { v, _ := b.file.Head(); return v == head+1 })
}
