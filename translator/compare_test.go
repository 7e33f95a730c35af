package translator

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/schema"
)

// Whoever judges that comparing a class erases little, and has its collection
// dropped behind the back, erases nothing.
func TestCompareCollectionDroppedSinceJudged(t *testing.T) {
	for _, recreated := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		db := mongotest.Database(t)
		class := &schema.Class{Name: "Dog", KeyType: changeset.Int, Properties: map[string]*schema.Property{}}
		store, err := history.Open(ctx, history.Options{
			Client: db.Client(), Database: "__bridge_" + db.Name(), Mirror: NewMirror(db, Mapping{}), Logger: slog.New(slog.DiscardHandler),
			Schema: &schema.Schema{Classes: map[string]*schema.Class{"Dog": class}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		file, err := store.File(ctx, history.FlexibleFile)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Collection("Dog").InsertMany(ctx, []bson.D{{{Key: "_id", Value: 1}}, {{Key: "_id", Value: 2}}}); err != nil {
			t.Fatal(err)
		}
		r := &comparer{db: db, file: file, scanRange: DefaultScanRange}
		compare := func(id string) error {
			return r.compare(ctx, class, id, bson.RawValue{}, func(bson.RawValue, int) error { return nil })
		}
		id, err := r.identity(ctx, class)
		if err != nil || id == "" {
			t.Fatalf("identity %q, %v", id, err)
		}
		if err := compare(id); err != nil {
			t.Fatal(err)
		}
		if lost, err := r.losses(ctx, class, false); err != nil || lost.askable() || lost.states != 2 {
			t.Fatalf("losses %+v, %v", lost, err)
		}
		if err := db.Collection("Dog").Drop(ctx); err != nil {
			t.Fatal(err)
		}
		if recreated {
			if err := db.CreateCollection(ctx, "Dog"); err != nil {
				t.Fatal(err)
			}
		}
		if err := compare(id); !errors.Is(err, errReplaced) {
			t.Errorf("recreated=%v: got %v, want errReplaced", recreated, err)
		}
		if n, err := file.CountStates(ctx, "Dog"); err != nil || n != 2 {
			t.Errorf("recreated=%v: %d objects are left of 2, %v", recreated, n, err)
		}
	}
}
