package history_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
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
