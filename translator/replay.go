package translator

import (
	"context"
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// replay is what the history makes of all objects, up to a version. All of them are
// in memory.
type replay struct {
	version uint64
	objects map[changeset.ObjectRef]*played
}

// played is an object of a replay.
type played struct {
	object *object.Object
	seen   bool
}

func newReplay() *replay { return &replay{objects: map[changeset.ObjectRef]*played{}} }

// errTrimmed: the history is not whole any more.
var errTrimmed = errors.New("the history was trimmed meanwhile")

// replayRange is how many entries are read at a time.
const replayRange = 1000

// advance plays the history on up to a snapshot's version. It returns which versions
// can't be played.
func (r *replay) advance(ctx context.Context, f *history.File, sn *history.Snapshot) ([]Difference, error) {
	var unplayable []Difference
	for r.version < sn.Version() {
		n := min(replayRange, sn.Version()-r.version)
		entries, err := f.Entries(ctx, r.version, int(n))
		if err != nil {
			return nil, err
		}
		next := sn.Version() + 1
		if len(entries) > 0 {
			next = entries[0].Version
		}
		if next != r.version+1 {
			whole, err := f.IsWhole(ctx)
			if err != nil {
				return nil, err
			}
			if !whole {
				return nil, errTrimmed
			}
			unplayable = append(unplayable, Difference{What: fmt.Sprintf("versions %d to %d of the history are missing", r.version+1, next-1)})
			r.version = next - 1
			continue
		}
		for _, e := range entries {
			if e.Version != r.version+1 {
				break // some are missing
			}
			r.version = e.Version
			if err := r.play(sn.Schema(), e); err != nil {
				unplayable = append(unplayable, Difference{What: fmt.Sprintf("version %d of the history can't be replayed: %v", e.Version, err)})
			}
		}
	}
	return unplayable, nil
}

func (r *replay) play(s *schema.Schema, e *history.Entry) error {
	for i := range e.Changeset {
		in := &e.Changeset[i]
		ref := in.Object()
		p := r.objects[ref]
		switch {
		case in.Op.IsSchema():
		case in.Op == changeset.OpCreateObject:
			if p == nil {
				r.objects[ref] = &played{object: &object.Object{}}
			}
		case in.Op == changeset.OpEraseObject:
			delete(r.objects, ref)
		case p == nil:
			return fmt.Errorf("instruction %d: %v: no such object", i, in)
		default:
			if err := p.object.Apply(s, s.Class(ref.Class), in); err != nil {
				return fmt.Errorf("instruction %d: %w", i, err)
			}
		}
	}
	return nil
}

// see returns an object, nil if there is none, and notes that it was looked at.
func (r *replay) see(ref changeset.ObjectRef) *object.Object {
	p := r.objects[ref]
	if p == nil {
		return nil
	}
	p.seen = true
	return p.object
}

// unseen are the objects that were never looked at, by class.
func (r *replay) unseen() map[string][]changeset.Key {
	out := map[string][]changeset.Key{}
	for ref, p := range r.objects {
		if !p.seen {
			out[ref.Class] = append(out[ref.Class], ref.Key)
		}
	}
	return out
}
