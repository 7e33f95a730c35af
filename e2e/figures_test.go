package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/isthmus-sync/isthmus/changeset"
	headless "github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/internal/realmclient"
	"github.com/isthmus-sync/isthmus/schema"
)

// The figures of docs/benchmarks.md. Each stands beside a ceiling that is
// measured in the same run on the same mongod:
//
//	make bench

// jobClass is what the figures are made with.
var jobClass = []realmclient.Class{{Name: "Job", Properties: []realmclient.Property{
	{Name: "_id", Type: "int", PrimaryKey: true},
	{Name: "title", Type: "string", Nullable: true},
	{Name: "done", Type: "bool"},
	{Name: "points", Type: "int"},
	{Name: "owner", Type: "string", Nullable: true},
}}}

func jobSchema() *schema.Schema {
	c := &schema.Class{Name: "Job", KeyType: changeset.Int, Properties: map[string]*schema.Property{}}
	for _, p := range []schema.Property{
		{Name: "title", Type: changeset.String, Nullable: true},
		{Name: "done", Type: changeset.Bool},
		{Name: "points", Type: changeset.Int},
		{Name: "owner", Type: changeset.String, Nullable: true},
	} {
		c.Properties[p.Name] = &p
	}
	return &schema.Schema{Classes: map[string]*schema.Class{"Job": c}}
}

const (
	jobTitle = "a title of some thirty letters"
	jobOwner = "65f0aabbccddeeff00112233"
)

func jobDocument(id int) bson.D {
	return bson.D{{Key: "_id", Value: int64(id)}, {Key: "title", Value: jobTitle}, {Key: "done", Value: false},
		{Key: "points", Value: int64(id)}, {Key: "owner", Value: jobOwner}}
}

// headlessDevice is a device in Go that follows the jobs a query asks for.
func headlessDevice(b testing.TB, br *bridge, query string) *headless.Realm {
	b.Helper()
	user, err := headless.NewApp(br.url, br.app).LoginAnonymous(within(b))
	if err != nil {
		b.Fatal(err)
	}
	client := headless.NewClient(headless.Options{})
	b.Cleanup(client.Close)
	realm, err := client.Open(user, headless.Config{Schema: jobSchema()})
	if err != nil {
		b.Fatal(err)
	}
	realm.Subscribe(map[string]string{"Job": query})
	if err := realm.WaitSubscriptions(within(b)); err != nil {
		b.Fatal(err)
	}
	return realm
}

// BenchmarkUploads: changesets acknowledged per second, each creating one job,
// by devices that write as fast as they can and see only their own. The ceiling
// is the driver writing the same documents in transactions of the same size.
func BenchmarkUploads(b *testing.B) {
	for _, devices := range []int{1, 50} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			br := startBridge(b)
			realms := make([]*headless.Realm, devices)
			for i := range realms {
				realms[i] = headlessDevice(b, br, fmt.Sprintf("_id BETWEEN {%d, %d}", i*1_000_000, (i+1)*1_000_000-1))
			}
			const total = 20_000
			n := total / devices
			b.ResetTimer()
			start, before := time.Now(), processorTimes(b, br)
			var wg sync.WaitGroup
			for i, r := range realms {
				wg.Go(func() {
					for k := range n {
						_, err := r.Write(func(tx *headless.Tx) error {
							return tx.Create("Job", changeset.IntKey(int64(i*1_000_000+k)), map[string]any{
								"title": jobTitle, "done": false, "points": k, "owner": jobOwner,
							})
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
					if err := r.WaitUpload(within(b)); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
			rate := float64(n*devices) / time.Since(start).Seconds()
			after := processorTimes(b, br)
			b.StopTimer()
			if got, err := br.collection("Job").CountDocuments(within(b), bson.D{}); err != nil || got != int64(n*devices) {
				b.Fatalf("%d documents, want %d (%v)", got, n*devices, err)
			}
			commits, err := mongotest.Client(b).Database("__bridge_"+br.app).Collection("history").CountDocuments(within(b), bson.D{})
			if err != nil {
				b.Fatal(err)
			}
			batch := max(1, n*devices/int(commits))
			raw := processorTimes(b, br)["mongod"]
			documents := min(n*devices, 500*batch)
			ceiling := rawTransactions(b, batch, documents)
			raw = processorTimes(b, br)["mongod"] - raw
			b.ReportMetric(rate, "uploads/s")
			b.ReportMetric(float64(batch), "uploads/commit")
			b.ReportMetric(ceiling, "ceiling/s")
			b.ReportMetric(rate/ceiling, "ratio")
			each := func(t time.Duration, n int) float64 { return float64(t.Nanoseconds()) / 1000 / float64(n) }
			for who := range after {
				b.ReportMetric(each(after[who]-before[who], n*devices), who+"-cpu-µs/upload")
			}
			b.ReportMetric(each(raw, documents), "ceiling-mongod-cpu-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// processorTimes are what the bridge, MongoDB and the devices, which are in this
// process, have used of the processors so far. On a machine whose cores they share
// these bound the rate, whatever else runs there.
func processorTimes(b *testing.B, br *bridge) map[string]time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", br.process.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	// The name, in brackets, may hold spaces. Times are in ticks of 10 ms.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		b.Fatal(err)
	}
	return map[string]time.Duration{
		"bridge":  time.Duration(ticks) * 10 * time.Millisecond,
		"mongod":  mongotest.ProcessorTime(b),
		"devices": time.Duration(own.Utime.Nano() + own.Stime.Nano()),
	}
}

// rawTransactions writes jobs with the driver, so many in a transaction, and
// returns documents per second.
func rawTransactions(b *testing.B, batch, n int) float64 {
	b.Helper()
	db := mongotest.Database(b)
	if err := db.CreateCollection(within(b), "Job"); err != nil {
		b.Fatal(err)
	}
	session, err := db.Client().StartSession()
	if err != nil {
		b.Fatal(err)
	}
	defer session.EndSession(context.Background())
	start := time.Now()
	for done := 0; done < n; {
		docs := make([]any, min(batch, n-done))
		for i := range docs {
			docs[i] = jobDocument(done + i)
		}
		_, err := session.WithTransaction(within(b), func(ctx context.Context) (any, error) {
			return db.Collection("Job").InsertMany(ctx, docs)
		}, options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority()))
		if err != nil {
			b.Fatal(err)
		}
		done += len(docs)
	}
	return float64(n) / time.Since(start).Seconds()
}

// BenchmarkLatency: how long a change takes, one at a time, between real clients
// as shipped, and between them and MongoDB.
func BenchmarkLatency(b *testing.B) {
	br := startBridge(b)
	writer := subscribed(b, br, "writer", jobClass)
	reader := subscribed(b, br, "reader", jobClass)
	writer.write(realmclient.Create("Job", 1, map[string]any{"points": 0}))
	reader.sees("Job", 1, map[string]any{"points": realmclient.Int(0)})
	const rounds = 200
	points := 0
	b.Run("device→device", func(b *testing.B) {
		reportLatency(b, rounds, func() time.Duration {
			points++
			seen := make(chan time.Time, 1)
			go func() {
				reader.sees("Job", 1, map[string]any{"points": realmclient.Int(int64(points))})
				seen <- time.Now()
			}()
			start := time.Now()
			writer.write(realmclient.Update("Job", 1, "points", points))
			return (<-seen).Sub(start)
		})
	})
	b.Run("device→MongoDB", func(b *testing.B) {
		stream, err := br.collection("Job").Watch(within(b), mongo.Pipeline{})
		if err != nil {
			b.Fatal(err)
		}
		defer stream.Close(context.Background())
		reportLatency(b, rounds, func() time.Duration {
			points++
			start := time.Now()
			writer.write(realmclient.Update("Job", 1, "points", points))
			if !stream.Next(within(b)) {
				b.Fatal(stream.Err())
			}
			return time.Since(start)
		})
	})
	b.Run("MongoDB→device", func(b *testing.B) {
		reportLatency(b, rounds, func() time.Duration {
			points++
			seen := make(chan time.Time, 1)
			go func() {
				reader.sees("Job", 1, map[string]any{"points": realmclient.Int(int64(points))})
				seen <- time.Now()
			}()
			start := time.Now()
			if _, err := br.collection("Job").UpdateByID(within(b), 1, bson.D{{Key: "$set", Value: bson.D{{Key: "points", Value: points}}}}); err != nil {
				b.Fatal(err)
			}
			return (<-seen).Sub(start)
		})
	})
}

func reportLatency(b *testing.B, rounds int, one func() time.Duration) {
	b.Helper()
	times := make([]time.Duration, rounds)
	for i := range times {
		times[i] = one()
	}
	slices.Sort(times)
	ms := func(q float64) float64 { return float64(times[int(q*float64(rounds-1))].Microseconds()) / 1000 }
	b.ReportMetric(ms(0.50), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdle: resident memory of a bridge with 1,000 idle sessions, each on a
// connection of its own.
func BenchmarkIdle(b *testing.B) {
	br := startBridge(b)
	before := resident(b, br)
	const sessions = 1000
	for i := range sessions {
		headlessDevice(b, br, fmt.Sprintf("owner == \"%d\"", i%100))
	}
	b.ReportMetric(resident(b, br), "MB")
	b.ReportMetric((resident(b, br)-before)*1000/sessions, "KB/session")
	b.ReportMetric(0, "ns/op")
}

// resident is the bridge's resident memory, in MB.
func resident(b *testing.B, br *bridge) float64 {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", br.process.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1000
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
