package e2e

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// taskSchema is the class that the tests about behaviour share.
var taskSchema = []realmclient.Class{{Name: "Task", Properties: []realmclient.Property{
	{Name: "_id", Type: "objectId", PrimaryKey: true},
	{Name: "title", Type: "string"},
	{Name: "done", Type: "bool"},
	{Name: "priority", Type: "int"},
	{Name: "note", Type: "string", Nullable: true},
	{Name: "due", Type: "timestamp", Nullable: true},
	{Name: "tags", Type: "string", Collection: "list"},
}}}

// taskID is the nth key, for documents and for objects.
func taskID(n int) bson.ObjectID {
	return bson.ObjectID{8: byte(n >> 24), 9: byte(n >> 16), 10: byte(n >> 8), 11: byte(n)}
}

func taskKey(n int) any { return realmclient.ObjectID(taskID(n).Hex()) }

func newTask(n int, properties map[string]any) realmclient.Op {
	return realmclient.Create("Task", taskKey(n), properties)
}

func changeTask(n int, property string, value any) realmclient.Op {
	return realmclient.Update("Task", taskKey(n), property, value)
}

func TestTwoDevicesSeeEachOther(t *testing.T) {
	b := startBridge(t)
	phone, tablet := subscribed(t, b, "phone", taskSchema), subscribed(t, b, "tablet", taskSchema)

	phone.write(newTask(1, map[string]any{"title": "buy milk", "priority": 3, "tags": []any{"shop"}}))
	tablet.sees("Task", taskKey(1), map[string]any{"title": "buy milk", "priority": realmclient.Int(3), "done": false, "tags": []any{"shop"}})
	tablet.write(changeTask(1, "done", true),
		realmclient.Op{Op: "list_append", Class: "Task", PK: taskKey(1), Path: []any{"tags"}, Value: "urgent"})
	phone.sees("Task", taskKey(1), map[string]any{"done": true, "tags": []any{"shop", "urgent"}})
	converge(t, b, phone, tablet)

	tablet.write(realmclient.Delete("Task", taskKey(1)), newTask(2, map[string]any{"title": "next"}))
	phone.seesNo("Task", taskKey(1))
	phone.sees("Task", taskKey(2), map[string]any{"title": "next"})
	converge(t, b, phone, tablet)
}

// TestConcurrentWritesToDifferentFields lets both devices and the driver change
// other fields of the same objects at the same time, again and again.
func TestConcurrentWritesToDifferentFields(t *testing.T) {
	const rounds, objects = 20, 5
	b := startBridge(t)
	phone, tablet := subscribed(t, b, "phone", taskSchema), subscribed(t, b, "tablet", taskSchema)
	var ops []realmclient.Op
	for n := range objects {
		ops = append(ops, newTask(n, map[string]any{"title": "t"}))
	}
	phone.write(ops...)
	phone.upload()
	tasks := b.collection("Task")
	for round := range rounds {
		n := round % objects
		phone.write(changeTask(n, "title", fmt.Sprint("title ", round)))
		tablet.sees("Task", taskKey(n), nil)
		tablet.write(changeTask(n, "priority", round))
		update := bson.D{{Key: "$set", Value: bson.D{{Key: "note", Value: fmt.Sprint("note ", round)}}}}
		if _, err := tasks.UpdateByID(within(t), taskID(n), update); err != nil {
			t.Fatal(err)
		}
	}
	phone.upload()
	tablet.upload()
	for n := range objects {
		last := rounds - objects + n
		want := map[string]any{
			"title": fmt.Sprint("title ", last), "priority": realmclient.Int(int64(last)), "note": fmt.Sprint("note ", last),
		}
		phone.sees("Task", taskKey(n), want)
		tablet.sees("Task", taskKey(n), want)
	}
	converge(t, b, phone, tablet)
}

// TestViewFollowsTheQuery has objects enter and leave the view of a device
// that follows only some, by writes of another device and of the driver.
func TestViewFollowsTheQuery(t *testing.T) {
	b := startBridge(t)
	all := subscribed(t, b, "all", taskSchema)
	all.write(
		newTask(1, map[string]any{"title": "low", "priority": 1}),
		newTask(2, map[string]any{"title": "high", "priority": 9}),
		newTask(3, map[string]any{"title": "high but done", "priority": 9, "done": true}),
		newTask(4, map[string]any{"title": "always", "priority": 0}),
	)
	all.upload()

	some := newDevice(t, b, "some", taskSchema)
	some.subscribe(realmclient.Subscription{Class: "Task", Query: `(priority > 5 AND NOT done == true) OR title == "always"`})
	has := func(want ...int) {
		t.Helper()
		got := some.dump()["Task"]
		if len(got) != len(want) {
			t.Fatalf("the device has %v, want the tasks %v", got, want)
		}
		for _, n := range want {
			some.sees("Task", taskKey(n), nil)
		}
	}
	has(2, 4)

	tasks := b.collection("Task")
	update := func(n int, fields bson.D) {
		t.Helper()
		if _, err := tasks.UpdateByID(within(t), taskID(n), bson.D{{Key: "$set", Value: fields}}); err != nil {
			t.Fatal(err)
		}
	}
	all.write(changeTask(1, "priority", 7)) // enters, by a device
	some.sees("Task", taskKey(1), map[string]any{"title": "low"})
	update(3, bson.D{{Key: "done", Value: false}}) // enters, by the driver
	some.sees("Task", taskKey(3), map[string]any{"title": "high but done"})
	all.write(changeTask(2, "done", true)) // leaves, by a device
	some.seesNo("Task", taskKey(2))
	update(4, bson.D{{Key: "title", Value: "no more"}}) // leaves, by the driver
	some.seesNo("Task", taskKey(4))
	has(1, 3)

	some.subscribe(realmclient.Subscription{Class: "Task", Query: "priority <= 0"})
	has(4)
	converge(t, b, all)
	some.untroubled()
}

// TestOfflineDeviceConverges takes one device off line, changes the same
// objects on it, on another device and in MongoDB, and brings it back.
func TestOfflineDeviceConverges(t *testing.T) {
	b := startBridge(t)
	home, away := subscribed(t, b, "home", taskSchema), subscribed(t, b, "away", taskSchema)
	var ops []realmclient.Op
	for n := range 10 {
		ops = append(ops, newTask(n, map[string]any{"title": fmt.Sprint("task ", n)}))
	}
	home.write(ops...)
	home.upload()
	away.sees("Task", taskKey(9), nil)

	away.offline()
	away.write(
		changeTask(0, "title", "from away"),
		changeTask(1, "done", true),
		realmclient.Delete("Task", taskKey(2)),
		newTask(20, map[string]any{"title": "made away"}),
	)
	away.write(changeTask(20, "note", "twice"), changeTask(3, "due", realmclient.Timestamp(1_700_000_000, 0)))

	home.write(
		changeTask(0, "priority", 5),
		realmclient.Delete("Task", taskKey(4)),
		newTask(21, map[string]any{"title": "made at home"}),
	)
	home.upload()
	tasks := b.collection("Task")
	driver := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := tasks.UpdateByID(within(t), taskID(0), bson.D{{Key: "$set", Value: bson.D{{Key: "note", Value: "from the driver"}}}})
	driver(err)
	_, err = tasks.UpdateByID(within(t), taskID(3), bson.D{{Key: "$push", Value: bson.D{{Key: "tags", Value: "pushed"}}}})
	driver(err)
	_, err = tasks.DeleteOne(within(t), bson.D{{Key: "_id", Value: taskID(5)}})
	driver(err)
	_, err = tasks.InsertOne(within(t), bson.D{
		{Key: "_id", Value: taskID(22)}, {Key: "title", Value: "inserted"}, {Key: "done", Value: false}, {Key: "priority", Value: int32(2)},
	})
	driver(err)
	home.sees("Task", taskKey(22), nil)

	away.online()
	away.upload()
	away.sees("Task", taskKey(0), map[string]any{"title": "from away", "priority": realmclient.Int(5), "note": "from the driver"})
	away.sees("Task", taskKey(3), map[string]any{"due": realmclient.Timestamp(1_700_000_000, 0), "tags": []any{"pushed"}})
	away.sees("Task", taskKey(21), map[string]any{"title": "made at home"})
	away.sees("Task", taskKey(22), map[string]any{"title": "inserted"})
	home.sees("Task", taskKey(20), map[string]any{"title": "made away", "note": "twice"})
	for _, n := range []int{2, 4, 5} {
		away.seesNo("Task", taskKey(n))
		home.seesNo("Task", taskKey(n))
	}
	converge(t, b, home, away)
}
