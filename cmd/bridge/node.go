package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/admin"
	"github.com/isthmus-sync/isthmus/appservices"
	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/session"
	"github.com/isthmus-sync/isthmus/translator"
)

// node is everything that one process serves, wired together. What is opened
// first is closed last.
type node struct {
	cfg    *config.Config
	logger *slog.Logger
	name   string // the same after a restart, so that a lease goes on

	mongo    *mongo.Client
	embedded *session.EmbeddedRedis // nil unless configured
	redis    *session.RedisPresence // nil when the node is alone
	presence session.Presence
	store    *history.Store
	file     *history.File
	meters   *meters
	survey   *survey
	ingester *translator.Ingester
	sessions *session.Server
	login    *appservices.API
	admin    *admin.Server

	hangups sync.WaitGroup // connections that are closed after a log-out
}

// openNode opens everything but the listeners. addr is where devices will
// connect.
func openNode(ctx context.Context, cfg *config.Config, logger *slog.Logger, addr string) (_ *node, err error) {
	n := &node{cfg: cfg, logger: logger, name: nodeName(addr)}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.mongo, err = openMongoDB(ctx, cfg.App.ID, cfg.MongoDB); err != nil {
		return nil, err
	}
	if err = n.openPresence(); err != nil {
		return nil, err
	}
	if err = n.openSync(ctx); err != nil {
		return nil, explain(err, cfg.MongoDB)
	}
	if err = n.openHTTP(ctx); err != nil {
		return nil, explain(err, cfg.MongoDB)
	}
	return n, nil
}

// explain says which right is missing when that is why a step failed.
func explain(err error, c config.MongoDB) error {
	if refusal := refused(err, c); refusal != nil {
		return refusal
	}
	return err
}

// nodeName is the host's name and the address.
func nodeName(addr string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		port = addr
	}
	return host + ":" + port
}

// openPresence opens the presence board that is configured.
func (n *node) openPresence() error {
	c := n.cfg.Redis
	if c.Embedded {
		var err error
		if n.embedded, err = session.StartEmbeddedRedis(); err != nil {
			return err
		}
		c.Addr = n.embedded.Addr()
	}
	if c.Addr == "" {
		n.presence = session.NewMemoryPresence()
		return nil
	}
	opts := session.RedisOptions{
		Addr: c.Addr, Username: c.Username, Password: c.Password, DB: c.DB,
		App: n.cfg.App.ID, Node: n.presenceName(), Logger: n.logger,
	}
	if c.TLS {
		host, _, err := net.SplitHostPort(c.Addr)
		if err != nil {
			return fmt.Errorf("redis.addr: %w", err)
		}
		opts.TLS = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	n.redis = session.OpenRedisPresence(opts)
	n.presence = n.redis
	return nil
}

// presenceName is unique even if two hosts have one name: a node takes what
// comes from its own name for its own.
func (n *node) presenceName() string {
	var b [4]byte
	rand.Read(b[:])
	return n.name + "/" + hex.EncodeToString(b[:])
}

// openSync opens the history, the translator and the sync route.
func (n *node) openSync(ctx context.Context) error {
	classes, err := loadSchema(n.cfg.Schema.Files)
	if err != nil {
		return err
	}
	n.meters = newMeters()
	var ingester atomic.Pointer[translator.Ingester]
	documents := n.mongo.Database(n.cfg.MongoDB.Database)
	n.store, err = history.Open(ctx, history.Options{
		Client:          n.mongo,
		DriverName:      driverName(n.cfg.App.ID),
		Database:        n.cfg.MongoDB.MetadataDatabase,
		Mirror:          translator.NewMirror(documents, mapping(n.cfg)),
		Logger:          n.logger,
		DevelopmentMode: n.cfg.Sync.DevelopmentMode,
		Schema:          classes,
		QueryableFields: n.cfg.Sync.QueryableFields,
		MaxOffline:      n.cfg.Sync.MaxOffline,
		BatchEntries:    n.cfg.Sync.BatchChangesets,
		HintWait:        n.cfg.Sync.HintWait,
		OnBatch:         n.meters.onBatch,
		OnRetry:         n.meters.onRetry,
		OnDefect:        n.meters.onDefect,
		OnCommit:        func(file string, _ uint64) { n.presence.Publish(file) },
		OnSchema: func(string, *schema.Schema) {
			if g := ingester.Load(); g != nil {
				g.SchemaChanged()
			}
		},
	})
	if err != nil {
		return fmt.Errorf("open history: %w", err)
	}
	if n.file, err = n.store.File(ctx, history.FlexibleFile); err != nil {
		return fmt.Errorf("open history: %w", err)
	}
	n.survey = &survey{mongo: n.mongo, store: n.store, file: n.file, presence: n.presence, logger: n.logger}
	n.ingester = translator.NewIngester(n.mongo, documents.Name(), n.cfg.MongoDB.MetadataDatabase, n.store, n.file, n.name, n.logger)
	n.ingester.DatabaseOnly = n.cfg.MongoDB.Watch == config.WatchDatabase
	n.ingester.GuardGrace = cmp.Or(n.cfg.Sync.GuardGrace, n.ingester.GuardGrace)
	ingester.Store(n.ingester)
	return nil
}

// mapping is what the configuration says of documents.
func mapping(cfg *config.Config) translator.Mapping {
	return translator.Mapping{UnsetNulls: cfg.Sync.WriteNull == config.UnsetNull}
}

// openHTTP opens what answers requests.
func (n *node) openHTTP(ctx context.Context) error {
	checks := []admin.Check{admin.CheckFunc("mongodb", pingMongoDB(n.mongo)), admin.CheckFunc("ingest", n.checkIngest)}
	advisory := []admin.Check{admin.CheckFunc("held", n.survey.checkHolds), admin.CheckFunc("resume_token", n.survey.checkToken)}
	if n.redis != nil {
		advisory = append(advisory, admin.CheckFunc("redis", n.checkRedis))
	}
	n.admin = admin.New(admin.Options{Required: checks, Advisory: advisory, Version: versionText(), Logger: n.logger})
	registry := n.admin.Registry()

	store, err := appservices.OpenMongoStore(ctx, n.mongo, n.cfg.MongoDB.MetadataDatabase)
	if err != nil {
		return fmt.Errorf("open users: %w", err)
	}
	opts := appservices.Options{
		AppID: n.cfg.App.ID, Store: store,
		PublicURL: n.cfg.Listen.PublicURL, CORSOrigins: n.cfg.Listen.CORSOrigins,
		AccessTokenTTL: n.cfg.Auth.AccessTokenTTL, RefreshTokenTTL: n.cfg.Auth.RefreshTokenTTL,
		Logger: n.logger, Metrics: registry,
		OnLogOut: n.hangUp,
	}
	for _, k := range n.cfg.Auth.TokenKeys {
		opts.TokenKeys = append(opts.TokenKeys, appservices.Key{ID: k.ID, Secret: []byte(k.Secret)})
	}
	if a := n.cfg.Auth.Providers.Anonymous; a != nil {
		opts.Anonymous = &appservices.AnonymousOptions{TTL: a.RefreshTokenTTL}
	}
	if n.login, err = appservices.Open(ctx, opts); err != nil {
		return err
	}
	n.sessions = session.NewServer(session.Options{
		Files:         session.FromStore(n.store),
		Authenticator: authenticator{n.login},
		Flexible:      n.cfg.Sync.Mode == config.Flexible,
		Presence:      n.presence,
		Node:          n.name,
		Logger:        n.logger,
		OnError:       n.meters.onError,
	})
	if err := errors.Join(registry.Register(figures{n}), n.meters.register(registry)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if n.redis != nil {
		if err := registry.Register(n.redis); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// hangUp closes the connections of a user who has logged out somewhere; where
// another session of the user goes on, its device comes back with a new token.
func (n *node) hangUp(user, _ string) {
	n.hangups.Go(func() { n.sessions.Disconnect(user, protocol.CloseAuthExpired) })
}

// checkIngest is the readiness check of the change stream: this node reads it,
// or another one holds the lease.
func (n *node) checkIngest(ctx context.Context) error {
	if n.ingester.Running() {
		return nil
	}
	held, err := n.store.IngestHeld(ctx)
	if err != nil {
		return errors.New(briefly(err))
	}
	if !held {
		return errors.New("no node reads the change stream")
	}
	return nil
}

func (n *node) checkRedis(context.Context) error {
	if n.redis.Degraded() {
		return errors.New("not reachable: presence and wake-ups are this node's own")
	}
	return nil
}

// close closes what was opened, after everything that works with it has ended.
func (n *node) close() {
	n.hangups.Wait()
	if n.store != nil {
		n.store.Close() // commits that run are finished
	}
	if n.presence != nil {
		if err := n.presence.Close(); err != nil {
			n.logger.Warn("presence not closed in order", "error", err)
		}
	}
	if n.embedded != nil {
		n.embedded.Close()
	}
	if n.mongo != nil {
		ctx, cancel := context.WithTimeout(context.Background(), preflightTimeout)
		defer cancel()
		if err := n.mongo.Disconnect(ctx); err != nil {
			n.logger.Warn("MongoDB not disconnected in order", "error", err)
		}
	}
}
