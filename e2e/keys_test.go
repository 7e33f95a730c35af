package e2e

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// TestEveryKeyType creates, changes and deletes objects of every type of key, from
// both sides.
func TestEveryKeyType(t *testing.T) {
	b := startBridge(t)
	schema := typesSchema()
	a, other := subscribed(t, b, "A", schema), subscribed(t, b, "B", schema)
	for _, k := range keyKinds {
		t.Run(k.class, func(t *testing.T) {
			c := b.collection(k.class)
			has := func(key any, n int64) {
				t.Helper()
				for _, d := range []*device{a, other} {
					d.sees(k.class, key, map[string]any{"n": realmclient.Int(n)})
				}
			}
			for _, key := range k.both {
				a.write(realmclient.Create(k.class, key.device, map[string]any{"n": 1}))
				a.upload()
				expectDocument(t, document(t, c, key.stored), bson.D{{Key: "_id", Value: key.stored}, {Key: "n", Value: int64(1)}})
				has(key.device, 1)
				byID := bson.D{{Key: "_id", Value: key.stored}}
				if _, err := c.UpdateOne(within(t), byID, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 2}}}}); err != nil {
					t.Fatal(err)
				}
				has(key.device, 2)
				if _, err := c.DeleteOne(within(t), byID); err != nil {
					t.Fatal(err)
				}
				a.seesNo(k.class, key.device)
				other.seesNo(k.class, key.device)
			}
			for _, key := range append(k.both[:len(k.both):len(k.both)], k.read...) {
				if _, err := c.InsertOne(within(t), bson.D{{Key: "_id", Value: key.stored}, {Key: "n", Value: 3}}); err != nil {
					t.Fatal(err)
				}
				has(key.device, 3)
				a.write(realmclient.Update(k.class, key.device, "n", 4))
				a.upload()
				// An _id is never rewritten.
				expectDocument(t, document(t, c, key.stored), bson.D{{Key: "_id", Value: key.stored}, {Key: "n", Value: int64(4)}})
				has(key.device, 4)
				a.write(realmclient.Delete(k.class, key.device))
				a.upload()
				other.seesNo(k.class, key.device)
			}
			if n, err := c.CountDocuments(within(t), bson.D{}); n != 0 || err != nil {
				t.Errorf("%d documents are left, %v", n, err)
			}
			for _, id := range k.unread {
				if _, err := c.InsertOne(within(t), bson.D{{Key: "_id", Value: id}, {Key: "n", Value: 5}}); err != nil {
					t.Fatal(err)
				}
			}
			b.listsUnsynced(t, k.class, len(k.unread), "_id")
		})
	}
	a.untroubled()
	other.untroubled()
}
