package history_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

// newLearningBed is a bed whose Ingester hears of schema changes, as in a bridge.
func newLearningBed(t *testing.T, change ...func(*history.Options)) (*bed, *translator.Ingester) {
	t.Helper()
	var g atomic.Pointer[translator.Ingester]
	b := newBed(t, append(change, func(o *history.Options) {
		o.OnSchema = func(string, *schema.Schema) {
			if g := g.Load(); g != nil {
				g.SchemaChanged()
			}
		}
	})...)
	g.Store(b.newIngester())
	return b, g.Load()
}

// waitScanned waits until a class was scanned in its present shape.
func (b *bed) waitScanned(class string) {
	b.t.Helper()
	want := map[string]bool{}
	s := b.file.Schema()
	for name, p := range s.Class(class).Properties {
		if p.Collection == changeset.Single && !p.AcceptsNull() {
			want[class+"."+name] = true
		}
	}
	b.wait("the class is scanned", func() bool {
		scan, err := b.file.ReadScan(b.ctx, class)
		if err != nil {
			b.t.Fatal(err)
		}
		n := 0
		for _, p := range scan.Required {
			if want[p.Class+"."+p.Name] {
				n++
			}
		}
		return scan.Done && n == len(want)
	})
}

func (b *bed) update(coll string, id any, update bson.D) {
	b.t.Helper()
	res, err := b.db.Collection(coll).UpdateByID(b.ctx, id, update)
	if err != nil {
		b.t.Fatal(err)
	}
	if res.MatchedCount != 1 {
		b.t.Fatalf("document %v of %s is not there", id, coll)
	}
}

func (b *bed) insert(coll string, docs ...any) {
	b.t.Helper()
	if _, err := b.db.Collection(coll).InsertMany(b.ctx, docs); err != nil {
		b.t.Fatal(err)
	}
}

func set(fields ...bson.E) bson.D   { return bson.D{{Key: "$set", Value: bson.D(fields)}} }
func unset(fields ...bson.E) bson.D { return bson.D{{Key: "$unset", Value: bson.D(fields)}} }

const addWeight = `[{"op":"AddColumn","class":"Dog","field":"weight","type":"double","nullable":false,"collection":"single"}]`

// A device adds a required property: documents that were synced get its zero and
// go on being synced; those that never were stay out.
func TestNewRequiredPropertyIsFilledIn(t *testing.T) {
	b, g := newLearningBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	d.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Fox"}]`),
		ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
	b.update("Dog", 2, set(bson.E{Key: "theirs", Value: bson.D{{Key: "a.b", Value: 1}}}, bson.E{Key: "weight", Value: nil}))
	b.insert("Dog", bson.D{{Key: "_id", Value: 3}, {Key: "age", Value: "three"}})
	b.run(g)
	b.waitScanned("Dog")
	d.catchUp()
	d.mustSend(ops(addWeight))
	b.waitScanned("Dog")
	head, _ := b.file.Head()
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"},"name":"Fox","weight":{"$numberDouble":"0.0"}}`)
	b.wantDocument("Dog", 2, `{"_id":{"$numberLong":"2"},"age":{"$numberLong":"0"},"theirs":{"a.b":{"$numberInt":"1"}},"weight":{"$numberDouble":"0.0"}}`)
	b.wantDocument("Dog", 3, `{"_id":{"$numberInt":"3"},"age":"three"}`)
	if head != 4 {
		t.Errorf("head is %d: objects did not change, and there should be no entry", head)
	}
	if n := b.file.Unsynced(); n != 1 {
		t.Errorf("%d documents are unsynced", n)
	}

	// Once it is no longer new, the property is required like any other.
	b.update("Dog", 1, unset(bson.E{Key: "weight", Value: ""}))
	b.wait("the document is frozen", func() bool { return b.file.Unsynced() == 2 })
	b.update("Dog", 3, set(bson.E{Key: "age", Value: 3}))
	b.wait("its reason is another", func() bool {
		return strings.Contains(fmt.Sprint(b.unsynced()), `Dog/3 weight: expected double, found nothing`)
	})
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"},"name":"Fox"}`)
	// That no write of the bridge came back is seen by the head.
	if v, _ := b.file.Head(); v != head {
		t.Errorf("the head moved from %d to %d", head, v)
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// unsynced lists the unsynced documents as text.
func (b *bed) unsynced() []string {
	b.t.Helper()
	all, err := b.file.ListUnsynced(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, u := range all {
		out = append(out, fmt.Sprintf("%s/%s %s: expected %s, found %s", u.Collection, u.Key, u.Path, u.Expected, u.Found))
	}
	return out
}

// The document is filled in for an upload that touches it before the scan has
// come to it, and what somebody else wrote to it meanwhile arrives as well.
func TestNewRequiredPropertyMeetsUpload(t *testing.T) {
	b := newBed(t, func(o *history.Options) { o.HintWait = 1 })
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`), ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
	d.catchUp()
	b.update("Dog", 1, set(bson.E{Key: "name", Value: "theirs"}))
	d.mustSend(ops(addWeight), ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":4}]`),
		ops(`[{"op":"Update","class":"Dog","pk":2,"path":["weight"],"value":{"$double":2.5}}]`))
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"4"},"name":"theirs","weight":{"$numberDouble":"0.0"}}`)
	b.wantDocument("Dog", 2, `{"_id":{"$numberLong":"2"},"age":{"$numberLong":"0"},"weight":{"$numberDouble":"2.5"}}`)
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// A property that an embedded class gains is filled in wherever that is embedded.
func TestNewRequiredPropertyOfEmbedded(t *testing.T) {
	b, g := newLearningBed(t)
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"Leg","kind":"embedded"},
		{"op":"AddColumn","class":"Leg","field":"len","type":"int","nullable":false,"collection":"single"},
		{"op":"AddTable","class":"Dog","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"Dog","field":"front","type":"link","target":"Leg","nullable":true,"collection":"single"},
		{"op":"AddColumn","class":"Dog","field":"legs","type":"link","target":"Leg","nullable":false,"collection":"list"},
		{"op":"AddColumn","class":"Dog","field":"named","type":"link","target":"Leg","nullable":true,"collection":"dictionary"}]`))
	b.insert("Dog", bson.D{{Key: "_id", Value: 1}, {Key: "front", Value: bson.D{{Key: "len", Value: 1}, {Key: "x", Value: 9}}},
		{Key: "legs", Value: bson.A{bson.D{{Key: "len", Value: 2}}, bson.D{{Key: "len", Value: 3}}}},
		{Key: "named", Value: bson.D{{Key: "left", Value: bson.D{{Key: "len", Value: 4}}}, {Key: "none", Value: nil}}}},
		bson.D{{Key: "_id", Value: 2}})
	b.run(g)
	b.wait("the documents are in", func() bool { return len(b.states("Dog")) == 2 })
	d.catchUp()
	d.mustSend(ops(`[{"op":"AddColumn","class":"Leg","field":"hurt","type":"bool","nullable":false,"collection":"single"}]`))
	const want = `{"_id":{"$numberInt":"1"},"front":{"len":{"$numberInt":"1"},"x":{"$numberInt":"9"},"hurt":false},` +
		`"legs":[{"len":{"$numberInt":"2"},"hurt":false},{"len":{"$numberInt":"3"},"hurt":false}],` +
		`"named":{"left":{"len":{"$numberInt":"4"},"hurt":false},"none":null}}`
	b.wait("the document is filled in", func() bool { return b.document("Dog", 1) == want })
	b.wantDocument("Dog", 2, `{"_id":{"$numberInt":"2"}}`)
	b.wait("documents, states and history agree", func() bool { return b.disagreement() == "" })
	if n := b.file.Unsynced(); n != 0 {
		t.Errorf("%d documents are unsynced: %v", n, b.unsynced())
	}
}

// Where MongoDB refuses the zero, the document is unsynced and says why.
func TestNewRequiredPropertyIsRefused(t *testing.T) {
	b, g := newLearningBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`), ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
	err := b.db.RunCommand(b.ctx, bson.D{{Key: "collMod", Value: "Dog"}, {Key: "validator", Value: bson.D{
		{Key: "$or", Value: bson.A{bson.D{{Key: "weight", Value: bson.D{{Key: "$ne", Value: 0}}}}, bson.D{{Key: "_id", Value: 2}}}}}}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	b.run(g)
	b.waitScanned("Dog")
	d.catchUp()
	d.mustSend(ops(addWeight))
	b.waitScanned("Dog")
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"}}`)
	b.wantDocument("Dog", 2, `{"_id":{"$numberLong":"2"},"age":{"$numberLong":"0"},"weight":{"$numberDouble":"0.0"}}`)
	all, err := b.file.ListUnsynced(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || !all[0].Frozen || !strings.Contains(all[0].Reason, "validation") {
		t.Errorf("listed: %+v", all)
	}
}
