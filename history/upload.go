package history

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/transform"
)

// learnFrom takes up the schema instructions of an upload.
func (w *work) learnFrom(j *job) error {
	var next *schema.Schema // a copy of w.schema, which others may hold
	for i := range j.upload.Entries {
		cs := j.upload.Entries[i].Changeset
		for k := range cs {
			in := &cs[k]
			if !in.Op.IsSchema() {
				continue
			}
			if next == nil {
				next = w.schema.Clone()
			}
			changed, err := next.Apply(in)
			if err == nil && changed {
				err = next.CheckCollections()
			}
			if err != nil {
				return &jobError{j, &Rejection{Code: codeInvalidSchemaChange, Message: "Invalid schema change (UPLOAD): " + err.Error(), Err: err}}
			}
			if !changed {
				continue
			}
			if !w.f.store.opts.DevelopmentMode {
				return &jobError{j, reject(codeInvalidSchemaChange, "Invalid schema change (UPLOAD): %s", schema.RestrictedChange(in))}
			}
			w.schema, w.schemaChanged = next, true
			w.learned(in)
		}
	}
	if w.schemaChanged {
		w.queryable = w.f.globalQueryable(w.schema, w.queryable)
	}
	return nil
}

// schemaItem names a class (field empty) or a property.
type schemaItem struct{ class, field string }

func (w *work) learned(in *changeset.Instruction) {
	if w.news == nil {
		w.news = map[schemaItem]bool{}
	}
	w.news[schemaItem{in.Class, in.Field}] = true
}

// client returns the batch's view of a client file.
func (w *work) client(c *Client) *clientWork {
	cw := w.clients[c]
	if cw == nil {
		c.mu.Lock()
		cw = &clientWork{cursor: c.durable, locked: max(c.locked, c.pendingK), reciprocals: map[uint64]changeset.Changeset{}}
		if c.pending.Client > cw.cursor.Client {
			cw.cursor = c.pending
		}
		c.mu.Unlock()
		w.clients[c] = cw
	}
	return cw
}

// takeUpload merges an upload into the history and appends an entry for each of
// its changesets that is new.
func (w *work) takeUpload(j *job) error {
	u := j.upload
	if u.client.hasFailed() || u.client.epoch < w.epochs[u.client.ident.Ident] {
		return &jobError{j, ErrDetached}
	}
	if err := u.client.loadReciprocals(w.ctx); err != nil {
		return err
	}
	cw := w.client(u.client)
	// What the client file has sent before comes again after a reconnect.
	fresh := u.Entries
	for len(fresh) > 0 && fresh[0].ClientVersion <= cw.cursor.Client {
		fresh = fresh[1:]
	}
	for i := range fresh {
		for k := range fresh[i].Changeset {
			in := &fresh[i].Changeset[k]
			if err := w.schema.Check(in); err != nil {
				return &jobError{j, &Rejection{Code: codeBadChangeset, Err: err,
					Message: fmt.Sprintf("Bad changeset (UPLOAD): client version %d, instruction %d: %v", fresh[i].ClientVersion, k, err)}}
			}
		}
	}
	for len(fresh) > 0 {
		n := 1
		for n < len(fresh) && fresh[n].Base == fresh[0].Base {
			n++
		}
		if err := w.takeRun(j, cw, fresh[:n]); err != nil {
			return err
		}
		fresh = fresh[n:]
	}
	if u.Progress.Client > cw.cursor.Client {
		cw.cursor = u.Progress
	}
	cw.locked = max(cw.locked, u.Locked)
	return nil
}

// takeRun takes consecutive changesets with one base.
func (w *work) takeRun(j *job, cw *clientWork, run []UploadEntry) error {
	u := j.upload
	s, err := w.seenSince(u, run)
	if err != nil {
		return err
	}
	incoming, apart, err := w.mergeRun(j, cw, s, run)
	if err != nil {
		return err
	}
	for i := range run {
		var heal []changeset.ObjectRef
		if i == len(run)-1 {
			heal = sortedRefs(s.defective)
		}
		w.takeChangeset(u, cw, s, &run[i], incoming[i].Changeset, apart[i], heal)
	}
	return nil
}

// mergeRun merges a run with what its author had not seen. An object whose
// instructions cannot be merged, as happens after pairs that devices merge wrongly,
// is taken apart; only what the rules say of the schema refuses the run.
func (w *work) mergeRun(j *job, cw *clientWork, s *seen, run []UploadEntry) (incoming []*transform.Entry, apart []changeset.Changeset, err error) {
	for {
		incoming, apart = s.divide(run)
		window, versions := s.window(cw)
		if len(window) == 0 {
			return incoming, apart, nil
		}
		defects, err := transform.MergeAndReport(window, incoming, transform.ServerRules)
		var refused *transform.MergeError
		if errors.As(err, &refused) && !refused.Incoming.Op.IsSchema() && s.of(refused.Incoming.Object()).standing == current {
			ref := refused.Incoming.Object()
			w.unfit = append(w.unfit, unfit{"changes to an object cannot be merged as they are", ref, j.upload.client.ident.Ident, err})
			s.objects[ref] = objectSeen{moved, s.of(ref).held}
			continue
		}
		if err != nil {
			return nil, nil, &jobError{j, &Rejection{Code: codeBadChangeset, Message: "Bad changeset (UPLOAD): " + err.Error(), Err: err}}
		}
		for _, d := range defects {
			s.defective[d.Object] = true
			w.defects = append(w.defects, d)
		}
		for i, e := range window {
			if e.Changed {
				cw.reciprocals[versions[i]] = e.Changeset
			}
		}
		return incoming, apart, nil
	}
}

// divide takes apart what the device has thrown away, or will. In the merge it
// would rewrite reciprocals for a copy that no longer is.
func (s *seen) divide(run []UploadEntry) (merged []*transform.Entry, apart []changeset.Changeset) {
	merged, apart = make([]*transform.Entry, len(run)), make([]changeset.Changeset, len(run))
	isApart := func(in changeset.Instruction) bool { return !in.Op.IsSchema() && s.of(in.Object()).standing != current }
	for i := range run {
		cs := run[i].Changeset
		if slices.ContainsFunc(cs, isApart) {
			var rest changeset.Changeset
			for _, in := range cs {
				if isApart(in) {
					apart[i] = append(apart[i], in)
				} else {
					rest = append(rest, in)
				}
			}
			cs = rest
		}
		merged[i] = &transform.Entry{Changeset: cs, Timestamp: run[i].Timestamp, Origin: s.client.ident.Ident}
	}
	return merged, apart
}

// takeChangeset judges a merged changeset object by object, applies what stands,
// and appends the entry. apart holds its instructions that were not merged, heal
// objects that the author gets whole even if nothing is left of what it did to them.
func (w *work) takeChangeset(u *uploadJob, cw *clientWork, s *seen, up *UploadEntry, merged, apart changeset.Changeset, heal []changeset.ObjectRef) {
	e := &Entry{
		Origin: u.client.ident.Ident, User: u.client.user,
		ClientVersion: up.ClientVersion, Base: up.Base, Timestamp: up.Timestamp,
	}
	for _, in := range merged {
		item := schemaItem{in.Class, in.Field}
		if in.Op.IsSchema() && w.news[item] {
			// What the schema had already tells nobody anything.
			e.Changeset = append(e.Changeset, in)
			e.Schema = true
			delete(w.news, item)
		}
	}
	parts := split(merged)
	fallen := map[changeset.ObjectRef]bool{}
	e.Objects = make([]Touched, 0, len(parts))
	for _, part := range parts {
		t, ok := w.takePart(u, s, part)
		if !ok || t.nothing() {
			fallen[part.ref] = true
		}
		e.Objects = append(e.Objects, t)
	}
	switch {
	case len(fallen) == 0 && !hasSchema(merged):
		e.Changeset = merged[:len(merged):len(merged)]
		if cap(merged) > len(merged)+len(merged)/4 {
			e.Changeset = slices.Clone(merged) // entries are kept for long
		}
	case len(fallen) < len(parts):
		for _, in := range merged {
			if !in.Op.IsSchema() && !fallen[in.Object()] {
				e.Changeset = append(e.Changeset, in)
			}
		}
	}
	if len(w.rewritten) > 0 {
		e.Changeset = replaceParts(e.Changeset, w.rewritten)
		clear(w.rewritten)
	}
	for _, part := range split(apart) {
		t, instructions := w.takeApart(u, cw, s, up, part)
		e.Objects = append(e.Objects, t)
		if !t.nothing() {
			e.Changeset = append(e.Changeset, instructions...)
		}
	}
	for _, ref := range heal {
		if !slices.ContainsFunc(e.Objects, func(t Touched) bool { return t.Ref == ref }) {
			o := w.objects[ref]
			e.Objects = append(e.Objects, w.touched(o, o.now, Touched{Refresh: true}))
		}
	}
	w.append(e)
}

// sortedRefs returns the objects of a set in some fixed order.
func sortedRefs(set map[changeset.ObjectRef]bool) []changeset.ObjectRef {
	return slices.SortedFunc(maps.Keys(set), func(a, b changeset.ObjectRef) int {
		return cmp.Or(strings.Compare(a.Class, b.Class), strings.Compare(a.Key.String(), b.Key.String()))
	})
}

// part is a changeset's instructions on one object.
type part struct {
	ref          changeset.ObjectRef
	instructions changeset.Changeset
}

func (p *part) erases() bool {
	return slices.ContainsFunc(p.instructions, func(in changeset.Instruction) bool { return in.Op == changeset.OpEraseObject })
}

func hasSchema(cs changeset.Changeset) bool {
	return slices.ContainsFunc(cs, func(in changeset.Instruction) bool { return in.Op.IsSchema() })
}

// split groups instructions by object, objects in the order of first mention. Parts
// may share memory with the changeset.
func split(cs changeset.Changeset) []part {
	if ref, ok := onlyObject(cs); ok {
		return []part{{ref, cs[:len(cs):len(cs)]}}
	}
	var parts []part
	at := map[changeset.ObjectRef]int{}
	for _, in := range cs {
		if in.Op.IsSchema() {
			continue
		}
		ref := in.Object()
		i, ok := at[ref]
		if !ok {
			i = len(parts)
			at[ref] = i
			parts = append(parts, part{ref: ref})
		}
		parts[i].instructions = append(parts[i].instructions, in)
	}
	return parts
}

// onlyObject returns the object that all instructions are about, if it is one.
func onlyObject(cs changeset.Changeset) (changeset.ObjectRef, bool) {
	if len(cs) == 0 || cs[0].Op.IsSchema() {
		return changeset.ObjectRef{}, false
	}
	ref := cs[0].Object()
	for i := range cs[1:] {
		if in := &cs[i+1]; in.Op.IsSchema() || in.Key != ref.Key || in.Class != ref.Class {
			return changeset.ObjectRef{}, false
		}
	}
	return ref, true
}

// replaceParts puts others in the place of some objects' instructions.
func replaceParts(all changeset.Changeset, with map[changeset.ObjectRef]changeset.Changeset) changeset.Changeset {
	out := make(changeset.Changeset, 0, len(all))
	placed := map[changeset.ObjectRef]bool{}
	for _, in := range all {
		cs, replaced := with[in.Object()]
		switch {
		case in.Op.IsSchema() || !replaced:
			out = append(out, in)
		case !placed[in.Object()]:
			placed[in.Object()] = true
			out = append(out, cs...)
		}
	}
	return out
}

// takePart judges and applies the merged instructions on one object, and says
// whether they stand.
func (w *work) takePart(u *uploadJob, s *seen, p part) (Touched, bool) {
	o := w.objects[p.ref]
	if s.closed[p.ref] {
		// A part of an earlier changeset of this run was refused.
		return w.touched(o, o.now, Touched{Refresh: true}), false
	}
	if reason := w.judge(u, s, o, &p); reason != "" {
		s.closed[p.ref] = true
		return w.touched(o, o.now, Touched{Refresh: true, Refused: reason}), false
	}
	instructions := p.instructions
	got, err := w.apply(o, instructions)
	fitted := err != nil && s.defective[p.ref]
	if fitted {
		instructions = w.fit(o, instructions)
		got, err = w.apply(o, instructions)
	}
	if err != nil {
		// The merge was right, so the author's copy is not what it says. Its
		// part is left out and its copy made right.
		w.unfit = append(w.unfit, unfit{"an uploaded change does not fit its object", p.ref, u.client.ident.Ident, err})
		s.closed[p.ref] = true
		return w.touched(o, o.now, Touched{Refresh: true, Refused: "write to " + keyText(p.ref.Key) + " in table \"" + p.ref.Class + "\" could not be applied: " + err.Error()}), false
	}
	if got.instead != nil {
		instructions = got.instead
	}
	if fitted || got.instead != nil {
		w.rewritten[p.ref] = instructions
	}
	w.count(p.ref, got.met)
	// The author's device merges a defective pair in another way. It gets the
	// object whole, and until then nothing of what it would merge.
	refresh := s.defective[p.ref] || s.left[p.ref]
	if got.after != nil && !contains(u.View, p.ref, got.after) {
		s.left[p.ref] = true
	}
	return w.move(o, got.after, instructions, Touched{Refresh: refresh}), true
}

// applied is what instructions make of an object.
type applied struct {
	after *object.Object
	// instead is what everybody else gets in the place of the instructions, if it is
	// not nil.
	instead changeset.Changeset
	met     []transform.DefectKind // why
}

// apply applies instructions to an object, without changing it.
func (w *work) apply(o *objectWork, instructions changeset.Changeset) (applied, error) {
	var out applied
	now := o.now
	owned := false // now is our copy
	var restated []string
	for i := range instructions {
		in := &instructions[i]
		var instead changeset.Changeset
		switch in.Op {
		case changeset.OpCreateObject:
			if now == nil {
				now, owned = &object.Object{}, true
			}
		case changeset.OpEraseObject:
			now = nil
		default:
			if now == nil {
				return applied{}, fmt.Errorf("instruction %d: no such object", i)
			}
			if !owned {
				now, owned = now.Clone(), true
			}
			if in.Op == changeset.OpUpdate {
				instead = fitPrior(w.schema, o.class, now, in)
				if over := nullOverLink(w.schema, o.class, now, in); over != nil {
					instead = over
					out.met = append(out.met, transform.DefectNullOverLink)
				}
			}
			if err := now.Apply(w.schema, o.class, in); err != nil {
				return applied{}, fmt.Errorf("instruction %d: %w", i, err)
			}
			if in.Op == changeset.OpSetErase && !slices.Contains(restated, in.Field) && !canErase(o.class, now, in) {
				restated = append(restated, in.Field)
				out.met = append(out.met, transform.DefectSetEraseNull)
			}
		}
		if instead != nil && out.instead == nil {
			out.instead = append(out.instead, instructions[:i]...)
		}
		switch {
		case instead != nil:
			out.instead = append(out.instead, instead...)
		case out.instead != nil:
			out.instead = append(out.instead, *in)
		}
	}
	out.after = now
	if len(restated) > 0 {
		if out.instead == nil {
			out.instead = slices.Clone(instructions)
		}
		out.instead = restate(out.instead, o, now, restated)
	}
	return out, nil
}

// count has what devices get wrong of an object's instructions counted, once for
// each kind.
func (w *work) count(ref changeset.ObjectRef, met []transform.DefectKind) {
	for i, kind := range met {
		if !slices.Contains(met[:i], kind) {
			w.defects = append(w.defects, transform.Defect{Kind: kind, Object: ref})
		}
	}
}

// fitPrior returns an Update of a list's element with the list's true length,
// should it say another one: nobody minds that when it is applied, but whoever
// merges with it is refused. It returns nil for all others.
func fitPrior(s *schema.Schema, class *schema.Class, now *object.Object, in *changeset.Instruction) changeset.Changeset {
	length, ok := now.ListLength(s, class, in)
	if !ok || length == in.Prior {
		return nil
	}
	fitting := *in
	fitting.Prior = length
	return changeset.Changeset{fitting}
}

// nullOverLink returns what devices get in the place of null that is put over a
// link in a list of mixed. Where the link's object is not there the element reads as
// null, so that they write nothing, and with the object the link comes back to life
// (trap 7.8). With another value in between they write. It returns nil for all other
// instructions.
func nullOverLink(s *schema.Schema, class *schema.Class, now *object.Object, in *changeset.Instruction) changeset.Changeset {
	if !in.Value.IsNull() {
		return nil
	}
	v, ok := now.ListElement(s, class, in).(changeset.Value)
	if !ok || v.Type != changeset.Link {
		return nil
	}
	null := *in
	null.Prior, _ = now.ListLength(s, class, in)
	between := null
	between.Value = changeset.BoolValue(false)
	return changeset.Changeset{between, null}
}

// canErase reports whether devices can apply a SetErase that has been applied (see
// object.Set.CanErase), though they send it.
func canErase(class *schema.Class, now *object.Object, in *changeset.Instruction) bool {
	p := class.Properties[in.Field]
	if p == nil || len(in.Path) > 0 {
		return true
	}
	set, _ := now.Get(p).(*object.Set)
	return set.CanErase(in.Value, p.Type == changeset.Mixed)
}

// restate puts, in the place of all instructions on some sets of an object, one Clear
// of each and what it holds after them.
func restate(cs changeset.Changeset, o *objectWork, after *object.Object, fields []string) changeset.Changeset {
	cs = slices.DeleteFunc(cs, func(in changeset.Instruction) bool {
		return in.Op.HasPath() && len(in.Path) == 0 && slices.Contains(fields, in.Field)
	})
	if after == nil {
		return cs
	}
	for _, field := range fields {
		in := changeset.Instruction{Op: changeset.OpClear, Class: o.ref.Class, Key: o.ref.Key, Field: field, Collection: changeset.SetOf}
		cs = append(cs, in)
		in.Op, in.Collection = changeset.OpSetInsert, changeset.Single
		if set, ok := after.Get(o.class.Properties[field]).(*object.Set); ok {
			for _, v := range set.Items {
				in.Value = v
				cs = append(cs, in)
			}
		}
	}
	return cs
}

// move makes an object be after, for the following parts and for MongoDB.
func (w *work) move(o *objectWork, after *object.Object, instructions changeset.Changeset, t Touched) Touched {
	t = w.touched(o, after, t)
	o.now, o.made = after, nil
	o.changed = true
	if o.instructions == nil {
		o.instructions = instructions[:len(instructions):len(instructions)]
	} else {
		o.instructions = append(o.instructions, instructions...)
	}
	return t
}

// touched fills in what readers of the entry need to know of an object.
func (w *work) touched(o *objectWork, after *object.Object, t Touched) Touched {
	t.Ref = o.ref
	class := o.ref.Class
	t.Before, t.After = w.queryable.project(class, o.now), w.queryable.project(class, after)
	if t.Refresh || t.Before != nil && t.After != nil && !object.Equal(w.schema, o.class, t.Before, t.After) {
		t.Whole = after
	}
	return t
}

// keyText is a primary key as the texts of refusals have it.
func keyText(k changeset.Key) string {
	switch k.Type {
	case changeset.ObjectID:
		return fmt.Sprintf("ObjectID(\"%x\")", k.Str)
	case changeset.UUID:
		return fmt.Sprintf("UUID(%s)", strings.TrimSpace(k.String()))
	case changeset.String:
		return quoted(k.Str)
	}
	return k.String()
}

// maxKeyText is how much of a key goes into texts, in bytes.
const maxKeyText = 200

// quoted quotes a text, which it cuts off where it becomes too long to read.
func quoted(s string) string {
	if len(s) <= maxKeyText {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:maxKeyText], len(s))
}

// hasFailed reports whether an upload of the session was not taken: those queued
// behind it build on it.
func (c *Client) hasFailed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
