package history_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
)

// A few objects that are kept of thousands uploaded together do not keep the
// whole upload in memory.
func TestObjectsDoNotKeepTheirUpload(t *testing.T) {
	const objects, least = 5_000, 10 << 20
	b := newBed(t, func(o *history.Options) { o.CacheBytes, o.CacheStates = 1, 16 })
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.catchUp()
	before := heap()
	data := manyDogs(objects, strings.Repeat("x", 2100))
	if len(data) < least {
		t.Fatalf("the changeset has %d bytes only", len(data))
	}
	d.mustSend(decoded(t, data))
	data = nil
	// Once the next is committed, the committer has let go of it.
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":7}]`))
	// The states that are left in the cache are of that upload.
	if kept := heap() - before; kept > 4<<20 {
		t.Errorf("%d bytes are kept of an upload of which 16 objects are left in memory", kept)
	}
	runtime.KeepAlive(b)
}

func manyDogs(n int, name string) []byte {
	var cs changeset.Changeset
	for i := range n {
		k := changeset.IntKey(int64(i))
		cs = append(cs,
			changeset.Instruction{Op: changeset.OpCreateObject, Class: "Dog", Key: k},
			changeset.Instruction{Op: changeset.OpUpdate, Class: "Dog", Key: k, Field: "name", Value: changeset.StringValue(name)})
	}
	return changeset.Encode(cs)
}

func decoded(t *testing.T, data []byte) changeset.Changeset {
	t.Helper()
	cs, err := changeset.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// heap is how many bytes live objects take.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// What a node reads of the history at a time, and what it remembers of it, is bounded,
// also where entries are about large objects of which they change little.
func TestEntriesOfLargeObjects(t *testing.T) {
	const size, changes, limit = 1 << 20, 24, 4 << 20
	b := newBed(t, func(o *history.Options) { o.QueryableFields = []string{"age"} })
	d := b.device()
	d.mustSend(ops(dogSchema))
	n := b.node(func(o *history.Options) { o.CacheBytes = limit })
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":%q}]`, strings.Repeat("x", size)))
	for i := range changes {
		d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":%d}]`, i+1))
	}
	before := heap()
	if err := n.file.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	if kept := heap() - before; kept > limit+4<<20 {
		t.Errorf("%d bytes are kept of %d entries that hold %d", kept, changes, changes*size)
	}
	runtime.KeepAlive(n)
	all := n.entries()
	if want := changes + 2; len(all) != want {
		t.Errorf("%d entries, want %d", len(all), want)
	}
	for i, e := range all {
		if e.Version != uint64(i+1) {
			t.Fatalf("entry %d has version %d", i, e.Version)
		}
	}
	some, err := n.file.Entries(b.ctx, 0, len(all))
	if err != nil {
		t.Fatal(err)
	}
	if len(some) == len(all) {
		t.Errorf("all of the %d entries are read at a time", len(all))
	}
}
