package history_test

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
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
