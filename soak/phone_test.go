package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// commandTime bounds what a client does by itself, such as a write.
const commandTime = 20 * time.Second

// phone is a process with the real client, which takes part in one session
// after another, each with a realm of its own.
type phone struct {
	number int
	dir    string
	app    realmclient.AppConfig
	log    io.Writer // gets what the library logs; may be nil
	level  string

	client *realmclient.Client

	// of the session
	session int
	realm   *realmclient.Realm
	opened  int // realms opened in this process
	offline bool
	told    []realmclient.Event // by realms that are closed again
}

// start starts the process, if there is none, and logs its user in.
func (p *phone) start(ctx context.Context) error {
	if p.client != nil {
		return nil
	}
	dir, err := os.MkdirTemp(p.dir, "phone")
	if err != nil {
		return err
	}
	p.app.DataDir, p.opened = dir, 0
	if p.client, err = realmclient.Start(realmclient.Options{LogLevel: p.level, Stderr: p.log}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := p.client.App(ctx, p.app); err != nil {
		return err
	}
	_, err = p.client.LoginAnonymous(ctx)
	return err
}

// end ends the process, as a crash does.
func (p *phone) end() {
	if p.client != nil {
		p.client.Kill()
		_ = os.RemoveAll(p.app.DataDir)
	}
	p.client, p.realm = nil, nil
}

func (p *phone) file() string {
	return filepath.Join(p.app.DataDir, fmt.Sprintf("session%d.realm", p.session))
}

// join opens the realm of a session and follows its objects.
func (p *phone) join(ctx context.Context, session int) error {
	p.session, p.offline, p.told = session, false, nil
	if err := p.open(ctx); err != nil {
		return err
	}
	var subs []realmclient.Subscription
	for _, name := range topClasses {
		subs = append(subs, realmclient.Subscription{Class: name, Query: fmt.Sprintf("%s == %d", sessionProperty, session)})
	}
	if err := p.realm.Subscribe(ctx, subs...); err != nil {
		return err
	}
	set, err := p.realm.WaitSubscriptions(ctx)
	if err == nil && set.State != "complete" {
		err = fmt.Errorf("the subscriptions are %s: %s", set.State, set.Error)
	}
	return err
}

func (p *phone) open(ctx context.Context) error {
	p.opened++
	realm, err := p.client.OpenFLX(ctx, realmclient.RealmConfig{
		Realm: fmt.Sprintf("realm%d", p.opened), Schema: classes, Path: p.file(), StopPolicy: "immediately",
	})
	if err == nil {
		p.realm = realm
	}
	return err
}

// leave closes the session's realm for good.
func (p *phone) leave(ctx context.Context) error {
	err := p.realm.Close(ctx)
	p.realm = nil
	for _, rest := range []string{"", ".lock", ".note", ".management", ".fresh.lock"} {
		_ = os.RemoveAll(p.file() + rest)
	}
	return err
}

// reopen closes the realm and opens it again.
func (p *phone) reopen(ctx context.Context) error {
	events, err := p.realm.Errors(ctx)
	if err != nil {
		return err
	}
	p.told = append(p.told, events...)
	if err := p.realm.Close(ctx); err != nil {
		return err
	}
	if err := p.open(ctx); err != nil || !p.offline {
		return err
	}
	return p.realm.Pause(ctx)
}

func (p *phone) goOffline(ctx context.Context) error {
	p.offline = true
	return p.realm.Pause(ctx)
}

func (p *phone) goOnline(ctx context.Context) error {
	p.offline = false
	return p.realm.Resume(ctx)
}

// sync sends everything and gets everything.
func (p *phone) sync(ctx context.Context) error {
	if p.offline {
		if err := p.realm.Resume(ctx); err != nil {
			return err
		}
	}
	if err := p.realm.WaitUpload(ctx); err != nil {
		return err
	}
	if err := p.realm.WaitDownload(ctx); err != nil {
		return err
	}
	if p.offline {
		return p.realm.Pause(ctx)
	}
	return nil
}

// state is what the phone holds of the session.
func (p *phone) state(ctx context.Context) (state, error) {
	dump, err := p.realm.Dump(ctx)
	if err != nil {
		return nil, err
	}
	return stateOf(dump, p.session)
}

// attempts is how often a write is tried that fails because the realm was not
// any more as it had been seen.
const attempts = 3

// write makes the edits that fit, in one transaction, and returns them. propose
// makes up the next edit for a state; nil when there is none.
func (p *phone) write(ctx context.Context, propose func(attempt int) func(state) *edit) ([]*edit, error) {
	for attempt := range attempts {
		s, err := p.state(ctx)
		if err != nil {
			return nil, err
		}
		var ops []realmclient.Op
		var edits []*edit
		next := propose(attempt)
		for e := next(s); e != nil; e = next(s) {
			more, err := s.perform(e, p.session)
			if errors.Is(err, errUnfit) {
				continue
			}
			if err != nil {
				return nil, err
			}
			ops, edits = append(ops, more...), append(edits, e)
		}
		if len(ops) == 0 {
			return nil, nil
		}
		err = p.realm.Write(ctx, ops...)
		var refused *realmclient.CommandError
		switch {
		case err == nil:
			return edits, nil
		case !errors.As(err, &refused) || refused.Timeout:
			return nil, err
		}
		p.unfit(err, edits)
	}
	return nil, nil
}

// unfit notes that a write did not fit what it met.
func (p *phone) unfit(err error, edits []*edit) {
	if p.log != nil {
		fmt.Fprintf(p.log, "does not fit: %v\n%v\n", err, edits)
	}
}

// troubles are the errors and resets that the app was told of in the session.
func (p *phone) troubles(ctx context.Context) ([]realmclient.Event, error) {
	events, err := p.realm.Errors(ctx)
	return append(p.told, events...), err
}
