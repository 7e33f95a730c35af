package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/redisd"
)

// Redis is gone for a while: two nodes go on.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	redis := redisd.Run(t)
	w := newWorld(t, plan{nodes: 2, redis: redis.Addr, phones: 4, writers: 2, seed: seed})
	rng := w.rng(1)
	began := time.Now()
	for range *roundsFlag {
		w.begin()
		w.wait(rng, time.Second, 2*time.Second)
		redis.Kill()
		for range 3 {
			w.progress(time.Minute)
			w.wait(rng, 500*time.Millisecond, time.Second)
		}
		if rng.IntN(2) == 0 { // devices come to a node that knows of no Redis
			n := w.nodes[rng.IntN(2)]
			n.kill()
			n.start()
		}
		w.agree() // without it
		w.begin()
		w.wait(rng, 0, 500*time.Millisecond)
		if err := redis.Restart(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.wait(rng, 500*time.Millisecond, 2*time.Second)
		w.progress(time.Minute)
		w.agree()
	}
	w.report(began, fmt.Sprintf("Redis was gone %d times", *roundsFlag))
}
