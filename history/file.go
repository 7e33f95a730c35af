package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// File is one server file: its history, client files and object states.
type File struct {
	store *Store
	name  string
	log   *slog.Logger

	// advance is held by whoever moves the head this node knows: a commit or a
	// load of what others committed.
	advance sync.Mutex

	mu        sync.Mutex
	head      uint64
	salt      uint64 // of head
	zeroSalt  uint64 // of version 0
	schema    *schema.Schema
	queryable queryable
	schemas   int // how often they were taken up
	cache     entryCache
	changed   chan struct{}
	clients   map[uint64]*Client
	frozen    map[changeset.ObjectRef]bool
	holds     map[string]Hold  // replaced, never changed
	dirty     map[*Client]bool // progress not yet durable
	jobs      []*job
	ingests   int  // committed batches of hints
	draining  bool // nothing waits for long any more
	closed    bool

	states *stateCache          // only under advance
	erased map[string]*erasures // by class; only under advance

	wake   chan struct{}
	behind chan struct{}      // holds a value when object states may lack queryable fields
	cancel context.CancelFunc // ends following the head
	abort  context.CancelFunc // ends commits
	done   sync.WaitGroup
}

// headDoc is a document of the heads collection.
type headDoc struct {
	File     string `bson:"_id"`
	Version  int64  `bson:"version"`
	Salt     int64  `bson:"salt"`
	ZeroSalt int64  `bson:"zero_salt"`
	// The history up to Trimmed is gone; TrimmedSalt is that version's.
	Trimmed     int64 `bson:"trimmed,omitempty"`
	TrimmedSalt int64 `bson:"trimmed_salt,omitempty"`
}

// createHead makes a head for a server file that has none.
func (s *Store) createHead(ctx context.Context, name string) error {
	zero := int64(newSalt())
	_, err := s.heads.UpdateOne(ctx, bson.D{{Key: "_id", Value: name}},
		bson.D{{Key: "$setOnInsert", Value: bson.D{
			{Key: "version", Value: int64(0)}, {Key: "salt", Value: zero}, {Key: "zero_salt", Value: zero},
		}}}, options.UpdateOne().SetUpsert(true))
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("create head: %w", err)
	}
	return nil
}

func openFile(ctx context.Context, s *Store, name string) (*File, error) {
	if !s.opts.Guest {
		if err := s.createHead(ctx, name); err != nil {
			return nil, err
		}
	}
	// The committer outlives the request that opened the file: commits under way
	// are finished, within closePatience, when the file is closed.
	commitCtx, abort := context.WithCancel(context.WithoutCancel(ctx))
	tailCtx, cancel := context.WithCancel(commitCtx)
	f := &File{
		store:   s,
		name:    name,
		log:     s.opts.Logger.With("file", name),
		changed: make(chan struct{}),
		clients: map[uint64]*Client{},
		frozen:  map[changeset.ObjectRef]bool{},
		dirty:   map[*Client]bool{},
		cache:   newEntryCache(s.opts.CacheBytes),
		erased:  map[string]*erasures{},
		states:  newStateCache(s.opts.CacheStates),
		wake:    make(chan struct{}, 1),
		behind:  make(chan struct{}, 1),
		cancel:  cancel,
		abort:   abort,
	}
	h, err := f.readHead(ctx)
	if err != nil {
		abort()
		if errors.Is(err, mongo.ErrNoDocuments) {
			err = ErrNeverServed
		}
		return nil, err
	}
	f.head, f.salt, f.zeroSalt = uint64(h.Version), uint64(h.Salt), uint64(h.ZeroSalt)
	f.cache.after = f.head
	if err := f.loadSchema(ctx); err != nil {
		abort()
		return nil, err
	}
	if err := f.loadFrozen(ctx); err != nil {
		abort()
		return nil, err
	}
	if err := f.loadHolds(ctx); err != nil {
		abort()
		return nil, err
	}
	f.done.Go(func() { f.commitLoop(commitCtx) })
	f.done.Go(func() { f.tailLoop(tailCtx) })
	if s.opts.Guest {
		return f, nil
	}
	f.done.Go(func() { f.trimLoop(tailCtx) })
	f.done.Go(func() { f.backfillLoop(tailCtx) })
	if err := f.configure(ctx); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// drain answers what waits for a held class.
func (f *File) drain() {
	f.mu.Lock()
	f.draining = true
	f.mu.Unlock()
	f.wakeCommitter()
}

// close lets a running commit finish, then ends the goroutines.
func (f *File) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wakeCommitter()
	f.cancel()
	t := time.AfterFunc(closePatience, f.abort)
	f.done.Wait()
	t.Stop()
	f.abort()
}

// closePatience is how long closing waits for commits under way.
const closePatience = 10 * time.Second

// Name returns the name of the server file.
func (f *File) Name() string { return f.name }

func (f *File) readHead(ctx context.Context) (headDoc, error) {
	var h headDoc
	err := f.store.heads.FindOne(ctx, bson.D{{Key: "_id", Value: f.name}}).Decode(&h)
	if err != nil {
		return h, fmt.Errorf("read head: %w", err)
	}
	return h, nil
}

// Head returns the newest history version this node knows, and its salt.
func (f *File) Head() (version, salt uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head, f.salt
}

// Changed returns a channel that is closed when the head moves. Take the
// channel first, then look at the head.
func (f *File) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Schema returns the schema as of the head. It is immutable.
func (f *File) Schema() *schema.Schema {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.schema
}

// Refresh reads the head afresh and loads what other nodes committed.
func (f *File) Refresh(ctx context.Context) error {
	h, err := f.readHead(ctx)
	if err != nil {
		return err
	}
	if known, _ := f.Head(); uint64(h.Version) <= known {
		return nil
	}
	f.advance.Lock()
	defer f.advance.Unlock()
	return f.loadTail(ctx)
}

// loadTail loads what was committed after the head this node knows. The caller
// holds advance.
func (f *File) loadTail(ctx context.Context) error {
	for {
		known, _ := f.Head()
		entries, last, salt, err := f.readHistory(ctx, known, 1000)
		if err != nil {
			return err
		}
		if last == known {
			return nil
		}
		schemaChanged := false
		for _, e := range entries {
			for i := range e.Objects {
				f.states.forget(e.Objects[i].Ref)
			}
			schemaChanged = schemaChanged || e.Schema
		}
		if schemaChanged {
			if err := f.loadSchema(ctx); err != nil {
				return err
			}
		}
		f.publish(entries, last, salt)
		if schemaChanged {
			f.store.opts.OnSchema(f.name, f.Schema())
		}
	}
}

// publish moves the head this node knows. The caller holds advance.
func (f *File) publish(entries []*Entry, last, salt uint64) {
	f.countFewer(entries)
	f.mu.Lock()
	f.cache.append(entries)
	f.head, f.salt = last, salt
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
}

// tailLoop follows other nodes' commits where no wake-up tells of them.
func (f *File) tailLoop(ctx context.Context) {
	t := time.NewTicker(f.store.opts.TailInterval)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := f.Refresh(ctx)
		if err == nil {
			err = f.loadHolds(ctx)
		}
		if err != nil && ctx.Err() == nil && !failing {
			f.log.Warn("following the history fails; will go on trying", "error", err)
		}
		failing = err != nil
		f.flushProgress()
	}
}

// Entries returns at most limit entries after a history version, in order; fewer than
// there are where they are large, and none only when the version is the head.
func (f *File) Entries(ctx context.Context, after uint64, limit int) ([]*Entry, error) {
	f.mu.Lock()
	entries, ok := f.cache.entries(after, limit)
	f.mu.Unlock()
	if ok {
		return entries, nil
	}
	entries, _, _, err := f.readHistory(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	if len(entries) > limit {
		entries = entries[:limit]
	}
	return entries, nil
}

// findTouches finds the entries after a history version that are about some objects,
// and fills them in; others are those that change the schema, if those are wanted. The
// caller holds advance as long as it uses them.
func (f *File) findTouches(ctx context.Context, after uint64, objects map[changeset.ObjectRef][]touch, schema bool) (others []*Entry, err error) {
	if !f.cache.reachesBackTo(after) {
		older, err := f.readTouches(ctx, after, objects, schema)
		if err != nil {
			return nil, err
		}
		for ref := range objects {
			objects[ref] = older.of(ref, after)
		}
		others = older.schema
	}
	ts := &f.cache.touches
	ts.addFrom(f.cache.list)
	for ref, list := range objects {
		objects[ref] = append(list[:len(list):len(list)], ts.of(ref, after)...)
	}
	if schema {
		others = append(others[:len(others):len(others)], ts.schemaSince(after)...)
	}
	return others, nil
}

// maxRead is how much memory entries may take that are read at once, but for the last
// commit of them, in bytes.
const maxRead = 4 << 20

// readHistory reads commits after a history version: at least limit entries, or all
// there are, or as many as maxRead allows. last and salt are those of the newest commit
// read.
func (f *File) readHistory(ctx context.Context, after uint64, limit int) (entries []*Entry, last, salt uint64, err error) {
	last = after
	cur, err := f.store.history.Find(ctx, f.commitsFrom(after+1),
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(100))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read history: %w", err)
	}
	defer cur.Close(ctx)
	s := f.Schema()
	size := 0
	for len(entries) < limit && size < maxRead && cur.Next(ctx) {
		var doc commitDoc
		if err := bson.Unmarshal(cur.Current, &doc); err != nil {
			return nil, 0, 0, fmt.Errorf("read history after %d: %w", last, err)
		}
		for i := range doc.Entries {
			e, err := f.decodeEntry(ctx, s, &doc, &doc.Entries[i])
			var unknown *unknownClassError
			if errors.As(err, &unknown) {
				// A class that another node has just learned: read the schema again.
				if err = f.loadSchema(ctx); err == nil {
					s = f.Schema()
					e, err = f.decodeEntry(ctx, s, &doc, &doc.Entries[i])
				}
			}
			if err != nil {
				return nil, 0, 0, fmt.Errorf("read history version %d: %w", doc.Entries[i].Version, err)
			}
			if e.Version > after {
				entries = append(entries, e)
				size += e.size()
			}
		}
		last, salt = uint64(doc.ID.Last), uint64(doc.Salt)
	}
	if err := cur.Err(); err != nil {
		return nil, 0, 0, fmt.Errorf("read history: %w", err)
	}
	return entries, last, salt, nil
}

// commitsFrom matches the commits that hold a version or a later one. It is a
// range of _id, whose index serves it.
func (f *File) commitsFrom(version uint64) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: commitID{f.name, int64(version)}},
		{Key: "$lte", Value: commitID{f.name, math.MaxInt64}},
	}}}
}

// saltOf returns the salt of a history version, false if the history doesn't
// reach back to it.
func (f *File) saltOf(ctx context.Context, version uint64) (uint64, bool, error) {
	if version == 0 {
		return f.zeroSalt, true, nil
	}
	if head, salt := f.Head(); version == head {
		return salt, true, nil
	}
	var doc struct {
		First int64 `bson:"first"`
		Salt  int64 `bson:"salt"`
	}
	err := f.store.history.FindOne(ctx, f.commitsFrom(version),
		options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "first", Value: 1}, {Key: "salt", Value: 1}})).Decode(&doc)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return 0, false, fmt.Errorf("read salt of version %d: %w", version, err)
	}
	if err == nil && uint64(doc.First) <= version {
		return uint64(doc.Salt), true, nil
	}
	h, err := f.readHead(ctx)
	if err != nil {
		return 0, false, err
	}
	return uint64(h.TrimmedSalt), uint64(h.Trimmed) == version, nil
}
