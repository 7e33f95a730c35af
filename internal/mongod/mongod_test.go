package mongod_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/isthmus-sync/isthmus/internal/mongod"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, opt mongod.Options) *mongod.Server {
	t.Helper()
	s, err := mongod.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func connect(t *testing.T, uri string) *mongo.Collection {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// It says good-bye to a server that may be gone by now.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = c.Disconnect(ctx)
	})
	return c.Database("test").Collection("things")
}

func insert(t *testing.T, c *mongo.Collection, id int) {
	t.Helper()
	if _, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}}); err != nil {
		t.Fatalf("insert %d: %v", id, err)
	}
}

func count(t *testing.T, c *mongo.Collection, want int64) {
	t.Helper()
	got, err := c.CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%d documents, want %d", got, want)
	}
}

// TestServerTakesTransactions checks what the bridge needs of a server: it is a
// primary the moment Start returns, and takes multi-document transactions.
func TestServerTakesTransactions(t *testing.T) {
	s := start(t, mongod.Options{Dir: t.TempDir()})
	c := connect(t, s.URI)
	insert(t, c, 1)
	session, err := c.Database().Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(context.Background())
	_, err = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
		return c.InsertMany(ctx, []any{bson.D{{Key: "_id", Value: 2}}, bson.D{{Key: "_id", Value: 3}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	count(t, c, 3)
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestRestartKeepsWhatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s := start(t, mongod.Options{Dir: dir})
	c := connect(t, s.URI)
	insert(t, c, 1)
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("restart after a kill: %v", err)
	}
	insert(t, c, 2)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("restart after a stop: %v", err)
	}
	count(t, c, 2)
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart of a running server returned no error")
	}
	s.Kill()

	again := start(t, mongod.Options{Dir: dir})
	if again.Addr != s.Addr {
		t.Errorf("started on %s, want the port of before: %s", again.Addr, s.Addr)
	}
	count(t, connect(t, again.URI), 2)
}

// TestPortTakenMeanwhile starts a server whose replica set knows it by a port
// that somebody else uses now.
func TestPortTakenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s := start(t, mongod.Options{Dir: dir})
	insert(t, connect(t, s.URI), 1)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	moved := start(t, mongod.Options{Dir: dir})
	if moved.Addr == s.Addr {
		t.Fatalf("started on %s, which is taken", s.Addr)
	}
	c := connect(t, moved.URI)
	insert(t, c, 2)
	count(t, c, 2)
}

func TestStandaloneHasNoSet(t *testing.T) {
	s := start(t, mongod.Options{Dir: t.TempDir(), Standalone: true})
	var hello bson.M
	err := connect(t, s.URI).Database().RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := hello["setName"]; ok {
		t.Errorf("a standalone server says it is in set %v", name)
	}
}

func TestStepDownAndLossOfAMember(t *testing.T) {
	set, err := mongod.StartSet(t.Context(), 3, mongod.Options{Dir: t.TempDir(), CacheMB: 256, OplogMB: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Kill)
	c := connect(t, set.URI)
	insert(t, c, 1)
	first, err := set.Primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := set.StepDown(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second == first {
		t.Error("the primary is the same after StepDown")
	}
	insert(t, c, 2)
	second.Kill()
	if _, err := set.Primary(t.Context()); err != nil {
		t.Fatalf("no primary after one of three was killed: %v", err)
	}
	insert(t, c, 3)
	if err := set.Restart(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	count(t, c, 3)
}

func TestStartErrors(t *testing.T) {
	program, err := mongod.Find()
	if err != nil {
		t.Fatal(err)
	}
	running := start(t, mongod.Options{Dir: t.TempDir()})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		opt  mongod.Options
		want string
	}{
		{"no folder", mongod.Options{}, "no folder"},
		{"a file for a folder", mongod.Options{Dir: file}, "not a directory"},
		{"folder in use", mongod.Options{Dir: running.Dir(), StartTimeout: time.Second}, "another mongod is using"},
		{"unknown parameter", mongod.Options{Dir: t.TempDir(), Parameters: map[string]string{"noSuchThing": "1"}}, "status"},
		{"no such program", mongod.Options{Dir: t.TempDir(), Path: program + ".missing"}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := mongod.Start(t.Context(), test.opt)
			if err == nil {
				s.Kill()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want something with %q", err, test.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	program := func(path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := t.TempDir()
	repo := filepath.Join(root, "repo")
	inside := filepath.Join(repo, "some", "package")
	outside := filepath.Join(root, "elsewhere")
	for _, dir := range []string{inside, outside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(repo, "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	named := program(filepath.Join(root, "named"))
	onPath := program(filepath.Join(root, "bin", "mongod"))
	cached := program(filepath.Join(repo, ".cache", "mongod", "mongod"))
	above := program(filepath.Join(root, ".cache", "mongod", "mongod"))

	for _, test := range []struct {
		name, env, path, dir string
		remove               string
		want                 string // empty: ErrNotFound
	}{
		{name: "MONGOD wins", env: named, path: filepath.Dir(onPath), dir: inside, want: named},
		{name: "then the PATH", path: filepath.Dir(onPath), dir: inside, want: onPath},
		{name: "then the cache", dir: inside, want: cached},
		{name: "not above the module", dir: inside, remove: cached},
		{name: "above where there is no module", dir: outside, want: above},
		{name: "MONGOD that is not there", env: named + "x", path: filepath.Dir(onPath), dir: inside},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(mongod.EnvPath, test.env)
			t.Setenv("PATH", test.path)
			t.Chdir(test.dir)
			if test.remove != "" {
				if err := os.Remove(test.remove); err != nil {
					t.Fatal(err)
				}
			}
			got, err := mongod.Find()
			if test.want == "" {
				var hinted *mongod.Error
				if !errors.Is(err, mongod.ErrNotFound) || !errors.As(err, &hinted) || hinted.Hint == "" {
					t.Fatalf("got %q, %v; want ErrNotFound with a hint", got, err)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
