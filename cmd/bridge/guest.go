package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

// deployment is the app and the cluster that a command is about: those of a
// configuration file, or those that dev serves.
type deployment struct {
	path  string
	flags config.Flags
}

// deploymentHelp ends the help of commands that have a deployment.
const deploymentHelp = "\n\nThe app and its MongoDB are those of the configuration. For what dev serves, name them\n" +
	"as it does: --mongodb, and --app-id and --database unless it has the default ones. A\n" +
	"running server is not disturbed, and need not run."

// bind adds the flags to a command.
func (d *deployment) bind(c *cobra.Command) {
	c.Flags().StringVar(&d.path, "config", defaultConfig, "configuration file")
	c.Flags().StringVar(&d.flags.MongoDB, "mongodb", "", "connection string, instead of a configuration file")
	c.Flags().StringVar(&d.flags.AppID, "app-id", "", "app id, with --mongodb (default "+config.DevAppID+")")
	c.Flags().StringVar(&d.flags.Database, "database", "", "database of the documents, with --mongodb (default "+config.DevDatabase+")")
}

// load reads the configuration.
func (d *deployment) load(c *cobra.Command) (*config.Config, error) {
	if d.flags.MongoDB == "" {
		if d.flags.AppID != "" || d.flags.Database != "" {
			return nil, usageError{errors.New("--app-id and --database go with --mongodb; without it the configuration file says both")}
		}
		if _, err := os.Stat(d.path); errors.Is(err, os.ErrNotExist) && !c.Flags().Changed("config") {
			return nil, usageError{fmt.Errorf("there is no %s here: name the configuration with --config, or the MongoDB with --mongodb", defaultConfig)}
		}
		cfg, err := config.Load(d.path)
		if err != nil {
			return nil, fmt.Errorf("configuration:\n%w", err)
		}
		return cfg, nil
	}
	if c.Flags().Changed("config") {
		return nil, usageError{errors.New("--config and --mongodb exclude each other")}
	}
	cfg, err := config.Dev(d.flags)
	if err != nil {
		return nil, fmt.Errorf("configuration:\n%w", err)
	}
	return cfg, nil
}

// guest is the history of an app, opened beside the nodes that serve it.
type guest struct {
	cfg       *config.Config
	mongo     *mongo.Client
	documents *mongo.Database
	store     *history.Store
	file      *history.File
	changed   atomic.Int64 // objects that this process's commits were about
}

// open opens what the command's flags name.
func (d *deployment) open(c *cobra.Command) (_ *guest, err error) {
	cfg, err := d.load(c)
	if err != nil {
		return nil, err
	}
	ctx := c.Context()
	g := &guest{cfg: cfg}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if g.mongo, err = openMongoDB(ctx, cfg.App.ID, cfg.MongoDB); err != nil {
		return nil, err
	}
	g.documents = g.mongo.Database(cfg.MongoDB.Database)
	classes, err := loadSchema(cfg.Schema.Files)
	if err != nil {
		return nil, err
	}
	g.store, err = history.Open(ctx, history.Options{
		Client:     g.mongo,
		DriverName: driverName(cfg.App.ID),
		Database:   cfg.MongoDB.MetadataDatabase,
		Mirror:     translator.NewMirror(g.documents, mapping(cfg)),
		Logger:     newLogger(config.Log{Level: "error", Format: "text"}, c.ErrOrStderr()), // warnings are told by the commands
		Schema:     classes,
		Guest:      true,
		OnBatch:    func(b history.Batch) { g.changed.Add(int64(b.Objects)) },
	})
	if err == nil {
		g.file, err = g.store.File(ctx, history.FlexibleFile)
	}
	if errors.Is(err, history.ErrNeverServed) {
		return nil, fmt.Errorf("no bridge has ever served app %q here: database %q has no history\n    is it the right app, and the right MongoDB?",
			cfg.App.ID, cfg.MongoDB.MetadataDatabase)
	}
	if err != nil {
		return nil, explain(fmt.Errorf("open history: %w", err), cfg.MongoDB)
	}
	return g, nil
}

// close ends what open has begun.
func (g *guest) close() {
	if g.store != nil {
		g.store.Close()
	}
	if g.mongo != nil {
		ctx, cancel := context.WithTimeout(context.Background(), preflightTimeout)
		defer cancel()
		_ = g.mongo.Disconnect(ctx)
	}
}

// classes are the names of the classes that have collections, sorted.
func (g *guest) classes() []string {
	s := g.file.Schema()
	var out []string
	for _, name := range s.ClassNames() {
		if s.Class(name).Kind != changeset.Embedded {
			out = append(out, name)
		}
	}
	return out
}

// class returns the class of that name, or whose collection has it.
func (g *guest) class(name string) (*schema.Class, error) {
	s, names := g.file.Schema(), g.classes()
	c := s.Class(name)
	if c != nil && c.Kind != changeset.Embedded {
		return c, nil
	}
	for _, n := range names {
		if s.Class(n).CollectionName() == name {
			return s.Class(n), nil
		}
	}
	switch {
	case c != nil:
		return nil, fmt.Errorf("class %s is embedded: its objects are parts of others' documents", name)
	case len(names) == 0:
		return nil, fmt.Errorf("there is no class %q, nor any other yet", name)
	}
	return nil, fmt.Errorf("there is no class %q; there are: %s", name, strings.Join(names, ", "))
}

// newDeploymentCommand returns a command that works on a deployment: run gets it
// opened.
func newDeploymentCommand(c *cobra.Command, run func(c *cobra.Command, g *guest, args []string) error) *cobra.Command {
	var d deployment
	c.Long += deploymentHelp
	c.RunE = func(c *cobra.Command, args []string) error {
		g, err := d.open(c)
		if err != nil {
			return err
		}
		defer g.close()
		return run(c, g, args)
	}
	d.bind(c)
	return c
}
