// Package mongotest lends tests a real MongoDB: one single-node replica set
// for a test binary, and databases of their own in it.
//
// A test binary that uses it has
//
//	func TestMain(m *testing.M) { mongotest.Main(m) }
//
// A missing mongod fails the tests; it never skips them.
package mongotest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/isthmus-sync/isthmus/internal/abandoned"
	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// shared is the server of this test binary.
var shared struct {
	main atomic.Bool // Main is running

	once   sync.Once
	dir    string
	server *mongod.Server
	client *mongo.Client
	err    error

	names atomic.Int64
}

// Main runs the tests, then ends the server if one was started and fails if
// goroutines are left over. It does not return.
func Main(m *testing.M) {
	shared.main.Store(true)
	code := m.Run()
	stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left over by the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func stop() {
	if shared.client != nil {
		_ = shared.client.Disconnect(context.Background())
	}
	if shared.server != nil {
		shared.server.Kill() // nobody reads its files again
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
}

func start() {
	if shared.dir, shared.err = os.MkdirTemp("", "mongotest-"); shared.err != nil {
		return
	}
	shared.server, shared.err = mongod.Start(context.Background(), mongod.Options{Dir: shared.dir})
	if shared.err != nil {
		return
	}
	shared.client, shared.err = mongo.Connect(options.Client().ApplyURI(shared.server.URI))
}

func ensure(t testing.TB) {
	t.Helper()
	if !shared.main.Load() {
		t.Fatal("mongotest: the package's TestMain must call mongotest.Main")
	}
	shared.once.Do(start)
	if shared.err != nil {
		t.Fatalf("mongotest: %v", shared.err)
	}
}

// URI connects a driver to the shared server, starting it first if need be.
func URI(t testing.TB) string {
	t.Helper()
	ensure(t)
	return shared.server.URI
}

// Client is a driver connected to the shared server. It belongs to the
// package: a test must not disconnect it.
func Client(t testing.TB) *mongo.Client {
	t.Helper()
	ensure(t)
	return shared.client
}

// ProcessorTime is how long the shared server has kept a processor busy.
func ProcessorTime(t testing.TB) time.Duration {
	t.Helper()
	ensure(t)
	var status struct {
		Extra struct {
			User   int64 `bson:"user_time_us"`
			System int64 `bson:"system_time_us"`
		} `bson:"extra_info"`
	}
	if err := shared.client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		t.Fatalf("mongotest: %v", err)
	}
	return time.Duration(status.Extra.User+status.Extra.System) * time.Microsecond
}

// Database is an empty database of the test's own, through Client. It is
// dropped when the test ends, together with every other database whose name
// begins with its name, or with "__" and contains it.
func Database(t testing.TB) *mongo.Database {
	t.Helper()
	ensure(t)
	name := fmt.Sprintf("test%d_%d", os.Getpid(), shared.names.Add(1))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := drop(ctx, name); err != nil {
			t.Errorf("mongotest: %v", err)
		}
	})
	return shared.client.Database(name)
}

// drop drops the database and those made beside it: what the bridge keeps of
// an app whose id is the test's database name.
func drop(ctx context.Context, name string) error {
	names, err := shared.client.ListDatabaseNames(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, n := range names {
		if !belongs(n, name) {
			continue
		}
		if err := dropOne(ctx, n); err != nil {
			return fmt.Errorf("drop database %s: %w", n, err)
		}
	}
	return nil
}

// dropOne drops a database. It waits for open transactions in it: one that a
// killed process has left is ended after a while.
func dropOne(ctx context.Context, name string) error {
	const while = time.Second
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*while)
		err := shared.client.Database(name).Drop(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if _, err := abandoned.End(ctx, shared.client, "", while); err != nil {
			return err
		}
	}
}

// belongs says whether a database is the test's or one made beside it:
// "test7_1" owns "test7_1", "test7_1_meta" and "__bridge_test7_1", not "test7_12".
func belongs(database, name string) bool {
	if strings.HasPrefix(database, "__") {
		_, after, found := strings.Cut(database, name)
		return found && (after == "" || after[0] == '_' || after[0] == '-')
	}
	after, found := strings.CutPrefix(database, name)
	return found && (after == "" || after[0] == '_' || after[0] == '-')
}
