package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/internal/mongod"
	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// bareMongod runs a mongod with more arguments, in no way prepared, on the
// files in dir.
func bareMongod(t *testing.T, dir, addr string, args ...string) {
	t.Helper()
	path, err := mongod.Find()
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "db")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{
		"--dbpath", db, "--bind_ip", "127.0.0.1", "--port", port, "--nounixsocket",
		"--logpath", filepath.Join(dir, "bare.log"), "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64",
	}, args...)...)
	p, err := subprocess.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	waitFor(t, "mongod listens on "+addr, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

func tryOpen(uri string) error {
	client, err := openMongoDB(context.Background(), "tasks", config.MongoDB{URI: uri, Database: "tasks", MetadataDatabase: "__bridge_tasks"})
	if err != nil {
		return err
	}
	return client.Disconnect(context.Background())
}

// wantMongoErrors is wantMongoError for several connection strings.
func wantMongoErrors(t *testing.T, uris []string, want ...string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, uri := range uris {
		wg.Go(func() { wantMongoError(t, uri, want...) })
	}
	wg.Wait()
}

// wantMongoError checks what is said, and that it is said within seconds.
func wantMongoError(t *testing.T, uri string, want ...string) {
	t.Helper()
	began := time.Now()
	err := tryOpen(uri)
	took := time.Since(began)
	var e *mongoError
	if !errors.As(err, &e) {
		t.Errorf("%s: got %v, want a *mongoError", uri, err)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got  %v\nwant %s", err, w)
		}
	}
	if took > 4*preflightTimeout {
		t.Errorf("it took %s", took)
	}
}

func TestMongoDBAbsent(t *testing.T) {
	t.Parallel()
	addr := closedPort(t)
	wantMongoErrors(t, []string{"mongodb://" + addr, "mongodb://" + addr + "/?replicaSet=rs0", "mongodb://" + addr + "/?directConnection=true"},
		"MongoDB cannot be reached at "+addr, "connection refused", "\n    start it, or mend mongodb.uri")
}

func TestMongoDBStandalone(t *testing.T) {
	t.Parallel()
	s, err := mongod.Start(context.Background(), mongod.Options{Dir: t.TempDir(), Standalone: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	wantMongoErrors(t, []string{"mongodb://" + s.Addr, "mongodb://" + s.Addr + "/?replicaSet=rs0", "mongodb://" + s.Addr + "/?directConnection=true"},
		"MongoDB is a single server, not a replica set\n", "start mongod with --replSet rs0 and run rs.initiate()")
}

func TestMongoDBNotInitiated(t *testing.T) {
	t.Parallel()
	addr := closedPort(t)
	bareMongod(t, t.TempDir(), addr, "--replSet", "rs0")
	wantMongoErrors(t, []string{"mongodb://" + addr, "mongodb://" + addr + "/?replicaSet=rs0"},
		"MongoDB is not an initiated replica set yet\n", "run rs.initiate() once")
}

func TestMongoDBOtherSet(t *testing.T) {
	t.Parallel()
	uri := strings.Replace(sharedMongo(t), "replicaSet=rs0", "replicaSet=prod", 1)
	wantMongoError(t, uri, `MongoDB calls its replica set "rs0", the connection string "prod"`, "mend replicaSet=")
}

// A set whose members have names that only they know: what containers do. The
// name here is a forwarder's address that is gone later.
func TestMongoDBUnreachableMembers(t *testing.T) {
	t.Parallel()
	addr := closedPort(t)
	name, stop := forward(t, addr)
	bareMongod(t, t.TempDir(), addr, "--replSet", "rs0")
	direct := "mongodb://" + addr + "/?directConnection=true"
	runCommand(t, direct, "admin", bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: "rs0"},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: name}}}},
	}}})
	waitFor(t, "the set can be used", func() bool { return tryOpen("mongodb://"+addr+"/?replicaSet=rs0") == nil })
	stop()
	wantMongoError(t, "mongodb://"+addr+"/?replicaSet=rs0", "MongoDB names "+name+" as a member of its replica set, which cannot be reached from here", "rs.reconfig")
	if err := tryOpen(direct); err != nil {
		t.Errorf("by a direct connection: %v", err)
	}
}

// forward passes connections on to addr until it is stopped.
func forward(t *testing.T, addr string) (from string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		conns []net.Conn
		wg    sync.WaitGroup
	)
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			keep(in)
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			keep(out)
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				to.Close()
			}
			wg.Go(func() { pass(out, in) })
			wg.Go(func() { pass(in, out) })
		}
	})
	stop = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// Users and rights, on a server that asks for them.
func TestMongoDBRights(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	s, err := mongod.Start(ctx, mongod.Options{Dir: dir, OplogMB: 64})
	if err != nil {
		t.Fatal(err)
	}
	role := func(name, db string) bson.D { return bson.D{{Key: "role", Value: name}, {Key: "db", Value: db}} }
	for user, roles := range map[string]bson.A{
		"bridge":   {role("readWrite", "tasks"), role("readWrite", "__bridge_tasks"), role("readAnyDatabase", "admin")},
		"nostream": {role("readWrite", "tasks"), role("readWrite", "__bridge_tasks")},
		"nometa":   {role("readWrite", "tasks"), role("readAnyDatabase", "admin")},
		"reader":   {role("readAnyDatabase", "admin")},
	} {
		runCommand(t, s.URI, "admin", bson.D{{Key: "createUser", Value: user}, {Key: "pwd", Value: "secret"}, {Key: "roles", Value: roles}})
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, "key")
	if err := os.WriteFile(keyFile, []byte("a key that the members of the set share"), 0o600); err != nil {
		t.Fatal(err)
	}
	bareMongod(t, dir, s.Addr, "--replSet", mongod.DefaultReplSet, "--auth", "--keyFile", keyFile)
	uri := func(user, password string) string {
		return fmt.Sprintf("mongodb://%s:%s@%s/?replicaSet=%s", user, password, s.Addr, mongod.DefaultReplSet)
	}
	waitFor(t, "the right user is let in", func() bool { return tryOpen(uri("bridge", "secret")) == nil })

	const roles = "readWrite on tasks, readWrite on __bridge_tasks, readAnyDatabase on admin"
	wantMongoError(t, uri("bridge", "wrong"), "MongoDB refuses the user or password of mongodb.uri", "authSource=")
	wantMongoError(t, uri("nobody", "secret"), "MongoDB refuses the user or password of mongodb.uri")
	wantMongoError(t, "mongodb://"+s.Addr+"/?replicaSet=rs0", "MongoDB refuses what the bridge needs to do", roles)
	wantMongoError(t, uri("reader", "secret"), "MongoDB refuses what the bridge needs to do", `write to database "tasks"`, roles)
	wantMongoError(t, uri("nometa", "secret"), "MongoDB refuses what the bridge needs to do", `write to database "__bridge_tasks"`, roles)
	wantMongoError(t, uri("nostream", "secret"), "MongoDB refuses what the bridge needs to do", "change stream", roles)
	for _, password := range []string{"wrong", "secret"} {
		if err := tryOpen(uri("nostream", password)); strings.Contains(err.Error(), password) {
			t.Errorf("the password is told: %v", err)
		}
	}

	// Those rights are enough for everything that is done at start.
	cfg, err := config.Default("tasks", uri("bridge", "secret"), "tasks")
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(ctx, cfg, slog.New(slog.DiscardHandler), "127.0.0.1:0")
	if err != nil {
		t.Fatalf("with the rights that are asked for: %v", err)
	}
	n.close()

	// Who watches one database needs no right on the others.
	cfg, err = config.Default("tasks", uri("nostream", "secret"), "tasks")
	if err != nil {
		t.Fatal(err)
	}
	cfg.MongoDB.Watch = config.WatchDatabase
	n, err = openNode(ctx, cfg, slog.New(slog.DiscardHandler), "127.0.0.1:0")
	if err != nil {
		t.Fatalf("with the rights on two databases: %v", err)
	}
	defer n.close()
	ingesting, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.ingester.Run(ingesting) }()
	waitFor(t, "the database's stream is read", n.ingester.Running)
	if _, err := oldestOperation(ctx, n.mongo); !errors.Is(err, errOplogUnknown) {
		t.Errorf("without the right to ask, the oplog's oldest operation: %v, want errOplogUnknown", err)
	}
	if found := n.survey.look(ctx); !found.oldest.IsZero() {
		t.Errorf("the survey found %+v", found)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The command ends with status 1 and says the same.
func TestServeWithoutMongoDB(t *testing.T) {
	t.Parallel()
	addr := closedPort(t)
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	source := "app: {id: tasks}\nlisten: {addr: \"127.0.0.1:0\"}\nmongodb: {uri: \"mongodb://bridge:hunter2@" + addr + "\", database: tasks}\nauth: {providers: {anonymous: {}}}\n"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("bridge", "serve", "--config", file)
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("ended with %v, want status %d", err, exitFailure)
	}
	if got := stderr.String(); !strings.HasPrefix(got, "bridge: MongoDB cannot be reached at "+addr) || strings.Contains(got, "hunter2") {
		t.Errorf("standard error: %s", got)
	}
}
