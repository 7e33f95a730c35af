package history

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Follower reads documents for a change stream, or for the comparison of a class:
// batch after batch, each as of a later time than the one before. It keeps account
// of what the history tells that is newer than documents read before, and was not
// read by it. All but ReadDocuments belongs to whoever holds File.advance.
type Follower struct {
	file *File

	// own are the versions above seen that came of batches of the Follower. The
	// newest of all is ownLast; none shows documents as of a later time than ownTime.
	own     map[uint64]bool
	ownLast uint64
	ownTime bson.Timestamp

	// others are the objects that other entries above after, up to seen, touched,
	// with the newest version that did.
	others      map[changeset.ObjectRef]uint64
	after, seen uint64
}

// NewFollower returns a Follower for somebody who is about to read.
func (f *File) NewFollower() *Follower {
	return &Follower{file: f, own: map[uint64]bool{}, others: map[changeset.ObjectRef]uint64{}}
}

// committed takes note of the entries that a batch has become.
func (fo *Follower) committed(d *Documents) {
	for _, v := range d.entries {
		fo.own[v] = true
		fo.ownLast = max(fo.ownLast, v)
	}
	if len(d.entries) > 0 && d.at.After(fo.ownTime) {
		fo.ownTime = d.at
	}
}

// Bounds of what a Follower looks through at once, and of what it remembers.
const (
	maxMoved        = 20_000 // entries
	maxMovedObjects = 200_000
)

// movedSince returns objects that the history touched, with the versions that did
// last. Those above the documents' version make them outdated. all is true when
// each may be.
func (fo *Follower) movedSince(ctx context.Context, d *Documents, head uint64) (moved map[changeset.ObjectRef]uint64, all bool, err error) {
	if d.version > head {
		return nil, false, errHeadMoved
	}
	if d.version >= fo.seen || head < fo.seen {
		fo.startAt(d.version)
	}
	switch {
	case head == fo.seen:
	case head-fo.seen > maxMoved:
		fo.startAt(head)
	default:
		for fo.seen < head {
			entries, err := fo.file.Entries(ctx, fo.seen, maxMoved)
			if err != nil {
				return nil, false, err
			}
			if len(entries) == 0 || entries[0].Version != fo.seen+1 {
				fo.startAt(head) // trimmed meanwhile
				break
			}
			for _, e := range entries {
				fo.see(e)
			}
		}
	}
	if len(fo.others) > maxMovedObjects {
		fo.forget(d.version)
	}
	// A batch read anew, after the stream was opened again, may end before one did
	// that is committed.
	outrun := fo.ownLast > d.version && fo.ownTime.After(d.at)
	return fo.others, d.version < fo.after || outrun, nil
}

// startAt forgets what lies up to a version.
func (fo *Follower) startAt(version uint64) {
	clear(fo.others)
	for v := range fo.own {
		if v <= version {
			delete(fo.own, v)
		}
	}
	fo.after, fo.seen = version, version
}

func (fo *Follower) see(e *Entry) {
	fo.seen = e.Version
	if fo.own[e.Version] {
		delete(fo.own, e.Version)
		return
	}
	for i := range e.Objects {
		fo.others[e.Objects[i].Ref] = e.Version
	}
}

// forget forgets what no later batch needs, since its documents are of a later
// version, or everything if that is not enough.
func (fo *Follower) forget(version uint64) {
	for ref, v := range fo.others {
		if v <= version {
			delete(fo.others, ref)
		}
	}
	fo.after = max(fo.after, version)
	if len(fo.others) > maxMovedObjects/2 {
		fo.startAt(fo.seen)
	}
}
