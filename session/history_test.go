package session

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/translator"
)

// node is a server over a real history in a real MongoDB.
type node struct {
	*rig
	db    *mongo.Database
	store *history.Store
}

func newNode(t *testing.T) *node {
	t.Helper()
	return openNode(t, mongotest.Database(t))
}

func openNode(t *testing.T, db *mongo.Database) *node {
	t.Helper()
	n := &node{rig: &rig{t: t, logs: &logs{}}, db: db}
	log := slog.New(slog.NewTextHandler(n.logs, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	n.store, err = history.Open(ctx, history.Options{
		Client: db.Client(), Database: "__bridge_" + db.Name(), DevelopmentMode: true, Logger: log,
		Mirror: translator.NewMirror(db, translator.Mapping{}),
		// So long that only what the tests are about tells one node of another.
		TailInterval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.store.Close)
	n.serve(Options{Files: FromStore(n.store), Authenticator: authenticator{}, Flexible: true,
		QuietDelay: time.Millisecond, ErrorGrace: 50 * time.Millisecond, Logger: log})
	return n
}

// stop ends the node as a restart would.
func (n *node) stop() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil {
		n.t.Fatal(err)
	}
	n.store.Close()
}

// documents returns the dogs in MongoDB as "id name age", by id.
func (n *node) documents() []string {
	n.t.Helper()
	cur, err := n.db.Collection("Dog").Find(context.Background(), bson.D{})
	if err != nil {
		n.t.Fatal(err)
	}
	var docs []bson.M
	if err := cur.All(context.Background(), &docs); err != nil {
		n.t.Fatal(err)
	}
	var out []string
	for _, d := range docs {
		out = append(out, strings.Join(strings.Fields(strings.Trim(strings.ReplaceAll(toJSON(n.t, d), `"`, ""), "{}")), ""))
	}
	slices.Sort(out)
	return out
}

func toJSON(t *testing.T, d bson.M) string {
	t.Helper()
	text, err := bson.MarshalExtJSON(bson.D{{Key: "_id", Value: d["_id"]}, {Key: "age", Value: d["age"]}, {Key: "name", Value: d["name"]}}, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// see reads DOWNLOADs until one has instructions.
func (p *phone) see() string {
	p.t.Helper()
	for {
		if s := brief(seen(p.t, []*protocol.Download{p.download()})); s != "" {
			return s
		}
	}
}

func TestHistoryTwoDevicesAndMongoDB(t *testing.T) {
	n := newNode(t)
	ann, bob := n.dial("ann").open(1), n.dial("bob").open(1)
	ann.awaitUpload(ann.upload(dogs()))
	for _, p := range []*phone{ann, bob} {
		p.subscribe(`{"Dog":"(age < 10)"}`)
	}
	ann.awaitUpload(ann.upload(newDog(1, 5, "Rex")))
	if got, want := bob.see(), "CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name"; got != want {
		t.Errorf("bob saw %s, want %s", got, want)
	}
	bob.awaitUpload(bob.upload(setAge(1, 11)))
	// It leaves the view of both, the author included.
	if got := ann.see(); got != "EraseObject Dog 1" {
		t.Errorf("ann saw %s", got)
	}
	if got, want := n.documents(), []string{"_id:1,age:11,name:Rex"}; !slices.Equal(got, want) {
		t.Errorf("documents %v, want %v", got, want)
	}
	if got := brief(seen(t, bob.subscribe(`{"Dog":"(age > 10)"}`))); !strings.HasSuffix(got, "EraseObject Dog 1, CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name") {
		t.Errorf("bob's new query brought %s", got)
	}
}

// Traps 13 and 24: cursors outlive a restart, and what comes again is not taken
// again.
func TestTrap13And24Restart(t *testing.T) {
	n := newNode(t)
	p := n.dial("ann").open(1)
	p.awaitUpload(p.upload(dogs()))
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	held := p.at
	up := p.upload(newDog(1, 1, "Rex"), newDog(2, 2, "Fido"))
	p.awaitUpload(up)
	n.stop()

	again := openNode(t, n.db)
	// The device has not seen the acknowledgement.
	p.at = held
	p.reopen(again.dial("ann"), 1)
	p.send(up)
	p.awaitUpload(p.upload(setAge(1, 7)))
	p.awaitMark()
	if got, want := again.documents(), []string{"_id:1,age:7,name:Rex", "_id:2,age:2,name:Fido"}; !slices.Equal(got, want) {
		t.Errorf("documents %v, want %v", got, want)
	}
	f, err := again.store.File(t.Context(), history.FlexibleFile)
	if err != nil {
		t.Fatal(err)
	}
	// Schema, two dogs, an age, and whatever made fields queryable.
	head, _ := f.Head()
	entries, err := f.Entries(t.Context(), 0, 100)
	if err != nil || uint64(len(entries)) != head {
		t.Fatalf("%d entries at head %d (%v)", len(entries), head, err)
	}
	mine := 0
	for _, e := range entries {
		if e.Origin == uint64(p.ident.File) {
			mine++
		}
	}
	if mine != 4 {
		t.Errorf("the history has %d entries of the device, want 4", mine)
	}
}

func TestHistoryRefusesWhatCannotBe(t *testing.T) {
	n := newNode(t)
	w := n.dial("ann")
	bystander := w.open(1)
	bystander.awaitUpload(bystander.upload(dogs()))
	bystander.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	id := 0
	for _, tt := range []struct {
		name   string
		upload changeset.Changeset
		code   protocol.ErrorCode
		action protocol.Action
		text   string
	}{
		{"unknown table", ops(`[{"op":"CreateObject","class":"Cat","pk":1}]`), protocol.BadChangeset, protocol.ActionClientReset, "Cat"},
		{"unknown property", ops(`[{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["wings"],"value":2}]`), protocol.BadChangeset, protocol.ActionClientReset, "wings"},
		{"wrong key type", ops(`[{"op":"CreateObject","class":"Dog","pk":"one"}]`), protocol.BadChangeset, protocol.ActionClientReset, ""},
		{"breaking schema change", ops(`[{"op":"AddColumn","class":"Dog","field":"age","type":"string","nullable":false,"collection":"single"}]`), protocol.InvalidSchemaChange, protocol.ActionApplicationBug, "age"},
		{"erased table", ops(`[{"op":"EraseTable","class":"Dog"}]`), protocol.InvalidSchemaChange, protocol.ActionApplicationBug, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id++
			culprit := w.open(int64(1 + id))
			culprit.upload(tt.upload)
			e := culprit.expectError(tt.code)
			if e.Session != culprit.session || e.TryAgain || e.Action != tt.action || !strings.Contains(e.Message, tt.text) {
				t.Errorf("got %+v", e)
			}
			bystander.awaitUpload(bystander.upload(newDog(100+id, 1, "Rex")))
		})
	}
}

func TestHistoryChecksIdent(t *testing.T) {
	n := newNode(t)
	p := n.dial("ann").open(1)
	p.awaitUpload(p.upload(dogs()))
	p.unbind()
	good := protocol.ClientIdent{File: p.ident.File, Salt: p.ident.Salt, DownloadServer: p.at.DownloadServer, DownloadClient: p.at.DownloadClient,
		LatestServer: p.at.LatestServer, LatestSalt: p.at.LatestSalt, Query: "{}"}
	for _, tt := range []struct {
		name   string
		user   string
		change func(*protocol.ClientIdent)
		code   protocol.ErrorCode
	}{
		{"unknown", "ann", func(m *protocol.ClientIdent) { m.File = 4711 }, protocol.BadClientFileIdent},
		{"salt", "ann", func(m *protocol.ClientIdent) { m.Salt++ }, protocol.DivergingHistories},
		{"other history", "ann", func(m *protocol.ClientIdent) { m.LatestSalt++ }, protocol.DivergingHistories},
		{"future", "ann", func(m *protocol.ClientIdent) { m.DownloadServer += 1 << 20; m.LatestServer = m.DownloadServer }, protocol.BadServerVersion},
		{"client version", "ann", func(m *protocol.ClientIdent) { m.DownloadClient += 100 }, protocol.BadClientVersion},
		{"other user", "bob", func(*protocol.ClientIdent) {}, protocol.UserMismatch},
	} {
		w := n.dial(tt.user)
		m := good
		m.Session = 3
		tt.change(&m)
		w.send(&protocol.Bind{Session: 3}, &m)
		if e := w.expectError(tt.code); e.Session != 3 || e.TryAgain || e.Action != protocol.ActionClientReset {
			t.Errorf("%s: got %+v", tt.name, e)
		}
	}
	p.reopen(n.dial("ann"), 1)
	p.awaitMark()
}

func TestHistoryCompensatesWritesOutOfView(t *testing.T) {
	n := newNode(t)
	ann, bob := n.dial("ann").open(1), n.dial("bob").open(1)
	ann.awaitUpload(ann.upload(dogs()))
	ann.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	ann.awaitUpload(ann.upload(newDog(1, 50, "Rex")))
	bob.subscribe(`{"Dog":"(age < 10)"}`)
	up := bob.upload(newDog(1, 5, "Mine"), newDog(2, 5, "Fido"))
	e := bob.expectError(protocol.CompensatingWrite)
	if len(e.RejectedUpdates) != 1 || e.RejectedUpdates[0].Key != changeset.IntKey(1) || e.RejectedClientVersion != up.Entries[0].ClientVersion {
		t.Errorf("got %+v", e)
	}
	if got := bob.see(); got != "EraseObject Dog 1" {
		t.Errorf("bob saw %s", got)
	}
	bob.awaitUpload(up)
	if got, want := n.documents(), []string{"_id:1,age:50,name:Rex", "_id:2,age:5,name:Fido"}; !slices.Equal(got, want) {
		t.Errorf("documents %v, want %v", got, want)
	}
}

// Two nodes over one database: a MARK covers what the other has committed, and a
// client file can move over.
func TestHistoryTwoNodes(t *testing.T) {
	here := newNode(t)
	there := openNode(t, here.db)
	ann := here.dial("ann").open(1)
	ann.awaitUpload(ann.upload(dogs()))
	bob := there.dial("bob").open(1)
	for _, p := range []*phone{ann, bob} {
		p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	}
	bob.awaitUpload(bob.upload(newDog(1, 1, "Rex")))
	if got := brief(seen(t, ann.awaitMark())); got != "CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name" {
		t.Errorf("ann saw %s", got)
	}

	old := *ann
	ann.reopen(there.dial("ann"), 1)
	ann.awaitMark()
	ann.awaitUpload(ann.upload(newDog(2, 2, "Fido")))
	old.upload(newDog(3, 3, "Zombie"))
	for ended := false; !ended; {
		_, err := old.read()
		ended = err != nil
	}
	if got, want := there.documents(), []string{"_id:1,age:1,name:Rex", "_id:2,age:2,name:Fido"}; !slices.Equal(got, want) {
		t.Errorf("documents %v, want %v", got, want)
	}
}

func TestHistoryCutBootstrap(t *testing.T) {
	n := newNode(t)
	ann := n.dial("ann").open(1)
	ann.awaitUpload(ann.upload(dogs()))
	ann.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	for i := range 30 {
		ann.awaitUpload(ann.upload(newDog(i, i, noise(100<<10))))
	}
	bob := n.dial("bob").open(1)
	bob.send(&protocol.Query{Session: 1, Version: 1, Body: `{"Dog":"(TRUEPREDICATE)"}`})
	if m := expect[*protocol.Download](bob.wire); m.Batch != protocol.MoreToCome {
		t.Fatalf("3 MB came in one message")
	}
	_ = bob.ws.CloseNow()
	w := n.dial("bob")
	bob.reopen(w, 1)
	bob.expectError(protocol.SessionClosed)
	bob.send(&protocol.Unbind{Session: 1})
	bob.reopen(w, 1)
	got := seen(t, bob.subscribe(`{"Dog":"(TRUEPREDICATE)"}`))
	created := 0
	for i := range got {
		if got[i].Op == changeset.OpCreateObject {
			created++
		}
	}
	if created != 30 {
		t.Errorf("%d dogs came, want 30", created)
	}
	// Applied, it is not flushed again.
	bob.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](w)
	bob.reopen(n.dial("bob"), 2)
	bob.awaitMark()
}
