package history_test

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/history"
)

func TestTrim(t *testing.T) {
	b := newBed(t)
	d, away := b.device(), b.device()
	d.mustSend(ops(dogSchema))
	d.catchUp()
	away.catchUp()
	away.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	for range 5 {
		d.catchUp()
		d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	}
	trim := func() uint64 {
		t.Helper()
		v, err := b.file.Trim(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// The one away may still upload on top of version 1.
	if got := trim(); got != 1 {
		t.Errorf("trimmed to %d, want 1", got)
	}
	clients := b.db.Client().Database("__bridge_" + b.db.Name()).Collection("client_files")
	cursors := history.Cursors{Ident: away.ident, Download: history.Stride, DownloadClient: 0, Latest: history.Stride}
	h := struct {
		Salt int64 `bson:"trimmed_salt"`
	}{}
	if err := b.db.Client().Database("__bridge_"+b.db.Name()).Collection("heads").FindOne(b.ctx, bson.D{}).Decode(&h); err != nil {
		t.Fatal(err)
	}
	cursors.LatestSalt = uint64(h.Salt)
	away.attach(cursors) // the version that trimming stopped at is still known by its salt
	away.client.Close()

	_, err := clients.UpdateOne(b.ctx, bson.D{{Key: "_id.ident", Value: int64(away.ident.Ident)}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: time.Now().Add(-1000 * time.Hour)}}}})
	if err != nil {
		t.Fatal(err)
	}
	// d has acknowledged version 6 and made 7.
	if got := trim(); got != 6 {
		t.Errorf("with the other expired, trimmed to %d, want 6", got)
	}
	if _, err := b.file.Attach(b.ctx, "user", cursors); rejection(err) != 222 {
		t.Errorf("an expired client file: %v", err)
	}
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
	other := b.node()
	if all := other.entries(); len(all) != 2 || all[0].Version != 7 {
		t.Errorf("%d entries are left", len(all))
	}
}
