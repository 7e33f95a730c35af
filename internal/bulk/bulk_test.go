package bulk

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

func TestMain(m *testing.M) { mongotest.Main(m) }

func doc(t *testing.T, fields ...bson.E) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(bson.D(fields))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestInsert(t *testing.T) {
	c := mongotest.Database(t).Collection("c")
	large := strings.Repeat("x", 16<<20-100)
	docs := []bson.Raw{doc(t, bson.E{Key: "_id", Value: 1}), doc(t, bson.E{Key: "_id", Value: 2}, bson.E{Key: "o", Value: large}), doc(t, bson.E{Key: "_id", Value: 3})}
	for i := range 5000 {
		docs = append(docs, doc(t, bson.E{Key: "_id", Value: 10 + i}))
	}
	if err := Insert(t.Context(), c, docs); err != nil {
		t.Fatal(err)
	}
	if n, err := c.CountDocuments(t.Context(), bson.D{}); err != nil || int(n) != len(docs) {
		t.Errorf("%d documents, want %d: %v", n, len(docs), err)
	}
	if err := Insert(t.Context(), c, nil); err != nil {
		t.Error(err)
	}
}

// What MongoDB refuses is named by its place among all documents, whichever command
// it was in; what comes before it is inserted, what comes after it is not.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []bson.Raw // inserted first
	}{
		{"in the first command", []bson.Raw{doc(t, bson.E{Key: "_id", Value: 1})}},
		{"in the second command", []bson.Raw{doc(t, bson.E{Key: "_id", Value: 1}, bson.E{Key: "o", Value: strings.Repeat("x", 16<<20-100)})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mongotest.Database(t).Collection("c")
			docs := append(tt.before, doc(t, bson.E{Key: "_id", Value: 2}), doc(t, bson.E{Key: "_id", Value: 1}), doc(t, bson.E{Key: "_id", Value: 3}))
			err := Insert(t.Context(), c, docs)
			var refused *Error
			if !errors.As(err, &refused) || refused.Index != 2 || refused.Code != 11000 {
				t.Errorf("error %v, want one of code 11000 at document 2", err)
			}
			var se mongo.ServerError
			if !errors.As(err, &se) || !se.HasErrorCode(11000) {
				t.Errorf("%v is not known as MongoDB's", err)
			}
			if n, err := c.CountDocuments(t.Context(), bson.D{}); err != nil || n != 2 {
				t.Errorf("%d documents are there, want 2: %v", n, err)
			}
		})
	}
}

// In a transaction what has to be tried again from the start says so.
func TestConflictIsTransient(t *testing.T) {
	db := mongotest.Database(t)
	c := db.Collection("c")
	if err := db.CreateCollection(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	begin := func() *mongo.Session {
		s, err := db.Client().StartSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.StartTransaction(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, other := begin(), begin()
	defer one.EndSession(t.Context())
	defer other.EndSession(t.Context())
	docs := []bson.Raw{doc(t, bson.E{Key: "_id", Value: 1})}
	if err := Insert(mongo.NewSessionContext(t.Context(), one), c, docs); err != nil {
		t.Fatal(err)
	}
	err := Insert(mongo.NewSessionContext(t.Context(), other), c, docs)
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorLabel("TransientTransactionError") {
		t.Errorf("error %v, want one with the label TransientTransactionError", err)
	}
}
