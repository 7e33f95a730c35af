package e2e

import (
	"bytes"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// TestLargeValues sends strings and binaries up to what a document holds in both
// directions. What is larger is taken back on its device, with the reason.
func TestLargeValues(t *testing.T) {
	const large = 15 << 20
	b := startBridge(t)
	schema := []realmclient.Class{{Name: "Large", Properties: []realmclient.Property{
		{Name: "_id", Type: "int", PrimaryKey: true}, {Name: "s", Type: "string"}, {Name: "b", Type: "data"},
	}}}
	a, other := subscribed(t, b, "A", schema), subscribed(t, b, "B", schema)
	key := func(n int64) any { return realmclient.Int(n) }
	see := func(n int64, s string, data []byte) {
		t.Helper()
		for _, d := range []*device{a, other} {
			d.sees("Large", key(n), map[string]any{"s": s, "b": realmclient.Binary(data)})
		}
	}
	text, data := strings.Repeat("ü", large/2), bytes.Repeat([]byte{0, 1, 2, 255}, large/4)
	// One after the other: together they are more than a transaction takes here.
	a.write(realmclient.Create("Large", key(1), map[string]any{"s": text}))
	a.upload()
	a.write(realmclient.Create("Large", key(2), map[string]any{"b": realmclient.Binary(data)}))
	a.upload()
	c := b.collection("Large")
	expectDocument(t, document(t, c, int64(1)), bson.D{{Key: "_id", Value: int64(1)}, {Key: "s", Value: text}, {Key: "b", Value: bson.Binary{Data: []byte{}}}})
	expectDocument(t, document(t, c, int64(2)), bson.D{{Key: "_id", Value: int64(2)}, {Key: "s", Value: ""}, {Key: "b", Value: bson.Binary{Data: data}}})
	see(1, text, nil)
	see(2, "", data)

	data[0], data[large-1] = 9, 9
	swap := bson.D{{Key: "$set", Value: bson.D{{Key: "s", Value: ""}, {Key: "b", Value: bson.Binary{Data: data}}}}}
	if _, err := c.UpdateByID(within(t), 1, swap); err != nil {
		t.Fatal(err)
	}
	if _, err := c.InsertOne(within(t), bson.D{{Key: "_id", Value: 3}, {Key: "s", Value: text[:large-2]}, {Key: "b", Value: bson.Binary{}}}); err != nil {
		t.Fatal(err)
	}
	see(1, "", data)
	see(3, text[:large-2], nil)
	a.untroubled()
	other.untroubled()

	// Two values that a device can hold, and no document.
	a.write(realmclient.Create("Large", key(4), map[string]any{"s": text[:9<<20], "b": realmclient.Binary(data[:9<<20])}))
	event, err := a.realm.WaitEvent(within(t), "sync_error")
	if err != nil {
		t.Fatal(err)
	}
	if len(event.Compensating) != 1 || !strings.Contains(event.Compensating[0].Reason, "larger than MongoDB allows") {
		t.Errorf("the app was told of %+v", event)
	}
	a.seesNo("Large", key(4))
	other.untroubled()
}
