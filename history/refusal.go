package history

import (
	"context"
	"time"
)

// MongoDB ends a transaction at the first write that it refuses, and names that one
// alone. Were nothing done about it, a changeset with many such objects would be tried
// as often as there are, while everybody else's uploads wait.

// Bounds of looking ahead for what MongoDB refuses.
const (
	probedAfter = 4               // refused objects of a batch
	probeTime   = 5 * time.Second // what is not looked at by then is found by the next attempt
)

// probe looks which of the inserts that come after a refused one are refused, too.
func (f *File) probe(ctx context.Context, b *batchState, r *Refusal) {
	class := b.tried.schema.Class(r.Ref.Class)
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	for _, w := range r.Rest {
		// Side by side they would get in each other's way in a unique index.
		refusal, err := f.store.opts.Mirror.Probe(ctx, class, w)
		if ctx.Err() != nil {
			return
		}
		// Of what can't be told now the next attempt tells.
		if err == nil && refusal != nil {
			b.refused[refusal.Ref] = refusal.Reason
		}
	}
}
