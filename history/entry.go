package history

import (
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// Stride is the distance of two history versions on the wire.
const Stride = 1024

// ServerIdent is the file ident of what the server itself made.
const ServerIdent = 1

// Entry is one changeset of the history. It is immutable.
type Entry struct {
	Version       uint64 // history version
	Salt          uint64 // of the commit that appended it
	Origin        uint64 // file ident of the author; ServerIdent for foreign writes
	User          string // of the author; empty for the server
	ClientVersion uint64 // version it had in the author's file; 0 for the server
	Base          uint64 // wire version the author had integrated; 0 for the server
	Timestamp     uint64 // ms since 2015, the author's clock
	Changeset     changeset.Changeset
	Objects       []Touched
	Schema        bool // changes the schema or the queryable fields

	encodeOnce sync.Once
	encoded    []byte
}

// Touched says what an entry did to one object.
type Touched struct {
	Ref changeset.ObjectRef
	// Before and After hold the object's queryable fields around the entry; nil
	// where it did not exist. They may hold more, never less.
	Before, After *object.Object
	// Whole is the whole object after the entry. It is set where the queryable
	// fields of an existing object changed, and where Refresh is.
	Whole *object.Object
	// Refresh says that the author's copy differs from the server's: the author
	// gets the object whole (or erased, when it is gone or not in its view).
	Refresh bool
	// Refused is the reason, for people, why the author's part on this object
	// was left out; empty if it stands.
	Refused string
}

// nothing reports whether the object was not there before the entry and is not
// after it: it was created and erased at once, or erased again. The history has no
// instructions of that. No device is sent them, so none would merge them as the
// server did, and what another creates under the same key has nothing to fear.
func (t *Touched) nothing() bool { return t.Before == nil && t.After == nil }

// Encoded returns the changeset as it is sent to devices, made once. The caller
// must not change it.
func (e *Entry) Encoded() []byte {
	e.encodeOnce.Do(func() { e.encoded = changeset.EncodePadded(e.Changeset) })
	return e.encoded
}

// on returns the instructions on one object, in order.
func on(cs changeset.Changeset, ref changeset.ObjectRef) changeset.Changeset {
	var out changeset.Changeset
	for i := range cs {
		in := &cs[i]
		if !in.Op.IsSchema() && in.Object() == ref {
			out = append(out, *in)
		}
	}
	return out
}

// Timestamp is a time in the protocol's unit: ms since 2015.
func Timestamp(t time.Time) uint64 { return uint64(max(0, t.UnixMilli()-epoch2015)) }

// TimeOf is the inverse of Timestamp.
func TimeOf(timestamp uint64) time.Time { return time.UnixMilli(int64(timestamp) + epoch2015) }

const epoch2015 = 1420070400000 // 2015-01-01T00:00:00Z in ms since 1970
