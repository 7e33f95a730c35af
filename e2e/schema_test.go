package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// TestAnotherSchema has an app come with another definition of a property than the
// one in use. Its library compares them before it uploads anything, and it is told both.
func TestAnotherSchema(t *testing.T) {
	b := startBridge(t)
	dogs := func(age realmclient.Property) []realmclient.Class {
		age.Name = "age"
		return []realmclient.Class{{Name: "Dog", Properties: []realmclient.Property{{Name: "_id", Type: "int", PrimaryKey: true}, age}}}
	}
	witness := subscribed(t, b, "witness", dogs(realmclient.Property{Type: "int"}))
	for _, test := range []struct {
		name string
		age  realmclient.Property
		want string
	}{
		{"type", realmclient.Property{Type: "string"}, "Property 'age' in class 'Dog' is of type String on one side and type Int on the other"},
		{"null", realmclient.Property{Type: "int", Nullable: true}, "Property 'age' in class 'Dog' is nullable on one side and not on the other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t, b, "other "+test.name, dogs(test.age))
			eventually(t, func(ctx context.Context) error {
				events, err := d.realm.Errors(ctx)
				if err != nil {
					return err
				}
				for _, e := range events {
					if e.Action == "ApplicationBug" && strings.Contains(e.Message, "Invalid schema change") && strings.Contains(e.Message, test.want) {
						return nil
					}
				}
				return fmt.Errorf("it was told %+v", events)
			})
		})
	}
	witness.write(realmclient.Create("Dog", 1, map[string]any{"age": 7}))
	witness.upload()
	witness.untroubled()
}
