package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// Hint says that a document may have been changed by somebody else. The commit
// looks at the document itself, so a hint too many does no harm.
type Hint struct {
	Ref changeset.ObjectRef
	// Time is when the change was made, in ms since 2015.
	Time uint64
	// Transaction names the transaction that made it: its changes become one
	// entry. Empty outside transactions.
	Transaction string
}

// Ingest is a batch of hints. A batch holds whole transactions.
type Ingest struct {
	Hints []Hint
	// Token is the change stream's resume token after the hints, stored with
	// what they lead to. Nil for hints from elsewhere.
	Token bson.Raw
	// Owner holds the ingest lease. Required with Token.
	Owner string
	// Settles says that the hints are of a held class that is being compared as
	// a whole, so that what they show is meant.
	Settles bool
}

// putOff reports whether a hint waits until its class is compared as a whole.
func (w *work) putOff(in *Ingest, ref changeset.ObjectRef) bool {
	_, held := w.holds[ref.Class]
	return held && !in.Settles
}

// Ingest commits what a batch of hints leads to. It returns when that is
// durable; ErrLeaseLost when Owner no longer holds the lease.
func (f *File) Ingest(ctx context.Context, in *Ingest) error {
	return f.submitAndWait(ctx, &job{ingest: in})
}

// takeForeign appends entries for the foreign writes that the loaded documents
// show.
func (w *work) takeForeign() error {
	if err := w.fillNew(); err != nil {
		return err
	}
	m := w.f.store.opts.Mirror
	type group struct {
		time uint64
		refs []changeset.ObjectRef
	}
	var groups []*group
	byName := map[string]*group{}
	at := map[changeset.ObjectRef]Hint{}
	var order []changeset.ObjectRef
	settled := map[changeset.ObjectRef]bool{}
	for _, j := range w.batch.jobs {
		if j.ingest == nil {
			continue
		}
		for _, h := range j.ingest.Hints {
			if w.putOff(j.ingest, h.Ref) {
				continue
			}
			settled[h.Ref] = settled[h.Ref] || j.ingest.Settles
			old, ok := at[h.Ref]
			switch {
			case !ok:
				order = append(order, h.Ref)
				at[h.Ref] = h
			case old.Transaction != "":
				// It stays with its transaction, at the time of its last change.
				old.Time = max(old.Time, h.Time)
				at[h.Ref] = old
			default:
				h.Time = max(old.Time, h.Time)
				at[h.Ref] = h
			}
		}
	}
	now := Timestamp(time.Now())
	for _, ref := range w.order {
		o := w.objects[ref]
		if _, hinted := at[ref]; hinted || !o.isForeign(m, w.schema) {
			continue
		}
		if !w.batch.mayIngest(ref) {
			return &foreignWriteError{ref}
		}
		if o.doc == nil {
			if err := w.goneWithItsCollection(o); err != nil {
				return err
			}
		}
		at[ref] = Hint{Ref: ref, Time: now}
		order = append(order, ref)
	}
	erasing := map[string]int{}
	for _, ref := range order {
		o := w.objects[ref]
		if o == nil || !o.isForeign(m, w.schema) {
			continue
		}
		if o.doc == nil && !settled[ref] {
			erasing[ref.Class]++
		}
		h := at[ref]
		name := h.Transaction
		if name == "" {
			name = fmt.Sprint(h.Time)
		}
		g := byName[name]
		if g == nil {
			g = &group{}
			byName[name] = g
			groups = append(groups, g)
		}
		g.time = max(g.time, h.Time)
		g.refs = append(g.refs, ref)
	}
	for class, n := range erasing {
		if err := w.guard(class, n); err != nil {
			return err
		}
	}
	w.erasing = erasing
	for _, g := range groups {
		// Devices' clocks are theirs, but a foreign write is never from the future.
		w.appendForeign(min(g.time, now), g.refs)
	}
	return nil
}

// appendForeign appends one entry that makes objects be what their documents hold.
func (w *work) appendForeign(timestamp uint64, refs []changeset.ObjectRef) {
	e := &Entry{Origin: ServerIdent, Timestamp: timestamp}
	var erased, made, changed changeset.Changeset
	for _, ref := range refs {
		o := w.objects[ref]
		var after *object.Object
		if o.doc != nil {
			after = w.f.store.opts.Mirror.Refine(w.schema, o.class, o.doc.Object, o.state.object)
		}
		difference := object.Diff(w.schema, ref, o.now, after)
		switch {
		case after == nil:
			erased = append(erased, difference...)
		case o.now == nil:
			made = append(made, difference...)
		default:
			changed = append(changed, difference...)
		}
		e.Objects = append(e.Objects, w.touched(o, after, Touched{}))
		o.now, o.mirrored, o.changed = after, after, true
	}
	e.Changeset = append(append(erased, made...), changed...)
	w.append(e)
}

// writeIngest stores the resume token of what the batch ingested.
func (w *work) writeIngest() error {
	for i := len(w.batch.jobs) - 1; i >= 0; i-- {
		j := w.batch.jobs[i]
		if j.ingest == nil || j.ingest.Token == nil {
			continue
		}
		// The last batch's token is the newest.
		ok, err := w.f.store.storeToken(w.ctx, j.ingest.Owner, j.ingest.Token)
		if err != nil {
			return err
		}
		if !ok {
			return &jobError{j, ErrLeaseLost}
		}
		break
	}
	return w.writeFrozen()
}

// ingestDoc is the document of the ingest collection.
type ingestDoc struct {
	ID      string    `bson:"_id"`
	Owner   string    `bson:"owner"`
	Expires time.Time `bson:"expires"`
	Token   bson.Raw  `bson:"token,omitempty"`
}

const ingestID = "stream"

func (s *Store) storeToken(ctx context.Context, owner string, token bson.Raw) (bool, error) {
	res, err := s.ingest.UpdateOne(ctx, bson.D{{Key: "_id", Value: ingestID}, {Key: "owner", Value: owner}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "token", Value: token}}}})
	if err != nil {
		return false, fmt.Errorf("store resume token: %w", err)
	}
	return res.MatchedCount == 1, nil
}

// StoreToken stores a resume token where nothing relevant happened before it.
func (s *Store) StoreToken(ctx context.Context, owner string, token bson.Raw) error {
	ok, err := s.storeToken(ctx, owner, token)
	if err == nil && !ok {
		err = ErrLeaseLost
	}
	return err
}

// AcquireIngest takes or renews the ingest lease, for so long. It returns the
// resume token stored last, nil if there is none, and false when another owner
// holds the lease. Two owners at once, after a stop of one, do no harm: the
// lease only saves work.
func (s *Store) AcquireIngest(ctx context.Context, owner string, lease time.Duration) (token bson.Raw, ok bool, err error) {
	now := time.Now()
	var d ingestDoc
	err = s.ingest.FindOneAndUpdate(ctx, bson.D{
		{Key: "_id", Value: ingestID},
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "owner", Value: owner}},
			bson.D{{Key: "expires", Value: bson.D{{Key: "$lt", Value: now}}}},
		}},
	}, bson.D{{Key: "$set", Value: bson.D{{Key: "owner", Value: owner}, {Key: "expires", Value: now.Add(lease)}}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&d)
	if mongo.IsDuplicateKeyError(err) || errors.Is(err, mongo.ErrNoDocuments) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("acquire ingest lease: %w", err)
	}
	return d.Token, true, nil
}

// ReleaseIngest gives the lease up.
func (s *Store) ReleaseIngest(ctx context.Context, owner string) error {
	_, err := s.ingest.UpdateOne(ctx, bson.D{{Key: "_id", Value: ingestID}, {Key: "owner", Value: owner}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "expires", Value: time.Unix(0, 0)}}}})
	if err != nil {
		return fmt.Errorf("release ingest lease: %w", err)
	}
	return nil
}
