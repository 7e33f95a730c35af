package translator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/history"
)

// Tunables, with their defaults.
const (
	DefaultLease          = 15 * time.Second
	DefaultStreamBatch    = 1000             // events the server hands out at a time
	DefaultTransaction    = 10_000           // documents of a foreign transaction that are kept together
	DefaultTokenHeartbeat = 30 * time.Second // how often the token of a stream without news is stored
	DefaultScanRange      = 1000             // documents looked at in one commit of a scan
	DefaultScanSaved      = time.Second      // how often a running scan stores how far it has come
	DefaultGuardGrace     = 30 * time.Second
)

// reopenPause is how long the stream stays closed when MongoDB has ended it.
const reopenPause = 100 * time.Millisecond

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

	// DatabaseOnly watches the database of the synced collections rather than the
	// deployment, for a user who may not watch that. The bridge's own writes are
	// then not recognised, and each is looked at once more.
	DatabaseOnly bool

	Lease          time.Duration
	StreamBatch    int32
	Transaction    int
	TokenHeartbeat time.Duration
	ScanRange      int
	ScanSaved      time.Duration // what lies in between is looked at again after a stop, and found equal

	// GuardGrace is how long a class whose collection was dropped or emptied is
	// held after the last of what is gone has come back: a restore drops, creates,
	// inserts.
	GuardGrace time.Duration

	running atomic.Bool
	events  atomic.Int64
	hints   atomic.Int64
	reached atomic.Uint64 // MongoDB's time up to which all is committed, seconds above; 0: unknown
	flying  atomic.Int64  // batches that are read and not committed
	lost    bool          // the stored token leads nowhere; of the goroutine in Run
	schema  chan struct{} // told when classes may have been added

	// follower outlives a stream, so that the next one knows what came of it; of
	// the goroutine in Run.
	follower *history.Follower

	mu    sync.Mutex
	scans map[string]Progress // by class
}

// NewIngester returns an Ingester with the defaults. Start it with Run.
func NewIngester(client *mongo.Client, database, metadata string, store *history.Store, file *history.File, owner string, log *slog.Logger) *Ingester {
	return &Ingester{
		Client: client, Database: database, Metadata: metadata, Store: store, File: file, Owner: owner, Logger: log,
		Lease: DefaultLease, StreamBatch: DefaultStreamBatch, Transaction: DefaultTransaction, TokenHeartbeat: DefaultTokenHeartbeat,
		ScanRange: DefaultScanRange, ScanSaved: DefaultScanSaved, GuardGrace: DefaultGuardGrace,
		schema: make(chan struct{}, 1), scans: map[string]Progress{},
	}
}

func (g *Ingester) comparer() *comparer {
	return &comparer{db: g.Client.Database(g.Database), file: g.File, scanRange: g.ScanRange}
}

// Running reports whether this node reads the stream now.
func (g *Ingester) Running() bool { return g.running.Load() }

// Events is how many change events this node has read.
func (g *Ingester) Events() int64 { return g.events.Load() }

// Hints is how many of the events were about documents of a class, and not the
// bridge's own.
func (g *Ingester) Hints() int64 { return g.hints.Load() }

// Lag is how far what is committed is behind MongoDB, to the second; false while
// this node reads no stream, or has committed nothing of it. Where nobody writes,
// MongoDB's own clock moves every ten seconds only.
func (g *Ingester) Lag() (time.Duration, bool) {
	at := g.reachedAt()
	if at.IsZero() || !g.Running() {
		return 0, false
	}
	return max(0, time.Since(time.Unix(int64(at.T), 0))), true
}

// reach notes that all is committed up to the token.
func (g *Ingester) reach(token bson.Raw) {
	if t, ok := tokenTimestamp(token); ok {
		g.reached.Store(uint64(t.T)<<32 | uint64(t.I))
	}
}

// reachedAt is MongoDB's time up to which all is committed; the zero value while
// that is not known.
func (g *Ingester) reachedAt() bson.Timestamp {
	at := g.reached.Load()
	return bson.Timestamp{T: uint32(at >> 32), I: uint32(at)}
}

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
			g.lost = isLost(err)
			if time.Since(start) > time.Minute {
				failures = 0
			}
		}
		if ctx.Err() != nil {
			break
		}
		wait := g.Lease / 3
		if errors.Is(err, errStreamEnded) {
			wait = reopenPause
		} else if err != nil {
			failures++
			wait = min(wait, 100*time.Millisecond<<min(failures, 8))
			if !errors.Is(err, history.ErrLeaseLost) {
				// MongoDB's own words may hold a whole event.
				g.Logger.Warn("reading the change stream fails; will go on trying", "error", fmt.Sprintf("%.1000v", err))
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

// errStreamEnded: MongoDB has ended the stream, as it does when the database it
// watches is dropped. It goes on from the stored token.
var errStreamEnded = errors.New("the change stream has ended")

// hold ingests while the lease is held. It returns why it stopped.
func (g *Ingester) hold(ctx context.Context, token bson.Raw) error {
	// Another node may have listed documents that this one has to strike off.
	if err := g.File.ReloadUnsynced(ctx); err != nil {
		return err
	}
	if g.follower == nil {
		g.follower = g.File.NewFollower()
	}
	stream, err := g.open(ctx, token)
	if err != nil {
		return err
	}
	defer stream.Close(context.WithoutCancel(ctx))
	g.reached.Store(0)
	g.flying.Store(0)
	g.running.Store(true)
	defer g.running.Store(false)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.renew(ctx) })
	group.Go(func() error { return g.ingest(ctx, stream) })
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
	codeFailedToParse  = 9
	codeOverflow       = 15
	codeBadToken       = 40647
	codeTokenVersion   = 50796
	// Nor does one that stands before an event which is too large: of a document
	// whose _id has several MB, which the event has once and its token twice.
	codeEventTooLarge = codeObjectTooLarge
	codeTokenTooLarge = 16493
)

// open opens the stream at the token. Without one, or with one that MongoDB no
// longer knows, it opens the stream at now and has every class scanned, for
// what was written before.
func (g *Ingester) open(ctx context.Context, token bson.Raw) (*mongo.ChangeStream, error) {
	if token != nil {
		err := errors.New("reading from the stored token failed")
		if !g.lost {
			var stream *mongo.ChangeStream
			if stream, err = g.watch(ctx, token); !isLost(err) {
				return stream, err
			}
		}
		g.Logger.Warn("the change stream's place is lost; every class is compared anew", "error", fmt.Sprintf("%.1000v", err))
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
	if !errors.As(err, &se) {
		return false
	}
	for _, code := range []int{codeHistoryLost, codeFatalStream, codeInvalidToken, codeCappedPosition, codeFailedToParse, codeOverflow, codeBadToken, codeTokenVersion, codeEventTooLarge, codeTokenTooLarge} {
		if se.HasErrorCode(code) {
			return true
		}
	}
	return false
}

// maxTold is the size in bytes of the largest document that an event brings
// along. Larger ones are read when their turn comes.
const maxTold = 128 << 10

// EventPipeline is what change streams are read through: it leaves of the events on
// a database, and of the bridge's own commits, what a hint needs. Of documents of
// up to 128 KB that is what an insertion or a replacement has left.
func EventPipeline(database, metadata string) mongo.Pipeline {
	return mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "$or", Value: bson.A{
			bson.D{{Key: "ns.db", Value: database}},
			bson.D{{Key: "ns.db", Value: metadata}, {Key: "ns.coll", Value: "heads"}},
			bson.D{{Key: "operationType", Value: "invalidate"}},
		}}}}},
		// Only what a hint needs: no event is too large for what a document holds.
		{{Key: "$project", Value: bson.D{
			{Key: "fullDocument", Value: bson.D{{Key: "$cond", Value: bson.A{
				bson.D{{Key: "$lte", Value: bson.A{bson.D{{Key: "$bsonSize", Value: "$fullDocument"}}, maxTold}}},
				"$fullDocument", "$$REMOVE",
			}}}},
			{Key: "operationType", Value: 1}, {Key: "ns", Value: 1}, {Key: "to", Value: 1}, {Key: "documentKey", Value: 1},
			{Key: "lsid", Value: 1}, {Key: "txnNumber", Value: 1}, {Key: "clusterTime", Value: 1}, {Key: "wallTime", Value: 1},
		}}},
	}
}

func (g *Ingester) watch(ctx context.Context, token bson.Raw) (*mongo.ChangeStream, error) {
	opts := options.ChangeStream().SetBatchSize(g.StreamBatch).SetMaxAwaitTime(time.Second)
	if token != nil {
		// Unlike resumeAfter it also takes the token of the event that ended a
		// stream.
		opts.SetStartAfter(token)
	}
	watch := g.Client.Watch
	if g.DatabaseOnly {
		watch = g.Client.Database(g.Database).Watch
	}
	stream, err := watch(ctx, EventPipeline(g.Database, g.Metadata), opts)
	if err != nil {
		return nil, fmt.Errorf("open change stream: %w", err)
	}
	return stream, nil
}
