package faults

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// electionPatience is how long a replica set has to have a primary again.
const electionPatience = time.Minute

// MongoDB's primary steps down in order, and is killed, under load: devices see
// latency, no errors.
func TestStepDown(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	set, err := mongod.StartSet(t.Context(), 3, mongod.Options{Dir: t.TempDir(), CacheMB: 256, OplogMB: 256})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Kill)
	w := newWorld(t, plan{uri: set.URI, nodes: 1, phones: 3, writers: 2, seed: seed})
	w.writersMayFail.Store(true)
	rng := w.rng(1)
	began := time.Now()
	var slowest time.Duration
	for range *roundsFlag {
		for _, lose := range []func(context.Context, *mongod.Set) error{stepDown, killPrimary} {
			w.begin()
			w.wait(rng, time.Second, 3*time.Second)
			ctx, cancel := context.WithTimeout(w.ctx, electionPatience)
			lost := time.Now()
			if err := lose(ctx, set); err != nil {
				t.Fatal(err)
			}
			w.progress(electionPatience)
			slowest = max(slowest, time.Since(lost))
			cancel()
			w.wait(rng, 0, 2*time.Second)
			w.agree()
		}
	}
	w.report(began, fmt.Sprintf("%d primaries lost (at work again after %v at most)", 2**roundsFlag, slowest.Round(time.Millisecond)))
}

func stepDown(ctx context.Context, set *mongod.Set) error {
	_, err := set.StepDown(ctx)
	return err
}

// killPrimary kills the primary, and starts it again when there is another.
func killPrimary(ctx context.Context, set *mongod.Set) error {
	primary, err := set.Primary(ctx)
	if err != nil {
		return err
	}
	primary.Kill()
	if _, err := set.Primary(ctx); err != nil {
		return err
	}
	return set.Restart(ctx, primary)
}
