package faults

import (
	"fmt"
	"testing"
	"time"
)

const (
	// killsTogether is how many kills pass before everything is compared.
	killsTogether = 5
	// killsOfWorld is how many kills one world sees: what is compared grows.
	killsOfWorld = 50
)

// A bridge is killed at random, at its start or under load, and comes back on the
// same database and port.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	for done := 0; done < *killsFlag; done += killsOfWorld {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			w := newWorld(t, plan{nodes: 1, phones: 3, writers: 2, seed: seed + uint64(done)})
			killAgainAndAgain(w, min(killsOfWorld, *killsFlag-done))
		})
	}
}

// One of two nodes is killed at random while the other goes on. There is no Redis
// between them to tell one of the other's commits.
func TestKillOneOfTwo(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	for i, redis := range []string{"", "embedded"} {
		for done := 0; done < *killsFlag/2; done += killsOfWorld {
			t.Run(fmt.Sprintf("redis=%s/%d", redis, done), func(t *testing.T) {
				w := newWorld(t, plan{nodes: 2, redis: redis, phones: 3, writers: 2, seed: seed + uint64(done+i)})
				killAgainAndAgain(w, min(killsOfWorld, *killsFlag/2-done))
			})
		}
	}
}

func killAgainAndAgain(w *world, kills int) {
	w.t.Helper()
	rng := w.rng(1)
	began := time.Now()
	var slowest, all time.Duration
	for done := 0; done < kills; {
		w.begin()
		for range min(killsTogether, kills-done) {
			w.wait(rng, 50*time.Millisecond, 2500*time.Millisecond)
			n := w.nodes[rng.IntN(len(w.nodes))]
			n.kill()
			if len(w.nodes) > 1 {
				rest(w.ctx, rng, time.Second)
			}
			if rng.IntN(8) == 0 { // once more, before it serves or just then
				n.launch()
				rest(w.ctx, rng, 500*time.Millisecond)
				n.kill()
				done++
			}
			back := time.Now()
			n.start()
			w.progress(time.Minute)
			took := time.Since(back)
			all += took
			slowest = max(slowest, took)
			done++
		}
		w.agree()
	}
	w.report(began, fmt.Sprintf("%d kills (back at work after %v on average, %v at most)", kills, (all/time.Duration(kills)).Round(time.Millisecond), slowest.Round(time.Millisecond)))
}
