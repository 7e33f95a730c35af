package translator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Difference is one object on which documents, object states and history don't
// agree.
type Difference struct {
	Ref  changeset.ObjectRef
	What string // for people
	// Changes are the instructions that would make the object state what the
	// document holds, for people; of the first documents that differ only.
	Changes []string
	// Queryable: it is in what queries find the object state by.
	Queryable bool
}

// Verification is what Verify found.
type Verification struct {
	Version     uint64 // history version it is about
	Objects     int    // object states looked at
	Frozen      int    // documents that can't be synced, which are no differences
	Replayed    bool   // the history is whole, and was replayed
	Differences []Difference
}

// Verifier compares documents, object states and a replay of the history, each
// as of one time.
type Verifier struct {
	DB   *mongo.Database // of the synced collections
	File *history.File
	// Patience is how long a difference may last that is only a foreign write
	// on its way.
	Patience time.Duration
}

// DefaultPatience is the default of Verifier.Patience.
const DefaultPatience = 5 * time.Second

// Verify looks until nothing differs, or patience ends.
func (v *Verifier) Verify(ctx context.Context) (*Verification, error) {
	patience := v.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	deadline := time.Now().Add(patience)
	for {
		changed := v.File.Changed()
		out, err := v.look(ctx)
		if err != nil || len(out.Differences) == 0 || time.Now().After(deadline) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-time.After(time.Until(deadline)):
		}
	}
}

// look compares once.
func (v *Verifier) look(ctx context.Context) (*Verification, error) {
	sn, err := v.File.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer sn.Close()
	out := &Verification{Version: sn.Version()}
	replayed, err := v.replay(ctx, sn, out)
	if err != nil {
		return nil, err
	}
	for _, name := range sn.Schema().ClassNames() {
		c := sn.Schema().Class(name)
		if c.Kind == changeset.Embedded {
			continue
		}
		if err := v.lookAt(ctx, sn, c, replayed, out); err != nil {
			return nil, fmt.Errorf("verify %s: %w", name, err)
		}
	}
	for ref, o := range replayed {
		if o != nil {
			out.Differences = append(out.Differences, Difference{Ref: ref, What: "the history has it, the object states don't"})
		}
	}
	return out, nil
}

// replay plays the history up to the snapshot, if it is whole.
func (v *Verifier) replay(ctx context.Context, sn *history.Snapshot, out *Verification) (map[changeset.ObjectRef]*object.Object, error) {
	whole, err := v.File.IsWhole(ctx)
	if err != nil || !whole {
		return nil, err
	}
	out.Replayed = true
	objects := map[changeset.ObjectRef]*object.Object{}
	for after := uint64(0); after < sn.Version(); {
		entries, err := v.File.Entries(ctx, after, 1000)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			after = e.Version
			if e.Version > sn.Version() {
				return objects, nil
			}
			if err := play(sn.Schema(), objects, e); err != nil {
				out.Differences = append(out.Differences, Difference{What: fmt.Sprintf("version %d of the history can't be replayed: %v", e.Version, err)})
			}
		}
	}
	return objects, nil
}

func play(s *schema.Schema, objects map[changeset.ObjectRef]*object.Object, e *history.Entry) error {
	for i := range e.Changeset {
		in := &e.Changeset[i]
		ref := in.Object()
		switch {
		case in.Op.IsSchema():
		case in.Op == changeset.OpCreateObject:
			if objects[ref] == nil {
				objects[ref] = &object.Object{}
			}
		case in.Op == changeset.OpEraseObject:
			delete(objects, ref)
		case objects[ref] == nil:
			return fmt.Errorf("instruction %d: %v: no such object", i, in)
		default:
			if err := objects[ref].Apply(s, s.Class(ref.Class), in); err != nil {
				return fmt.Errorf("instruction %d: %w", i, err)
			}
		}
	}
	return nil
}

// lookAt compares one class.
func (v *Verifier) lookAt(ctx context.Context, sn *history.Snapshot, c *schema.Class, replayed map[changeset.ObjectRef]*object.Object, out *Verification) error {
	s := sn.Schema()
	differ := func(k changeset.Key, format string, args ...any) {
		out.Differences = append(out.Differences, Difference{Ref: changeset.ObjectRef{Class: c.Name, Key: k}, What: fmt.Sprintf(format, args...)})
	}
	other := map[changeset.Key]described{}
	fingerprints := map[changeset.Key][]byte{}
	err := sn.States(ctx, c.Name, func(st history.State) error {
		k, o := st.Key, st.Object
		out.Objects++
		fingerprints[k] = st.Fingerprint
		if f := Fingerprint(s, c, o); !bytes.Equal(f[:], st.Fingerprint) {
			differ(k, "the object state is not what its fingerprint says")
		}
		if !st.Findable {
			differ(k, "the object state's queryable fields are not those of its object")
			out.Differences[len(out.Differences)-1].Queryable = true
		}
		if replayed == nil {
			return nil
		}
		ref := changeset.ObjectRef{Class: c.Name, Key: k}
		if played := replayed[ref]; played == nil {
			differ(k, "the object states have it, the history doesn't")
		} else if !object.Equal(s, c, played, o) {
			differ(k, "the object state is not what a replay of the history gives")
		}
		delete(replayed, ref)
		return nil
	})
	if err != nil {
		return err
	}
	cur, err := v.DB.Client().Database(v.DB.Name()).Collection(collectionName(c)).Find(sn.Context(ctx), bson.D{})
	if err != nil {
		return fmt.Errorf("read documents: %w", history.Explain(err))
	}
	defer cur.Close(ctx)
	for cur.Next(sn.Context(ctx)) {
		k, err := KeyFromBSON(c, cur.Current.Lookup("_id"))
		if err != nil {
			out.Frozen++
			continue
		}
		state, has := fingerprints[k]
		delete(fingerprints, k)
		var unsynced *Unsynced
		o, err := MapDocument(s, c, cur.Current)
		switch {
		case errors.As(err, &unsynced):
			out.Frozen++
		case err != nil:
			return err
		case !has:
			differ(k, "there is a document and no object state")
		default:
			if f := Fingerprint(s, c, o); !bytes.Equal(f[:], state) {
				differ(k, "the document is not what the object state says")
				if len(other) < maxDescribed {
					other[k] = described{o, len(out.Differences) - 1}
				}
			}
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read documents: %w", history.Explain(err))
	}
	for k := range fingerprints {
		differ(k, "there is an object state and no document")
	}
	return describe(ctx, sn, c, other, out)
}

// maxDescribed is of how many documents of a class it is told in what they
// differ, and maxChanges in how many instructions at most.
const (
	maxDescribed = 100
	maxChanges   = 10
)

// described is what a document holds that differs, and where that is told.
type described struct {
	object     *object.Object
	difference int // index
}

// describe tells in what documents differ from object states.
func describe(ctx context.Context, sn *history.Snapshot, c *schema.Class, other map[changeset.Key]described, out *Verification) error {
	if len(other) == 0 {
		return nil
	}
	s := sn.Schema()
	return sn.States(ctx, c.Name, func(st history.State) error {
		d, differs := other[st.Key]
		if !differs {
			return nil
		}
		ref := changeset.ObjectRef{Class: c.Name, Key: st.Key}
		changes := object.Diff(s, ref, st.Object, Refine(s, c, d.object, st.Object))
		var texts []string
		for i := range changes {
			if i == maxChanges {
				texts = append(texts, fmt.Sprintf("and %d more", len(changes)-i))
				break
			}
			texts = append(texts, changes[i].String())
		}
		out.Differences[d.difference].Changes = texts
		return nil
	})
}

// Repair makes the history look at the objects that differ, so that what their
// documents hold is committed, and mends what queries find them by.
func (v *Verifier) Repair(ctx context.Context, found *Verification) error {
	now := history.Timestamp(time.Now())
	var hints []history.Hint
	hinted := map[changeset.ObjectRef]bool{}
	unfindable := map[string][]changeset.Key{}
	for _, d := range found.Differences {
		if d.Queryable {
			unfindable[d.Ref.Class] = append(unfindable[d.Ref.Class], d.Ref.Key)
			continue
		}
		if d.Ref.Class != "" && !hinted[d.Ref] {
			hinted[d.Ref] = true
			hints = append(hints, history.Hint{Ref: d.Ref, Time: now})
		}
	}
	for some := range slices.Chunk(hints, DefaultScanRange) {
		if err := v.File.Ingest(ctx, &history.Ingest{Hints: some}); err != nil {
			return err
		}
	}
	for class, keys := range unfindable {
		for some := range slices.Chunk(keys, DefaultScanRange) {
			if err := v.File.MendQueryable(ctx, class, some); err != nil {
				return err
			}
		}
	}
	return nil
}
