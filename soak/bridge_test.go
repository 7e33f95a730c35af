package soak

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/internal/bridgeprogram"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

// startTime and stopTime are how long a bridge, or a client, may take to get ready
// and a bridge to end.
const (
	startTime = 60 * time.Second
	stopTime  = 30 * time.Second
)

// bridge is a `bridge dev` on the shared mongod.
type bridge struct {
	url, app  string
	documents *mongo.Database
	log       *complaints
}

// startBridge runs a bridge for the rest of the test.
func startBridge(t testing.TB) *bridge {
	t.Helper()
	db := mongotest.Database(t)
	b := &bridge{app: db.Name(), documents: db, log: &complaints{}}
	cmd := exec.Command(bridgeprogram.Path(t, false), "dev", "--app-id", b.app, "--listen", "127.0.0.1:0",
		"--mongodb", mongotest.URI(t), "--database", db.Name(), "--data", t.TempDir())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, b.log
	p, err := subprocess.Start(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p, b.log) })
	if err := r.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		for _, field := range strings.Fields(lines.Text()) {
			if url, ok := strings.CutPrefix(field, "url="); ok {
				b.url = url
				return b
			}
		}
	}
	t.Fatalf("the bridge did not get ready; it logged:\n%s", &b.log.all)
	return nil
}

// healed reads from the bridge's metrics how many objects it has sent whole, since
// a device has merged them wrongly, by kind of pair.
func (b *bridge) healed(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var kinds []string
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), `bridge_defects_healed_total{kind="`); ok {
			kinds = append(kinds, strings.Replace(rest, `"}`, "", 1))
		}
	}
	if len(kinds) == 0 {
		return "none", lines.Err()
	}
	return strings.Join(kinds, ", "), lines.Err()
}

// stop ends a bridge in order.
func stop(t testing.TB, p *subprocess.Process, log *complaints) {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
	case <-time.After(stopTime):
		t.Errorf("the bridge did not stop within %v", stopTime)
	}
	p.Kill()
	for _, bad := range []string{"panic:", "fatal error:"} {
		if strings.Contains(log.all.String(), bad) {
			t.Errorf("the bridge's log has %q:\n%s", bad, &log.all)
		}
	}
}

// complaints is a bridge's log: the end of it, and the newest warnings and errors.
type complaints struct {
	all subprocess.Tail

	mu    sync.Mutex
	rest  []byte // of an unfinished line
	bad   []string
	count int // how many there have been
}

// keptComplaints bounds the warnings that are kept.
const keptComplaints = 200

func (c *complaints) Write(p []byte) (int, error) {
	_, _ = c.all.Write(p) // it never fails
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, p...)
	for {
		line, rest, found := bytes.Cut(c.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		if bytes.Contains(line, []byte("WARN")) || bytes.Contains(line, []byte("ERROR")) {
			c.bad = append(c.bad, string(line))
			c.bad = c.bad[max(0, len(c.bad)-keptComplaints):]
			c.count++
		}
		c.rest = append([]byte(nil), rest...)
	}
}

// now returns where the log stands, for since.
func (c *complaints) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// since returns the warnings and errors since then, those that other crews have
// caused among them.
func (c *complaints) since(then int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.bad[len(c.bad)-min(c.count-then, len(c.bad)):], "\n")
}
