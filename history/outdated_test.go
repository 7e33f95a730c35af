package history_test

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
)

// oldHead returns a bed, and a node over the same database that learns of the
// bed's commits only when it stumbles over them.
func oldHead(t *testing.T) (b, other *bed) {
	b = newBed(t)
	other = b.node(func(o *history.Options) { o.TailInterval, o.HintWait = time.Hour, time.Millisecond })
	return b, other
}

// An upload is not judged by a head that is no longer the newest: on it, the
// foreign write that is found beside it may not fit.
func TestUploadOnAnOldHead(t *testing.T) {
	b, other := oldHead(t)
	here := b.device()
	here.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	there := other.device()
	there.catchUp()
	here.catchUp()

	here.mustSend(ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",0],"value":"here","prior_size":0}]`))
	_, err := b.db.Collection("Dog").UpdateByID(b.ctx, int64(1), bson.D{{Key: "$push", Value: bson.D{{Key: "tags", Value: "foreign"}}}})
	if err != nil {
		t.Fatal(err)
	}
	there.mustSend(ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",0],"value":"there","prior_size":0}]`))
	b.wantDocument("Dog", int64(1), `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"},"tags":["there","here","foreign"]}`)
}

// A document that is what its state said before another node changed both is no
// unchanged document.
func TestHintOnAnOldHead(t *testing.T) {
	b, other := oldHead(t)
	here := b.device()
	here.mustSend(ops(dogSchema))
	there := other.device()
	there.catchUp()
	there.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`)) // the other node knows its state
	here.catchUp()

	here.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":7}]`))
	_, err := b.db.Collection("Dog").UpdateByID(b.ctx, int64(1), bson.D{{Key: "$set", Value: bson.D{{Key: "age", Value: 0}}}})
	if err != nil {
		t.Fatal(err)
	}
	hint := history.Hint{Ref: changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(1)}, Time: history.Timestamp(time.Now())}
	if err := other.file.Ingest(b.ctx, &history.Ingest{Hints: []history.Hint{hint}}); err != nil {
		t.Fatal(err)
	}
	b.wantInstructions(other.last(), "Update Dog[1].age = int:0")
}
