package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

// What there is of each kind.
const (
	things       = 40
	archived     = 300 // in the archive, and in the attic
	journalLines = 150 // in each journal, about
)

// pairs are the keys of the two objects of class pair.
var pairs = []string{"left", "right"}

// quietPatience is how long everything has to come to rest.
const quietPatience = 3 * time.Minute

// plan says what a world consists of.
type plan struct {
	uri     string // of MongoDB; empty is the shared one
	nodes   int
	redis   string // address, "embedded" for one in each node, or empty
	phones  int
	writers int
	seed    uint64
}

// world is bridges, devices and MongoDB writers, and the MongoDB they share.
type world struct {
	t       testing.TB
	ctx     context.Context
	plan    plan
	name    string // of the app and of the database
	client  *mongo.Client
	db      *mongo.Database
	nodes   []*node
	gateway *gateway
	phones  []*phone
	writers []*writer
	ledger  ledger

	journals       atomic.Int64 // lines appended, about
	touchArchive   atomic.Bool
	writersMayFail atomic.Bool // MongoDB itself is broken
	writerErrors   atomic.Int64
	pairsSeen      atomic.Int64

	load    sync.WaitGroup
	endLoad context.CancelFunc
}

// newWorld makes a world in which everybody has everything.
func newWorld(t testing.TB, p plan) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), plan: p, endLoad: func() {}}
	if p.uri == "" {
		w.plan.uri = mongotest.URI(t)
		w.client, w.db = mongotest.Client(t), mongotest.Database(t)
	} else {
		client, err := mongo.Connect(options.Client().ApplyURI(p.uri))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// It says good-bye to a MongoDB that may be gone by now.
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = client.Disconnect(ctx)
		})
		w.client, w.db = client, client.Database("faults")
	}
	w.name = w.db.Name()
	var addrs []string
	for range p.nodes {
		n := newNode(t, w.configuration())
		w.nodes = append(w.nodes, n)
		addrs = append(addrs, n.addr)
	}
	var err error
	if w.gateway, err = newGateway(addrs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.gateway.close)
	for i := range p.phones {
		phone, err := w.newPhone(i)
		if err != nil {
			t.Fatal(err)
		}
		w.phones = append(w.phones, phone)
		t.Cleanup(phone.close)
	}
	for i := range p.writers {
		w.writers = append(w.writers, w.newWriter(i))
	}
	t.Cleanup(w.end)
	w.furnish()
	return w
}

func (w *world) configuration() string {
	redis := fmt.Sprintf("addr: %q", w.plan.redis)
	switch w.plan.redis {
	case "embedded":
		redis = "embedded: true"
	case "":
		redis = ""
	}
	return fmt.Sprintf(`app: {id: %s}
mongodb: {uri: %q, database: %s}
redis: {%s}
sync: {mode: flexible, development_mode: true, queryable_fields: [%s]}
auth: {providers: {anonymous: {}}}
log: {level: info, format: json}
`, w.name, w.plan.uri, w.name, redis, strings.Join(queryable, ", "))
}

// rng is a source of random numbers for one purpose.
func (w *world) rng(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(w.plan.seed, purpose)) }

// journal is the key of the journal that lines go to now.
func (w *world) journal() string { return fmt.Sprint("j", w.journals.Add(1)/journalLines) }

// furnish writes what is there from the beginning, and waits until everybody has
// it.
func (w *world) furnish() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, quietPatience)
	defer cancel()
	if err := w.phones[0].realm.WaitUpload(ctx); err != nil { // the schema
		w.t.Fatal(err)
	}
	docs := map[string][]any{}
	add := func(class, id string, fields ...bson.E) {
		docs[class] = append(docs[class], append(bson.D{{Key: "_id", Value: id}}, fields...))
	}
	names := []string{"all"}
	for _, p := range w.phones {
		names = append(names, p.name)
	}
	for _, wr := range w.writers {
		names = append(names, wr.name)
	}
	for _, name := range names {
		add(tally, name, bson.E{Key: "devices", Value: 0}, bson.E{Key: "mongodb", Value: 0})
	}
	for _, id := range pairs {
		add(pair, id, bson.E{Key: "n", Value: 0}, bson.E{Key: "by", Value: "nobody"})
	}
	for i := range things {
		add(thing, fmt.Sprint("t", i), bson.E{Key: "lane", Value: i % lanes}, bson.E{Key: "count", Value: 0})
	}
	for i := range archived {
		for _, class := range []string{archive, attic} {
			add(class, fmt.Sprint("a", i), bson.E{Key: "number", Value: i}, bson.E{Key: "text", Value: words[i%len(words)]})
		}
	}
	for class, list := range docs {
		if _, err := w.db.Collection(class).InsertMany(ctx, list); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, p := range w.phones {
		err := p.realm.WaitSubscriptions(ctx)
		if err == nil {
			err = p.realm.WaitFor(ctx, func() bool {
				return len(p.realm.Keys(tally)) == len(names) && len(p.realm.Keys(pair)) == len(pairs) &&
					len(p.realm.Keys(archive)) == archived && len(p.realm.Keys(attic)) == archived
			})
		}
		if err != nil {
			w.t.Fatalf("%s does not get what is there from the beginning: %v", p.name, err)
		}
	}
}

// begin makes everybody write.
func (w *world) begin() {
	ctx, cancel := context.WithCancel(w.ctx)
	w.endLoad = cancel
	for _, p := range w.phones {
		w.load.Go(func() { p.work(ctx) })
	}
	for _, wr := range w.writers {
		w.load.Go(func() { wr.work(ctx) })
	}
	w.load.Go(func() { w.watch(ctx, &w.pairsSeen) })
}

// end makes everybody stop writing. What is begun is finished.
func (w *world) end() {
	w.endLoad()
	w.load.Wait()
}

// wait lets time pass in which everybody works.
func (w *world) wait(rng *rand.Rand, least, most time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, least)
	defer cancel()
	<-ctx.Done()
	rest(w.ctx, rng, most-least)
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// exchange has every phone send everything and get everything.
func (w *world) exchange(ctx context.Context) error {
	var all errgroup.Group
	for _, p := range w.phones {
		all.Go(func() error {
			for _, wait := range []func(context.Context) error{p.realm.WaitSubscriptions, p.realm.Sync} {
				if err := wait(ctx); err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// progress waits until every phone has had something acknowledged that it writes
// from now on, and returns how long that took.
func (w *world) progress(patience time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	rng := w.rng(3)
	for _, p := range w.phones {
		for !p.settledSince(began) {
			if time.Since(began) > patience {
				for _, n := range w.nodes {
					n.tellWaiting()
				}
				w.t.Fatalf("%s: nothing that it writes is acknowledged within %v", p.name, patience)
			}
			w.wait(rng, time.Millisecond, 20*time.Millisecond)
		}
	}
	took := time.Since(began)
	if took > suspicious {
		for _, n := range w.nodes {
			w.t.Logf("it took %v; what the bridge at %s logged last:\n%s", took, n.addr, n.log)
		}
	}
	return took
}

// suspicious is after how long it is told what happened until devices made progress.
const suspicious = 20 * time.Second
