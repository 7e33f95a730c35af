package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// TestMain makes the test binary runnable as bridge, from scripts and by
// os/exec.
func TestMain(m *testing.M) {
	testscript.Main(testRun{m}, map[string]func(){"bridge": main})
}

// testRun stops the MongoDB that the tests share.
type testRun struct{ m *testing.M }

func (r testRun) Run() int {
	code := r.m.Run()
	if shared.server != nil {
		shared.server.Kill()
	}
	if shared.dir != "" {
		if err := os.RemoveAll(shared.dir); err != nil && code == 0 {
			code = 1
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left over by the tests:", err)
			code = 1
		}
	}
	return code
}

var shared struct {
	once   sync.Once
	dir    string
	server *mongod.Server
	err    error
}

// sharedMongo is the address of a replica set that the tests share.
func sharedMongo(t *testing.T) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "bridge-test-"); shared.err == nil {
			shared.server, shared.err = mongod.Start(context.Background(), mongod.Options{Dir: shared.dir})
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server.URI
}

// runCommand runs a command of a database.
func runCommand(t *testing.T, uri, database string, command bson.D) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	if err := client.Database(database).RunCommand(context.Background(), command).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
