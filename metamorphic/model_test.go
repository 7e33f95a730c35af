package metamorphic

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/transform"
)

// This file is a miniature of the server: one history, the object states, and
// for each client file what must be remembered of it. It keeps everything in
// memory and does everything at once, so that thousands of lists of operations
// can be played in a second. What it says of views, refreshes and pairs that
// devices get wrong is what history and session do, said once more.

const modelStride = 1024

// modelTouch is what an entry did to one object. The objects are never changed.
type modelTouch struct {
	ref           changeset.ObjectRef
	before, after *object.Object
	refresh       bool // the author gets it whole
	refused       bool // the author's part was left out
}

type modelEntry struct {
	version       uint64
	origin        int64 // 1: the server
	clientVersion int64
	base          uint64 // history version
	timestamp     int64
	changeset     changeset.Changeset
	objects       []modelTouch
}

func (e *modelEntry) on(ref changeset.ObjectRef) changeset.Changeset {
	var out changeset.Changeset
	for _, in := range e.changeset {
		if !in.Op.IsSchema() && in.Object() == ref {
			out = append(out, in)
		}
	}
	return out
}

// model is the server.
type model struct {
	rules   transform.Rules
	wild    bool // pairs that devices get wrong may occur
	objects states
	history []*modelEntry // of versions 1, 2, …
	clients []*modelClient
	defects int
	// unmerged counts objects that could not be merged.
	unmerged int
}

func newModel(wild bool) *model {
	return &model{rules: transform.ServerRules, wild: wild, objects: states{}}
}

func (m *model) head() uint64 { return uint64(len(m.history)) }

// modelClient is a client file, and the session it has.
type modelClient struct {
	ident       int64
	upload      device.Cursor // durable
	private     uint64        // highest private number, as a wire version
	firstSwitch uint64
	lastSwitch  uint64
	reciprocals map[uint64]changeset.Changeset

	// The session.
	cursor     uint64 // wire version
	integrated int64
	view       view
	query      int64 // version of view
	pending    *device.Query
	lastQuery  int64
	uploaded   device.Cursor
}

// register makes a client file.
func (m *model) register() *modelClient {
	c := &modelClient{ident: int64(len(m.clients)) + 2, reciprocals: map[uint64]changeset.Changeset{}}
	m.clients = append(m.clients, c)
	return c
}

// connect begins a session at what the device's file says.
func (c *modelClient) connect(f *device.File) error {
	p := f.Progress()
	c.cursor, c.integrated = uint64(p.DownloadServer), p.DownloadClient
	c.private = max(c.private, c.cursor)
	version, body := f.ActiveQuery()
	view, err := viewOf(body)
	if err != nil {
		return err
	}
	c.view, c.query, c.lastQuery = view, version, version
	c.pending = nil
	c.uploaded = device.Cursor{Client: p.UploadClient, Server: p.UploadServer}
	if c.cursor == 0 {
		c.pending = &device.Query{Version: version, Body: body}
	}
	return nil
}

// uploadView is what uploads are judged by.
func (c *modelClient) uploadView() (view, view, error) {
	if c.pending == nil {
		return c.view, nil, nil
	}
	next, err := viewOf(c.pending.Body)
	return c.view, next, err
}

// modelRun is a run of changesets of one base that is being taken.
type modelRun struct {
	m          *model
	c          *modelClient
	base       uint64 // wire version
	unseen     []*modelEntry
	view, next view
	moved      map[changeset.ObjectRef]bool
	shut       map[changeset.ObjectRef]bool
	held       map[changeset.ObjectRef]bool
	defective  map[changeset.ObjectRef]bool
	left       map[changeset.ObjectRef]bool
	apart      map[changeset.ObjectRef][]*transform.Entry // windows of what is merged by itself
}

// sees reports whether the device is sent an object: under the view that it has,
// until the bootstrap of the next one.
func (r *modelRun) sees(ref changeset.ObjectRef, o *object.Object) bool { return r.view.has(ref, o) }

// reaches reports whether the device may write to an object.
func (r *modelRun) reaches(ref changeset.ObjectRef, o *object.Object) bool {
	return r.held[ref] || r.view.has(ref, o) || r.next.has(ref, o)
}

// take takes an UPLOAD.
func (m *model) take(c *modelClient, entries []protocol.UploadEntry, progress device.Cursor) error {
	for len(entries) > 0 && entries[0].ClientVersion <= c.upload.Client {
		entries = entries[1:]
	}
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].ServerVersion == entries[0].ServerVersion {
			n++
		}
		if err := m.takeRun(c, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	if progress.Client > c.upload.Client {
		c.upload = progress
	}
	for v := range c.reciprocals {
		if v <= uint64(c.upload.Server)/modelStride {
			delete(c.reciprocals, v)
		}
	}
	return nil
}

func (m *model) takeRun(c *modelClient, run []protocol.UploadEntry) error {
	r := &modelRun{
		m: m, c: c, base: uint64(run[0].ServerVersion),
		moved: map[changeset.ObjectRef]bool{}, shut: map[changeset.ObjectRef]bool{}, held: map[changeset.ObjectRef]bool{},
		defective: map[changeset.ObjectRef]bool{}, left: map[changeset.ObjectRef]bool{}, apart: map[changeset.ObjectRef][]*transform.Entry{},
	}
	var err error
	if r.view, r.next, err = c.uploadView(); err != nil {
		return err
	}
	r.unseen = m.history[min(max(r.base, c.firstSwitch)/modelStride, m.head()):]
	incoming := make([]*transform.Entry, len(run))
	parts := make([]changeset.Changeset, len(run))
	decoded := make([]changeset.Changeset, len(run))
	seen := map[changeset.ObjectRef]bool{}
	for i, u := range run {
		if decoded[i], err = changeset.Decode(u.Changeset); err != nil {
			return err
		}
		for _, in := range decoded[i] {
			if ref := in.Object(); !in.Op.IsSchema() && !seen[ref] {
				seen[ref] = true
				r.look(ref)
			}
		}
	}
	for again := true; again; {
		for i, u := range run {
			incoming[i], parts[i] = &transform.Entry{Timestamp: uint64(u.Timestamp), Origin: uint64(c.ident)}, nil
			for _, in := range decoded[i] {
				switch {
				case in.Op.IsSchema(): // everybody has the same
				case r.moved[in.Object()] || r.shut[in.Object()]:
					parts[i] = append(parts[i], in)
				default:
					incoming[i].Changeset = append(incoming[i].Changeset, in)
				}
			}
		}
		if again, err = r.merge(incoming); err != nil {
			return err
		}
	}
	for i, u := range run {
		e := &modelEntry{version: m.head() + 1, origin: c.ident, clientVersion: u.ClientVersion, base: r.base / modelStride, timestamp: u.Timestamp}
		if err := r.stand(e, incoming[i].Changeset); err != nil {
			return err
		}
		if i == len(run)-1 {
			r.heal(e)
		}
		r.standApart(e, parts[i])
		m.history = append(m.history, e)
	}
	return nil
}

// look works out what became of an object for the author since the base.
func (r *modelRun) look(ref changeset.ObjectRef) {
	touched := false
	for _, e := range r.unseen {
		for i := range e.objects {
			t := &e.objects[i]
			if t.ref != ref {
				continue
			}
			own := e.origin == r.c.ident
			before, after := r.sees(ref, t.before), r.sees(ref, t.after)
			if !touched && (before || own && t.before == nil) {
				r.held[ref] = true
			}
			touched = true
			switch {
			case own && t.refused:
				r.shut[ref] = true
			case own && (t.refresh || t.after != nil && !after),
				!own && t.before != nil && t.after != nil && before != after,
				!own && !before && !after:
				r.moved[ref] = true
			}
		}
	}
	if r.c.lastSwitch > r.base && (touched || r.m.objects[ref] != nil) {
		r.moved[ref], r.held[ref] = true, true
	}
}

// merge merges what the device will merge as well. An object whose instructions
// cannot be merged, after pairs that devices get wrong, is taken apart: then the
// merge has to be done again.
func (r *modelRun) merge(incoming []*transform.Entry) (again bool, err error) {
	var window []*transform.Entry
	var versions []uint64
	for _, e := range r.unseen {
		if e.origin == r.c.ident || len(e.changeset) == 0 {
			continue
		}
		cs, ok := r.c.reciprocals[e.version]
		if !ok {
			cs = e.changeset
		}
		window = append(window, &transform.Entry{Changeset: cs, Timestamp: uint64(e.timestamp), Origin: uint64(e.origin)})
		versions = append(versions, e.version)
	}
	defects, err := transform.MergeAndReport(window, incoming, r.m.rules)
	var refused *transform.MergeError
	if errors.As(err, &refused) && !refused.Incoming.Op.IsSchema() {
		ref := refused.Incoming.Object()
		again = !r.moved[ref]
		r.moved[ref], r.held[ref] = true, true
		r.m.unmerged++
	}
	if again {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("upload of file %d: %w", r.c.ident, err)
	}
	r.m.defects += len(defects)
	for _, d := range defects {
		r.defective[d.Object] = true
	}
	for i, e := range window {
		if e.Changed {
			r.c.reciprocals[versions[i]] = e.Changeset
		}
	}
	return false, nil
}

// byObject groups instructions by object, in the order of first mention.
func byObject(cs changeset.Changeset) (refs []changeset.ObjectRef, parts map[changeset.ObjectRef]changeset.Changeset) {
	parts = map[changeset.ObjectRef]changeset.Changeset{}
	for _, in := range cs {
		ref := in.Object()
		if parts[ref] == nil {
			refs = append(refs, ref)
		}
		parts[ref] = append(parts[ref], in)
	}
	return refs, parts
}

func erases(cs changeset.Changeset) bool {
	return slices.ContainsFunc(cs, func(in changeset.Instruction) bool { return in.Op == changeset.OpEraseObject })
}

// stand takes the merged part of a changeset.
func (r *modelRun) stand(e *modelEntry, cs changeset.Changeset) error {
	refs, parts := byObject(cs)
	for _, ref := range refs {
		now := r.m.objects[ref]
		switch {
		case r.shut[ref]:
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: true})
			continue
		case now != nil && !r.reaches(ref, now):
			r.shut[ref] = true
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: true, refused: true})
			continue
		}
		after, instructions, err := modelApply(ref, now, parts[ref], r.m.wild)
		if errors.Is(err, errPrior) {
			return &failure{"corrupt", fmt.Sprintf("file %d: %v", r.c.ident, err)}
		}
		if err != nil {
			r.shut[ref] = true
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: true, refused: true})
			continue
		}
		refresh := r.defective[ref] || r.left[ref]
		if after != nil && !r.sees(ref, after) {
			r.left[ref] = true
		}
		r.m.put(e, modelTouch{ref: ref, before: now, after: after, refresh: refresh}, instructions)
	}
	return nil
}

// heal has objects refreshed on which the device goes wrong, though nothing is
// left of what it did.
func (r *modelRun) heal(e *modelEntry) {
	for _, ref := range slices.SortedFunc(maps.Keys(r.defective), compareRefs) {
		if !slices.ContainsFunc(e.objects, func(t modelTouch) bool { return t.ref == ref }) {
			now := r.m.objects[ref]
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: true})
		}
	}
}

// standApart takes the part of a changeset on objects that the device has thrown
// away.
func (r *modelRun) standApart(e *modelEntry, cs changeset.Changeset) {
	refs, parts := byObject(cs)
	for _, ref := range refs {
		now, part := r.m.objects[ref], parts[ref]
		switch {
		case r.shut[ref]:
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: erases(part)})
			continue
		case now != nil && !r.reaches(ref, now):
			r.shut[ref] = true
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: true, refused: true})
			continue
		}
		window := r.apart[ref]
		if window == nil {
			for _, u := range r.unseen {
				if on := u.on(ref); u.origin != r.c.ident && len(on) > 0 {
					window = append(window, &transform.Entry{Changeset: on, Timestamp: uint64(u.timestamp), Origin: uint64(u.origin)})
				}
			}
		}
		in := &transform.Entry{Changeset: part, Timestamp: uint64(e.timestamp), Origin: uint64(e.origin)}
		err := transform.Merge(window, []*transform.Entry{in}, r.m.rules)
		var after *object.Object
		var instructions changeset.Changeset
		if err == nil {
			after, instructions, err = modelApply(ref, now, in.Changeset, true)
		}
		if err != nil {
			e.objects = append(e.objects, modelTouch{ref: ref, before: now, after: now, refresh: true})
			continue
		}
		r.apart[ref] = window
		r.m.put(e, modelTouch{ref: ref, before: now, after: after, refresh: true}, instructions)
	}
}

// put makes an object be what an entry makes of it.
func (m *model) put(e *modelEntry, t modelTouch, instructions changeset.Changeset) {
	e.objects = append(e.objects, t)
	e.changeset = append(e.changeset, instructions...)
	if t.after == nil {
		delete(m.objects, t.ref)
	} else {
		m.objects[t.ref] = t.after
	}
}

// errPrior says that an element is set in a list of another length than the
// instruction says. Nobody minds, until it is merged with something.
var errPrior = errors.New("the list has another length")

// listLength is the length of the list in which an Update sets an element.
func listLength(class *schema.Class, now *object.Object, in *changeset.Instruction) (uint32, bool) {
	if now == nil || in.Op != changeset.OpUpdate {
		return 0, false
	}
	return now.ListLength(appSchema, class, in)
}

// modelApply applies instructions to a copy of an object, and returns what
// others get in their place. What sets elements of lists is mended if it says a
// wrong length, or else refused.
func modelApply(ref changeset.ObjectRef, now *object.Object, cs changeset.Changeset, mend bool) (*object.Object, changeset.Changeset, error) {
	class := appSchema.Class(ref.Class)
	now = now.Clone()
	var out changeset.Changeset
	for _, changed := range cs {
		in := &changed
		if n, ok := listLength(class, now, in); ok && in.Prior != n {
			if !mend {
				return nil, nil, fmt.Errorf("%v: %w", in, errPrior)
			}
			in.Prior = n
		}
		switch {
		case in.Op == changeset.OpEraseObject:
			now = nil
		case in.Op == changeset.OpCreateObject:
			if now == nil {
				now = &object.Object{}
			}
		case now == nil:
			return nil, nil, errors.New("no such object")
		default:
			if err := now.Apply(appSchema, class, in); err != nil {
				return nil, nil, err
			}
			p := class.Properties[in.Field]
			if in.Op == changeset.OpSetErase && in.Value.IsNull() && len(in.Path) == 0 && p.Type != changeset.Mixed {
				out = append(out, refill(in, now.Get(p).(*object.Set))...)
				continue
			}
		}
		out = append(out, *in)
	}
	return now, out, nil
}

// refill empties a set and fills it again: what devices get for a SetErase of
// null.
func refill(in *changeset.Instruction, s *object.Set) changeset.Changeset {
	head := changeset.Instruction{Class: in.Class, Key: in.Key, Field: in.Field}
	out := changeset.Changeset{head}
	out[0].Op, out[0].Collection = changeset.OpClear, set
	for _, v := range s.Items {
		head.Op, head.Value = changeset.OpSetInsert, v
		out = append(out, head)
	}
	return out
}

// foreign takes a write of somebody else's: an object is now that.
func (m *model) foreign(ref changeset.ObjectRef, after *object.Object, timestamp int64) {
	now := m.objects[ref]
	difference := object.Diff(appSchema, ref, now, after)
	if len(difference) == 0 {
		return
	}
	e := &modelEntry{version: m.head() + 1, origin: 1, timestamp: timestamp}
	m.put(e, modelTouch{ref: ref, before: now, after: after}, difference)
	m.history = append(m.history, e)
}

// text is the history, for people.
func (m *model) text() string {
	var b strings.Builder
	for _, e := range m.history {
		fmt.Fprintf(&b, "version %d, file %d, client version %d, base %d, at %d\n", e.version, e.origin, e.clientVersion, e.base, e.timestamp)
		for i := range e.changeset {
			fmt.Fprintf(&b, "    %v\n", &e.changeset[i])
		}
		for _, t := range e.objects {
			if t.refresh {
				fmt.Fprintf(&b, "    (%v goes whole to the author; refused: %v)\n", t.ref, t.refused)
			}
		}
	}
	return b.String()
}
