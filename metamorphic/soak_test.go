package metamorphic

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

var (
	seedFlag     = flag.Uint64("seed", 0, "seed of the first list of operations; 0 is a new one each time")
	opsFlag      = flag.Int("ops", 60, "operations in a list")
	runsFlag     = flag.Int("runs", 0, "lists to run; 0 is as many as the duration allows")
	durationFlag = flag.Duration("duration", 15*time.Second, "how long to go on with new lists")
	configsFlag  = flag.Int("configs", 2, "configurations under which each list is run")
	workersFlag  = flag.Int("workers", 2, "runs at a time")
	wildFlag     = flag.String("wild", "both", "whether pairs that devices get wrong may occur: no, yes, both")
	attemptsFlag = flag.Int("attempts", 3, "how often a shortened list is run before it is taken to pass")
	traceFlag    = flag.Bool("trace", false, "print what the nodes log of a failing run")
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// figures add up what runs came to.
type figures struct {
	runs, failed, withDefects, deaf, resets int
	fit, unfit, entries                     int
	took, slowest                           time.Duration
	slowestSeed                             uint64
}

func (f *figures) add(seed uint64, o outcome) {
	f.runs++
	f.took += o.took
	if o.took > f.slowest {
		f.slowest, f.slowestSeed = o.took, seed
	}
	f.resets += o.resets
	f.fit += o.fit
	f.unfit += o.unfit
	f.entries += o.entries
	if o.failure != nil {
		f.failed++
	}
	if len(o.defects) > 0 {
		f.withDefects++
	}
	if o.deaf > 0 {
		f.deaf++
	}
}

func (f *figures) String() string {
	return fmt.Sprintf("%d runs of %d edits (%d more made no sense) and %d history entries: %d failed, %d met pairs that devices get wrong, "+
		"%d had a device that could not integrate a download, %d client resets; %v a run, the slowest (seed %d) %v",
		f.runs, f.fit, f.unfit, f.entries, f.failed, f.withDefects, f.deaf, f.resets,
		(f.took / time.Duration(max(1, f.runs))).Round(time.Millisecond), f.slowestSeed, f.slowest.Round(time.Millisecond))
}

var databases atomic.Int64

// once runs a script under one configuration, in databases of its own.
func once(t *testing.T, s *script, c configuration, wild bool) outcome {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var trace bytes.Buffer
	var mu sync.Mutex
	log := slog.New(slog.DiscardHandler)
	if *traceFlag {
		log = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return trace.Write(p)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	name := fmt.Sprintf("mm%d_%d", os.Getpid(), databases.Add(1))
	out := run(ctx, mongotest.Client(t), name, s, c, wild, log)
	if out.failure != nil && *traceFlag {
		mu.Lock()
		out.failure.text += "\n" + trace.String()
		mu.Unlock()
	}
	return out
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestSoak runs random lists of operations, each under several configurations.
func TestSoak(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("-seed=%d -ops=%d", seed, *opsFlag)
	// What is dropped stays open for as long as MongoDB can be asked for the past. Within
	// its five minutes that becomes more files than a system lets it open.
	window := bson.D{{Key: "setParameter", Value: 1}, {Key: "minSnapshotHistoryWindowInSeconds", Value: 30}}
	if err := mongotest.Client(t).Database("admin").RunCommand(t.Context(), window).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(*durationFlag)
	var (
		mu     sync.Mutex
		totals = map[bool]*figures{false: {}, true: {}}
		next   atomic.Int64
		all    sync.WaitGroup
		stop   atomic.Bool
	)
	for range *workersFlag {
		all.Go(func() {
			for !stop.Load() {
				i := next.Add(1) - 1
				if *runsFlag > 0 && i >= int64(*runsFlag) || *runsFlag == 0 && time.Now().After(deadline) {
					return
				}
				wild := *wildFlag == "yes" || *wildFlag == "both" && (seed+uint64(i))%2 == 1
				rng := rand.New(rand.NewPCG(seed+uint64(i), 1))
				s, err := generate(rng, *opsFlag, wild)
				if err != nil {
					t.Error(err)
					return
				}
				for range *configsFlag {
					c := randomConfiguration(rng)
					out := once(t, s, c, wild)
					mu.Lock()
					totals[wild].add(seed+uint64(i), out)
					mu.Unlock()
					if out.failure != nil {
						report(t, seed+uint64(i), s, c, wild, out.failure)
						stop.Store(!*goOnFlag)
						break
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("without pairs that devices get wrong: %v", totals[false])
	t.Logf("with them: %v", totals[true])
}

var goOnFlag = flag.Bool("go-on", false, "go on after a failure")

// report shortens a list that fails, and prints it.
func report(t *testing.T, seed uint64, s *script, c configuration, wild bool, found *failure) {
	t.Errorf("seed %d, wild %v, %v\n%s: %s", seed, wild, c, found.kind, found.text)
	if *attemptsFlag == 0 {
		return
	}
	last := found
	fails := func(fewer *script) bool {
		for range *attemptsFlag {
			if out := once(t, fewer, c, wild); out.failure != nil && out.failure.kind == found.kind {
				last = out.failure
				return true
			}
		}
		return false
	}
	again := false
	for range 10 {
		if again = fails(s); again {
			break
		}
	}
	if !again {
		t.Errorf("seed %d: does not fail again; the list:\n%s", seed, s)
		return
	}
	s = shorten(s, fails)
	t.Errorf("seed %d, shortened:\n%s\n%s: %s", seed, s, last.kind, last.text)
}
