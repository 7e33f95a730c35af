package metamorphic

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/session"
	"github.com/isthmus-sync/isthmus/translator"
)

// deployment is what its nodes have in common.
type deployment struct {
	client    *mongo.Client
	documents *mongo.Database
	metadata  string
	config    configuration
	presence  *session.MemoryPresence
	log       *slog.Logger
	defects   *defectCount
	started   atomic.Int64 // nodes, ever
}

// defectCount counts the defective pairs that the history has reported.
type defectCount struct {
	mu    sync.Mutex
	kinds map[string]int
}

func (d *defectCount) add(kind string) {
	d.mu.Lock()
	d.kinds[kind]++
	d.mu.Unlock()
}

func (d *defectCount) byKind() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.kinds)
}

// node is one node of the deployment: all that `bridge serve` runs, but for the
// log-in.
type node struct {
	dep      *deployment
	addr     string
	store    *history.Store
	file     *history.File
	sessions *session.Server
	http     *http.Server
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// tokens are the users' ids.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, _, token string) (string, error) {
	if token == "" {
		return "", session.ErrTokenRefused
	}
	return token, nil
}

// start starts a node.
func (d *deployment) start(ctx context.Context) (*node, error) {
	n := &node{dep: d}
	name := fmt.Sprintf("node%d", d.started.Add(1))
	var ingester atomic.Pointer[translator.Ingester]
	opts := history.Options{
		Client: d.client, Database: d.metadata, Mirror: translator.NewMirror(d.documents, translator.Mapping{}), Logger: d.log,
		DevelopmentMode: true,
		BatchEntries:    d.config.batchEntries, CacheBytes: d.config.cacheBytes, CacheStates: d.config.cacheStates,
		HintWait: d.config.hintWait, TailInterval: d.config.tailInterval,
		OnDefect: d.defects.add,
		OnSchema: func(string, *schema.Schema) {
			if g := ingester.Load(); g != nil {
				g.SchemaChanged()
			}
		},
	}
	if !d.config.learn {
		opts.Schema, opts.QueryableFields = appSchema, []string{"n", "t", "k"}
	}
	if d.config.wakeups {
		opts.OnCommit = func(file string, _ uint64) { d.presence.Publish(file) }
	}
	var err error
	if n.store, err = history.Open(ctx, opts); err != nil {
		return nil, err
	}
	if n.file, err = n.store.File(ctx, history.FlexibleFile); err != nil {
		n.store.Close()
		return nil, err
	}
	g := translator.NewIngester(d.client, d.documents.Name(), d.metadata, n.store, n.file, name, d.log)
	g.Lease, g.StreamBatch, g.ScanRange = 300*time.Millisecond, d.config.streamBatch, d.config.scanRange
	ingester.Store(g)
	ingesting, cancel := context.WithCancel(ctx)
	n.cancel = cancel
	n.running.Go(func() {
		if err := g.Run(ingesting); err != nil {
			d.log.Error("ingester", "error", err)
		}
	})
	sessions := session.Options{
		Files: session.FromStore(n.store), Authenticator: tokens{}, Flexible: true, Node: name, Logger: d.log,
		QuietDelay: d.config.quietDelay, ReturnSpread: time.Millisecond, ErrorGrace: 200 * time.Millisecond,
	}
	if d.config.wakeups {
		sessions.Presence = d.presence
	}
	n.sessions = session.NewServer(sessions)
	mux := http.NewServeMux()
	mux.Handle("/api/client/v2.0/app/{app}/realm-sync", n.sessions)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.stop(false)
		return nil, err
	}
	n.addr = listener.Addr().String()
	n.http = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	n.running.Go(func() { _ = n.http.Serve(listener) }) // it always ends with an error, ErrServerClosed
	return n, nil
}

// stop ends a node: kindly, having sent its devices away and committed what they
// had uploaded, or without a word.
func (n *node) stop(kindly bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if !kindly {
		cancel()
	}
	if n.sessions != nil {
		_ = n.sessions.Shutdown(ctx) // what is left is hung up on
	}
	if n.http != nil {
		n.http.Close()
	}
	n.cancel()
	n.store.Close()
	n.running.Wait()
}
