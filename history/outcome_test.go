package history_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongod"
	"github.com/isthmus-sync/isthmus/translator"
)

// Where it can't be found out whether a commit has landed, nothing of it is tried
// again but by a device that has asked how far it came: else what has landed would
// be applied twice.
func TestCommitOfUnknownOutcome(t *testing.T) {
	b := newServerBed(t, mongod.Options{Parameters: map[string]string{"enableTestCommands": "1"}})
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	client, err := mongo.Connect(options.Client().ApplyURI(b.uri).SetAppName("unsure"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	unsure := b.node(func(o *history.Options) {
		o.Client, o.Mirror = client, translator.NewMirror(client.Database(b.db.Name()), translator.Mapping{})
	}).device()
	unsure.catchUp()
	failing := func(mode any) {
		t.Helper()
		// The commits land, but MongoDB says that it can't tell.
		command := bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}, {Key: "data", Value: bson.D{
			{Key: "failCommands", Value: bson.A{"commitTransaction"}}, {Key: "appName", Value: "unsure"},
			{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: 64}, {Key: "errmsg", Value: "waiting for replication timed out"}}},
		}}}
		if err := client.Database("admin").RunCommand(b.ctx, command).Err(); err != nil {
			t.Fatal(err)
		}
	}
	birthday := ops(`[{"op":"AddInteger","class":"Dog","pk":1,"path":["age"],"value":1}]`)
	failing("alwaysOn")
	sent := make(chan error, 1)
	go func() { sent <- unsure.send(birthday) }()
	b.wait("the commit lands", func() bool { return b.document("Dog", 1) == `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"1"}}` })
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`)) // so that the head no longer tells
	t.Cleanup(history.SetLongestPause(time.Millisecond))
	if err := <-sent; err == nil || errors.Is(err, history.ErrClosed) {
		t.Errorf("the upload was answered with %v", err)
	}
	failing("off")
	unsure.attach(history.Cursors{Ident: unsure.ident, Download: unsure.base, Latest: unsure.base, LatestSalt: saltAt(t, b, unsure.base)})
	unsure.version--
	unsure.mustSend(birthday)
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"1"}}`)
}
