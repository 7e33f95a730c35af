package history

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// View is what one session may see. Contains is called with an object's
// queryable fields or with all of them, and must depend on no others.
type View interface {
	Contains(ref changeset.ObjectRef, o *object.Object) bool
}

// contains treats an absent object as outside, and a nil view as everything.
func contains(v View, ref changeset.ObjectRef, o *object.Object) bool {
	if o == nil {
		return false
	}
	return v == nil || v.Contains(ref, o)
}
