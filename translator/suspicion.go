package translator

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// suspicion is that much of a class went unseen: a comparison found objects without
// documents. Often the stream is only about to tell of it, and what it tells the
// history guards. What the stream has not told of when it has passed that moment, it
// does not tell.
type suspicion struct {
	missing []changeset.Key // some of the objects
	head    uint64          // of the history, then
	at      bson.Timestamp  // MongoDB's time, after a write that came later
	since   time.Time
}

// errUntold: it can't be said yet whether the stream tells what a comparison would
// erase.
var errUntold = errors.New("the change stream may yet tell why much of the class is gone")

// suspect begins a suspicion. It has the bridge write something, since MongoDB's time,
// and with it the stream, does not move on while nobody writes.
func (g *Ingester) suspect(ctx context.Context, missing []changeset.Key) (*suspicion, error) {
	if err := g.File.Refresh(ctx); err != nil {
		return nil, err
	}
	s := &suspicion{missing: missing, since: time.Now()}
	s.head, _ = g.File.Head()
	_, ok, err := g.Store.AcquireIngest(ctx, g.Owner, g.Lease)
	if err == nil && !ok {
		err = history.ErrLeaseLost
	}
	if err != nil {
		return nil, err
	}
	session, err := g.Client.StartSession()
	if err != nil {
		return nil, err
	}
	defer session.EndSession(ctx)
	if _, err := g.Store.IngestToken(mongo.NewSessionContext(ctx, session)); err != nil {
		return nil, err
	}
	if t := session.OperationTime(); t != nil {
		s.at = *t
	}
	return s, nil
}

// ripe reports whether the stream has told, and the history has committed, all that
// happened before the suspicion. How far a stream has come whose tokens are in no
// known form can't be said; it gets as long as a restore does.
func (g *Ingester) ripe(s *suspicion) bool {
	reached := g.reachedAt()
	if reached.IsZero() {
		return time.Since(s.since) > g.GuardGrace
	}
	return !reached.Before(s.at)
}

// confirmed reports whether some of the objects that raised the suspicion are still
// without documents, and were not made anew meanwhile.
func (g *Ingester) confirmed(ctx context.Context, c *schema.Class, s *suspicion) (bool, error) {
	missing, err := g.comparer().missing(ctx, c, s.missing)
	if err != nil {
		return false, err
	}
	n, err := g.File.CountUnchanged(ctx, c.Name, missing, s.head)
	return n > 0, err
}
