package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// devProcess is a bridge dev in a process of its own.
type devProcess struct {
	cmd           *exec.Cmd
	url, app, uri string
	stderr        *logBuffer
	ended         chan error
}

// startDev runs bridge dev and waits for its line.
func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	path, err := mongod.Find()
	if err != nil {
		t.Fatal(err)
	}
	d := &devProcess{stderr: &logBuffer{}, ended: make(chan error, 1)}
	d.cmd = exec.Command("bridge", append([]string{"dev", "--listen", "127.0.0.1:0"}, args...)...)
	d.cmd.Dir = t.TempDir()
	d.cmd.Env = append(os.Environ(), mongod.EnvPath+"="+path)
	d.cmd.Stderr = d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("bridge dev said:\n%s", d.stderr)
		}
	})
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatalf("it ended without its line: %v; %s", d.cmd.Wait(), d.stderr)
	}
	line := lines.Text()
	m := regexp.MustCompile(`^ready url=(http://\S+) app_id=(\S+) mongodb=(mongodb://\S+)$`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("its line is %q", line)
	}
	d.url, d.app, d.uri = m[1], m[2], m[3]
	go func() {
		for lines.Scan() {
			t.Errorf("another line: %s", lines.Text())
		}
		d.ended <- d.cmd.Wait()
	}()
	return d
}

// end waits for the process's end.
func (d *devProcess) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(60 * time.Second):
		t.Fatalf("it does not end; it said:\n%s", d.stderr)
		return nil
	}
}

func (d *devProcess) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// mongoAddr is the address of its MongoDB.
func (d *devProcess) mongoAddr() string {
	addr, _, _ := strings.Cut(strings.TrimPrefix(d.uri, "mongodb://"), "/")
	return addr
}

func listens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// dev runs a MongoDB of its own, takes it along when it goes in whatever way,
// and finds its data again.
func TestDevOwnMongoDB(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	first := startDev(t, "--data", data)
	if first.app != "dev-local" {
		t.Errorf("app id %q, want dev-local", first.app)
	}
	u := call(t, "POST", first.url+"/api/client/v2.0/app/dev-local/auth/providers/anon-user/login", "", 200)
	for _, want := range []string{"app id    dev-local\n", "base URL  " + first.url + "\n", `database "dev"`} {
		if !strings.Contains(first.stderr.String(), want) {
			t.Errorf("standard error lacks %q: %s", want, first.stderr)
		}
	}
	first.signal(t, syscall.SIGKILL)
	_ = first.end(t)
	waitFor(t, "its MongoDB is gone, too", func() bool { return !listens(first.mongoAddr()) })

	second := startDev(t, "--data", data)
	call(t, "POST", second.url+"/api/client/v2.0/auth/session", u["refresh_token"], 201)
	second.signal(t, syscall.SIGTERM)
	if err := second.end(t); err != nil {
		t.Errorf("after SIGTERM: %v, want status 0", err)
	}
	if listens(second.mongoAddr()) {
		t.Error("its MongoDB still runs")
	}
}

func TestDevWithMongoDB(t *testing.T) {
	t.Parallel()
	d := startDev(t, "--mongodb", sharedMongo(t), "--app-id", "flags-abcde", "--database", "flags")
	if d.app != "flags-abcde" || d.uri != sharedMongo(t) {
		t.Errorf("got %+v", d)
	}
	if _, err := os.Stat(filepath.Join(d.cmd.Dir, defaultData)); err == nil {
		t.Error("it made a data folder that it does not need")
	}
	d.signal(t, os.Interrupt)
	if err := d.end(t); err != nil {
		t.Errorf("after SIGINT: %v, want status 0", err)
	}
	if !listens(d.mongoAddr()) {
		t.Error("it stopped a MongoDB that is not its own")
	}
}

// A second signal does not wait for what the first one waits for.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	d := startDev(t, "--mongodb", sharedMongo(t), "--app-id", "second-abcde", "--database", "second")
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request whose body does not come keeps the shutdown waiting.
	fmt.Fprintf(conn, "POST /api/client/v2.0/app/second-abcde/auth/providers/anon-user/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("got %q, %v; want the server to wait for the body", line, err)
	}
	d.signal(t, syscall.SIGTERM)
	waitFor(t, "it shuts down", func() bool { return strings.Contains(d.stderr.String(), "shutting down") })
	began := time.Now()
	d.signal(t, syscall.SIGTERM)
	err = d.end(t)
	if took := time.Since(began); err == nil || took > 5*time.Second {
		t.Errorf("after the second signal: %v, after %s; want status 1 at once", err, took)
	}
}

// An address that is taken is told before a MongoDB is started.
func TestDevAddressTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := filepath.Join(t.TempDir(), "data")
	err = dev(t.Context(), config.Flags{Listen: l.Addr().String()}, data, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "is in use by another program") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it made its data folder")
	}
}

// The loss of its MongoDB ends dev, with a word.
func TestDevMongoDBDies(t *testing.T) {
	t.Parallel()
	d := startDev(t, "--data", t.TempDir())
	killed := false
	for _, pid := range childrenOf(t, d.cmd.Process.Pid) {
		if p, err := os.FindProcess(pid); err == nil && p.Kill() == nil {
			killed = true
		}
	}
	if !killed {
		t.Fatal("it has no child")
	}
	if err := d.end(t); err == nil || !strings.Contains(d.stderr.String(), "bridge: mongod has ended; its log is ") {
		t.Errorf("it ended with %v and said %s", err, d.stderr)
	}
}

// childrenOf finds a process's children, whichever thread made them.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	var text []byte
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		more, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		text = append(append(text, ' '), more...)
	}
	var out []int
	for _, field := range bytes.Fields(text) {
		var child int
		if _, err := fmt.Sscan(string(field), &child); err != nil {
			t.Fatal(err)
		}
		out = append(out, child)
	}
	return out
}

func TestAnnouncedAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:9090": "127.0.0.1:9090", "[::]:9090": "127.0.0.1:9090", "0.0.0.0:80": "127.0.0.1:80", "192.0.2.7:1": "192.0.2.7:1", "[::1]:2": "[::1]:2",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("reachable(%s) = %s, want %s", addr, got, want)
		}
	}
	for uri, want := range map[string]string{
		"mongodb://127.0.0.1:1/?replicaSet=rs0":     "mongodb://127.0.0.1:1/?replicaSet=rs0",
		"mongodb://u:p@a:1,b:2/db?x=y":              "mongodb://a:1,b:2/db?x=y",
		"mongodb+srv://u:p%40x@cluster.example.net": "mongodb+srv://cluster.example.net",
		"mongodb://u:p/q@host/":                     "mongodb://…",
		"mongodb://u:p@q@host":                      "mongodb://host",
		"nonsense":                                  "",
	} {
		if got := withoutPassword(uri); got != want {
			t.Errorf("withoutPassword(%s) = %s, want %s", uri, got, want)
		}
	}
}
