package metamorphic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/translator"
)

// states is what the object states hold.
type states map[changeset.ObjectRef]*object.Object

// states reads the object states as of one time, and tells its version.
func (w *world) states(ctx context.Context) (states, uint64, error) {
	sn, err := w.nodes[0].file.Snapshot(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer sn.Close()
	out := states{}
	for _, name := range appSchema.ClassNames() {
		if appSchema.Class(name).Kind == changeset.Embedded {
			continue
		}
		err := sn.Scan(ctx, name, nil, func(k changeset.Key, o *object.Object) error {
			out[changeset.ObjectRef{Class: name, Key: k}] = o
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return out, sn.Version(), nil
}

// number returns an integer of an object's; 0 if there is no object.
func (s states) number(class string, key int64, field string) int64 {
	o := s[changeset.ObjectRef{Class: class, Key: changeset.IntKey(key)}]
	if o == nil {
		return 0
	}
	v, _ := o.Get(appSchema.Class(class).Properties[field]).(changeset.Value)
	return v.Num
}

// tallied reports whether all that was added in MongoDB has arrived.
func (w *world) tallied(ctx context.Context) (bool, error) {
	if err := w.nodes[0].file.Refresh(ctx); err != nil {
		return false, err
	}
	s, _, err := w.states(ctx)
	return err == nil && s.number(tally, 0, "mongodb") >= w.added, err
}

// quiesce brings everything everywhere, and looks whether it is the same.
func (w *world) quiesce() {
	for _, p := range w.phones {
		p.offline, p.muted = false, false
		p.wire.cut()
		p.client.GoOnline()
		if p.paused {
			p.paused = false
			if err := p.realm.Resume(); err != nil {
				w.fail("error", "resume: %v", err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, quietPatience)
	defer cancel()
	for {
		if !w.exchange(ctx) {
			return
		}
		// Whatever was written to MongoDB has arrived when nothing differs.
		w.verify(ctx, opPatience)
		if w.failed() != nil {
			return
		}
		_, before, err := w.states(ctx)
		if err != nil {
			w.fail("error", "read states: %v", err)
			return
		}
		if !w.exchange(ctx) {
			return
		}
		s, after, err := w.states(ctx)
		if err != nil {
			w.fail("error", "read states: %v", err)
			return
		}
		if before == after {
			w.examine(ctx, s)
			return
		}
	}
}

// exchange has every phone send everything and get everything, all at once.
func (w *world) exchange(ctx context.Context) bool {
	var all errgroup.Group
	for _, p := range w.phones {
		all.Go(func() error {
			for _, wait := range []func(context.Context) error{p.subscribed, p.realm.Sync} {
				if err := w.patiently(ctx, p, wait); err != nil {
					return fmt.Errorf("device %d (%s): %w", p.number, p.position(), err)
				}
			}
			return nil
		})
	}
	err := all.Wait()
	for _, p := range w.phones {
		p.note()
	}
	if err != nil {
		kind := "violation"
		if ctx.Err() != nil {
			kind = "stuck"
		}
		w.fail(kind, "%v", err)
		return false
	}
	return true
}

// patiently waits for a phone, beyond resets if pairs may occur that cause them.
func (w *world) patiently(ctx context.Context, p *phone, wait func(context.Context) error) error {
	for {
		before, _ := p.complaints()
		err := wait(ctx)
		after, _ := p.complaints()
		// A wait may also end since a deaf phone takes for complete what it did not hear.
		if _, deaf := asViolation(err); !deaf && after == before || !w.wild {
			return err
		}
		// The server answers the device's complaint by a reset, which clears the
		// failure.
		if err := p.realm.WaitFor(ctx, func() bool { return p.realm.Failure() == nil }); err != nil && ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// examine compares everything with everything. Nothing moves any more.
func (w *world) examine(ctx context.Context, s states) {
	for _, p := range w.phones {
		w.compare(p, s)
	}
	w.verify(ctx, time.Millisecond)
	if err := w.count(); err != nil {
		w.fail("error", "read history: %v", err)
		return
	}
	w.account(s)
}

// verify compares documents, object states and a replay of the history.
func (w *world) verify(ctx context.Context, patience time.Duration) {
	v := translator.Verifier{DB: w.dep.documents, File: w.nodes[0].file, Patience: patience}
	found, err := v.Verify(ctx)
	switch {
	case err != nil:
		w.fail("error", "verify: %v", err)
	case len(found.Differences) > 0:
		w.fail("documents", "%v", found.Differences)
	}
}

// compare looks whether a phone holds its view of the states.
func (w *world) compare(p *phone, s states) {
	wrong, err := lacks(p.realm.File, s)
	if err != nil {
		w.fail("error", "device %d: %v", p.number, err)
		return
	}
	if len(wrong) > 0 {
		w.fail("diverged", "device %d (%s): to be what the server holds it lacks\n%s", p.number, p.position(), strings.Join(wrong, "\n"))
	}
}

// lacks compares what a device holds with its view of the states.
func lacks(f *device.File, s states) ([]string, error) {
	_, body := f.ActiveQuery()
	v, err := viewOf(body)
	if err != nil {
		return nil, err
	}
	var wrong []string
	expected := states{}
	for ref, o := range s {
		if v.has(ref, o) {
			expected[ref] = o
		}
	}
	for _, name := range appSchema.ClassNames() {
		for key, o := range f.Objects(name) {
			ref := changeset.ObjectRef{Class: name, Key: key}
			if d := difference(ref, o, expected[ref]); d != "" {
				wrong = append(wrong, d)
			}
			delete(expected, ref)
		}
	}
	for ref, o := range expected {
		wrong = append(wrong, difference(ref, nil, o))
	}
	return wrong, nil
}

// view is what a device sees, by class; of a nil one, nothing.
type view map[string]*query.Predicate

func (v view) has(ref changeset.ObjectRef, o *object.Object) bool {
	p := v[ref.Class]
	return o != nil && p != nil && p.Match(ref.Key, o)
}

// viewOf reads a subscription set.
func viewOf(body string) (view, error) {
	texts, err := query.ParseBody([]byte(body))
	if err != nil {
		return nil, err
	}
	out := view{}
	for class, text := range texts {
		q, err := query.Parse(text)
		if err != nil {
			return nil, err
		}
		if out[class], err = q.Bind(appSchema, class); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// difference says what would have to be done to an object to be the other;
// nothing if it is.
func difference(ref changeset.ObjectRef, have, want *object.Object) string {
	if object.Equal(appSchema, appSchema.Class(ref.Class), have, want) {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v", ref)
	cs := object.Diff(appSchema, ref, have, want)
	for i := range cs {
		fmt.Fprintf(&b, "\n    %s", cs[i].String())
	}
	return b.String()
}

// account looks whether what was acknowledged is there, once.
func (w *world) account(s states) {
	for a, n := range w.entries {
		if a.version != 0 && n > 1 {
			w.fail("twice", "client version %d of file %d is in the history %d times", a.version, a.origin, n)
		}
	}
	missing := func(n int64) bool { return s[changeset.ObjectRef{Class: receipt, Key: changeset.IntKey(n)}] == nil }
	for _, n := range w.receipts {
		if missing(n) {
			w.fail("lost", "receipt %d of MongoDB", n)
		}
	}
	var sure, unsure int64
	for _, p := range append(w.phones, w.gone...) {
		for _, wr := range p.writes {
			if !wr.acked {
				unsure += wr.added
				continue
			}
			sure += wr.added
			if w.entries[author{uint64(wr.ident), uint64(wr.version)}] == 0 {
				w.fail("lost", "version %d of file %d (device %d) is acknowledged, but not in the history", wr.version, wr.ident, p.number)
			}
			for _, n := range wr.receipts {
				if missing(n) {
					w.fail("lost", "receipt %d of device %d", n, p.number)
				}
			}
		}
	}
	if got := s.number(tally, 0, "devices"); got < sure || got > sure+unsure {
		w.fail("lost", "the devices have added %d to %d, the tally says %d", sure, sure+unsure, got)
	}
	if got := s.number(tally, 0, "mongodb"); got != w.added {
		w.fail("lost", "MongoDB has added %d, the tally says %d", w.added, got)
	}
}
