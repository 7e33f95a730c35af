package mongod

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Set is a replica set of several servers, for what one alone cannot show:
// step-downs, elections, the loss of a member.
type Set struct {
	// Members in the order of their folders; some may be stopped.
	Members []*Server

	// URI names all members.
	URI string
}

// StartSet runs a replica set of n servers, each in a folder of its own below
// opt.Dir, and returns when one of them is a writable primary. A set that was
// made there before must find its ports free again.
func StartSet(ctx context.Context, n int, opt Options) (*Set, error) {
	if n < 1 || opt.Standalone || opt.Port != 0 {
		return nil, errors.New("start replica set: it wants at least one member, no fixed port, and no member alone")
	}
	opt = opt.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, opt.StartTimeout)
	defer cancel()
	set := &Set{}
	var addrs []string
	for i := range n {
		member := opt
		member.Dir = filepath.Join(opt.Dir, "member"+strconv.Itoa(i))
		s, err := launch(ctx, member)
		if err != nil {
			set.Kill()
			return nil, fmt.Errorf("start replica set: member %d: %w", i, err)
		}
		set.Members = append(set.Members, s)
		addrs = append(addrs, s.Addr)
	}
	set.URI = "mongodb://" + strings.Join(addrs, ",") + "/?replicaSet=" + opt.ReplSet
	if err := initiate(ctx, opt.ReplSet, set.Members); err != nil {
		set.Kill()
		return nil, &Error{Op: "start replica set", Err: err, Hint: "the logs are below " + opt.Dir}
	}
	return set, nil
}

// Primary is the member that accepts writes; it waits until there is one.
func (s *Set) Primary(ctx context.Context) (*Server, error) {
	return awaitPrimary(ctx, s.Members)
}

// StepDown makes the primary give up its place, as a planned failover does,
// and returns the next one.
func (s *Set) StepDown(ctx context.Context) (*Server, error) {
	old, err := s.Primary(ctx)
	if err != nil {
		return nil, err
	}
	err = withDirect(old.Addr, func(admin *mongo.Database) error {
		return admin.RunCommand(ctx, bson.D{
			{Key: "replSetStepDown", Value: 10},
			{Key: "secondaryCatchUpPeriodSecs", Value: 5},
		}).Err()
	})
	if err != nil && !mongo.IsNetworkError(err) {
		return nil, fmt.Errorf("step down: %w", err)
	}
	return s.Primary(ctx)
}

// Restart runs a member again that was stopped or killed; it does not wait
// for it to catch up.
func (s *Set) Restart(ctx context.Context, member *Server) error {
	ctx, cancel := context.WithTimeout(ctx, member.opt.StartTimeout)
	defer cancel()
	return member.relaunch(ctx)
}

// Stop ends all members in order.
func (s *Set) Stop() error {
	var errs []error
	for _, m := range s.Members {
		errs = append(errs, m.Stop())
	}
	return errors.Join(errs...)
}

// Kill ends all members as a power cut would.
func (s *Set) Kill() {
	for _, m := range s.Members {
		m.Kill()
	}
}
