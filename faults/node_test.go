package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/bridgeprogram"
	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

const (
	startPatience = 60 * time.Second // of a bridge, until it serves
	stopPatience  = 40 * time.Second // of a bridge, until it has shut down
)

// node is a bridge under test: a process that comes and goes, at one address.
type node struct {
	addr     string
	t        testing.TB
	config   string // path of its configuration
	expected string // part of what it may log as an error
	process  *subprocess.Process
	log      *nodeLog
}

// newNode starts a bridge with that configuration, at an address that it keeps
// over restarts.
func newNode(t testing.TB, config string) *node {
	t.Helper()
	n := &node{t: t, addr: freeAddr(t), config: filepath.Join(t.TempDir(), "bridge.yaml")}
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("what the bridge at %s logged last:\n%s", n.addr, n.log)
		}
	})
	return n
}

// freeAddr is an address that nothing is likely to take while its bridge is
// down: below the ports that the kernel hands out.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// launch runs the process; it does not serve yet.
func (n *node) launch() {
	n.t.Helper()
	n.log = newNodeLog()
	cmd := exec.Command(bridgeprogram.Path(n.t, *raceFlag), "serve", "--config", n.config)
	cmd.Env = append(bridgeprogram.Environ(), "BRIDGE_LISTEN_ADDR="+n.addr)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	var err error
	if n.process, err = subprocess.Start(cmd); err != nil {
		n.t.Fatal(err)
	}
}

// start runs the process and returns when it serves.
func (n *node) start() {
	n.t.Helper()
	n.launch()
	select {
	case <-n.log.serving:
	case <-n.process.Done():
		n.t.Fatalf("the bridge ended at its start: %v\n%s", n.process.Err(), n.log)
	case <-time.After(startPatience):
		n.t.Fatalf("the bridge does not serve; it logged:\n%s", n.log)
	}
}

// kill ends the bridge as a crash would.
func (n *node) kill() {
	n.t.Helper()
	n.process.Kill()
	n.check()
}

// stop ends the bridge in order, if it runs.
func (n *node) stop() {
	n.t.Helper()
	select {
	case <-n.process.Done():
	default:
		if err := n.process.Signal(syscall.SIGTERM); err != nil {
			n.t.Error(err)
		}
		select {
		case <-n.process.Done():
			if code := n.process.ExitCode(); code != 0 {
				n.t.Errorf("the bridge ended with status %d when it was told to stop", code)
			}
		case <-time.After(stopPatience):
			n.process.Kill()
			n.t.Errorf("the bridge did not stop within %v", stopPatience)
		}
	}
	n.check()
}

// command runs another command of the bridge beside it, and returns what that says.
func (n *node) command(args ...string) (string, error) {
	cmd := exec.CommandContext(n.t.Context(), bridgeprogram.Path(n.t, *raceFlag), append(args, "--config", n.config)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tellWaiting logs what the bridge counts and has it tell where it waits, which
// ends it.
func (n *node) tellWaiting() {
	n.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	if res, err := client.Get("http://" + n.addr + "/metrics"); err != nil {
		n.t.Logf("the bridge at %s tells no metrics: %v", n.addr, err)
	} else {
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		n.t.Logf("the bridge at %s counts:\n%s", n.addr, text)
	}
	_ = n.process.Signal(syscall.SIGQUIT)
	<-n.process.Done()
}

// check looks for what must never be in the log, however the bridge ended.
func (n *node) check() {
	n.t.Helper()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if text := n.log.String(); strings.Contains(text, bad) {
			n.t.Errorf("the bridge's log has %q:\n%s", bad, text)
		}
	}
	for _, line := range n.log.takeErrors() {
		if n.expected == "" || !strings.Contains(line, n.expected) {
			n.t.Errorf("the bridge logged an error: %s", line)
		}
	}
}

// nodeLog keeps the end of a bridge's log, and looks for what matters in it.
type nodeLog struct {
	tail    subprocess.Tail
	serving chan struct{} // closed when devices can connect

	mu     sync.Mutex
	line   []byte
	served bool
	errors []string
}

func newNodeLog() *nodeLog {
	return &nodeLog{serving: make(chan struct{}), tail: subprocess.Tail{Limit: 1 << 20}} // where all goroutines are takes some room
}

func (l *nodeLog) String() string { return l.tail.String() }

func (l *nodeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, p...)
	for {
		line, rest, whole := bytes.Cut(l.line, []byte("\n"))
		if !whole {
			return l.tail.Write(p)
		}
		l.take(line)
		l.line = bytes.Clone(rest)
	}
}

func (l *nodeLog) take(line []byte) {
	var record struct {
		Level   string `json:"level"`
		Message string `json:"msg"`
	}
	if json.Unmarshal(line, &record) != nil {
		return
	}
	switch {
	case record.Message == "serving" && !l.served:
		l.served = true
		close(l.serving)
	case record.Level == "ERROR":
		l.errors = append(l.errors, string(line))
	}
}

// takeErrors returns what was logged as an error since it was last asked.
func (l *nodeLog) takeErrors() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.errors
	l.errors = nil
	return out
}
