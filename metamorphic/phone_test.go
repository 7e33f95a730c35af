package metamorphic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/protocol"
)

// phone is a device with its network, and an account of what it has written.
type phone struct {
	number   int
	world    *world
	wire     *wire
	user     *device.User
	client   *device.Client
	realm    *device.Realm
	clock    atomic.Int64 // ms since the epoch of the protocol's timestamps
	offline  bool
	muted    bool
	paused   bool
	expired  bool // it was off line for too long, and may have to reset
	upgraded bool
	node     int // number of the node it connects to

	ident  int64 // of the file, once it is known
	resets int   // client resets: each makes another file
	writes []*written
}

// written is one transaction of a phone's that has changed something.
type written struct {
	ident    int64 // of the file; 0 until it is known
	version  int64
	acked    bool
	receipts []int64 // created
	added    int64   // to the Tally
}

// newPhone makes a phone with a new file.
func (w *world) newPhone(number int) (*phone, error) {
	p := &phone{number: number, world: w, node: 1 + (number-1)%len(w.nodes)}
	var err error
	if p.wire, err = newWire(w.node(p.node).addr); err != nil {
		return nil, err
	}
	p.user = device.NewApp(p.wire.url(), "app").User(fmt.Sprintf("user%d", number), fmt.Sprintf("user%d", number), "none")
	p.clock.Store(w.epoch)
	file, err := device.NewFile(device.Config{Schema: olderSchema, DiscardOnReset: true}, p.options())
	if err != nil {
		p.wire.close()
		return nil, err
	}
	if err := p.open(file); err != nil {
		p.wire.close()
		return nil, err
	}
	return p, nil
}

func (p *phone) options() device.Options {
	return device.Options{
		Clock:      func() time.Time { return protocol.TimestampTime(p.clock.Load()) },
		Second:     2 * time.Millisecond,
		Multiplex:  p.world.dep.config.multiplex,
		Linger:     time.Millisecond,
		YieldBytes: p.world.dep.config.yieldBytes,
	}
}

func (p *phone) open(file *device.File) error {
	p.client = device.NewClient(p.options())
	if p.offline {
		p.client.GoOffline()
	}
	var err error
	p.realm, err = p.client.OpenFile(p.user, file, true)
	p.paused = false
	return err
}

func (p *phone) close() {
	p.client.Close()
	p.wire.close()
}

// restart is the end of the app's process and a new one.
func (p *phone) restart() error {
	p.note()
	p.client.Close()
	p.note()
	return p.open(p.realm.File)
}

// subscribe commits a subscription set. Every set has the tally.
func (p *phone) subscribe(rest string) error {
	queries := map[string]string{}
	if err := json.Unmarshal([]byte(rest), &queries); err != nil {
		return fmt.Errorf("subscription %q: %w", rest, err)
	}
	queries[tally] = "TRUEPREDICATE"
	p.realm.Subscribe(queries)
	return nil
}

// write runs a transaction. at is the time of the phone's clock, in ms after the
// run began.
func (p *phone) write(at int64, edits []edit) {
	p.clock.Store(p.world.epoch + at)
	w := &written{}
	empty := true
	version, err := p.realm.Write(func(tx *device.Tx) error {
		for i := range edits {
			before := tx.Len()
			if edits[i].perform(tx) != nil || tx.Len() == before {
				p.world.unfit++ // what is there
				continue
			}
			p.world.fit++
			w.account(&edits[i])
		}
		empty = tx.Len() == 0
		return nil
	})
	if err != nil {
		p.world.fail("write", "device %d: %v", p.number, err)
		return
	}
	if w.version = version; !empty {
		p.writes = append(p.writes, w)
	}
	p.note()
}

// account notes what an edit did that must not get lost.
func (w *written) account(e *edit) {
	switch {
	case e.ref.Class == receipt && e.verb == "create":
		w.receipts = append(w.receipts, e.ref.Key.Int)
	case e.ref.Class == tally && e.verb == "add":
		if v, err := value(e.value); err == nil {
			w.added += v.(changeset.Value).Num
		}
	}
}

// note looks what has been acknowledged, and whether the file was reset.
func (p *phone) note() {
	ident := p.realm.Ident().File
	if ident != p.ident {
		if p.ident != 0 {
			p.resets++
		}
		for _, w := range p.writes {
			if w.ident == 0 && p.ident == 0 {
				w.ident = ident
			}
		}
		p.ident = ident
	}
	var acked []*written
	for _, w := range p.writes {
		if w.ident == 0 {
			w.ident = ident
		}
		if !w.acked && w.ident == ident && !p.realm.Unacknowledged(w.version) {
			acked = append(acked, w)
		}
	}
	// A reset in between has thrown everything away, and acknowledged nothing.
	if p.realm.Ident().File == ident {
		for _, w := range acked {
			w.acked = true
		}
	}
}

// reachable reports whether waiting for the server makes sense.
func (p *phone) reachable() bool { return !p.offline && !p.muted && !p.paused }

// complaints returns what the phone holds against the server: violations, and
// errors that end a session for good. (Of a client reset it does not complain: see
// note.)
func (p *phone) complaints() (deaf int, worst error) {
	for _, err := range p.realm.Errors() {
		var v *device.Violation
		var s *device.ServerError
		var refused *device.CompensatingWriteError
		switch {
		case errors.As(err, &v) && v.Consequence == device.GoesDeaf:
			deaf++
		case errors.As(err, &v):
			worst = err
		case errors.As(err, &refused):
		case errors.As(err, &s):
			worst = err
		}
	}
	return deaf, worst
}

// wait runs one of the realm's waits, for so long.
func (p *phone) wait(limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(p.world.ctx, limit)
	defer cancel()
	return f(ctx)
}

// subscribed waits for the newest subscription set; that it is refused is an
// answer, too.
func (p *phone) subscribed(ctx context.Context) error {
	err := p.realm.WaitSubscriptions(ctx)
	var refused *device.QueryError
	if errors.As(err, &refused) {
		return nil
	}
	return err
}
