package device

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/isthmus-sync/isthmus/protocol"
)

// ErrClientReset says that the server wants the local file thrown away, and
// that the realm does not do so by itself.
var ErrClientReset = errors.New("client reset required")

// ErrResetFailed says that a client reset could not be done: the SDKs'
// AutoClientResetFailed.
var ErrResetFailed = errors.New("client reset failed")

// resetRequired begins a client reset. The connection's lock is held.
func (r *Realm) resetRequired(s *session, cause error) {
	r.mu.Lock()
	cycle := r.resetting
	r.resetting = true
	r.mu.Unlock()
	switch {
	case !r.discard:
		r.fail(fmt.Errorf("%w: %w", ErrClientReset, cause))
	case cycle:
		r.fail(fmt.Errorf("%w: another one is required before it is finished: %w", ErrResetFailed, cause))
	default:
		r.client.spawn(func() { r.reset(s) })
	}
}

// reset downloads a fresh copy beside the session that is to be reset, and then
// makes it the realm's file. What was not uploaded is lost.
func (r *Realm) reset(old *session) {
	fresh, err := r.downloadFresh(r.client.ctx)
	if err != nil {
		r.resetFailed(err)
		return
	}
	old.leave()
	select {
	case <-old.ended:
	case <-r.client.ctx.Done():
		return
	}
	if err := r.File.replace(fresh); err != nil {
		r.resetFailed(err)
		return
	}
	r.mu.Lock()
	gone := r.closed || r.session != old
	r.failure = nil
	r.mu.Unlock()
	if gone {
		return
	}
	begin := func(s *session) {
		s.markTarget++ // the SDK asks for a download by itself
		r.start(s)
	}
	if _, err := r.client.attach(r, r.user, r.File, protocol.ReasonClientReset, true, begin); err != nil {
		r.resetFailed(err)
	}
}

func (r *Realm) resetFailed(err error) {
	r.mu.Lock()
	s := r.session
	r.mu.Unlock()
	err = fmt.Errorf("%w: %w", ErrResetFailed, err)
	if s == nil {
		r.addError(err)
		return
	}
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	r.fail(err)
	s.abandon()
}

// finishReset ends a reset once everything is up and down since.
func (r *Realm) finishReset() {
	if r.Unacknowledged(r.Version()) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetting, r.resetDown = false, false
}

// freshDownload owns the session that downloads a fresh copy.
type freshDownload struct {
	mu      sync.Mutex
	changes chan struct{}
	marks   int
	failure error
}

func (d *freshDownload) update(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	close(d.changes)
	d.changes = make(chan struct{})
}

func (d *freshDownload) notify()                               { d.update(func() {}) }
func (d *freshDownload) downloadCompleted(*session)            { d.update(func() { d.marks++ }) }
func (d *freshDownload) addError(err error)                    { d.fail(err) }
func (d *freshDownload) fail(err error)                        { d.update(func() { d.failure = err }) }
func (d *freshDownload) hears()                                {}
func (d *freshDownload) resetRequired(_ *session, cause error) { d.fail(cause) }
func (d *freshDownload) restart(*session)                      {} // it goes on as it is

// wait waits until a condition holds.
func (d *freshDownload) wait(ctx context.Context, condition func() (bool, error)) error {
	for {
		d.mu.Lock()
		changes, failure := d.changes, d.failure
		d.mu.Unlock()
		if failure != nil {
			return failure
		}
		if done, err := condition(); done || err != nil {
			return err
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// downloadFresh downloads a fresh copy of what the file's active subscription
// set asks for, under a session and a file ident of its own.
func (r *Realm) downloadFresh(ctx context.Context) (*File, error) {
	fresh := r.File.empty()
	d := &freshDownload{changes: make(chan struct{})}
	var s *session
	begin := func(begun *session) { s = begun }
	if _, err := r.client.attach(d, r.user, fresh, protocol.ReasonClientReset, false, begin); err != nil {
		return nil, err
	}
	fresh.onChange(func() {
		d.notify()
		s.enlist()
	})
	defer s.leave()
	completed := func() (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.marks > 0, nil
	}
	if err := d.wait(ctx, completed); err != nil {
		return nil, fmt.Errorf("download a fresh copy: %w", err)
	}
	if !fresh.flexible {
		return fresh, nil
	}
	queries, subscribed := r.File.activeQueries()
	if !subscribed {
		return fresh, nil
	}
	version := fresh.Subscribe(queries)
	err := d.wait(ctx, func() (bool, error) {
		state, err := fresh.SubscriptionState(version)
		return state == Complete, err
	})
	if err != nil {
		return nil, fmt.Errorf("download a fresh copy: %w", err)
	}
	return fresh, nil
}

// empty makes a file of the same kind, with nothing in it.
func (f *File) empty() *File {
	fresh := &File{
		flexible: f.flexible, partition: f.partition, order: f.order, clock: f.clock, rules: f.rules, yield: f.yield,
	}
	fresh.begin()
	return fresh
}

// activeQueries returns what the active subscription set asks for, and whether
// there is one that the app has made.
func (f *File) activeQueries() (map[string]string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set := f.subs.active()
	return set.queries, set.version > 0
}

// replace makes the file hold what a fresh copy holds, under that one's ident.
// Local versions go on; pending subscription sets are dropped.
func (f *File) replace(fresh *File) error {
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	f.lock()
	defer f.mu.Unlock()
	if err := f.checkSchema(fresh); err != nil {
		return err
	}
	f.store = fresh.store
	f.pending = bootstrap{}
	f.subs.reset()
	h, p := &f.history, fresh.history.progress
	h.ident = fresh.history.ident
	h.own, h.bases = nil, nil
	// The client takes the latest server version for what it has downloaded.
	h.progress = protocol.Progress{DownloadServer: p.LatestServer, LatestServer: p.LatestServer, LatestSalt: p.LatestSalt}
	h.commit()
	h.integrated(p.LatestServer)
	return nil
}

// checkSchema checks that a fresh copy has every class and property that the
// file has, in the same form: otherwise the reset fails.
func (f *File) checkSchema(fresh *File) error {
	for name, c := range f.store.Schema().Classes {
		other := fresh.store.Schema().Class(name)
		if other == nil {
			return fmt.Errorf("the fresh copy lacks the class %s", name)
		}
		if other.Kind != c.Kind || other.KeyType != c.KeyType || other.KeyNullable != c.KeyNullable {
			return fmt.Errorf("the class %s of the fresh copy differs", name)
		}
		for property, p := range c.Properties {
			o := other.Properties[property]
			if o == nil {
				return fmt.Errorf("the fresh copy lacks the property %s.%s", name, property)
			}
			if o.Type != p.Type || o.Collection != p.Collection || o.Target != p.Target || o.Nullable != p.Nullable {
				return fmt.Errorf("the property %s.%s of the fresh copy differs", name, property)
			}
		}
	}
	return nil
}

// reset drops the sets that wait. The active one is complete: its objects have
// just been downloaded.
func (s *subscriptions) reset() {
	active := s.active()
	active.state = Complete
	s.sets = []*subscriptionSet{active}
}
