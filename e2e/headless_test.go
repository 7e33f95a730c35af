package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	headless "github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/internal/realmclient"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// The headless device of package device goes through what the real client goes
// through, beside it.

// headlessRealm is a realm of a new headless device that follows everything.
func headlessRealm(t testing.TB, b *bridge, classes []realmclient.Class) (*headless.Client, *headless.Realm) {
	t.Helper()
	user, err := headless.NewApp(b.url, b.app).LoginAnonymous(within(t))
	if err != nil {
		t.Fatal(err)
	}
	client := headless.NewClient(headless.Options{})
	t.Cleanup(client.Close)
	realm, err := client.Open(user, headless.Config{Schema: headlessSchema(classes)})
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, c := range classes {
		queries[c.Name] = "TRUEPREDICATE"
	}
	realm.Subscribe(queries)
	if err := realm.WaitSubscriptions(within(t)); err != nil {
		t.Fatal(err)
	}
	return client, realm
}

var headlessTypes = map[string]changeset.Type{
	"int": changeset.Int, "bool": changeset.Bool, "float": changeset.Float, "double": changeset.Double,
	"decimal128": changeset.Decimal, "string": changeset.String, "data": changeset.Binary,
	"timestamp": changeset.Timestamp, "objectId": changeset.ObjectID, "uuid": changeset.UUID, "object": changeset.Link,
}

func headlessSchema(classes []realmclient.Class) *schema.Schema {
	out := &schema.Schema{Classes: map[string]*schema.Class{}}
	for _, class := range classes {
		c := &schema.Class{Name: class.Name, Properties: map[string]*schema.Property{}}
		for _, p := range class.Properties {
			if p.PrimaryKey {
				c.KeyType = headlessTypes[p.Type]
				continue
			}
			property := &schema.Property{Name: p.Name, Type: headlessTypes[p.Type], Target: p.Target, Nullable: p.Nullable || p.Type == "object"}
			if p.Collection == "list" {
				property.Collection = changeset.ListOf
			}
			c.Properties[p.Name] = property
		}
		out.Classes[c.Name] = c
	}
	return out
}

// payload is a scalar of the real client's notation as a changeset's value.
func payload(t testing.TB, v any) changeset.Value {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return changeset.NullValue()
	case bool:
		return changeset.BoolValue(v)
	case string:
		return changeset.StringValue(v)
	case map[string]any:
		for tag, x := range v {
			value, err := taggedPayload(tag, x)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("%v is no scalar", v)
	return changeset.Value{}
}

func taggedPayload(tag string, x any) (changeset.Value, error) {
	if parts, ok := x.([]any); ok && tag == "$ts" {
		seconds, err := parts[0].(json.Number).Int64()
		if err != nil {
			return changeset.Value{}, err
		}
		nanos, err := parts[1].(json.Number).Int64()
		return changeset.TimestampValue(seconds, int32(nanos)), err
	}
	text, ok := x.(string)
	if !ok {
		return changeset.Value{}, fmt.Errorf("%s holds %v", tag, x)
	}
	switch tag {
	case "$int":
		n, err := strconv.ParseInt(text, 10, 64)
		return changeset.IntValue(n), err
	case "$float":
		f, err := strconv.ParseFloat(text, 32)
		return changeset.FloatValue(float32(f)), err
	case "$double":
		f, err := strconv.ParseFloat(text, 64)
		return changeset.DoubleValue(f), err
	case "$decimal":
		return changeset.ParseDecimal(text)
	case "$binary":
		b, err := base64.StdEncoding.DecodeString(text)
		return changeset.BinaryValue(b), err
	case "$oid":
		id, err := bson.ObjectIDFromHex(text)
		return changeset.ObjectIDValue(id), err
	case "$uuid":
		b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || len(b) != 16 {
			return changeset.Value{}, fmt.Errorf("%s is no UUID", text)
		}
		return changeset.UUIDValue([16]byte(b)), nil
	}
	return changeset.Value{}, fmt.Errorf("unknown tag %s", tag)
}

func headlessKey(n int) changeset.Key { return changeset.ObjectIDKey(taskID(n)) }

// headlessWrite writes one transaction of a headless device.
func headlessWrite(t testing.TB, r *headless.Realm, write func(*headless.Tx) error) {
	t.Helper()
	if _, err := r.Write(write); err != nil {
		t.Fatal(err)
	}
}

// headlessSees waits until a headless device's object satisfies a condition.
func headlessSees(t testing.TB, r *headless.Realm, class string, key changeset.Key, condition func(*object.Object) bool) {
	t.Helper()
	err := r.WaitFor(within(t), func() bool { return condition(r.Get(class, key)) })
	if err != nil {
		t.Fatalf("wait for %s %v: %v; it is %v", class, key, err, r.Get(class, key))
	}
}

// TestHeadlessScalars sends every scalar type from a headless device to
// MongoDB and to a real client, and back.
func TestHeadlessScalars(t *testing.T) {
	b := startBridge(t)
	phone := subscribed(t, b, "phone", everySchema())
	_, realm := headlessRealm(t, b, everySchema())

	key := changeset.ObjectIDKey(sampleID)
	set, seen := map[string]any{}, map[string]any{}
	want := bson.D{{Key: "_id", Value: sampleID}}
	for _, s := range scalars {
		set[s.name], seen[s.name] = payload(t, s.value), s.value
		want = append(want, bson.E{Key: s.name, Value: s.stored})
	}
	headlessWrite(t, realm, func(tx *headless.Tx) error {
		if err := tx.Create("Every", key, set); err != nil {
			return err
		}
		for _, s := range scalars {
			for _, v := range []any{s.value, s.other} {
				if err := tx.Append(headless.At("Every", key, s.name+"List"), payload(t, v)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, s := range scalars {
		seen[s.name+"List"] = []any{s.value, s.other}
		want = append(want, bson.E{Key: s.name + "List", Value: bson.A{s.stored, s.otherRaw}})
	}
	if err := realm.WaitUpload(within(t)); err != nil {
		t.Fatal(err)
	}
	expectDocument(t, documentOf(t, b, want), want)
	phone.sees("Every", realmclient.ObjectID(sampleID.Hex()), seen)

	var ops []realmclient.Op
	for _, s := range scalars {
		ops = append(ops, realmclient.Update("Every", realmclient.ObjectID(sampleID.Hex()), s.name, s.other))
	}
	phone.write(ops...)
	headlessSees(t, realm, "Every", key, func(o *object.Object) bool {
		for _, s := range scalars {
			if o == nil || o.Fields[s.name] != object.Node(payload(t, s.other)) {
				return false
			}
		}
		return true
	})
	phone.untroubled()
	if errs := realm.Errors(); len(errs) > 0 {
		t.Errorf("the headless device was told of: %v", errs)
	}
}

// documentOf is the document of class Every that the wanted fields name.
func documentOf(t *testing.T, b *bridge, want bson.D) bson.Raw {
	t.Helper()
	return document(t, b.collection("Every"), want[0].Value)
}

// TestHeadlessAndRealDeviceConverge takes the headless device off line, and
// changes the same objects there, on a real device and by the driver.
func TestHeadlessAndRealDeviceConverge(t *testing.T) {
	b := startBridge(t)
	phone := subscribed(t, b, "phone", taskSchema)
	client, realm := headlessRealm(t, b, taskSchema)
	for n := range 4 {
		phone.write(newTask(n, map[string]any{"title": fmt.Sprint("task ", n)}))
	}
	phone.upload()
	headlessSees(t, realm, "Task", headlessKey(3), func(o *object.Object) bool { return o != nil })

	client.GoOffline()
	headlessWrite(t, realm, func(tx *headless.Tx) error {
		if err := tx.Set(headless.At("Task", headlessKey(0), "title"), "from headless"); err != nil {
			return err
		}
		if err := tx.Delete("Task", headlessKey(1)); err != nil {
			return err
		}
		return tx.Create("Task", headlessKey(10), map[string]any{"title": "made off line"})
	})
	phone.write(changeTask(0, "priority", 4), realmclient.Delete("Task", taskKey(2)))
	phone.upload()
	update := bson.D{{Key: "$set", Value: bson.D{{Key: "note", Value: "from the driver"}}}}
	if _, err := b.collection("Task").UpdateByID(within(t), taskID(0), update); err != nil {
		t.Fatal(err)
	}
	phone.sees("Task", taskKey(0), map[string]any{"note": "from the driver"})

	client.GoOnline()
	if err := realm.Sync(within(t)); err != nil {
		t.Fatal(err)
	}
	phone.sees("Task", taskKey(0), map[string]any{"title": "from headless", "priority": realmclient.Int(4), "note": "from the driver"})
	phone.sees("Task", taskKey(10), map[string]any{"title": "made off line"})
	phone.seesNo("Task", taskKey(1))
	headlessSees(t, realm, "Task", headlessKey(2), func(o *object.Object) bool { return o == nil })
	headlessSees(t, realm, "Task", headlessKey(0), func(o *object.Object) bool {
		return o.Fields["title"] == object.Node(changeset.StringValue("from headless")) &&
			o.Fields["priority"] == object.Node(changeset.IntValue(4)) &&
			o.Fields["note"] == object.Node(changeset.StringValue("from the driver"))
	})
	converge(t, b, phone)
	if got, want := len(realm.Objects("Task")), len(phone.dump()["Task"]); got != want {
		t.Errorf("the headless device has %d tasks, the phone %d", got, want)
	}
}

// TestHeadlessStreamSurvivesKills kills the bridge while a headless device uploads.
func TestHeadlessStreamSurvivesKills(t *testing.T) {
	const kills, between = 3, 40
	b := startBridge(t)
	client, realm := headlessRealm(t, b, streamSchema)
	headlessWrite(t, realm, func(tx *headless.Tx) error { return tx.Create("Tally", headlessKey(0), nil) })
	n := 0
	for range kills {
		for range between {
			headlessWrite(t, realm, func(tx *headless.Tx) error {
				if err := tx.Create("Item", headlessKey(n), map[string]any{"n": n}); err != nil {
					return err
				}
				if err := tx.Add(headless.At("Tally", headlessKey(0), "count"), 1); err != nil {
					return err
				}
				return tx.Append(headless.At("Tally", headlessKey(0), "log"), n)
			})
			n++
		}
		eventually(t, func(ctx context.Context) error { // the first of them are on their way
			arrived, err := b.collection("Item").CountDocuments(ctx, bson.D{})
			if err == nil && arrived <= int64(n-between) {
				err = fmt.Errorf("%d of %d items are in MongoDB", arrived, n)
			}
			return err
		})
		b.kill()
		b.restart()
		client.Reconnect()
	}
	if err := realm.WaitUpload(within(t)); err != nil {
		t.Fatal(err)
	}
	expectStream(t, b, n)
}
