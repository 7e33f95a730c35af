package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/schema"
)

// scene is a bridge, its documents, and a device that has all dogs.
type scene struct {
	t      *testing.T
	ctx    context.Context
	bridge *running
	app    string
	db     *mongo.Database // of the documents
	realm  *device.Realm
}

// newScene starts a bridge for an app of that name, and a device that makes so
// many dogs, with keys from 1.
func newScene(t *testing.T, app string, dogs int, change ...func(*config.Config)) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	client, err := mongo.Connect(options.Client().ApplyURI(sharedMongo(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	cfg := testConfig(t, app)
	for _, f := range change {
		f(cfg)
	}
	s := &scene{t: t, ctx: ctx, app: app, db: client.Database(app), bridge: start(t, cfg)}
	user, err := device.NewApp("http://"+s.bridge.addr, app).LoginAnonymous(ctx)
	if err != nil {
		t.Fatal(err)
	}
	phone := device.NewClient(device.Options{})
	t.Cleanup(phone.Close)
	s.realm, err = phone.Open(user, device.Config{Schema: &schema.Schema{Classes: map[string]*schema.Class{"Dog": {
		Name: "Dog", KeyType: changeset.Int,
		Properties: map[string]*schema.Property{
			"name": {Name: "name", Type: changeset.String, Nullable: true},
			"age":  {Name: "age", Type: changeset.Int},
			"walk": {Name: "walk", Type: changeset.Link, Collection: changeset.ListOf, Target: "Walk"},
		},
	}, "Walk": {
		Name: "Walk", Kind: changeset.Embedded,
		Properties: map[string]*schema.Property{"km": {Name: "km", Type: changeset.Double}},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.realm.Subscribe(map[string]string{"Dog": "TRUEPREDICATE"})
	if err := s.realm.WaitSubscriptions(ctx); err != nil {
		t.Fatal(err)
	}
	if dogs > 0 {
		s.write(func(tx *device.Tx) error {
			for i := range dogs {
				if err := tx.Create("Dog", changeset.IntKey(int64(i+1)), map[string]any{"name": fmt.Sprintf("dog %d", i+1), "age": 3}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s
}

// write writes on the device and waits until that is in MongoDB.
func (s *scene) write(fn func(*device.Tx) error) {
	s.t.Helper()
	if _, err := s.realm.Write(fn); err != nil {
		s.t.Fatal(err)
	}
	if err := s.realm.WaitUpload(s.ctx); err != nil {
		s.t.Fatal(err)
	}
}

// dog waits until the device's dog has that name.
func (s *scene) waitDog(key int64, name string) {
	s.t.Helper()
	p := s.realm.Schema().Class("Dog").Properties["name"]
	err := s.realm.WaitFor(s.ctx, func() bool {
		o := s.realm.Get("Dog", changeset.IntKey(key))
		return o != nil && o.Get(p) == changeset.StringValue(name)
	})
	if err != nil {
		s.t.Fatalf("dog %d is never called %q: %v", key, name, err)
	}
}

// set changes a document as somebody else.
func (s *scene) set(key int, fields bson.D) {
	s.t.Helper()
	res, err := s.db.Collection("Dog").UpdateByID(s.ctx, key, bson.D{{Key: "$set", Value: fields}})
	if err != nil || res.MatchedCount != 1 {
		s.t.Fatalf("%v, %+v", err, res)
	}
}

// run runs a command on the app and returns what it prints.
func (s *scene) run(wantStatus int, args ...string) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--mongodb", sharedMongo(s.t), "--app-id", s.app, "--database", s.app)
	status := execute(args, &stdout, &stderr)
	if status != wantStatus {
		s.t.Fatalf("bridge %v ended with status %d, want %d\n%s%s", args, status, wantStatus, &stdout, &stderr)
	}
	if text := stderr.String(); strings.Contains(text, "panic") || wantStatus == 0 && text != "" {
		s.t.Errorf("bridge %v said %s", args, text)
	}
	return stdout.String() + stderr.String()
}

// wantText checks that all of it was printed.
func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("it lacks %q:\n%s", w, got)
		}
	}
}
