package faults

import (
	"flag"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of what is written and broken; 0 is a new one each time")
	killsFlag = flag.Int("kills", 5, "how often a bridge is killed in a test of that")
	raceFlag  = flag.Bool("race-bridge", false, "build the bridge with the race detector")
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// newSeed returns the seed of a test, and logs it.
func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("-seed=%d", seed)
	return seed
}
