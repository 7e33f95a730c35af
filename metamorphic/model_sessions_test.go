package metamorphic

import (
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

var sessionsFlag = flag.Int("sessions", 1500, "lists that TestModel plays of either kind")

// TestModel plays random lists of operations with the model: with the pairs that
// devices get wrong, and without them.
func TestModel(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	for _, wild := range []bool{false, true} {
		if *wildFlag == "yes" && !wild || *wildFlag == "no" && wild {
			continue
		}
		name := map[bool]string{false: "clean", true: "wild"}[wild]
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var mu sync.Mutex
			var all sync.WaitGroup
			met, deaf, unmerged, failed, next := 0, 0, 0, 0, 0
			for range *workersFlag {
				all.Go(func() {
					for {
						mu.Lock()
						i := next
						next++
						stop := failed > 0 && !*goOnFlag
						mu.Unlock()
						if i >= *sessionsFlag || stop {
							return
						}
						s, st, err := improvise(rand.New(rand.NewPCG(seed+uint64(i), 2)), *opsFlag, wild)
						mu.Lock()
						if st != nil && st.model.defects > 0 {
							met++
						}
						if st != nil && st.deaf > 0 {
							deaf++
						}
						if st != nil && st.model.unmerged > 0 {
							unmerged++
						}
						if err != nil {
							failed++
						}
						mu.Unlock()
						if err != nil {
							reportModel(t, seed+uint64(i), s, wild, err)
						}
					}
				})
			}
			all.Wait()
			t.Logf("-seed=%d: %d lists in %v: %d failed, %d met pairs that devices get wrong, "+
				"%d had an upload that could not be merged as it was, %d a device that could not integrate a download",
				seed, min(next, *sessionsFlag), time.Since(start).Round(time.Millisecond), failed, met, unmerged, deaf)
		})
	}
}

// kindOf is what shortening keeps of an error.
func kindOf(err error) string {
	var f *failure
	switch {
	case err == nil:
		return ""
	case errors.As(err, &f):
		return f.kind
	}
	return "error"
}

func reportModel(t *testing.T, seed uint64, s *script, wild bool, found error) {
	kind, last := kindOf(found), found
	fails := func(fewer *script) bool {
		_, err := play(fewer, wild)
		if kindOf(err) != kind {
			return false
		}
		last = err
		return true
	}
	if !fails(s) {
		t.Errorf("seed %d: played again it does not fail; the list:\n%s\n%v", seed, s, found)
		return
	}
	s = shorten(s, fails)
	t.Errorf("seed %d, shortened:\n%s\n%v", seed, s, last)
	if st, _ := play(s, wild); *traceFlag && st != nil {
		t.Log("the history:\n" + st.model.text())
	}
}
