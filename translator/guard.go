package translator

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// gone answers the disappearance of a collection: its class is held.
func (r *reader) gone(ctx context.Context, kind, coll string, e bson.Raw) error {
	hold := func(coll, what string, whole bool) error {
		if c := r.class(coll); c != nil {
			return r.g.File.HoldGone(ctx, c.Name, fmt.Sprintf("collection %s was %s", coll, what), whole, r.at)
		}
		return nil
	}
	switch kind {
	case "drop":
		return hold(coll, "dropped", false)
	case "rename":
		to, _ := e.Lookup("to", "coll").StringValueOK()
		if db, _ := e.Lookup("to", "db").StringValueOK(); db == r.g.Database {
			if err := hold(to, "replaced by "+coll, true); err != nil {
				return err
			}
		}
		if db, _ := e.Lookup("ns", "db").StringValueOK(); db != r.g.Database {
			return nil
		}
		return hold(coll, "renamed to "+to, false)
	}
	r.class("") // learn which collections there are
	for coll := range r.collections {
		if err := hold(coll, "dropped with its database", false); err != nil {
			return err
		}
	}
	return nil
}

// watched is what settleHolds has seen of the collection of a held class.
type watched struct {
	since  time.Time // of the hold
	docs   int64     // about how many documents there were at the last look; -1: there was none
	gone   int64     // how many objects had no document then
	judged bool      // the operator was asked about that
	fell   time.Time // when that was first looked at, or became less: somebody restores the collection
	next   time.Time // when it may be looked again
}

// settleHolds looks at the collections of held classes, and releases the classes
// that it may compare with them.
func (g *Ingester) settleHolds(ctx context.Context) error {
	t := time.NewTicker(min(time.Second, g.GuardGrace))
	defer t.Stop()
	seen := map[string]*watched{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		s := g.File.Schema()
		for name, h := range g.File.Holds() {
			c := s.Class(name)
			if c == nil {
				continue
			}
			w := seen[name]
			if w == nil || !w.since.Equal(h.Since) {
				w = &watched{since: h.Since, docs: -1}
				seen[name] = w
			}
			if err := g.settle(ctx, c, h, w); err != nil && ctx.Err() == nil {
				g.Logger.Warn("looking at the collection of a held class fails; will go on trying", "class", name, "error", err)
			}
		}
	}
}

// settle compares a held class with its collection and releases it, unless that
// has to wait: a restore takes its time, and most of a class is erased only when
// an operator says so.
func (g *Ingester) settle(ctx context.Context, c *schema.Class, h history.Hold, w *watched) error {
	r := g.comparer()
	id, err := r.identity(ctx, c)
	if err != nil {
		return err
	}
	if !h.Accepted && !h.Settling {
		now := time.Now()
		if now.Before(w.next) {
			return nil
		}
		docs, err := r.count(ctx, c)
		if err != nil || w.judged && docs == w.docs {
			return err
		}
		lost, err := r.losses(ctx, c, true)
		if err != nil {
			return err
		}
		// At most half of the time goes into this.
		w.next = time.Now().Add(time.Since(now))
		if w.docs < 0 || lost.gone < w.gone {
			w.fell = now
		}
		w.docs, w.gone, w.judged = docs, lost.gone, false
		// Documents that others write meanwhile are no sign of a restore.
		if lost.gone > 0 && !h.Whole && now.Sub(w.fell) < g.GuardGrace {
			return nil
		}
		if lost.most() {
			if h.Asks {
				w.judged = true
				return nil
			}
			g.Logger.Error("most of a class is gone from MongoDB; devices keep it until you say that this is meant",
				"class", c.Name, "collection", collectionName(c), "reason", h.Reason,
				"hint", fmt.Sprintf("restore the collection, or run: bridge resync %s --accept-erase", c.Name))
			return g.File.AskErase(ctx, c.Name)
		}
	}
	if err := g.File.Prepare(ctx, c.Name); err != nil {
		return err
	}
	if id == "" { // now there is one
		if id, err = r.identity(ctx, c); err != nil {
			return err
		}
	}
	if err := g.File.BeginSettling(ctx, c.Name); err != nil {
		return err
	}
	total, err := r.total(ctx, c)
	if err != nil {
		return err
	}
	p := Progress{Class: c.Name, Total: total}
	err = r.compare(ctx, c, id, bson.RawValue{}, func(last bson.RawValue, looked int) error {
		p.Looked += int64(looked)
		p.Total, p.Done = max(p.Total, p.Looked), last.Type == 0
		g.noteScan(p)
		return nil
	})
	if err != nil {
		return err
	}
	released, err := g.File.Release(ctx, h)
	if released {
		g.SchemaChanged() // a scan may have waited
	}
	return err
}
