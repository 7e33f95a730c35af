package device

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/isthmus-sync/isthmus/protocol"
)

// Realm is a File that is synchronised. It may be used by many goroutines.
type Realm struct {
	*File

	client  *Client
	user    *User
	discard bool

	mu         sync.Mutex
	session    *session // nil while paused, inactive or closed
	changes    chan struct{}
	errs       []error
	failure    error // why the session is inactive
	closed     bool
	resetting  bool  // a client reset is not finished:
	resetDown  bool  // what it downloads has come
	wanted     int64 // completed downloads asked for
	downloaded int64 // completed downloads, as of what was asked for
}

// Open makes a new realm, in flexible mode or of a partition, and starts to
// synchronise it.
func (c *Client) Open(user *User, cfg Config) (*Realm, error) {
	file, err := NewFile(cfg, c.opts)
	if err != nil {
		return nil, fmt.Errorf("open realm: %w", err)
	}
	return c.OpenFile(user, file, cfg.DiscardOnReset)
}

// OpenFile starts to synchronise a file that may have been synchronised before,
// by this client or another.
func (c *Client) OpenFile(user *User, file *File, discardOnReset bool) (*Realm, error) {
	r := &Realm{File: file, client: c, user: user, discard: discardOnReset, changes: make(chan struct{})}
	file.onChange(r.notify)
	file.dropBootstrap()
	if _, err := c.attach(r, user, file, protocol.ReasonSync, true, r.start); err != nil {
		return nil, fmt.Errorf("open realm: %w", err)
	}
	return r, nil
}

// start makes a session the realm's.
func (r *Realm) start(s *session) {
	r.mu.Lock()
	r.session = s
	r.mu.Unlock()
	r.notify()
}

// notify wakes whoever waits, and lets the session send what has come.
func (r *Realm) notify() {
	r.mu.Lock()
	close(r.changes)
	r.changes = make(chan struct{})
	s, resetDown := r.session, r.resetDown
	r.mu.Unlock()
	if resetDown {
		r.finishReset()
	}
	if s != nil {
		s.enlist()
	}
}

// Close ends the session and then the realm. Nothing can be synchronised
// afterwards; the file stays readable, and may be opened again.
func (r *Realm) Close() {
	r.mu.Lock()
	r.closed = true
	s := r.session
	r.session = nil
	r.mu.Unlock()
	r.notify()
	if s != nil {
		s.leave()
		ctx, cancel := context.WithTimeout(r.client.ctx, closeTimeout)
		defer cancel()
		select {
		case <-s.ended:
		case <-ctx.Done():
		}
	}
}

// Pause ends the session, as the SDKs' pause does. The realm can be written.
func (r *Realm) Pause() {
	r.mu.Lock()
	s := r.session
	r.session = nil
	r.mu.Unlock()
	if s != nil {
		s.leave()
	}
}

// Resume starts a new session after Pause, or after the realm has become
// inactive: the SDKs' resume.
func (r *Realm) Resume() error {
	r.mu.Lock()
	active, closed := r.session != nil, r.closed
	r.failure = nil
	r.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case active:
		return nil
	}
	r.File.dropBootstrap()
	_, err := r.client.attach(r, r.user, r.File, protocol.ReasonSync, true, r.start)
	return err
}

// restart lets a new session take over. The connection's lock is held.
func (r *Realm) restart(s *session) {
	r.client.spawn(func() {
		r.mu.Lock()
		current := r.session == s
		if current {
			r.session = nil
		}
		r.mu.Unlock()
		if !current {
			return
		}
		s.leave()
		if err := r.Resume(); err != nil {
			r.addError(err)
		}
	})
}

// Errors returns the errors that the app has been told of so far, oldest first:
// *Violation, *ServerError, *CompensatingWriteError and others.
func (r *Realm) Errors() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

// Failure returns why the realm is inactive, nil as long as it is not.
func (r *Realm) Failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// addError tells the app of an error. The connection's lock may be held.
func (r *Realm) addError(err error) {
	r.mu.Lock()
	r.errs = append(r.errs, err)
	r.mu.Unlock()
	r.notify()
}

// fail makes the realm inactive: its session is over, and what waits fails. The
// connection's lock is held.
func (r *Realm) fail(err error) {
	r.mu.Lock()
	s := r.session
	r.failure = err
	if v, ok := asViolation(err); !ok || v.Consequence != GoesDeaf {
		r.session = nil
	} else {
		s = nil // a deaf session stays, to say so
	}
	r.errs = append(r.errs, err)
	r.mu.Unlock()
	if s != nil {
		s.leaving = true
	}
	r.notify()
}

// hears ends the failure of a session that was deaf.
func (r *Realm) hears() {
	r.mu.Lock()
	r.failure = nil
	r.mu.Unlock()
}

// downloadCompleted notes that all downloads asked for so far have completed.
func (r *Realm) downloadCompleted(s *session) {
	r.mu.Lock()
	if r.session == s {
		r.downloaded = r.wanted
		r.resetDown = r.resetting && s.reason == protocol.ReasonClientReset
	}
	r.mu.Unlock()
	r.notify()
}

// ErrInactive says that a wait cannot end, since the realm is paused.
var ErrInactive = errors.New("the realm is not being synchronised")

// WaitFor waits until a condition holds, which it looks at after every change
// of the realm.
func (r *Realm) WaitFor(ctx context.Context, condition func() bool) error {
	return r.wait(ctx, func() (bool, error) { return condition(), nil })
}

// wait waits until a condition holds or fails, or the realm is inactive.
func (r *Realm) wait(ctx context.Context, condition func() (bool, error)) error {
	for {
		r.mu.Lock()
		changes, failure, closed := r.changes, r.failure, r.closed
		r.mu.Unlock()
		done, err := condition()
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case failure != nil:
			return failure
		case closed:
			return ErrClosed
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.client.ctx.Done():
			return ErrClosed
		}
	}
}

// WaitUpload waits until everything written so far is known to be on the server.
func (r *Realm) WaitUpload(ctx context.Context) error {
	version := r.Version()
	err := r.wait(ctx, func() (bool, error) { return !r.Unacknowledged(version), nil })
	if err != nil {
		return fmt.Errorf("wait for upload: %w", err)
	}
	return nil
}

// WaitDownload waits until everything that the server has now has come: it asks
// by MARK.
func (r *Realm) WaitDownload(ctx context.Context) error {
	r.mu.Lock()
	r.wanted++
	mine := r.wanted
	s := r.session
	r.mu.Unlock()
	if s != nil {
		s.askMark()
	}
	err := r.wait(ctx, func() (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.downloaded >= mine, nil
	})
	if err != nil {
		return fmt.Errorf("wait for download: %w", err)
	}
	return nil
}

// WaitSubscriptions waits until the newest subscription set is complete. A set
// that fails ends the wait with a *QueryError.
func (r *Realm) WaitSubscriptions(ctx context.Context) error {
	version := r.LatestSubscriptions()
	err := r.wait(ctx, func() (bool, error) {
		state, err := r.SubscriptionState(version)
		return state == Complete || state == Superseded, err
	})
	if err != nil {
		return fmt.Errorf("wait for subscriptions: %w", err)
	}
	return nil
}

// Sync waits until everything written here is on the server and everything the
// server then has is here.
func (r *Realm) Sync(ctx context.Context) error {
	if err := r.WaitUpload(ctx); err != nil {
		return err
	}
	return r.WaitDownload(ctx)
}
