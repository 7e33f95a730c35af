package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/appservices"
	"github.com/isthmus-sync/isthmus/config"
)

const (
	// shutdownGrace is how long a shutdown waits for uploads to be committed and
	// for devices to hang up.
	shutdownGrace = 20 * time.Second

	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second // of a whole request; a WebSocket has its own
	keepAliveTimeout  = 2 * time.Minute
	maxHeader         = 64 << 10 // bytes; tokens travel in URLs
)

// syncRoute is the path of the WebSocket.
const syncRoute = "GET " + appservices.Base + "app/{app}/realm-sync"

func newServe() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "serve runs the server until SIGTERM or SIGINT; it then finishes what is being\n" +
			"committed. A second signal ends it at once.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path)
			if err != nil {
				return fmt.Errorf("configuration:\n%w", err)
			}
			out := newConsole(c.ErrOrStderr())
			return run(c.Context(), cfg, newLogger(cfg.Log, out), out, func(string) {})
		},
	}
	c.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	return c
}

// run serves until the context ends, then shuts down in order. When devices can
// connect it calls ready with the address they connect to. It logs to logger, and
// shows on out what is for people alone.
func run(ctx context.Context, cfg *config.Config, logger *slog.Logger, out *console, ready func(addr string)) error {
	for _, w := range cfg.Warnings {
		logger.Warn("configuration: "+w.Message, "place", w.Place.String(), "hint", w.Hint)
	}
	listener, err := listen(cfg.Listen.Addr)
	if err != nil {
		return fmt.Errorf("listen.addr: %w", err)
	}
	defer listener.Close()
	n, err := openNode(ctx, cfg, logger, listener.Addr().String())
	if ctx.Err() != nil && err != nil {
		logger.Info("shut down before it served", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer n.close()

	servers := []*http.Server{n.httpServer(n.deviceRoutes())}
	listeners := []net.Listener{listener}
	if cfg.Admin.Addr != "" {
		l, err := listen(cfg.Admin.Addr)
		if err != nil {
			return fmt.Errorf("admin.addr: %w", err)
		}
		defer l.Close()
		servers, listeners = append(servers, n.httpServer(n.admin)), append(listeners, l)
	}

	ingestCtx, stopIngest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopIngest()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.ingester.Run(ingestCtx) })
	group.Go(func() error {
		n.survey.run(groupCtx)
		return nil
	})
	group.Go(func() error {
		out.follow(groupCtx, n.ingester.Scans)
		return nil
	})
	for i, server := range servers {
		tls := i == 0 && cfg.Listen.TLS.Enabled()
		group.Go(func() error { return serveHTTP(server, listeners[i], cfg.Listen.TLS, tls) })
	}
	group.Go(func() error {
		<-groupCtx.Done() // a signal, or a server that failed
		n.shutDown(servers)
		stopIngest()
		return nil
	})
	logger.Info("serving", "addr", listener.Addr().String(), "app", cfg.App.ID, "database", cfg.MongoDB.Database,
		"node", n.name, "version", versionText())
	n.tellStanding()
	ready(listener.Addr().String())
	err = group.Wait()
	if err == nil {
		logger.Info("shut down")
	}
	return err
}

// tellStanding logs what was wrong before this node came.
func (n *node) tellStanding() {
	for _, h := range sortedHolds(n.file.Holds()) {
		n.logger.Warn("class is held: devices keep its objects, uploads to it wait", "class", h.Class, "since", h.Since, "reason", h.Reason, "hint", holdState(h))
	}
	if count := n.file.Unsynced(); count > 0 {
		n.logger.Warn("documents can't be synced", "documents", count, "hint", "bridge unsynced lists them")
	}
}

// listen listens on a TCP address.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program\n    stop that one, or choose another address", addr)
	}
	return l, err
}

// deviceRoutes are what devices ask for, and what operators do unless that has
// an address of its own.
func (n *node) deviceRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(appservices.Base, n.login)
	mux.Handle(syncRoute, n.sessions)
	for _, path := range n.admin.Paths() {
		if n.cfg.Admin.Addr == "" || path == "/logs" {
			mux.Handle(path, n.admin) // errors that devices get link to /logs
		}
	}
	return mux
}

func (n *node) httpServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // a WebSocket begins with HTTP/1.1
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}
}

func serveHTTP(server *http.Server, l net.Listener, files config.TLS, tls bool) error {
	var err error
	if tls {
		err = server.ServeTLS(l, files.Cert, files.Key)
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP: %w", err)
}

// shutDown sends the devices away and waits until what they sent is committed.
func (n *node) shutDown(servers []*http.Server) {
	n.logger.Info("shutting down")
	n.admin.Drain()
	n.store.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return n.sessions.Shutdown(ctx) })
	for _, s := range servers {
		group.Go(func() error { return s.Shutdown(ctx) })
	}
	if err := group.Wait(); err != nil {
		n.logger.Warn("not everything ended in time", "error", err)
	}
}
