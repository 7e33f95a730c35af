package history_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

// ingestKinds are the documents that ingesting is measured with.
var ingestKinds = []struct {
	name string
	doc  func(i int) bson.D
}{
	{"small", func(i int) bson.D {
		return bson.D{{Key: "_id", Value: i}, {Key: "age", Value: i}, {Key: "name", Value: "a name of twenty chars"}, {Key: "tags", Value: bson.A{"t"}}}
	}},
	{"20KB", func(i int) bson.D {
		return bson.D{{Key: "_id", Value: i}, {Key: "age", Value: i}, {Key: "name", Value: strings.Repeat("x", 20_000)}}
	}},
}

// maxFilled bounds what a benchmark writes, in bytes: its events have to stay in
// the oplog.
const maxFilled = 200 << 20

// count is how many documents of a kind a benchmark writes, of n asked for.
func count(n int, doc func(int) bson.D) int {
	raw, err := bson.Marshal(doc(0))
	if err != nil {
		panic(err)
	}
	return min(n, maxFilled/len(raw))
}

// fill inserts n documents of a kind, and returns how many bytes they have.
func (b *bed) fill(n int, doc func(int) bson.D) (bytes int) {
	b.t.Helper()
	for i := 0; i < n; i += 1000 {
		var docs []any
		for k := i; k < min(n, i+1000); k++ {
			raw, err := bson.Marshal(doc(k))
			if err != nil {
				b.t.Fatal(err)
			}
			bytes += len(raw)
			docs = append(docs, bson.Raw(raw))
		}
		b.insert("Dog", docs...)
	}
	return bytes
}

// bareRead reads n events from a change stream, as fast as that goes, and does
// nothing with them.
func (b *bed) bareRead(n int, from bson.Timestamp) time.Duration {
	b.t.Helper()
	start := time.Now()
	stream, err := b.db.Client().Watch(b.ctx, mongo.Pipeline{{{Key: "$match", Value: bson.D{{Key: "ns.db", Value: b.db.Name()}}}}},
		options.ChangeStream().SetStartAtOperationTime(&from).SetBatchSize(1000))
	if err != nil {
		b.t.Fatal(err)
	}
	defer stream.Close(b.ctx)
	for range n {
		if !stream.Next(b.ctx) {
			b.t.Fatal(stream.Err())
		}
	}
	return time.Since(start)
}

// BenchmarkIngest measures foreign writes made durable in the history per second,
// and how that compares with reading the same events from a change stream and
// doing nothing with them.
func BenchmarkIngest(bench *testing.B) {
	for _, updates := range []bool{false, true} {
		for _, kind := range ingestKinds {
			name := kind.name + "/inserted"
			if updates {
				name = kind.name + "/updated"
			}
			bench.Run(name, func(bench *testing.B) { benchIngest(bench, kind.doc, updates) })
		}
	}
}

// load is the processor time that this process, which is the bridge, and MongoDB
// spend from a time on.
type load struct {
	bridge, mongod time.Duration
}

func loadNow(t testing.TB) load {
	t.Helper()
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	return load{time.Duration(own.Utime.Nano() + own.Stime.Nano()), mongotest.ProcessorTime(t)}
}

// report reports what n documents have cost since.
func (l load) report(bench *testing.B, n int) {
	bench.Helper()
	now := loadNow(bench)
	bench.ReportMetric(float64((now.bridge-l.bridge).Microseconds())/float64(n), "bridge-µs/document")
	bench.ReportMetric(float64((now.mongod-l.mongod).Microseconds())/float64(n), "mongod-µs/document")
}

// counting counts the objects of what is committed.
func counting(objects *atomic.Int64) func(*history.Options) {
	return func(o *history.Options) {
		o.OnBatch = func(batch history.Batch) { objects.Add(int64(batch.Objects)) }
	}
}

func benchIngest(bench *testing.B, doc func(int) bson.D, updates bool) {
	var seen atomic.Int64
	b := newBed(bench, counting(&seen))
	b.device().mustSend(ops(dogSchema))
	n := count(bench.N, doc)
	bytes := 0
	if updates {
		bytes = b.fill(n, doc)
	}
	stop := b.start(b.newIngester())
	b.waitScanned("Dog")
	stop()
	from, err := lastWrite(b.ctx, b.db.Client())
	if err != nil {
		bench.Fatal(err)
	}
	from.I++
	if !updates {
		bytes = b.fill(n, doc)
	} else if _, err := b.db.Collection("Dog").UpdateMany(b.ctx, bson.D{}, fields(`"$inc":{"age":1}`)); err != nil {
		bench.Fatal(err)
	}
	read := b.bareRead(n, from)
	seen.Store(0)
	bench.ReportAllocs()
	bench.ResetTimer()
	start, before := time.Now(), loadNow(bench)
	stop = b.start(b.newIngester())
	b.wait("all are in", func() bool { return seen.Load() >= int64(n) })
	took := time.Since(start)
	before.report(bench, n)
	bench.StopTimer()
	stop()
	read = min(read, b.bareRead(n, from))
	bench.ReportMetric(float64(n)/took.Seconds(), "documents/s")
	bench.ReportMetric(float64(bytes)/took.Seconds()/1e6, "MB/s")
	bench.ReportMetric(read.Seconds()/took.Seconds(), "of-bare-read")
}

// BenchmarkImport measures how fast a collection that has documents already
// becomes objects.
func BenchmarkImport(bench *testing.B) {
	for _, kind := range ingestKinds {
		bench.Run(kind.name, func(bench *testing.B) {
			var seen atomic.Int64
			b := newBed(bench, counting(&seen))
			b.device().mustSend(ops(dogSchema))
			n := count(bench.N, kind.doc)
			bytes := b.fill(n, kind.doc)
			bench.ReportAllocs()
			bench.ResetTimer()
			start, before := time.Now(), loadNow(bench)
			stop := b.start(b.newIngester())
			b.wait("all are in", func() bool { return seen.Load() >= int64(n) })
			took := time.Since(start)
			before.report(bench, n)
			bench.StopTimer()
			stop()
			bench.ReportMetric(float64(n)/took.Seconds(), "documents/s")
			bench.ReportMetric(float64(bytes)/took.Seconds()/1e6, "MB/s")
		})
	}
}
