package subprocess

import "sync"

// Tail is a writer that keeps the last bytes written to it: what a program
// said before it died. It may be written and read at the same time.
type Tail struct {
	// Limit is how many bytes are kept; 0 means DefaultTail.
	Limit int

	mu  sync.Mutex
	buf []byte
}

// DefaultTail is how many bytes a Tail keeps unless told otherwise.
const DefaultTail = 64 << 10

// Write keeps p, dropping the oldest bytes above the limit. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := t.Limit
	if limit == 0 {
		limit = DefaultTail
	}
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String is what is kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
