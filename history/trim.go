package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Trimming drops history that no client file can name as a base any more.
// Client files that were not seen for MaxOffline are expired first, or one lost
// phone would keep the history for ever; an expired one is told to reset when it
// comes back. The version that trimming stopped at keeps its salt, in the head's
// document.

// Trim expires client files and drops history. It returns the version up to
// which the history is gone. Any node may do it at any time.
func (f *File) Trim(ctx context.Context) (uint64, error) {
	if err := f.touchAttached(ctx); err != nil {
		return 0, err
	}
	_, err := f.store.clients.UpdateMany(ctx, bson.D{
		{Key: "_id.file", Value: f.name},
		{Key: "expired", Value: bson.D{{Key: "$ne", Value: true}}},
		{Key: "seen", Value: bson.D{{Key: "$lt", Value: time.Now().Add(-f.store.opts.MaxOffline)}}},
	}, bson.D{{Key: "$set", Value: bson.D{{Key: "expired", Value: true}}}, {Key: "$inc", Value: bson.D{{Key: "epoch", Value: int64(1)}}}})
	if err != nil {
		return 0, fmt.Errorf("expire client files: %w", err)
	}
	needed, err := f.oldestNeeded(ctx)
	if err != nil {
		return 0, err
	}
	// A commit is dropped whole or not at all: the newest one that nobody needs.
	var last struct {
		ID   commitID `bson:"_id"`
		Salt int64    `bson:"salt"`
	}
	err = f.store.history.FindOne(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: commitID{f.name, 0}}, {Key: "$lte", Value: commitID{f.name, int64(needed)}},
	}}}, options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}).SetProjection(bson.D{{Key: "salt", Value: 1}})).Decode(&last)
	if errors.Is(err, mongo.ErrNoDocuments) {
		h, err := f.readHead(ctx)
		return uint64(h.Trimmed), err
	}
	if err != nil {
		return 0, fmt.Errorf("find what to trim: %w", err)
	}
	// The salt is kept before the history goes.
	_, err = f.store.heads.UpdateOne(ctx, bson.D{{Key: "_id", Value: f.name}, {Key: "trimmed", Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gt", Value: last.ID.Last}}}}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "trimmed", Value: last.ID.Last}, {Key: "trimmed_salt", Value: last.Salt}}}})
	if err != nil {
		return 0, fmt.Errorf("note what is trimmed: %w", err)
	}
	_, err = f.store.history.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: commitID{f.name, 0}}, {Key: "$lte", Value: last.ID},
	}}})
	if err == nil {
		_, err = f.store.parts.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{
			{Key: "$gte", Value: partID{File: f.name}}, {Key: "$lt", Value: partID{f.name, last.ID.Last + 1, 0}},
		}}})
	}
	if err != nil {
		return 0, fmt.Errorf("trim history: %w", err)
	}
	return uint64(last.ID.Last), nil
}

// touchAttached notes that the client files of this node's sessions are alive.
func (f *File) touchAttached(ctx context.Context) error {
	f.mu.Lock()
	var models []mongo.WriteModel
	now := time.Now()
	for _, c := range f.clients {
		models = append(models, mongo.NewUpdateOneModel().SetFilter(c.filter()).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: now}}}}))
	}
	f.mu.Unlock()
	if len(models) == 0 {
		return nil
	}
	if _, err := f.store.clients.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("note attached client files: %w", err)
	}
	return nil
}

// oldestNeeded returns the newest history version that no client file needs,
// nor any before it.
func (f *File) oldestNeeded(ctx context.Context) (uint64, error) {
	h, err := f.readHead(ctx)
	if err != nil {
		return 0, err
	}
	needed := uint64(h.Version)
	cur, err := f.store.clients.Find(ctx, bson.D{{Key: "_id.file", Value: f.name}, {Key: "expired", Value: bson.D{{Key: "$ne", Value: true}}}},
		options.Find().SetProjection(bson.D{{Key: "upload_server", Value: 1}, {Key: "locked", Value: 1}, {Key: "first_switch", Value: 1}}))
	if err != nil {
		return 0, fmt.Errorf("read client files: %w", err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var d clientDoc
		if err := bson.Unmarshal(cur.Current, &d); err != nil {
			return 0, fmt.Errorf("read client files: %w", err)
		}
		// Nothing below its first bootstrap ever reaches a client file.
		needed = min(needed, max(uint64(min(d.UploadServer, d.Locked)), uint64(d.FirstSwitch))/Stride)
	}
	if err := cur.Err(); err != nil {
		return 0, fmt.Errorf("read client files: %w", err)
	}
	return needed, nil
}

// trimLoop trims now and then.
func (f *File) trimLoop(ctx context.Context) {
	t := time.NewTicker(f.store.opts.TrimInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := f.Trim(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("trimming the history fails; will try again", "error", err)
		}
	}
}

// IsWhole reports whether nothing of the history was trimmed.
func (f *File) IsWhole(ctx context.Context) (bool, error) {
	h, err := f.readHead(ctx)
	return h.Trimmed == 0, err
}
