package session

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
)

// replacement says that an entry of the receiver's own replaces an object for
// it as a whole: what came after the entry's base on that object is moot, and
// the receiver might merge it wrongly with what it wrote itself.
type replacement struct {
	base, version uint64 // history versions
}

// replacements finds, in history that is about to be sent, the objects that
// later entries of the receiver's own replace.
func replacements(entries []*history.Entry, ident uint64) map[changeset.ObjectRef]replacement {
	var found map[changeset.ObjectRef]replacement
	for _, e := range entries {
		if e.Origin != ident {
			continue
		}
		for i := range e.Objects {
			if !e.Objects[i].Refresh {
				continue
			}
			if found == nil {
				found = make(map[changeset.ObjectRef]replacement)
			}
			ref := e.Objects[i].Ref
			r, ok := found[ref]
			if !ok {
				r.base = e.Base / history.Stride
			}
			r.base, r.version = min(r.base, e.Base/history.Stride), e.Version
			found[ref] = r
		}
	}
	return found
}

// replacedLater returns the objects of an entry that are replaced after it, nil
// if none is.
func replacedLater(e *history.Entry, later map[changeset.ObjectRef]replacement) map[changeset.ObjectRef]bool {
	if len(later) == 0 {
		return nil
	}
	var out map[changeset.ObjectRef]bool
	for i := range e.Objects {
		ref := e.Objects[i].Ref
		if r, ok := later[ref]; ok && r.base < e.Version && e.Version < r.version {
			if out == nil {
				out = make(map[changeset.ObjectRef]bool)
			}
			out[ref] = true
		}
	}
	return out
}
