package history

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
)

// followed is a File whose history is in memory only.
type followed struct {
	t        *testing.T
	file     *File
	follower *Follower
}

func newFollowed(t *testing.T) *followed {
	f := &File{cache: entryCache{limit: 1 << 30}, changed: make(chan struct{})}
	return &followed{t, f, f.NewFollower()}
}

// commit appends an entry that touches objects, of a batch of the follower if there
// is one.
func (f *followed) commit(d *Documents, keys ...int64) {
	version := f.file.head + 1
	e := &Entry{Version: version}
	for _, k := range keys {
		e.Objects = append(e.Objects, Touched{Ref: dog(k)})
	}
	f.file.publish([]*Entry{e}, version, 0)
	if d != nil {
		d.entries = []uint64{version}
		f.follower.committed(d)
	}
}

func (f *followed) documents(version uint64, at uint32) *Documents {
	return &Documents{version: version, at: bson.Timestamp{T: at}, follower: f.follower}
}

// moved says which objects the follower takes for newer than documents.
func (f *followed) moved(d *Documents) string {
	f.t.Helper()
	moved, all, err := f.follower.movedSince(f.t.Context(), d, f.file.head)
	if err != nil {
		return err.Error()
	}
	if all {
		return "all"
	}
	var keys []int64
	for ref, v := range moved {
		if v > d.version {
			keys = append(keys, ref.Key.Int)
		}
	}
	slices.Sort(keys)
	return fmt.Sprint(keys)
}

func dog(key int64) changeset.ObjectRef {
	return changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(key)}
}

func TestFollowerTellsWhatMoved(t *testing.T) {
	f := newFollowed(t)
	want := func(d *Documents, want string) {
		t.Helper()
		if got := f.moved(d); got != want {
			t.Errorf("at version %d of %d: moved %s, want %s", d.version, f.file.head, got, want)
		}
	}
	f.commit(nil, 1)
	first := f.documents(1, 10)
	want(first, "[]")
	f.commit(nil, 2)             // a device
	f.commit(first, 1, 2)        // what came of the first batch
	second := f.documents(1, 11) // read before both
	want(second, "[2]")
	f.commit(nil, 3)
	want(second, "[2 3]") // tried again
	f.commit(second, 5)
	f.commit(nil, 2)
	want(f.documents(3, 12), "[2 3]")
	want(f.documents(6, 13), "[]")
	f.commit(nil, 9)
	want(f.documents(6, 14), "[9]")
	// The stream was opened again, and reads what is older than what was read.
	want(f.documents(6, 11), "[9]")
	f.commit(f.documents(7, 20), 4)
	want(f.documents(7, 19), "all")
	want(f.documents(7, 20), "[]")
	want(f.documents(2, 21), "all") // older than it remembers
	want(f.documents(9, 22), errHeadMoved.Error())
}

// What a backlog becomes is looked at once, not once for each batch behind it; nor
// is it kept.
func TestFollowerOfABacklog(t *testing.T) {
	f := newFollowed(t)
	f.commit(nil, 1)
	for i := range int64(100) {
		d := f.documents(1, uint32(10+i))
		if got := f.moved(d); got != "[]" {
			t.Fatalf("batch %d: moved %s", i, got)
		}
		f.commit(d, 100*i, 100*i+1)
		f.file.cache = entryCache{after: f.file.head - 1, list: f.file.cache.list[len(f.file.cache.list)-1:], limit: 1 << 30}
	}
	if n := len(f.follower.own) + len(f.follower.others); n > 1 {
		t.Errorf("the follower remembers %d things of its own: %v", n, slices.Collect(maps.Keys(f.follower.others)))
	}
}

// What devices write meanwhile is remembered only so far.
func TestFollowerForgets(t *testing.T) {
	f := newFollowed(t)
	f.commit(nil, 1)
	d := f.documents(1, 10)
	if got := f.moved(d); got != "[]" {
		t.Fatal(got)
	}
	keys := make([]int64, maxMovedObjects+1)
	for i := range keys {
		keys[i] = int64(i)
	}
	f.commit(nil, keys...)
	if got := f.moved(d); got != "all" {
		t.Errorf("behind more objects than are remembered, moved %.40s", got)
	}
	if n := len(f.follower.others); n > maxMovedObjects {
		t.Errorf("%d objects are remembered", n)
	}
	f.commit(nil, 7)
	if got := f.moved(f.documents(2, 11)); got != "[7]" {
		t.Errorf("after that, moved %.40s", got)
	}
}
