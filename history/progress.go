package history

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// takeProgress notes progress that came without changesets.
func (c *Client) takeProgress(u *Upload) {
	f := c.file
	f.mu.Lock()
	defer f.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.Progress.Client > c.pending.Client {
		c.pending = u.Progress
	}
	c.pendingK = max(c.pendingK, u.Locked)
	f.dirty[c] = true
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
