package history

import (
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/internal/bulk"
)

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
