package session

import (
	"context"
	"sort"
	"sync"
	"time"
)

// pruneEvery is how often a MemoryPresence drops sessions past their deadline.
const pruneEvery = time.Minute

// MemoryPresence is the presence board of a node that is alone.
type MemoryPresence struct {
	now func() time.Time

	mu        sync.Mutex
	sessions  map[string]attendance
	nextPrune time.Time
	bells     map[string]map[*bell]struct{} // by server file
}

var _ Presence = (*MemoryPresence)(nil)

// attendance is a session on the board and how long it stays there.
type attendance struct {
	who      Attendee
	deadline time.Time
}

// bell is one subscription. Its channel has room for one wake-up.
type bell struct{ wakeups chan struct{} }

// NewMemoryPresence returns an empty board.
func NewMemoryPresence() *MemoryPresence { return newMemoryPresence(time.Now) }

func newMemoryPresence(now func() time.Time) *MemoryPresence {
	return &MemoryPresence{
		now:      now,
		sessions: map[string]attendance{},
		bells:    map[string]map[*bell]struct{}{},
	}
}

// Touch implements Presence.
func (p *MemoryPresence) Touch(who Attendee, deadline time.Time) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[who.ID] = attendance{who, deadline}
	if now.Before(p.nextPrune) {
		return
	}
	p.nextPrune = now.Add(pruneEvery)
	for id, a := range p.sessions {
		if !a.deadline.After(now) {
			delete(p.sessions, id)
		}
	}
}

// Remove implements Presence.
func (p *MemoryPresence) Remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, id)
}

// lookup returns a session that is on the board.
func (p *MemoryPresence) lookup(id string) (attendance, bool) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.sessions[id]
	return a, ok && a.deadline.After(now)
}

// attendees returns the sessions on the board, in the order of their ids.
func (p *MemoryPresence) attendees() []Attendee {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Attendee, 0, len(p.sessions))
	for _, a := range p.sessions {
		if a.deadline.After(now) {
			out = append(out, a.who)
		}
	}
	sortAttendees(out)
	return out
}

func sortAttendees(a []Attendee) {
	sort.Slice(a, func(i, j int) bool { return a[i].ID < a[j].ID })
}

// List implements Presence. It never fails.
func (p *MemoryPresence) List(context.Context) ([]Attendee, error) { return p.attendees(), nil }

// Count implements Presence. It never fails.
func (p *MemoryPresence) Count(context.Context) (int, error) { return len(p.attendees()), nil }

// Publish implements Presence.
func (p *MemoryPresence) Publish(file string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for b := range p.bells[file] {
		select {
		case b.wakeups <- struct{}{}:
		default: // it has been rung and not been answered yet
		}
	}
}

// Subscribe implements Presence.
func (p *MemoryPresence) Subscribe(file string) (<-chan struct{}, func()) {
	b := &bell{wakeups: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bells[file] == nil {
		p.bells[file] = map[*bell]struct{}{}
	}
	p.bells[file][b] = struct{}{}
	return b.wakeups, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.bells[file], b)
		if len(p.bells[file]) == 0 {
			delete(p.bells, file)
		}
	}
}

// subscribed reports whether anyone on this node listens for the file.
func (p *MemoryPresence) subscribed(file string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.bells[file]) > 0
}

// Close implements Presence. It never fails.
func (p *MemoryPresence) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.sessions)
	return nil
}
