package metamorphic

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/session"
)

// configuration is everything that must make no difference to where a list of
// operations ends.
type configuration struct {
	nodes        int
	batchEntries int
	cacheBytes   int
	cacheStates  int
	hintWait     time.Duration
	tailInterval time.Duration
	quietDelay   time.Duration
	wakeups      bool // nodes tell each other of commits
	learn        bool // classes and queryable fields come from the devices
	yieldBytes   int  // of devices
	multiplex    bool // of devices
	streamBatch  int32
	scanRange    int
}

// usual is what a deployment has, but for delays that would only cost time.
var usual = configuration{
	nodes: 1, batchEntries: history.DefaultBatchEntries, cacheBytes: history.DefaultCacheBytes, cacheStates: history.DefaultCacheStates,
	hintWait: history.DefaultHintWait, tailInterval: 100 * time.Millisecond, quietDelay: session.DefaultQuietDelay,
	wakeups: true, learn: true, streamBatch: 1000, scanRange: 500,
}

// randomConfiguration draws a configuration, often an extreme one.
func randomConfiguration(rng *rand.Rand) configuration {
	return configuration{
		nodes:        1 + rng.IntN(2),
		batchEntries: pick(rng, 1, 2, 7, history.DefaultBatchEntries),
		cacheBytes:   pick(rng, 1, 2000, history.DefaultCacheBytes),
		cacheStates:  pick(rng, 1, 3, history.DefaultCacheStates),
		hintWait:     pick(rng, time.Microsecond, 5*time.Millisecond, history.DefaultHintWait),
		tailInterval: pick(rng, 3*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond),
		quietDelay:   pick(rng, time.Microsecond, 10*time.Millisecond, session.DefaultQuietDelay),
		wakeups:      rng.IntN(2) == 0,
		learn:        rng.IntN(2) == 0,
		yieldBytes:   pick(rng, 0, 1, 300),
		multiplex:    rng.IntN(2) == 0,
		streamBatch:  pick(rng, int32(1), 2, 1000),
		scanRange:    pick(rng, 1, 3, 500),
	}
}

func pick[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }

func (c configuration) String() string {
	return fmt.Sprintf("nodes=%d batch=%d cache=%d states=%d hint_wait=%v tail=%v quiet=%v wakeups=%v learn=%v yield=%d multiplex=%v stream=%d scan=%d",
		c.nodes, c.batchEntries, c.cacheBytes, c.cacheStates, c.hintWait, c.tailInterval, c.quietDelay,
		c.wakeups, c.learn, c.yieldBytes, c.multiplex, c.streamBatch, c.scanRange)
}
