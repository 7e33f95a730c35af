package translator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// Progress says how far a comparison of a class with its collection has come.
type Progress struct {
	Class  string
	Looked int64 // documents and object states looked at
	Total  int64 // about how many there are
	Done   bool
}

// scanPauses are how long a class rests whose scan failed: so long at first, at
// most so long.
const (
	firstScanPause = time.Second
	maxScanPause   = time.Minute
)

// untoldPause is how long a class rests of which much is gone that the stream may
// yet tell of.
const untoldPause = 200 * time.Millisecond

// Scans returns how far this node has come with scans, by class.
func (g *Ingester) Scans() []Progress {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Collect(maps.Values(g.scans))
	slices.SortFunc(out, func(a, b Progress) int { return strings.Compare(a.Class, b.Class) })
	return out
}

func (g *Ingester) noteScan(p Progress) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.scans[p.Class] = p
}

// dropScans forgets the scans that are not done: whoever reads the stream next goes
// on with them.
func (g *Ingester) dropScans() {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.scans, func(_ string, p Progress) bool { return !p.Done })
}

// scanAll scans the classes that were never scanned in their present shape, now
// and whenever the schema changes. A class that can't be scanned keeps no other
// from it.
func (g *Ingester) scanAll(ctx context.Context) error {
	defer g.dropScans()
	pause := firstScanPause
	suspicions := map[string]*suspicion{} // by class
	for {
		failed, untold := false, false
		s := g.File.Schema()
		for _, name := range s.ClassNames() {
			c := s.Class(name)
			if c.Kind == changeset.Embedded {
				continue
			}
			err := g.scan(ctx, s, c, suspicions)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, history.ErrLeaseLost):
				return err
			case errors.Is(err, errUntold):
				untold = true
			case err != nil:
				failed = true
				g.Logger.Warn("comparing a collection with the history fails; will go on trying", "class", name, "error", err)
			}
		}
		var again <-chan time.Time
		switch {
		case failed:
			again = time.After(pause)
			pause = min(2*pause, maxScanPause)
		case untold:
			again = time.After(untoldPause)
		}
		if !failed {
			pause = firstScanPause
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.schema:
		case <-again:
		}
	}
}

// scan compares all documents of a class with its object states, in ranges of
// keys, beside the stream. The error is errUntold when that has to wait for it.
func (g *Ingester) scan(ctx context.Context, s *schema.Schema, c *schema.Class, suspicions map[string]*suspicion) error {
	progress, err := g.File.ReadScan(ctx, c.Name)
	if err != nil {
		return err
	}
	shape := shapeOf(s, c)
	if progress.Done && progress.Shape == shape {
		return nil
	}
	suspected := suspicions[c.Name]
	if _, held := g.File.Holds()[c.Name]; held {
		delete(suspicions, c.Name)
		return nil // it is scanned when it is released
	}
	if suspected != nil && !g.ripe(suspected) {
		return errUntold
	}
	delete(suspicions, c.Name)
	r := g.comparer()
	id, err := r.identity(ctx, c)
	if err != nil {
		return err
	}
	// A device would lose what nobody meant to erase: the collection may have gone
	// while nobody looked.
	lost, err := r.losses(ctx, c, false)
	if err != nil {
		return err
	}
	if lost.askable() {
		unseen := false
		if suspected != nil {
			if unseen, err = g.confirmed(ctx, c, suspected); err != nil {
				return err
			}
		}
		if unseen {
			return g.File.HoldErased(ctx, c.Name, lost.reason())
		}
		if suspicions[c.Name], err = g.suspect(ctx, lost.missing); err != nil {
			return err
		}
		return errUntold
	}
	if progress.Shape != shape {
		total, err := r.total(ctx, c)
		if err != nil {
			return err
		}
		progress.Shape, progress.Done, progress.After = shape, false, bson.RawValue{}
		progress.Looked, progress.Total = 0, total
	}
	note := func() {
		g.noteScan(Progress{Class: c.Name, Looked: progress.Looked, Total: max(progress.Total, progress.Looked), Done: progress.Done})
	}
	note()
	saved := time.Now()
	err = r.compare(ctx, c, id, progress.After, func(last bson.RawValue, looked int) error {
		progress.Looked += int64(looked)
		progress.After, progress.Done = last, last.Type == 0
		note()
		if progress.Done {
			progress.Required = requiredOf(s, c)
		} else if time.Since(saved) < g.ScanSaved {
			return nil
		}
		saved = time.Now()
		return g.File.WriteScan(ctx, progress)
	})
	if err == nil && progress.Looked > 0 {
		g.Logger.Info("collection compared with the history", "collection", collectionName(c), "documents", progress.Looked)
	}
	return err
}
