package session

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/schema"
)

func TestBetween(t *testing.T) {
	s := &schema.Schema{}
	for _, in := range dogs() {
		if _, err := s.Apply(&in); err != nil {
			t.Fatal(err)
		}
	}
	f := newFakeFiles().file("f")
	f.commit(dogs())
	for _, test := range []struct {
		before, after string
		want          []string
	}{
		{`{}`, `{"Dog":"age == 1"}`, []string{`("age" == int:1)`}},
		{`{"Dog":"age == 1"}`, `{}`, []string{`("age" == int:1)`}},
		{`{"Dog":"age == 1"}`, `{"Dog":"age == 2"}`, []string{`("age" == int:1)`, `("age" == int:2)`}},
		{`{"Dog":"age == 1"}`, `{"Dog":"TRUEPREDICATE"}`, []string{`("age" == int:1)`, `TRUEPREDICATE`}},
		{`{"Dog":"FALSEPREDICATE"}`, `{"Dog":"age == 2"}`, []string{`("age" == int:2)`}},
		// The same, in another spelling.
		{`{"Dog":"age == 1 and name == 'x'"}`, `{"Dog":"name == 'x' && (age == 1)"}`, nil},
		// Subscriptions that come and go beside others.
		{`{"Dog":"(age == 1) or (age == 2)"}`, `{"Dog":"(age == 3) or (age == 2) or (age == 1)"}`, []string{`("age" == int:3)`}},
		{`{"Dog":"(age == 1) or (age == 2)"}`, `{"Dog":"(age == 3) or (age == 2)"}`, []string{`("age" == int:1)`, `("age" == int:3)`}},
		{`{"Dog":"FALSEPREDICATE"}`, `{}`, nil},
		{`{"Dog":"TRUEPREDICATE"}`, `{"Dog":"TRUEPREDICATE"}`, nil},
	} {
		views := newViews()
		before, err1 := views.subscribe(t.Context(), f, test.before)
		after, err2 := views.subscribe(t.Context(), f, test.after)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var got []string
		for _, p := range between(before, after, "Dog") {
			got = append(got, p.String())
		}
		trimmed := func(a, b string) bool { return strings.Trim(a, "()") == strings.Trim(b, "()") }
		if !slices.EqualFunc(got, test.want, trimmed) {
			t.Errorf("%s to %s: got %q, want %q", test.before, test.after, got, test.want)
		}
	}
}

// A bootstrap looks at no objects but those that are in one of the two views.
func TestBootstrapsReadWhatTheyNeed(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	for i := range 100 {
		r.file.commit(newDog(i, i%10, "Rex"))
	}
	var mu sync.Mutex
	looked := 0
	r.file.mu.Lock()
	r.file.scanned = func(changeset.ObjectRef) error {
		mu.Lock()
		defer mu.Unlock()
		looked++
		return nil
	}
	r.file.mu.Unlock()
	p := r.dial("ann").open(1)
	for _, test := range []struct {
		body         string
		looked, sent int // objects
	}{
		{`{"Dog":"age == 1"}`, 10, 10},
		{`{"Dog":"(age == 1) or (age == 2)"}`, 10, 10},
		{`{"Dog":"age == 2 || age == 1"}`, 0, 0},
		{`{"Dog":"age IN {2, 3}"}`, 30, 20},
		{`{"Dog":"age == 3"}`, 20, 10},
		{`{"Dog":"FALSEPREDICATE"}`, 10, 10},
		{`{}`, 0, 0},
		{`{"Dog":"TRUEPREDICATE"}`, 100, 100},
	} {
		mu.Lock()
		looked = 0
		mu.Unlock()
		sent := map[changeset.Key]bool{}
		for _, in := range seen(t, p.subscribe(test.body)) {
			if !in.Op.IsSchema() {
				sent[in.Key] = true
			}
		}
		mu.Lock()
		if looked != test.looked || len(sent) != test.sent {
			t.Errorf("%s: looked at %d objects and sent %d, want %d and %d", test.body, looked, len(sent), test.looked, test.sent)
		}
		mu.Unlock()
	}
}

// The estimate grows with what is sent of what there is to be sent.
func TestBootstrapEstimates(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	for i := range 8 {
		r.file.commit(newDog(i, i%2, strings.Repeat("x", bootstrapMessage)))
	}
	p := r.dial("ann").open(1)
	var got []string
	for _, d := range p.subscribe(`{"Dog":"age == 1"}`) {
		if d.Batch != protocol.SteadyState {
			got = append(got, fmt.Sprint(d.Estimate))
		}
	}
	if want := []string{"0.25", "0.5", "0.75", "1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// bigBootstrap has a client subscribe to so many objects that each fills a message,
// on a server that spools what comes after a millisecond.
func bigBootstrap(t *testing.T, objects int) (*rig, *phone) {
	t.Helper()
	r := newRig(t, func(o *Options) { o.SpoolAfter = time.Millisecond })
	r.file.commit(dogs())
	for i := range objects {
		r.file.commit(newDog(i, i, strings.Repeat("x", bootstrapMessage)))
	}
	return r, r.dial("ann").open(1)
}

// takeWhole reads a bootstrap up to its mark, which is to be whole and in order.
func (p *phone) takeWhole(objects int) {
	p.t.Helper()
	var estimates []float64
	var keys []int64
	for _, d := range p.untilMark() {
		if d.Batch != protocol.SteadyState {
			estimates = append(estimates, d.Estimate)
		}
		for _, in := range seen(p.t, []*protocol.Download{d}) {
			if in.Op == changeset.OpCreateObject {
				keys = append(keys, in.Key.Int)
			}
		}
	}
	if len(keys) != objects || !slices.IsSorted(keys) {
		p.t.Errorf("objects %v were created", keys)
	}
	if len(estimates) != objects || !slices.IsSorted(estimates) {
		p.t.Errorf("the messages have estimates %v", estimates)
	}
}

// A bootstrap that takes long is read to its end while the client takes nothing of
// it, and reaches the client whole and in order all the same.
func TestSlowClientDoesNotHoldTheSnapshot(t *testing.T) {
	const objects = 64
	r, p := bigBootstrap(t, objects)
	read := make(chan struct{})
	r.file.mu.Lock()
	r.file.scanned = func(ref changeset.ObjectRef) error {
		if ref.Key.Int == objects-1 {
			close(read)
		}
		return nil
	}
	r.file.mu.Unlock()
	p.ask(`{"Dog":"TRUEPREDICATE"}`)
	select {
	case <-read:
	case <-time.After(patience):
		t.Fatal("the snapshot is not read to its end")
	}
	p.takeWhole(objects)
}

// Where nothing can be kept in files, as in a container that has no folder for
// them, a bootstrap goes at the client's pace.
func TestBootstrapWithoutTemporaryFiles(t *testing.T) {
	const objects = 8
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	r, p := bigBootstrap(t, objects)
	p.ask(`{"Dog":"TRUEPREDICATE"}`)
	p.takeWhole(objects)
	if !strings.Contains(r.logs.String(), "at the client's pace") {
		t.Error("the log does not say so")
	}
}

// What MongoDB no longer keeps when it is to be read is an error for good: it would
// be the same the next time.
func TestSnapshotTooOld(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 1, "Rex"))
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.scanned = func(changeset.ObjectRef) error { return fmt.Errorf("read: %w", history.ErrSnapshotTooOld) }
	r.file.mu.Unlock()
	p.query++
	p.send(&protocol.Query{Session: 1, Version: p.query, Body: `{"Dog":"TRUEPREDICATE"}`})
	if e := expect[*protocol.JSONError](p.wire); e.Code != protocol.OtherSessionError || e.TryAgain || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	if !strings.Contains(r.logs.String(), "minSnapshotHistoryWindowInSeconds") {
		t.Error("the log does not say what to do")
	}
}
