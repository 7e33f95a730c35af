package session

import (
	"fmt"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
)

// dog is the object that newDog creates.
func dog(age int, name string) *object.Object {
	return &object.Object{Fields: map[string]object.Node{
		"age": changeset.IntValue(int64(age)), "name": changeset.StringValue(name),
	}}
}

// kennel has the schema of dogs and the view of the young ones.
func kennel(t *testing.T) (File, *view) {
	t.Helper()
	f := newFakeFiles().file("kennel")
	f.commit(dogs())
	v, err := newViews().subscribe(t.Context(), f, `{"Dog":"(age < 3)"}`)
	if err != nil {
		t.Fatal(err)
	}
	return f, v
}

// The four cases of steady state, for entries of others and of the receiver's
// own.
func TestEntrySeenThroughAView(t *testing.T) {
	f, young := kennel(t)
	ref := changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(1)}
	whole := "EraseObject Dog 1, CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name"
	for _, tt := range []struct {
		name          string
		changes       changeset.Changeset
		before, after *object.Object
		touched       history.Touched
		others, own   string
	}{
		{"in, in", setAge(1, 2), dog(1, "Rex"), dog(2, "Rex"), history.Touched{}, "Update Dog 1 age", ""},
		{"created in", newDog(1, 2, "Rex"), nil, dog(2, "Rex"), history.Touched{}, "CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name", ""},
		{"created out", newDog(1, 5, "Rex"), nil, dog(5, "Rex"), history.Touched{}, "", "EraseObject Dog 1"},
		{"erased in", eraseDog(1), dog(1, "Rex"), nil, history.Touched{}, "EraseObject Dog 1", ""},
		{"erased out", eraseDog(1), dog(5, "Rex"), nil, history.Touched{}, "", ""},
		{"out, in", setAge(1, 2), dog(5, "Rex"), dog(2, "Rex"), history.Touched{}, whole, ""},
		{"in, out", setAge(1, 5), dog(2, "Rex"), dog(5, "Rex"), history.Touched{}, "EraseObject Dog 1", "EraseObject Dog 1"},
		{"out, out", setAge(1, 6), dog(5, "Rex"), dog(6, "Rex"), history.Touched{}, "", "EraseObject Dog 1"},
		{"refused, in", nil, dog(1, "Rex"), dog(1, "Rex"), history.Touched{Refresh: true, Refused: "no"}, "", whole},
		{"refused, out", nil, dog(5, "Rex"), dog(5, "Rex"), history.Touched{Refresh: true, Refused: "no"}, "", "EraseObject Dog 1"},
		{"refused creation", nil, nil, nil, history.Touched{Refresh: true, Refused: "no"}, "", "EraseObject Dog 1"},
		{"merged otherwise", setAge(1, 2), dog(1, "Rex"), dog(2, "Rex"), history.Touched{Refresh: true}, "Update Dog 1 age", whole},
	} {
		t.Run(tt.name, func(t *testing.T) {
			touched := tt.touched
			touched.Ref, touched.Before, touched.After, touched.Whole = ref, tt.before, tt.after, tt.after
			e := &history.Entry{Version: 7, Changeset: tt.changes, Objects: []history.Touched{touched}}
			for who, got := range map[string]struct {
				data []byte
				want string
			}{"others": {young.project(e, f.Schema()), tt.others}, "own": {young.compensate(e, f.Schema()), tt.own}} {
				cs, err := changeset.Decode(got.data)
				if err != nil || brief(cs) != got.want {
					t.Errorf("%s: got %q (%v), want %q", who, brief(cs), err, got.want)
				}
				if (got.data == nil) != (got.want == "") {
					t.Errorf("%s: a changeset of %d bytes for %q", who, len(got.data), got.want)
				}
			}
		})
	}
}

func TestEntryOfSeveralObjects(t *testing.T) {
	f, young := kennel(t)
	key := func(id int64) changeset.ObjectRef {
		return changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(id)}
	}
	column := ops(`[{"op":"AddColumn","class":"Dog","field":"kind","type":"string","nullable":true,"collection":"single"}]`)
	e := &history.Entry{Version: 3, Objects: []history.Touched{
		{Ref: key(1), After: dog(1, "a"), Whole: dog(1, "a")},
		{Ref: key(2), After: dog(9, "b"), Whole: dog(9, "b")},
		{Ref: key(3), Before: dog(1, "c"), After: dog(9, "c"), Whole: dog(9, "c")},
	}}
	e.Changeset = append(append(append(column, newDog(2, 9, "b")...), newDog(1, 1, "a")...), setAge(3, 9)...)
	cs, err := changeset.Decode(young.deliver(e, f.Schema()))
	want := "AddColumn Dog kind, CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name, EraseObject Dog 3"
	if err != nil || brief(cs) != want {
		t.Errorf("got %s (%v), want %s", brief(cs), err, want)
	}

	// In partition mode, and where all is in the view, the entry's own bytes go.
	var everything *view
	if got := everything.deliver(e, f.Schema()); string(got) != string(e.Encoded()) {
		t.Errorf("everything: got %x", got)
	}
	e = &history.Entry{Version: 4, Objects: e.Objects[:1], Changeset: newDog(1, 1, "a")}
	if got := young.deliver(e, f.Schema()); &got[0] != &e.Encoded()[0] {
		t.Error("the bytes were made anew")
	}
	if got := everything.deliver(&history.Entry{}, f.Schema()); got != nil {
		t.Errorf("an empty entry became %x", got)
	}
}

func TestDeliveriesAreSharedAndForgotten(t *testing.T) {
	f, young := kennel(t)
	ref := changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(1)}
	moved := func(version uint64) *history.Entry {
		return &history.Entry{Version: version, Changeset: setAge(1, 5),
			Objects: []history.Touched{{Ref: ref, Before: dog(1, "a"), After: dog(5, "a"), Whole: dog(5, "a")}}}
	}
	first := young.deliver(moved(1), f.Schema())
	if again := young.deliver(moved(1), f.Schema()); &again[0] != &first[0] {
		t.Error("worked out twice")
	}
	for version := range uint64(3 * keptDeliveries) {
		young.deliver(moved(version+2), f.Schema())
	}
	if len(young.deliveries) != keptDeliveries || len(young.recent) != keptDeliveries {
		t.Errorf("keeps %d deliveries, %d versions, want %d", len(young.deliveries), len(young.recent), keptDeliveries)
	}
}

func TestViewsAreShared(t *testing.T) {
	f, _ := kennel(t)
	vs := newViews()
	subscribe := func(body string) *view {
		v, err := vs.subscribe(t.Context(), f, body)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b := subscribe(`{"Dog":"(age IN {1, 2})"}`), subscribe(`{"Dog":"(age IN {2, 1})"}`)
	if a != b {
		t.Error("one query in two spellings makes two views")
	}
	if c := subscribe(`{"Dog":"(age IN {1, 3})"}`); c == a {
		t.Error("two queries make one view")
	}
	vs.release(a)
	if d := subscribe(`{"Dog":"(age IN {1, 2})"}`); d != b {
		t.Error("a view in use was forgotten")
	} else {
		vs.release(d)
	}
	vs.release(b)
	if len(vs.byKey) != 1 {
		t.Errorf("%d views are kept, want 1", len(vs.byKey))
	}
}

func BenchmarkDeliver(b *testing.B) {
	f := newFakeFiles().file("kennel")
	f.commit(dogs())
	v, err := newViews().subscribe(b.Context(), f, `{"Dog":"(age < 3)"}`)
	if err != nil {
		b.Fatal(err)
	}
	s := f.Schema()
	e := &history.Entry{}
	for i := range 10 {
		ref := changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(int64(i))}
		e.Objects = append(e.Objects, history.Touched{Ref: ref, Before: dog(i, "a"), After: dog(i+1, "a"), Whole: dog(i+1, "a")})
		e.Changeset = append(e.Changeset, setAge(i, i+1)...)
	}
	b.Run(fmt.Sprintf("%d objects", len(e.Objects)), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.project(e, s)
		}
	})
}
