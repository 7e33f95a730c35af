package history_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/translator"
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// bed is an app's history over a database of the test's own.
type bed struct {
	t     testing.TB
	ctx   context.Context
	db    *mongo.Database
	uri   string // of a server of its own
	store *history.Store
	file  *history.File
}

func newBed(t testing.TB, change ...func(*history.Options)) *bed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	b := &bed{t: t, ctx: ctx, db: mongotest.Database(t)}
	b.open(change...)
	return b
}

// node opens another store over the same database, as another node would.
func (b *bed) node(change ...func(*history.Options)) *bed {
	n := &bed{t: b.t, ctx: b.ctx, db: b.db}
	n.open(change...)
	return n
}

// options are those of a node, after the changes.
func (b *bed) options(change ...func(*history.Options)) history.Options {
	opts := history.Options{
		Client: b.db.Client(), Database: "__bridge_" + b.db.Name(),
		Mirror: translator.NewMirror(b.db, translator.Mapping{}), DevelopmentMode: true,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&opts)
	}
	return opts
}

func (b *bed) open(change ...func(*history.Options)) {
	b.t.Helper()
	var err error
	if b.store, err = history.Open(b.ctx, b.options(change...)); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.store.Close)
	if b.file, err = b.store.File(b.ctx, history.FlexibleFile); err != nil {
		b.t.Fatal(err)
	}
}

// ops parses instructions in the notation of the specification's vectors.
func ops(format string, args ...any) changeset.Changeset {
	cs, err := notation.Parse(fmt.Appendf(nil, format, args...))
	if err != nil {
		panic(err)
	}
	return cs
}

const dogSchema = `[{"op":"AddTable","class":"Dog","pk":{"field":"_id","type":"int","nullable":false}},
	{"op":"AddColumn","class":"Dog","field":"name","type":"string","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Dog","field":"age","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"Dog","field":"tags","type":"string","nullable":false,"collection":"list"}]`

// device is a client file with a session, as the session package would drive it.
type device struct {
	b       *bed
	ident   history.Ident
	client  *history.Client
	version uint64 // of the client file
	base    uint64 // wire version integrated
	view    history.View
	next    history.View // of a bootstrap on its way
}

func (b *bed) device() *device {
	b.t.Helper()
	id, err := b.file.Allocate(b.ctx, "user")
	if err != nil {
		b.t.Fatal(err)
	}
	d := &device{b: b, ident: id, version: 1}
	d.attach(history.Cursors{Ident: id})
	return d
}

func (d *device) attach(c history.Cursors) {
	d.b.t.Helper()
	client, err := d.b.file.Attach(d.b.ctx, "user", c)
	if err != nil {
		d.b.t.Fatal(err)
	}
	d.client = client
}

// catchUp makes the device have integrated everything.
func (d *device) catchUp() {
	d.b.t.Helper()
	if err := d.b.file.Refresh(d.b.ctx); err != nil {
		d.b.t.Fatal(err)
	}
	head, _ := d.b.file.Head()
	d.base = head * history.Stride
}

// send uploads changesets made on the device's base, each in a version of its
// own, and returns what became of them.
func (d *device) send(changesets ...changeset.Changeset) error {
	u := &history.Upload{View: d.view, Next: d.next, Locked: d.base}
	for _, cs := range changesets {
		d.version++
		u.Entries = append(u.Entries, history.UploadEntry{
			ClientVersion: d.version, Base: d.base, Timestamp: 300_000_000_000 + d.version, Changeset: cs, Size: 100,
		})
	}
	u.Progress = history.Cursor{Client: d.version, Server: d.base}
	return d.upload(u)
}

func (d *device) upload(u *history.Upload) error {
	done := make(chan error, 1)
	d.client.Upload(u, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-d.b.ctx.Done():
		return errors.New("the upload is never answered")
	}
}

func (d *device) mustSend(changesets ...changeset.Changeset) {
	d.b.t.Helper()
	if err := d.send(changesets...); err != nil {
		d.b.t.Fatal(err)
	}
}

// document returns a document in relaxed extended JSON, "" if there is none.
func (b *bed) document(coll string, id any) string {
	b.t.Helper()
	raw, err := b.db.Collection(coll).FindOne(b.ctx, bson.D{{Key: "_id", Value: id}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return ""
	}
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := bson.MarshalExtJSON(raw, true, false)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *bed) wantDocument(coll string, id any, want string) {
	b.t.Helper()
	if got := b.document(coll, id); got != want {
		b.t.Errorf("document %v of %s:\n got %s\nwant %s", id, coll, got, want)
	}
}

// entries returns the whole history.
func (b *bed) entries() []*history.Entry {
	b.t.Helper()
	var all []*history.Entry
	for after := uint64(0); ; after = all[len(all)-1].Version {
		some, err := b.file.Entries(b.ctx, after, 1_000_000)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// last returns the newest entry.
func (b *bed) last() *history.Entry {
	b.t.Helper()
	all := b.entries()
	return all[len(all)-1]
}

func (b *bed) wantInstructions(e *history.Entry, want ...string) {
	b.t.Helper()
	var got []string
	for i := range e.Changeset {
		got = append(got, e.Changeset[i].String())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("instructions of version %d:\n got %q\nwant %q", e.Version, got, want)
	}
}

// states returns every object state of a class, as JSON-like text by key.
func (b *bed) states(class string) map[changeset.Key]*object.Object {
	b.t.Helper()
	sn, err := b.file.Snapshot(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	defer sn.Close()
	out := map[changeset.Key]*object.Object{}
	err = sn.Scan(b.ctx, class, nil, func(k changeset.Key, o *object.Object) error {
		out[k] = o
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// rejection returns the code of the *history.Rejection that err is, 0 if none.
func rejection(err error) int {
	var r *history.Rejection
	if errors.As(err, &r) {
		return r.Code
	}
	return 0
}

// viewFunc makes a view of a function.
type viewFunc func(ref changeset.ObjectRef, o *object.Object) bool

func (f viewFunc) Contains(ref changeset.ObjectRef, o *object.Object) bool { return f(ref, o) }
