package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A class is held while it is not clear what its collection holds: after a drop,
// a rename or a restore, or when most of it is gone at once. While it is held,
// devices keep its objects, uploads that touch it wait, and hints about it are
// put off: whoever settles it compares the whole class. From the moment that
// begins, hints are taken again, since the comparison has passed some documents
// when they change; uploads wait until the end.

// Hold says that a class is held.
type Hold struct {
	Class  string
	Reason string // for people
	Since  time.Time
	// Whole: the collection was replaced at one stroke, so that nothing more is to
	// be waited for.
	Whole bool
	// Asks: comparing the class would erase most of it from every device, and an
	// operator has to say whether that is meant.
	Asks bool
	// Accepted: the operator said so.
	Accepted bool
	// Settling: the class is being compared.
	Settling bool
}

type holdDoc struct {
	ID       scanID    `bson:"_id"`
	Reason   string    `bson:"reason"`
	Since    time.Time `bson:"since"`
	Whole    bool      `bson:"whole"`
	Asks     bool      `bson:"asks"`
	Accepted bool      `bson:"accepted"`
	Settling bool      `bson:"settling"`
	// AcceptedAt is MongoDB's time of Accepted; the zero time before.
	AcceptedAt bson.Timestamp `bson:"accepted_at"`
}

// guardErasures is how many objects of a class may go at once unasked, and
// guardWindow what "at once" means.
const (
	guardErasures = 100
	guardWindow   = 10 * time.Second
)

// HoldGone holds a class whose collection went, or was replaced at one stroke
// (whole), at a cluster time. What was found out about a class that is held already
// counts no more; what an operator accepted after that time does: it was known then
// that the collection is gone.
func (f *File) HoldGone(ctx context.Context, class, reason string, whole bool, at bson.Timestamp) error {
	accepted := bson.D{{Key: "$and", Value: bson.A{"$accepted", bson.D{{Key: "$gte", Value: bson.A{"$accepted_at", at}}}}}}
	_, err := f.store.holds.UpdateOne(ctx, bson.D{{Key: "_id", Value: scanID{f.name, class}}}, mongo.Pipeline{{{Key: "$set", Value: bson.D{
		{Key: "reason", Value: bson.D{{Key: "$literal", Value: reason}}}, {Key: "since", Value: time.Now()}, {Key: "whole", Value: whole},
		{Key: "asks", Value: false}, {Key: "accepted", Value: accepted}, {Key: "settling", Value: false},
	}}}}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("hold %s: %w", class, err)
	}
	f.log.Warn("class is held: devices keep its objects, uploads to it wait", "class", class, "reason", reason)
	return f.loadHolds(ctx)
}

// HoldErased holds a class of which too much would be erased. One that is held
// already stays as it is.
func (f *File) HoldErased(ctx context.Context, class, reason string) error {
	d := holdDoc{ID: scanID{f.name, class}, Reason: reason, Since: time.Now()}
	_, err := f.store.holds.InsertOne(ctx, d)
	switch {
	case err == nil:
		f.log.Warn("class is held: devices keep its objects, uploads to it wait", "class", class, "reason", reason)
	case !mongo.IsDuplicateKeyError(err):
		return fmt.Errorf("hold %s: %w", class, err)
	}
	return f.loadHolds(ctx)
}

// AskErase marks a held class as one that an operator has to decide about.
func (f *File) AskErase(ctx context.Context, class string) error {
	return f.setHold(ctx, class, set("asks"))
}

// AcceptErase says that a held class may be compared with its collection, even
// if that erases most of it from every device. The node that ingests does it.
func (f *File) AcceptErase(ctx context.Context, class string) error {
	return f.setHold(ctx, class, append(set("accepted"),
		bson.E{Key: "$currentDate", Value: bson.D{{Key: "accepted_at", Value: bson.D{{Key: "$type", Value: "timestamp"}}}}}))
}

// BeginSettling makes hints at a held class be taken again. The node that
// ingests calls it before it compares the class.
func (f *File) BeginSettling(ctx context.Context, class string) error {
	return f.setHold(ctx, class, set("settling"))
}

// ErrNotHeld: the class is not held.
var ErrNotHeld = errors.New("the class is not held")

// set is the update that makes a field true.
func set(field string) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: true}}}}
}

func (f *File) setHold(ctx context.Context, class string, update bson.D) error {
	res, err := f.store.holds.UpdateOne(ctx, bson.D{{Key: "_id", Value: scanID{f.name, class}}}, update)
	if err != nil {
		return fmt.Errorf("change hold of %s: %w", class, err)
	}
	if res.MatchedCount == 0 {
		return fmt.Errorf("change hold of %s: %w", class, ErrNotHeld)
	}
	return f.loadHolds(ctx)
}

// Release ends a hold that began then: uploads that wait for the class go on. It
// reports whether it did; a class that is held anew meanwhile stays so.
func (f *File) Release(ctx context.Context, h Hold) (bool, error) {
	res, err := f.store.holds.DeleteOne(ctx, bson.D{{Key: "_id", Value: scanID{f.name, h.Class}}, {Key: "since", Value: h.Since}})
	if err != nil {
		return false, fmt.Errorf("release %s: %w", h.Class, err)
	}
	if res.DeletedCount > 0 {
		f.log.Info("class is released", "class", h.Class)
	}
	return res.DeletedCount > 0, f.loadHolds(ctx)
}

// Holds returns the classes that are held, by class.
func (f *File) Holds() map[string]Hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.holds
}

// loadHolds reads which classes are held, on whatever node that was decided.
func (f *File) loadHolds(ctx context.Context) error {
	holds, err := f.readHolds(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	changed := !maps.Equal(holds, f.holds)
	f.holds = holds
	f.mu.Unlock()
	if changed {
		f.wakeCommitter()
	}
	return nil
}

func (f *File) readHolds(ctx context.Context) (map[string]Hold, error) {
	cur, err := f.store.holds.Find(ctx, bson.D{{Key: "_id.file", Value: f.name}})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	var docs []holdDoc
	if err := cur.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	holds := map[string]Hold{}
	for _, d := range docs {
		holds[d.ID.Class] = Hold{d.ID.Class, d.Reason, d.Since, d.Whole, d.Asks, d.Accepted, d.Settling}
	}
	return holds, nil
}

// touchesHeld reports whether an upload touches a class that is held. The caller
// holds mu.
func (f *File) touchesHeld(j *job) bool {
	if len(f.holds) == 0 || j.upload == nil {
		return false
	}
	for i := range j.upload.Entries {
		cs := j.upload.Entries[i].Changeset
		for k := range cs {
			if _, held := f.holds[cs[k].Class]; held && !cs[k].Op.IsSchema() {
				return true
			}
		}
	}
	return false
}

// massErasureError: a batch would erase most of a class.
type massErasureError struct {
	class  string
	reason string
}

func (e *massErasureError) Error() string { return fmt.Sprintf("class %s: %s", e.class, e.reason) }

// erasures counts what became of a class's objects lately. It belongs to whoever
// holds advance.
type erasures struct {
	since time.Time
	count int // objects that foreign writes erased
	fewer int // by how many objects the class has become smaller, whoever did it
	had   int // objects of the class in the beginning, at least
}

// guard returns a *massErasureError when erasing n more objects of a
// class would mean that most of it is gone at once.
func (w *work) guard(class string, n int) error {
	f := w.f
	e := f.erased[class]
	if e == nil || time.Since(e.since) > guardWindow {
		e = &erasures{since: time.Now()}
		f.erased[class] = e
	}
	gone := e.count + n
	if gone < guardErasures || 2*gone < max(e.had, e.fewer) {
		return nil
	}
	left, err := f.countStates(w.plain, class, int64(4*gone-e.fewer)) // more need not be known now
	if err != nil {
		return err
	}
	if e.had = int(left) + e.fewer; 2*gone < e.had {
		return nil
	}
	// Where as many come as go, as in a queue, nothing is gone.
	unsynced := f.unsyncedOf(class)
	there, err := f.store.opts.Mirror.Count(w.plain, w.schema.Class(class), int64(max(e.had, 1)+unsynced))
	if err != nil {
		return err
	}
	if 2*(int(there)-unsynced) > e.had {
		f.erased[class] = &erasures{since: time.Now()}
		return nil
	}
	return &massErasureError{class, fmt.Sprintf("%d of %d documents are gone at once", gone, max(e.had, gone))}
}

// countFewer notes what entries did to the number of objects. The caller holds
// advance.
func (f *File) countFewer(entries []*Entry) {
	if len(f.erased) == 0 {
		return
	}
	for _, e := range entries {
		for i := range e.Objects {
			t := &e.Objects[i]
			lately := f.erased[t.Ref.Class]
			switch {
			case lately == nil:
			case t.Before == nil && t.After != nil:
				lately.fewer--
			case t.Before != nil && t.After == nil:
				lately.fewer++
			}
		}
	}
}

// goneWithItsCollection returns a *massErasureError when an upload met a
// document that is gone because its whole collection is.
func (w *work) goneWithItsCollection(o *objectWork) error {
	if h, held := w.holds[o.ref.Class]; held {
		return &massErasureError{o.ref.Class, h.Reason}
	}
	exists, err := w.f.store.opts.Mirror.Exists(w.plain, o.class)
	if err != nil || exists {
		return err
	}
	return &massErasureError{o.ref.Class, "its collection does not exist"}
}

// holdClass answers a *massErasureError.
func (f *File) holdClass(ctx context.Context, b *batchState, e *massErasureError) error {
	if err := f.HoldErased(ctx, e.class, e.reason); err != nil {
		return err
	}
	// Jobs that touch the class go back to wait.
	f.mu.Lock()
	var back []*job
	b.jobs, back = f.sortWaiting(b.jobs)
	f.jobs = append(back, f.jobs...)
	f.mu.Unlock()
	return nil
}

// sortWaiting splits jobs into those that can be committed and those that wait:
// uploads that touch a held class or have met a foreign write, and what the same
// clients sent after them. The caller holds mu.
func (f *File) sortWaiting(jobs []*job) (ready, waiting []*job) {
	now := time.Now()
	blocked := map[*Client]bool{}
	for _, j := range jobs {
		patient := j.patience.After(now) && j.ingests == f.ingests
		if j.upload != nil && (patient || blocked[j.upload.client] || f.touchesHeld(j)) {
			blocked[j.upload.client] = true
			waiting = append(waiting, j)
		} else {
			ready = append(ready, j)
		}
	}
	return ready, waiting
}
