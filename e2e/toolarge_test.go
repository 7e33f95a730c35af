package e2e

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// TestChangesetTooLargeForMongoDB has MongoDB say of every transaction that it is
// too large, as it does of large ones when its cache is small. The device is told
// once, keeps what it wrote, and sends it when its app is started again.
func TestChangesetTooLargeForMongoDB(t *testing.T) {
	server, err := mongod.Start(t.Context(), mongod.Options{Dir: t.TempDir(), Parameters: map[string]string{"enableTestCommands": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	b := &bridge{t: t, app: "too-large", database: "documents"}
	b.run("--mongodb", server.URI, "--database", b.database, "--data", t.TempDir())
	phone := subscribed(t, b, "phone", taskSchema)
	phone.write(newTask(1, map[string]any{"title": "before"}))
	phone.upload()

	failing := func(mode any) {
		t.Helper()
		command := bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}, {Key: "data", Value: bson.D{
			{Key: "errorCode", Value: 388}, {Key: "failCommands", Value: bson.A{"commitTransaction"}}}}}
		if err := b.collection("Task").Database().Client().Database("admin").RunCommand(within(t), command).Err(); err != nil {
			t.Fatal(err)
		}
	}
	failing("alwaysOn")
	phone.write(newTask(2, map[string]any{"title": "large"}))
	event, err := phone.realm.WaitEvent(within(t), "sync_error")
	if err != nil {
		t.Fatal(err)
	}
	if !event.Fatal || event.ResetRequested || !strings.Contains(event.Message, "One write transaction of 1 objects") {
		t.Errorf("the app was told of %+v", event)
	}
	session, err := phone.realm.Session(within(t))
	if err != nil || session.State != "inactive" {
		t.Errorf("the session is %+v (%v), want it inactive", session, err)
	}
	if n := strings.Count(b.log.String(), "an uploaded changeset is larger than MongoDB takes in one transaction"); n != 1 {
		t.Errorf("the log says %d times that it is too large", n)
	}
	phone.sees("Task", taskKey(2), map[string]any{"title": "large"})

	failing("off")
	other := subscribed(t, b, "other", taskSchema)
	other.write(newTask(3, map[string]any{"title": "not concerned"}))
	other.upload()
	phone.crash()
	phone.relaunch()
	phone.upload()
	other.sees("Task", taskKey(2), map[string]any{"title": "large"})
	phone.sees("Task", taskKey(3), map[string]any{"title": "not concerned"})
	converge(t, b, other)
}
