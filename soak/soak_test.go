package soak

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

var (
	sessionsFlag = flag.Int("sessions", 20, "sessions to run")
	seedFlag     = flag.Uint64("seed", 0, "seed of the first session; 0 is a new one each time")
	defectsFlag  = flag.Bool("defects", false, "let pairs of changes occur that devices are known to merge wrongly")
	parallelFlag = flag.Int("parallel", 1, "sessions at a time")
	shortenFlag  = flag.Int("shorten", 80, "how many shorter scripts of a failure to try")
	logsFlag     = flag.String("logs", "", "folder for what the clients' library logs, in full")
	scriptFlag   = flag.String("script", "", "a script for TestScripts to run, rather than those in testdata")
	repeatFlag   = flag.Int("repeat", 1, "how often TestScripts runs each script")
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// sessionsPerProcess is how many sessions a client's process takes part in
// before it is started afresh; it keeps a little of each.
const sessionsPerProcess = 250

// enoughForAll is how many sessions have every kind of edit.
const enoughForAll = 5000

// newCrew makes a crew for the rest of the test.
func newCrew(t testing.TB, b *bridge, sessions *atomic.Int64, name string) *crew {
	t.Helper()
	c := &crew{bridge: b, sessions: sessions, patience: 10 * time.Second}
	for i := range c.phones {
		p := &phone{number: i + 1, dir: t.TempDir(), level: "warn", app: realmclient.AppConfig{ID: b.app, BaseURL: b.url}}
		if *logsFlag != "" {
			f, err := os.Create(filepath.Join(*logsFlag, fmt.Sprintf("%sclient%d.log", name, i+1)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			p.log, p.level = f, "trace"
		}
		c.phones[i] = p
	}
	t.Cleanup(func() {
		for _, p := range c.phones {
			p.end()
		}
	})
	return c
}

// seeded is the script and the editor that belong to a seed.
func seeded(seed uint64, defects bool) (script, *editor) {
	rng := rand.New(rand.NewPCG(seed, 1))
	ed := newEditor(rng, defects)
	return newScript(rng, ed.things()), ed
}

// figures add up what sessions came to.
type figures struct {
	mu       sync.Mutex
	sessions int
	writes   int
	took     time.Duration
	failures map[string]int // by kind of outcome
	edits    map[string]int // by kind of edit
}

func (f *figures) add(o *outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions++
	f.writes += o.writes
	f.took += o.took
	if o.kind != "" {
		f.failures[o.kind]++
	}
	for _, kind := range o.kinds {
		f.edits[kind]++
	}
}

func (f *figures) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sessions, %d edits, %v a session", f.sessions, f.writes, (f.took / time.Duration(max(1, f.sessions))).Round(time.Millisecond))
	for _, k := range slices.Sorted(maps.Keys(f.failures)) {
		fmt.Fprintf(&b, ", %d %s", f.failures[k], k)
	}
	return b.String()
}

// TestSessions runs random sessions.
func TestSessions(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("-seed=%d -defects=%v", seed, *defectsFlag)
	b := startBridge(t)
	f := &figures{failures: map[string]int{}, edits: map[string]int{}}
	var numbers, next atomic.Int64
	var all sync.WaitGroup
	for i := range *parallelFlag {
		c := newCrew(t, b, &numbers, fmt.Sprintf("crew%d", i+1))
		all.Go(func() {
			for n := 1; ; n++ {
				at := next.Add(1) - 1
				if at >= int64(*sessionsFlag) {
					return
				}
				s, ed := seeded(seed+uint64(at), *defectsFlag)
				o := c.run(t.Context(), s, ed)
				f.add(o)
				if o.kind != "" {
					report(t, c, seed+uint64(at), ed, o)
				}
				if n%sessionsPerProcess == 0 {
					for _, p := range c.phones {
						p.end()
					}
				}
				if (at+1)%100 == 0 {
					fmt.Fprintf(os.Stderr, "%v\n", f)
				}
			}
		})
	}
	all.Wait()
	healed, err := b.healed(t.Context())
	if err != nil {
		t.Errorf("the bridge's metrics: %v", err)
	}
	t.Logf("%v; objects sent whole for pairs that devices merge wrongly: %s", f, healed)
	none := missing(f.edits, *defectsFlag)
	t.Logf("%d of %d kinds of edits have occurred; not %q", len(expected(*defectsFlag))-len(none), len(expected(*defectsFlag)), none)
	if len(none) > 0 && *sessionsFlag >= enoughForAll {
		t.Errorf("none of these in %d sessions: %s", f.sessions, strings.Join(none, ", "))
	}
}

// report shortens a session that has failed, and prints it.
func report(t *testing.T, c *crew, seed uint64, ed *editor, o *outcome) {
	if *shortenFlag > 0 {
		c.patience = 4 * time.Second
		defer func() { c.patience = 10 * time.Second }()
		o = shorten(o, *shortenFlag, func(s script) *outcome { return c.run(t.Context(), s, ed) })
	}
	t.Errorf("seed %d, %v: %v", seed, ed, o)
}

func (ed *editor) String() string {
	return fmt.Sprintf("theme %q, defects %v, nested %v, solo %v", ed.theme, ed.wild, ed.nested, ed.solo)
}

// TestScripts replays what failed once.
func TestScripts(t *testing.T) {
	paths := []string{*scriptFlag}
	if *scriptFlag == "" {
		var err error
		if paths, err = filepath.Glob("testdata/*.script"); err != nil {
			t.Fatal(err)
		}
	}
	var numbers atomic.Int64
	c := newCrew(t, startBridge(t), &numbers, "")
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".script"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseScript(string(data))
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for range *repeatFlag {
				o := c.run(t.Context(), s, nil)
				if o.kind == "error" && strings.Contains(string(data), tolerant) {
					t.Logf("clients were told of\n%s", strings.Join(o.told, "\n"))
				} else if o.kind != "" {
					t.Errorf("%v", o)
				}
			}
		})
	}
}
