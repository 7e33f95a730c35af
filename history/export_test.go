package history

import "context"

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
