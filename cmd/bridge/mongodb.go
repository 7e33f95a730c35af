package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/isthmus-sync/isthmus/config"
)

const (
	// preflightTimeout is how long MongoDB has to answer at start.
	preflightTimeout = 5 * time.Second

	// diagnosisTimeout bounds the question to one server when MongoDB as a whole
	// does not answer.
	diagnosisTimeout = 2 * time.Second

	// minWireVersion is that of MongoDB 6.0.
	minWireVersion = 17

	// preflightCollection is never made: what is asked of it finds nothing.
	preflightCollection = "__bridge_preflight"
)

// Codes of MongoDB's errors.
const (
	codeUnauthorized         = 13
	codeAuthenticationFailed = 18
	codeAtlasError           = 8000 // Atlas' wording of both
)

// mongoError is why MongoDB cannot be used, and what would mend it.
type mongoError struct {
	what string
	hint string
	err  error // the driver's; nil when what says it all
}

func (e *mongoError) Error() string {
	text := "MongoDB " + e.what
	if e.err != nil {
		text += ": " + briefly(e.err)
	}
	return text + "\n    " + e.hint
}

func (e *mongoError) Unwrap() error { return e.err }

// briefly is the cause of a driver's error without its state, which is long.
func briefly(err error) string {
	var selection topology.ServerSelectionError
	if errors.As(err, &selection) {
		for _, s := range selection.Desc.Servers {
			if s.LastError != nil {
				return s.LastError.Error()
			}
		}
	}
	return err.Error()
}

// driverName is the application name under which all nodes of an app, and nobody
// else, are known to MongoDB.
func driverName(app string) string { return "bridge " + app }

// openMongoDB connects and looks whether MongoDB is what the bridge needs: a
// replica set or sharded cluster, new enough, with the privileges on both
// databases.
func openMongoDB(ctx context.Context, app string, c config.MongoDB) (*mongo.Client, error) {
	opts := options.Client().ApplyURI(c.URI).SetAppName(driverName(app))
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, &mongoError{"cannot be connected to", "see mongodb.uri in the configuration", err}
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	if err := preflight(ctx, client, opts, c); err != nil {
		_ = client.Disconnect(context.WithoutCancel(ctx))
		return nil, err
	}
	return client, nil
}

// greeting is what a server says of itself.
type greeting struct {
	SetName        string   `bson:"setName"`
	IsReplicaSet   bool     `bson:"isreplicaset"` // started with --replSet, not initiated
	Message        string   `bson:"msg"`          // isdbgrid: a router of a sharded cluster
	Hosts          []string `bson:"hosts"`
	Primary        string   `bson:"primary"`
	MaxWireVersion int      `bson:"maxWireVersion"`
}

func greet(ctx context.Context, client *mongo.Client) (greeting, error) {
	var g greeting
	err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}},
		options.RunCmd().SetReadPreference(readpref.PrimaryPreferred())).Decode(&g)
	return g, err
}

func preflight(ctx context.Context, client *mongo.Client, opts *options.ClientOptions, c config.MongoDB) error {
	g, err := greet(ctx, client)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err() // the process is to end
		}
		if refusal := refused(err, c); refusal != nil {
			return refusal
		}
		return diagnose(ctx, opts, err)
	}
	if err := judgeGreeting(g, ""); err != nil {
		return err
	}
	if err := client.Ping(ctx, readpref.Primary()); err != nil {
		return &mongoError{"has no primary that can be reached", "see rs.status() on one of its members", err}
	}
	for _, probe := range []func(context.Context, *mongo.Client, config.MongoDB) error{probeDatabases, probeStream} {
		if err := probe(ctx, client, c); err != nil {
			if refusal := refused(err, c); refusal != nil {
				return refusal
			}
			return &mongoError{"does not answer", "see its log", err}
		}
	}
	return nil
}

const replicaSetHint = "transactions and change streams need a replica set: start mongod with --replSet rs0 and run rs.initiate() once in mongosh"

// judgeGreeting looks at what a server is; wanted is the name of the replica set
// that the connection string asks for.
func judgeGreeting(g greeting, wanted string) error {
	switch {
	case g.IsReplicaSet && g.SetName == "":
		return &mongoError{what: "is not an initiated replica set yet", hint: "run rs.initiate() once in mongosh"}
	case g.SetName == "" && g.Message != "isdbgrid":
		return &mongoError{what: "is a single server, not a replica set", hint: replicaSetHint}
	case wanted != "" && g.SetName != wanted:
		return &mongoError{what: fmt.Sprintf("calls its replica set %q, the connection string %q", g.SetName, wanted), hint: "mend replicaSet= in mongodb.uri"}
	case g.MaxWireVersion < minWireVersion:
		return &mongoError{what: "is older than 6.0", hint: "upgrade it to 6.0 or later"}
	}
	return nil
}

// diagnose asks each server by itself why the driver found none that it can
// use. The context may be over.
func diagnose(ctx context.Context, opts *options.ClientOptions, cause error) error {
	ctx = context.WithoutCancel(ctx)
	wanted := ""
	if opts.ReplicaSet != nil {
		wanted = *opts.ReplicaSet
	}
	unreachable := error(&mongoError{"cannot be reached at " + strings.Join(opts.Hosts, ", "), "start it, or mend mongodb.uri in the configuration", cause})
	for _, host := range opts.Hosts {
		if dial(ctx, host) != nil {
			continue
		}
		g, err := greetAlone(ctx, opts, host)
		if err != nil {
			continue
		}
		if err := judgeGreeting(g, wanted); err != nil {
			return err
		}
		for _, member := range g.Hosts {
			if err := dial(ctx, member); err != nil {
				unreachable = &mongoError{fmt.Sprintf("names %s as a member of its replica set, which cannot be reached from here", member),
					"give the members names that this machine can resolve (rs.reconfig), or add directConnection=true to mongodb.uri", err}
			}
		}
		if g.Primary == "" {
			return &mongoError{what: "has no primary at the moment", hint: "see rs.status() on " + host}
		}
	}
	return unreachable
}

func greetAlone(ctx context.Context, like *options.ClientOptions, host string) (greeting, error) {
	opts := options.Client().SetHosts([]string{host}).SetDirect(true).
		SetServerSelectionTimeout(diagnosisTimeout).SetConnectTimeout(diagnosisTimeout)
	opts.TLSConfig = like.TLSConfig
	client, err := mongo.Connect(opts)
	if err != nil {
		return greeting{}, err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	ctx, cancel := context.WithTimeout(ctx, diagnosisTimeout)
	defer cancel()
	return greet(ctx, client)
}

func dial(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: diagnosisTimeout}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// probeDatabases reads and writes, without effect, in both databases.
func probeDatabases(ctx context.Context, client *mongo.Client, c config.MongoDB) error {
	for _, name := range []string{c.Database, c.MetadataDatabase} {
		coll := client.Database(name).Collection(preflightCollection)
		nothing := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{}}}}}
		if _, err := coll.UpdateOne(ctx, nothing, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}); err != nil {
			return fmt.Errorf("write to database %q: %w", name, err)
		}
		if err := coll.FindOne(ctx, nothing).Err(); err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
			return fmt.Errorf("read from database %q: %w", name, err)
		}
	}
	return nil
}

// probeStream opens the change stream.
func probeStream(ctx context.Context, client *mongo.Client, c config.MongoDB) error {
	watch, what := client.Watch, "the cluster's change stream"
	if c.Watch == config.WatchDatabase {
		watch, what = client.Database(c.Database).Watch, fmt.Sprintf("the change stream of database %q", c.Database)
	}
	stream, err := watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetMaxAwaitTime(time.Millisecond))
	if err != nil {
		return fmt.Errorf("open %s: %w", what, err)
	}
	return stream.Close(ctx)
}

// refused tells missing rights from other errors; nil if it is another.
func refused(err error, c config.MongoDB) error {
	var server mongo.ServerError
	if !errors.As(err, &server) {
		if strings.Contains(err.Error(), "auth error") {
			return &mongoError{"refuses the user or password of mongodb.uri", "mend them there; authSource= names the database that knows the user", err}
		}
		return nil
	}
	switch {
	case server.HasErrorCode(codeAuthenticationFailed):
		return &mongoError{"refuses the user or password of mongodb.uri", "mend them there; authSource= names the database that knows the user", err}
	case server.HasErrorCode(codeUnauthorized), server.HasErrorCode(codeAtlasError):
		roles := fmt.Sprintf("give the user of mongodb.uri these roles: readWrite on %s, readWrite on %s", c.Database, c.MetadataDatabase)
		if c.Watch != config.WatchDatabase {
			roles += ", readAnyDatabase on admin (for the change stream; without it set mongodb.watch to database)"
		}
		return &mongoError{"refuses what the bridge needs to do", roles, err}
	}
	return nil
}

// pingMongoDB is the readiness check.
func pingMongoDB(client *mongo.Client) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := client.Ping(ctx, readpref.Primary()); err != nil {
			return errors.New(briefly(err))
		}
		return nil
	}
}
