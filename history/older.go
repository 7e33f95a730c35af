package history

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Devices that come back with much to upload have seen nothing of what others wrote
// meanwhile, which may be more than the entries in memory. Each of their uploads asks
// what became of its objects in all of that: of most of them nothing. So when the
// first one asks, the history is looked through once, for which versions touched
// which objects; entries are read only where an upload meets them.

const (
	// maxOlder bounds the touches that are remembered. Each takes some 50 bytes.
	maxOlder = 1_000_000
	// maxUnasked is after how many more entries they are forgotten if nobody has asked.
	maxUnasked = 100_000
)

// olderTouches remembers which versions touched which objects, for the entries above
// after that are not in memory any more.
type olderTouches struct {
	after  uint64
	seed   maphash.Seed
	newest map[uint64]int32 // hash of an object → its place in list
	list   []olderTouch
	schema []uint64 // versions that change the schema

	unasked int // entries added since somebody asked
}

type olderTouch struct {
	version uint64
	next    int32 // of an object with the same hash; -1: none
}

func newOlderTouches(after uint64) *olderTouches {
	return &olderTouches{after: after, seed: maphash.MakeSeed(), newest: map[uint64]int32{}}
}

// add adds a touch; the order does not matter. It reports whether there was room.
func (o *olderTouches) add(version uint64, ref changeset.ObjectRef) bool {
	if len(o.list) >= maxOlder {
		return false
	}
	hash := maphash.Comparable(o.seed, ref)
	next, ok := o.newest[hash]
	if !ok {
		next = -1
	}
	o.newest[hash] = int32(len(o.list))
	o.list = append(o.list, olderTouch{version, next})
	return true
}

// addEntry adds what an entry touched that leaves the memory. It reports whether that
// is worth while and there was room.
func (o *olderTouches) addEntry(e *Entry) bool {
	if o.unasked++; o.unasked > maxUnasked {
		return false
	}
	for i := range e.Objects {
		if !o.add(e.Version, e.Objects[i].Ref) {
			return false
		}
	}
	if e.Schema {
		o.schema = append(o.schema, e.Version)
	}
	return true
}

// find returns the versions above one that touched an object, or another with the
// same hash, in no order.
func (o *olderTouches) find(out []uint64, ref changeset.ObjectRef, after uint64) []uint64 {
	i, ok := o.newest[maphash.Comparable(o.seed, ref)]
	for ok && i >= 0 {
		if t := o.list[i]; t.version > after {
			out = append(out, t.version)
		}
		i = o.list[i].next
	}
	return out
}

// readTouches reads the entries above a version that are about some objects, or
// change the schema if those are wanted, up to the first in memory. The caller holds
// advance.
func (f *File) readTouches(ctx context.Context, after uint64, objects map[changeset.ObjectRef][]touch, schema bool) (*touches, error) {
	to := f.cache.after
	versions, err := f.olderVersions(ctx, after, to, objects, schema)
	if err != nil {
		return nil, err
	}
	slices.Sort(versions)
	entries, err := f.readEntries(ctx, slices.Compact(versions))
	if err != nil {
		return nil, err
	}
	ts := newTouches()
	ts.addFrom(entries)
	return &ts, nil
}

// olderVersions returns the versions above one, up to another, that may have touched
// some objects, or change the schema if that is asked for.
func (f *File) olderVersions(ctx context.Context, after, to uint64, objects map[changeset.ObjectRef][]touch, schema bool) ([]uint64, error) {
	if err := f.rememberOlder(ctx, after, to); err != nil {
		return nil, err
	}
	var out []uint64
	if o := f.cache.older; o != nil {
		o.unasked = 0
		for ref := range objects {
			out = o.find(out, ref, after)
		}
		if schema {
			for _, v := range o.schema {
				if v > after {
					out = append(out, v)
				}
			}
		}
		return out, nil
	}
	// There is too much to be remembered.
	err := f.scanTouches(ctx, after, to, func(version uint64, refs []changeset.ObjectRef, changesSchema bool) bool {
		wanted := schema && changesSchema || slices.ContainsFunc(refs, func(ref changeset.ObjectRef) bool {
			_, ok := objects[ref]
			return ok
		})
		if wanted {
			out = append(out, version)
		}
		return true
	})
	return out, err
}

// rememberOlder makes the touches above one version, up to another, be remembered,
// unless they are too many.
func (f *File) rememberOlder(ctx context.Context, after, to uint64) error {
	o := f.cache.older
	switch {
	case o == nil && to-after > maxOlder:
		return nil
	case o == nil:
		o = newOlderTouches(to)
	case o.after <= after:
		return nil
	}
	room := true
	err := f.scanTouches(ctx, after, o.after, func(version uint64, refs []changeset.ObjectRef, schema bool) bool {
		for _, ref := range refs {
			room = room && o.add(version, ref)
		}
		if schema {
			o.schema = append(o.schema, version)
		}
		return room
	})
	if err != nil || !room {
		f.cache.older = nil // it has some above after, not all
		return err
	}
	o.after = after
	f.cache.older = o
	return nil
}

// scanTouches looks through the commits above one version, up to another, for what
// they touched, until visit returns false.
func (f *File) scanTouches(ctx context.Context, after, to uint64, visit func(version uint64, refs []changeset.ObjectRef, schema bool) bool) error {
	cur, err := f.store.history.Find(ctx, f.commitsFrom(after+1), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{
		{Key: "first", Value: 1}, {Key: "entries.v", Value: 1}, {Key: "entries.s", Value: 1}, {Key: "entries.parts", Value: 1}, {Key: "entries.t.r", Value: 1},
	}))
	if err != nil {
		return fmt.Errorf("look through the history: %w", err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var doc commitDoc
		if err := bson.Unmarshal(cur.Current, &doc); err != nil {
			return fmt.Errorf("look through the history: %w", err)
		}
		if uint64(doc.First) > to {
			break
		}
		for i := range doc.Entries {
			d := &doc.Entries[i]
			if v := uint64(d.Version); v <= after || v > to {
				continue
			}
			if d.Parts > 0 {
				if d, err = f.readParts(ctx, d.Version, d.Parts); err != nil {
					return err
				}
			}
			refs := make([]changeset.ObjectRef, len(d.Objects))
			for k := range d.Objects {
				if refs[k], err = d.Objects[k].ref(); err != nil {
					return fmt.Errorf("look through the history at version %d, object %d: %w", d.Version, k, err)
				}
			}
			if !visit(uint64(d.Version), refs, d.Schema) {
				return nil
			}
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("look through the history: %w", err)
	}
	return nil
}

// readEntries reads the entries of some versions, in order, without those that are
// gone.
func (f *File) readEntries(ctx context.Context, versions []uint64) ([]*Entry, error) {
	var out []*Entry
	s := f.Schema()
	for len(versions) > 0 {
		var doc commitDoc
		err := f.store.history.FindOne(ctx, f.commitsFrom(versions[0]), options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}})).Decode(&doc)
		if errors.Is(err, mongo.ErrNoDocuments) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read history version %d: %w", versions[0], err)
		}
		for i := range doc.Entries {
			d := &doc.Entries[i]
			if _, wanted := slices.BinarySearch(versions, uint64(d.Version)); !wanted {
				continue
			}
			e, err := f.decodeEntry(ctx, s, &doc, d)
			if err != nil {
				return nil, fmt.Errorf("read history version %d: %w", d.Version, err)
			}
			out = append(out, e)
		}
		rest, _ := slices.BinarySearch(versions, uint64(doc.ID.Last)+1)
		versions = versions[rest:]
	}
	return out, nil
}
