package device

import "sync"

// queue holds the sessions that may have something to send, in the order in
// which they asked. It has a lock of its own, so that apps need not wait for a
// DOWNLOAD to be integrated.
type queue struct {
	mu       sync.Mutex
	sessions []*session
}

// push puts a session at the end, unless it is in the queue.
func (q *queue) push(s *session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !s.queued {
		s.queued = true
		q.sessions = append(q.sessions, s)
	}
}

func (q *queue) pop() *session {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.sessions) == 0 {
		return nil
	}
	s := q.sessions[0]
	q.sessions = q.sessions[1:]
	s.queued = false
	return s
}

func (q *queue) clear() {
	for q.pop() != nil {
	}
}
