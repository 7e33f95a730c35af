package transform

import (
	"fmt"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

// workload makes the i-th changeset of a side.
type workload struct {
	name string
	make func(side string, i int) changeset.Changeset
}

var workloads = []workload{
	{"disjoint", func(side string, i int) changeset.Changeset { // an object of its own: created, 4 fields set
		key := changeset.StringKey(fmt.Sprintf("%s-%d", side, i))
		c := changeset.Changeset{{Op: changeset.OpCreateObject, Class: "Item", Key: key}}
		for f := range 4 {
			c = append(c, changeset.Instruction{
				Op: changeset.OpUpdate, Class: "Item", Key: key, Field: fmt.Sprintf("field%d", f),
				Value: changeset.IntValue(int64(i)),
			})
		}
		return c
	}},
	{"one_object", func(_ string, i int) changeset.Changeset { // 2 fields set and a counter incremented
		key := changeset.IntKey(1)
		set := func(f string) changeset.Instruction {
			return changeset.Instruction{
				Op: changeset.OpUpdate, Class: "Item", Key: key, Field: f, Value: changeset.IntValue(int64(i)),
			}
		}
		return changeset.Changeset{set("title"), set("state"), {
			Op: changeset.OpAddInteger, Class: "Item", Key: key, Field: "count", Addend: 1,
		}}
	}},
	{"one_list", func(_ string, i int) changeset.Changeset { // an element appended
		return changeset.Changeset{{
			Op: changeset.OpArrayInsert, Class: "Item", Key: changeset.IntKey(1), Field: "tags",
			Path: changeset.Path{{Index: uint32(i), IsIndex: true}}, Prior: uint32(i), Value: changeset.IntValue(int64(i)),
		}}
	}},
}

// side makes n entries. Each is decoded from bytes, so that no two share texts.
func (w *workload) side(b *testing.B, side string, origin uint64, n int) []*Entry {
	out := make([]*Entry, n)
	for i := range out {
		c, err := changeset.Decode(changeset.Encode(w.make(side, i)))
		if err != nil {
			b.Fatal(err)
		}
		out[i] = &Entry{Changeset: c, Timestamp: uint64(i), Origin: origin}
	}
	return out
}

// BenchmarkMerge merges an upload with what the history got meanwhile. It
// reports instructions of both sides a second, and nominal pairs of
// instructions a second (many vanish as losers are discarded).
func BenchmarkMerge(b *testing.B) {
	for _, w := range workloads {
		for _, size := range []struct{ uploaded, stored int }{{1, 100}, {1, 1000}, {100, 1000}} {
			b.Run(fmt.Sprintf("%s/%dx%d", w.name, size.uploaded, size.stored), func(b *testing.B) {
				stored, uploaded := w.side(b, "stored", 2, size.stored), w.side(b, "uploaded", 3, size.uploaded)
				each := len(stored[0].Changeset)
				b.ReportAllocs()
				for b.Loop() {
					if err := Merge(copies(stored), copies(uploaded), ServerRules); err != nil {
						b.Fatal(err)
					}
				}
				seconds := b.Elapsed().Seconds()
				instructions := float64(b.N) * float64(each*(size.stored+size.uploaded))
				b.ReportMetric(instructions/seconds/1e6, "Minstr/s")
				b.ReportMetric(float64(b.N)*float64(each*size.stored)*float64(each*size.uploaded)/seconds/1e6, "Mpairs/s")
			})
		}
	}
}
