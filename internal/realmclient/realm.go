package realmclient

import (
	"bytes"
	"context"
	"encoding/json"
)

// Realm is an open realm of a client.
type Realm struct {
	client *Client
	name   string
}

// Object is what a dump says of an object: property name to value, in the
// forms of the package comment.
type Object map[string]any

// Dump is the content of a realm: class name to objects, in the order of the
// JSON text of their primary keys.
type Dump map[string][]Object

// OpenFLX opens a realm in flexible mode; it does not wait for the server.
func (c *Client) OpenFLX(ctx context.Context, config RealmConfig) (*Realm, error) {
	return c.open(ctx, "open_flx", config)
}

// OpenPBS opens the realm of config.Partition; it does not wait for the server.
func (c *Client) OpenPBS(ctx context.Context, config RealmConfig) (*Realm, error) {
	return c.open(ctx, "open_pbs", config)
}

// OpenLocal opens the file config.Path, which no server knows.
func (c *Client) OpenLocal(ctx context.Context, config RealmConfig) (*Realm, error) {
	return c.open(ctx, "open_local", config)
}

func (c *Client) open(ctx context.Context, op string, config RealmConfig) (*Realm, error) {
	if _, err := c.Do(ctx, Command{Op: op, RealmConfig: config}); err != nil {
		return nil, err
	}
	return &Realm{client: c, name: config.Realm}, nil
}

// command addresses a command to the realm.
func (r *Realm) command(c Command) Command {
	c.Realm = r.name
	return c
}

func (r *Realm) run(ctx context.Context, c Command) error {
	_, err := r.client.Do(ctx, r.command(c))
	return err
}

// Subscribe adds subscriptions in one new set; it does not wait for the server.
func (r *Realm) Subscribe(ctx context.Context, subs ...Subscription) error {
	return r.run(ctx, Command{Op: "subscribe", Subs: subs})
}

// Resubscribe replaces all subscriptions in one new set.
func (r *Realm) Resubscribe(ctx context.Context, subs ...Subscription) error {
	return r.run(ctx, Command{Op: "subscribe", Subs: subs, Clear: true})
}

// Subscriptions is the newest set and what has become of it.
func (r *Realm) Subscriptions(ctx context.Context) (SubscriptionSet, error) {
	return do[SubscriptionSet](ctx, r.client, r.command(Command{Op: "subscriptions"}))
}

// WaitSubscriptions waits until the newest set is complete, or has failed or
// been superseded, which its State says.
func (r *Realm) WaitSubscriptions(ctx context.Context) (SubscriptionSet, error) {
	return do[SubscriptionSet](ctx, r.client, r.command(Command{Op: "wait_subscriptions"}))
}

// Write runs the operations in one write transaction; it does not wait for the server.
func (r *Realm) Write(ctx context.Context, ops ...Op) error {
	return r.run(ctx, Command{Op: "write", Ops: ops})
}

// WaitUpload waits until the server has acknowledged all writes.
func (r *Realm) WaitUpload(ctx context.Context) error {
	return r.run(ctx, Command{Op: "wait_upload"})
}

// WaitDownload waits until the realm has all that the server had when it was asked.
func (r *Realm) WaitDownload(ctx context.Context) error {
	return r.run(ctx, Command{Op: "wait_download"})
}

// WaitObject waits until the object is there with those values of properties
// (nil: with any).
func (r *Realm) WaitObject(ctx context.Context, class string, pk any, where map[string]any) error {
	return r.run(ctx, Command{Op: "wait_object", Class: class, PK: pk, Where: where})
}

// WaitGone waits until there is no such object.
func (r *Realm) WaitGone(ctx context.Context, class string, pk any) error {
	return r.run(ctx, Command{Op: "wait_object", Class: class, PK: pk, Gone: true})
}

// Dump is the content of the realm's newest version, of those classes or all.
func (r *Realm) Dump(ctx context.Context, classes ...string) (Dump, error) {
	return do[Dump](ctx, r.client, r.command(Command{Op: "dump", Classes: classes}))
}

// Pause takes the realm off line, Resume back.
func (r *Realm) Pause(ctx context.Context) error { return r.run(ctx, Command{Op: "pause"}) }

// Resume takes the realm on line again.
func (r *Realm) Resume(ctx context.Context) error { return r.run(ctx, Command{Op: "resume"}) }

// Session is the state of the realm's session.
func (r *Realm) Session(ctx context.Context) (Session, error) {
	return do[Session](ctx, r.client, r.command(Command{Op: "session"}))
}

// Errors are the sync errors and client resets so far.
func (r *Realm) Errors(ctx context.Context) ([]Event, error) {
	return do[[]Event](ctx, r.client, r.command(Command{Op: "errors"}))
}

// Events are all events so far.
func (r *Realm) Events(ctx context.Context) ([]Event, error) {
	return do[[]Event](ctx, r.client, r.command(Command{Op: "events"}))
}

// WaitEvent waits for the first event of that kind since the realm was opened.
func (r *Realm) WaitEvent(ctx context.Context, kind string) (Event, error) {
	return do[Event](ctx, r.client, r.command(Command{Op: "wait_event", Event: kind}))
}

// Close closes the realm. With the default stop policy its session lives on
// until all is uploaded.
func (r *Realm) Close(ctx context.Context) error { return r.run(ctx, Command{Op: "close"}) }

// unmarshal decodes JSON with numbers kept as they are written.
func unmarshal(data []byte, v any) error {
	if len(data) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}
