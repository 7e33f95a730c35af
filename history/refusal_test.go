package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
)

// What MongoDB refuses is taken out object by object; the rest stands.
func TestRefusedByMongoDB(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Rex"}]`))
	_, err := b.db.Collection("Dog").Indexes().CreateOne(b.ctx, mongo.IndexModel{
		Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true).SetPartialFilterExpression(bson.D{{Key: "name", Value: bson.D{{Key: "$type", Value: "string"}}}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":2},{"op":"Update","class":"Dog","pk":2,"path":["name"],"value":"Rex"},
		{"op":"CreateObject","class":"Dog","pk":3},{"op":"Update","class":"Dog","pk":3,"path":["name"],"value":"Max"}]`))
	b.wantDocument("Dog", 2, "")
	b.wantDocument("Dog", 3, `{"_id":{"$numberLong":"3"},"age":{"$numberLong":"0"},"name":"Max"}`)
	e := b.last()
	if len(e.Objects) != 2 || !e.Objects[0].Refresh || !strings.Contains(e.Objects[0].Refused, "unique index") || e.Objects[1].Refused != "" {
		t.Errorf("touched: %+v", e.Objects)
	}
	// A later write to the object built on the refused one and falls with it, silently.
	d.mustSend(ops(`[{"op":"AddInteger","class":"Dog","pk":2,"path":["age"],"value":1}]`))
	if e := b.last(); len(e.Changeset) != 0 || e.Objects[0].Refused != "" {
		t.Errorf("after the refusal: %v %+v", e.Changeset, e.Objects)
	}
	// Once the device has seen the refusal, it may try again.
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
	b.wantDocument("Dog", 2, `{"_id":{"$numberLong":"2"},"age":{"$numberLong":"0"}}`)
}

// Many objects that MongoDB refuses take few tries, not as many as they are.
func TestManyRefusedByMongoDB(t *testing.T) {
	retries := 0
	b := newBed(t, func(o *history.Options) { o.OnRetry = func(history.RetryReason) { retries++ } })
	d := b.device()
	d.mustSend(ops(dogSchema), newDogs(0, 2))
	_, err := b.db.Collection("Dog").Indexes().CreateOne(b.ctx, mongo.IndexModel{Keys: fields(`"name":1`), Options: options.Index().SetUnique(true)})
	if err != nil {
		t.Fatal(err)
	}
	err = b.db.RunCommand(b.ctx, bson.D{{Key: "collMod", Value: "Dog"}, {Key: "validator", Value: fields(`"age":{"$lt":100}`)}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	named := func(id, age int, name string) changeset.Changeset {
		return ops(`[{"op":"CreateObject","class":"Dog","pk":%d},{"op":"Update","class":"Dog","pk":%d,"path":["name"],"value":%q},
			{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":%d}]`, id, id, name, id, age)
	}
	for _, c := range []struct {
		what   string
		change changeset.Changeset // beside the others
		made   func(i int) changeset.Changeset
		refuse string // part of the reason
		tries  int
	}{
		{"a unique index", nil, func(i int) changeset.Changeset { return named(i, 1, "dog 0") }, "unique index", 5},
		{"a validator", nil, func(i int) changeset.Changeset { return named(i, 100, fmt.Sprint(i)) }, "validation", 5},
		{"a validator, beside a change", ops(`[{"op":"AddInteger","class":"Dog","pk":0,"path":["age"],"value":1}]`),
			func(i int) changeset.Changeset { return named(i, 100, fmt.Sprint(i)) }, "validation", 5},
	} {
		retries = 0
		d.catchUp()
		cs := slices.Clone(c.change)
		for i := range n {
			if i%10 == 5 {
				cs = append(cs, named(1000+i, 1, fmt.Sprintf("%s %d", c.what, i))...)
			} else {
				cs = append(cs, c.made(1000+i)...)
			}
		}
		d.mustSend(cs)
		refused, stored := 0, 0
		for _, o := range b.last().Objects {
			switch {
			case strings.Contains(o.Refused, c.refuse):
				refused++
			case o.Refused == "" && o.Ref.Key.Int >= 1000:
				stored++
			}
		}
		if refused != n-n/10 || stored != n/10 || retries > c.tries {
			t.Errorf("%s: %d are refused and %d stored in %d tries more; want %d, %d, %d at most", c.what, refused, stored, retries, n-n/10, n/10, c.tries)
		}
		if diff := b.disagreement(); diff != "" {
			t.Error(diff)
		}
		d.catchUp()
		var gone changeset.Changeset
		for i := 5; i < n; i += 10 {
			gone = append(gone, ops(`[{"op":"EraseObject","class":"Dog","pk":%d}]`, 1000+i)...)
		}
		d.mustSend(gone)
	}
}

// A change that MongoDB refuses leaves the object as it was, for its device, too.
func TestChangeRefusedByMongoDB(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), newDogs(0, 2))
	err := b.db.RunCommand(b.ctx, bson.D{{Key: "collMod", Value: "Dog"}, {Key: "validator", Value: bson.D{
		{Key: "age", Value: bson.D{{Key: "$lt", Value: 100}}}}}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	d.catchUp()
	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":0,"path":["age"],"value":100},{"op":"Update","class":"Dog","pk":0,"path":["name"],"value":"old"},
		{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":99}]`))
	e := b.last()
	b.wantInstructions(e, "Update Dog[1].age = int:99")
	for _, o := range e.Objects {
		switch o.Ref.Key.Int {
		case 0:
			if !o.Refresh || !strings.Contains(o.Refused, "the collection's validation refuses the document") || o.Whole == nil ||
				o.Whole.Fields["name"] != changeset.StringValue("dog 0") {
				t.Errorf("the refused one: %+v", o)
			}
		case 1:
			if o.Refused != "" {
				t.Errorf("the other one: %+v", o)
			}
		}
	}
	if len(e.Objects) != 2 {
		t.Errorf("touched: %+v", e.Objects)
	}
	b.wantDocument("Dog", 0, `{"_id":{"$numberLong":"0"},"age":{"$numberLong":"0"},"name":"dog 0","tags":["0"]}`)
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// A value of a unique index may go from one object to another in one commit, whether
// the other is written before or after the one gives it up.
func TestUniqueValueMovesOn(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema),
		ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Rex"}]`),
		ops(`[{"op":"CreateObject","class":"Dog","pk":4},{"op":"Update","class":"Dog","pk":4,"path":["name"],"value":"Ace"}]`))
	_, err := b.db.Collection("Dog").Indexes().CreateOne(b.ctx, mongo.IndexModel{Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true)})
	if err != nil {
		t.Fatal(err)
	}
	d.catchUp()
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":2},{"op":"Update","class":"Dog","pk":2,"path":["name"],"value":"Rex"},
		{"op":"EraseObject","class":"Dog","pk":1},
		{"op":"CreateObject","class":"Dog","pk":3},{"op":"Update","class":"Dog","pk":3,"path":["name"],"value":"Ace"},
		{"op":"Update","class":"Dog","pk":4,"path":["name"],"value":"Bob"}]`))
	b.wantDocument("Dog", 1, "")
	b.wantDocument("Dog", 2, `{"_id":{"$numberLong":"2"},"age":{"$numberLong":"0"},"name":"Rex"}`)
	b.wantDocument("Dog", 3, `{"_id":{"$numberLong":"3"},"age":{"$numberLong":"0"},"name":"Ace"}`)
	b.wantDocument("Dog", 4, `{"_id":{"$numberLong":"4"},"age":{"$numberLong":"0"},"name":"Bob"}`)
}
