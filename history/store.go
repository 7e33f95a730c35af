package history

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/isthmus-sync/isthmus/schema"
)

// FlexibleFile names the one server file of an app in flexible mode.
const FlexibleFile = "flexible"

// Tunables, with their defaults.
const (
	DefaultBatchEntries = 500      // uploaded changesets in one commit
	DefaultBatchBytes   = 8 << 20  // bytes of changesets in one commit
	DefaultCacheBytes   = 64 << 20 // history entries kept in memory
	DefaultCacheStates  = 50_000   // object states kept in memory
	DefaultBackfill     = 200      // object states at once that get a new queryable field
	DefaultHintWait     = 200 * time.Millisecond
	DefaultTailInterval = time.Second
	DefaultTrimInterval = time.Hour
	DefaultMaxOffline   = 720 * time.Hour
)

// Options configure a Store. Client, Database and Mirror are required.
type Options struct {
	Client   *mongo.Client
	Database string // metadata database
	Mirror   Mirror
	Logger   *slog.Logger
	// DriverName is the application name of Client's driver, the same on all
	// nodes of the app and of nobody else: by it the transactions of killed nodes
	// are known. Empty means any application's.
	DriverName string

	// DevelopmentMode learns classes and queryable fields from devices.
	DevelopmentMode bool
	// Schema holds the classes configured; nil in pure development mode.
	Schema *schema.Schema
	// QueryableFields are queryable in every class that has them.
	QueryableFields []string
	// Guest is for tools that work beside running nodes: nothing is set up or
	// configured, and a server file that no node has ever served is an
	// ErrNeverServed.
	Guest bool

	BatchEntries int
	BatchBytes   int
	CacheBytes   int
	CacheStates  int
	// Backfill is how many object states get a new queryable field at once.
	Backfill int
	// HintWait is how long an upload that meets a foreign write waits for the
	// event that tells when the write was made.
	HintWait time.Duration
	// TailInterval is how often a node looks for commits of others that no
	// wake-up told it of.
	TailInterval time.Duration
	// MaxOffline is how long a client file may stay away before it has to reset.
	MaxOffline time.Duration
	// TrimInterval is how often history that nobody needs is dropped.
	TrimInterval time.Duration

	// OnCommit is called after each commit of this node, with the new head.
	OnCommit func(file string, version uint64)
	// OnBatch is called after each commit of this node, those that append nothing
	// included, and before those who wait for it hear of it.
	OnBatch func(Batch)
	// OnRetry is called whenever a batch is not committed and tried again.
	OnRetry func(RetryReason)
	// OnDefect is called for each object on which an upload met something that
	// devices are known to get wrong, after it was committed with what puts it
	// right; kind is a transform.DefectKind.
	OnDefect func(kind string)
	// OnSchema is called when classes were added, in this process or elsewhere.
	OnSchema func(file string, s *schema.Schema)
}

func (o *Options) setDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.BatchEntries, DefaultBatchEntries)
	def(&o.BatchBytes, DefaultBatchBytes)
	def(&o.CacheBytes, DefaultCacheBytes)
	def(&o.CacheStates, DefaultCacheStates)
	def(&o.Backfill, DefaultBackfill)
	wait := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	wait(&o.HintWait, DefaultHintWait)
	wait(&o.TailInterval, DefaultTailInterval)
	wait(&o.MaxOffline, DefaultMaxOffline)
	wait(&o.TrimInterval, DefaultTrimInterval)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OnCommit == nil {
		o.OnCommit = func(string, uint64) {}
	}
	if o.OnBatch == nil {
		o.OnBatch = func(Batch) {}
	}
	if o.OnRetry == nil {
		o.OnRetry = func(RetryReason) {}
	}
	if o.OnDefect == nil {
		o.OnDefect = func(string) {}
	}
	if o.OnSchema == nil {
		o.OnSchema = func(string, *schema.Schema) {}
	}
}

// Store holds the server files of one app.
type Store struct {
	opts Options
	db   *mongo.Database

	heads, history, parts, clients, idents, reciprocals, schemas, ingest, scans, backfills, holds, unsynced *mongo.Collection

	mu     sync.Mutex
	files  map[string]*File
	closed bool
}

// Open makes the metadata collections, unless it is for a guest, and returns a
// Store. Files are opened when first asked for.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.setDefaults()
	db := opts.Client.Database(opts.Database, options.Database().
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(writeconcern.Majority()).
		SetReadPreference(readpref.Primary()))
	s := &Store{
		opts:        opts,
		db:          db,
		heads:       db.Collection("heads"),
		history:     db.Collection("history"),
		parts:       db.Collection("history_parts"),
		clients:     db.Collection("client_files"),
		idents:      db.Collection("idents"),
		reciprocals: db.Collection("reciprocals"),
		schemas:     db.Collection("schema"),
		ingest:      db.Collection("ingest"),
		scans:       db.Collection("scans"),
		backfills:   db.Collection("backfills"),
		holds:       db.Collection("holds"),
		unsynced:    db.Collection("unsynced"),
		files:       map[string]*File{},
	}
	if opts.Guest {
		return s, nil
	}
	for _, c := range []*mongo.Collection{s.heads, s.history, s.parts, s.clients, s.idents, s.reciprocals, s.schemas, s.ingest, s.scans, s.backfills, s.holds, s.unsynced} {
		if err := createCollection(ctx, db, c.Name()); err != nil {
			return nil, fmt.Errorf("prepare metadata: %w", err)
		}
	}
	return s, nil
}

// createCollection makes a collection exist.
func createCollection(ctx context.Context, db *mongo.Database, name string) error {
	err := db.CreateCollection(ctx, name)
	if hasCode(err, codeNamespaceExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create collection %s: %w", name, err)
	}
	return nil
}

// File returns the server file of that name, opening it when needed.
func (s *Store) File(ctx context.Context, name string) (*File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if f := s.files[name]; f != nil {
		return f, nil
	}
	f, err := openFile(ctx, s, name)
	if err != nil {
		return nil, fmt.Errorf("open server file %q: %w", name, err)
	}
	s.files[name] = f
	return f, nil
}

// Drain prepares for Close: what can be committed still is, and what waits for a
// held class is refused with ErrClosed, since that may last for days.
func (s *Store) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.drain()
	}
}

// Close lets running commits finish and ends the Store's goroutines. What waits
// for a commit is refused with ErrClosed.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	files := s.files
	s.files = map[string]*File{}
	s.mu.Unlock()
	for _, f := range files {
		f.close()
	}
}

// newSalt draws a salt: 1 to 2^63-1, from the system's cryptographic source.
func newSalt() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails: it ends the program rather
		if v := binary.LittleEndian.Uint64(b[:]) >> 1; v != 0 {
			return v
		}
	}
}
