package history_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/history"
)

// block keeps this and every other node from committing until it is called again.
func (b *bed) block() (release func()) {
	b.t.Helper()
	session, err := b.db.Client().StartSession()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := session.StartTransaction(); err != nil {
		b.t.Fatal(err)
	}
	heads := b.db.Client().Database("__bridge_" + b.db.Name()).Collection("heads")
	_, err = heads.UpdateMany(mongo.NewSessionContext(b.ctx, session), bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "blocked", Value: true}}}})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() {
		if err := session.AbortTransaction(b.ctx); err != nil {
			b.t.Error(err)
		}
		session.EndSession(context.Background())
	}
}

// queue sends an upload without waiting for what becomes of it.
func (d *device) queue(u *history.Upload) <-chan error {
	done := make(chan error, 1)
	d.client.Upload(u, func(err error) { done <- err })
	return done
}

// A device that comes over a new connection sends again what is still waiting
// over the old one. What waits for the old one is not taken, and the new one's
// uploads are not held against it.
func TestUploadsOfTwoConnections(t *testing.T) {
	var log lockedBuffer
	tried := make(chan bool)
	b := newBed(t, func(o *history.Options) {
		o.DriverName = "nobody's" // else it ends what blocks it
		o.OnRetry = func(history.RetryReason) {
			select {
			case tried <- true:
			default:
			}
		}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	d, first, other := b.device(), b.device(), b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	for _, each := range []*device{d, first, other} {
		each.catchUp()
	}
	release := b.block()
	one := func(d *device, tag string, at, prior int) *history.Upload {
		d.version++
		return &history.Upload{
			Progress: history.Cursor{Client: d.version, Server: d.base}, Locked: d.base,
			Entries: []history.UploadEntry{{ClientVersion: d.version, Base: d.base, Timestamp: 300_000_000_000 + d.version, Changeset: insert(tag, at, prior), Size: 100}},
		}
	}
	waits := first.queue(one(first, "first", 0, 0))
	<-tried // it is being committed: what follows is one batch

	upload := one(d, "d", 0, 0)
	again := *upload
	again.Entries = append([]history.UploadEntry(nil), upload.Entries...)
	old := d.queue(upload)
	between := other.queue(one(other, "other", 0, 0))
	_, salt := b.file.Head()
	d.attach(history.Cursors{Ident: d.ident, Download: d.base, DownloadClient: d.version - 1, Latest: d.base, LatestSalt: salt})
	sent := d.queue(&again)

	release()
	for _, done := range []<-chan error{waits, between, sent} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := <-old; !errors.Is(err, history.ErrDetached) {
		t.Errorf("over the old connection: %v, want ErrDetached", err)
	}
	if got := b.tags(); len(got) != len("first other d") {
		t.Errorf("tags: %s", got)
	}
	if text := log.String(); strings.Contains(text, "level=WARN") {
		t.Errorf("logged: %s", text)
	}
}

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Progress that comes over a connection whose client file was taken over is not
// stored. So nobody is told that it is: the device would hold that against the
// session which has taken over.
func TestProgressOfATakenOverSession(t *testing.T) {
	b := newBed(t, func(o *history.Options) { o.TailInterval = 5 * time.Millisecond })
	d, other := b.device(), b.device()
	d.mustSend(ops(dogSchema))
	d.catchUp()
	other.catchUp()
	old, before := d.client, d.client.UploadCursor()
	_, salt := b.file.Head()
	d.attach(history.Cursors{Ident: d.ident, Download: d.base, DownloadClient: d.version, Latest: d.base, LatestSalt: salt})
	progress := func(c *history.Client, to history.Cursor) {
		c.Upload(&history.Upload{Progress: to, Locked: to.Server}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	progress(old, history.Cursor{Client: d.version + 7, Server: d.base})
	want := history.Cursor{Client: other.version + 7, Server: other.base}
	progress(other.client, want)
	for other.client.UploadCursor() != want { // stored together with the other, or after it
		if err := b.ctx.Err(); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if got := old.UploadCursor(); got != before {
		t.Errorf("the session that was taken over tells of %v, stored is %v", got, before)
	}
	if got := d.client.UploadCursor(); got != before {
		t.Errorf("the session that has taken over tells of %v, stored is %v", got, before)
	}
}
