package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

// fakeFiles is a history in memory that merges nothing: every upload goes on
// top. It does what the session leans on (versions, salts, cursors,
// durability, touched objects) and can be told to wait, to refuse and to fail.
type fakeFiles struct {
	mu    sync.Mutex
	files map[string]*fakeFile
}

func newFakeFiles() *fakeFiles { return &fakeFiles{files: make(map[string]*fakeFile)} }

func (fs *fakeFiles) File(_ context.Context, name string) (File, error) { return fs.file(name), nil }

func (fs *fakeFiles) file(name string) *fakeFile {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.files[name]
	if f == nil {
		f = &fakeFile{
			name: name, store: object.NewStore(&schema.Schema{}), changed: make(chan struct{}),
			clients: make(map[uint64]*fakeClient), queryable: make(map[string]bool), development: true,
		}
		fs.files[name] = f
	}
	return f
}

type fakeFile struct {
	name string

	mu          sync.Mutex
	entries     []*history.Entry
	store       *object.Store
	changed     chan struct{}
	clients     map[uint64]*fakeClient // the newest attachment of each ident
	queryable   map[string]bool        // "Class.field"
	development bool
	next        uint64

	gate      chan struct{}                                    // uploads become durable when it is closed; nil: at once
	refuse    func(ref changeset.ObjectRef) string             // why an object may not be written
	reject    func(u *history.Upload) error                    // why an upload fails whole
	allocated func()                                           // called by Allocate
	attaching func()                                           // called by Attach, before it does anything
	scanned   func(ref changeset.ObjectRef) error              // called for each object of a Scan
	judged    []func(changeset.ObjectRef, *object.Object) bool // the views of the uploads so far
}

// saltOf makes the salt of a history version.
func saltOf(version uint64) uint64 { return 7_000_000 + version }

func (f *fakeFile) Name() string { return f.name }

func (f *fakeFile) head() uint64 { return uint64(len(f.entries)) }

func (f *fakeFile) Head() (version, salt uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head(), saltOf(f.head())
}

func (f *fakeFile) Refresh(context.Context) error { return nil }

func (f *fakeFile) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fakeFile) Entries(_ context.Context, after uint64, limit int) ([]*history.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.entries[min(after, f.head()):]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

func (f *fakeFile) Schema() *schema.Schema {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Schema()
}

func (f *fakeFile) IsQueryable(class, field string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queryable[class+"."+field]
}

func (f *fakeFile) MakeQueryable(_ context.Context, class string, fields []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, field := range fields {
		if !f.development && !f.queryable[class+"."+field] {
			return &history.NotQueryable{Class: class, Field: field}
		}
		f.queryable[class+"."+field] = true
	}
	return nil
}

func (f *fakeFile) Allocate(context.Context, string) (history.Ident, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.allocated != nil {
		f.allocated()
	}
	f.next++
	ident := f.next + history.ServerIdent
	f.clients[ident] = &fakeClient{file: f, ident: ident, detached: true}
	return history.Ident{Ident: ident, Salt: ident * 1000}, nil
}

func (f *fakeFile) Attach(_ context.Context, _ string, c history.Cursors) (Client, error) {
	f.mu.Lock()
	attaching := f.attaching
	f.mu.Unlock()
	if attaching != nil {
		attaching()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.clients[c.Ident.Ident]
	switch {
	case old == nil:
		return nil, &history.Rejection{Code: 208, Message: "unknown client file"}
	case c.Salt != c.Ident.Ident*1000:
		return nil, &history.Rejection{Code: 211, Message: "wrong salt"}
	case c.Download/history.Stride > f.head():
		return nil, &history.Rejection{Code: 209, Message: "from the future"}
	}
	old.detached = true
	client := &fakeClient{file: f, ident: old.ident, upload: old.upload, switches: old.switches, private: max(old.private, c.Download)}
	f.clients[old.ident] = client
	return client, nil
}

// commit appends an entry of the server's, as a foreign write would be.
func (f *fakeFile) commit(cs changeset.Changeset) *history.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.append(&history.Entry{Origin: history.ServerIdent, Timestamp: 300_000_000_000 + f.head(), Changeset: cs})
}

// append applies an entry, fills in what it touched, and publishes it.
func (f *fakeFile) append(e *history.Entry) *history.Entry {
	before := f.store.Clone()
	var stands changeset.Changeset
	var refs []changeset.ObjectRef
	refused := make(map[changeset.ObjectRef]string)
	for _, in := range e.Changeset {
		if in.Op.IsSchema() {
			stands = append(stands, in)
			continue
		}
		ref := in.Object()
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
			if f.refuse != nil && e.Origin != history.ServerIdent {
				refused[ref] = f.refuse(ref)
			}
		}
		if refused[ref] == "" {
			stands = append(stands, in)
		}
	}
	if err := f.store.Apply(stands); err != nil {
		panic(fmt.Sprintf("fake history: %v", err))
	}
	e.Changeset = stands
	after := f.store.Clone()
	for _, ref := range refs {
		e.Objects = append(e.Objects, history.Touched{
			Ref: ref, Before: before.Object(ref), After: after.Object(ref), Whole: after.Object(ref),
			Refresh: refused[ref] != "", Refused: refused[ref],
		})
	}
	e.Version = f.head() + 1
	e.Salt = saltOf(e.Version)
	f.entries = append(f.entries, e)
	close(f.changed)
	f.changed = make(chan struct{})
	return e
}

func (f *fakeFile) Snapshot(context.Context) (Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &fakeSnapshot{version: f.head(), store: f.store.Clone(), scanned: f.scanned}, nil
}

type fakeSnapshot struct {
	version uint64
	store   *object.Store
	scanned func(ref changeset.ObjectRef) error
}

func (sn *fakeSnapshot) Version() uint64        { return sn.version }
func (sn *fakeSnapshot) Salt() uint64           { return saltOf(sn.version) }
func (sn *fakeSnapshot) Schema() *schema.Schema { return sn.store.Schema() }
func (sn *fakeSnapshot) Close()                 {}

func (sn *fakeSnapshot) Count(ctx context.Context, class string, where []*query.Predicate) (n int64, err error) {
	quiet := fakeSnapshot{store: sn.store}
	err = quiet.Scan(ctx, class, where, func(changeset.Key, *object.Object) error { n++; return nil })
	return n, err
}

// Scan finds no objects but those that satisfy one of the predicates.
func (sn *fakeSnapshot) Scan(_ context.Context, class string, where []*query.Predicate, fn func(changeset.Key, *object.Object) error) error {
	objects := sn.store.Objects(class)
	keys := make([]changeset.Key, 0, len(objects))
	for key := range objects {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b changeset.Key) int { return cmp.Or(cmp.Compare(a.Int, b.Int), cmp.Compare(a.Str, b.Str)) })
	for _, key := range keys {
		matches := func(p *query.Predicate) bool { return p.Match(key, objects[key]) }
		if where != nil && !slices.ContainsFunc(where, matches) {
			continue
		}
		if sn.scanned != nil {
			if err := sn.scanned(changeset.ObjectRef{Class: class, Key: key}); err != nil {
				return err
			}
		}
		if err := fn(key, objects[key]); err != nil {
			return err
		}
	}
	return nil
}

// fakeClient is one attachment of a client file. Its fields are under file.mu.
type fakeClient struct {
	file     *fakeFile
	ident    uint64
	upload   history.Cursor
	private  uint64
	switches []history.ViewSwitch
	versions []uint64 // wire versions of the switches
	detached bool
	queue    sync.Mutex // uploads are taken in order
}

func (c *fakeClient) UploadCursor() history.Cursor {
	c.file.mu.Lock()
	defer c.file.mu.Unlock()
	return c.upload
}

func (c *fakeClient) Upload(u *history.Upload, done func(error)) {
	f := c.file
	f.mu.Lock()
	gate := f.gate
	f.judged = append(f.judged, func(ref changeset.ObjectRef, o *object.Object) bool {
		return u.View == nil || u.View.Contains(ref, o) || u.Next != nil && u.Next.Contains(ref, o)
	})
	f.mu.Unlock()
	c.queue.Lock()
	go func() {
		defer c.queue.Unlock()
		if gate != nil {
			<-gate
		}
		done(c.take(u))
	}()
}

func (c *fakeClient) take(u *history.Upload) error {
	f := c.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.detached {
		return history.ErrDetached
	}
	if f.reject != nil {
		if err := f.reject(u); err != nil {
			return err
		}
	}
	for _, e := range u.Entries {
		if e.ClientVersion <= c.upload.Client {
			continue
		}
		f.append(&history.Entry{Origin: c.ident, ClientVersion: e.ClientVersion, Base: e.Base, Timestamp: e.Timestamp, Changeset: e.Changeset})
	}
	if u.Progress.Client > c.upload.Client {
		c.upload = u.Progress
	}
	return nil
}

func (c *fakeClient) Private(_ context.Context, version uint64, sw *history.ViewSwitch) (uint64, error) {
	c.file.mu.Lock()
	defer c.file.mu.Unlock()
	if c.detached {
		return 0, history.ErrDetached
	}
	c.private = max(c.private, version*history.Stride) + 1
	c.switches = append(c.switches, *sw)
	c.versions = append(c.versions, c.private)
	return c.private, nil
}

func (c *fakeClient) Unfinished(cursor uint64) bool {
	c.file.mu.Lock()
	defer c.file.mu.Unlock()
	n := len(c.switches)
	return n > 0 && c.switches[n-1].Messages && c.private > cursor
}

func (c *fakeClient) Close() {}
