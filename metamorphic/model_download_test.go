package metamorphic

import (
	"maps"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
)

// modelReplacement says that an own entry of a device's replaces an object for it.
type modelReplacement struct{ base, version uint64 }

// download sends a device up to n entries of the history, and a bootstrap that is
// due when it has got to the head. The server knows the whole history when it
// chooses what to leave out.
func (m *model) download(c *modelClient, f *device.File, n int) error {
	var entries []protocol.DownloadEntry
	flush := func() error {
		d := &protocol.Download{Progress: c.progress(), QueryVersion: c.query, Batch: protocol.SteadyState, Entries: entries}
		entries = nil
		return f.Integrate(d)
	}
	if c.cursor > 0 {
		from := c.cursor / modelStride
		later := c.replacements(m.history[from:])
		for _, e := range m.history[from:min(from+uint64(n), m.head())] {
			cs, integrated, origin := c.pass(e, later)
			if len(cs) > 0 {
				if len(entries) > 0 && entries[0].ClientVersion != integrated {
					if err := flush(); err != nil {
						return err
					}
				}
				entries = append(entries, protocol.DownloadEntry{
					ServerVersion: int64(e.version * modelStride), ClientVersion: integrated, Timestamp: e.timestamp, Origin: origin,
					Changeset: changeset.EncodePadded(cs),
				})
			}
			c.cursor, c.integrated = e.version*modelStride, integrated
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if c.pending != nil && (c.cursor == 0 || c.cursor/modelStride == m.head()) {
		return m.bootstrap(c, f)
	}
	return nil
}

func (c *modelClient) progress() protocol.Progress {
	return protocol.Progress{
		DownloadServer: int64(c.cursor), DownloadClient: c.integrated, LatestServer: int64(c.cursor), LatestSalt: 1,
		UploadClient: max(c.upload.Client, c.integrated), UploadServer: c.upload.Server,
	}
}

// replacements finds the objects that own entries replace.
func (c *modelClient) replacements(entries []*modelEntry) map[changeset.ObjectRef]modelReplacement {
	found := map[changeset.ObjectRef]modelReplacement{}
	for _, e := range entries {
		for i := range e.objects {
			if t := &e.objects[i]; e.origin == c.ident && t.refresh {
				r, known := found[t.ref]
				if !known {
					r.base = e.base
				}
				found[t.ref] = modelReplacement{min(r.base, e.base), e.version}
			}
		}
	}
	return found
}

// pass says what a device gets of an entry.
func (c *modelClient) pass(e *modelEntry, later map[changeset.ObjectRef]modelReplacement) (cs changeset.Changeset, integrated, origin int64) {
	if e.origin == c.ident {
		for i := range e.objects {
			t := &e.objects[i]
			switch seen := c.view.has(t.ref, t.after); {
			case t.refresh && seen:
				cs = append(cs, modelRefresh(t.ref, t.after)...)
			case t.refresh, t.after != nil && !seen:
				cs = append(cs, modelRefresh(t.ref, nil)...)
			}
		}
		return cs, max(c.integrated, e.clientVersion), 1
	}
	refreshed := changeset.Changeset{}
	for i := range e.objects {
		t := &e.objects[i]
		if r, replaced := later[t.ref]; replaced && r.base < e.version && e.version < r.version {
			continue
		}
		before, after := c.view.has(t.ref, t.before), c.view.has(t.ref, t.after)
		switch {
		case t.before == nil && after, before && after, before && t.after == nil:
			cs = append(cs, e.on(t.ref)...)
		case after:
			refreshed = append(refreshed, modelRefresh(t.ref, t.after)...)
		case before:
			refreshed = append(refreshed, modelRefresh(t.ref, nil)...)
		}
	}
	return append(cs, refreshed...), c.integrated, e.origin
}

func modelRefresh(ref changeset.ObjectRef, o *object.Object) changeset.Changeset {
	out := changeset.Changeset{{Op: changeset.OpEraseObject, Class: ref.Class, Key: ref.Key}}
	return append(out, object.Instructions(appSchema, ref, o)...)
}

// bootstrap switches a device to its next view.
func (m *model) bootstrap(c *modelClient, f *device.File) error {
	next, err := viewOf(c.pending.Body)
	if err != nil {
		return err
	}
	c.cursor = max(c.cursor, m.head()*modelStride)
	c.private = max(c.private, c.cursor) + 1
	c.cursor, c.lastSwitch = c.private, c.private
	if c.firstSwitch == 0 {
		c.firstSwitch = c.private
	}
	if body := c.pending.Body; body == "{}" && len(c.view) == 0 {
		c.lastSwitch = 0
	}
	// Every device has the schema already.
	var cs changeset.Changeset
	for _, ref := range slices.SortedFunc(maps.Keys(m.objects), compareRefs) {
		switch before, after := c.view.has(ref, m.objects[ref]), next.has(ref, m.objects[ref]); {
		case after && !before:
			cs = append(cs, modelRefresh(ref, m.objects[ref])...)
		case before && !after:
			cs = append(cs, modelRefresh(ref, nil)...)
		}
	}
	d := &protocol.Download{
		Progress: c.progress(), QueryVersion: c.pending.Version, Batch: protocol.LastInBatch,
		Entries: []protocol.DownloadEntry{{
			ServerVersion: int64(c.cursor), ClientVersion: c.integrated, Timestamp: 1, Origin: 1, Changeset: changeset.EncodePadded(cs),
		}},
	}
	c.view, c.query, c.pending = next, c.pending.Version, nil
	return f.Integrate(d)
}

func compareRefs(a, b changeset.ObjectRef) int {
	switch x, y := a.Class+a.Key.String(), b.Class+b.Key.String(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
