package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// defaultData is where dev keeps its MongoDB.
const defaultData = ".bridge-dev"

// slowStart is how long mongod may take to start without a word.
const slowStart = 5 * time.Second

// mongoEnv is the variable that overrides mongodb.uri.
const mongoEnv = "BRIDGE_MONGODB_URI"

func newDev() *cobra.Command {
	var (
		flags config.Flags
		data  string
	)
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a server for development, without configuration",
		Long: "dev runs the server without a configuration file: any device may log in\n" +
			"anonymously, classes are learnt from the devices. Unless it is given a MongoDB, it\n" +
			"runs one of its own in the data folder and stops it at the end.\n\n" +
			"When devices can connect, dev prints one line on standard output:\n" +
			"ready url=http://… app_id=… mongodb=…",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return dev(c.Context(), flags, data, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&flags.Listen, "listen", "", "address for devices, host:port (default "+config.DevAddr+")")
	c.Flags().StringVar(&flags.AppID, "app-id", "", "app id that devices use (default "+config.DevAppID+")")
	c.Flags().StringVar(&flags.MongoDB, "mongodb", "", "connection string of a replica set (default: a mongod of its own)")
	c.Flags().StringVar(&flags.Database, "database", "", "database of the documents (default "+config.DevDatabase+")")
	c.Flags().StringVar(&data, "data", defaultData, "folder of the mongod of its own")
	return c
}

func dev(ctx context.Context, flags config.Flags, data string, stdout, stderr io.Writer) error {
	own := flags.MongoDB == "" && os.Getenv(mongoEnv) == ""
	if own {
		flags.MongoDB = "mongodb://127.0.0.1/?replicaSet=" + mongod.DefaultReplSet // until it runs
	}
	cfg, err := config.Dev(flags)
	if err != nil {
		return fmt.Errorf("configuration:\n%w", err)
	}
	out := newConsole(stderr)
	logger := newLogger(cfg.Log, out)
	group, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	if own {
		// Rather now than after the start of a MongoDB that is stopped again.
		if l, err := listen(cfg.Listen.Addr); err != nil {
			return fmt.Errorf("listen.addr: %w", err)
		} else if err := l.Close(); err != nil {
			return fmt.Errorf("listen.addr: %w", err)
		}
		slow := time.AfterFunc(slowStart, func() {
			logger.Info("mongod has not started yet; should another bridge use the folder, stop that one, or name another folder with --data", "data", data)
		})
		server, err := mongod.Start(ctx, mongod.Options{Dir: filepath.Join(data, "mongodb")})
		slow.Stop()
		if ctx.Err() != nil && err != nil {
			logger.Info("shut down before it served", "error", err)
			return nil
		}
		if err != nil {
			return ownMongoError(err)
		}
		cfg.MongoDB.URI = server.URI
		logger.Info("mongod started", "uri", server.URI, "data", server.Dir(), "log", server.LogPath())
		defer func() {
			if err := server.Stop(); err != nil {
				logger.Warn("mongod not stopped in order", "error", err)
			}
		}()
		group.Go(func() error {
			select {
			case <-server.Done():
				return fmt.Errorf("mongod has ended; its log is %s", server.LogPath())
			case <-serving.Done():
				return nil
			}
		})
	}
	group.Go(func() error {
		defer stop()
		return run(serving, cfg, logger, out, func(addr string) { announce(cfg, addr, stdout, out) })
	})
	return group.Wait()
}

// ownMongoError adds that another MongoDB will do.
func ownMongoError(err error) error {
	if errors.Is(err, mongod.ErrNotFound) {
		return fmt.Errorf("%w\n    or name a replica set with --mongodb", err)
	}
	return err
}

// announce prints the line that programs wait for, and for people what to put
// into the app.
func announce(cfg *config.Config, addr string, stdout, stderr io.Writer) {
	base := cfg.Listen.PublicURL
	if base == "" {
		base = "http://" + reachable(addr)
	}
	uri := withoutPassword(cfg.MongoDB.URI)
	fmt.Fprintf(stdout, "ready url=%s app_id=%s mongodb=%s\n", base, cfg.App.ID, uri)
	fmt.Fprintf(stderr, "\nPut into the app:\n"+
		"    app id    %s\n"+
		"    base URL  %s\n"+
		"Phones and emulators reach this machine by another name: listen on all addresses\n"+
		"(--listen :9090) and use http://ADDRESS-OF-THIS-MACHINE:PORT, or http://10.0.2.2:PORT\n"+
		"in an Android emulator.\n"+
		"Documents are in database %q of %s\n\n", cfg.App.ID, base, cfg.MongoDB.Database, uri)
}

// reachable turns an address for all interfaces into one that can be dialled.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// withoutPassword is a connection string that may be shown. (It is no URL: it
// may name several hosts.)
func withoutPassword(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		return ""
	}
	hosts, options := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		hosts, options = rest[:i], rest[i:]
	}
	if strings.Contains(options, "@") {
		return scheme + "://…" // a password with a slash in it
	}
	return scheme + "://" + hosts[strings.LastIndexByte(hosts, '@')+1:] + options
}
