package history_test

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
)

// insert is an insertion of a tag into dog 1.
func insert(tag string, at, prior int) changeset.Changeset {
	return ops(`[{"op":"ArrayInsert","class":"Dog","pk":1,"path":["tags",%d],"value":"%s","prior_size":%d}]`, at, tag, prior)
}

// bootstrap gives a device a bootstrap at the newest version, which it has not
// integrated yet.
func (d *device) bootstrap() {
	d.b.t.Helper()
	head, _ := d.b.file.Head()
	if _, err := d.client.Private(d.b.ctx, head, &history.ViewSwitch{Query: `{"Dog":"TRUEPREDICATE"}`}); err != nil {
		d.b.t.Fatal(err)
	}
}

func (b *bed) tags() string {
	b.t.Helper()
	var doc struct {
		Tags []string `bson:"tags"`
	}
	if err := b.db.Collection("Dog").FindOne(b.ctx, bson.D{{Key: "_id", Value: 1}}).Decode(&doc); err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(doc.Tags, " ")
}

// What a device wrote before it knew of its bootstrap is kept, whatever it and
// others wrote to the same list before.
func TestListBelowABootstrap(t *testing.T) {
	cases := []struct {
		name  string
		write func(writer, moved *device)
		want  string
	}{
		{"in one upload", func(writer, moved *device) {
			writer.mustSend(insert("w", 0, 0))
			moved.bootstrap()
			moved.mustSend(insert("a", 0, 0), insert("b", 1, 1), insert("c", 1, 2))
		}, "a c b w"},
		{"after an upload that came before it", func(writer, moved *device) {
			writer.mustSend(insert("w", 0, 0))
			moved.mustSend(insert("a", 0, 0))
			moved.bootstrap()
			moved.mustSend(insert("b", 1, 1))
		}, "a b w"},
		{"in two uploads", func(writer, moved *device) {
			writer.mustSend(insert("w", 0, 0))
			moved.mustSend(insert("a", 0, 0))
			moved.bootstrap()
			moved.mustSend(insert("b", 1, 1))
			writer.catchUp()
			writer.mustSend(insert("x", 0, 3))
			moved.mustSend(insert("c", 2, 2))
		}, "x a c b w"}, // c is near where it was
		{"above the bootstrap, below what that makes of another upload", func(writer, moved *device) {
			writer.mustSend(insert("w", 0, 0))
			head, _ := moved.b.file.Head()
			moved.bootstrap()
			moved.mustSend(insert("a", 0, 0))
			moved.base = head*history.Stride + 1
			moved.mustSend(insert("b", 1, 1))
		}, "a w b"},
		{"of an object that is gone", func(writer, moved *device) {
			moved.bootstrap()
			writer.mustSend(ops(`[{"op":"EraseObject","class":"Dog","pk":1}]`), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
			moved.mustSend(insert("a", 0, 0))
		}, ""},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t)
			writer, moved := b.device(), b.device()
			writer.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
			writer.catchUp()
			moved.catchUp()
			test.write(writer, moved)
			if got := b.tags(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			for _, e := range b.entries() {
				if e.Origin != moved.ident.Ident {
					continue
				}
				for i := range e.Objects {
					if e.Objects[i].Refused != "" {
						t.Errorf("version %d: refused: %s", e.Version, e.Objects[i].Refused)
					}
				}
			}
		})
	}
}

// What can't be kept is not lost without a word.
func TestErasureBelowABootstrap(t *testing.T) {
	b := newBed(t)
	writer, moved := b.device(), b.device()
	writer.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	writer.catchUp()
	moved.catchUp()
	writer.mustSend(insert("w", 0, 0))
	moved.bootstrap()
	moved.mustSend(insert("a", 0, 0))
	moved.mustSend(ops(`[{"op":"ArrayErase","class":"Dog","pk":1,"path":["tags",0],"prior_size":1},{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":3}]`))
	e := b.last()
	if got := fmt.Sprintf("%v %q", e.Objects[0].Refresh, e.Objects[0].Refused); !strings.HasPrefix(got, `true "write to 1 in table \"Dog\" could not be applied: it was made on a copy that is gone: `) {
		t.Errorf("refreshed, refused: %s", got)
	}
	b.wantInstructions(e)
	if got := b.tags(); got != "a w" {
		t.Errorf("tags: %s", got)
	}
}

// An object that is created and erased at once was never there, and one that is
// erased again is gone already: of that nobody is sent anything, and nobody's
// creation of it is merged with it.
func TestNothingOfAnObject(t *testing.T) {
	erase := `{"op":"EraseObject","class":"Dog","pk":1}`
	create := `{"op":"CreateObject","class":"Dog","pk":1}`
	setAge := `{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":3}`
	cases := []struct {
		name   string
		before string // instructions
		write  func(first, second, third *device)
	}{
		{"created and erased at once", "", func(_, second, third *device) {
			second.mustSend(ops("[%s,%s]", create, erase))
			third.mustSend(ops("[%s]", create), ops("[%s]", setAge))
		}},
		{"created before, and changed after it is known", "", func(_, second, third *device) {
			second.mustSend(ops("[%s,%s]", create, erase))
			third.mustSend(ops("[%s]", create))
			third.catchUp()
			third.mustSend(ops("[%s]", setAge))
		}},
		{"erased again", create, func(first, second, third *device) {
			first.mustSend(ops("[%s]", erase))
			second.version += 20 // so that its clock is ahead
			second.mustSend(ops("[%s]", erase))
			third.version += 10
			third.mustSend(ops("[%s,%s,%s]", erase, create, setAge))
		}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t)
			first, second, third := b.device(), b.device(), b.device()
			first.mustSend(ops(dogSchema), ops("[%s]", test.before))
			for _, d := range []*device{first, second, third} {
				d.catchUp()
			}
			test.write(first, second, third)
			for _, e := range b.entries() {
				for i := range e.Objects {
					if o := &e.Objects[i]; o.Refresh || o.Refused != "" {
						t.Errorf("version %d: %+v", e.Version, o)
					} else if o.Before == nil && o.After == nil && len(e.Changeset) > 0 {
						t.Errorf("version %d has instructions: %v", e.Version, e.Changeset)
					}
				}
			}
			b.wantDocument("Dog", 1, `{"_id":{"$numberLong":"1"},"age":{"$numberLong":"3"}}`)
		})
	}
}

// What a device writes to its own creation of an object that others have erased
// out of its sight goes the way of that creation: nothing is refused.
func TestWrittenToWhatIsGone(t *testing.T) {
	b := newBed(t)
	writer, author := b.device(), b.device()
	writer.mustSend(ops(dogSchema), ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	if err := b.file.MakeQueryable(b.ctx, "Dog", []string{"name"}); err != nil {
		t.Fatal(err)
	}
	author.view = viewFunc(func(_ changeset.ObjectRef, o *object.Object) bool { return o != nil && o.Fields["name"] != nil })
	writer.catchUp()
	author.catchUp()
	writer.mustSend(ops(`[{"op":"EraseObject","class":"Dog","pk":1}]`))
	named := `{"op":"CreateObject","class":"Dog","pk":1},{"op":"Update","class":"Dog","pk":1,"path":["name"],"value":"Rex"}`
	author.mustSend(ops("[%s]", named))
	created := b.last()
	author.base = (created.Version - 1) * history.Stride // all but the answer to that
	author.mustSend(ops(`[{"op":"Update","class":"Dog","pk":1,"path":["age"],"value":3}]`))
	changed := b.last()
	for _, e := range []*history.Entry{created, changed} {
		if len(e.Changeset) != 0 || len(e.Objects) != 1 || !e.Objects[0].Refresh || e.Objects[0].Refused != "" {
			t.Errorf("version %d: %v %+v", e.Version, e.Changeset, e.Objects)
		}
	}
}
