package realmclient_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func p(name, typ string) realmclient.Property { return realmclient.Property{Name: name, Type: typ} }

func collection(name, typ, kind string) realmclient.Property {
	return realmclient.Property{Name: name, Type: typ, Collection: kind}
}

// openThing opens a local realm with a class that has every type.
func openThing(t *testing.T, c *realmclient.Client) *realmclient.Realm {
	t.Helper()
	r, err := c.OpenLocal(t.Context(), realmclient.RealmConfig{
		Path:        filepath.Join(t.TempDir(), "local.realm"),
		SyncHistory: true,
		Schema: []realmclient.Class{
			{Name: "Part", Kind: "embedded", Properties: []realmclient.Property{p("x", "int")}},
			{Name: "Thing", Properties: []realmclient.Property{
				{Name: "_id", Type: "objectId", PrimaryKey: true},
				p("i", "int"), p("b", "bool"), p("f", "float"), p("d", "double"),
				{Name: "s", Type: "string", Nullable: true},
				p("bin", "data"), p("ts", "timestamp"), p("dec", "decimal128"), p("u", "uuid"), p("m", "mixed"),
				collection("list", "mixed", "list"), collection("set", "string", "set"),
				collection("dict", "int", "dictionary"),
				{Name: "part", Type: "object", Target: "Part"},
				{Name: "self", Type: "object", Target: "Thing"},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestValuesComeBack(t *testing.T) {
	c := realmclient.Run(t, realmclient.Options{LogLevel: "error"})
	r := openThing(t, c)
	id := realmclient.ObjectID("0102030405060708090a0b0c")
	set := map[string]any{
		"i": realmclient.Int(-1 << 63), "b": true, "f": realmclient.Float(1.5), "d": realmclient.Double(-2.25),
		"s": "é\x00x<&>", "bin": realmclient.Binary([]byte{0, 1, 0xc7}), "ts": realmclient.Timestamp(-1, -5),
		"dec": realmclient.Decimal("-1.50"), "u": realmclient.UUID("00112233-4455-6677-8899-aabbccddeeff"),
		"m": realmclient.Dictionary(map[string]any{
			"k": []any{true, nil, realmclient.Dictionary(map[string]any{})},
		}),
		"list": []any{realmclient.Int(1), "two", []any{}},
		"set":  realmclient.Set("a", "b"),
		"dict": realmclient.Dictionary(map[string]any{"a": realmclient.Int(1)}),
		"part": realmclient.Embedded(map[string]any{"x": realmclient.Int(3)}),
	}
	self := realmclient.Link("Thing", id)
	if err := r.Write(t.Context(), realmclient.Create("Thing", id, set), realmclient.Update("Thing", id, "self", self)); err != nil {
		t.Fatal(err)
	}
	want := realmclient.Object{"_id": id, "self": self}
	for k, v := range set {
		want[k] = v
	}
	got, err := r.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got["Thing"]) != 1 || !reflect.DeepEqual(got["Thing"][0], want) {
		t.Errorf("got  %v\nwant %v", got["Thing"], want)
	}

	if err := r.WaitObject(t.Context(), "Thing", id, map[string]any{"i": realmclient.Int(-1 << 63), "self": self}); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
	if err := r.Write(t.Context(), realmclient.Delete("Thing", id)); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitGone(t.Context(), "Thing", id); err != nil {
		t.Errorf("wait for the end of what is deleted: %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestOperations runs each operation on one object and looks at one property.
func TestOperations(t *testing.T) {
	c := realmclient.Run(t, realmclient.Options{LogLevel: "error"})
	r := openThing(t, c)
	id := realmclient.ObjectID("0102030405060708090a0b0c")
	start := map[string]any{
		"i": 1, "list": []any{"a", "b", "c"}, "set": realmclient.Set("x", "y"),
		"dict": realmclient.Dictionary(map[string]any{"k": 1, "l": 2}),
		"part": realmclient.Embedded(map[string]any{"x": 1}),
		"m":    realmclient.Dictionary(map[string]any{"deep": []any{"p", "q"}}),
	}
	dictionary := func(entries map[string]int64) any {
		tagged := map[string]any{}
		for k, v := range entries {
			tagged[k] = realmclient.Int(v)
		}
		return realmclient.Dictionary(tagged)
	}
	for _, test := range []struct {
		op       realmclient.Op
		property string
		want     any
	}{
		{realmclient.Op{Op: "set", Path: []any{"i"}, Value: 7}, "i", realmclient.Int(7)},
		{realmclient.Op{Op: "add_int", Path: []any{"i"}, By: "-3"}, "i", realmclient.Int(-2)},
		{realmclient.Op{Op: "add_int", Path: []any{"part", "x"}, By: "4"}, "part", realmclient.Embedded(map[string]any{"x": realmclient.Int(5)})},
		{realmclient.Op{Op: "set", Path: []any{"list", 1}, Value: "B"}, "list", []any{"a", "B", "c"}},
		{realmclient.Op{Op: "set", Path: []any{"list"}, Value: []any{"z"}}, "list", []any{"z"}},
		{realmclient.Op{Op: "list_insert", Path: []any{"list"}, Index: "0", Value: "0"}, "list", []any{"0", "a", "b", "c"}},
		{realmclient.Op{Op: "list_append", Path: []any{"list"}, Value: "d"}, "list", []any{"a", "b", "c", "d"}},
		{realmclient.Op{Op: "list_move", Path: []any{"list"}, From: "0", To: "2"}, "list", []any{"b", "c", "a"}},
		{realmclient.Op{Op: "list_erase", Path: []any{"list"}, Index: "2"}, "list", []any{"a", "b"}},
		{realmclient.Op{Op: "list_erase", Path: []any{"m", "deep", 0}}, "m", realmclient.Dictionary(map[string]any{"deep": []any{"q"}})},
		{realmclient.Op{Op: "clear", Path: []any{"list"}}, "list", []any{}},
		{realmclient.Op{Op: "set_insert", Path: []any{"set"}, Value: "z"}, "set", realmclient.Set("x", "y", "z")},
		{realmclient.Op{Op: "set_erase", Path: []any{"set"}, Value: "x"}, "set", realmclient.Set("y")},
		{realmclient.Op{Op: "set", Path: []any{"dict", "n"}, Value: 3}, "dict", dictionary(map[string]int64{"k": 1, "l": 2, "n": 3})},
		{realmclient.Op{Op: "dict_erase", Path: []any{"dict", "k"}}, "dict", dictionary(map[string]int64{"l": 2})},
		{realmclient.Op{Op: "set", Path: []any{"part"}}, "part", nil},
	} {
		t.Run(test.op.Op, func(t *testing.T) {
			test.op.Class, test.op.PK = "Thing", id
			if err := r.Write(t.Context(), realmclient.Create("Thing", id, start), test.op); err != nil {
				t.Fatal(err)
			}
			dump, err := r.Dump(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := dump["Thing"][0][test.property]; !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s is %v, want %v", test.property, got, test.want)
			}
			if err := r.Write(t.Context(), realmclient.Op{Op: "delete_query", Class: "Thing", Query: "_id != null"}); err != nil {
				t.Fatal(err)
			}
			if dump, err = r.Dump(t.Context(), "Thing"); err != nil || len(dump["Thing"]) != 0 {
				t.Fatalf("after the query's deletion: %v (%v)", dump, err)
			}
		})
	}
}

func TestCommandErrors(t *testing.T) {
	c := realmclient.Run(t, realmclient.Options{LogLevel: "error"})
	r := openThing(t, c)
	id := realmclient.ObjectID("0102030405060708090a0b0c")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, test := range []struct {
		name string
		run  func() error
		want string
	}{
		{"delete of what is not there", func() error { return r.Write(t.Context(), realmclient.Delete("Thing", id)) }, "no such object"},
		{"unknown class", func() error { return r.Write(t.Context(), realmclient.Create("Nothing", id, nil)) }, `no class "Nothing"`},
		{"no session", func() error { return r.WaitUpload(t.Context()) }, "not a synchronized realm"},
		{"no app", func() error { _, err := c.LoginAnonymous(t.Context()); return err }, "no app"},
		{"unknown op", func() error { _, err := c.Do(t.Context(), realmclient.Command{Op: "juggle"}); return err }, "unknown op"},
		{"timeout", func() error { return r.WaitObject(short, "Thing", id, nil) }, "timed out: there is no such object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.run()
			var failed *realmclient.CommandError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want a CommandError with %q", err, test.want)
			}
			if got, want := errors.Is(err, realmclient.ErrTimeout), test.name == "timeout"; got != want {
				t.Errorf("errors.Is(err, ErrTimeout) = %v, want %v", got, want)
			}
		})
	}
	if err := r.Write(t.Context(), realmclient.Create("Thing", id, map[string]any{"i": 7, "s": nil})); err != nil {
		t.Errorf("a write after the errors: %v", err)
	}
}

// TestDeathIsAResult ends the process under a running command.
func TestDeathIsAResult(t *testing.T) {
	c := realmclient.Run(t, realmclient.Options{LogLevel: "error"})
	r := openThing(t, c)
	done := make(chan error)
	go func() {
		done <- r.WaitObject(context.Background(), "Thing", realmclient.ObjectID("0102030405060708090a0b0c"), nil)
	}()
	c.Kill()
	var death *realmclient.DeathError
	if err := <-done; !errors.As(err, &death) || death.How != "signal: killed" {
		t.Errorf("got %v, want a DeathError by a signal", err)
	}
	if err := r.Write(t.Context()); !errors.As(err, &death) {
		t.Errorf("a command after the death: got %v, want a DeathError", err)
	}
}

func TestMissingLibraryIsSaid(t *testing.T) {
	t.Setenv(realmclient.EnvLibrary, filepath.Join(t.TempDir(), "librealmc.so"))
	c := realmclient.Run(t, realmclient.Options{})
	_, err := c.Do(t.Context(), realmclient.Command{Op: "version"})
	var death *realmclient.DeathError
	if !errors.As(err, &death) || !strings.Contains(death.Stderr, "load the library") {
		t.Errorf("got %v, want the end of the process with the reason", err)
	}
}

func TestLibraryVersion(t *testing.T) {
	c := realmclient.Run(t, realmclient.Options{})
	got, err := c.Do(t.Context(), realmclient.Command{Op: "version"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"core":"14.12.0"}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
