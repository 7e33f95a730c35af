package session

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

func TestTrap1KillingCodeFromBelowIsNotSent(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.reject = func(*history.Upload) error { return &history.Rejection{Code: 224, Message: "too many sessions"} }
	r.file.mu.Unlock()
	p.upload(newDog(1, 1, "Rex"))
	p.expectEnd()
}

// What is refused for good is not tried again until the app says so, whatever the
// code says else.
func TestFinalRejection(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.reject = func(*history.Upload) error { return &history.Rejection{Code: 201, Message: "too large", Final: true} }
	r.file.mu.Unlock()
	p.upload(newDog(1, 1, "Rex"))
	e := expect[*protocol.JSONError](p.wire)
	if e.Code != protocol.OtherSessionError || e.Message != "too large" || e.TryAgain || e.Action != protocol.ActionApplicationBug || e.ShouldClientReset {
		t.Errorf("got %+v", e)
	}
}

// Errors are counted as clients are sent them, of queries, sessions and
// connections alike.
func TestErrorsAreCounted(t *testing.T) {
	var mu sync.Mutex
	var codes []protocol.ErrorCode
	r := newRig(t, func(o *Options) {
		o.OnError = func(code protocol.ErrorCode) {
			mu.Lock()
			defer mu.Unlock()
			codes = append(codes, code)
		}
	})
	p := r.dial("ann").open(1)
	p.send(&protocol.Query{Session: 1, Version: 1, Body: `["Dog"]`})
	expect[*protocol.QueryError](p.wire)
	p.send(&protocol.Upload{Session: 1, ProgressClient: 1, ProgressServer: 1 << 40})
	expect[*protocol.JSONError](p.wire)
	p.send(&protocol.Bind{Session: 1})
	expect[*protocol.JSONError](p.wire)
	mu.Lock()
	defer mu.Unlock()
	if want := []protocol.ErrorCode{protocol.BadQuery, protocol.BadServerVersion, protocol.ReuseOfSessionIdent}; !slices.Equal(codes, want) {
		t.Errorf("counted %v, want %v", codes, want)
	}
}

func TestTrap7NothingFollowsASessionError(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(1)
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangesetSize, Message: "could not"})
	p.expectError(protocol.BadClientFile)
	// Traffic that was on its way, and history that moves on.
	p.mark++
	p.send(&protocol.Mark{Session: 1, Request: p.mark})
	p.upload(newDog(3, 3, "Late"))
	r.file.commit(newDog(4, 4, "Rex"))
	p.send(&protocol.Unbind{Session: 1})
	// No UNBOUND: the next message is the answer to the next BIND.
	p.send(&protocol.Bind{Session: 1, NeedIdent: true})
	expect[*protocol.ServerIdent](w)
}

func TestTrap7UnboundIsTheLastMessage(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(1)
	p.unbind()
	r.file.commit(newDog(4, 4, "Rex"))
	p.send(&protocol.Mark{Session: 1, Request: 9})
	e := w.expectError(protocol.BadSessionIdent)
	if e.Session != 0 || e.TryAgain {
		t.Errorf("got %+v", e)
	}
	w.expectEnd()
}

func TestTrap32ClientResetIsFinal(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	for name, tt := range map[string]struct {
		ident protocol.ClientIdent
		code  protocol.ErrorCode
	}{
		"unknown client file": {protocol.ClientIdent{File: 99, Salt: 1}, protocol.BadClientFileIdent},
		"wrong salt":          {protocol.ClientIdent{File: 2, Salt: 1}, protocol.DivergingHistories},
		"from the future":     {protocol.ClientIdent{File: 2, Salt: 2000, DownloadServer: 99 * history.Stride, LatestServer: 99 * history.Stride, LatestSalt: 1}, protocol.BadServerVersion},
	} {
		t.Run(name, func(t *testing.T) {
			w := r.dial("ann")
			w.send(&protocol.Bind{Session: 1, NeedIdent: true})
			expect[*protocol.ServerIdent](w)
			m := tt.ident
			m.Session, m.Query = 1, "{}"
			w.send(&m)
			e := w.expectError(tt.code)
			if e.TryAgain || e.Action != protocol.ActionClientReset || !e.ShouldClientReset || e.Session != 1 {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestTrap36WhatWasOnItsWayIsIgnored(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1})
	w.send(&protocol.ClientIdent{Session: 1, File: 99, Salt: 1, Query: "{}"},
		&protocol.Mark{Session: 1, Request: 1},
		&protocol.Query{Session: 1, Version: 1, Body: "{}"},
		&protocol.Upload{Session: 1, ProgressClient: 3},
		&protocol.ClientIdent{Session: 1, File: 99, Salt: 1, Query: "{}"},
		&protocol.Unbind{Session: 1},
		&protocol.Bind{Session: 1, NeedIdent: true})
	w.expectError(protocol.BadClientFileIdent)
	expect[*protocol.ServerIdent](w)
}

func TestTrap41PartitionIsAValue(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Flexible = false })
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1, Partition: `foo`, NeedIdent: true})
	e := w.expectError(protocol.IllegalRealmPath)
	if !strings.Contains(e.Message, "serialized partition 'foo' is invalid") || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	// The connection and its other sessions go on.
	w.send(&protocol.Bind{Session: 2, Partition: `"foo"`, NeedIdent: true})
	expect[*protocol.ServerIdent](w)
}
