package translator

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

// TestEditOnMongoDB: a real mongod makes of every write what the tests' model
// of it does.
func TestEditOnMongoDB(t *testing.T) {
	ctx := context.Background()
	coll := mongotest.Database(t).Collection("docs")
	rapid.Check(t, func(r *rapid.T) {
		sc := genScenario(r, Mapping{UnsetNulls: rapid.Bool().Draw(r, "unset nulls")})
		want, err := applyWrite(sc.doc, sc.write)
		if err != nil {
			r.Fatalf("apply: %v\n%s", err, sc)
		}
		if _, err := coll.DeleteMany(ctx, bson.D{}); err != nil {
			r.Fatal(err)
		}
		if _, err := coll.InsertOne(ctx, sc.doc); err != nil {
			r.Fatalf("insert: %v\n%s", err, sc)
		}
		filter := bson.D{{Key: "_id", Value: KeyToBSON(sc.key)}}
		switch sc.write.Kind {
		case Update:
			_, err = coll.UpdateOne(ctx, filter, sc.write.Update)
		case Replace:
			_, err = coll.ReplaceOne(ctx, filter, sc.write.Document)
		case Insert, Delete:
			r.Fatalf("%v of a document that is there and stays\n%s", sc.write.Kind, sc)
		}
		if err != nil {
			r.Fatalf("%v: %v\n%s", sc.write.Kind, err, sc)
		}
		got, err := coll.FindOne(ctx, filter).Raw()
		if err != nil {
			r.Fatal(err)
		}
		if sorted(t, got) != sorted(t, want) {
			r.Fatalf("mongod has\n%s\nwant\n%s\n%s", got, want, sc)
		}
	})
}

// sorted returns the document's bytes with the fields of all documents in it in
// the order of their names: MongoDB appends new fields in an order of its own.
func sorted(t *testing.T, doc bson.Raw) string {
	var d bson.D
	if err := bson.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	raw, err := bson.Marshal(sortFields(d))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func sortFields(v any) any {
	switch v := v.(type) {
	case bson.D:
		for i := range v {
			v[i].Value = sortFields(v[i].Value)
		}
		slices.SortFunc(v, func(a, b bson.E) int { return strings.Compare(a.Key, b.Key) })
	case bson.A:
		for i := range v {
			v[i] = sortFields(v[i])
		}
	}
	return v
}
