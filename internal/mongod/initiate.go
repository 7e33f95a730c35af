package mongod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

// codeNotYetInitialized is the error code of a server that has no replica set
// configuration, or has not loaded it yet.
const codeNotYetInitialized = 94

// direct connects to one server, whatever its place in a set.
func direct(addr string) (*mongo.Client, error) {
	return mongo.Connect(options.Client().
		SetHosts([]string{addr}).
		SetDirect(true).
		SetConnectTimeout(time.Second).
		SetServerSelectionTimeout(time.Second))
}

// withDirect lends a direct connection to one server.
func withDirect(addr string, use func(admin *mongo.Database) error) error {
	client, err := direct(addr)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	return use(client.Database("admin"))
}

// awaitCommands waits until the process answers at the server's address
// (another server may have that port). It fails when the process ends or the
// context does.
func (s *Server) awaitCommands(ctx context.Context, p *subprocess.Process) error {
	return withDirect(s.Addr, func(admin *mongo.Database) error {
		for {
			var status struct {
				Pid int `bson:"pid"`
			}
			err := admin.RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status)
			if err == nil && status.Pid == p.Pid() {
				return nil
			}
			select {
			case <-p.Done():
				return errors.New("the process ended")
			default:
			}
			if !pause(ctx) {
				return fmt.Errorf("it does not answer: %w", errors.Join(err, ctx.Err()))
			}
		}
	})
}

// setConfig is a replica set's configuration, as far as it concerns us.
type setConfig struct {
	ID       string      `bson:"_id"`
	Version  int         `bson:"version"`
	Members  []setMember `bson:"members"`
	Settings bson.D      `bson:"settings,omitempty"`
}

type setMember struct {
	ID   int    `bson:"_id"`
	Host string `bson:"host"`
}

// initiate makes the servers the members of a replica set and waits until one
// of them is a writable primary. It is right for a fresh set, for one that is
// already made, and for a lone server that has got another port since.
func initiate(ctx context.Context, name string, servers []*Server) error {
	if err := withDirect(servers[0].Addr, func(admin *mongo.Database) error {
		for {
			done, err := configure(ctx, admin, freshConfig(name, servers))
			if done {
				return nil
			}
			// A server in the middle of starting refuses this and that.
			if !pause(ctx) {
				return errors.Join(err, ctx.Err())
			}
		}
	}); err != nil {
		return fmt.Errorf("initiate replica set: %w", err)
	}
	_, err := awaitPrimary(ctx, servers)
	return err
}

// configure takes one step towards the wanted configuration and says whether
// the server has it.
func configure(ctx context.Context, admin *mongo.Database, want setConfig) (done bool, err error) {
	var reply struct {
		Config setConfig `bson:"config"`
	}
	err = admin.RunCommand(ctx, bson.D{{Key: "replSetGetConfig", Value: 1}}).Decode(&reply)
	var refused mongo.CommandError
	switch {
	case errors.As(err, &refused) && refused.Code == codeNotYetInitialized:
		err = admin.RunCommand(ctx, bson.D{{Key: "replSetInitiate", Value: want}}).Err()
		return err == nil, err
	case err != nil:
		return false, err
	case len(want.Members) == 1 && (len(reply.Config.Members) != 1 || reply.Config.Members[0].Host != want.Members[0].Host):
		want.Version = reply.Config.Version + 1
		err = admin.RunCommand(ctx, bson.D{{Key: "replSetReconfig", Value: want}, {Key: "force", Value: true}}).Err()
		return err == nil, err
	}
	return true, nil
}

// freshConfig has short election times in a set of several: a test that takes
// the primary away waits for the next one. (A lone server elects itself at once.)
func freshConfig(name string, servers []*Server) setConfig {
	c := setConfig{ID: name, Version: 1}
	for i, s := range servers {
		c.Members = append(c.Members, setMember{ID: i, Host: s.Addr})
	}
	if len(servers) > 1 {
		c.Settings = bson.D{{Key: "electionTimeoutMillis", Value: 2000}, {Key: "heartbeatIntervalMillis", Value: 500}}
	}
	return c
}

// awaitPrimary waits until one of the servers is a writable primary.
func awaitPrimary(ctx context.Context, servers []*Server) (*Server, error) {
	clients := make([]*mongo.Client, len(servers))
	for i, s := range servers {
		c, err := direct(s.Addr)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", s.Addr, err)
		}
		defer func() { _ = c.Disconnect(context.Background()) }()
		clients[i] = c
	}
	for {
		for i, c := range clients {
			select {
			case <-servers[i].Done():
				continue
			default:
			}
			var hello struct {
				Writable bool `bson:"isWritablePrimary"`
			}
			err := c.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
			if err == nil && hello.Writable {
				return servers[i], nil
			}
		}
		if !pause(ctx) {
			return nil, fmt.Errorf("no writable primary: %w", ctx.Err())
		}
	}
}
