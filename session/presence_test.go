package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmus-sync/isthmus/internal/redisd"
)

// board is a kind of presence under test.
type board struct {
	// nodes are one or two nodes of one deployment.
	nodes []Presence
	now   func() time.Time
	// advance moves the board's clock by a moment; nil where it moves by itself.
	advance func()
}

// testClock is a clock that moves when told to.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock() *testClock { return &testClock{now: time.Now()} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func closing(t *testing.T, p Presence) Presence {
	t.Helper()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func redisNode(t *testing.T, addr, node string, logger *slog.Logger, now func() time.Time) *RedisPresence {
	t.Helper()
	return closing(t, openRedisPresence(RedisOptions{Addr: addr, App: "tasks-abcde", Node: node, Logger: logger}, now)).(*RedisPresence)
}

// boards are the implementations that the contract holds for.
func boards() map[string]func(t *testing.T) board {
	return map[string]func(t *testing.T) board{
		"memory": func(t *testing.T) board {
			clock := newTestClock()
			return board{
				nodes:   []Presence{closing(t, newMemoryPresence(clock.Now))},
				now:     clock.Now,
				advance: func() { clock.Add(50 * time.Millisecond) },
			}
		},
		"embedded redis": func(t *testing.T) board {
			server := miniredis.RunT(t)
			clock := newTestClock()
			return board{
				nodes: []Presence{
					redisNode(t, server.Addr(), "n1", quiet, clock.Now),
					redisNode(t, server.Addr(), "n2", quiet, clock.Now),
				},
				now: clock.Now,
				advance: func() {
					clock.Add(50 * time.Millisecond)
					server.FastForward(50 * time.Millisecond)
				},
			}
		},
		"real redis": func(t *testing.T) board {
			server := redisd.Run(t)
			return board{
				nodes: []Presence{
					redisNode(t, server.Addr, "n1", quiet, time.Now),
					redisNode(t, server.Addr, "n2", quiet, time.Now),
				},
				now: time.Now,
			}
		},
	}
}

// eventually waits for a condition while the board's clock stands still.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

// inTime waits for a condition and lets the board's clock go on.
func inTime(t *testing.T, b board, what string, condition func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		if condition() {
			return true
		}
		if b.advance != nil {
			b.advance()
		}
		return false
	})
}

func woken(t *testing.T, wakeups <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-wakeups:
	case <-time.After(10 * time.Second):
		t.Fatalf("no wake-up: %s", what)
	}
}

func attendee(id, file string, since time.Time) Attendee {
	// A zone and a monotonic part would not survive the way through Redis.
	return Attendee{ID: id, Node: "n1", User: "u1", File: file, Ident: 7, Since: since.UTC().Truncate(time.Millisecond)}
}

func listed(t *testing.T, p Presence) []Attendee {
	t.Helper()
	out, err := p.List(context.Background())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return out
}

func counted(t *testing.T, p Presence) int {
	t.Helper()
	n, err := p.Count(context.Background())
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	return n
}

// shows reports whether every node sees exactly these sessions.
func shows(t *testing.T, b board, want ...Attendee) func() bool {
	if want == nil {
		want = []Attendee{}
	}
	return func() bool {
		for _, p := range b.nodes {
			if !reflect.DeepEqual(listed(t, p), want) || counted(t, p) != len(want) {
				return false
			}
		}
		return true
	}
}

func TestPresenceContract(t *testing.T) {
	for name, open := range boards() {
		t.Run(name, func(t *testing.T) {
			t.Run("sessions", func(t *testing.T) {
				b := open(t)
				here, there := b.nodes[0], b.nodes[len(b.nodes)-1]
				far := b.now().Add(time.Hour)
				if !shows(t, b)() {
					t.Fatal("a new board is not empty")
				}
				first, second := attendee("n1/1/1", "flexible", b.now()), attendee("n1/1/2", `"part"`, b.now())
				here.Touch(second, far)
				there.Touch(first, far)
				eventually(t, "both sessions in order", shows(t, b, first, second))

				first.Ident, first.User = 9, "u2"
				there.Touch(first, far)
				eventually(t, "a session's new ident", shows(t, b, first, second))

				there.Remove(first.ID)
				here.Remove("unknown")
				eventually(t, "one session removed", shows(t, b, second))
			})
			t.Run("deadline", func(t *testing.T) {
				b := open(t)
				short, long := attendee("a", "f", b.now()), attendee("b", "f", b.now())
				b.nodes[0].Touch(short, b.now().Add(time.Second))
				b.nodes[0].Touch(long, b.now().Add(time.Hour))
				eventually(t, "both sessions", shows(t, b, short, long))
				inTime(t, b, "the first one expired", shows(t, b, long))
				b.nodes[0].Touch(short, b.now().Add(time.Hour))
				eventually(t, "both sessions again", shows(t, b, short, long))
			})
			t.Run("wake-ups", func(t *testing.T) {
				b := open(t)
				here, there := b.nodes[0], b.nodes[len(b.nodes)-1]
				mine, cancelMine := here.Subscribe("flexible")
				theirs, cancelTheirs := there.Subscribe("flexible")
				other, cancelOther := there.Subscribe("other")
				defer cancelOther()
				for i := range 3 {
					here.Publish("flexible")
					woken(t, mine, fmt.Sprint("own node, round ", i))
					woken(t, theirs, fmt.Sprint("other subscriber, round ", i))
				}
				// The subscription's own wake-up may be due on "other", no second one.
				there.Publish("other")
				woken(t, other, "the other file")

				cancelTheirs()
				here.Publish("flexible")
				woken(t, mine, "after the other left")
				cancelMine()
				cancelMine()
				here.Publish("flexible")
			})
			t.Run("close", func(t *testing.T) {
				b := open(t)
				who := attendee("a", "f", b.now())
				last := b.nodes[len(b.nodes)-1]
				last.Touch(who, b.now().Add(time.Hour))
				eventually(t, "the session", shows(t, b, who))
				if err := last.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
				b.nodes = b.nodes[:1]
				eventually(t, "an empty board", shows(t, b))
			})
		})
	}
}

// A subscriber that never takes its wake-up delays nobody, and finds one when
// it looks.
func TestPresenceWakeUpsCoalesce(t *testing.T) {
	p := NewMemoryPresence()
	wakeups, cancel := p.Subscribe("f")
	defer cancel()
	for range 1000 {
		p.Publish("f")
	}
	woken(t, wakeups, "a thousand publications")
	select {
	case <-wakeups:
		t.Fatal("two wake-ups waited")
	default:
	}
}

// Sessions that ended without a word do not stay in memory.
func TestMemoryPresenceForgets(t *testing.T) {
	clock := newTestClock()
	p := newMemoryPresence(clock.Now)
	for i := range 100 {
		p.Touch(attendee(fmt.Sprint(i), "f", clock.Now()), clock.Now().Add(time.Second))
	}
	clock.Add(2 * pruneEvery)
	p.Touch(attendee("last", "f", clock.Now()), clock.Now().Add(time.Second))
	if got := len(p.sessions); got != 1 {
		t.Errorf("%d sessions in memory, want 1", got)
	}
}

// logLines collects a log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logLines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

func TestRedisPresenceOutage(t *testing.T) {
	server := miniredis.RunT(t)
	var log logLines
	logger := slog.New(slog.NewTextHandler(&log, nil))
	here := redisNode(t, server.Addr(), "n1", logger, time.Now)
	there := redisNode(t, server.Addr(), "n2", quiet, time.Now)
	b := board{nodes: []Presence{here, there}}
	far := time.Now().Add(time.Hour)
	mine, theirs := attendee("mine", "f", time.Now()), attendee("theirs", "f", time.Now())
	here.Touch(mine, far)
	there.Touch(theirs, far)
	eventually(t, "both sessions", shows(t, b, mine, theirs))
	wakeups, cancel := there.Subscribe("f")
	defer cancel()
	here.Publish("f")
	woken(t, wakeups, "before the outage")

	server.Close()
	server.FlushAll() // the Redis that comes back knows nothing
	late := attendee("late", "f", time.Now())
	here.Touch(late, far)
	here.Publish("f")
	eventually(t, "the outage noticed", here.Degraded)
	got, err := here.List(context.Background())
	if !errors.Is(err, ErrPresenceDegraded) || !reflect.DeepEqual(got, []Attendee{late, mine}) {
		t.Errorf("list in the outage: %v, %v; want this node's sessions and ErrPresenceDegraded", got, err)
	}
	if n, err := here.Count(context.Background()); !errors.Is(err, ErrPresenceDegraded) || n != 2 {
		t.Errorf("count in the outage: %d, %v; want 2 and ErrPresenceDegraded", n, err)
	}
	own, cancelOwn := here.Subscribe("g")
	defer cancelOwn()
	here.Publish("g")
	woken(t, own, "own node in the outage")
	before := here.failures.Load()
	eventually(t, "several attempts", func() bool { return here.failures.Load() > before+2 })
	if n := log.count("presence degraded"); n != 1 {
		t.Errorf("the outage was logged %d times, want once", n)
	}

	if err := server.Restart(); err != nil {
		t.Fatalf("restart: %v", err)
	}
	eventually(t, "all sessions after the outage", func() bool {
		for _, p := range b.nodes {
			got, err := p.List(context.Background())
			if err != nil || !reflect.DeepEqual(got, []Attendee{late, mine, theirs}) {
				return false
			}
		}
		return true
	})
	woken(t, wakeups, "after the outage")
	eventually(t, "the end of the outage", func() bool { return !here.Degraded() })
	if n := log.count("presence restored"); n != 1 {
		t.Errorf("the end of the outage was logged %d times, want once", n)
	}
}

// A Redis that restarts while nobody has anything to say has forgotten all
// sessions; the lost subscription gives it away.
func TestRedisPresenceRestart(t *testing.T) {
	server := redisd.Run(t)
	p := redisNode(t, server.Addr, "n1", quiet, time.Now)
	_, cancel := p.Subscribe("f")
	defer cancel()
	who := attendee("a", "f", time.Now())
	p.Touch(who, time.Now().Add(time.Hour))
	eventually(t, "the session", shows(t, board{nodes: []Presence{p}}, who))
	server.Kill()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if err := server.Restart(ctx); err != nil {
		t.Fatalf("restart: %v", err)
	}
	eventually(t, "the session on the new board", func() bool {
		got, err := p.List(context.Background())
		return err == nil && reflect.DeepEqual(got, []Attendee{who})
	})
}

// A Redis that is absent at start is an outage like any other.
func TestRedisPresenceAbsent(t *testing.T) {
	server := miniredis.RunT(t)
	addr := server.Addr()
	server.Close()
	p := redisNode(t, addr, "n1", quiet, time.Now)
	p.Touch(attendee("a", "f", time.Now()), time.Now().Add(time.Hour))
	eventually(t, "the outage noticed", p.Degraded)

	registry := prometheus.NewRegistry()
	registry.MustRegister(p)
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
	}
	if up, ok := got["bridge_presence_up"]; !ok || up != 0 || got["bridge_presence_errors_total"] < 1 {
		t.Errorf("metrics %v; want bridge_presence_up 0 and errors counted", got)
	}
}

// A node that has nothing to say notices an outage all the same.
func TestRedisPresenceIdle(t *testing.T) {
	server := miniredis.RunT(t)
	p := redisNode(t, server.Addr(), "n1", quiet, time.Now)
	p.Touch(attendee("a", "f", time.Now()), time.Now().Add(time.Hour))
	eventually(t, "the session", func() bool { return len(listed(t, p)) == 1 })
	server.Close()
	eventually(t, "the outage noticed", p.Degraded)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the outage", func() bool { return !p.Degraded() })
}

// Apps that share a Redis do not see each other.
func TestRedisPresenceApps(t *testing.T) {
	server := miniredis.RunT(t)
	one := redisNode(t, server.Addr(), "n1", quiet, time.Now)
	two := closing(t, OpenRedisPresence(RedisOptions{Addr: server.Addr(), App: "notes-fghij", Node: "n1", Logger: quiet}))
	who := attendee("a", "f", time.Now())
	one.Touch(who, time.Now().Add(time.Hour))
	eventually(t, "the session", shows(t, board{nodes: []Presence{one}}, who))
	if got := listed(t, two); len(got) != 0 {
		t.Errorf("the other app sees %v", got)
	}
}

func TestEmbeddedRedis(t *testing.T) {
	e, err := StartEmbeddedRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := redisNode(t, e.Addr(), "n1", quiet, time.Now)
	b := board{nodes: []Presence{p}}
	who := attendee("a", "f", time.Now())
	p.Touch(who, time.Now().Add(1500*time.Millisecond))
	eventually(t, "the session", shows(t, b, who))
	eventually(t, "the key gone from the server", func() bool { return !e.server.Exists(p.sessionKey("a")) })
}
