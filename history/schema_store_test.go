package history_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/schema"
)

// A schema that was handed out stays as it was, also when a batch makes fields
// queryable and learns a class; and the history has the class.
func TestSchemaLearnedBesideQueryableFields(t *testing.T) {
	var commits chan bool
	release := make(chan bool)
	b := newBed(t, func(o *history.Options) {
		o.OnBatch = func(history.Batch) {
			if commits != nil {
				commits <- true
				<-release
			}
		}
	})
	d := b.device()
	d.mustSend(ops(dogSchema))

	commits = make(chan bool, 1)
	first := d.queue(&history.Upload{Entries: []history.UploadEntry{{ClientVersion: 3, Changeset: ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`)}}})
	<-commits
	known := b.file.Schema()
	made := make(chan error, 1)
	go func() { made <- b.file.MakeQueryable(b.ctx, "Dog", []string{"age"}) }()
	b.wait("the fields wait for the commit that runs", func() bool { return b.file.Queued() == 1 })
	learned := d.queue(&history.Upload{Entries: []history.UploadEntry{{ClientVersion: 4, Changeset: ops(`[
		{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"int","nullable":false}}]`)}}})
	commits = nil
	release <- true
	for what, answer := range map[string]<-chan error{"first": first, "queryable": made, "class": learned} {
		if err := <-answer; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if known.Class("Cat") != nil {
		t.Error("the schema of before has a class that was learned later")
	}
	b.wantInstructions(b.last(), "AddTable Cat pk='_id' pktype=1 nullable=0 asymmetric=0")
}

// Defaults that are configured with a class hold from the beginning.
func TestConfiguredDefaults(t *testing.T) {
	seven := changeset.IntValue(7)
	b := newBed(t, func(o *history.Options) {
		o.Schema = catSchema()
		o.Schema.Classes["Cat"].Properties["lives"] = &schema.Property{Name: "lives", Type: changeset.Int, Default: &seven}
	})
	b.insert("Cat", bson.D{{Key: "_id", Value: 1}})
	ref := changeset.ObjectRef{Class: "Cat", Key: changeset.IntKey(1)}
	if err := b.file.Ingest(b.ctx, &history.Ingest{Hints: []history.Hint{{Ref: ref}}}); err != nil {
		t.Fatal(err)
	}
	o := b.states("Cat")[ref.Key]
	if o == nil {
		t.Fatalf("the document is unsynced: %v", b.unsynced())
	}
	if o.Fields["lives"] != seven {
		t.Errorf("it has %v lives, want the default", o.Fields["lives"])
	}
}

// Whoever reads entries may take up a schema that is older than what the node has
// learned meanwhile; the node keeps that.
func TestSchemaReadBesideTheTail(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	var armed atomic.Bool
	var reads sync.Map // of the schema, by request
	read, release := make(chan bool), make(chan bool)
	client, err := mongo.Connect(options.Client().ApplyURI(mongotest.URI(t)).SetMonitor(&event.CommandMonitor{
		Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if name, _ := e.Command.Lookup("find").StringValueOK(); name == "schema" {
				reads.Store(e.RequestID, true)
			}
		},
		Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
			if _, ok := reads.LoadAndDelete(e.RequestID); ok && armed.CompareAndSwap(true, false) {
				read <- true
				<-release
			}
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	n := b.node(func(o *history.Options) { o.Client, o.TailInterval = client, time.Hour })
	cat := `{"op":"AddTable","class":"Cat","pk":{"field":"_id","type":"int","nullable":false}}`
	d.mustSend(ops(`[%s,{"op":"CreateObject","class":"Cat","pk":1}]`, cat))
	armed.Store(true)
	looked := make(chan error, 1)
	go func() {
		_, err := n.file.Entries(b.ctx, 0, 100)
		looked <- err
	}()
	<-read
	d.mustSend(ops(`[%s]`, strings.Replace(cat, "Cat", "Bird", 1)))
	if err := n.file.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	release <- true
	if err := <-looked; err != nil {
		t.Fatal(err)
	}
	if names := n.file.Schema().ClassNames(); !slices.Equal(names, []string{"Bird", "Cat", "Dog"}) {
		t.Errorf("classes %v", names)
	}
}
