package faults

import (
	"flag"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "seed of what is written and broken; 0 is a new one each time")
	killsFlag  = flag.Int("kills", 5, "how often a bridge is killed in a test of that")
	roundsFlag = flag.Int("rounds", 1, "how often the other faults are repeated")
	pauseFlag  = flag.Duration("pause", 20*time.Second, "how long MongoDB stands still")
	raceFlag   = flag.Bool("race-bridge", false, "build the bridge with the race detector")
)

// together is how many tests run at a time unless told otherwise: they wait more
// than they work.
const together = "6"

func TestMain(m *testing.M) {
	given := false
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", together)
	}
	mongotest.Main(m)
}

// newSeed returns the seed of a test, and logs it.
func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("-seed=%d", seed)
	return seed
}
