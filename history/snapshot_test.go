package history_test

import (
	"errors"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongod"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/translator"
)

// A snapshot that is read for longer than MongoDB keeps it ends in an error that
// says so. One that is opened then can be read.
func TestSnapshotTooOld(t *testing.T) {
	b := newServerBed(t, mongod.Options{Parameters: map[string]string{"minSnapshotHistoryWindowInSeconds": "1"}})
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.mustSend(newDogs(0, 10))
	d.catchUp()
	scan := func(sn *history.Snapshot) error {
		return sn.Scan(b.ctx, "Dog", nil, func(changeset.Key, *object.Object) error { return nil })
	}
	open := func() *history.Snapshot {
		t.Helper()
		sn, err := b.file.Snapshot(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sn.Close)
		return sn
	}
	old := open()
	if err := scan(old); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	var err error
	for next := 100; err == nil && time.Now().Before(deadline); next++ {
		d.mustSend(newDogs(next, 1)) // MongoDB moves on when something is written
		err = scan(old)
	}
	if !errors.Is(err, history.ErrSnapshotTooOld) {
		t.Fatalf("got %v, want it too old", err)
	}
	if err := old.States(b.ctx, "Dog", func(history.State) error { return nil }); !errors.Is(err, history.ErrSnapshotTooOld) {
		t.Errorf("states: got %v, want it too old", err)
	}
	if err := scan(open()); err != nil {
		t.Error(err)
	}
	v := translator.Verifier{DB: b.db, File: b.file}
	if found, err := v.Verify(b.ctx); err != nil || len(found.Differences) > 0 {
		t.Errorf("verify: %+v, %v", found, err)
	}
}
