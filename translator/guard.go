package translator

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// gone answers the disappearance of a collection: its class is held.
func (r *reader) gone(ctx context.Context, kind, coll string, e bson.Raw) error {
	hold := func(coll, what string) error {
		if c := r.class(coll); c != nil {
			return r.g.File.Hold(ctx, c.Name, fmt.Sprintf("collection %s was %s", coll, what))
		}
		return nil
	}
	switch kind {
	case "drop":
		return hold(coll, "dropped")
	case "rename":
		if err := hold(coll, "renamed"); err != nil {
			return err
		}
		to, _ := e.Lookup("to", "coll").StringValueOK()
		return hold(to, "replaced by a renamed one")
	}
	r.class("") // learn which collections there are
	for coll := range r.collections {
		if err := hold(coll, "dropped with its database"); err != nil {
			return err
		}
	}
	return nil
}

// settleHolds looks at the collections of held classes when their grace is over,
// and releases the classes that it may compare with them.
func (g *Ingester) settleHolds(ctx context.Context) error {
	t := time.NewTicker(min(time.Second, g.GuardGrace))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		s := g.File.Schema()
		for name, h := range g.File.Holds() {
			if time.Since(h.Since) < g.GuardGrace && !h.Accepted {
				continue
			}
			if c := s.Class(name); c != nil {
				if err := g.settle(ctx, c, h); err != nil {
					return fmt.Errorf("settle held class %s: %w", name, err)
				}
			}
		}
	}
}

func (g *Ingester) settle(ctx context.Context, c *schema.Class, h history.Hold) error {
	most, err := g.mostIsGone(ctx, c)
	if err != nil {
		return err
	}
	if most && !h.Accepted {
		if h.Asks {
			return nil
		}
		g.Logger.Error("most of a class is gone from MongoDB; devices keep it until you say that this is meant",
			"class", c.Name, "collection", collectionName(c), "reason", h.Reason,
			"hint", fmt.Sprintf("restore the collection, or run: bridge resync %s --accept-erase", c.Name))
		return g.File.AskErase(ctx, c.Name)
	}
	if c.Kind == changeset.Embedded {
		return nil
	}
	if err := g.File.Prepare(ctx, c.Name); err != nil {
		return err
	}
	if _, err := g.compare(ctx, c, bson.RawValue{}, true, func(bson.RawValue) error { return nil }); err != nil {
		return err
	}
	return g.File.Release(ctx, c.Name)
}

// mostIsGone reports whether comparing a class would erase more than half of it.
func (g *Ingester) mostIsGone(ctx context.Context, c *schema.Class) (bool, error) {
	docs, err := g.Client.Database(g.Database).Collection(collectionName(c)).EstimatedDocumentCount(ctx)
	if err != nil {
		return false, fmt.Errorf("count %s: %w", collectionName(c), err)
	}
	states, err := g.File.CountStates(ctx, c.Name)
	if err != nil {
		return false, err
	}
	return 2*docs < states, nil
}
