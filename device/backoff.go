package device

import (
	"math/rand/v2"
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
)

// The series of delays of the shipped clients, in seconds.
const (
	backoffFirst      = 1
	backoffMax        = 300
	backoffMultiplier = 2

	backoffLongest = 24 * 60 * 60 // whatever a server says
)

// backoff is a series of growing delays. It starts over when the reason for
// waiting is another one than the last time, but not on success.
type backoff struct {
	reason string
	given  protocol.Backoff
	next   int64 // seconds
}

// delay returns how long to wait for that reason. The server's series counts
// when the reason is new.
func (b *backoff) delay(reason string, given *protocol.Backoff, second time.Duration) time.Duration {
	if b.reason != reason || b.next == 0 {
		b.reason = reason
		b.given = protocol.Backoff{Seconds: backoffFirst, MaxSeconds: backoffMax, Multiplier: backoffMultiplier}
		if given != nil {
			b.given = *given
		}
		b.next = b.given.Seconds
	}
	longest := min(b.given.MaxSeconds, backoffLongest)
	seconds := max(0, min(b.next, longest))
	d := time.Duration(seconds) * second
	b.next = min(seconds*min(b.given.Multiplier, backoffLongest), longest)
	// Up to a quarter less, so that clients do not come back in step.
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// reset makes the next delay the first of a series.
func (b *backoff) reset() { b.next = 0 }
