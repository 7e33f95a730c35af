package history_test

import (
	"context"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

// meddlingMirror calls a function whenever a commit reads documents.
type meddlingMirror struct {
	history.Mirror
	meddle func()
}

func (m *meddlingMirror) Read(ctx context.Context, s *schema.Schema, c *schema.Class, keys []changeset.Key) (map[changeset.Key]*history.Document, error) {
	m.meddle()
	return m.Mirror.Read(ctx, s, c, keys)
}

// A node whose commits take so long that another one, which commits all the time,
// is always quicker commits all the same, soon.
func TestSlowNodeIsNotStarved(t *testing.T) {
	blocked := make(chan bool, 1)
	b := newBed(t, func(o *history.Options) {
		o.OnRetry = func(history.RetryReason) {
			select {
			case blocked <- true:
			default:
			}
		}
	})
	quick := b.device()
	quick.mustSend(ops(dogSchema))
	mirror := &meddlingMirror{Mirror: translator.NewMirror(b.db, translator.Mapping{})}
	retries := 0
	slow := b.node(func(o *history.Options) {
		o.Mirror = mirror
		o.OnRetry = func(history.RetryReason) { retries++ }
	}).device()

	made := 1
	answered := make(chan error, 1)
	waits := false // an upload of the quick one
	mirror.meddle = func() {
		if waits {
			return
		}
		quick.catchUp()
		cs := ops(`[{"op":"CreateObject","class":"Dog","pk":%d}]`, made)
		made++
		go func() { answered <- quick.send(cs) }()
		select {
		case err := <-answered:
			if err != nil {
				t.Error(err)
			}
		case <-blocked: // by the slow one
			waits = true
		}
	}
	slow.catchUp()
	slow.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":0}]`))
	if retries == 0 || retries > 5 {
		t.Errorf("the slow node tried %d times more", retries)
	}
	if waits {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	if err := b.file.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(b.states("Dog")); n != made {
		t.Errorf("%d objects, want %d", n, made)
	}
}
