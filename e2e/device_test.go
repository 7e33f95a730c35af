package e2e

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// device is a real client with one open realm. Its methods end the test when
// they fail.
type device struct {
	t      testing.TB
	name   string
	client *realmclient.Client
	realm  *realmclient.Realm
	schema []realmclient.Class
	app    realmclient.AppConfig
}

// newDevice starts a client, logs a new anonymous user in and opens a realm
// that has no subscriptions yet.
func newDevice(t testing.TB, b *bridge, name string, schema []realmclient.Class) *device {
	t.Helper()
	d := &device{t: t, name: name, schema: schema, app: realmclient.AppConfig{
		ID: b.app, BaseURL: b.url, DataDir: t.TempDir(),
	}}
	d.launch()
	user, err := d.client.LoginAnonymous(within(t))
	if err != nil {
		t.Fatalf("%s: log in: %v", name, err)
	}
	if user.ID == "" || user.State != "logged_in" {
		t.Fatalf("%s: logged in as %+v", name, user)
	}
	d.open()
	return d
}

// subscribed is a new device that follows all objects of all its classes and
// has them.
func subscribed(t testing.TB, b *bridge, name string, schema []realmclient.Class) *device {
	t.Helper()
	d := newDevice(t, b, name, schema)
	var subs []realmclient.Subscription
	for _, c := range schema {
		if c.Kind != "embedded" {
			subs = append(subs, realmclient.Subscription{Class: c.Name})
		}
	}
	d.subscribe(subs...)
	return d
}

func (d *device) launch() {
	d.t.Helper()
	d.client = realmclient.Run(d.t, realmclient.Options{LogLevel: "debug"})
	if err := d.client.App(within(d.t), d.app); err != nil {
		d.t.Fatalf("%s: app: %v", d.name, err)
	}
}

func (d *device) open() {
	d.t.Helper()
	realm, err := d.client.OpenFLX(within(d.t), realmclient.RealmConfig{Schema: d.schema})
	if err != nil {
		d.t.Fatalf("%s: open: %v", d.name, err)
	}
	d.realm = realm
	d.t.Cleanup(func() {
		if d.t.Failed() {
			d.report()
		}
	})
}

// report prints what the client knows of its troubles, if it is alive.
func (d *device) report() {
	ctx, cancel := context.WithTimeout(context.Background(), realmclient.DefaultTimeout)
	defer cancel()
	if events, err := d.realm.Errors(ctx); err == nil && len(events) > 0 {
		d.t.Logf("%s was told of: %+v", d.name, events)
	}
}

// crash ends the app as the system does; relaunch starts it again on its files.
func (d *device) crash() { d.client.Kill() }

func (d *device) relaunch() {
	d.t.Helper()
	d.launch()
	user, err := d.client.CurrentUser(within(d.t))
	if err != nil || user == nil {
		d.t.Fatalf("%s: the user is gone after a crash of the app: %v", d.name, err)
	}
	d.open()
}

func (d *device) subscribe(subs ...realmclient.Subscription) {
	d.t.Helper()
	if err := d.realm.Resubscribe(within(d.t), subs...); err != nil {
		d.t.Fatalf("%s: subscribe: %v", d.name, err)
	}
	set, err := d.realm.WaitSubscriptions(within(d.t))
	if err != nil || set.State != "complete" {
		d.t.Fatalf("%s: the subscriptions are %+v (%v), want them complete", d.name, set, err)
	}
}

func (d *device) write(ops ...realmclient.Op) {
	d.t.Helper()
	if err := d.realm.Write(within(d.t), ops...); err != nil {
		d.t.Fatalf("%s: write: %v", d.name, err)
	}
}

// upload waits until the bridge has acknowledged all writes.
func (d *device) upload() {
	d.t.Helper()
	if err := d.realm.WaitUpload(within(d.t)); err != nil {
		d.t.Fatalf("%s: upload: %v", d.name, err)
	}
}

// sees waits until the object has those values.
func (d *device) sees(class string, pk any, where map[string]any) {
	d.t.Helper()
	if err := d.realm.WaitObject(within(d.t), class, pk, where); err != nil {
		d.t.Fatalf("%s: wait for %s %v with %v: %v", d.name, class, pk, where, err)
	}
}

// seesNo waits until the object is gone.
func (d *device) seesNo(class string, pk any) {
	d.t.Helper()
	if err := d.realm.WaitGone(within(d.t), class, pk); err != nil {
		d.t.Fatalf("%s: wait for the end of %s %v: %v", d.name, class, pk, err)
	}
}

func (d *device) dump() realmclient.Dump {
	d.t.Helper()
	dump, err := d.realm.Dump(within(d.t))
	if err != nil {
		d.t.Fatalf("%s: dump: %v", d.name, err)
	}
	return dump
}

func (d *device) offline() {
	d.t.Helper()
	if err := d.realm.Pause(within(d.t)); err != nil {
		d.t.Fatalf("%s: pause: %v", d.name, err)
	}
}

func (d *device) online() {
	d.t.Helper()
	if err := d.realm.Resume(within(d.t)); err != nil {
		d.t.Fatalf("%s: resume: %v", d.name, err)
	}
}

// untroubled checks that the library has reported no error to the app.
func (d *device) untroubled() {
	d.t.Helper()
	events, err := d.realm.Errors(within(d.t))
	if err != nil {
		d.t.Fatalf("%s: errors: %v", d.name, err)
	}
	if len(events) > 0 {
		d.t.Errorf("%s was told of: %+v", d.name, events)
	}
}

// unharmed checks that the library has reported no more to the app than that
// it could not connect for a while.
func (d *device) unharmed() {
	d.t.Helper()
	events, err := d.realm.Errors(within(d.t))
	if err != nil {
		d.t.Fatalf("%s: errors: %v", d.name, err)
	}
	for _, e := range events {
		if e.Event != "sync_error" || e.Fatal || e.ResetRequested || e.Code != errConnectFailed && e.Code != errConnectionClosed {
			d.t.Errorf("%s was told of: %+v", d.name, e)
		}
	}
}

// The library's numbers for errors that a server that is away causes.
const (
	errConnectionClosed = 1030
	errConnectFailed    = 1034
)

// converge waits until all devices and the documents of their classes are the
// same, and the devices were told of no error.
func converge(t testing.TB, b *bridge, devices ...*device) {
	t.Helper()
	becomeEqual(t, b, devices...)
	for _, d := range devices {
		d.untroubled()
	}
}

// becomeEqual waits until all devices and the documents of their classes are
// the same.
func becomeEqual(t testing.TB, b *bridge, devices ...*device) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		want, err := documents(ctx, b, devices[0].schema)
		if err != nil {
			return err
		}
		for _, d := range devices {
			got, err := d.realm.Dump(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
			if !reflect.DeepEqual(got, want) {
				return fmt.Errorf("%s has\n%v\nMongoDB has\n%v", d.name, got, want)
			}
		}
		return nil
	})
}
