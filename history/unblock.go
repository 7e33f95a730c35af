package history

import (
	"context"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/internal/abandoned"
)

// A node that is killed in the middle of a commit leaves its transaction open,
// and with it locked what it has written, the head above all. MongoDB ends it
// after a minute; whoever is stopped by it ends it sooner.

const (
	blockedAfter  = 300 * time.Millisecond // before somebody who waits looks for the cause
	lookEvery     = 500 * time.Millisecond
	abandonedIdle = time.Second // between two statements of a commit pass milliseconds
)

// unblocking runs an operation that an abandoned transaction may block.
func (s *Store) unblocking(ctx context.Context, op func() error) error {
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		t := time.NewTimer(blockedAfter)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-t.C:
			}
			s.endAbandoned(ctx)
			t.Reset(lookEvery)
		}
	})
	err := op()
	close(done)
	watch.Wait()
	return err
}

// endAbandoned ends transactions that killed nodes have left.
func (s *Store) endAbandoned(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	n, err := abandoned.End(ctx, s.opts.Client, s.opts.DriverName, abandonedIdle)
	switch {
	case err != nil && ctx.Err() == nil:
		s.opts.Logger.Debug("looking for abandoned transactions fails", "error", err)
	case n > 0:
		s.opts.Logger.Warn("ended transactions that a killed node had left", "count", n)
	}
}
