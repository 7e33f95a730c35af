package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// errBadVersion is the library's error for a version of the file that is gone.
const errBadVersion = 1010

var subStates = [...]string{"uncommitted", "pending", "bootstrapping", "complete", "error", "superseded", "awaiting_mark"}

func subState(n int) string {
	if n >= 0 && n < len(subStates) {
		return subStates[n]
	}
	return fmt.Sprint(n)
}

// changeSubs edits the latest subscription set and commits a new version.
func (r *realm) changeSubs(edit func(a *arena, m C.rc_h) error) (any, error) {
	if err := r.needSession(); err != nil {
		return nil, err
	}
	var a arena
	defer a.free()
	set := C.rc_sync_get_latest_subscription_set(r.h)
	if set == nil {
		return nil, lastError("latest subscriptions")
	}
	defer C.rc_release(set)
	m := C.rc_sync_make_subscription_set_mutable(set)
	if m == nil {
		return nil, lastError("mutable subscriptions")
	}
	defer C.rc_release(m)
	if err := edit(&a, m); err != nil {
		return nil, err
	}
	before := C.rc_sync_subscription_set_version(set)
	done := C.rc_sync_subscription_set_commit(m)
	if done == nil {
		err := lastError("commit subscriptions")
		// The library commits, then reads the committed version again; if the
		// sync thread commits in between, that version may be gone ("bad
		// version"), though the change was made.
		var re *realmError
		if !errors.As(err, &re) || re.code != errBadVersion {
			return nil, err
		}
		if done = C.rc_sync_get_latest_subscription_set(r.h); done == nil {
			return nil, err
		}
		if C.rc_sync_subscription_set_version(done) == before {
			C.rc_release(done)
			return nil, err
		}
	}
	defer C.rc_release(done)
	return map[string]any{"version": int64(C.rc_sync_subscription_set_version(done))}, nil
}

func (r *realm) subscribe(a *arena, m C.rc_h, spec realmclient.Subscription) error {
	c, err := r.class(spec.Class)
	if err != nil {
		return err
	}
	q, err := r.query(a, c, spec.Query)
	if err != nil {
		return err
	}
	defer C.rc_release(q)
	name := (*C.char)(nil)
	if spec.Name != "" {
		name = a.str(spec.Name)
	}
	var i C.size_t
	var ins C.bool
	if !C.rc_sync_subscription_set_insert_or_assign_query(m, q, name, &i, &ins) {
		return lastError("subscribe")
	}
	return nil
}

func (r *realm) subscriptions() (any, error) {
	if err := r.needSession(); err != nil {
		return nil, err
	}
	set := C.rc_sync_get_latest_subscription_set(r.h)
	if set == nil {
		return nil, lastError("latest subscriptions")
	}
	defer C.rc_release(set)
	C.rc_sync_subscription_set_refresh(set)
	out := realmclient.SubscriptionSet{
		Version: int64(C.rc_sync_subscription_set_version(set)),
		State:   subState(int(C.rc_sync_subscription_set_state(set))),
	}
	for i := C.size_t(0); i < C.rc_sync_subscription_set_size(set); i++ {
		sub := C.rc_sync_subscription_at(set, i)
		out.Subs = append(out.Subs, realmclient.Subscription{
			Class: rcString(C.rc_sync_subscription_object_class_name(sub)),
			Name:  rcString(C.rc_sync_subscription_name(sub)),
			Query: rcString(C.rc_sync_subscription_query_string(sub)),
		})
		C.rc_release(sub)
	}
	if e := C.rc_sync_subscription_set_error_str(set); e != nil {
		out.Error = C.GoString(e)
	}
	return out, nil
}

func rcString(s C.rc_string) string {
	if s.data == nil {
		return ""
	}
	return C.GoStringN(s.data, C.int(s.size))
}

// waitSubs waits until the latest subscription set is complete (or failed).
func (r *realm) waitSubs(state int, timeout time.Duration) (any, error) {
	if err := r.needSession(); err != nil {
		return nil, err
	}
	set := C.rc_sync_get_latest_subscription_set(r.h)
	if set == nil {
		return nil, lastError("latest subscriptions")
	}
	defer C.rc_release(set)
	done := make(chan int, 1)
	if !C.rcx_sub_async(set, C.int32_t(state), register(func(n int) { done <- n })) {
		return nil, lastError("wait for subscriptions")
	}
	n, err := await(done, timeout)
	if err != nil {
		return nil, err
	}
	out := realmclient.SubscriptionSet{Version: int64(C.rc_sync_subscription_set_version(set)), State: subState(n)}
	C.rc_sync_subscription_set_refresh(set)
	if e := C.rc_sync_subscription_set_error_str(set); e != nil {
		out.Error = C.GoString(e)
	}
	return out, r.refresh()
}

func subscribe(r *realm, c *command) (any, error) {
	return r.changeSubs(func(a *arena, m C.rc_h) error {
		if c.Clear && !bool(C.rc_sync_subscription_set_clear(m)) {
			return lastError("clear")
		}
		for _, sub := range c.Subs {
			if err := r.subscribe(a, m, sub); err != nil {
				return err
			}
		}
		return nil
	})
}

func unsubscribe(r *realm, c *command) (any, error) {
	return r.changeSubs(func(a *arena, m C.rc_h) error {
		var erased C.bool
		ok := C.bool(true)
		switch {
		case c.Name != "":
			ok = C.rc_sync_subscription_set_erase_by_name(m, a.str(c.Name), &erased)
		case c.Query != "":
			cls, err := r.class(c.Class)
			if err != nil {
				return err
			}
			q, err := r.query(a, cls, c.Query)
			if err != nil {
				return err
			}
			defer C.rc_release(q)
			ok = C.rc_sync_subscription_set_erase_by_query(m, q, &erased)
		case c.Class != "":
			ok = C.rc_sync_subscription_set_erase_by_class_name(m, a.str(c.Class), &erased)
		default:
			ok = C.rc_sync_subscription_set_clear(m)
			erased = true
		}
		if !ok {
			return lastError("unsubscribe")
		}
		if !bool(erased) {
			return errors.New("no such subscription")
		}
		return nil
	})
}

func waitSubscriptions(r *realm, c *command) (any, error) {
	want := slices.Index(subStates[:], "complete")
	if c.State != "" {
		if want = slices.Index(subStates[:], c.State); want < 0 {
			return nil, fmt.Errorf("unknown state %q", c.State)
		}
	}
	return r.waitSubs(want, timeout(c))
}
