package history

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

func TestInsert(t *testing.T) {
	db := mongotest.Database(t)
	s := &Store{db: db}
	large := strings.Repeat("x", 16<<20-100)
	docs := []any{bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: 2}, {Key: "o", Value: large}}, bson.D{{Key: "_id", Value: 3}}}
	for i := range 5000 {
		docs = append(docs, bson.D{{Key: "_id", Value: 10 + i}})
	}
	if err := s.insert(t.Context(), "c", docs); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Collection("c").CountDocuments(t.Context(), bson.D{}); err != nil || int(n) != len(docs) {
		t.Errorf("%d documents, want %d: %v", n, len(docs), err)
	}
	// What MongoDB refuses is an error, whatever else the command did.
	err := s.insert(t.Context(), "c", []any{bson.D{{Key: "_id", Value: 1}}})
	if !hasCode(err, 11000) {
		t.Errorf("a second document with the same _id: %v", err)
	}
	if err := s.insert(t.Context(), "c", nil); err != nil {
		t.Error(err)
	}
}
