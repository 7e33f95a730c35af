//go:build cgo

package main

import (
	"strings"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// eventLog is what the library has told a realm, from its threads.
type eventLog struct {
	mu     sync.Mutex
	events []realmclient.Event
	added  chan struct{} // closed and renewed with each event
}

func newEventLog() *eventLog { return &eventLog{added: make(chan struct{})} }

func (l *eventLog) add(e realmclient.Event) {
	e.At = time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	close(l.added)
	l.added = make(chan struct{})
}

// all are the events so far; clear forgets them.
func (l *eventLog) all(clear bool) []realmclient.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append([]realmclient.Event{}, l.events...)
	if clear {
		l.events = nil
	}
	return out
}

// problems are the sync errors and client resets among them.
func (l *eventLog) problems(clear bool) []realmclient.Event {
	out := []realmclient.Event{}
	for _, e := range l.all(clear) {
		if e.Event == "sync_error" || strings.HasPrefix(e.Event, "client_reset") {
			out = append(out, e)
		}
	}
	return out
}

// wait returns the nth event of a kind, when it has come.
func (l *eventLog) wait(kind string, nth int, limit time.Duration) (realmclient.Event, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		l.mu.Lock()
		added, seen := l.added, 0
		for _, e := range l.events {
			if e.Event == kind {
				if seen++; seen == nth {
					l.mu.Unlock()
					return e, nil
				}
			}
		}
		l.mu.Unlock()
		select {
		case <-added:
		case <-timer.C:
			return realmclient.Event{}, errTimeout
		}
	}
}
