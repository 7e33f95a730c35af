package history

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/transform"
)

// standing says what became of the author's copy of an object between the base
// of an upload and now.
type standing int

const (
	// current: the device merges what came since with its own changes, as the
	// server does.
	current standing = iota
	// moved: the object was erased or refreshed for the author since the base.
	// The device has thrown away what it wrote to it.
	moved
	// shut: an earlier write of the author to it was refused since the base, and
	// whatever builds on that write falls with it.
	shut
)

// objectSeen is what one object went through after the base of a run.
type objectSeen struct {
	standing standing
	held     bool // the author's copy of the file had the object at the base
}

// seen is what a client file had not seen when it made a run of changesets: of the
// history after their base that which may meet them in the merge. Instructions meet
// others on the same object, and about the schema such about the schema; classes and
// properties are never erased, which would meet everything.
type seen struct {
	w       *work
	client  *Client
	base    uint64   // wire version
	entries []*Entry // after the base that are about its objects; with its schema instructions those that have some
	objects map[changeset.ObjectRef]objectSeen
	closed  map[changeset.ObjectRef]bool // refused within the run

	// defective: the run met something on the object that devices merge wrongly.
	defective map[changeset.ObjectRef]bool
	// left: the run has moved the object out of the author's view, where its
	// device loses it, and what it wrote to it later.
	left map[changeset.ObjectRef]bool
	// apart: the history on an object, as it looks on top of the run's parts on it
	// that were taken apart.
	apart map[changeset.ObjectRef][]*transform.Entry
}

func (s *seen) of(ref changeset.ObjectRef) objectSeen { return s.objects[ref] }

// seenSince works out what happened to the objects of a run since its base.
func (w *work) seenSince(u *uploadJob, run []UploadEntry) (s *seen, err error) {
	c := u.client
	base := run[0].Base
	after := max(base, c.firstSwitch()) / Stride
	s = &seen{
		w: w, client: c, base: base,
		objects: map[changeset.ObjectRef]objectSeen{}, closed: map[changeset.ObjectRef]bool{}, apart: map[changeset.ObjectRef][]*transform.Entry{},
		defective: map[changeset.ObjectRef]bool{}, left: map[changeset.ObjectRef]bool{},
	}
	touched := map[changeset.ObjectRef][]touch{}
	schema := false
	for i := range run {
		for k := range run[i].Changeset {
			if in := &run[i].Changeset[k]; in.Op.IsSchema() {
				schema = true
			} else {
				touched[in.Object()] = nil
			}
		}
	}
	var others []*Entry
	if after < w.head {
		if others, err = w.f.findTouches(w.plain, after, touched, schema); err != nil {
			return nil, err
		}
	}
	w.touches.addFrom(w.entries)
	for ref, list := range touched {
		if own := w.touches.of(ref, after); len(own) > 0 {
			touched[ref] = append(list[:len(list):len(list)], own...)
		}
	}
	if schema {
		others = append(others, w.touches.schemaSince(after)...)
	}
	s.entries = entriesOf(touched, others)
	switched := c.lastSwitch() > base
	for ref, list := range touched {
		s.objects[ref] = w.objectSeen(u, ref, list, switched)
	}
	return s, nil
}

func (w *work) objectSeen(u *uploadJob, ref changeset.ObjectRef, list []touch, switched bool) objectSeen {
	var out objectSeen
	o := w.objects[ref]
	if switched && (o.now != nil || len(list) > 0) {
		// A bootstrap came between. It may have brought, taken or left the
		// object; taking it for refreshed is safe whichever it was.
		out = objectSeen{moved, true}
	}
	for i, touch := range list {
		own := touch.entry.Origin == u.client.ident.Ident
		before, after := contains(u.View, ref, touch.t.Before), contains(u.View, ref, touch.t.After)
		if i == 0 && (before || own && touch.t.Before == nil) {
			out.held = true
		}
		switch {
		case own && touch.t.Refused != "":
			out.standing = shut
		case out.standing == shut, !own && touch.t.nothing():
		case own && touch.t.Refresh,
			own && touch.t.After != nil && !after,
			!own && touch.t.Before != nil && touch.t.After != nil && before != after,
			!own && !before && !after: // the device is not sent what the merge would meet
			out.standing = moved
		}
	}
	return out
}

// window returns the history that the run is merged against, as it looks on top
// of what the client file uploaded before, and the versions of its entries.
func (s *seen) window(cw *clientWork) ([]*transform.Entry, []uint64) {
	var window []*transform.Entry
	var versions []uint64
	for _, e := range s.entries {
		if e.Origin == s.client.ident.Ident || len(e.Changeset) == 0 {
			continue
		}
		window = append(window, &transform.Entry{Changeset: s.reciprocal(cw, e), Timestamp: e.Timestamp, Origin: e.Origin})
		versions = append(versions, e.Version)
	}
	return window, versions
}

// reciprocal returns an entry as it looks on top of what the client file uploaded
// before.
func (s *seen) reciprocal(cw *clientWork, e *Entry) changeset.Changeset {
	if cs, ok := cw.reciprocals[e.Version]; ok {
		return cs
	}
	if cs, ok := s.client.reciprocals[e.Version]; ok {
		return cs
	}
	return e.Changeset
}
