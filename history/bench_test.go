package history_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
)

// BenchmarkUploads measures uploads made durable per second: each creates one
// object with three properties set.
func BenchmarkUploads(bench *testing.B) {
	for _, devices := range []int{1, 50} {
		bench.Run(fmt.Sprintf("devices=%d", devices), func(bench *testing.B) {
			b := newBed(bench)
			all := make([]*device, devices)
			for i := range all {
				all[i] = b.device()
			}
			all[0].mustSend(ops(dogSchema))
			for _, d := range all {
				d.catchUp()
			}
			bench.ResetTimer()
			var wg sync.WaitGroup
			for i, d := range all {
				wg.Go(func() {
					for k := i; k < bench.N; k += devices {
						err := d.send(ops(`[{"op":"CreateObject","class":"Dog","pk":%d},
							{"op":"Update","class":"Dog","pk":%d,"path":["name"],"value":"a name of twenty chars"},
							{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":7},
							{"op":"ArrayInsert","class":"Dog","pk":%d,"path":["tags",0],"value":"t","prior_size":0}]`, k, k, k, k))
						if err != nil {
							bench.Error(err)
							return
						}
						d.catchUp()
					}
				})
			}
			wg.Wait()
			bench.ReportMetric(float64(bench.N)/bench.Elapsed().Seconds(), "uploads/s")
		})
	}
}

// BenchmarkBootstrap measures how long it takes to find the 100 of 100,000
// objects that a query asks for: from the index of its field, from the states'
// queryable fields without one, and by looking at all objects, as while the states
// do not have the field yet.
func BenchmarkBootstrap(bench *testing.B) {
	const objects, matching = 100_000, 100
	b := newBed(bench, func(o *history.Options) { o.QueryableFields = []string{"name"} })
	b.ctx = bench.Context() // which has more time than a test's
	b.addDogs(objects)
	indexed := b.predicate("Dog", `name IN {"dog 0"`+otherNames(matching)+`}`)
	filtered := b.predicate("Dog", `name ENDSWITH "00" and name CONTAINS "g 77"`)
	b.awaitBackfill("Dog")
	for _, way := range []struct {
		name         string
		where, match *query.Predicate
	}{{"indexed", indexed, indexed}, {"filtered", filtered, filtered}, {"everything", nil, indexed}} {
		bench.Run(way.name, func(bench *testing.B) {
			var where []*query.Predicate
			if way.where != nil {
				where = []*query.Predicate{way.where}
			}
			for bench.Loop() {
				sn, err := b.file.Snapshot(b.ctx)
				if err != nil {
					bench.Fatal(err)
				}
				found := 0
				err = sn.Scan(b.ctx, "Dog", where, func(k changeset.Key, o *object.Object) error {
					if way.match.Match(k, o) {
						found++
					}
					return nil
				})
				sn.Close()
				if err != nil || found == 0 || way.match == indexed && found != matching {
					bench.Fatalf("%d found, %v", found, err)
				}
			}
		})
	}
}

// otherNames are the names of dogs that are evenly spread, but for the first.
func otherNames(n int) string {
	text := ""
	for i := 1; i < n; i++ {
		text += fmt.Sprintf(`, "dog %d"`, i*1000)
	}
	return text
}
