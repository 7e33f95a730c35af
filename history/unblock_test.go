package history_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/history"
)

// A node killed in the middle of a commit holds nobody up for long.
func TestAbandonedTransactionIsEnded(t *testing.T) {
	for _, row := range []struct {
		name        string
		collections []string // what it has written
		blocked     func(b *bed, d *device)
	}{
		{"of an upload", []string{"heads", "client_files"}, func(_ *bed, d *device) {
			d.attach(history.Cursors{Ident: d.ident})
			d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
		}},
		{"of what the change stream said", []string{"heads", "ingest"}, func(b *bed, _ *device) {
			if _, ok, err := b.store.AcquireIngest(b.ctx, "alive", time.Minute); !ok || err != nil {
				b.t.Errorf("the lease: %v, %v", ok, err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBed(t)
			d := b.device()
			d.mustSend(ops(dogSchema))
			if _, ok, err := b.store.AcquireIngest(b.ctx, "dead", -time.Minute); !ok || err != nil {
				t.Fatal(ok, err)
			}
			meta := b.db.Client().Database("__bridge_" + b.db.Name())
			session, err := b.db.Client().StartSession()
			if err != nil {
				t.Fatal(err)
			}
			defer session.EndSession(context.Background())
			if err := session.StartTransaction(); err != nil {
				t.Fatal(err)
			}
			txn := mongo.NewSessionContext(b.ctx, session)
			for _, coll := range row.collections {
				if _, err := meta.Collection(coll).UpdateMany(txn, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "dead", Value: true}}}}); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			row.blocked(b, d)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("held up for %v", took)
			}
		})
	}
}
