package history_test

import (
	"fmt"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
)

// An upload of a device that was away for long becomes the same whether the history
// since then is in memory, was, or never has been in this node's.
func TestUploadOnAnOldBase(t *testing.T) {
	ways := []struct {
		name  string
		cache int
		fresh bool // the device comes back to another node
	}{{"in memory", 0, false}, {"no more in memory", 1, false}, {"in memory in part", 20_000, false}, {"never in memory", 1, true}, {"before the start", 0, true}}
	var want []string
	for i, way := range ways {
		small := func(o *history.Options) { o.CacheBytes = way.cache }
		b := newBed(t, small)
		away, busy := b.device(), b.device()
		busy.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"CreateObject","class":"Dog","pk":2}]`))
		away.catchUp()
		busy.catchUp()
		write := func(from, to int) {
			for k := from; k < to; k++ {
				busy.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":%d},{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":%d}]`, k, k, k))
				busy.mustSend(ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",%d],"value":"busy %d","prior_size":%d}]`, k-100, k, k-100))
			}
		}
		write(100, 120)
		busy.mustSend(ops(`[{"op":"AddColumn","class":"Dog","field":"new","type":"int","nullable":true,"collection":"single"}]`),
			ops(`[{"op":"EraseObject","class":"Dog","pk":2}]`))
		node := b
		if way.fresh {
			node = b.node(small)
			away.b = node
			away.attach(history.Cursors{Ident: away.ident, Download: away.base, Latest: away.base, LatestSalt: saltAt(t, b, away.base)})
		}
		away.mustSend(
			ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",0],"value":"away","prior_size":0}]`),
			ops(`[{"op":"Update","class":"Dog","pk":2,"path":["age"],"value":2}]`),
			ops(`[{"op":"CreateObject","class":"Dog","pk":105},{"op":"Update","class":"Dog","pk":105,"path":["name"],"value":"away"}]`),
			ops(`[{"op":"AddColumn","class":"Dog","field":"new","type":"int","nullable":true,"collection":"single"}]`))
		if err := b.file.Refresh(b.ctx); err != nil {
			t.Fatal(err)
		}
		write(120, 140)
		away.mustSend(ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",1],"value":"away again","prior_size":1},
			{"op":"CreateObject","class":"Dog","pk":130},{"op":"Update","class":"Dog","pk":130,"path":["name"],"value":"away"}]`))
		var got []string
		for _, k := range []int64{1, 2, 105, 130} {
			got = append(got, b.document("Dog", k))
		}
		states := b.states("Dog")
		got = append(got, fmt.Sprint(len(states), states[changeset.IntKey(2)] == nil))
		for _, e := range node.entries()[40:] {
			got = append(got, fmt.Sprint(e.Changeset))
		}
		if i == 0 {
			want = got
			continue
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n got %q\nwant %q", way.name, got, want)
		}
	}
}
