package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/internal/bulk"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/transform"
)

// work is one attempt to commit a batch: what the batch does to history,
// objects, client files and schema, worked out in memory before anything is
// written.
type work struct {
	f     *File
	ctx   context.Context // of the transaction
	plain context.Context // outside it
	batch *batchState

	head          uint64 // history version the attempt builds on
	salt          uint64 // of this commit
	moved         bool   // the head is, or is locked: it was the newest
	schema        *schema.Schema
	queryable     queryable
	schemaChanged bool
	holds         map[string]Hold
	erasing       map[string]int // objects of a class that foreign writes erase

	entries []*Entry
	touches touches // of the first of them
	objects map[changeset.ObjectRef]*objectWork
	order   []changeset.ObjectRef // of objects, as first touched
	clients map[*Client]*clientWork
	epochs  map[uint64]int64 // the newest of each client file: older sessions are detached

	news      map[schemaItem]bool                         // learned by this batch, not yet in an entry
	rewritten map[changeset.ObjectRef]changeset.Changeset // of the changeset at hand
	defects   []transform.Defect                          // pairs met that devices merge wrongly
	unfit     []unfit
	scratch   [3]changeset.Changeset // memory that appendForeign uses again
	made      changeset.Changeset    // the same of encode
	encoded   []byte
}

// unfit is a part of an upload that was made on another copy of the object than
// its author is known to have. People are told of it once it is committed: each
// attempt finds it again.
type unfit struct {
	what   string // happened, for people
	ref    changeset.ObjectRef
	client uint64 // file ident
	err    error
}

// objectWork is one object of a batch.
type objectWork struct {
	ref   changeset.ObjectRef
	class *schema.Class
	doc   *Document // nil: no document
	state *state
	now   *object.Object // nil: does not exist. Never changed in place

	mirrored     *object.Object      // what the document holds, before this commit writes it
	instructions changeset.Changeset // made since, by uploads
	made         changeset.Changeset // object.Instructions of now, where they are at hand
	changed      bool                // now differs from state
	frozen       *Unsynced           // the document can't be mapped
}

// clientWork is one client file of a batch.
type clientWork struct {
	cursor      Cursor
	locked      uint64
	reciprocals map[uint64]changeset.Changeset // changed by this batch
}

var txnOptions = options.Transaction().
	SetReadConcern(readconcern.Snapshot()).
	SetWriteConcern(writeconcern.Majority()).
	SetReadPreference(readpref.Primary())

// attempt tries to commit the batch in one transaction. On any error nothing is
// committed. The caller holds advance.
func (f *File) attempt(ctx context.Context, b *batchState) error {
	if err := f.prepare(ctx, b); err != nil {
		return err
	}
	session, err := f.store.opts.Client.StartSession()
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	defer session.EndSession(ctx)
	if err := session.StartTransaction(txnOptions); err != nil {
		return fmt.Errorf("start transaction: %w", err)
	}
	txn := mongo.NewSessionContext(ctx, session)
	w, err := f.try(ctx, txn, b)
	if err != nil {
		abortCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		// Should it fail, the server ends the transaction by itself.
		_ = session.AbortTransaction(abortCtx)
		return err
	}
	if err := f.commit(ctx, session, w); err != nil {
		return err
	}
	f.finish(w)
	return nil
}

// try does all of an attempt but its commit.
func (f *File) try(ctx, txn context.Context, b *batchState) (*work, error) {
	if b.contended {
		if err := f.lockHead(ctx, txn); err != nil {
			return nil, err
		}
	}
	w := f.newWork(txn, b)
	w.plain, w.moved = ctx, b.contended
	b.tried = w
	if err := w.run(); err != nil {
		return nil, w.reconsider(err)
	}
	return w, nil
}

// lockHead begins a transaction by keeping others from committing until it ends,
// and loads what they have committed. It is for who has lost against others again
// and again: those that are quicker, since they have less to do, would go on winning.
func (f *File) lockHead(ctx, txn context.Context) error {
	var h headDoc
	err := f.store.heads.FindOneAndUpdate(txn, bson.D{{Key: "_id", Value: f.name}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "locked", Value: int64(newSalt())}}}}).Decode(&h)
	if err != nil {
		return fmt.Errorf("%w: lock it first: %w", errMoveHead, err)
	}
	for attempt := 0; ; attempt++ {
		if err := f.loadTail(ctx); err != nil {
			return err
		}
		known, _ := f.Head()
		switch {
		case known == uint64(h.Version):
			return nil
		case known > uint64(h.Version) || attempt > lockPatience:
			return errHeadMoved
		}
		pause(ctx, 0) // no majority has it yet
	}
}

// lockPatience is how often what the head names is looked for while others wait.
const lockPatience = 100

// reconsider returns why an attempt failed: not what it found fault with if
// another node has moved the head. The transaction reads documents and states that
// are newer than the history which the attempt knows, so an upload that fits them
// may seem not to. Only the transaction itself can tell: it sees commits that are
// not yet read outside, since no majority has them.
func (w *work) reconsider(err error) error {
	if w.moved || isTransient(err) || errors.Is(err, errHeadMoved) {
		return err
	}
	if moved := w.checkHead(); moved != nil {
		return moved
	}
	return err
}

// commit commits the transaction, and where the network leaves it open whether
// it did, looks.
func (f *File) commit(ctx context.Context, session *mongo.Session, w *work) error {
	for attempt := 0; ; attempt++ {
		err := session.CommitTransaction(ctx)
		if err == nil {
			return nil
		}
		if !hasLabel(err, "UnknownTransactionCommitResult") || hasLabel(err, "TransientTransactionError") {
			return fmt.Errorf("commit transaction: %w", err)
		}
		if attempt < 20 && ctx.Err() == nil {
			pause(ctx, attempt)
			continue
		}
		h, readErr := f.readHead(ctx)
		if readErr == nil && len(w.entries) > 0 && uint64(h.Salt) == w.salt {
			return nil
		}
		return fmt.Errorf("commit transaction: outcome unknown: %w", err)
	}
}

// prepare makes the collections of classes that the batch may add.
func (f *File) prepare(ctx context.Context, b *batchState) error {
	known := f.Schema()
	for _, j := range b.jobs {
		if j.upload == nil || !f.store.opts.DevelopmentMode {
			continue
		}
		for i := range j.upload.Entries {
			for k := range j.upload.Entries[i].Changeset {
				in := &j.upload.Entries[i].Changeset[k]
				if in.Op != changeset.OpAddTable || known.Class(in.Class) != nil {
					continue
				}
				probe := known.Clone()
				_, err := probe.Apply(in)
				if err == nil {
					err = probe.CheckCollections()
				}
				if err != nil {
					return &jobError{j, &Rejection{Code: codeInvalidSchemaChange, Message: "Invalid schema change (UPLOAD): " + err.Error(), Err: err}}
				}
				if err := f.prepareClass(ctx, probe.Class(in.Class)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (f *File) newWork(ctx context.Context, b *batchState) *work {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &work{
		f: f, ctx: ctx, batch: b,
		head: f.head, salt: newSalt(), schema: f.schema, queryable: f.queryable, holds: f.holds,
		touches:   newTouches(),
		objects:   map[changeset.ObjectRef]*objectWork{},
		clients:   map[*Client]*clientWork{},
		epochs:    map[uint64]int64{},
		rewritten: map[changeset.ObjectRef]changeset.Changeset{},
	}
	for _, j := range b.jobs {
		if j.upload == nil {
			continue
		}
		ident := j.upload.client.ident.Ident
		w.epochs[ident] = max(w.epochs[ident], j.upload.client.epoch)
		if attached := f.clients[ident]; attached != nil {
			w.epochs[ident] = max(w.epochs[ident], attached.epoch)
		}
	}
	return w
}

// run works the batch out and writes it, all but the commit itself.
func (w *work) run() error {
	if err := w.learn(); err != nil {
		return err
	}
	if err := w.load(); err != nil {
		return err
	}
	if err := w.takeForeign(); err != nil {
		return err
	}
	for _, j := range w.batch.jobs {
		if j.upload == nil {
			continue
		}
		if err := w.takeUpload(j); err != nil {
			return err
		}
	}
	return w.write()
}

// next is the version of the next entry.
func (w *work) next() uint64 { return w.head + uint64(len(w.entries)) + 1 }

func (w *work) append(e *Entry) {
	e.Version, e.Salt = w.next(), w.salt
	w.entries = append(w.entries, e)
}

// learn takes up schema instructions and queryable fields, which classes of the
// objects to load depend on.
func (w *work) learn() error {
	for _, j := range w.batch.jobs {
		switch {
		case j.queryable != nil:
			q, changed := w.queryable.with(j.queryable.class, j.queryable.fields)
			if changed {
				w.queryable, w.schemaChanged = q, true
				w.append(&Entry{Origin: ServerIdent, Timestamp: Timestamp(time.Now()), Schema: true})
			}
		case j.configure:
			merged, q, changed, err := w.f.configured(w.schema, w.queryable)
			if err != nil {
				return &jobError{j, err}
			}
			if changed {
				w.schema, w.queryable, w.schemaChanged = merged, q, true
				w.append(&Entry{
					Origin: ServerIdent, Timestamp: Timestamp(time.Now()), Schema: true,
					Changeset: merged.Instructions(),
				})
			}
		case j.bump:
			w.append(&Entry{Origin: ServerIdent, Timestamp: Timestamp(time.Now())})
		case j.upload != nil:
			if err := w.learnFrom(j); err != nil {
				return err
			}
		}
	}
	return nil
}

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

// write writes what the batch came to, head first.
func (w *work) write() error {
	if err := w.writeHead(); err != nil {
		return err
	}
	if w.schemaChanged {
		if err := w.f.writeSchema(w.ctx, w.schema, w.queryable); err != nil {
			return err
		}
	}
	docs, parts := encodeCommit(w.f.name, w.schema, w.salt, w.entries)
	if err := bulk.Insert(w.ctx, w.f.store.history, docs); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	if len(parts) > 0 {
		if _, err := w.f.store.parts.InsertMany(w.ctx, parts); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	if err := w.writeObjects(); err != nil {
		return err
	}
	if err := w.writeClients(); err != nil {
		return err
	}
	return w.writeIngest()
}

// writeHead compares and sets the head. Without entries it only compares: that
// documents are what their states say is true of states as of this head.
func (w *work) writeHead() error {
	if len(w.entries) == 0 {
		if len(w.order) == 0 {
			return nil // it has looked at nothing
		}
		return w.checkHead()
	}
	res, err := w.f.store.heads.UpdateOne(w.ctx,
		bson.D{{Key: "_id", Value: w.f.name}, {Key: "version", Value: int64(w.head)}},
		bson.D{{Key: "$set", Value: bson.D{
			{Key: "version", Value: int64(w.next() - 1)}, {Key: "salt", Value: int64(w.salt)},
		}}})
	if err != nil {
		return fmt.Errorf("%w: %w", errMoveHead, err)
	}
	if res.MatchedCount == 0 {
		return errHeadMoved
	}
	w.moved = true
	return nil
}

func (w *work) checkHead() error {
	h, err := w.f.readHead(w.ctx)
	if err == nil && uint64(h.Version) != w.head {
		err = errHeadMoved
	}
	return err
}

// writeObjects writes states and documents, a class at a time.
func (w *work) writeObjects() error {
	states := map[string]*stateWrites{}
	docs := map[string][]Write{}
	var classes []string
	m := w.f.store.opts.Mirror
	last := w.next() - 1
	for _, ref := range w.order {
		o := w.objects[ref]
		if !o.changed {
			continue
		}
		if !slices.Contains(classes, ref.Class) {
			classes = append(classes, ref.Class)
			states[ref.Class] = &stateWrites{}
		}
		st := &state{version: last, object: o.now}
		if o.now != nil {
			st.fingerprint = m.Fingerprint(w.schema, o.class, o.now)
		}
		if len(o.instructions) > 0 {
			write, err := m.Plan(w.schema, o.class, o.doc, Change{ref.Key, o.mirrored, o.now, o.instructions})
			if err != nil {
				return err
			}
			if write.Model != nil {
				docs[ref.Class] = append(docs[ref.Class], write)
			}
		}
		if o.now != nil || o.state.object != nil {
			w.addState(states[ref.Class], o, st)
		}
		o.state = st
	}
	for _, class := range classes {
		if err := w.f.store.writeStates(w.ctx, class, states[class]); err != nil {
			return err
		}
		if len(docs[class]) == 0 {
			continue
		}
		if err := m.Write(w.ctx, w.schema.Class(class), docs[class]); err != nil {
			return fmt.Errorf("write documents of %s: %w", class, err)
		}
	}
	return nil
}

func (w *work) writeClients() error {
	var models []mongo.WriteModel
	var reciprocals []mongo.WriteModel
	now := time.Now()
	for c, cw := range w.clients {
		models = append(models, mongo.NewUpdateOneModel().SetFilter(c.filter()).SetUpdate(bson.D{{Key: "$set", Value: bson.D{
			{Key: "upload_client", Value: int64(cw.cursor.Client)},
			{Key: "upload_server", Value: int64(cw.cursor.Server)},
			{Key: "locked", Value: int64(cw.locked)},
			{Key: "seen", Value: now},
		}}}))
		reciprocals = append(reciprocals, c.reciprocalModels(cw)...)
	}
	if len(models) == 0 {
		return nil
	}
	res, err := w.f.store.clients.BulkWrite(w.ctx, models, options.BulkWrite().SetOrdered(false))
	if err != nil {
		return fmt.Errorf("write client files: %w", err)
	}
	if int(res.MatchedCount) != len(models) {
		return errDetachedClient
	}
	if len(reciprocals) > 0 {
		if _, err := w.f.store.reciprocals.BulkWrite(w.ctx, reciprocals, options.BulkWrite().SetOrdered(false)); err != nil {
			return fmt.Errorf("write reciprocals: %w", err)
		}
	}
	return nil
}

// reciprocalModels stores the reciprocals that a batch changed, and drops those
// that the client file's progress has made useless.
func (c *Client) reciprocalModels(cw *clientWork) []mongo.WriteModel {
	var models []mongo.WriteModel
	base := cw.cursor.Server / Stride
	stale := false
	for v := range c.reciprocals {
		stale = stale || v <= base
	}
	if stale {
		models = append(models, mongo.NewDeleteManyModel().SetFilter(c.reciprocalsTo(int64(base))))
	}
	for v, cs := range cw.reciprocals {
		if v <= base {
			continue
		}
		d := reciprocalDoc{
			ID:        reciprocalID{c.file.name, int64(c.ident.Ident), int64(v)},
			Changeset: changeset.Encode(cs),
		}
		models = append(models, mongo.NewReplaceOneModel().SetFilter(bson.D{{Key: "_id", Value: d.ID}}).SetReplacement(d).SetUpsert(true))
	}
	return models
}

// finish makes what was committed known in memory. The caller holds advance.
func (f *File) finish(w *work) {
	for _, ref := range w.order {
		o := w.objects[ref]
		if o.changed {
			f.states.put(ref, o.state)
		} else if o.state == noState || o.state.object != nil {
			f.states.put(ref, o.state)
		}
	}
	for c, cw := range w.clients {
		c.mu.Lock()
		c.durable = cw.cursor
		if cw.cursor.Client > c.pending.Client {
			c.pending = cw.cursor
		}
		c.locked = cw.locked
		c.mu.Unlock()
		base := cw.cursor.Server / Stride
		for v, cs := range cw.reciprocals {
			c.reciprocals[v] = cs
		}
		for v := range c.reciprocals {
			if v <= base {
				delete(c.reciprocals, v)
			}
		}
	}
	for _, j := range w.batch.jobs {
		if j.ingest != nil && j.ingest.Documents != nil {
			j.ingest.Documents.follower.committed(j.ingest.Documents)
		}
	}
	f.noteFrozen(w)
	for class, n := range w.erasing {
		f.erased[class].count += n
	}
	for _, d := range w.defects {
		f.store.opts.OnDefect(string(d.Kind))
	}
	for _, u := range w.unfit {
		f.log.Warn(u.what+"; the device's copy is refreshed", "class", u.ref.Class, "key", u.ref.Key.String(), "client_file", u.client, "error", u.err)
	}
	w.batch.entries, w.batch.touched = len(w.entries), 0
	for _, e := range w.entries {
		w.batch.touched += len(e.Objects)
	}
	if len(w.entries) == 0 {
		return
	}
	if w.schemaChanged {
		f.setSchema(w.schema, w.queryable)
	}
	last := w.next() - 1
	f.publish(w.entries, last, w.salt)
	f.store.opts.OnCommit(f.name, last)
	if w.schemaChanged {
		f.store.opts.OnSchema(f.name, w.schema)
	}
}

// flushProgress stores progress that came without changesets.
func (f *File) flushProgress() {
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = map[*Client]bool{}
	f.mu.Unlock()
	if len(dirty) == 0 {
		return
	}
	f.advance.Lock()
	defer f.advance.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	type stored struct {
		cursor Cursor
		locked uint64
	}
	var models, drops []mongo.WriteModel
	taken := map[*Client]stored{}
	for c := range dirty {
		c.mu.Lock()
		st := stored{c.pending, max(c.locked, c.pendingK)}
		same := c.pending == c.durable && c.pendingK <= c.locked
		c.mu.Unlock()
		if same {
			continue
		}
		taken[c] = st
		models = append(models, mongo.NewUpdateOneModel().SetFilter(c.filter()).SetUpdate(bson.D{{Key: "$max", Value: bson.D{
			{Key: "upload_client", Value: int64(st.cursor.Client)},
			{Key: "upload_server", Value: int64(st.cursor.Server)},
			{Key: "locked", Value: int64(st.locked)},
		}}, {Key: "$set", Value: bson.D{{Key: "seen", Value: time.Now()}}}}))
		for v := range c.reciprocals {
			if v <= st.cursor.Server/Stride {
				drops = append(drops, mongo.NewDeleteManyModel().SetFilter(c.reciprocalsTo(int64(st.cursor.Server/Stride))))
				break
			}
		}
	}
	if len(models) == 0 {
		return
	}
	res, err := f.store.clients.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err == nil && int(res.MatchedCount) < len(models) {
		// Of sessions that were taken over nothing is stored, so their clients must
		// not be told that it is.
		for c := range taken {
			var detached bool
			if detached, err = c.isDetached(ctx); err != nil {
				break
			}
			if detached {
				delete(taken, c)
			}
		}
	}
	if err == nil && len(drops) > 0 {
		_, err = f.store.reciprocals.BulkWrite(ctx, drops, options.BulkWrite().SetOrdered(false))
	}
	if err != nil {
		f.log.Warn("storing progress of client files fails; it comes again with their next message", "error", err)
		return
	}
	for c, st := range taken {
		c.mu.Lock()
		c.durable, c.locked = st.cursor, st.locked
		c.mu.Unlock()
		for v := range c.reciprocals {
			if v <= st.cursor.Server/Stride {
				delete(c.reciprocals, v)
			}
		}
	}
}

// Timestamp is a time in the protocol's unit: ms since 2015.
func Timestamp(t time.Time) uint64 { return uint64(max(0, t.UnixMilli()-epoch2015)) }

// TimeOf is the inverse of Timestamp.
func TimeOf(timestamp uint64) time.Time { return time.UnixMilli(int64(timestamp) + epoch2015) }

const epoch2015 = 1420070400000 // 2015-01-01T00:00:00Z in ms since 1970
