package history_test

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
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

func (b *bed) waitObjects(n int) {
	b.t.Helper()
	b.wait("all are in", func() bool {
		have, err := b.file.CountStates(b.ctx, "Dog")
		if err != nil {
			b.t.Fatal(err)
		}
		return int(have) >= n
	})
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

func benchIngest(bench *testing.B, doc func(int) bson.D, updates bool) {
	b := newBed(bench)
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
	head, _ := b.file.Head()
	bench.ResetTimer()
	start := time.Now()
	stop = b.start(b.newIngester())
	seen := 0
	b.wait("all are in", func() bool {
		entries, err := b.file.Entries(b.ctx, head, 1<<30)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries {
			seen += len(e.Objects)
			head = e.Version
		}
		return seen >= n
	})
	took := time.Since(start)
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
			b := newBed(bench)
			b.device().mustSend(ops(dogSchema))
			n := count(bench.N, kind.doc)
			bytes := b.fill(n, kind.doc)
			bench.ResetTimer()
			start := time.Now()
			stop := b.start(b.newIngester())
			b.waitObjects(n)
			took := time.Since(start)
			bench.StopTimer()
			stop()
			bench.ReportMetric(float64(n)/took.Seconds(), "documents/s")
			bench.ReportMetric(float64(bytes)/took.Seconds()/1e6, "MB/s")
		})
	}
}
