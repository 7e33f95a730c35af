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
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
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
	for _, coll := range []string{"heads", "client_files"} {
		if _, err := meta.Collection(coll).UpdateMany(txn, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "dead", Value: true}}}}); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	d.attach(history.Cursors{Ident: d.ident})
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("held up for %v", took)
	}
}
