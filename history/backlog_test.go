package history_test

import (
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/history"
)

// However much waits to be ingested, an upload waits for the commit that is under
// way and no more.
func TestBacklogDoesNotHoldUploadsUp(t *testing.T) {
	const documents, batch = 6_000, 200
	var commits, objects atomic.Int64
	b := newBed(t, func(o *history.Options) {
		o.OnBatch = func(batch history.Batch) {
			if batch.Hints > 0 {
				commits.Add(1)
				objects.Add(int64(batch.Objects))
			}
		}
	})
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":-1}]`))
	stop := b.start(b.newIngester())
	b.waitScanned("Dog")
	stop()
	var docs []any
	for i := range documents {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "age", Value: i}})
	}
	b.insert("Dog", docs...)
	commits.Store(0)
	objects.Store(0)
	g := b.newIngester()
	g.StreamBatch = batch
	b.run(g)
	uploads, waited := 0, int64(0)
	for objects.Load() < documents {
		before := commits.Load()
		d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":-1,"path":["age"],"value":%d}]`, uploads))
		waited += commits.Load() - before
		uploads++
	}
	if n := commits.Load(); n < documents/batch/2 {
		t.Fatalf("the backlog took %d commits only", n)
	}
	// One may end, and another begin, before an upload is queued.
	if waited > 2*int64(uploads) {
		t.Errorf("%d uploads waited for %d commits of the backlog", uploads, waited)
	}
	if uploads < documents/batch/4 {
		t.Errorf("%d uploads beside %d commits of the backlog", uploads, commits.Load())
	}
	b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
}
