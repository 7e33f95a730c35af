package translator

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// Tunables, with their defaults.
const (
	DefaultLease          = 15 * time.Second
	DefaultStreamBatch    = 1000             // events the server hands out at a time
	DefaultTokenHeartbeat = 30 * time.Second // how often the token of a quiet stream is stored
	DefaultScanRange      = 500              // keys looked at in one commit of a scan
	DefaultGuardGrace     = 30 * time.Second
)

// Ingester reads the deployment's change stream while it holds the ingest
// lease, and hands what it says to the history as hints.
type Ingester struct {
	Client   *mongo.Client
	Database string // of the synced collections
	Metadata string // metadata database
	Store    *history.Store
	File     *history.File
	Owner    string // names this node in the lease
	Logger   *slog.Logger

	Lease          time.Duration
	StreamBatch    int32
	TokenHeartbeat time.Duration
	ScanRange      int

	// GuardGrace is how long a class whose collection was dropped or emptied is
	// held before its collection is looked at: a restore drops, creates, inserts.
	GuardGrace time.Duration

	running atomic.Bool
	events  atomic.Int64
	schema  chan struct{} // told when classes may have been added
}

// NewIngester returns an Ingester with the defaults. Start it with Run.
func NewIngester(client *mongo.Client, database, metadata string, store *history.Store, file *history.File, owner string, log *slog.Logger) *Ingester {
	return &Ingester{
		Client: client, Database: database, Metadata: metadata, Store: store, File: file, Owner: owner, Logger: log,
		Lease: DefaultLease, StreamBatch: DefaultStreamBatch, TokenHeartbeat: DefaultTokenHeartbeat, ScanRange: DefaultScanRange, GuardGrace: DefaultGuardGrace,
		schema: make(chan struct{}, 1),
	}
}

// Running reports whether this node reads the stream now.
func (g *Ingester) Running() bool { return g.running.Load() }

// Events is how many change events this node has read.
func (g *Ingester) Events() int64 { return g.events.Load() }

// SchemaChanged tells the Ingester that classes or properties were added.
func (g *Ingester) SchemaChanged() {
	select {
	case g.schema <- struct{}{}:
	default:
	}
}

// Run ingests whenever the lease can be had, until ctx ends.
func (g *Ingester) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		token, ok, err := g.Store.AcquireIngest(ctx, g.Owner, g.Lease)
		if err == nil && ok {
			start := time.Now()
			err = g.hold(ctx, token)
			if time.Since(start) > time.Minute {
				failures = 0
			}
		}
		if ctx.Err() != nil {
			break
		}
		wait := g.Lease / 3
		if err != nil {
			failures++
			wait = min(wait, 100*time.Millisecond<<min(failures, 8))
			if !errors.Is(err, history.ErrLeaseLost) {
				g.Logger.Warn("reading the change stream fails; will go on trying", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := g.Store.ReleaseIngest(release, g.Owner); err != nil {
		g.Logger.Info("the ingest lease was not given up; it runs out by itself", "error", err)
	}
	return nil
}

// hold ingests while the lease is held. It returns why it stopped.
func (g *Ingester) hold(ctx context.Context, token bson.Raw) error {
	group, ctx := errgroup.WithContext(ctx)
	stream, err := g.open(ctx, token)
	if err != nil {
		return err
	}
	defer stream.Close(context.WithoutCancel(ctx))
	g.running.Store(true)
	defer g.running.Store(false)
	group.Go(func() error { return g.renew(ctx) })
	group.Go(func() error { return g.read(ctx, stream) })
	group.Go(func() error { return g.scanAll(ctx) })
	group.Go(func() error { return g.settleHolds(ctx) })
	return group.Wait()
}

// renew keeps the lease.
func (g *Ingester) renew(ctx context.Context) error {
	t := time.NewTicker(g.Lease / 3)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		_, ok, err := g.Store.AcquireIngest(ctx, g.Owner, g.Lease)
		switch {
		case err == nil && !ok:
			return history.ErrLeaseLost
		case err == nil:
			last = time.Now()
		case time.Since(last) > g.Lease:
			return fmt.Errorf("renew ingest lease: %w", err)
		}
	}
}

// Codes by which MongoDB says that a resume token leads nowhere any more.
const (
	codeHistoryLost    = 286
	codeFatalStream    = 280
	codeInvalidToken   = 260
	codeCappedPosition = 136
)

// open opens the stream at the token. Without one, or with one that MongoDB no
// longer knows, it opens the stream at now and has every class scanned, for
// what was written before.
func (g *Ingester) open(ctx context.Context, token bson.Raw) (*mongo.ChangeStream, error) {
	if token != nil {
		stream, err := g.watch(ctx, token)
		if !isLost(err) {
			return stream, err
		}
		g.Logger.Warn("the change stream's place is lost; every class is compared anew", "error", err)
	}
	stream, err := g.watch(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := g.File.ForgetScans(ctx); err != nil {
		stream.Close(ctx)
		return nil, err
	}
	if err := g.Store.StoreToken(ctx, g.Owner, stream.ResumeToken()); err != nil {
		stream.Close(ctx)
		return nil, err
	}
	return stream, nil
}

func isLost(err error) bool {
	var se mongo.ServerError
	return errors.As(err, &se) && (se.HasErrorCode(codeHistoryLost) || se.HasErrorCode(codeFatalStream) ||
		se.HasErrorCode(codeInvalidToken) || se.HasErrorCode(codeCappedPosition))
}

func (g *Ingester) watch(ctx context.Context, token bson.Raw) (*mongo.ChangeStream, error) {
	pipeline := mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "$or", Value: bson.A{
			bson.D{{Key: "ns.db", Value: g.Database}},
			bson.D{{Key: "ns.db", Value: g.Metadata}, {Key: "ns.coll", Value: "heads"}},
		}}}}},
		// Only what a hint needs: no event is ever too large.
		{{Key: "$project", Value: bson.D{
			{Key: "operationType", Value: 1}, {Key: "ns", Value: 1}, {Key: "to", Value: 1}, {Key: "documentKey", Value: 1},
			{Key: "lsid", Value: 1}, {Key: "txnNumber", Value: 1}, {Key: "clusterTime", Value: 1}, {Key: "wallTime", Value: 1},
		}}},
	}
	opts := options.ChangeStream().SetBatchSize(g.StreamBatch).SetMaxAwaitTime(time.Second)
	if token != nil {
		opts.SetResumeAfter(token)
	}
	stream, err := g.Client.Watch(ctx, pipeline, opts)
	if err != nil {
		return nil, fmt.Errorf("open change stream: %w", err)
	}
	return stream, nil
}

// reader turns events into batches of hints.
type reader struct {
	g           *Ingester
	collections map[string]*schema.Class
	schema      *schema.Schema
	own         string // transaction of the bridge's that is passing by
	hints       []history.Hint
	open        string // transaction that the last event belongs to
}

// read reads the stream until it fails.
func (g *Ingester) read(ctx context.Context, stream *mongo.ChangeStream) error {
	r := &reader{g: g}
	stored := time.Now()
	for {
		more := stream.TryNext(ctx)
		if !more {
			if err := stream.Err(); err != nil {
				return fmt.Errorf("read change stream: %w", err)
			}
			if stream.ID() == 0 {
				return errors.New("read change stream: it ended")
			}
			if len(r.hints) == 0 && time.Since(stored) > g.TokenHeartbeat {
				if err := g.Store.StoreToken(ctx, g.Owner, stream.ResumeToken()); err != nil {
					return err
				}
				stored = time.Now()
			}
			continue
		}
		// Take all that the server has handed out; what it hands out at a time
		// ends inside a transaction only when that is full.
		n := int32(0)
		for ; more; more = stream.RemainingBatchLength() > 0 && stream.TryNext(ctx) {
			if err := r.event(ctx, stream.Current); err != nil {
				return err
			}
			n++
		}
		if err := stream.Err(); err != nil {
			return fmt.Errorf("read change stream: %w", err)
		}
		g.events.Add(int64(n))
		if len(r.hints) == 0 || n >= g.StreamBatch && r.open != "" {
			continue
		}
		if err := g.File.Ingest(ctx, &history.Ingest{Hints: r.hints, Token: stream.ResumeToken(), Owner: g.Owner}); err != nil {
			return fmt.Errorf("ingest: %w", err)
		}
		stored = time.Now()
		r.hints = nil
	}
}

// event takes up one change event.
func (r *reader) event(ctx context.Context, e bson.Raw) error {
	txn := transactionOf(e)
	r.open = txn
	ns := e.Lookup("ns")
	db, _ := ns.Document().Lookup("db").StringValueOK()
	coll, _ := ns.Document().Lookup("coll").StringValueOK()
	if db == r.g.Metadata && coll == "heads" {
		if txn != "" {
			// The bridge writes the head first, so what follows of this
			// transaction is its own.
			r.own = txn
		}
		return nil
	}
	if txn != "" && txn == r.own {
		return nil
	}
	kind, _ := e.Lookup("operationType").StringValueOK()
	switch kind {
	case "insert", "update", "replace", "delete":
	case "drop", "rename", "dropDatabase":
		return r.gone(ctx, kind, coll, e)
	default:
		return nil
	}
	class := r.class(coll)
	if class == nil {
		return nil
	}
	id, err := e.LookupErr("documentKey", "_id")
	if err != nil {
		return nil
	}
	key, err := KeyFromBSON(class, id)
	if err != nil {
		r.g.Logger.Debug("document can't be synced: its _id is of another type than the class's", "collection", coll, "error", err)
		return nil
	}
	r.hints = append(r.hints, history.Hint{
		Ref:         changeset.ObjectRef{Class: class.Name, Key: key},
		Time:        timeOf(e),
		Transaction: txn,
	})
	return nil
}

// class returns the class whose documents a collection holds, nil if none.
func (r *reader) class(coll string) *schema.Class {
	if s := r.g.File.Schema(); s != r.schema {
		r.schema = s
		r.collections = map[string]*schema.Class{}
		for _, c := range s.Classes {
			if c.Kind != changeset.Embedded {
				r.collections[collectionName(c)] = c
			}
		}
	}
	return r.collections[coll]
}

// transactionOf names the transaction an event belongs to, "" if none.
func transactionOf(e bson.Raw) string {
	lsid, err := e.LookupErr("lsid", "id")
	if err != nil {
		return ""
	}
	number, err := e.LookupErr("txnNumber")
	if err != nil {
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(append(append([]byte(nil), lsid.Value...), number.Value...))
}

// timeOf is when an event's write was made, in ms since 2015.
func timeOf(e bson.Raw) uint64 {
	if t, ok := e.Lookup("wallTime").DateTimeOK(); ok {
		return history.Timestamp(time.UnixMilli(t))
	}
	if sec, _, ok := e.Lookup("clusterTime").TimestampOK(); ok {
		return history.Timestamp(time.Unix(int64(sec), 0))
	}
	return history.Timestamp(time.Now())
}
