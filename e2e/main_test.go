package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

// patience bounds every wait: long enough for a loaded machine with the race
// detector on, so that only what never happens fails.
const patience = 60 * time.Second

func TestMain(m *testing.M) { mongotest.Main(m) }

// within is a context for one wait.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually looks until there is nothing to complain about.
func eventually(t testing.TB, look func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var complaint error
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil || complaint == nil {
			complaint = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still after %v: %v", patience, complaint)
		case <-tick.C:
		}
	}
}
