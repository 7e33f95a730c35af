package translator

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/schema"
)

func TestTokenTime(t *testing.T) {
	token := func(data any) bson.Raw {
		raw, err := bson.Marshal(bson.D{{Key: "_data", Value: data}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, c := range []struct {
		token bson.Raw
		want  int64 // unix time; 0: not known
	}{
		{token("82655E3F7A000000092B0229296E04"), 0x655E3F7A},
		{token("82FFFFFFFF00000001"), 0xFFFFFFFF},
		{token("82655E3F7A0000000"), 0},
		{token("81655E3F7A000000092B0229296E04"), 0},
		{token("zz655E3F7A000000092B0229296E04"), 0},
		{token(""), 0},
		{token(7), 0},
		{token(nil), 0},
		{nil, 0},
	} {
		got, ok := TokenTime(c.token)
		if ok != (c.want != 0) || ok && got.Unix() != c.want {
			t.Errorf("%v: got %v, %v, want %d", c.token, got.Unix(), ok, c.want)
		}
	}
}

// The tokens of a real server are read as it means them.
func TestTokenTimeOfEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	coll := mongotest.Database(t).Collection("c")
	stream, err := coll.Watch(ctx, mongo.Pipeline{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close(ctx)
	if _, err := coll.InsertOne(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	if !stream.Next(ctx) {
		t.Fatal(stream.Err())
	}
	sec, _ := stream.Current.Lookup("clusterTime").Timestamp()
	if got, ok := TokenTime(stream.ResumeToken()); !ok || got.Unix() != int64(sec) {
		t.Errorf("got %v, %v, want %v", got, ok, time.Unix(int64(sec), 0))
	}
}

// An Ingester counts what it reads, and its lag grows only while something is
// left to commit or MongoDB's clock stands still.
func TestIngesterCounts(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db := mongotest.Database(t)
	log := slog.New(slog.DiscardHandler)
	store, err := history.Open(ctx, history.Options{
		Client: db.Client(), Database: "__bridge_" + db.Name(), Mirror: NewMirror(db, Mapping{}), Logger: log,
		Schema: &schema.Schema{Classes: map[string]*schema.Class{"Dog": {Name: "Dog", KeyType: changeset.Int, Properties: map[string]*schema.Property{}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	file, err := store.File(ctx, history.FlexibleFile)
	if err != nil {
		t.Fatal(err)
	}
	g := NewIngester(db.Client(), db.Name(), "__bridge_"+db.Name(), store, file, "node", log)
	if _, known := g.Lag(); known {
		t.Error("a lag is known before anything is read")
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(running) }()
	wait := func(what string, condition func() bool) {
		t.Helper()
		for !condition() {
			select {
			case <-ctx.Done():
				t.Fatalf("never: %s", what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	wait("the lag is known", func() bool {
		lag, known := g.Lag()
		return known && lag < 15*time.Second
	})
	head, _ := file.Head()
	for i := range 3 {
		if _, err := db.Collection("Dog").InsertOne(ctx, bson.D{{Key: "_id", Value: i}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Collection("other").InsertOne(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	wait("the documents are in the history", func() bool {
		entries, err := file.Entries(ctx, head, 10)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			n += len(e.Objects)
		}
		return n == 3
	})
	wait("all events are counted", func() bool { return g.Events() >= 4 && g.Hints() == 3 })
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	token, err := store.IngestToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := TokenTime(token); !ok || time.Since(at) > time.Minute {
		t.Errorf("the stored token is of %v, %v", at, ok)
	}
	if _, known := g.Lag(); known {
		t.Error("a lag is known though nothing is read")
	}
}
