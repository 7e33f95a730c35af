package session

import (
	"context"
	"sync"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// How much of what a client sent may wait for its session before the
// connection stops reading.
const (
	inboxMessages = 1024
	inboxBytes    = 16 << 20
)

// item is a client's message on its way to its session.
type item struct {
	m       protocol.Message
	entries []history.UploadEntry // of an UPLOAD, decoded
	err     error                 // why an UPLOAD's changesets could not be decoded
	size    int                   // bytes of the message
	memory  int                   // bytes of entries, to be released
	other   *session              // of an IDENT: the connection's session before that is for the same client file, or nil
}

// inbox is the queue between a connection's reader, which is the only one that
// pushes, and a session, the only one that takes.
type inbox struct {
	ready chan struct{} // holds a value after a push
	space chan struct{} // holds a value after a take

	mu    sync.Mutex
	items []item
	bytes int
}

func newInbox() *inbox {
	return &inbox{ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// push queues an item once there is room, or gives up when ctx ends.
func (q *inbox) push(ctx context.Context, it item) {
	for !q.tryPush(it) {
		select {
		case <-q.space:
		case <-ctx.Done():
			return
		}
	}
	signal(q.ready)
}

func (q *inbox) tryPush(it item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) >= inboxMessages || len(q.items) > 0 && q.bytes+it.size > inboxBytes {
		return false
	}
	q.items = append(q.items, it)
	q.bytes += it.size
	return true
}

// peek returns the oldest item without taking it.
func (q *inbox) peek() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return item{}, false
	}
	return q.items[0], true
}

// take removes the oldest item.
func (q *inbox) take() {
	q.mu.Lock()
	q.bytes -= q.items[0].size
	q.items[0] = item{}
	q.items = q.items[1:]
	if len(q.items) == 0 {
		q.items = nil
	}
	q.mu.Unlock()
	signal(q.space)
}

// signal puts a value into a channel with room for one, if it is not there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
