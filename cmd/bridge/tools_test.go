package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/translator"
)

// A document that does not fit is listed until it is mended.
func TestUnsynced(t *testing.T) {
	t.Parallel()
	s := newScene(t, "unsynced-abcde", 2)
	wantText(t, s.run(0, "unsynced"), "Every document is in sync.\n")
	if got := s.run(0, "unsynced", "--json"); got != "[]\n" {
		t.Errorf("nothing, in JSON: %q", got)
	}

	s.set(1, bson.D{{Key: "age", Value: "three"}, {Key: "name", Value: "Rex"}})
	if _, err := s.db.Collection("Dog").InsertOne(s.ctx, bson.D{{Key: "_id", Value: "a\nb"}}); err != nil {
		t.Fatal(err)
	}
	var text string
	waitFor(t, "both are listed", func() bool {
		text = s.run(0, "unsynced", "Dog")
		return strings.Contains(text, "2 documents can't be synced.")
	})
	lines := strings.Split(text, "\n")
	for i, want := range []string{
		"CLASS COLLECTION KEY PATH EXPECTED FOUND SINCE DEVICES REASON",
		"Dog Dog 1 age long string 2",
		`Dog Dog "a\nb" _id long string 2`,
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); !strings.HasPrefix(got, want) {
			t.Errorf("line %d: %s\nwant %s", i, got, want)
		}
	}
	wantText(t, lines[1], "keep it as it was")
	wantText(t, lines[2], "lack it")

	var rows []unsyncedRow
	if err := json.Unmarshal([]byte(s.run(0, "unsynced", "--json")), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || !rows[0].Frozen || strings.Join(strings.Fields(string(rows[0].ID)), "") != `{"$numberLong":"1"}` ||
		rows[0].Path != "age" || rows[0].Found != "string" || !strings.Contains(rows[0].Reason, "found string") {
		t.Errorf("in JSON: %+v", rows)
	}
	wantText(t, s.run(exitFailure, "unsynced", "Cat"), `there is no class "Cat"; there are: Dog`)
	wantText(t, s.run(exitFailure, "unsynced", "Walk"), "class Walk is embedded")

	s.set(1, bson.D{{Key: "age", Value: 4}})
	if _, err := s.db.Collection("Dog").DeleteOne(s.ctx, bson.D{{Key: "_id", Value: "a\nb"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is mended", func() bool { return strings.Contains(s.run(0, "unsynced"), "in sync") })
	s.waitDog(1, "Rex")
}

// Documents that changed while no bridge ran are compared on demand.
func TestResync(t *testing.T) {
	t.Parallel()
	s := newScene(t, "resync-abcde", 3)
	if err := s.bridge.stop(); err != nil {
		t.Fatal(err)
	}
	for key := range 3 {
		s.set(key+1, bson.D{{Key: "name", Value: "Rex"}})
	}
	wantText(t, s.run(0, "resync", "Dog", "2"), "Dog: looked at, 1 object made what its document holds.\n")
	wantText(t, s.run(0, "resync", "Dog", "2"), "Dog: looked at, none differed.\n")
	s.set(3, bson.D{{Key: "age", Value: "three"}})
	wantText(t, s.run(0, "resync"), "Dog: 3 documents compared, 1 object made what its document holds; 1 document can't be synced (see bridge unsynced Dog).\n")
	s.set(3, bson.D{{Key: "age", Value: 4}})
	wantText(t, s.run(0, "resync", "Dog"), "Dog: 3 documents compared, 1 object made what its document holds.\n")
	wantText(t, s.run(0, "verify"), "agree")

	wantText(t, s.run(exitFailure, "resync", "Cat"), `there is no class "Cat"; there are: Dog`)
	wantText(t, s.run(exitFailure, "resync", "Dog", "two"), `"two" is no _id of Dog`)
	wantText(t, s.run(exitUsage, "resync", "--accept-erase"), "--accept-erase goes with a CLASS")
}

// A dropped collection empties no device until an operator says so.
func TestResyncAcceptErase(t *testing.T) {
	t.Parallel()
	s := newScene(t, "erase-abcde", 2, func(c *config.Config) { c.Sync.GuardGrace = 200 * time.Millisecond })
	s.waitMetric("bridge_ingest_running", 1)
	if err := s.db.Collection("Dog").Drop(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.waitMetric(`bridge_class_held{asks="true",class="Dog"}`, 1)
	for _, args := range [][]string{{"resync"}, {"resync", "Dog"}, {"resync", "Dog", "1"}} {
		wantText(t, s.run(exitFailure, args...), "Dog is held since ", ": collection Dog was dropped.\n    Devices keep its objects, their uploads to it wait.\n",
			"Most of its objects have no document any more: restore the collection, or say that this is meant by: bridge resync Dog --accept-erase.\n")
	}
	if n := len(s.realm.Objects("Dog")); n != 2 {
		t.Errorf("the device has %d dogs", n)
	}
	wantText(t, s.run(0, "resync", "Dog", "--accept-erase"), "Dog is released: it had 2 objects and has 0.\n")
	if err := s.realm.WaitFor(s.ctx, func() bool { return len(s.realm.Objects("Dog")) == 0 }); err != nil {
		t.Error(err)
	}
	wantText(t, s.run(0, "resync"), "Dog: 0 documents compared, none differed.\n")
}

// Where no bridge runs, the next one does what was accepted.
func TestResyncAcceptEraseLater(t *testing.T) {
	t.Parallel()
	s := newScene(t, "later-abcde", 2)
	if err := s.bridge.stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Collection("Dog").Drop(s.ctx); err != nil {
		t.Fatal(err)
	}
	wantText(t, s.run(exitFailure, "resync"), "Dog is not compared: more than half of its 2 objects have no document.\n    Restore the collection, or ", "bridge resync Dog --accept-erase")
	said := make(chan string, 1)
	go func() { said <- s.run(0, "resync", "Dog", "--accept-erase") }()
	waitFor(t, "it is accepted", func() bool {
		n, err := s.db.Client().Database("__bridge_"+s.app).Collection("holds").CountDocuments(s.ctx, bson.D{{Key: "accepted", Value: true}})
		return err == nil && n == 1
	})
	s.bridge = start(t, s.bridge.cfg)
	wantText(t, <-said, "No bridge reads the change stream at the moment. The next one that runs compares Dog;\n", "Dog is released: it had 2 objects and has 0.\n")
}

// What was tampered with while no bridge ran is found, and repaired on the
// devices.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := newScene(t, "verify-abcde", 3)
	wantText(t, s.run(0, "verify"), "Documents, object states and history agree at version ", ": 3 objects.\n")
	if err := s.bridge.stop(); err != nil {
		t.Fatal(err)
	}
	s.set(1, bson.D{{Key: "name", Value: "Rex"}})
	if _, err := s.db.Collection("Dog").DeleteOne(s.ctx, bson.D{{Key: "_id", Value: 2}}); err != nil {
		t.Fatal(err)
	}
	states := s.db.Client().Database("__bridge_" + s.app).Collection("state_Dog")
	if _, err := states.DeleteOne(s.ctx, bson.D{{Key: "_id", Value: 3}}); err != nil {
		t.Fatal(err)
	}
	wantText(t, s.run(exitFailure, "verify", "--patience", "1ms"),
		"Dog 1: the document is not what the object state says\n    Update Dog[1].name = str:'Rex'\n",
		"Dog 2: there is an object state and no document\n",
		"Dog 3: there is a document and no object state\n",
		"Dog 3: the history has it, the object states don't\n",
		"\n4 differences at version ")

	var found verificationJSON
	text := s.run(0, "verify", "--repair", "--json", "--patience", "1ms")
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Differences) != 4 || found.Differences[0].Class != "Dog" || found.Differences[0].Key != "1" || !found.Replayed ||
		found.AfterRepair == nil || len(found.AfterRepair.Differences) != 0 || found.AfterRepair.Objects != 2 {
		t.Errorf("in JSON: %s", text)
	}
	wantText(t, s.run(0, "verify", "--repair"), "agree")

	// The devices have it from the next bridge.
	cfg := *s.bridge.cfg
	cfg.Listen.Addr = s.bridge.addr
	s.bridge = start(t, &cfg)
	s.waitDog(1, "Rex")
	if err := s.realm.WaitFor(s.ctx, func() bool { return s.realm.Get("Dog", changeset.IntKey(2)) == nil }); err != nil {
		t.Error(err)
	}
}

func TestVerifyRepairsInText(t *testing.T) {
	t.Parallel()
	s := newScene(t, "repair-abcde", 1)
	if err := s.bridge.stop(); err != nil {
		t.Fatal(err)
	}
	s.set(1, bson.D{{Key: "name", Value: "Rex"}})
	wantText(t, s.run(0, "verify", "--repair", "--patience", "1ms"), "Dog 1: the document is not what the object state says\n    Update Dog[1].name = str:'Rex'\n\n1 difference at version ",
		"\nAfter the repair:\nDocuments, object states and history agree")
}

// Object states that queries would miss, or find for what they are not, are found
// and mended.
func TestVerifyQueryableFields(t *testing.T) {
	t.Parallel()
	s := newScene(t, "findable-abcde", 5, func(c *config.Config) { c.Sync.QueryableFields = []string{"age"} })
	metadata := s.db.Client().Database("__bridge_" + s.app)
	waitFor(t, "all states are known to have the field", func() bool {
		err := metadata.Collection("backfills").FindOne(s.ctx, bson.D{{Key: "_id.class", Value: "Dog"}, {Key: "generation", Value: 1}}).Err()
		return err == nil
	})
	wantText(t, s.run(0, "verify"), "agree")
	for key, update := range map[int]bson.D{
		1: {{Key: "$set", Value: bson.D{{Key: "q.age", Value: int64(9)}}}},
		2: {{Key: "$unset", Value: bson.D{{Key: "q", Value: ""}, {Key: "g", Value: ""}}}},
		3: {{Key: "$unset", Value: bson.D{{Key: "q", Value: ""}}}, {Key: "$set", Value: bson.D{{Key: "w", Value: true}}}},
		4: {{Key: "$set", Value: bson.D{{Key: "g", Value: 7}}}},
	} {
		if res, err := metadata.Collection("state_Dog").UpdateByID(s.ctx, key, update); err != nil || res.ModifiedCount != 1 {
			t.Fatalf("%v, %+v", err, res)
		}
	}
	const what = ": the object state's queryable fields are not those of its object\n"
	text := s.run(0, "verify", "--repair", "--patience", "1ms")
	wantText(t, text, "Dog 1"+what, "Dog 2"+what, "Dog 3"+what, "Dog 4"+what, "\n4 differences at version ",
		"\nAfter the repair:\nDocuments, object states and history agree")
	if n, err := metadata.Collection("state_Dog").CountDocuments(s.ctx, bson.D{{Key: "q.age", Value: 3}, {Key: "g", Value: 1}, {Key: "w", Value: nil}}); n != 5 || err != nil {
		t.Errorf("%d states are mended, %v", n, err)
	}
}

// What a repair can't mend, and why.
func TestVerifyLeftOver(t *testing.T) {
	v := &translator.Verification{Version: 7, Objects: 2, Frozen: 1, Differences: []translator.Difference{
		{Ref: changeset.ObjectRef{Class: "Dog", Key: changeset.StringKey("two words")}, What: "there is an object state and no document"},
		{What: "version 3 of the history can't be replayed: x"},
	}}
	var b bytes.Buffer
	r := report{w: &b}
	err := errors.Join(r.verification(v), r.leftOver(v, map[string]history.Hold{"Dog": {Class: "Dog", Reason: "collection Dog was dropped", Asks: true}}))
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, b.String(),
		"Dog \"two words\": there is an object state and no document\nhistory: version 3 of the history can't be replayed: x\n\n"+
			"2 differences at version 7: 2 objects, and 1 document that can't be synced (see bridge unsynced).\n"+
			"The history was not replayed: its beginning is trimmed.\n",
		"Dog is held since ", ": collection Dog was dropped.\n", "bridge resync Dog --accept-erase.\n",
		"What is left is in the bridge's own database")
}

// The schema that devices brought is printed so that production can start from it.
func TestSchemaPrint(t *testing.T) {
	t.Parallel()
	s := newScene(t, "schema-abcde", 0)
	text := s.run(0, "schema", "print", "Dog")
	wantText(t, text, `"title": "Dog"`, `"title": "Walk"`, `"database": "schema-abcde"`)
	if all := s.run(0, "schema", "print"); all != text {
		t.Errorf("all classes:\n%s\nwant\n%s", all, text)
	}
	dir := filepath.Join(t.TempDir(), "new", "schema")
	if got, want := s.run(0, "schema", "print", "--out", dir), filepath.Join(dir, "Dog.json")+"\n"; got != want {
		t.Errorf("it wrote %q, want %q", got, want)
	}
	written, err := os.ReadFile(filepath.Join(dir, "Dog.json"))
	if err != nil || string(written) != text {
		t.Errorf("the file holds %s, %v", written, err)
	}
	wantText(t, s.run(exitFailure, "schema", "print", "--out", dir), "Dog.json is there already; --force overwrites it")
	s.run(0, "schema", "print", "--out", dir, "--force")

	// It is the schema in use: a bridge that has it configured adds nothing.
	classes, err := loadSchema([]string{filepath.Join(dir, "Dog.json")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := classes.Diff(s.realm.Schema()); len(diff) > 0 {
		t.Errorf("read back, it differs: %v", diff)
	}
}

// Whatever devices call their classes, the files lie in the folder, and are read as
// what they are.
func TestSchemaFileNames(t *testing.T) {
	for class, want := range map[string]string{
		"Dog": "Dog.json", "Größe": "Größe.json", "a.b": "a.b.json", "a/../../b": "a%2F..%2F..%2Fb.json", `a\..\b`: "a%5C..%5Cb.json", "a%2Fb": "a%252Fb.json",
		"schema": "schema_.json", "relationships": "relationships_.json", "Dog.relationships": "Dog.relationships_.json",
	} {
		got := schemaFileName(class)
		if got != want || filepath.Base(got) != got {
			t.Errorf("class %q goes to %q, want %q", class, got, want)
		}
	}
}

// The history is printed, whole or about one thing.
func TestHistoryCommand(t *testing.T) {
	t.Parallel()
	s := newScene(t, "history-abcde", 2)
	s.write(func(tx *device.Tx) error {
		return tx.Set(device.At("Dog", changeset.IntKey(2), "age"), 9)
	})
	s.set(1, bson.D{{Key: "name", Value: "Rex"}})
	s.waitDog(1, "Rex")

	all := s.run(0, "history")
	wantText(t, all, "AddTable Dog", "AddColumn Dog.age", "CreateObject Dog[1]\n", "  device 2, user ", ", client version ", "Update Dog[2].age = int:9\n")
	blocks := strings.Split(strings.TrimSpace(all), "\n\n")
	if last := blocks[len(blocks)-1]; !strings.Contains(last, "  MongoDB\n    Update Dog[1].name = str:'Rex'") {
		t.Errorf("the last is %s", last)
	}
	if got := s.run(0, "history", "-n", "1"); strings.TrimSpace(got) != blocks[len(blocks)-1] {
		t.Errorf("-n 1:\n%s\nwant\n%s", got, blocks[len(blocks)-1])
	}
	about := s.run(0, "history", "--class", "Dog", "--key", "2")
	wantText(t, about, "CreateObject Dog[2]\n", "Update Dog[2].age = int:9\n")
	if strings.Contains(about, "Dog[1]") || strings.Contains(about, "AddTable") {
		t.Errorf("about dog 2:\n%s", about)
	}
	wantText(t, s.run(0, "history", "--class", "Dog", "--key", "77"), "There is nothing of that in the history.\n")
	wantText(t, s.run(exitUsage, "history", "--key", "2"), "--key goes with --class")
	wantText(t, s.run(exitFailure, "history", "--class", "Dog", "--key", "two"), `"two" is no _id of Dog`)
}

// A command leaves no trace where no bridge ever was.
func TestNeverServed(t *testing.T) {
	t.Parallel()
	s := &scene{t: t, ctx: t.Context(), app: "never-abcde"}
	for _, args := range [][]string{{"unsynced"}, {"verify"}, {"schema", "print"}, {"history"}} {
		wantText(t, s.run(exitFailure, args...), `no bridge has ever served app "never-abcde" here: database "__bridge_never-abcde" has no history`)
	}
}
