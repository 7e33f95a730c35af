package history

import (
	"bytes"
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// load reads the documents and states of all objects the batch names.
func (w *work) load() error {
	byClass := map[string][]*objectWork{}
	var classes []string
	add := func(ref changeset.ObjectRef) {
		o := w.add(ref)
		if o == nil {
			return
		}
		if byClass[ref.Class] == nil {
			classes = append(classes, ref.Class)
		}
		byClass[ref.Class] = append(byClass[ref.Class], o)
	}
	for _, j := range w.batch.jobs {
		switch {
		case j.ingest != nil:
			for _, h := range j.ingest.Hints {
				if w.putOff(j.ingest, h.Ref) {
					continue
				}
				add(h.Ref)
			}
		case j.upload != nil:
			for i := range j.upload.Entries {
				cs := j.upload.Entries[i].Changeset
				for k := range cs {
					if !cs[k].Op.IsSchema() {
						add(cs[k].Object())
					}
				}
			}
		}
	}
	for _, class := range classes {
		if err := w.loadClass(class, byClass[class]); err != nil {
			return err
		}
	}
	return nil
}

// add adds an object to the batch; nil if it is there already, or of no class.
func (w *work) add(ref changeset.ObjectRef) *objectWork {
	if w.objects[ref] != nil {
		return nil
	}
	class := w.schema.Class(ref.Class)
	if class == nil {
		return nil
	}
	o := &objectWork{ref: ref, class: class}
	w.objects[ref] = o
	w.order = append(w.order, ref)
	return o
}

// loadClass reads the documents and states of objects of one class.
func (w *work) loadClass(class string, objects []*objectWork) error {
	keys := make([]changeset.Key, len(objects))
	for i, o := range objects {
		keys[i] = o.ref.Key
	}
	docs, err := w.f.store.opts.Mirror.Read(w.ctx, w.schema, w.schema.Class(class), keys)
	if err != nil {
		return fmt.Errorf("read documents of %s: %w", class, err)
	}
	for _, o := range objects {
		o.doc = docs[o.ref.Key]
	}
	return w.loadStates(class, objects)
}

// loadStates reads the states of objects of one class whose documents are read,
// but for those in the cache.
func (w *work) loadStates(class string, objects []*objectWork) error {
	var missing []changeset.Key
	for _, o := range objects {
		st, ok := w.f.states.get(o.ref)
		if !ok {
			st = noState
			missing = append(missing, o.ref.Key)
		}
		o.state = st
	}
	err := w.f.readStates(w.ctx, w.schema, class, missing, func(ref changeset.ObjectRef, st *state) {
		w.objects[ref].state = st
	})
	if err != nil {
		return err
	}
	for _, o := range objects {
		o.now = o.state.object
		o.mirrored = o.now
		if o.doc != nil {
			o.frozen = o.doc.Unsynced
		}
	}
	return nil
}

// isForeign reports whether the document is not what the state says, so that
// somebody else has written it.
func (o *objectWork) isForeign(m Mirror, s *schema.Schema) bool {
	switch {
	case o.frozen != nil:
		return false
	case o.doc == nil || o.state.object == nil:
		return o.doc != nil || o.state.object != nil
	}
	return !bytes.Equal(m.Fingerprint(s, o.class, o.doc.Object), o.state.fingerprint)
}
