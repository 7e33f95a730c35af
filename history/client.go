package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Ident names a client file: a number and the secret that proves it.
type Ident struct{ Ident, Salt uint64 }

// Cursor is a pair of positions: a version of the client file, and the wire
// version it had integrated then.
type Cursor struct{ Client, Server uint64 }

// Cursors is what a client says of itself in IDENT.
type Cursors struct {
	Ident
	Download       uint64 // wire version
	DownloadClient uint64
	Latest         uint64 // wire version
	LatestSalt     uint64
}

// ViewSwitch is a bootstrap of a client file: from its wire version on, the
// file's view is that of Query.
type ViewSwitch struct {
	Query    string // the query body
	Messages bool   // sent in more than one message, so it may be cut in the middle
}

type clientID struct {
	File  string `bson:"file"`
	Ident int64  `bson:"ident"`
}

type clientDoc struct {
	ID             clientID    `bson:"_id"`
	Salt           int64       `bson:"salt"`
	User           string      `bson:"user"`
	Epoch          int64       `bson:"epoch"`
	UploadClient   int64       `bson:"upload_client"`
	UploadServer   int64       `bson:"upload_server"`
	Locked         int64       `bson:"locked"`
	PrivateVersion int64       `bson:"private_version"` // history version of the highest private number
	PrivateItem    int64       `bson:"private_item"`
	Switches       []switchDoc `bson:"switches"`
	FirstSwitch    int64       `bson:"first_switch"` // wire version
	Created        time.Time   `bson:"created"`
	Seen           time.Time   `bson:"seen"`
	Expired        bool        `bson:"expired,omitempty"`
}

type switchDoc struct {
	Version  int64  `bson:"version"` // wire version
	Query    string `bson:"query"`
	Messages bool   `bson:"messages,omitempty"`
}

// Allocate makes a client file for a user. It is durable when Allocate returns.
func (f *File) Allocate(ctx context.Context, user string) (Ident, error) {
	var next struct {
		Next int64 `bson:"next"`
	}
	// 1 is the server, so the counter's first value, 1, means ident 2.
	err := f.store.idents.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: f.name}},
		bson.D{{Key: "$inc", Value: bson.D{{Key: "next", Value: int64(1)}}}},
		options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&next)
	if err != nil {
		return Ident{}, fmt.Errorf("allocate file ident: %w", err)
	}
	id := Ident{uint64(next.Next) + ServerIdent, newSalt()}
	now := time.Now()
	_, err = f.store.clients.InsertOne(ctx, clientDoc{
		ID: clientID{f.name, int64(id.Ident)}, Salt: int64(id.Salt), User: user,
		Switches: []switchDoc{}, Created: now, Seen: now,
	})
	if err != nil {
		return Ident{}, fmt.Errorf("allocate file ident: %w", err)
	}
	return id, nil
}

// Client is a client file that a session of this node is attached to.
type Client struct {
	file  *File
	ident Ident
	user  string
	epoch int64

	mu       sync.Mutex
	durable  Cursor // upload cursor as stored
	locked   uint64
	pending  Cursor // progress taken but not yet stored
	pendingK uint64 // locked version that goes with it
	private  uint64 // highest private wire number handed out or seen
	switches []switchDoc
	failed   bool   // an upload was not taken
	queued   int    // uploads that wait for a commit
	first    uint64 // wire version of the first switch of views, 0 if none

	// reciprocals belongs to whoever holds file.advance: history version → what
	// the entry looks like on top of this file's uploads. nil until loaded.
	reciprocals map[uint64]changeset.Changeset
}

// Attach checks a client's IDENT and takes over its client file: sessions that
// were attached to it, on any node, can no longer upload. The error is a
// *Rejection when the client is at fault.
func (f *File) Attach(ctx context.Context, user string, c Cursors) (*Client, error) {
	if err := f.Refresh(ctx); err != nil {
		return nil, err
	}
	head, _ := f.Head()
	var d clientDoc
	id := clientID{f.name, int64(c.Ident.Ident)}
	err := f.store.clients.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) || c.Ident.Ident > 1<<63-1 {
		return nil, reject(codeBadClientFileIdent, "unknown client file ident %d", c.Ident.Ident)
	}
	if err != nil {
		return nil, fmt.Errorf("read client file: %w", err)
	}
	if uint64(d.Salt) != c.Salt {
		return nil, reject(codeDivergingHistories, "wrong salt for client file ident %d", c.Ident.Ident)
	}
	switch {
	case c.Download < uint64(d.UploadServer):
		return nil, reject(codeBadServerVersion, "download cursor %d is below the upload cursor's %d", c.Download, d.UploadServer)
	case d.Expired:
		return nil, reject(codeClientFileExpired, "the client was offline for longer than sync.max_offline (%v)", f.store.opts.MaxOffline)
	case c.Download/Stride > head:
		return nil, reject(codeBadServerVersion, "download cursor %d is above the newest version %d: the server's history may have been restored from a backup", c.Download, head*Stride)
	case c.DownloadClient > uint64(d.UploadClient):
		return nil, reject(codeBadClientVersion, "download client version %d is above the upload cursor's %d", c.DownloadClient, d.UploadClient)
	case c.Latest < c.Download || c.Latest/Stride > head:
		return nil, reject(codeBadServerVersion, "latest version %d does not fit download cursor %d and newest version %d", c.Latest, c.Download, head*Stride)
	}
	if c.Latest > 0 {
		salt, ok, err := f.saltOf(ctx, c.Latest/Stride)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, reject(codeClientFileExpired, "the history after version %d was trimmed", c.Download)
		}
		if salt != c.LatestSalt {
			return nil, reject(codeDivergingHistories, "the client comes from another history: wrong salt for version %d", c.Latest)
		}
	}
	if d.User != user {
		return nil, reject(codeUserMismatch, "client file ident %d belongs to another user", c.Ident.Ident)
	}

	// From here on the old sessions' commits fail. One that is under way makes
	// this write wait, and shows in what it returns.
	err = f.store.unblocking(ctx, func() error {
		return f.store.clients.FindOneAndUpdate(ctx, bson.D{{Key: "_id", Value: id}}, bson.D{
			{Key: "$inc", Value: bson.D{{Key: "epoch", Value: int64(1)}}},
			{Key: "$set", Value: bson.D{{Key: "seen", Value: time.Now()}}},
		}, options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&d)
	})
	if err != nil {
		return nil, fmt.Errorf("attach client file: %w", err)
	}
	if c.Download < uint64(d.UploadServer) || c.DownloadClient > uint64(d.UploadClient) {
		return nil, reject(codeBadServerVersion, "download cursor %d is below the upload cursor's %d", c.Download, d.UploadServer)
	}
	client := &Client{
		file: f, ident: c.Ident, user: user, epoch: d.Epoch,
		durable:  Cursor{uint64(d.UploadClient), uint64(d.UploadServer)},
		locked:   uint64(d.Locked),
		private:  max(uint64(d.PrivateVersion)*Stride+uint64(d.PrivateItem), c.Download),
		switches: d.Switches,
		first:    uint64(d.FirstSwitch),
	}
	client.pending = client.durable
	f.mu.Lock()
	f.clients[c.Ident.Ident] = client
	f.mu.Unlock()
	return client, nil
}

// Ident returns the client file's ident.
func (c *Client) Ident() Ident { return c.ident }

// UploadCursor returns how far the client file's uploads are durable.
func (c *Client) UploadCursor() Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.durable
}

// Private hands out the next private wire number after a history version, and
// stores it, with the switch of views it numbers (nil if none), before it
// returns. When the version has none left it makes a new version and fails: the
// caller begins again, on top of that one.
func (c *Client) Private(ctx context.Context, version uint64, sw *ViewSwitch) (uint64, error) {
	c.mu.Lock()
	wire := version*Stride + 1
	if c.private >= wire {
		wire = c.private + 1
	}
	c.mu.Unlock()
	if wire/Stride != version {
		// The next history version has numbers anew.
		if err := c.file.submitAndWait(ctx, &job{bump: true}); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("version %d has no private number left; the next version has", version)
	}
	set := bson.D{{Key: "private_version", Value: int64(wire / Stride)}, {Key: "private_item", Value: int64(wire % Stride)}}
	update := bson.D{{Key: "$set", Value: set}}
	var d switchDoc
	if sw != nil {
		d = switchDoc{int64(wire), sw.Query, sw.Messages}
		update = append(update, bson.E{Key: "$max", Value: bson.D{{Key: "first_switch", Value: int64(c.firstSwitchOr(wire))}}})
		update = append(update, bson.E{Key: "$push", Value: bson.D{{Key: "switches", Value: bson.D{
			{Key: "$each", Value: bson.A{d}}, {Key: "$slice", Value: -maxSwitches},
		}}}})
	}
	res, err := c.file.store.clients.UpdateOne(ctx, c.filter(), update)
	if err != nil {
		return 0, fmt.Errorf("store private version: %w", err)
	}
	if res.MatchedCount == 0 {
		return 0, ErrDetached
	}
	c.mu.Lock()
	c.private = wire
	if sw != nil {
		if c.first == 0 {
			c.first = wire
		}
		c.switches = append(c.switches, d)
		if len(c.switches) > maxSwitches {
			c.switches = c.switches[1:]
		}
	}
	c.mu.Unlock()
	return wire, nil
}

// maxSwitches is how many switches of view are remembered of a client file: the
// last one that was surely applied, and some that may not have been.
const maxSwitches = 8

// Unfinished reports whether a bootstrap of several messages was begun that the
// client, whose download cursor this is, has not applied.
func (c *Client) Unfinished(cursor uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.switches); n > 0 {
		return c.switches[n-1].Messages && uint64(c.switches[n-1].Version) > cursor
	}
	return false
}

// firstSwitch returns the wire version of the file's first bootstrap, below which
// no history entry ever reached it; 0 if it had none.
func (c *Client) firstSwitch() uint64 { return c.firstSwitchOr(0) }

func (c *Client) firstSwitchOr(other uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first != 0 {
		return c.first
	}
	return other
}

// lastSwitch returns the wire version of the newest switch of views that may
// have sent or taken objects, 0 if there was none.
func (c *Client) lastSwitch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.switches)
	if n == 0 {
		return 0
	}
	// From no query to no query, as a new file's first bootstrap does, nothing
	// can move.
	if n < maxSwitches {
		empty := true
		for _, s := range c.switches {
			empty = empty && s.Query == "{}"
		}
		if empty {
			return 0
		}
	}
	return uint64(c.switches[n-1].Version)
}

// switchedBetween reports whether the file's view was switched above a wire
// version and up to another, as far as switches are remembered.
func (c *Client) switchedBetween(after, to uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.switches, func(s switchDoc) bool {
		return uint64(s.Version) > after && uint64(s.Version) <= to
	})
}

// filter matches the client file while this Client is the one attached to it.
func (c *Client) filter() bson.D {
	return bson.D{{Key: "_id", Value: clientID{c.file.name, int64(c.ident.Ident)}}, {Key: "epoch", Value: c.epoch}}
}

// isDetached reports whether another session has attached to the client file.
func (c *Client) isDetached(ctx context.Context) (bool, error) {
	err := c.file.store.clients.FindOne(ctx, c.filter()).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return true, nil
	}
	return false, err
}

// Close ends the attachment: progress not yet stored is stored soon.
func (c *Client) Close() {
	c.file.mu.Lock()
	if c.file.clients[c.ident.Ident] == c {
		delete(c.file.clients, c.ident.Ident)
	}
	c.file.mu.Unlock()
}

// loadReciprocals reads the client file's reciprocals. The caller holds advance.
func (c *Client) loadReciprocals(ctx context.Context) error {
	if c.reciprocals != nil {
		return nil
	}
	cur, err := c.file.store.reciprocals.Find(ctx, c.reciprocalsTo(math.MaxInt64))
	if err != nil {
		return fmt.Errorf("read reciprocals: %w", err)
	}
	var docs []reciprocalDoc
	if err := cur.All(ctx, &docs); err != nil {
		return fmt.Errorf("read reciprocals: %w", err)
	}
	m := map[uint64]changeset.Changeset{}
	for _, d := range docs {
		cs, err := changeset.Decode(d.Changeset)
		if err != nil {
			return fmt.Errorf("read reciprocal of version %d: %w", d.ID.Version, err)
		}
		m[uint64(d.ID.Version)] = cs
	}
	c.reciprocals = m
	return nil
}

// reciprocalsTo matches the stored reciprocals of versions up to and with one.
func (c *Client) reciprocalsTo(version int64) bson.D {
	id := reciprocalID{File: c.file.name, Ident: int64(c.ident.Ident)}
	to := id
	to.Version = version
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: id}, {Key: "$lte", Value: to}}}}
}

type reciprocalID struct {
	File    string `bson:"file"`
	Ident   int64  `bson:"ident"`
	Version int64  `bson:"version"`
}

// reciprocalDoc is what a history entry looks like on top of a client file's
// uploads. An empty changeset is a value: nothing of the entry is left.
type reciprocalDoc struct {
	ID        reciprocalID `bson:"_id"`
	Changeset []byte       `bson:"cs"`
}
