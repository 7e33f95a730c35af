package history

import "context"

// Backfill brings up the states of a class, as the node's own goroutine does.
func (f *File) Backfill(ctx context.Context, class string) {
	f.mu.Lock()
	q := f.queryable
	f.mu.Unlock()
	_, _ = f.backfillClass(ctx, class, q)
}
