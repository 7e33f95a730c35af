package history_test

import (
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

const mixedSchema = `[{"op":"AddTable","class":"M","pk":{"field":"_id","type":"int","nullable":false}},
	{"op":"AddColumn","class":"M","field":"l","type":"mixed","nullable":true,"collection":"list"},
	{"op":"AddColumn","class":"M","field":"d","type":"mixed","nullable":true,"collection":"dictionary"}]`

// Defect 7.4: the author goes wrong on an object though nothing is left of what it
// did to it. It gets the object all the same.
func TestDefectOfWhichNothingIsLeft(t *testing.T) {
	b := newBed(t)
	d1, d2 := b.device(), b.device()
	d1.mustSend(ops(mixedSchema), ops(`[{"op":"CreateObject","class":"M","pk":1},
		{"op":"ArrayInsert","class":"M","pk":1,"path":["l",0],"value":{"$new":"dictionary"},"prior_size":0}]`))
	d1.catchUp()
	d2.catchUp()
	d1.mustSend(ops(`[{"op":"ArrayErase","class":"M","pk":1,"path":["l",0],"prior_size":1},
		{"op":"ArrayInsert","class":"M","pk":1,"path":["l",0],"value":{"$new":"dictionary"},"prior_size":0},
		{"op":"Update","class":"M","pk":1,"path":["l",0,"k"],"value":1}]`))
	d2.mustSend(ops(`[{"op":"Update","class":"M","pk":1,"path":["l",0],"value":{"$new":"list"},"prior_size":1},
		{"op":"Clear","class":"M","pk":1,"path":["l",0],"collection":"list"}]`))
	if e := b.last(); len(e.Changeset) != 0 || len(e.Objects) != 1 || !e.Objects[0].Refresh || e.Objects[0].Whole == nil {
		t.Errorf("entry %v %+v", e.Changeset, e.Objects)
	}
	b.wantDocument("M", 1, `{"_id":{"$numberLong":"1"},"l":[{"k":{"$numberLong":"1"}}]}`)
}

// Defect 7.5: a list that is made over others without a Clear cannot be merged with
// what was put into them. The upload is not refused for it: the object is taken
// apart, and the rest of the upload stands.
func TestWhatCannotBeMergedIsTakenApart(t *testing.T) {
	b := newBed(t)
	d1, d2 := b.device(), b.device()
	d1.mustSend(ops(mixedSchema), ops(`[{"op":"CreateObject","class":"M","pk":1},{"op":"CreateObject","class":"M","pk":2}]`))
	d1.catchUp()
	d2.catchUp()
	list := func(v string) changeset.Changeset {
		return ops(`[{"op":"Update","class":"M","pk":1,"path":["d","k"],"value":{"$new":"list"}},
			{"op":"ArrayInsert","class":"M","pk":1,"path":["d","k",0],"value":"%s","prior_size":0}]`, v)
	}
	d1.mustSend(list("a"), ops(`[{"op":"Update","class":"M","pk":1,"path":["d","k"],"value":{"$erased":true}}]`), list("b"))
	d2.version += 10 // so that its clock is ahead
	d2.mustSend(append(list("c"), ops(`[{"op":"Update","class":"M","pk":2,"path":["d","k"],"value":5}]`)...))
	e := b.last()
	for _, o := range e.Objects {
		if apart := o.Ref.Key == changeset.IntKey(1); o.Refresh != apart {
			t.Errorf("touched: %+v", o)
		}
	}
	b.wantDocument("M", 2, `{"_id":{"$numberLong":"2"},"d":{"k":{"$numberLong":"5"}}}`)
}

// What a device writes while a bootstrap is on its way may be in its next view, but
// is merged with what the one it has lets it see.
func TestUploadBeforeABootstrap(t *testing.T) {
	b := newBed(t)
	writer, reader := b.device(), b.device()
	writer.mustSend(ops(dogSchema))
	writer.catchUp()
	reader.catchUp()
	writer.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`), ops(`[{"op":"EraseObject","class":"Dog","pk":1}]`),
		ops(`[{"op":"CreateObject","class":"Dog","pk":2}]`))
	reader.view = viewFunc(func(changeset.ObjectRef, *object.Object) bool { return false })
	reader.next = viewFunc(func(changeset.ObjectRef, *object.Object) bool { return true })
	reader.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":1}]`))
	if e := b.last(); len(e.Objects) != 1 || !e.Objects[0].Refresh || e.Objects[0].Refused != "" {
		t.Errorf("touched: %+v", e.Objects)
	}
	reader.mustSend(ops(`[{"op":"CreateObject","class":"Dog","pk":2},{"op":"Update","class":"Dog","pk":2,"path":["age"],"value":3}]`))
	if e := b.last(); len(e.Objects) != 1 || !e.Objects[0].Refresh || e.Objects[0].Refused != "" {
		t.Errorf("touched: %+v", e.Objects)
	}
	b.wantDocument("Dog", 2, `{"_id":{"$numberLong":"2"},"age":{"$numberLong":"3"}}`)
}
