package history_test

import (
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

func TestUploadBecomesDocument(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1},
		{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Rex"},
		{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",0],"value":"good","prior_size":0}]`))
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"},"name":"Rex","tags":["good"]}`)

	d.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":null},{"op":"AddInteger","class":"Dog","pk":1,"path":["age"],"value":3}]`))
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"3"},"name":null,"tags":["good"]}`)
	if got, want := d.client.UploadCursor(), (history.Cursor{Client: 4}); got != want {
		t.Errorf("upload cursor %v, want %v", got, want)
	}

	d.mustSend(ops(`[{"op":"EraseObject","class":"Dog","pk":1}]`))
	b.wantDocument("Dog", 1, "")
	if n := len(b.states("Dog")); n != 0 {
		t.Errorf("%d object states are left", n)
	}
	for i, e := range b.entries() {
		if e.Version != uint64(i+1) || e.Origin != d.ident.Ident {
			t.Errorf("entry %d has version %d, origin %d", i, e.Version, e.Origin)
		}
	}
}

// Trap 24: after a reconnect a client sends again what it never saw acknowledged.
func TestUploadAgainIsTakenOnce(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	again := func() *history.Upload {
		return &history.Upload{Progress: history.Cursor{Client: 4}, Entries: []history.UploadEntry{
			{ClientVersion: 3, Timestamp: 2, Changeset: ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`)},
			{ClientVersion: 4, Timestamp: 3, Changeset: ops(`[{"op":"AddInteger","class":"Dog","pk":1,"path":["age"],"value":1}]`)},
		}}
	}
	for range 3 {
		d.attach(history.Cursors{Ident: d.ident})
		if err := d.upload(again()); err != nil {
			t.Fatal(err)
		}
	}
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"1"}}`)
	if n := len(b.entries()); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// Progress alone must not make a version, or client and server would answer each
// other for ever (trap 18); and it waits for the uploads before it.
func TestProgressAlone(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	head, _ := b.file.Head()
	if err := d.upload(&history.Upload{Progress: history.Cursor{Client: 9, Server: head * history.Stride}}); err != nil {
		t.Fatal(err)
	}
	b.wait("progress becomes durable", func() bool { return d.client.UploadCursor().Client == 9 })
	if now, _ := b.file.Head(); now != head {
		t.Errorf("head moved from %d to %d", head, now)
	}
}

func TestConcurrentUploadsMerge(t *testing.T) {
	b := newBed(t)
	d1, d2 := b.device(), b.device()
	d1.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	d1.catchUp()
	d2.catchUp()
	insert := func(text string, at, prior int) changeset.Changeset {
		return ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",%d],"value":%q,"prior_size":%d}]`, at, text, prior)
	}
	d1.mustSend(insert("s1", 0, 0))
	// Both were made before anything of d1 was seen: the second has to meet d1's
	// entry as it looks on top of the first.
	d2.mustSend(insert("c1", 0, 0))
	d2.mustSend(insert("c2", 0, 1))
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"},"tags":["c2","c1","s1"]}`)

	// The same across a restart and a move to another node.
	other := b.node()
	moved := &device{b: other, ident: d2.ident, version: d2.version, base: d2.base}
	moved.attach(history.Cursors{Ident: d2.ident, Download: d2.base, Latest: d2.base, LatestSalt: saltAt(t, b, d2.base)})
	moved.mustSend(insert("c3", 0, 2))
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"0"},"tags":["c3","c2","c1","s1"]}`)

	// The old node's session is a zombie now.
	if err := d2.send(insert("lost", 0, 3)); err != history.ErrDetached {
		t.Errorf("upload of a detached session: %v, want %v", err, history.ErrDetached)
	}
}

func saltAt(t *testing.T, b *bed, wire uint64) uint64 {
	t.Helper()
	for _, e := range b.entries() {
		if e.Version == wire/history.Stride {
			return e.Salt
		}
	}
	t.Fatalf("no entry %d", wire/history.Stride)
	return 0
}

// Refused uploads leave no trace and do not disturb others in the same batch.
func TestRefusedWhole(t *testing.T) {
	b := newBed(t)
	good := b.device()
	good.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	good.catchUp()
	for _, test := range []struct {
		name string
		ops  string
		code int
		text string
	}{
		{"unknown table", `[{"op":"CreateObject","class":"Cat","pk":1}]`, 212, "Cat"},
		{"unknown field", `[{"op":"Update","class":"Dog","pk":1,"path":["colour"],"value":"red"}]`, 212, "colour"},
		{"wrong type", `[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":"old"}]`, 212, "age"},
		{"null where not allowed", `[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":null}]`, 212, "age"},
		{"the primary key", `[{"op":"Update","class":"Dog","pk":1,"path":["_id"],"value":2}]`, 212, "_id"},
		{"other column type", `[{"op":"AddColumn","class":"Dog","field":"age","type":"string","nullable":false,"collection":"single"}]`, 225, `"age": here it is int, in the change it is string`},
		{"other nullability", `[{"op":"AddColumn","class":"Dog","field":"age","type":"int","nullable":true,"collection":"single"}]`, 225, `"age": here it is int, in the change it is optional int`},
		{"erase table", `[{"op":"EraseTable","class":"Dog"}]`, 225, `"Dog": here it is class with a primary key of type int, in the change it is removed`},
		{"erase column", `[{"op":"EraseColumn","class":"Dog","field":"age"}]`, 225, `"age": here it is int, in the change it is removed`},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, _ := b.file.Head()
			bad := b.device()
			bad.catchUp()
			err := bad.send(ops(`[{"op":"CreateObject","class":"Dog","pk":77}]`), ops("%s", test.ops))
			if rejection(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want code %d naming %q", err, test.code, test.text)
			}
			if after, _ := b.file.Head(); after != before {
				t.Errorf("the refused upload moved the head from %d to %d", before, after)
			}
			if got := bad.client.UploadCursor(); got != (history.Cursor{}) {
				t.Errorf("the refused upload moved the upload cursor to %v", got)
			}
			b.wantDocument("Dog", 77, "")
			// What was queued behind it builds on it.
			if err := bad.send(ops(`[{"op":"CreateObject","class":"Dog","pk":78}]`)); err != history.ErrDetached {
				t.Errorf("upload behind a refused one: %v", err)
			}
			good.mustSend(ops(`[{"op":"AddInteger","class":"Dog","pk":1,"path":["age"],"value":1}]`))
		})
	}
}

func TestSchemaChangesOutsideDevelopmentMode(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(dogSchema))
	strict := b.node(func(o *history.Options) { o.DevelopmentMode = false })
	d := strict.device()
	d.mustSend(ops(dogSchema)) // repeating what is known is fine
	err := d.send(ops(`[{"op":"AddColumn","class":"Dog","field":"new","type":"int","nullable":true,"collection":"single"}]`))
	if rejection(err) != 225 || !strings.Contains(err.Error(), "schema changes from clients are restricted when developer mode is disabled") {
		t.Errorf("got %v", err)
	}
}

// Two classes never have one collection, whichever of a device and a schema file
// would have it so.
func TestTwoClassesOfOneCollection(t *testing.T) {
	cats := func(o *history.Options) {
		o.Schema = &schema.Schema{Classes: map[string]*schema.Class{
			"Cat": {Name: "Cat", KeyType: changeset.Int, Collection: "Dog", Properties: map[string]*schema.Property{}},
		}}
	}
	const want = `collection "Dog" would be that of class "Cat" as well`
	b := newBed(t, cats)
	if err := b.device().send(ops(dogSchema)); rejection(err) != 225 || !strings.Contains(err.Error(), want) {
		t.Errorf("learned from a device: %v", err)
	}
	b = newBed(t)
	b.device().mustSend(ops(dogSchema))
	opts := b.options(cats)
	store, err := history.Open(b.ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if _, err := store.File(b.ctx, history.FlexibleFile); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("configured: %v", err)
	}
}

// What does not fit its object is told of once, however often the commit is tried.
func TestUnfitIsToldOnce(t *testing.T) {
	var log lockedBuffer
	retries := 0
	b := newBed(t, func(o *history.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.OnRetry = func(history.RetryReason) { retries++ }
	})
	d := b.device()
	d.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"CreateObject","class":"Dog","pk":2},
		{"op":"Update","class":"Dog","pk":2,"path":["name"],"value":"Rex"}]`))
	_, err := b.db.Collection("Dog").Indexes().CreateOne(b.ctx, mongo.IndexModel{
		Keys: bson.D{{Key: "name", Value: 1}}, Options: options.Index().SetUnique(true).SetPartialFilterExpression(bson.D{{Key: "name", Value: bson.D{{Key: "$type", Value: "string"}}}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.catchUp()
	// MongoDB refuses the other one, so that all is tried again.
	d.mustSend(ops(`[{"op":"ArrayErase","class":"Dog","pk":1,"path":["tags",5],"prior_size":6}]`),
		ops(`[{"op":"CreateObject","class":"Dog","pk":3},{"op":"Update","class":"Dog","pk":3,"path":["name"],"value":"Rex"}]`))
	if retries == 0 {
		t.Error("it was not tried again")
	}
	if n := strings.Count(log.String(), "does not fit its object"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}

// Queryable fields before and after each entry tell who must see it.
func TestEntriesTellViews(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	if err := b.file.MakeQueryable(b.ctx, "Dog", []string{"age"}); err != nil {
		t.Fatal(err)
	}
	d.catchUp()
	d.mustSend(
		ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Rex"}]`),
		ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":7}]`),
		ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Max"}]`),
		ops(`[{"op":"EraseObject","class":"Dog","pk":1}]`))
	describe := func(o *object.Object) string {
		if o == nil {
			return "none"
		}
		return fmt.Sprint(len(o.Fields), o.Fields["age"] != nil)
	}
	var got []string
	for _, e := range b.entries()[2:] {
		tc := e.Objects[0]
		got = append(got, describe(tc.Before)+" → "+describe(tc.After)+" whole "+describe(tc.Whole))
	}
	want := []string{"none → 0 false whole none", "0 false → 1 true whole 2 true", "1 true → 1 true whole none", "1 true → none whole none"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// Another node reads the same from the database.
	other := b.node()
	for i, e := range other.entries() {
		mine := b.entries()[i]
		if fmt.Sprint(e.Changeset) != fmt.Sprint(mine.Changeset) || e.Timestamp != mine.Timestamp || len(e.Objects) != len(mine.Objects) {
			t.Errorf("version %d differs when read back", e.Version)
		}
	}
}

// An object that left the author's view, or was refreshed, since the base of an
// upload is not merged: the device has thrown its part away.
func TestUploadBelowAMove(t *testing.T) {
	b := newBed(t)
	writer, reader := b.device(), b.device()
	writer.mustSend(ops(dogSchema))
	if err := b.file.MakeQueryable(b.ctx, "Dog", []string{"age"}); err != nil {
		t.Fatal(err)
	}
	writer.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",0],"value":"a","prior_size":0}]`))
	writer.catchUp()
	reader.catchUp()
	young := viewFunc(func(_ changeset.ObjectRef, o *object.Object) bool {
		v, _ := o.Fields["age"].(changeset.Value)
		return v.Num < 5
	})
	reader.view = young
	writer.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":9}]`)) // out of the reader's view
	// The reader held it when it wrote: its write stands, and it is told how the
	// object is now (gone, for it).
	reader.mustSend(ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",1],"value":"b","prior_size":1}]`))
	e := b.last()
	if !e.Objects[0].Refresh || e.Objects[0].Refused != "" || e.Objects[0].Whole == nil {
		t.Errorf("touched: %+v", e.Objects[0])
	}
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"9"},"tags":["a","b"]}`)
	// Now it knows that the object is outside; another write is refused.
	reader.catchUp()
	reader.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"x"}]`))
	if e := b.last(); !strings.Contains(e.Objects[0].Refused, "object is outside of the current query view") {
		t.Errorf("touched: %+v", e.Objects[0])
	}
}

// What others get of a part that is taken apart is what its author did, not what
// came of it: an increment stays one, and theirs are added to it.
func TestIncrementBelowAMove(t *testing.T) {
	b := newBed(t)
	writer, moved := b.device(), b.device()
	writer.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	writer.catchUp()
	moved.catchUp()
	head, _ := b.file.Head()
	if _, err := moved.client.Private(b.ctx, head, &history.ViewSwitch{Query: `{"Dog":"TRUEPREDICATE"}`}); err != nil {
		t.Fatal(err)
	}
	add := ops(`[{"op":"AddInteger","class":"Dog","pk":1,"path":["age"],"value":2}]`)
	moved.mustSend(add) // below its bootstrap
	e := b.last()
	if !e.Objects[0].Refresh {
		t.Errorf("touched: %+v", e.Objects[0])
	}
	b.wantInstructions(e, "AddInteger Dog[1].age += 2")
	writer.mustSend(add)
	b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"4"}}`)
}

// Defect 7.6: no device can apply what devices send that takes null out of a set.
func TestSetEraseOfNull(t *testing.T) {
	var kinds []string
	b := newBed(t, func(o *history.Options) { o.OnDefect = func(kind string) { kinds = append(kinds, kind) } })
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"S","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"S","field":"s","type":"string","nullable":true,"collection":"set"}]`),
		ops(`[{"op":"CreateObject","class":"S","pk":1},{"op":"SetInsert","class":"S","pk":1,"path":["s"],"value":null},{"op":"SetInsert","class":"S","pk":1,"path":["s"],"value":"a"}]`),
		ops(`[{"op":"SetErase","class":"S","pk":1,"path":["s"],"value":null}]`))
	e := b.last()
	if len(e.Changeset) != 2 || e.Changeset[0].Op != changeset.OpClear || e.Changeset[1].Op != changeset.OpSetInsert {
		t.Errorf("others get %v", e.Changeset)
	}
	b.wantDocument("S", 1, `{"_id":{"$numberLong":"1"},"s":["a"]}`)
	if len(kinds) != 1 || kinds[0] != "set_erase_null" {
		t.Errorf("defects counted: %q", kinds)
	}
}

// However often null is taken out of a set, others get the set once, as it is in the
// end; and what else is done to the object.
func TestManySetErasesOfNull(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(`[{"op":"AddTable","class":"S","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"S","field":"n","type":"int","nullable":false,"collection":"single"},
		{"op":"AddColumn","class":"S","field":"s","type":"int","nullable":true,"collection":"set"}]`))
	const n = 300
	var cs changeset.Changeset
	for key := range 2 {
		cs = append(cs, ops(`[{"op":"CreateObject","class":"S","pk":%d}]`, key)...)
	}
	for i := range n {
		for key := range 2 {
			cs = append(cs, ops(`[{"op":"SetInsert","class":"S","pk":%d,"path":["s"],"value":%d},
				{"op":"SetErase","class":"S","pk":%d,"path":["s"],"value":null},{"op":"AddInteger","class":"S","pk":%d,"path":["n"],"value":1}]`, key, i, key, key)...)
		}
	}
	d.mustSend(cs)
	counts := map[changeset.Op]int{}
	for _, in := range b.last().Changeset {
		counts[in.Op]++
	}
	want := map[changeset.Op]int{changeset.OpCreateObject: 2, changeset.OpAddInteger: 2 * n, changeset.OpClear: 2, changeset.OpSetInsert: 2 * n}
	if !maps.Equal(counts, want) {
		t.Errorf("others get %v, want %v", counts, want)
	}
	for key, o := range b.states("S") {
		if set, ok := o.Fields["s"].(*object.Set); !ok || len(set.Items) != n || o.Fields["n"] != changeset.IntValue(n) {
			t.Errorf("object %v is %v", key, o.Fields)
		}
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// What devices can't erase from sets with a NaN they are told by a Clear.
func TestSetEraseNextToNaN(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(`[{"op":"AddTable","class":"S","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"S","field":"s","type":"double","nullable":false,"collection":"set"}]`),
		ops(`[{"op":"CreateObject","class":"S","pk":1},{"op":"SetInsert","class":"S","pk":1,"path":["s"],"value":{"$double":"NaN"}},
		{"op":"SetInsert","class":"S","pk":1,"path":["s"],"value":{"$double":1.5}},{"op":"SetInsert","class":"S","pk":1,"path":["s"],"value":{"$double":2.5}}]`),
		ops(`[{"op":"SetErase","class":"S","pk":1,"path":["s"],"value":{"$double":1.5}}]`))
	e := b.last()
	if len(e.Changeset) != 3 || e.Changeset[0].Op != changeset.OpClear || e.Changeset[2].Op != changeset.OpSetInsert {
		t.Errorf("others get %v", e.Changeset)
	}
	b.wantDocument("S", 1, `{"_id":{"$numberLong":"1"},"s":[{"$numberDouble":"NaN"},{"$numberDouble":"2.5"}]}`)
}

// Defect 7.8: a device that lacks the object of a link does not write null over it.
func TestNullOverALink(t *testing.T) {
	var kinds []string
	b := newBed(t, func(o *history.Options) { o.OnDefect = func(kind string) { kinds = append(kinds, kind) } })
	d := b.device()
	d.mustSend(ops(mixedSchema), ops(`[{"op":"CreateObject","class":"M","pk":1},{"op":"CreateObject","class":"M","pk":2},
		{"op":"ArrayInsert","class":"M","pk":1,"path":["l",0],"value":{"$link":["M",2]},"prior_size":0},
		{"op":"ArrayInsert","class":"M","pk":1,"path":["l",1],"value":7,"prior_size":1}]`),
		ops(`[{"op":"Update","class":"M","pk":1,"path":["l",0],"value":null,"prior_size":2},{"op":"Update","class":"M","pk":1,"path":["l",1],"value":null,"prior_size":2}]`))
	b.wantInstructions(b.last(), "Update M[1].l[0] = bool:false prior_size=2", "Update M[1].l[0] = null prior_size=2", "Update M[1].l[1] = null prior_size=2")
	b.wantDocument("M", 1, `{"_id":{"$numberLong":"1"},"l":[null,null]}`)
	if len(kinds) != 1 || kinds[0] != "null_over_link" {
		t.Errorf("defects counted: %q", kinds)
	}
}

// An entry may be larger than a document of MongoDB's.
func TestLargeEntry(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema))
	var cs changeset.Changeset
	for i := range 3 {
		key := changeset.IntKey(int64(i))
		cs = append(cs, changeset.Instruction{Op: changeset.OpCreateObject, Class: "Dog", Key: key},
			changeset.Instruction{Op: changeset.OpUpdate, Class: "Dog", Key: key, Field: "name",
				Value: changeset.StringValue(strings.Repeat(string(rune('a'+i)), 7<<19))})
	}
	d.mustSend(cs)
	other := b.node()
	if got := other.last().Changeset; len(got) != len(cs) || got[5].Value != cs[5].Value {
		t.Errorf("%d instructions read back, want %d", len(got), len(cs))
	}
}

// Defect 7.2: devices merge a move of a list element wrongly with a change inside
// an element. The author gets the object whole.
func TestDefectivePairIsRefreshed(t *testing.T) {
	var kinds []string
	b := newBed(t, func(o *history.Options) { o.OnDefect = func(kind string) { kinds = append(kinds, kind) } })
	d1, d2 := b.device(), b.device()
	d1.mustSend(ops(`[{"op":"AddTable","class":"E","kind":"embedded"},{"op":"AddColumn","class":"E","field":"n","type":"int","nullable":false,"collection":"single"},
		{"op":"AddTable","class":"P","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"P","field":"l","type":"link","target":"E","nullable":false,"collection":"list"}]`),
		ops(`[{"op":"CreateObject","class":"P","pk":1},
		{"op":"ArrayInsert","class":"P","pk":1,"path":["l",0],"value":{"$new":"object"},"prior_size":0},
		{"op":"ArrayInsert","class":"P","pk":1,"path":["l",1],"value":{"$new":"object"},"prior_size":1}]`))
	d1.catchUp()
	d2.catchUp()
	d1.mustSend(ops(`[{"op":"Update","class":"P","pk":1,"path":["l",0,"n"],"value":5}]`))
	d2.mustSend(ops(`[{"op":"ArrayMove","class":"P","pk":1,"path":["l",0],"to":1,"prior_size":2}]`))
	b.wantDocument("P", 1, `{"_id":{"$numberLong":"1"},"l":[{"n":{"$numberLong":"0"}},{"n":{"$numberLong":"5"}}]}`)
	if e := b.last(); !e.Objects[0].Refresh || e.Objects[0].Whole == nil || len(e.Changeset) != 1 {
		t.Errorf("entry %v %+v", e.Changeset, e.Objects[0])
	}
	if len(kinds) != 1 || kinds[0] != "nested_move" {
		t.Errorf("defects counted: %q", kinds)
	}
}

// What only one device got wrong is answered to it alone, and others' uploads in the
// same batch go through.
func TestRefusedAlone(t *testing.T) {
	for name, bad := range map[string]struct {
		cs   string
		code int
	}{
		"object of an embedded class": {`[{"op":"CreateObject","class":"Part","pk":1}]`, 212},
		"object of no class":          {`[{"op":"CreateObject","class":"None","pk":1}]`, 212},
		"key of another type":         {`[{"op":"CreateObject","class":"All","pk":"a"}]`, 212},
		"key that no class has":       {`[{"op":"CreateObject","class":"All","pk":{"$gkey":[1,2]}}]`, 212},
		"long key with a dot":         {`[{"op":"Update","class":"All","pk":1,"path":["dict",".` + strings.Repeat("k", 1<<20) + `"],"value":"a"}]`, 212},
		"impossible collection":       {`[{"op":"AddTable","class":".x","pk":{"field":"_id","type":"int","nullable":false}}]`, 225},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			good, d := b.device(), b.device()
			good.mustSend(ops(allSchema))
			release := b.block()
			first := good.queue(&history.Upload{Entries: []history.UploadEntry{{ClientVersion: 3, Changeset: ops(`[{"op":"CreateObject","class":"All","pk":1}]`)}}})
			b.wait("the commit begins", func() bool { return b.file.Queued() == 0 })
			refused := d.queue(&history.Upload{Entries: []history.UploadEntry{{ClientVersion: 2, Changeset: ops("%s", bad.cs)}}})
			second := good.queue(&history.Upload{Entries: []history.UploadEntry{{ClientVersion: 4, Changeset: ops(`[{"op":"CreateObject","class":"All","pk":2}]`)}}})
			release()
			if err := <-refused; rejection(err) != bad.code {
				t.Errorf("answered %v, want a rejection with %d", err, bad.code)
			} else if len(err.Error()) > 3000 {
				t.Errorf("answered with %d bytes", len(err.Error()))
			}
			for _, answer := range []<-chan error{first, second} {
				if err := <-answer; err != nil {
					t.Errorf("another device: %v", err)
				}
			}
		})
	}
}
