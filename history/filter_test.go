package history_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/translator"
)

const taskSchema = `[{"op":"AddTable","class":"Point","kind":"embedded"},
	{"op":"AddColumn","class":"Point","field":"type","type":"string","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"Point","field":"coordinates","type":"double","nullable":false,"collection":"list"},
	{"op":"AddTable","class":"Task","pk":{"field":"_id","type":"int","nullable":false}},
	{"op":"AddColumn","class":"Task","field":"i","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"ni","type":"int","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"b","type":"bool","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"s","type":"string","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"f","type":"float","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"dec","type":"decimal","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"at","type":"timestamp","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"owner","type":"objectid","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"mx","type":"mixed","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Task","field":"tags","type":"string","nullable":false,"collection":"list"},
	{"op":"AddColumn","class":"Task","field":"times","type":"timestamp","nullable":false,"collection":"set"},
	{"op":"AddColumn","class":"Task","field":"loc","type":"link","nullable":true,"collection":"single","target":"Point"}]`

// taskFields are what queries name, with literals near the values that
// randomTask draws.
var taskFields = map[string][]string{
	"i": {"0", "1", "2", "1.5"}, "ni": {"NULL", "1", "2"}, "b": {"true", "false"}, "s": {"NULL", `""`, `"a"`, `"Ab"`},
	"f": {"0", "0.1", "1"}, "dec": {"NULL", "1.0", "2", "NaN"}, "at": {"NULL", "T0:0", "T1:500000"},
	"owner": {"NULL", "oid(010000000000000000000000)", "oid(020000000000000000000000)"}, "mx": {"NULL", "1", `"a"`},
	"tags": {`"a"`, `"b"`, "NULL"}, "times": {"T0:0", "T1:500000"},
}

var taskFieldNames = slices.Sorted(maps.Keys(taskFields))

// randomQuery returns a query about tasks.
func randomQuery(r *rand.Rand, depth int) string {
	if depth > 0 && r.IntN(2) == 0 {
		switch r.IntN(3) {
		case 0:
			return "!(" + randomQuery(r, depth-1) + ")"
		case 1:
			return "(" + randomQuery(r, depth-1) + " and " + randomQuery(r, depth-1) + ")"
		}
		return "(" + randomQuery(r, depth-1) + " or " + randomQuery(r, depth-1) + ")"
	}
	switch r.IntN(20) {
	case 0:
		return fmt.Sprintf("_id %s %d", pick(r, "==", "<", ">="), r.IntN(60))
	case 1:
		return fmt.Sprintf("loc GEOWITHIN geoCircle([%d, %d], 0.03)", r.IntN(4), r.IntN(4))
	case 2:
		return fmt.Sprintf("%s.@size == %d", pick(r, "tags", "times"), r.IntN(4))
	case 3:
		return fmt.Sprintf("s %s %s", pick(r, "BEGINSWITH", "CONTAINS[c]", "LIKE"), pick(r, `"a"`, `"A"`, `"*b"`))
	case 4:
		return "ni == i"
	}
	field := taskFieldNames[r.IntN(len(taskFieldNames))]
	literal := taskFields[field][r.IntN(len(taskFields[field]))]
	ops := []string{"==", "!="}
	if field != "b" && field != "owner" && field != "mx" {
		ops = append(ops, "<", ">=")
	}
	if field == "tags" || field == "times" {
		return pick(r, "ANY ", "ALL ", "NONE ") + field + " " + ops[r.IntN(len(ops))] + " " + literal
	}
	return field + " " + ops[r.IntN(len(ops))] + " " + literal
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// randomTask returns a task, most of whose properties may be absent.
func randomTask(r *rand.Rand) *object.Object {
	o := &object.Object{Fields: map[string]object.Node{}}
	set := func(field string, nodes ...object.Node) {
		if n := r.IntN(len(nodes) + 1); n < len(nodes) {
			o.Fields[field] = nodes[n]
		}
	}
	null := changeset.NullValue()
	set("i", changeset.IntValue(0), changeset.IntValue(1), changeset.IntValue(2))
	set("ni", null, changeset.IntValue(1), changeset.IntValue(2))
	set("b", changeset.BoolValue(true), changeset.BoolValue(false))
	set("s", null, changeset.StringValue(""), changeset.StringValue("a"), changeset.StringValue("Ab"))
	if r.IntN(20) == 0 {
		o.Fields["s"] = changeset.StringValue(strings.Repeat("a", 20_000))
	}
	set("f", changeset.FloatValue(0), changeset.FloatValue(0.1), changeset.FloatValue(1))
	decimal := func(text string) changeset.Value {
		v, err := changeset.ParseDecimal(text)
		if err != nil {
			panic(err)
		}
		return v
	}
	set("dec", null, decimal("1"), decimal("2.00"), decimal("NaN"))
	set("at", null, changeset.TimestampValue(0, 0), changeset.TimestampValue(0, 999), changeset.TimestampValue(1, 500_000))
	set("owner", null, changeset.ObjectIDValue([12]byte{1}), changeset.ObjectIDValue([12]byte{2}))
	set("mx", null, changeset.IntValue(1), changeset.StringValue("a"), &object.List{Items: []object.Node{changeset.IntValue(1)}})
	tags := &object.List{}
	for range r.IntN(4) {
		tags.Items = append(tags.Items, changeset.StringValue(pick(r, "a", "b", "")))
	}
	set("tags", tags)
	// In a document the first two are one.
	set("times", &object.Set{Items: []changeset.Value{changeset.TimestampValue(0, 0), changeset.TimestampValue(0, 1)}},
		&object.Set{Items: []changeset.Value{changeset.TimestampValue(1, 500_000)}})
	set("loc", null, &object.Object{Fields: map[string]object.Node{
		"type":        changeset.StringValue("Point"),
		"coordinates": &object.List{Items: []object.Node{changeset.DoubleValue(float64(r.IntN(4))), changeset.DoubleValue(float64(r.IntN(4)))}},
	}})
	return o
}

// states is a collection of object states.
func (b *bed) stateCollection(class string) *mongo.Collection {
	return b.metadata().Collection("state_" + class)
}

func (b *bed) metadata() *mongo.Database { return b.db.Client().Database("__bridge_" + b.db.Name()) }

// predicate binds a query, and makes its fields queryable.
func (b *bed) predicate(class, text string) *query.Predicate {
	b.t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
	p, err := q.Bind(b.file.Schema(), class)
	if err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
	if err := b.file.MakeQueryable(b.ctx, class, p.Fields()); err != nil {
		b.t.Fatalf("%s: %v", text, err)
	}
	return p
}

// scan returns the objects of a scan in a snapshot of its own that satisfy one of
// the predicates, and how many the scan came by.
func (b *bed) scan(class string, where, match []*query.Predicate) (found map[changeset.Key]*object.Object, scanned int) {
	b.t.Helper()
	sn, err := b.file.Snapshot(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	defer sn.Close()
	found = map[changeset.Key]*object.Object{}
	err = sn.Scan(b.ctx, class, where, func(k changeset.Key, o *object.Object) error {
		scanned++
		if slices.ContainsFunc(match, func(p *query.Predicate) bool { return p.Match(k, o) }) {
			found[k] = o
		}
		return nil
	})
	if err != nil {
		b.t.Fatalf("%v: %v", where, err)
	}
	n, err := sn.Count(b.ctx, class, where)
	if err != nil || int(n) != scanned {
		b.t.Fatalf("%v: counted %d of %d, %v", where, n, scanned, err)
	}
	return found, scanned
}

// wantScanned checks that a scan by predicates misses nothing.
func (b *bed) wantScanned(class string, where ...*query.Predicate) (scanned int) {
	b.t.Helper()
	want, _ := b.scan(class, nil, where)
	got, scanned := b.scan(class, where, where)
	for k := range want {
		if got[k] == nil {
			b.t.Errorf("%v: object %v is missing", where, k)
		}
	}
	return scanned
}

// rawState is an object state as stored.
type rawState struct {
	ID         bson.RawValue `bson:"_id"`
	Generation int           `bson:"g"`
	Queryable  bson.Raw      `bson:"q"`
	Wide       bool          `bson:"w"`
	Object     []byte        `bson:"o"`
}

// queryableFields are the queryable fields of a class, as stored.
func (b *bed) queryableFields(class string) []string {
	b.t.Helper()
	var doc struct {
		Queryable map[string][]string `bson:"queryable"`
	}
	if err := b.metadata().Collection("schema").FindOne(b.ctx, bson.D{}).Decode(&doc); err != nil {
		b.t.Fatal(err)
	}
	return doc.Queryable[class]
}

// wantQueryable checks that every state has the queryable fields of its object,
// as of the newest generation.
func (b *bed) wantQueryable(class string) {
	b.t.Helper()
	fields := b.queryableFields(class)
	cur, err := b.stateCollection(class).Find(b.ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		b.t.Fatal(err)
	}
	var states []rawState
	if err := cur.All(b.ctx, &states); err != nil {
		b.t.Fatal(err)
	}
	s := b.file.Schema()
	objects := b.states(class)
	if len(objects) != len(states) {
		b.t.Fatalf("%d states of %d objects", len(states), len(objects))
	}
	for _, st := range states {
		o := objects[changeset.IntKey(st.ID.Int64())]
		want := translator.NewMirror(b.db, translator.Mapping{}).Queryable(s, s.Class(class), fields, o)
		switch {
		case st.Generation != len(fields):
			b.t.Errorf("state %v is of generation %d, want %d", st.ID, st.Generation, len(fields))
		case st.Wide != (len(want) > 16<<10), st.Wide && st.Queryable != nil, !st.Wide && st.Queryable.String() != want.String():
			b.t.Errorf("state %v has %v, wide %v; want %v", st.ID, st.Queryable, st.Wide, want)
		}
	}
}

// backfillID is the _id of how far the states of a class are.
func backfillID(class string) bson.D {
	return bson.D{{Key: "file", Value: history.FlexibleFile}, {Key: "class", Value: class}}
}

// wait until all states of a class have its queryable fields.
func (b *bed) awaitBackfill(class string) {
	b.t.Helper()
	b.wait("all states have the queryable fields", func() bool {
		n, err := b.metadata().Collection("backfills").CountDocuments(b.ctx, bson.D{
			{Key: "_id", Value: backfillID(class)}, {Key: "generation", Value: len(b.queryableFields(class))},
		})
		if err != nil {
			b.t.Fatal(err)
		}
		return n == 1
	})
}

// For random queries and objects a scan finds all that a scan of everything
// finds, also while fields have just become queryable and only some states have
// them.
func TestScanFindsWhatQueriesAskFor(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b := newBed(t, func(o *history.Options) { o.Backfill = 7 })
	d := b.device()
	d.mustSend(ops(taskSchema))
	s := b.file.Schema()
	write := func(n int) {
		t.Helper()
		var cs changeset.Changeset
		for range n {
			ref := changeset.ObjectRef{Class: "Task", Key: changeset.IntKey(r.Int64N(60))}
			cs = append(cs, changeset.Instruction{Op: changeset.OpEraseObject, Class: ref.Class, Key: ref.Key})
			if r.IntN(6) > 0 {
				cs = append(cs, object.Instructions(s, ref, randomTask(r))...)
			}
		}
		d.catchUp()
		d.mustSend(cs)
	}
	write(80)
	scanned, all := 0, 0
	for round := range 10 {
		switch round % 3 {
		case 1:
			b.node() // which finds what was made older
			b.awaitBackfill("Task")
			b.wantQueryable("Task")
		case 2:
			b.makeOlder(r, "Task")
		}
		for range 12 {
			where := []*query.Predicate{b.predicate("Task", randomQuery(r, 2))}
			if r.IntN(2) == 0 {
				where = append(where, b.predicate("Task", randomQuery(r, 2)))
			}
			scanned += b.wantScanned("Task", where...)
			all += len(b.states("Task"))
		}
		write(10)
	}
	t.Logf("%d of %d states were read", scanned, all)
	if scanned == all {
		t.Error("the filters leave nothing out")
	}
}

// makeOlder makes states be as they were when fewer fields were queryable, and as
// if another node were bringing them up.
func (b *bed) makeOlder(r *rand.Rand, class string) {
	b.t.Helper()
	b.awaitBackfill(class)
	fields := b.queryableFields(class)
	oldest := r.IntN(len(fields))
	cur, err := b.stateCollection(class).Find(b.ctx, bson.D{})
	if err != nil {
		b.t.Fatal(err)
	}
	var states []rawState
	if err := cur.All(b.ctx, &states); err != nil {
		b.t.Fatal(err)
	}
	var models []mongo.WriteModel
	for _, st := range states {
		generation := r.IntN(len(fields) + 1)
		if generation < oldest || st.Wide {
			continue
		}
		var q bson.D
		for _, field := range fields[:generation] {
			if v := st.Queryable.Lookup(field); v.Type != 0 {
				q = append(q, bson.E{Key: field, Value: v})
			}
		}
		set := bson.D{{Key: "g", Value: generation}, {Key: "q", Value: q}}
		update := bson.D{{Key: "$set", Value: set}}
		if generation == 0 {
			// As before there was such a thing.
			update = bson.D{{Key: "$unset", Value: bson.D{{Key: "g", Value: ""}, {Key: "q", Value: ""}}}}
		}
		models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: st.ID}}).SetUpdate(update))
	}
	b.setBackfill(class, bson.D{{Key: "generation", Value: oldest}})
	if len(models) > 0 {
		if _, err := b.stateCollection(class).BulkWrite(b.ctx, models); err != nil {
			b.t.Fatal(err)
		}
	}
}

// setBackfill says how far the states of a class are.
func (b *bed) setBackfill(class string, doc bson.D) {
	b.t.Helper()
	_, err := b.metadata().Collection("backfills").ReplaceOne(b.ctx,
		bson.D{{Key: "_id", Value: backfillID(class)}}, doc, options.Replace().SetUpsert(true))
	if err != nil {
		b.t.Fatal(err)
	}
}
