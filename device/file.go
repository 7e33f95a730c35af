package device

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/transform"
)

// The versions that a new file has behind it when the app's schema comes: the
// file itself and, in flexible mode, what keeps subscriptions and bootstraps.
const (
	firstPartitionVersion = 1
	firstFlexibleVersion  = 5
)

// Config says what a realm is of.
type Config struct {
	// Schema holds the app's classes. It is not kept.
	Schema *schema.Schema

	// Order is the order of properties in the app's classes, by class: schema
	// instructions and the values of a new object come in it. Properties that
	// are not named come last, sorted.
	Order map[string][]string

	// Partition is the partition's value as JSON text, such as "\"part-1\"".
	// Empty is flexible mode.
	Partition string

	// DiscardOnReset makes the realm do a client reset by itself: it downloads
	// a fresh copy, and unsent writes are lost.
	DiscardOnReset bool
}

// File is a local Realm file: objects, the sync history that goes with them and,
// in flexible mode, subscription sets. It knows no network; its methods are the
// two ends of one. It may be used by many goroutines.
type File struct {
	flexible  bool
	partition string
	order     map[string][]string
	clock     func() time.Time
	rules     transform.Rules
	yield     int // bytes of changesets after which a writer is let in

	change atomic.Pointer[func()]

	waiting atomic.Int32 // writers that wait for mu

	mu       sync.Mutex
	admitted *sync.Cond // a waiting writer has got the lock
	store    *object.Store
	history  history
	subs     subscriptions
	pending  bootstrap
}

// NewFile makes a new file with the app's schema, which is its first changeset.
// Of the options those about the clock and merging count.
func NewFile(cfg Config, opts Options) (*File, error) {
	opts = opts.withDefaults()
	f := &File{
		flexible:  cfg.Partition == "",
		partition: cfg.Partition,
		order:     cfg.Order,
		clock:     opts.Clock,
		rules:     *opts.Rules,
		yield:     opts.YieldBytes,
	}
	f.begin()
	if _, err := f.UpdateSchema(cfg.Schema, cfg.Order); err != nil {
		return nil, err
	}
	return f, nil
}

// begin makes the file a new, empty one.
func (f *File) begin() {
	f.admitted = sync.NewCond(&f.mu)
	f.store = object.NewStore(nil, object.AcceptErasures())
	f.subs = newSubscriptions()
	f.history = newHistory(firstPartitionVersion)
	if f.flexible {
		f.history = newHistory(firstFlexibleVersion)
	}
}

// UpdateSchema adds the classes and properties that the file lacks, as an app
// does that opens the file with more classes than before. It returns the version
// of the changeset, or of what is there if nothing is missing.
func (f *File) UpdateSchema(s *schema.Schema, order map[string][]string) (int64, error) {
	if order != nil {
		f.mu.Lock()
		f.order = order
		f.mu.Unlock()
	}
	missing := func(tx *Tx) changeset.Changeset {
		var tables, columns changeset.Changeset
		has := tx.file.store.Schema()
		for _, name := range s.ClassNames() {
			c, known := s.Class(name), has.Class(name)
			if known == nil {
				tables = append(tables, c.AddTable())
			}
			for _, property := range tx.file.propertyNames(c) {
				if known == nil || known.Properties[property] == nil {
					columns = append(columns, c.AddColumn(asDeclared(c.Properties[property])))
				}
			}
		}
		return append(tables, columns...)
	}
	version, err := f.write(func(tx *Tx) error { return tx.Instruct(missing(tx)...) }, true)
	if err != nil {
		return 0, fmt.Errorf("set the schema: %w", err)
	}
	return version, nil
}

// asDeclared gives a property the nullable flag that SDKs send: of mixed and
// links the kind of collection alone decides.
func asDeclared(p *schema.Property) *schema.Property {
	out := *p
	if p.Type == changeset.Mixed || p.Type == changeset.Link {
		out.Nullable = p.AcceptsNull()
	}
	return &out
}

// propertyNames lists a class's properties in the app's order.
func (f *File) propertyNames(c *schema.Class) []string {
	names := c.PropertyNames()
	order := f.order[c.Name]
	if len(order) == 0 {
		return names
	}
	out := make([]string, 0, len(names))
	for _, name := range order {
		if c.Properties[name] != nil {
			out = append(out, name)
		}
	}
	for _, name := range names {
		if !slices.Contains(order, name) {
			out = append(out, name)
		}
	}
	return out
}

// onChange sets what is told after every change. It must not call the file.
func (f *File) onChange(change func()) { f.change.Store(&change) }

func (f *File) changed() {
	if change := f.change.Load(); change != nil {
		(*change)()
	}
}

// lock waits for the file as a writer: a DOWNLOAD that is being integrated lets
// it in.
func (f *File) lock() {
	f.waiting.Add(1)
	f.mu.Lock()
	f.waiting.Add(-1)
	f.admitted.Broadcast()
}

// Write runs a transaction and returns the version that it makes. An error of
// the function's rolls it back.
func (f *File) Write(fn func(*Tx) error) (int64, error) { return f.write(fn, false) }

// write is Write. A transaction that does nothing makes a version, too, unless
// ifAny is set.
func (f *File) write(fn func(*Tx) error, ifAny bool) (int64, error) {
	f.lock()
	version, err := f.transact(fn, ifAny)
	f.mu.Unlock()
	if err == nil {
		f.changed()
	}
	return version, err
}

func (f *File) transact(fn func(*Tx) error, ifAny bool) (int64, error) {
	tx := &Tx{file: f, undo: newSavepoint(f.store)}
	err := fn(tx)
	undo := tx.undo
	tx.undo = nil
	if err != nil {
		if undoErr := undo.restore(); undoErr != nil {
			return 0, fmt.Errorf("%w; rolling back failed: %w", err, undoErr)
		}
		return 0, err
	}
	for _, ref := range tx.passing {
		gone := changeset.Changeset{{Op: changeset.OpEraseObject, Class: ref.Class, Key: ref.Key}}
		if err := f.store.Apply(gone); err != nil {
			return 0, fmt.Errorf("drop an asymmetric object: %w", err)
		}
	}
	if len(tx.out) == 0 {
		if ifAny {
			return f.history.version, nil
		}
		return f.history.commit(), nil
	}
	encoded := changeset.AppendLayout(nil, tx.out, tx.layout)
	return f.history.append(encoded, protocol.Timestamp(f.clock())), nil
}

// Get returns a copy of an object, nil if there is none.
func (f *File) Get(class string, key changeset.Key) *object.Object {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Object(changeset.ObjectRef{Class: class, Key: key}).Clone()
}

// Objects returns copies of all objects of a class.
func (f *File) Objects(class string) map[changeset.Key]*object.Object {
	f.mu.Lock()
	defer f.mu.Unlock()
	objects := f.store.Objects(class)
	out := make(map[changeset.Key]*object.Object, len(objects))
	for key, o := range objects {
		out[key] = o.Clone()
	}
	return out
}

// Keys returns the primary keys of a class's objects, in some fixed order.
func (f *File) Keys(class string) []changeset.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Keys(f.store.Objects(class)), compareKeys)
}

// Value returns what is at a place, as an object.Node: a property's initial
// value if it was never set, nil where nothing is.
func (f *File) Value(p Place) object.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	sp, err := look(f.store, p)
	if err != nil {
		return nil
	}
	return object.CloneNode(sp.node)
}

// Schema returns the file's classes, the server's included. It does not change.
func (f *File) Schema() *schema.Schema {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Schema()
}

// Dump returns everything the file holds as JSON: equal states are equal texts.
func (f *File) Dump() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.State()
}

// Version returns the file's newest version.
func (f *File) Version() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.version
}

func (f *File) recognised() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.recognised
}

// Ident returns the file's ident, zeros before the server has given one.
func (f *File) Ident() FileIdent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.ident
}

// SetIdent stores what the server calls the file.
func (f *File) SetIdent(ident FileIdent) {
	f.mu.Lock()
	f.history.ident = ident
	f.history.commit()
	f.mu.Unlock()
	f.changed()
}

// Progress returns the cursors of the last DOWNLOAD that is integrated.
func (f *File) Progress() protocol.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.progress
}

// Upload returns what an UPLOAD carries after a position of the history, up to
// a version, and the position reached. One UPLOAD does not take everything.
func (f *File) Upload(after Cursor, target int64) ([]protocol.UploadEntry, Cursor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.upload(after, target)
}

// Unacknowledged reports whether a change of the app's up to a version is not
// known to be on the server.
func (f *File) Unacknowledged(version int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history.unacknowledged(version)
}

// Subscribe commits a subscription set: what is wanted of each class, as RQL
// without outer parentheses. It returns the set's version.
func (f *File) Subscribe(queries map[string]string) int64 {
	f.lock()
	set := f.subs.add(queries, f.history.version)
	f.history.commit()
	f.mu.Unlock()
	f.changed()
	return set.version
}

// SubscriptionState returns how far a subscription set has got. The error of
// one that has failed is a *QueryError.
func (f *File) SubscriptionState(version int64) (SubscriptionState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs.state(version)
}

// LatestSubscriptions returns the newest set's version.
func (f *File) LatestSubscriptions() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs.latest().version
}

// ActiveQuery returns the subscription set whose objects the file holds, as
// IDENT carries it.
func (f *File) ActiveQuery() (version int64, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set := f.subs.active()
	return set.version, set.body()
}

// hasActive reports whether any bootstrap has been applied.
func (f *File) hasActive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := f.subs.active().state
	return state == AwaitingMark || state == Complete
}

// Query is a subscription set as QUERY carries it.
type Query struct {
	Version int64
	Body    string
}

// NextQuery returns the oldest subscription set after a version that waits for
// its bootstrap, nil if there is none, and the local version up to which changes
// are to be uploaded before it.
func (f *File) NextQuery(after int64) (*Query, int64) {
	if !f.flexible {
		return nil, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	set := f.subs.next(after)
	if set == nil {
		return nil, 0
	}
	return &Query{Version: set.version, Body: set.body()}, set.snapshot
}

// QueryFailed stores a QUERY_ERROR. The error is a *Violation.
func (f *File) QueryFailed(version int64, message string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.subs.fail(version, message); err != nil {
		return err
	}
	f.history.commit()
	return nil
}

// Marked notes that a MARK has been answered, and so that everything that was
// asked for has come.
func (f *File) Marked() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flexible && f.subs.marked() {
		f.history.commitUnnoticed()
	}
}
