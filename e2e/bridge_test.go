package e2e

import (
	"bufio"
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/internal/bridgeprogram"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

// shutdownTime is how long a bridge may take to finish what it is doing.
const shutdownTime = 30 * time.Second

// bridgeProgram is the path of the bridge.
func bridgeProgram(t testing.TB) string {
	t.Helper()
	return bridgeprogram.Path(t, os.Getenv("E2E_RACE") != "")
}

// bridge is a `bridge dev` under test. It keeps its address over restarts.
type bridge struct {
	url      string // what goes into the app
	app      string
	database string
	mongoURI string // of the mongod it uses

	t       testing.TB
	args    []string
	process *subprocess.Process
	log     *subprocess.Tail
}

// startBridge runs a bridge on the shared mongod, with an app and a database
// of its own.
func startBridge(t testing.TB) *bridge {
	t.Helper()
	name := mongotest.Database(t).Name()
	b := &bridge{t: t, app: name, database: name}
	b.run("--mongodb", mongotest.URI(t), "--database", name, "--data", t.TempDir())
	return b
}

// startBridgeWithMongod runs a bridge that runs its own mongod.
func startBridgeWithMongod(t testing.TB) *bridge {
	t.Helper()
	b := &bridge{t: t, app: "own-mongod", database: "documents"}
	b.run("--database", b.database, "--data", t.TempDir())
	return b
}

func (b *bridge) run(args ...string) {
	b.t.Helper()
	b.args = append([]string{"dev", "--app-id", b.app}, args...)
	b.start("127.0.0.1:0")
	b.t.Cleanup(func() {
		b.stop()
		if b.t.Failed() {
			b.t.Logf("what the bridge logged last:\n%s", b.log)
		}
	})
}

// start runs the program and waits until it says that it is ready.
func (b *bridge) start(listen string) {
	b.t.Helper()
	b.log = &subprocess.Tail{}
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(bridgeProgram(b.t), append(b.args, "--listen", listen)...)
	cmd.Env = bridgeprogram.Environ()
	cmd.Stdout, cmd.Stderr = w, b.log
	p, err := subprocess.Start(cmd)
	w.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	b.process = p
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if ready, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			b.takeReady(ready)
			return
		}
	}
	p.Kill()
	b.t.Fatalf("the bridge did not get ready (%v); it logged:\n%s", lines.Err(), b.log)
}

// takeReady reads the line by which the bridge says where it is:
// "ready url=http://… app_id=… mongodb=…".
func (b *bridge) takeReady(line string) {
	b.t.Helper()
	said := map[string]string{}
	for _, field := range strings.Fields(line) {
		key, value, _ := strings.Cut(field, "=")
		said[key] = value
	}
	b.url, b.mongoURI = said["url"], said["mongodb"]
	if u, err := url.Parse(b.url); err != nil || u.Port() == "" || b.mongoURI == "" || said["app_id"] != b.app {
		b.t.Fatalf("the bridge of app %s says %q", b.app, line)
	}
}

// kill ends the bridge as a crash would.
func (b *bridge) kill() { b.process.Kill() }

// restart runs a bridge that has ended again, on the same data and address.
func (b *bridge) restart() {
	b.t.Helper()
	b.check()
	b.start(strings.TrimPrefix(b.url, "http://"))
}

// stop ends the bridge in order, and checks that it was in order.
func (b *bridge) stop() {
	b.t.Helper()
	select {
	case <-b.process.Done():
	default:
		if err := b.process.Signal(syscall.SIGTERM); err != nil {
			b.t.Error(err)
		}
		select {
		case <-b.process.Done():
			if code := b.process.ExitCode(); code != 0 {
				b.t.Errorf("the bridge ended with status %d when it was told to stop", code)
			}
		case <-time.After(shutdownTime):
			b.kill()
			b.t.Errorf("the bridge did not stop within %v", shutdownTime)
		}
	}
	b.check()
}

// check looks for what must never be in the log, however the bridge ended.
func (b *bridge) check() {
	b.t.Helper()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(b.log.String(), bad) {
			b.t.Errorf("the bridge's log has %q", bad)
		}
	}
}

// collection is a collection of the app's documents, through a driver of the
// test's own.
func (b *bridge) collection(name string) *mongo.Collection {
	b.t.Helper()
	if b.mongoURI == mongotest.URI(b.t) {
		return mongotest.Client(b.t).Database(b.database).Collection(name)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(b.mongoURI))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		// It says good-bye to a mongod that may be gone by now.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client.Database(b.database).Collection(name)
}
