package history

import (
	"slices"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

// Bounds of one entry of foreign writes, in bytes of their documents. Devices get
// an entry in one piece and keep it whole in memory.
const (
	maxForeignEntry     = 1 << 20
	maxForeignTxnEntry  = 8 << 20 // of one foreign transaction
	leastForeignWritten = 128     // what a document counts for at least
)

// hinted is what hints say of one object.
type hinted struct {
	time         uint64   // of the last change
	transactions []string // that changed it
}

// foreignGroup is what becomes one entry.
type foreignGroup struct {
	time  uint64
	refs  []changeset.ObjectRef
	bytes int
}

// takeForeign appends entries for the foreign writes that the loaded documents
// show.
func (w *work) takeForeign() error {
	of, err := w.loadForeign()
	if err != nil {
		return err
	}
	if err := w.fillNew(); err != nil {
		return err
	}
	w.freezeTooLarge()
	hints, order := w.readHints()
	m := w.f.store.opts.Mirror
	now := Timestamp(time.Now())
	onTheSpot := map[changeset.ObjectRef]bool{}
	for _, ref := range w.order {
		o := w.objects[ref]
		if hints[ref] != nil || !o.isForeign(m, w.schema) {
			continue
		}
		if !w.batch.mayIngest(ref) {
			return &foreignWriteError{ref}
		}
		if o.doc == nil {
			if err := w.goneWithItsCollection(o); err != nil {
				return err
			}
		}
		hints[ref] = &hinted{time: now}
		order = append(order, ref)
		onTheSpot[ref] = true
	}
	var foreign []changeset.ObjectRef
	erasing := map[string]int{}
	for _, ref := range order {
		o := w.objects[ref]
		if o == nil || !onTheSpot[ref] && !o.isForeign(m, w.schema) {
			continue
		}
		foreign = append(foreign, ref)
		if h, settles := w.holds[ref.Class]; o.doc == nil && !(settles && h.Settling) {
			erasing[ref.Class]++
		}
	}
	for class, n := range erasing {
		if err := w.guard(class, n); err != nil {
			return err
		}
	}
	w.erasing = erasing
	for _, j := range w.batch.jobs {
		if j.ingest != nil && j.ingest.Documents != nil {
			j.ingest.Documents.entries = nil // those of a try that failed
		}
	}
	for _, g := range w.groupForeign(foreign, hints) {
		if d := commonDocuments(g.refs, of); d != nil {
			d.entries = append(d.entries, w.next())
		}
		// Devices' clocks are theirs, but a foreign write is never from the future.
		w.appendForeign(min(g.time, now), g.refs)
	}
	return nil
}

// commonDocuments returns what the documents of all these objects were read
// with, nil if that is not one.
func commonDocuments(refs []changeset.ObjectRef, of map[changeset.ObjectRef]*Documents) *Documents {
	d := of[refs[0]]
	for _, ref := range refs {
		if of[ref] != d {
			return nil
		}
	}
	return d
}

// readHints gathers the batch's hints by object, in order of first mention.
func (w *work) readHints() (map[changeset.ObjectRef]*hinted, []changeset.ObjectRef) {
	hints := map[changeset.ObjectRef]*hinted{}
	var order []changeset.ObjectRef
	for _, j := range w.batch.jobs {
		if j.ingest == nil {
			continue
		}
		for _, h := range j.ingest.Hints {
			if isPutOff(w.holds, h.Ref.Class) {
				continue
			}
			have := hints[h.Ref]
			if have == nil {
				have = &hinted{}
				hints[h.Ref] = have
				order = append(order, h.Ref)
			}
			have.time = max(have.time, h.Time)
			if n := len(have.transactions); h.Transaction != "" && (n == 0 || have.transactions[n-1] != h.Transaction) {
				have.transactions = append(have.transactions, h.Transaction)
			}
		}
	}
	return hints, order
}

// groupForeign sorts foreign writes into entries: a transaction is one, and so
// are transactions that changed the same object, since the object shows what the
// last of them made of it. Writes outside transactions go by their time, which
// an entry has only one of.
func (w *work) groupForeign(refs []changeset.ObjectRef, hints map[changeset.ObjectRef]*hinted) []*foreignGroup {
	joined := map[string]string{} // transaction → one that it goes with
	root := func(t string) string {
		for joined[t] != "" {
			t = joined[t]
		}
		return t
	}
	// An object that has come back to what it was joins them, too.
	for _, h := range hints {
		ts := h.transactions
		for i := 1; i < len(ts); i++ {
			if a, b := root(ts[0]), root(ts[i]); a != b {
				joined[b] = a
			}
		}
	}
	var groups []*foreignGroup
	type name struct {
		transaction string
		time        uint64
	}
	open := map[name]*foreignGroup{}
	for _, ref := range refs {
		h := hints[ref]
		id, limit := name{time: h.time}, maxForeignEntry
		if len(h.transactions) > 0 {
			id, limit = name{transaction: root(h.transactions[0])}, maxForeignTxnEntry
		}
		size := leastForeignWritten
		if o := w.objects[ref]; o.doc != nil {
			size = max(size, len(o.doc.Raw))
		}
		g := open[id]
		if g == nil || g.bytes+size > limit {
			g = &foreignGroup{}
			open[id] = g
			groups = append(groups, g)
		}
		g.time = max(g.time, h.time)
		g.bytes += size
		g.refs = append(g.refs, ref)
	}
	return groups
}

// appendForeign appends one entry that makes objects be what their documents
// hold: what is erased first, then what is new, then what has changed.
func (w *work) appendForeign(timestamp uint64, refs []changeset.ObjectRef) {
	e := &Entry{Origin: ServerIdent, Timestamp: timestamp, Objects: make([]Touched, 0, len(refs))}
	erased, created, changed := w.scratch[0][:0], w.scratch[1][:0], w.scratch[2][:0]
	var made []*objectWork
	for _, ref := range refs {
		o := w.objects[ref]
		var after *object.Object
		if o.doc != nil {
			after = w.f.store.opts.Mirror.Refine(w.schema, o.class, o.doc.Object, o.state.object)
		}
		switch {
		case after == nil:
			erased = object.AppendDiff(erased, w.schema, ref, o.now, after)
		case o.now == nil:
			from := len(created)
			created = object.AppendDiff(created, w.schema, ref, o.now, after)
			o.made = created[from:]
			made = append(made, o)
		default:
			changed = object.AppendDiff(changed, w.schema, ref, o.now, after)
		}
		e.Objects = append(e.Objects, w.touched(o, after, Touched{}))
		o.now, o.mirrored, o.changed = after, after, true
	}
	e.Changeset = slices.Concat(erased, created, changed)
	w.scratch = [3]changeset.Changeset{erased, created, changed}
	// What the scratch memory holds is kept in the entry alone.
	rest := e.Changeset[len(erased):]
	for _, o := range made {
		n := len(o.made)
		o.made, rest = rest[:n:n], rest[n:]
	}
	w.append(e)
}
