package mongotest

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestMain(m *testing.M) { Main(m) }

func TestDatabasesAreApartAndDropped(t *testing.T) {
	var made []string
	t.Run("make", func(t *testing.T) {
		a, b := Database(t), Database(t)
		if a.Name() == b.Name() {
			t.Fatalf("two databases are both called %s", a.Name())
		}
		beside := a.Client().Database("__bridge_" + a.Name())
		for _, d := range []interface{ Name() string }{a, b, beside} {
			made = append(made, d.Name())
			if _, err := Client(t).Database(d.Name()).Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
				t.Fatal(err)
			}
		}
	})
	names, err := Client(t).ListDatabaseNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range made {
		if slices.Contains(names, n) {
			t.Errorf("database %s is still there after its test", n)
		}
	}
}

func TestBelongs(t *testing.T) {
	for _, test := range []struct {
		database string
		want     bool
	}{
		{"test7_1", true},
		{"test7_1_meta", true},
		{"__bridge_test7_1", true},
		{"__bridge_test7_1-x", true},
		{"test7_12", false},
		{"__bridge_test7_12", false},
		{"admin", false},
	} {
		if got := belongs(test.database, "test7_1"); got != test.want {
			t.Errorf("belongs(%q) = %v, want %v", test.database, got, test.want)
		}
	}
}
