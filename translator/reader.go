package translator

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// events is what the stream said between two tokens. It does not end inside a
// transaction.
type events struct {
	hints []history.Hint
	token bson.Raw       // after them
	at    bson.Timestamp // of the last event
}

// ingest reads the stream until it fails, in three stages that work side by
// side, each on its own batch and all in order: what happened is read from the
// stream, the documents that it happened to are read as of the batch's end, and
// what differs is committed together with the token. The error is errStreamEnded
// when everything up to the end of the stream is committed.
func (g *Ingester) ingest(ctx context.Context, stream *mongo.ChangeStream) error {
	group, ctx := errgroup.WithContext(ctx)
	read := make(chan events, 1)
	looked := make(chan *history.Ingest, 1)
	group.Go(func() error {
		defer close(read)
		return g.read(ctx, stream, read)
	})
	group.Go(func() error {
		defer close(looked)
		return g.look(ctx, read, looked)
	})
	group.Go(func() error {
		for in := range looked {
			if err := g.commit(ctx, in); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return errStreamEnded
}

// look reads the documents of what the stream said.
func (g *Ingester) look(ctx context.Context, read <-chan events, to chan<- *history.Ingest) error {
	for e := range read {
		if len(e.hints) == 0 {
			select {
			case to <- &history.Ingest{Token: e.token, Owner: g.Owner}:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := readPieces(ctx, g.follower, e.hints, e.at, func(hints []history.Hint, docs *history.Documents, whole bool) error {
			in := &history.Ingest{Hints: hints, Documents: docs}
			if whole {
				in.Token, in.Owner = e.token, g.Owner
			}
			select {
			case to <- in:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *Ingester) commit(ctx context.Context, in *history.Ingest) error {
	if len(in.Hints) == 0 {
		if err := g.Store.StoreToken(ctx, in.Owner, in.Token); err != nil {
			return err
		}
	} else if err := g.File.Ingest(ctx, in); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	if in.Token != nil {
		g.reach(in.Token)
		g.flying.Add(-1)
	}
	return nil
}

// nearlyFull is the size in bytes from which a batch of events may have been cut
// off because it was full, which MongoDB does at 16 MB.
const nearlyFull = 12 << 20

// reader turns events into batches of hints.
type reader struct {
	g           *Ingester
	collections map[string]*schema.Class
	schema      *schema.Schema
	own         string // transaction of the bridge's that is passing by
	hints       []history.Hint
	told        map[changeset.ObjectRef]int // of the hints, those that tell what was left
	open        string                      // transaction that the last event belongs to
	at          bson.Timestamp              // of the last event
	ended       bson.Raw                    // token of the invalidate event that ended the stream
}

// read reads the stream until it fails or ends.
func (g *Ingester) read(ctx context.Context, stream *mongo.ChangeStream, to chan<- events) error {
	r := &reader{g: g, told: map[changeset.ObjectRef]int{}}
	sent := time.Now()
	send := func() error {
		g.flying.Add(1)
		select {
		case to <- events{r.hints, stream.ResumeToken(), r.at}:
			g.hints.Add(int64(len(r.hints)))
			r.hints, sent = nil, time.Now()
			clear(r.told)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		n, bytes := int32(0), 0
		// Take all that the server has handed out. What it hands out at a time
		// ends inside a transaction only when that is full.
		for more := stream.TryNext(ctx); more; more = stream.RemainingBatchLength() > 0 && stream.TryNext(ctx) {
			if err := r.event(ctx, stream.Current); err != nil {
				return err
			}
			n++
			bytes += len(stream.Current)
		}
		if err := stream.Err(); err != nil {
			return fmt.Errorf("read change stream: %w", err)
		}
		g.events.Add(int64(n))
		full := n >= g.StreamBatch || bytes >= nearlyFull
		inside := r.open != "" && full && len(r.hints) < g.Transaction
		if !inside && (len(r.hints) > 0 || time.Since(sent) > g.TokenHeartbeat || r.ended != nil) {
			if err := send(); err != nil {
				return err
			}
		} else if len(r.hints) == 0 && g.flying.Load() == 0 {
			g.reach(stream.ResumeToken()) // nobody has written anything of ours
		}
		if stream.ID() == 0 {
			return nil
		}
	}
}

// event takes up one change event.
func (r *reader) event(ctx context.Context, e bson.Raw) error {
	txn := transactionOf(e)
	r.open = txn
	if t, i, ok := e.Lookup("clusterTime").TimestampOK(); ok {
		r.at = bson.Timestamp{T: t, I: i}
	}
	db, _ := e.Lookup("ns", "db").StringValueOK()
	coll, _ := e.Lookup("ns", "coll").StringValueOK()
	if db == r.g.Metadata && coll == "heads" {
		if txn != "" {
			// The bridge writes the head first, so what follows of this
			// transaction is its own.
			r.own = txn
		}
		return nil
	}
	kind, _ := e.Lookup("operationType").StringValueOK()
	own := txn != "" && txn == r.own
	if own && len(r.told) == 0 {
		return nil
	}
	switch kind {
	case "insert", "update", "replace", "delete":
	case "drop", "rename", "dropDatabase":
		return r.gone(ctx, kind, coll, e)
	case "invalidate":
		r.ended = bytes.Clone(e.Lookup("_id").Document())
		return nil
	default:
		return nil
	}
	class := r.class(coll)
	if class == nil {
		return nil
	}
	id, err := e.LookupErr("documentKey", schema.KeyField)
	if err != nil {
		return nil
	}
	ref := changeset.ObjectRef{Class: class.Name, Key: documentKey(class, id)}
	if own {
		// What was told of the document before is no longer so.
		if i, told := r.told[ref]; told {
			r.hints[i].Told, r.hints[i].Left = false, nil
			delete(r.told, ref)
		}
		return nil
	}
	h := history.Hint{Ref: ref, Time: timeOf(e), Transaction: txn}
	switch left, hasLeft := e.Lookup("fullDocument").DocumentOK(); {
	case kind == "delete":
		h.Told = true
	case hasLeft && kind != "update":
		h.Told, h.Left = true, bytes.Clone(left)
	}
	if h.Told {
		r.told[ref] = len(r.hints)
	}
	r.hints = append(r.hints, h)
	return nil
}

// class returns the class whose documents a collection holds, nil if none.
func (r *reader) class(coll string) *schema.Class {
	if s := r.g.File.Schema(); s != r.schema {
		r.schema = s
		r.collections = map[string]*schema.Class{}
		for _, c := range s.Classes {
			if c.Kind != changeset.Embedded {
				r.collections[collectionName(c)] = c
			}
		}
	}
	return r.collections[coll]
}

// transactionOf names the transaction an event belongs to, "" if none.
func transactionOf(e bson.Raw) string {
	lsid, err := e.LookupErr("lsid", "id")
	if err != nil {
		return ""
	}
	number, err := e.LookupErr("txnNumber")
	if err != nil {
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(append(append([]byte(nil), lsid.Value...), number.Value...))
}

// timeOf is when an event's write was made, in ms since 2015.
func timeOf(e bson.Raw) uint64 {
	if t, ok := e.Lookup("wallTime").DateTimeOK(); ok {
		return history.Timestamp(time.UnixMilli(t))
	}
	if sec, _, ok := e.Lookup("clusterTime").TimestampOK(); ok {
		return history.Timestamp(time.Unix(int64(sec), 0))
	}
	return history.Timestamp(time.Now())
}
