package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/isthmus-sync/isthmus/changeset"
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
