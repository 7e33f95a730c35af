package session

import (
	"sync"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// keptDeliveries is how many history entries a view remembers what they mean to
// it. Sessions that are further behind than that work it out again.
const keptDeliveries = 256

// delivery is what one history entry means to one view: an encoded changeset,
// or nil where nothing of it is to be seen. The sessions of the view share it.
type delivery struct {
	once sync.Once
	data []byte
}

// deliver returns the encoded changeset that a history entry by somebody else
// is for a session with this view, or nil. Nobody may change it.
func (v *view) deliver(e *history.Entry, s *schema.Schema) []byte {
	if v == nil {
		if len(e.Changeset) == 0 {
			return nil
		}
		return e.Encoded()
	}
	if len(e.Objects) <= fewObjects && !v.concerns(e) {
		return nil
	}
	d := v.delivery(e.Version)
	d.once.Do(func() { d.data = v.project(e, s) })
	return d.data
}

// fewObjects is of how many objects an entry may be for each session to find out by
// itself that it sees none of them, rather than to share what one has found out.
// Most entries are small, and most of what others write is in no view of one's own.
const fewObjects = 4

// concerns reports whether anything of an entry by somebody else may be seen.
func (v *view) concerns(e *history.Entry) bool {
	if e.Schema {
		return true
	}
	for i := range e.Objects {
		if v.fateOf(&e.Objects[i]) != fateNothing {
			return true
		}
	}
	return false
}

func (v *view) delivery(version uint64) *delivery {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.deliveries[version]
	if d == nil {
		d = new(delivery)
		v.deliveries[version] = d
		v.recent = append(v.recent, version)
		if len(v.recent) > keptDeliveries {
			delete(v.deliveries, v.recent[0])
			v.recent = v.recent[1:]
		}
	}
	return d
}

// fate is what becomes of an entry's part on one object.
type fate uint8

const (
	fateNothing fate = iota
	fateSend         // the entry's instructions
	fateRefresh      // the whole object as of the entry
	fateErase        // EraseObject
)

// fateOf decides by whether the object was in the view before the entry and is
// after it. An object that the entry creates goes as its instructions, so that
// creations of one key on several devices merge.
func (v *view) fateOf(t *history.Touched) fate {
	before, after := v.Contains(t.Ref, t.Before), v.Contains(t.Ref, t.After)
	switch {
	case t.Before == nil && after, before && after, before && t.After == nil:
		return fateSend
	case after:
		return fateRefresh
	case before:
		return fateErase
	}
	return fateNothing
}

// project works out what an entry means to the view.
func (v *view) project(e *history.Entry, s *schema.Schema) []byte {
	return v.projectWithout(e, s, nil)
}

// projectWithout is project that leaves objects out.
func (v *view) projectWithout(e *history.Entry, s *schema.Schema, without map[changeset.ObjectRef]bool) []byte {
	fates := make(map[changeset.ObjectRef]fate, len(e.Objects))
	whole := true
	for i := range e.Objects {
		f := v.fateOf(&e.Objects[i])
		if without[e.Objects[i].Ref] {
			f = fateNothing
		}
		fates[e.Objects[i].Ref] = f
		whole = whole && f == fateSend
	}
	if whole {
		if len(e.Changeset) == 0 {
			return nil
		}
		return e.Encoded()
	}
	var out changeset.Changeset
	for i := range e.Changeset {
		in := &e.Changeset[i]
		if in.Op.IsSchema() || fates[in.Object()] == fateSend {
			out = append(out, *in)
		}
	}
	for i := range e.Objects {
		t := &e.Objects[i]
		switch fates[t.Ref] {
		case fateRefresh:
			out = append(out, refresh(s, t.Ref, t.Whole)...)
		case fateErase:
			out = append(out, erase(t.Ref))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return changeset.EncodePadded(out)
}

// compensate returns what an entry of the receiver's own has the server send it,
// encoded, or nil: the objects that the server made other than the receiver
// did, and the erasure of those that the receiver moved out of its own view.
func (v *view) compensate(e *history.Entry, s *schema.Schema) []byte {
	var out changeset.Changeset
	for i := range e.Objects {
		t := &e.Objects[i]
		switch {
		case t.Refresh || t.Refused != "":
			whole := t.Whole
			if t.After == nil || !v.Contains(t.Ref, whole) {
				whole = nil
			}
			out = append(out, refresh(s, t.Ref, whole)...)
		case t.After != nil && !v.Contains(t.Ref, t.After):
			out = append(out, erase(t.Ref))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return changeset.EncodePadded(out)
}

func erase(ref changeset.ObjectRef) changeset.Instruction {
	return changeset.Instruction{Op: changeset.OpEraseObject, Class: ref.Class, Key: ref.Key}
}

// refresh makes a device's copy of an object be o, whatever it was: nothing if o
// is nil. The erasure beats what the device has not uploaded yet.
func refresh(s *schema.Schema, ref changeset.ObjectRef, o *object.Object) changeset.Changeset {
	return append(changeset.Changeset{erase(ref)}, object.Instructions(s, ref, o)...)
}
