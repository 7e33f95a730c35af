package history

import (
	"fmt"
)

// In development mode a device may add a required property. Documents that were
// synced before lack it, and would all be unsynced. They get its zero, which
// their objects have on devices already, when they are next looked at: by an
// upload that touches them, or by the scan that the new property starts. Once
// that scan is done the property is no longer new, and a document without it is
// unsynced like any other.

// maxRefusedFills is how many documents of a class MongoDB may refuse to have
// filled in before the batch fills in no more.
const maxRefusedFills = 10

// fillNew fills the loaded documents that lack nothing but new properties.
func (w *work) fillNew() error {
	if !w.f.store.opts.DevelopmentMode {
		return nil
	}
	lacking := map[string][]*objectWork{}
	refusals := map[string]int{}
	for _, ref := range w.order {
		o := w.objects[ref]
		if o.frozen == nil || !o.frozen.Missing || o.state.object == nil {
			continue
		}
		if reason := w.batch.refused[ref]; reason != "" {
			refused := *o.frozen
			refused.Reason += "; MongoDB refuses to have it filled in: " + reason
			o.frozen = &refused
			refusals[ref.Class]++
			continue
		}
		lacking[ref.Class] = append(lacking[ref.Class], o)
	}
	m := w.f.store.opts.Mirror
	for class, objects := range lacking {
		if refusals[class] > maxRefusedFills {
			// Each refusal is another try of the batch. They wait for better times.
			continue
		}
		isNew, err := w.newProperties(class)
		if err != nil {
			return err
		}
		// What was read outside the transaction may have been mended since.
		for _, o := range objects {
			o.frozen = nil
		}
		if err := w.loadClass(class, objects); err != nil {
			return err
		}
		var writes []Write
		for _, o := range objects {
			if o.frozen == nil || !o.frozen.Missing {
				continue
			}
			if doc, write := m.Fill(w.schema, o.class, o.ref.Key, o.doc, isNew); doc != nil {
				o.doc, o.frozen = doc, nil
				writes = append(writes, write)
			}
		}
		if len(writes) == 0 {
			continue
		}
		// A refusal is for good only if the head is the newest, and after one the
		// transaction can't tell any more.
		if err := w.checkHead(); err != nil {
			return err
		}
		w.moved = true
		if err := m.Write(w.ctx, w.schema.Class(class), writes); err != nil {
			return fmt.Errorf("fill in new properties of %s: %w", class, err)
		}
	}
	return nil
}

// newProperties returns which required properties came after the last whole
// scan of a class.
func (w *work) newProperties(class string) (func(class, property string) bool, error) {
	s, err := w.f.ReadScan(w.ctx, class)
	if err != nil {
		return nil, err
	}
	known := make(map[Property]bool, len(s.Required))
	for _, p := range s.Required {
		known[p] = true
	}
	return func(class, property string) bool { return !known[Property{class, property}] }, nil
}
