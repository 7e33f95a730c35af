package history_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

// newDogs makes dogs with keys from first on, of ages 0 to 99.
func newDogs(first, n int) changeset.Changeset {
	var cs changeset.Changeset
	for i := first; i < first+n; i++ {
		cs = append(cs, newDog(i, i%100)...)
	}
	return cs
}

func newDog(key, age int) changeset.Changeset {
	k := changeset.IntKey(int64(key))
	return changeset.Changeset{
		{Op: changeset.OpCreateObject, Class: "Dog", Key: k},
		{Op: changeset.OpUpdate, Class: "Dog", Key: k, Field: "age", Value: changeset.IntValue(int64(age))},
		{Op: changeset.OpUpdate, Class: "Dog", Key: k, Field: "name", Value: changeset.StringValue("dog " + fmt.Sprint(key))},
		{Op: changeset.OpArrayInsert, Class: "Dog", Key: k, Field: "tags", Value: changeset.StringValue(fmt.Sprint(age % 10)),
			Path: changeset.Path{{IsIndex: true}}},
	}
}

// newDogBed has so many dogs.
func newDogBed(t testing.TB, n int, change ...func(*history.Options)) (*bed, *device) {
	t.Helper()
	b := newBed(t, change...)
	return b, b.addDogs(n)
}

func (b *bed) addDogs(n int) *device {
	b.t.Helper()
	d := b.device()
	d.mustSend(ops(dogSchema))
	for first := 0; first < n; first += 5000 {
		d.catchUp()
		d.mustSend(newDogs(first, min(5000, n-first)))
	}
	d.catchUp()
	return d
}

// MongoDB serves what queries ask for from the index of a field, and reads
// hardly more than that.
func TestScanUsesIndexes(t *testing.T) {
	b, _ := newDogBed(t, 3000)
	var where [][]*query.Predicate
	for _, texts := range [][]string{
		{`age == 7`}, {`age IN {7, 8, 9}`}, {`name == "dog 5"`}, {`name BEGINSWITH "dog 12"`}, {`age > 97`}, {`ANY tags == "3" and age == 3`},
		{`_id == 17`}, {`age == 7`, `name == "dog 8"`}, {`age == 7`, `_id == 8`}, {`age == 7`, `FALSEPREDICATE`},
	} {
		var ps []*query.Predicate
		for _, text := range texts {
			ps = append(ps, b.predicate("Dog", text))
		}
		where = append(where, ps)
	}
	b.awaitBackfill("Dog")
	if err := b.metadata().RunCommand(b.ctx, bson.D{{Key: "profile", Value: 2}}).Err(); err != nil {
		t.Fatal(err)
	}
	for _, ps := range where {
		found, scanned := b.scan("Dog", ps, ps)
		if len(found) == 0 || scanned != len(found) {
			t.Errorf("%v: %d found, %d scanned", ps, len(found), scanned)
		}
		var profile struct {
			Plan     string `bson:"planSummary"`
			Examined int    `bson:"docsExamined"`
		}
		err := b.metadata().Collection("system.profile").FindOne(b.ctx,
			bson.D{{Key: "op", Value: "query"}, {Key: "ns", Value: b.metadata().Name() + ".state_Dog"}},
			options.FindOne().SetSort(bson.D{{Key: "$natural", Value: -1}})).Decode(&profile)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(profile.Plan, "IXSCAN") && !strings.Contains(profile.Plan, "IDHACK") || profile.Examined > 2*len(found) {
			t.Errorf("%v: %s, %d states read to find %d", ps, profile.Plan, profile.Examined, len(found))
		}
	}
}

// Each class has the indexes of ten fields at most, and none of embedded objects.
func TestIndexesOfQueryableFields(t *testing.T) {
	b := newBed(t)
	text := strings.TrimSuffix(taskSchema, "]")
	var fields []string
	for i := range 15 {
		text += fmt.Sprintf(`,{"op":"AddColumn","class":"Task","field":"n%d","type":"int","nullable":false,"collection":"single"}`, i)
		fields = append(fields, fmt.Sprint("n", i))
	}
	b.device().mustSend(ops("%s", text+"]"))
	b.predicate("Task", "loc GEOWITHIN geoCircle([0, 0], 1)")
	want := []string{"_id_", "w_1"}
	for i, f := range fields {
		b.predicate("Task", f+" == 1")
		if i < 10 {
			want = append(want, "q."+f+"_1")
		}
	}
	b.awaitBackfill("Task")
	specs, err := b.stateCollection("Task").Indexes().ListSpecifications(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range specs {
		got = append(got, s.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Those without an index are found all the same.
	d := b.device()
	d.catchUp()
	var cs changeset.Changeset
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 20 {
		o := randomTask(r)
		o.Fields["n14"] = changeset.IntValue(int64(i % 3))
		cs = append(cs, object.Instructions(b.file.Schema(), changeset.ObjectRef{Class: "Task", Key: changeset.IntKey(int64(i))}, o)...)
	}
	d.mustSend(cs)
	if scanned := b.wantScanned("Task", b.predicate("Task", "n14 == 1")); scanned == 20 {
		t.Error("everything was scanned")
	}
}

// States get a field that becomes queryable while devices go on writing.
func TestBackfillBesideWrites(t *testing.T) {
	b, d := newDogBed(t, 500, func(o *history.Options) { o.Backfill = 10 })
	n := b.node(func(o *history.Options) { o.Backfill = 10 })
	young, five := b.predicate("Dog", "age < 5"), b.predicate("Dog", `name == "dog 5"`)
	for i := range 40 {
		k := (i * 13) % 500
		d.catchUp()
		d.mustSend(append(ops(`[{"op":"EraseObject","class":"Dog","pk":%d}]`, k), newDogs(1000+i, 1)...))
		d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":%d,"path":["age"],"value":%d}]`, (k+1)%500, i))
		n.wantScanned("Dog", young)
		n.wantScanned("Dog", five, young)
	}
	b.awaitBackfill("Dog")
	b.wantQueryable("Dog")
}

// A walk that a node has left goes on where it was, on any node, when its claim
// has ended, and not before.
func TestBackfillGoesOn(t *testing.T) {
	b, _ := newDogBed(t, 100)
	old := b.predicate("Dog", "age >= 50")
	b.awaitBackfill("Dog")
	r := rand.New(rand.NewPCG(2, 2))
	b.makeOlder(r, "Dog")
	// Another node has claimed the class; it did the first half and was killed.
	b.setBackfill("Dog", bson.D{
		{Key: "generation", Value: 0}, {Key: "to", Value: 1}, {Key: "after", Value: int64(49)}, {Key: "claimed", Value: time.Now().Add(time.Hour)},
	})
	if _, err := b.stateCollection("Dog").UpdateMany(b.ctx, bson.D{}, bson.D{{Key: "$unset", Value: bson.D{{Key: "g", Value: ""}, {Key: "q", Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	b.node(func(o *history.Options) { o.TailInterval = 10 * time.Millisecond })
	if scanned := b.wantScanned("Dog", old); scanned != 100 {
		t.Errorf("%d of 100 older states were scanned", scanned)
	}
	if _, err := b.metadata().Collection("backfills").UpdateOne(b.ctx, bson.D{{Key: "_id", Value: backfillID("Dog")}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "claimed", Value: time.Now().Add(-time.Second)}}}}); err != nil {
		t.Fatal(err)
	}
	b.awaitBackfill("Dog")
	states, err := b.stateCollection("Dog").CountDocuments(b.ctx, bson.D{{Key: "g", Value: 1}})
	if err != nil || states != 51 {
		t.Errorf("%d states were brought up, want the 51 from key 49 on; %v", states, err)
	}
}

// A state that was written since it was read keeps what it got then.
func TestBackfillNeverGoesBack(t *testing.T) {
	b, d := newDogBed(t, 1)
	b.predicate("Dog", "age == 1")
	b.awaitBackfill("Dog")
	for i := range 60 {
		// One node brings the state up while a device writes it.
		if _, err := b.stateCollection("Dog").UpdateMany(b.ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "g", Value: 0}}}}); err != nil {
			t.Fatal(err)
		}
		b.setBackfill("Dog", bson.D{{Key: "generation", Value: 0}})
		sent := make(chan error, 1)
		d.catchUp()
		go func() {
			sent <- d.send(ops(`[{"op":"Update","class":"Dog","pk":0,"path":["age"],"value":%d}]`, i))
		}()
		b.file.Backfill(b.ctx, "Dog")
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		b.wantQueryable("Dog")
	}
}

// Nodes that are configured differently add to what is queryable, each in its
// own order.
func TestQueryableFieldsKeepTheirOrder(t *testing.T) {
	configured := func(fields ...string) func(*history.Options) {
		return func(o *history.Options) { o.QueryableFields = fields }
	}
	b, d := newDogBed(t, 20, configured("name"))
	b.node(configured("age", "name"))
	b.predicate("Dog", `ANY tags == "1"`)
	b.node(configured("tags", "age"))
	if got := b.queryableFields("Dog"); !slices.Equal(got, []string{"name", "age", "tags"}) {
		t.Errorf("got %v", got)
	}
	d.catchUp()
	d.mustSend(newDogs(20, 20))
	b.awaitBackfill("Dog")
	b.wantQueryable("Dog")
	b.wantScanned("Dog", b.predicate("Dog", "age == 3"))
}

// Two nodes that start at once with what neither has, and a device that asks for
// something else meanwhile, lose nothing of each other's.
func TestConfiguredAtOnce(t *testing.T) {
	b, _ := newDogBed(t, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.node(func(o *history.Options) { o.QueryableFields = []string{"age"}; o.Schema = catSchema() })
	}()
	n := b.node(func(o *history.Options) { o.QueryableFields = []string{"name"} })
	n.predicate("Dog", `ANY tags == "1"`)
	<-done
	got := b.queryableFields("Dog")
	slices.Sort(got)
	if !slices.Equal(got, []string{"age", "name", "tags"}) {
		t.Errorf("got %v", got)
	}
	if err := b.file.Refresh(b.ctx); err != nil {
		t.Fatal(err)
	}
	if names := b.file.Schema().ClassNames(); !slices.Equal(names, []string{"Cat", "Dog"}) {
		t.Errorf("classes %v", names)
	}
	b.awaitBackfill("Dog")
	b.wantQueryable("Dog")
}

func catSchema() *schema.Schema {
	return &schema.Schema{Classes: map[string]*schema.Class{"Cat": {Name: "Cat", KeyType: changeset.Int, Properties: map[string]*schema.Property{}}}}
}

// A query that is too deep for MongoDB is answered from all objects.
func TestScanWithoutMongoDBsHelp(t *testing.T) {
	b, _ := newDogBed(t, 100)
	text := "age == 1"
	for i := range 150 {
		text = fmt.Sprintf("(age %s %d %s %s)", []string{"==", "<"}[i%2], 10+i, []string{"or", "and"}[i%2], text)
	}
	p := b.predicate("Dog", text)
	b.awaitBackfill("Dog")
	if scanned := b.wantScanned("Dog", p); scanned != 100 {
		t.Errorf("%d scanned, want all", scanned)
	}
}
