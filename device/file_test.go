package device

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/schema"
)

// withAnswer answers the MARK of that number when it comes.
func withAnswer(sc *scene, session, mark int64) context.Context {
	go func() {
		for {
			data, ok := <-sc.socket.received
			if !ok {
				return
			}
			m, err := sc.socket.codec.ParseClient(data)
			if err != nil {
				return
			}
			if asked, ok := m.(*protocol.Mark); ok && asked.Session == session && asked.Request == mark {
				answer, err := sc.socket.codec.Append(nil, asked)
				if err == nil {
					// The test fails by its own time-out if this does.
					_ = sc.socket.conn.Write(context.Background(), 2, answer)
				}
				return
			}
		}
	}()
	return sc.within()
}

// TestRollback: a transaction that fails leaves nothing behind.
func TestRollback(t *testing.T) {
	f, err := NewFile(Config{Schema: convergeSchema()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := changeset.IntKey(1), changeset.IntKey(2)
	_, err = f.Write(func(tx *Tx) error {
		return errors.Join(
			tx.Create("P", one, map[string]any{"l": List{1, 2}, "e": Embedded{"a": 1}, "t": Set{"x"}, "d": Dict{"k": 1}}),
			tx.Create("P", two, map[string]any{"r": changeset.LinkValue("P", one), "rl": List{changeset.ObjectRef{Class: "P", Key: one}}}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	before, version, own := dump(t, f), f.Version(), len(f.history.own)
	boom := errors.New("boom")
	var ended *Tx
	_, err = f.Write(func(tx *Tx) error {
		ended = tx
		err := errors.Join(
			tx.Append(At("P", one, "l"), 3), tx.Move(At("P", one, "l"), 0, 2), tx.Set(At("P", one, "e", "a"), 9),
			tx.Delete("P", one), tx.Create("P", one, nil), tx.Create("P", changeset.IntKey(3), nil),
			tx.Instruct(changeset.Changeset{
				{Op: changeset.OpAddTable, Class: "New", Table: &changeset.Table{KeyField: "_id", KeyType: changeset.Int}},
				{Op: changeset.OpAddColumn, Class: "New", Field: "x", Column: &changeset.Column{Type: changeset.Int}},
				{Op: changeset.OpAddColumn, Class: "P", Field: "x", Column: &changeset.Column{Type: changeset.Int}},
				{Op: changeset.OpCreateObject, Class: "New", Key: one},
				{Op: changeset.OpEraseColumn, Class: "P", Field: "n"},
			}...),
		)
		if err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if after := dump(t, f); after != before || f.Version() != version || len(f.history.own) != own {
		t.Errorf("version %d, %d changesets\n got %s\nwant %s", f.Version(), len(f.history.own), after, before)
	}
	if err := ended.Create("P", changeset.IntKey(9), nil); !errors.Is(err, ErrTransactionEnded) {
		t.Errorf("a transaction that has ended: %v", err)
	}
	// One that does nothing is a version all the same.
	if v, err := f.Write(func(*Tx) error { return nil }); err != nil || v != version+1 || len(f.history.own) != own {
		t.Errorf("version %d, %v", v, err)
	}
}

func dump(t *testing.T, f *File) string {
	t.Helper()
	data, err := f.Dump()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestRefusedOperations are mistakes of an app's.
func TestRefusedOperations(t *testing.T) {
	f, err := NewFile(Config{Schema: convergeSchema()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := changeset.IntKey(1)
	at := func(field string, steps ...any) Place { return At("P", key, field, steps...) }
	if _, err := f.Write(func(tx *Tx) error { return tx.Create("P", key, nil) }); err != nil {
		t.Fatal(err)
	}
	before := dump(t, f)
	for name, do := range map[string]func(*Tx) error{
		"class":            func(tx *Tx) error { return tx.Create("X", key, nil) },
		"exists":           func(tx *Tx) error { return tx.Create("P", key, nil) },
		"key's type":       func(tx *Tx) error { return tx.Create("P", changeset.StringKey("a"), nil) },
		"property":         func(tx *Tx) error { return tx.Set(at("x"), 1) },
		"new property":     func(tx *Tx) error { return tx.Upsert("P", key, map[string]any{"x": 1}) },
		"type":             func(tx *Tx) error { return tx.Set(at("n"), "text") },
		"null":             func(tx *Tx) error { return tx.Set(at("n"), nil) },
		"no such type":     func(tx *Tx) error { return tx.Set(at("n"), struct{}{}) },
		"no such object":   func(tx *Tx) error { return tx.Set(At("P", changeset.IntKey(5), "n"), 1) },
		"delete":           func(tx *Tx) error { return tx.Delete("P", changeset.IntKey(5)) },
		"list index":       func(tx *Tx) error { return tx.Set(at("l", 0), 1) },
		"insertion":        func(tx *Tx) error { return tx.Insert(at("l", 1), 1) },
		"insertion where":  func(tx *Tx) error { return tx.Insert(at("l"), 1) },
		"append":           func(tx *Tx) error { return tx.Append(at("n"), 1) },
		"erase index":      func(tx *Tx) error { return tx.Erase(at("l", 0)) },
		"erase key":        func(tx *Tx) error { return tx.Erase(at("d", "k")) },
		"erase property":   func(tx *Tx) error { return tx.Erase(at("n")) },
		"move":             func(tx *Tx) error { return tx.Move(at("l"), 0, 1) },
		"clear":            func(tx *Tx) error { return tx.Clear(at("n")) },
		"add":              func(tx *Tx) error { return tx.Add(at("s"), 1) },
		"set":              func(tx *Tx) error { return tx.SetInsert(at("l"), 1) },
		"list for set":     func(tx *Tx) error { return tx.Set(at("t"), List{1}) },
		"value for list":   func(tx *Tx) error { return tx.Set(at("l"), 1) },
		"embedded":         func(tx *Tx) error { return tx.Set(at("n"), Embedded{}) },
		"through a value":  func(tx *Tx) error { return tx.Set(at("n", 1), 1) },
		"through null":     func(tx *Tx) error { return tx.Set(at("e", "a"), 1) },
		"index for a key":  func(tx *Tx) error { return tx.Set(at("d", 1), 1) },
		"key for an index": func(tx *Tx) error { return tx.Set(at("l", "k"), 1) },
		"list in no mixed": func(tx *Tx) error { return tx.Set(at("n"), List{}) },
	} {
		if _, err := f.Write(do); err == nil {
			t.Errorf("%s: no error", name)
		}
		if after := dump(t, f); after != before {
			t.Fatalf("%s: the file has changed:\n got %s\nwant %s", name, after, before)
		}
	}
}

// TestForge uploads what the file does not do.
func TestForge(t *testing.T) {
	f, err := NewFile(Config{Schema: dogs()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	version, err := f.Write(func(tx *Tx) error {
		tx.Forge(dog(1)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := f.Upload(Cursor{Client: version - 1}, version)
	if len(entries) != 1 || len(f.Keys("Dog")) != 0 {
		t.Errorf("uploads %v, holds %v", entries, f.Keys("Dog"))
	}
}

// TestValues reads what was written.
func TestValues(t *testing.T) {
	f, err := NewFile(Config{Schema: convergeSchema()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := changeset.IntKey(1)
	_, err = f.Write(func(tx *Tx) error {
		return tx.Create("P", key, map[string]any{"n": 5, "m": List{1, Dict{"k": true}}, "e": Embedded{"a": 3}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		at   Place
		want object.Node
	}{
		{At("P", key, "n"), changeset.IntValue(5)},
		{At("P", key, "s"), changeset.NullValue()},
		{At("P", key, "m", 1, "k"), changeset.BoolValue(true)},
		{At("P", key, "m", 2), nil},
		{At("P", key, "e", "a"), changeset.IntValue(3)},
		{At("P", changeset.IntKey(2), "n"), nil},
	} {
		if got := f.Value(tc.at); got != tc.want {
			t.Errorf("%+v: got %v, want %v", tc.at, got, tc.want)
		}
	}
	copied := f.Get("P", key)
	copied.Fields["n"] = changeset.IntValue(99)
	if f.Value(At("P", key, "n")) != changeset.IntValue(5) || len(f.Objects("P")) != 1 || f.Get("P", changeset.IntKey(2)) != nil {
		t.Error("a copy is no copy")
	}
	// Setting nested collections again empties them.
	_, err = f.Write(func(tx *Tx) error {
		return errors.Join(tx.Set(At("P", key, "m"), List{7}), tx.Set(At("P", key, "m", 0), Dict{"a": 1}), tx.Set(At("P", key, "m", 0), Dict{"b": 2}))
	})
	if err != nil || !strings.Contains(dump(t, f), `"m":[{"$dict":{"b":2}}]`) {
		t.Error(err, dump(t, f))
	}
}

// TestWriterIsLetIn: a writer that waits while a long DOWNLOAD is integrated
// gets in between two changesets, and its change names the last one applied.
func TestWriterIsLetIn(t *testing.T) {
	f, _ := newReferenceFile(t, Options{YieldBytes: 1})
	if _, err := f.UpdateSchema(dogs(), nil); err != nil {
		t.Fatal(err)
	}
	f.SetIdent(FileIdent{File: 2, Salt: 1})
	const n = 200
	m := &protocol.Download{Progress: protocol.Progress{DownloadServer: n, LatestServer: n, LatestSalt: 1}}
	for v := int64(1); v <= n; v++ {
		m.Entries = append(m.Entries, protocol.DownloadEntry{ServerVersion: v, Origin: 3, Changeset: changeset.Encode(dog(v))})
	}
	// The writer queues up before the integration begins, so that it is let in
	// after the first changeset.
	f.mu.Lock()
	var writing sync.WaitGroup
	writing.Go(func() {
		_, err := f.Write(func(tx *Tx) error { return tx.Create("Dog", changeset.IntKey(1000), nil) })
		if err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() bool { return f.waiting.Load() == 1 })
	if err := f.integrate(m); err != nil {
		t.Fatal(err)
	}
	f.mu.Unlock()
	writing.Wait()
	own := f.history.own
	if len(own) != 2 || own[1].base != 1 {
		t.Fatalf("the change's base is %+v", own[len(own)-1])
	}
	if len(f.Keys("Dog")) != n+1 || f.Progress().DownloadServer != n {
		t.Errorf("%d dogs, progress %+v", len(f.Keys("Dog")), f.Progress())
	}
}

// TestBootstrapRollback: a bootstrap that cannot be applied leaves nothing.
func TestBootstrapRollback(t *testing.T) {
	f, err := NewFile(Config{Schema: dogs()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.SetIdent(FileIdent{File: 2, Salt: 1})
	before := dump(t, f)
	bad := changeset.Changeset{{Op: changeset.OpUpdate, Class: "Dog", Key: changeset.IntKey(9), Field: "name"}}
	err = f.Integrate(&protocol.Download{
		Progress: protocol.Progress{DownloadServer: 1, LatestServer: 1, LatestSalt: 1}, Batch: protocol.LastInBatch,
		Entries: []protocol.DownloadEntry{
			{ServerVersion: 1, Origin: 1, Changeset: changeset.Encode(dog(1))},
			{ServerVersion: 1, Origin: 1, Changeset: changeset.Encode(bad)},
		},
	})
	if v, ok := asViolation(err); !ok || v.Code != protocol.BadChangeset {
		t.Fatal(err)
	}
	if after := dump(t, f); after != before || f.Progress() != (protocol.Progress{}) {
		t.Errorf("\n got %s\nwant %s", after, before)
	}
}

// TestLargeBootstrap is applied in transactions of about a megabyte.
func TestLargeBootstrap(t *testing.T) {
	f, err := NewFile(Config{Schema: dogs()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.SetIdent(FileIdent{File: 2, Salt: 1})
	m := &protocol.Download{
		Progress: protocol.Progress{DownloadServer: 1, LatestServer: 1, LatestSalt: 1}, Batch: protocol.LastInBatch,
	}
	for i := range int64(5) {
		cs := append(dog(i), changeset.Instruction{Op: changeset.OpUpdate, Class: "Dog", Key: changeset.IntKey(i), Field: "name",
			Value: changeset.StringValue(strings.Repeat("x", 600<<10))})
		m.Entries = append(m.Entries, protocol.DownloadEntry{ServerVersion: 1, Origin: 1, Changeset: changeset.Encode(cs)})
	}
	version := f.Version()
	if err := f.Integrate(m); err != nil {
		t.Fatal(err)
	}
	if got := f.Version() - version; got != 4 || len(f.Keys("Dog")) != 5 { // storing, then 2 + 2 + 1 changesets
		t.Errorf("%d versions, %d dogs", got, len(f.Keys("Dog")))
	}
	// One changeset that a client cannot store.
	m.Entries = []protocol.DownloadEntry{{ServerVersion: 2, Origin: 1, Changeset: incompressible(17 << 20)}}
	m.DownloadServer, m.LatestServer = 2, 2
	if v, ok := asViolation(f.Integrate(m)); !ok || v.Code != protocol.BadChangesetSize {
		t.Error("a bootstrap changeset of 17 MB is taken")
	}
}

func incompressible(n int) []byte {
	out := make([]byte, n)
	state := uint64(88172645463325252)
	for i := range out {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		out[i] = byte(state)
	}
	return out
}

// TestSchemaFlags: devices declare mixed and links as the SDKs do, whatever the
// app's schema says.
func TestSchemaFlags(t *testing.T) {
	s := convergeSchema()
	for _, p := range s.Classes["P"].Properties {
		p.Nullable = false
	}
	f, err := NewFile(Config{Schema: s}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for name, p := range f.Schema().Classes["P"].Properties {
		got[name] = p.Nullable
	}
	want := map[string]bool{"n": false, "nn": false, "s": false, "m": true, "l": false, "t": false, "d": false, "e": true, "r": true, "rl": false}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
	if _, err := f.UpdateSchema(&schema.Schema{Classes: map[string]*schema.Class{"P": {Name: "P", KeyType: changeset.String}}}, nil); err != nil {
		t.Error("a class that exists is left alone: ", err)
	}
}
