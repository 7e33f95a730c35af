package session

import (
	"slices"
	"testing"
	"time"
)

// The clients' sockets have Nagle's algorithm on: their second small message
// leaves when the first is acknowledged. A server that delays its
// acknowledgements, as TCP does, costs them some 40 ms wherever it has nothing
// to answer.
func TestSmallMessagesAreAcknowledgedAtOnce(t *testing.T) {
	r := newRig(t, func(o *Options) { o.QuietDelay = time.Minute })
	r.file.commit(dogs())
	w, socket := r.dialTCP("ann")
	if err := socket.SetNoDelay(false); err != nil {
		t.Fatal(err)
	}
	p := w.open(1)
	var took []time.Duration
	for range 15 {
		start := time.Now()
		p.upload() // nothing to answer
		p.awaitMark()
		took = append(took, time.Since(start))
	}
	const delayed = 35 * time.Millisecond // where TCP delays one, it delays all
	if fastest := slices.Min(took); fastest > delayed {
		t.Errorf("a message behind another takes %v at least: %v", fastest, took)
	}
}
