package abandoned_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/internal/abandoned"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// begin writes to document id in a transaction that stays open, through a
// driver of that name, and returns its session's context.
func begin(t *testing.T, database, name string, id int) context.Context {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(mongotest.URI(t)).SetAppName(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	session, err := client.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.EndSession(context.Background()) })
	if err := session.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	ctx := mongo.NewSessionContext(t.Context(), session)
	if err := set(ctx, client.Database(database), id, name); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func set(ctx context.Context, d *mongo.Database, id int, by string) error {
	_, err := d.Collection("c").UpdateByID(ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: "by", Value: by}}}}, options.UpdateOne().SetUpsert(true))
	return err
}

func TestEnd(t *testing.T) {
	const idle = 50 * time.Millisecond
	d := mongotest.Database(t)
	if err := set(t.Context(), d, 0, "setup"); err != nil { // makes the collection
		t.Fatal(err)
	}
	dead := begin(t, d.Name(), "bridge", 1)
	other := begin(t, d.Name(), "somebody else", 2)

	if n, err := abandoned.End(t.Context(), d.Client(), "bridge", time.Hour); n != 0 || err != nil {
		t.Fatalf("ended %d transactions (%v) idle for an hour, want none", n, err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for n := 0; n == 0; {
		var err error
		if n, err = abandoned.End(t.Context(), d.Client(), "bridge", idle); err != nil {
			t.Fatal(err)
		}
		if n > 1 || time.Now().After(deadline) {
			t.Fatalf("ended %d transactions, want the one of the bridge", n)
		}
	}
	// The document is free again: this write would wait for the transaction.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := set(ctx, d, 1, "after"); err != nil {
		t.Errorf("write to the document of the ended transaction: %v", err)
	}
	err := mongo.SessionFromContext(dead).CommitTransaction(t.Context())
	if e, ok := err.(mongo.CommandError); !ok || !e.HasErrorLabel("TransientTransactionError") {
		t.Errorf("commit of the ended transaction: %v, want a TransientTransactionError", err)
	}
	if err := mongo.SessionFromContext(other).CommitTransaction(t.Context()); err != nil {
		t.Errorf("commit of a transaction of another name: %v", err)
	}
}
