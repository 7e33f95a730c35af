package faults

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The change stream's place is lost while the bridge is down and MongoDB writers
// work: everything is compared anew, and nothing is missing.
func TestLostToken(t *testing.T) {
	t.Parallel()
	spoil := map[string]func(data string) bson.D{
		"of a time before the oplog": func(data string) bson.D { return set(bson.D{{Key: "_data", Value: data[:2] + "00000001" + data[10:]}}) },
		"of another form":            func(string) bson.D { return set(bson.D{{Key: "_data", Value: "nonsense"}}) },
		"empty":                      func(string) bson.D { return set(bson.D{}) },
		"missing":                    func(string) bson.D { return bson.D{{Key: "$unset", Value: bson.D{{Key: "token", Value: ""}}}} },
	}
	w := newWorld(t, plan{nodes: 1, phones: 3, writers: 2, seed: newSeed(t)})
	rng := w.rng(1)
	w.nodes[0].expected = "the place in the change stream is about to be lost"
	began := time.Now()
	var slowest time.Duration
	for round := range *roundsFlag {
		for name, change := range spoil {
			w.begin()
			w.wait(rng, 500*time.Millisecond, 1500*time.Millisecond)
			n := w.nodes[0]
			if rng.IntN(2) == 0 {
				n.kill()
			} else {
				n.stop()
			}
			w.wait(rng, 500*time.Millisecond, time.Second)
			ingest := w.client.Database("__bridge_" + w.name).Collection("ingest")
			var doc struct {
				Token struct {
					Data string `bson:"_data"`
				} `bson:"token"`
			}
			if err := ingest.FindOne(w.ctx, bson.D{}).Decode(&doc); err != nil {
				t.Fatal(err)
			}
			if res, err := ingest.UpdateOne(w.ctx, bson.D{}, change(doc.Token.Data)); err != nil || res.ModifiedCount != 1 {
				t.Fatal(res, err)
			}
			back := time.Now()
			n.start()
			w.progress(time.Minute)
			slowest = max(slowest, time.Since(back))
			w.wait(rng, 0, time.Second)
			w.agree()
			t.Logf("round %d: a token %s", round, name)
		}
	}
	w.report(began, fmt.Sprintf("%d tokens lost (back at work after %v at most)", len(spoil)**roundsFlag, slowest.Round(time.Millisecond)))
}

// set is an update of the token.
func set(token bson.D) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: "token", Value: token}}}}
}
