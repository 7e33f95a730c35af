package translator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
	Version     uint64 // history version up to which objects were looked at
	Objects     int    // object states looked at
	Frozen      int    // documents that can't be synced, which are no differences
	Replayed    bool   // the history is whole, and was replayed
	Differences []Difference
}

// Verifier compares documents, object states and a replay of the history: a range of
// keys at a time, each range as of one time.
type Verifier struct {
	DB   *mongo.Database // of the synced collections
	File *history.File
	// Patience is how long a difference may last that is only a foreign write
	// on its way.
	Patience time.Duration
	// Range is how many objects are compared at a time; 0 means DefaultScanRange.
	Range int
}

// DefaultPatience is the default of Verifier.Patience.
const DefaultPatience = 5 * time.Second

// Verify looks at everything, and then again at what differs until nothing does or
// patience ends.
func (v *Verifier) Verify(ctx context.Context) (*Verification, error) {
	patience := v.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	changed := v.File.Changed()
	l, err := v.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.lookAtAll(ctx); err != nil {
		return nil, err
	}
	all := l.out
	for deadline := time.Now().Add(patience); len(l.out.Differences) > 0 && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-time.After(time.Until(deadline)):
		}
		changed = v.File.Changed()
		doubtful := l.differing()
		l.out = Verification{Version: all.Version, Frozen: all.Frozen, Replayed: l.replay != nil}
		if err := l.lookAtKeys(ctx, doubtful); err != nil {
			return nil, err
		}
	}
	l.out.Objects = all.Objects
	slices.SortStableFunc(l.out.Differences, func(a, b Difference) int {
		x, y := a.Ref, b.Ref
		return cmp.Or(cmp.Compare(x.Class, y.Class), cmp.Compare(x.Key.Int, y.Key.Int), cmp.Compare(x.Key.Str, y.Key.Str))
	})
	l.out.Differences = append(l.unplayable, l.out.Differences...)
	return &l.out, nil
}

// look is a verification under way.
type look struct {
	*Verifier
	mapping   Mapping
	size      int     // of a range
	replay    *replay // nil: the history is not whole
	out       Verification
	described map[string]int // of how many documents of a class it was told in what they differ
	// unplayable are the versions that can't be replayed.
	unplayable []Difference
}

func (v *Verifier) begin(ctx context.Context) (*look, error) {
	l := &look{Verifier: v, mapping: Mapping{Database: v.DB.Name()}, size: v.Range, described: map[string]int{}}
	if l.size == 0 {
		l.size = DefaultScanRange
	}
	l.size = max(l.size, 2)
	whole, err := v.File.IsWhole(ctx)
	if err != nil {
		return nil, err
	}
	if whole {
		l.replay, l.out.Replayed = newReplay(), true
	}
	return l, v.File.Refresh(ctx)
}

// lookAtAll compares all object states, in the order of their keys, then all
// documents that have none, in the order of their _id, which a collation may make
// another, and then what only the history has.
func (l *look) lookAtAll(ctx context.Context) error {
	s := l.File.Schema()
	for _, name := range s.ClassNames() {
		c := s.Class(name)
		if c.Kind == changeset.Embedded {
			continue
		}
		if err := l.lookAtStates(ctx, c); err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		if err := l.lookAtDocuments(ctx, c); err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
	}
	if err := l.withSnapshot(ctx, func(*history.Snapshot) error { return nil }); err != nil || l.replay == nil {
		return err
	}
	return l.lookAtKeys(ctx, l.replay.unseen())
}

func (l *look) lookAtStates(ctx context.Context, c *schema.Class) error {
	for last := (bson.RawValue{}); ; {
		keys, err := l.File.StateKeys(ctx, c.Name, last, bson.RawValue{}, l.size)
		if err != nil {
			return err
		}
		more := len(keys) == l.size
		if len(keys) > 0 && KeyToBSON(keys[0]).Equal(last) {
			keys = keys[1:] // it was looked at
		}
		if err := l.lookAtKeys(ctx, map[string][]changeset.Key{c.Name: keys}); err != nil || !more {
			return err
		}
		last = KeyToBSON(keys[len(keys)-1])
	}
}

func (l *look) lookAtDocuments(ctx context.Context, c *schema.Class) error {
	r := &comparer{db: l.DB, file: l.File}
	for after := (bson.RawValue{}); ; {
		ids, more, err := r.documentIDs(ctx, c, after, l.size)
		if err != nil {
			return err
		}
		keys := make([]changeset.Key, len(ids))
		for i, id := range ids {
			keys[i] = documentKey(c, id)
		}
		err = l.withSnapshot(ctx, func(sn *history.Snapshot) error {
			keys, err := sn.Stateless(ctx, c.Name, keys)
			if err != nil {
				return err
			}
			return l.compareStateless(ctx, sn, sn.Schema().Class(c.Name), keys)
		})
		if err != nil || !more {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// lookAtKeys compares objects, by class.
func (l *look) lookAtKeys(ctx context.Context, byClass map[string][]changeset.Key) error {
	for _, name := range slices.Sorted(maps.Keys(byClass)) {
		for keys := range slices.Chunk(byClass[name], l.size) {
			err := l.withSnapshot(ctx, func(sn *history.Snapshot) error {
				return l.compare(ctx, sn, sn.Schema().Class(name), keys)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// differing are the objects that differ, by class.
func (l *look) differing() map[string][]changeset.Key {
	out := map[string][]changeset.Key{}
	seen := map[changeset.ObjectRef]bool{}
	for _, d := range l.out.Differences {
		if !seen[d.Ref] {
			seen[d.Ref] = true
			out[d.Ref.Class] = append(out[d.Ref.Class], d.Ref.Key)
		}
	}
	return out
}

// withSnapshot calls fn with a snapshot of now, up to which the history is replayed.
func (l *look) withSnapshot(ctx context.Context, fn func(*history.Snapshot) error) error {
	sn, err := l.File.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer sn.Close()
	l.out.Version = sn.Version()
	if l.replay != nil {
		unplayable, err := l.replay.advance(ctx, l.File, sn)
		switch {
		case errors.Is(err, errTrimmed):
			l.replay, l.out.Replayed = nil, false
		case err != nil:
			return err
		}
		l.unplayable = append(l.unplayable, unplayable...)
	}
	return fn(sn)
}

func (l *look) differ(ref changeset.ObjectRef, what string) {
	l.out.Differences = append(l.out.Differences, Difference{Ref: ref, What: what})
}

// compare compares objects of a class.
func (l *look) compare(ctx context.Context, sn *history.Snapshot, c *schema.Class, keys []changeset.Key) error {
	has := make(map[changeset.Key]bool, len(keys))
	held := map[changeset.Key]history.State{}
	size := 0
	err := sn.StatesOf(ctx, c.Name, keys, func(st history.State, n int) error {
		has[st.Key], held[st.Key] = true, st
		l.compareState(sn.Schema(), c, st)
		if size += n; size < maxHeldStates {
			return nil
		}
		size = 0
		return l.compareDocuments(ctx, sn, c, held)
	})
	if err != nil {
		return err
	}
	if err := l.compareDocuments(ctx, sn, c, held); err != nil {
		return err
	}
	return l.compareStateless(ctx, sn, c, slices.DeleteFunc(slices.Clone(keys), func(k changeset.Key) bool { return has[k] }))
}

// maxHeldStates bounds the object states that wait for their documents, in bytes as
// they are stored.
const maxHeldStates = 32 << 20

// compareState compares an object state with itself and with the replay.
func (l *look) compareState(s *schema.Schema, c *schema.Class, st history.State) {
	ref := changeset.ObjectRef{Class: c.Name, Key: st.Key}
	l.out.Objects++
	if f := Fingerprint(s, c, st.Object); !bytes.Equal(f[:], st.Fingerprint) {
		l.differ(ref, "the object state is not what its fingerprint says")
	}
	if !st.Findable {
		l.differ(ref, "the object state's queryable fields are not those of its object")
		l.out.Differences[len(l.out.Differences)-1].Queryable = true
	}
	if l.replay == nil {
		return
	}
	if played := l.replay.see(ref); played == nil {
		l.differ(ref, "the object states have it, the history doesn't")
	} else if !object.Equal(s, c, played, st.Object) {
		l.differ(ref, "the object state is not what a replay of the history gives")
	}
}

// compareDocuments compares documents with object states, which it takes out of held.
func (l *look) compareDocuments(ctx context.Context, sn *history.Snapshot, c *schema.Class, held map[changeset.Key]history.State) error {
	s := sn.Schema()
	var found []Difference
	err := l.documents(ctx, sn, c, slices.Collect(maps.Keys(held)), func(k changeset.Key, o *object.Object) {
		st, has := held[k]
		delete(held, k)
		if !has || o == nil {
			return
		}
		if f := Fingerprint(s, c, o); bytes.Equal(f[:], st.Fingerprint) {
			return
		}
		ref := changeset.ObjectRef{Class: c.Name, Key: k}
		d := Difference{Ref: ref, What: "the document is not what the object state says"}
		if l.described[c.Name] < maxDescribed {
			l.described[c.Name]++
			d.Changes = describe(object.Diff(s, ref, st.Object, Refine(s, c, o, st.Object)))
		}
		found = append(found, d)
	})
	if err != nil {
		return err
	}
	for k := range held {
		l.differ(changeset.ObjectRef{Class: c.Name, Key: k}, "there is an object state and no document")
	}
	clear(held)
	return l.unlessTooLarge(ctx, c, found)
}

// compareStateless looks at objects that have no state.
func (l *look) compareStateless(ctx context.Context, sn *history.Snapshot, c *schema.Class, keys []changeset.Key) error {
	var found []Difference
	err := l.documents(ctx, sn, c, keys, func(k changeset.Key, o *object.Object) {
		if o != nil {
			found = append(found, Difference{Ref: changeset.ObjectRef{Class: c.Name, Key: k}, What: "there is a document and no object state"})
		}
	})
	if err != nil {
		return err
	}
	if l.replay != nil {
		for _, k := range keys {
			ref := changeset.ObjectRef{Class: c.Name, Key: k}
			if l.replay.see(ref) != nil {
				l.differ(ref, "the history has it, the object states don't")
			}
		}
	}
	return l.unlessTooLarge(ctx, c, found)
}

// documents calls fn with the documents of keys and their objects, which are nil
// where a document can't be synced.
func (l *look) documents(ctx context.Context, sn *history.Snapshot, c *schema.Class, keys []changeset.Key, fn func(changeset.Key, *object.Object)) error {
	if len(keys) == 0 {
		return nil
	}
	ids := make(bson.A, len(keys))
	for i, k := range keys {
		ids[i] = documentID(k)
	}
	ctx = sn.Context(ctx)
	cur, err := l.DB.Client().Database(l.DB.Name()).Collection(collectionName(c)).Find(ctx, bson.D{{Key: schema.KeyField, Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		return fmt.Errorf("read documents: %w", history.Explain(err))
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		k, u := readKey(c, cur.Current.Lookup(schema.KeyField))
		if u != nil {
			l.out.Frozen++
			continue
		}
		var unsynced *Unsynced
		o, err := l.mapping.MapDocument(sn.Schema(), c, cur.Current)
		switch {
		case errors.As(err, &unsynced), err == nil && history.IsTooLarge(sn.Schema(), changeset.ObjectRef{Class: c.Name, Key: k}, o, len(cur.Current)):
			l.out.Frozen++
			o = nil
		case err != nil:
			return err
		}
		fn(k, o)
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read documents: %w", history.Explain(err))
	}
	return nil
}

// unlessTooLarge notes differences of documents, but for those that are known to be
// more than MongoDB takes in one transaction.
func (l *look) unlessTooLarge(ctx context.Context, c *schema.Class, found []Difference) error {
	if len(found) == 0 {
		return nil
	}
	keys := make([]changeset.Key, len(found))
	for i, d := range found {
		keys[i] = d.Ref.Key
	}
	listed, err := l.File.ListedTooLarge(ctx, c.Name, keys)
	if err != nil {
		return err
	}
	for _, d := range found {
		if listed[d.Ref.Key] {
			l.out.Frozen++
		} else {
			l.out.Differences = append(l.out.Differences, d)
		}
	}
	return nil
}

// maxDescribed is of how many documents of a class it is told in what they
// differ, and maxChanges in how many instructions at most.
const (
	maxDescribed = 100
	maxChanges   = 10
)

// describe tells instructions to people.
func describe(changes changeset.Changeset) []string {
	var texts []string
	for i := range changes {
		if i == maxChanges {
			return append(texts, fmt.Sprintf("and %d more", len(changes)-i))
		}
		texts = append(texts, changes[i].String())
	}
	return texts
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
