package history

import (
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/transform"
)

// takeApart handles a part of an upload on an object that was erased or
// refreshed for its author after the base. It returns what others get to see of it.
func (w *work) takeApart(u *uploadJob, cw *clientWork, s *seen, up *UploadEntry, p part) (Touched, changeset.Changeset) {
	o := w.objects[p.ref]
	if s.of(p.ref).standing == shut || s.closed[p.ref] {
		// The author has been told. Should the part erase the object, the device
		// may have kept its own erasure, so it needs the object once more.
		return w.touched(o, o.now, Touched{Refresh: p.erases()}), nil
	}
	refuse := func(reason string) (Touched, changeset.Changeset) {
		s.closed[p.ref] = true
		return w.touched(o, o.now, Touched{Refresh: true, Refused: reason}), nil
	}
	if reason := w.judge(u, s, o, &p); reason != "" {
		return refuse(reason)
	}
	instructions, err := w.mergeApart(o, s.windowOn(cw, p.ref), transform.Entry{
		Changeset: p.instructions, Timestamp: up.Timestamp, Origin: u.client.ident.Ident,
	})
	var got applied
	if err == nil {
		got, err = w.apply(o, instructions)
	}
	if err != nil {
		return refuse(fmt.Sprintf("write to %s in table %q could not be applied: it was made on a copy that is gone: %v", keyText(p.ref.Key), p.ref.Class, err))
	}
	// Not the difference that they make: an increment must not become a value,
	// which would beat what others add meanwhile.
	if got.instead != nil {
		instructions = got.instead
	}
	w.count(p.ref, got.met)
	return w.move(o, got.after, instructions, Touched{Refresh: true}), instructions
}

// windowOn returns the history on one object since the base, as it looks on top
// of what the client file uploaded before and of the run's parts that were taken
// apart. What is merged with it stays so.
func (s *seen) windowOn(cw *clientWork, ref changeset.ObjectRef) []*transform.Entry {
	if window, ok := s.apart[ref]; ok {
		return window
	}
	var window []*transform.Entry
	for _, e := range s.entries {
		cs := e.Changeset
		if e.Origin != s.client.ident.Ident {
			cs = s.reciprocal(cw, e)
		} else if e.Base >= s.base || !s.client.switchedBetween(e.Base, s.base) {
			// Otherwise the author wrote it to a copy that a bootstrap has replaced,
			// and has not got it back yet.
			continue
		}
		if cs := on(cs, ref); len(cs) > 0 {
			window = append(window, &transform.Entry{Changeset: cs, Timestamp: e.Timestamp, Origin: e.Origin})
		}
	}
	s.apart[ref] = window
	return window
}

// mergeApart merges a part with what its author had not seen. Where that and the
// author's copy don't fit each other, since parts of the same copy were taken apart
// before, values are merged all the same, and elements that were put into lists are
// put near where they were. The error says what can't be kept.
func (w *work) mergeApart(o *objectWork, window []*transform.Entry, incoming transform.Entry) (changeset.Changeset, error) {
	merged, err := w.tryMerge(o, window, incoming)
	if err == nil {
		return merged, nil
	}
	var lists changeset.Changeset
	values := incoming
	values.Changeset = nil
	for _, in := range incoming.Changeset {
		if isInList(in.Op, in.Path) {
			lists = append(lists, in)
		} else {
			values.Changeset = append(values.Changeset, in)
		}
	}
	if len(lists) == 0 {
		return nil, err
	}
	out, err := w.tryMerge(o, window, values)
	if err != nil {
		return nil, err
	}
	got, err := w.apply(o, out)
	if err != nil || got.after == nil {
		return out, err // where the object is gone, so are its lists
	}
	after := got.after.Clone()
	out = out[:len(out):len(out)]
	for _, in := range lists {
		if in.Op == changeset.OpArrayInsert && len(in.Path) == 1 {
			if list, ok := after.Get(o.class.Properties[in.Field]).(*object.List); ok {
				n := uint32(len(list.Items))
				in.Prior, in.Path = n, changeset.Path{{Index: min(in.Path[0].Index, n), IsIndex: true}}
			}
		}
		if err := after.Apply(w.schema, o.class, &in); err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// tryMerge merges a part, if what comes of it can be applied; else the window stays
// as it is.
func (w *work) tryMerge(o *objectWork, window []*transform.Entry, incoming transform.Entry) (changeset.Changeset, error) {
	trial := make([]*transform.Entry, len(window))
	for i, e := range window {
		copied := *e
		trial[i] = &copied
	}
	if err := transform.Merge(trial, []*transform.Entry{&incoming}, transform.ServerRules); err != nil {
		return nil, err
	}
	if o.now == nil {
		incoming.Changeset = fromCreation(incoming.Changeset)
	}
	if _, err := w.apply(o, incoming.Changeset); err != nil {
		return nil, err
	}
	for i, e := range trial {
		*window[i] = *e
	}
	return incoming.Changeset, nil
}

// fromCreation leaves out what was written to an object that others have erased
// meanwhile, up to where it is created again. As in every merge, the erasure has
// won; the author need not be told, though its device may have had no part in that.
func fromCreation(cs changeset.Changeset) changeset.Changeset {
	i := slices.IndexFunc(cs, func(in changeset.Instruction) bool { return in.Op == changeset.OpCreateObject })
	if i < 0 {
		return nil
	}
	return cs[i:]
}

// isInList reports whether an instruction goes by a position in a list.
func isInList(op changeset.Op, path changeset.Path) bool {
	switch op {
	case changeset.OpArrayInsert, changeset.OpArrayMove, changeset.OpArrayErase:
		return true
	}
	for _, step := range path {
		if step.IsIndex {
			return true
		}
	}
	return false
}
