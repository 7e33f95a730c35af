package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// streamSchema is made so that a write that is lost, doubled or out of order
// shows: each makes an object, adds to a counter and appends to a list.
var streamSchema = []realmclient.Class{
	{Name: "Item", Properties: []realmclient.Property{
		{Name: "_id", Type: "objectId", PrimaryKey: true},
		{Name: "n", Type: "int"},
	}},
	{Name: "Tally", Properties: []realmclient.Property{
		{Name: "_id", Type: "objectId", PrimaryKey: true},
		{Name: "count", Type: "int"},
		{Name: "log", Type: "int", Collection: "list"},
	}},
}

// streamed is the nth write of a stream.
func streamed(n int) []realmclient.Op {
	return []realmclient.Op{
		realmclient.Create("Item", taskKey(n), map[string]any{"n": n}),
		{Op: "add_int", Class: "Tally", PK: taskKey(0), Path: []any{"count"}, By: "1"},
		{Op: "list_append", Class: "Tally", PK: taskKey(0), Path: []any{"log"}, Value: n},
	}
}

// expectStream checks that the first n writes are in MongoDB, exactly once and in order.
func expectStream(t *testing.T, b *bridge, n int) {
	t.Helper()
	items, err := b.collection("Item").CountDocuments(within(t), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	if items != int64(n) {
		t.Errorf("%d items in MongoDB, want %d", items, n)
	}
	var tally struct {
		Count int64   `bson:"count"`
		Log   []int64 `bson:"log"`
	}
	if err := b.collection("Tally").FindOne(within(t), bson.D{}).Decode(&tally); err != nil {
		t.Fatal(err)
	}
	if tally.Count != int64(n) {
		t.Errorf("the counter is %d after %d additions of 1", tally.Count, n)
	}
	for i, v := range tally.Log {
		if v != int64(i) {
			t.Errorf("the list's element %d is %d (of %d elements), want %d", i, v, len(tally.Log), i)
			break
		}
	}
	if len(tally.Log) != n {
		t.Errorf("the list has %d elements after %d appends", len(tally.Log), n)
	}
}

// stream is a device that writes without pause.
type stream struct {
	arrived atomic.Int64 // writes known to be in MongoDB
	enough  chan struct{}
	done    chan struct{}
	n       int // writes made; read after done
	err     error
}

// ahead is how many writes a stream makes beyond those that have arrived.
const ahead = 100

func startStream(d *device) *stream {
	s := &stream{enough: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for s.err == nil {
			select {
			case <-s.enough:
				return
			case <-tick.C:
			}
			if int64(s.n) >= s.arrived.Load()+ahead {
				continue
			}
			if s.err = d.realm.Write(context.Background(), streamed(s.n)...); s.err == nil {
				s.n++
			}
		}
	}()
	return s
}

// stop ends the stream and returns how many writes it made.
func (s *stream) stop() (int, error) {
	close(s.enough)
	<-s.done
	return s.n, s.err
}

// TestEndsInTheMiddleOfUploads ends the bridge again and again while a device
// writes without pause, and counts what arrived.
func TestEndsInTheMiddleOfUploads(t *testing.T) {
	const ends, writesBetween = 4, 60
	for _, test := range []struct {
		name  string
		start func(testing.TB) *bridge
		end   func(*bridge)
	}{
		{"killed", startBridge, (*bridge).kill},
		{"killed with its mongod", startBridgeWithMongod, (*bridge).kill},
		{"told to stop", startBridge, (*bridge).stop},
	} {
		t.Run(test.name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))

			b := test.start(t)
			writer, reader := subscribed(t, b, "writer", streamSchema), subscribed(t, b, "reader", streamSchema)
			writer.write(realmclient.Create("Tally", taskKey(0), nil))
			writer.upload()

			stream := startStream(writer)
			for range ends {
				items := b.collection("Item") // its mongod may have another port each time
				more := int64(1 + random.IntN(writesBetween))
				target := stream.arrived.Load() + more
				eventually(t, func(ctx context.Context) error {
					n, err := items.CountDocuments(ctx, bson.D{})
					if err != nil {
						return err
					}
					stream.arrived.Store(n)
					if n < target {
						return fmt.Errorf("%d items are in MongoDB, waiting for %d", n, target)
					}
					return nil
				})
				test.end(b)
				b.restart()
				for _, d := range []*device{writer, reader} { // rather than wait out its back-off
					if err := d.client.Reconnect(within(t)); err != nil {
						t.Fatal(err)
					}
				}
			}
			n, err := stream.stop()
			if err != nil {
				t.Fatalf("write %d: %v", n, err)
			}
			writer.upload()
			expectStream(t, b, n)
			becomeEqual(t, b, writer, reader)
			writer.unharmed()
			reader.unharmed()
		})
	}
}

// TestAppCrashesInTheMiddleOfUploads kills the device instead.
func TestAppCrashesInTheMiddleOfUploads(t *testing.T) {
	const crashes, writes = 4, 40
	b := startBridge(t)
	writer, reader := subscribed(t, b, "writer", streamSchema), subscribed(t, b, "reader", streamSchema)
	writer.write(realmclient.Create("Tally", taskKey(0), nil))
	writer.upload()
	n := 0
	for range crashes {
		for range writes {
			writer.write(streamed(n)...)
			n++
		}
		writer.crash()
		writer.relaunch()
	}
	writer.upload()
	expectStream(t, b, n)
	converge(t, b, writer, reader)
}
