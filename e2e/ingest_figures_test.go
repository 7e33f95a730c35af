package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/isthmus-sync/isthmus/internal/bulk"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/translator"
)

// jobKinds are the documents that ingest and import are measured with: how many of
// them, and the title that makes them as large as they are.
var jobKinds = []struct {
	name  string
	n     int
	title string
}{
	{"small", 50_000, jobTitle},
	{"20KB", 4_000, longTitle(20_000)},
}

func longTitle(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s, number %d; ", jobTitle, i*i)
	}
	return b.String()[:size]
}

// insertJobs inserts n jobs and returns how many bytes they have.
func insertJobs(b *testing.B, coll *mongo.Collection, n int, title string) (bytes int) {
	b.Helper()
	for done := 0; done < n; {
		docs := make([]bson.Raw, min(1000, n-done))
		for i := range docs {
			doc := jobDocument(done + i)
			doc[1].Value = title
			raw, err := bson.Marshal(doc)
			if err != nil {
				b.Fatal(err)
			}
			docs[i] = raw
			bytes += len(raw)
		}
		if err := bulk.Insert(within(b), coll, docs); err != nil {
			b.Fatal(err)
		}
		done += len(docs)
	}
	return bytes
}

// metadata is the bridge's own database.
func (br *bridge) metadata(b *testing.B) *mongo.Database {
	return mongotest.Client(b).Database("__bridge_" + br.app)
}

// arrival says when what waits for a bridge is in the object states.
type arrival struct {
	took          time.Duration
	before, after map[string]time.Duration // processor times
}

// arrive waits until the states of jobs 0 to n-1 are in and newer than a version. They
// come in this order, but that the stream may bring the last of an import first. It counts from when the first is: what the bridge
// needs to start is left out, and so is the batch that the first is in.
func arrive(b *testing.B, br *bridge, n int, version int64) arrival {
	b.Helper()
	states := br.metadata(b).Collection("state_Job")
	wait := func(id int) {
		eventually(b, func(ctx context.Context) error {
			return states.FindOne(ctx, bson.D{{Key: "_id", Value: int64(id)}, {Key: "v", Value: bson.D{{Key: "$gt", Value: version}}}}).Err()
		})
	}
	wait(0)
	start, before := time.Now(), processorTimes(b, br)
	wait(n - 1)
	var a arrival
	eventually(b, func(ctx context.Context) error {
		a = arrival{time.Since(start), before, processorTimes(b, br)}
		got, err := states.CountDocuments(ctx, bson.D{{Key: "v", Value: bson.D{{Key: "$gt", Value: version}}}})
		if err == nil && got != int64(n) {
			err = fmt.Errorf("%d of %d are in", got, n)
		}
		return err
	})
	return a
}

// report reports the rate of n documents that came behind the first batch, and what
// they have cost.
func (a arrival) report(b *testing.B, n, bytes, batch int) (rate float64) {
	b.Helper()
	counted := float64(n - batch)
	rate = counted / a.took.Seconds()
	b.ReportMetric(rate, "documents/s")
	b.ReportMetric(rate*float64(bytes)/float64(n)/1e6, "MB/s")
	for _, who := range []string{"bridge", "mongod"} {
		b.ReportMetric(float64((a.after[who]-a.before[who]).Nanoseconds())/1000/counted, who+"-cpu-µs/document")
	}
	b.ReportMetric(0, "ns/op")
	return rate
}

// BenchmarkIngest: documents that another program has inserted or updated while the
// bridge was stopped, per second, until they are in the history: what the program
// itself costs is not counted. There are two ceilings. One is a bare read of the
// same events through the same pipeline as the bridge's, which leaves of an event
// what a hint needs. The other is what MongoDB can write: the bridge's own object
// states and history documents, written once more by the driver in as many
// transactions.
func BenchmarkIngest(b *testing.B) {
	for _, kind := range jobKinds {
		for _, updates := range []bool{false, true} {
			name := kind.name + "/inserted"
			if updates {
				name = kind.name + "/updated"
			}
			b.Run(name, func(b *testing.B) {
				br := startBridge(b)
				headlessDevice(b, br, "_id < 0")
				coll := br.collection("Job")
				bytes := 0
				if updates {
					bytes = insertJobs(b, coll, kind.n, kind.title)
					arrive(b, br, kind.n, 0)
				}
				br.stop()
				version, from := br.head(b), clusterTime(b)
				if !updates {
					bytes = insertJobs(b, coll, kind.n, kind.title)
				} else if _, err := coll.UpdateMany(within(b), bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "points", Value: 1}}}}); err != nil {
					b.Fatal(err)
				}
				br.restart()
				rate := arrive(b, br, kind.n, version).report(b, kind.n, bytes, translator.DefaultStreamBatch)
				br.stop()
				read := bareRead(b, br, from, kind.n)
				b.ReportMetric(read, "bare-read/s")
				b.ReportMetric(rate/read, "of-bare-read")
				write := bareWrite(b, br, version, updates)
				b.ReportMetric(write, "bare-write/s")
				b.ReportMetric(rate/write, "of-bare-write")
			})
		}
	}
}

// BenchmarkImport: documents per second of a collection that is there before its
// class is known, until they are in the history. The ceiling is as for ingest.
func BenchmarkImport(b *testing.B) {
	for _, kind := range jobKinds {
		b.Run(kind.name, func(b *testing.B) {
			br := startBridge(b)
			bytes := insertJobs(b, br.collection("Job"), kind.n, kind.title)
			done := make(chan struct{})
			go func() {
				defer close(done)
				headlessDevice(b, br, "_id < 0") // which brings the class
			}()
			a := arrive(b, br, kind.n, 0)
			<-done
			rate := a.report(b, kind.n, bytes, translator.DefaultScanRange)
			br.stop()
			write := bareWrite(b, br, 0, false)
			b.ReportMetric(write, "bare-write/s")
			b.ReportMetric(rate/write, "of-bare-write")
		})
	}
}

// head is the newest version of the history.
func (br *bridge) head(b *testing.B) int64 {
	b.Helper()
	var head struct{ Version int64 }
	if err := br.metadata(b).Collection("heads").FindOne(within(b), bson.D{}).Decode(&head); err != nil {
		b.Fatal(err)
	}
	return head.Version
}

// clusterTime is MongoDB's time, after all that was written.
func clusterTime(b *testing.B) bson.Timestamp {
	b.Helper()
	reply, err := mongotest.Client(b).Database("admin").RunCommand(within(b), bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		b.Fatal(err)
	}
	t, i, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		b.Fatalf("no time in %v", reply)
	}
	return bson.Timestamp{T: t, I: i + 1}
}

// bareRead reads n events about jobs and does nothing with them; events per second.
func bareRead(b *testing.B, br *bridge, from bson.Timestamp, n int) float64 {
	b.Helper()
	start := time.Now()
	stream, err := mongotest.Client(b).Watch(within(b), translator.EventPipeline(br.database, "__bridge_"+br.app),
		options.ChangeStream().SetStartAtOperationTime(&from).SetBatchSize(translator.DefaultStreamBatch))
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close(context.Background())
	for jobs := 0; jobs < n; {
		if !stream.Next(within(b)) {
			b.Fatal(stream.Err())
		}
		if coll, _ := stream.Current.Lookup("ns", "coll").StringValueOK(); coll == "Job" {
			jobs++
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// bareWrite writes the object states and the history documents above a version to
// another database, in as many transactions as there are history documents;
// documents per second. Replaced states are there before.
func bareWrite(b *testing.B, br *bridge, version int64, replace bool) float64 {
	b.Helper()
	states := readAll(b, br.metadata(b).Collection("state_Job"), bson.D{{Key: "v", Value: bson.D{{Key: "$gt", Value: version}}}})
	commits := readAll(b, br.metadata(b).Collection("history"), bson.D{{Key: "_id.last", Value: bson.D{{Key: "$gt", Value: version}}}})
	db := mongotest.Database(b)
	for _, name := range []string{"states", "history"} {
		if err := db.CreateCollection(within(b), name); err != nil {
			b.Fatal(err)
		}
	}
	if replace {
		if err := bulk.Insert(within(b), db.Collection("states"), states); err != nil {
			b.Fatal(err)
		}
		for _, raw := range states {
			raw.Lookup("v").Value[0]++ // or MongoDB would find nothing to write
		}
	}
	session, err := db.Client().StartSession()
	if err != nil {
		b.Fatal(err)
	}
	defer session.EndSession(context.Background())
	start := time.Now()
	for i, commit := range commits {
		batch := states[i*len(states)/len(commits) : (i+1)*len(states)/len(commits)]
		_, err := session.WithTransaction(within(b), func(ctx context.Context) (any, error) {
			history := bulk.Insert(ctx, db.Collection("history"), []bson.Raw{commit})
			if !replace {
				return nil, errors.Join(history, bulk.Insert(ctx, db.Collection("states"), batch))
			}
			models := make([]mongo.WriteModel, len(batch))
			for i, raw := range batch {
				models[i] = mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: raw.Lookup("_id")}}).SetReplacement(raw)
			}
			_, err := db.Collection("states").BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
			return nil, errors.Join(history, err)
		}, options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority()))
		if err != nil {
			b.Fatal(err)
		}
	}
	return float64(len(states)) / time.Since(start).Seconds()
}

func readAll(b *testing.B, coll *mongo.Collection, filter bson.D) []bson.Raw {
	b.Helper()
	cur, err := coll.Find(within(b), filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		b.Fatal(err)
	}
	var all []bson.Raw
	if err := cur.All(within(b), &all); err != nil {
		b.Fatal(err)
	}
	if len(all) == 0 {
		b.Fatalf("nothing in %s", coll.Name())
	}
	return all
}
