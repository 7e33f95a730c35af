package history

import (
	"context"
	"time"
)

// Backfill brings up the states of a class, as the node's own goroutine does.
func (f *File) Backfill(ctx context.Context, class string) {
	f.mu.Lock()
	q := f.queryable
	f.mu.Unlock()
	_, _ = f.backfillClass(ctx, class, q)
}

// SetMaxStrained has what can't be divided taken for too large sooner, until the
// function that it returns is called.
func SetMaxStrained(n int) func() {
	before := maxStrained
	maxStrained = n
	return func() { maxStrained = before }
}

// SetLongestPause has what failed tried again sooner, until the function that it
// returns is called.
func SetLongestPause(d time.Duration) func() {
	before := longestPause.Swap(int64(d))
	return func() { longestPause.Store(before) }
}

// Queued is how many jobs wait for the commit that runs.
func (f *File) Queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs)
}

// IsIdle reports whether nothing has asked the committer to look for jobs.
func (f *File) IsIdle() bool { return len(f.wake) == 0 }
