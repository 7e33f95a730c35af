package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
)

// maxUnsent is how many transactions a phone writes ahead of the server.
const maxUnsent = 30

// phone is a device whose user never rests.
type phone struct {
	w      *world
	number int
	name   string
	rng    *rand.Rand
	user   *device.User
	client *device.Client
	realm  *device.Realm

	trace   trace
	seq     int
	unsent  []sent
	slowest time.Duration // from a write to its acknowledgement

	mu      sync.Mutex
	told    []string  // errors, that the server sent or the app was told of
	refused int       // writes that the server has undone
	settled time.Time // when the newest write was made that is acknowledged
}

// sent is a transaction that is not known to be on the server.
type sent struct {
	note    *note
	version int64
	at      time.Time
}

func (w *world) newPhone(number int) (*phone, error) {
	p := &phone{w: w, number: number, name: fmt.Sprintf("phone%d", number), rng: w.rng(uint64(100 + number))}
	var err error
	if p.user, err = device.NewApp(w.gateway.url(), w.name).LoginAnonymous(w.t.Context()); err != nil {
		return nil, err
	}
	p.client = device.NewClient(p.options())
	if p.realm, err = p.client.Open(p.user, device.Config{Schema: appSchema}); err != nil {
		p.client.Close()
		return nil, err
	}
	p.subscribe()
	return p, nil
}

func (p *phone) options() device.Options {
	return device.Options{
		Second: 20 * time.Millisecond,
		Trace: func(sent bool, m protocol.Message) {
			p.trace.add(sent, m)
			e, ok := m.(*protocol.JSONError)
			if sent || !ok {
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			switch e.Code {
			case protocol.CompensatingWrite:
				p.refused++
				return
			case protocol.ConnectionClosed: // the bridge is told to end
				return
			}
			p.told = append(p.told, fmt.Sprintf("%v: %s (%s)", e.Code, e.Message, e.Action))
		},
	}
}

// subscribe asks for everything on the first phone; on others for the phone's
// own receipts and the things of two lanes.
func (p *phone) subscribe() {
	const all = "TRUEPREDICATE"
	q := map[string]string{receipt: all, tally: all, journal: all, pair: all, thing: all, archive: all, attic: all}
	if p.number > 0 {
		q[receipt] = fmt.Sprintf("by == %q", p.name)
		q[thing] = fmt.Sprintf("lane == %d OR lane == %d", p.rng.IntN(lanes), p.rng.IntN(lanes))
	}
	p.realm.Subscribe(q)
}

func (p *phone) close() { p.client.Close() }

// work writes until the context ends.
func (p *phone) work(ctx context.Context) {
	for ctx.Err() == nil {
		switch n := p.rng.IntN(1000); {
		case n < 4:
			p.client.Close() // the app's process ends, and comes again
			p.note()
			p.client = device.NewClient(p.options())
			realm, err := p.client.OpenFile(p.user, p.realm.File, false)
			if err != nil {
				p.w.t.Errorf("%s: open the file again: %v", p.name, err)
				return
			}
			p.realm = realm
		case n < 10:
			p.client.GoOffline()
			for range p.rng.IntN(10) {
				p.write()
				rest(ctx, p.rng, 50*time.Millisecond)
			}
			p.client.GoOnline()
		case n < 15:
			p.client.Drop()
		case n < 22 && p.number > 0:
			p.subscribe()
		case n < 100:
			p.look()
		default:
			p.write()
		}
		if p.failed() {
			return
		}
		if p.settle(); len(p.unsent) > maxUnsent || p.rng.IntN(4) == 0 {
			if err := p.realm.WaitUpload(ctx); err != nil && ctx.Err() == nil {
				p.w.t.Errorf("%s: %v", p.name, err)
				return
			}
			p.settle()
		}
		rest(ctx, p.rng, 60*time.Millisecond)
	}
}

// failed reports what a device must never see.
func (p *phone) failed() bool {
	if err := p.realm.Failure(); err != nil {
		p.w.t.Errorf("%s is no longer synchronised: %v", p.name, err)
		return true
	}
	return false
}

// settle notes what has been acknowledged.
func (p *phone) settle() {
	for len(p.unsent) > 0 && !p.realm.Unacknowledged(p.unsent[0].version) {
		p.w.ledger.confirm(p.unsent[0].note)
		p.slowest = max(p.slowest, time.Since(p.unsent[0].at))
		p.mu.Lock()
		p.settled = p.unsent[0].at
		p.mu.Unlock()
		p.unsent = p.unsent[1:]
	}
}

// settledSince reports whether a write is acknowledged that was made after t. It
// may be asked beside the work.
func (p *phone) settledSince(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled.After(t)
}

// write runs a transaction that leaves receipts, and some other things.
func (p *phone) write() {
	n := &note{added: map[counter]int64{}, phone: p}
	version, err := p.realm.Write(func(tx *device.Tx) error {
		made := 1
		if p.rng.IntN(20) == 0 {
			made = 30
		}
		for range made {
			if err := p.leaveReceipt(tx, n); err != nil {
				return err
			}
		}
		for _, id := range []string{"all", p.name} {
			n.added[counter{id, "devices"}]++
			if err := tx.Add(device.At(tally, key(id), "devices"), 1); err != nil {
				return err
			}
		}
		if p.rng.IntN(10) < 4 {
			if err := p.appendLine(tx, n); err != nil {
				return err
			}
		}
		if p.rng.IntN(10) < 2 {
			if err := p.setPair(tx); err != nil {
				return err
			}
		}
		if p.rng.IntN(2) == 0 {
			p.changeThing(tx)
		}
		if p.w.touchArchive.Load() && p.number == 1 && p.rng.IntN(4) == 0 {
			if k := key(fmt.Sprint("a", p.rng.IntN(archived))); tx.Object(archive, k) != nil {
				return tx.Set(device.At(archive, k, "text"), p.phrase())
			}
		}
		return nil
	})
	if err != nil {
		p.w.t.Errorf("%s: write: %v", p.name, err)
		return
	}
	n.version = version
	p.w.ledger.add(n)
	p.unsent = append(p.unsent, sent{n, version, time.Now()})
}

func (p *phone) leaveReceipt(tx *device.Tx, n *note) error {
	p.seq++
	id := fmt.Sprintf("%s-%d", p.name, p.seq)
	n.receipts = append(n.receipts, id)
	return tx.Create(receipt, key(id), map[string]any{"by": p.name, "number": p.seq, "text": p.phrase()})
}

func (p *phone) appendLine(tx *device.Tx, n *note) error {
	p.seq++
	line := fmt.Sprintf("%s-%d", p.name, p.seq)
	n.lines = append(n.lines, line)
	k := key(p.w.journal())
	if tx.Object(journal, k) == nil {
		if err := tx.Create(journal, k, nil); err != nil {
			return err
		}
	}
	return tx.Append(device.At(journal, k, "lines"), line)
}

func (p *phone) setPair(tx *device.Tx) error {
	p.seq++
	for _, id := range pairs {
		if err := tx.Set(device.At(pair, key(id), "n"), p.seq); err != nil {
			return err
		}
		if err := tx.Set(device.At(pair, key(id), "by"), p.name); err != nil {
			return err
		}
	}
	return nil
}

// changeThing does something to some thing. What does not fit is left out.
func (p *phone) changeThing(tx *device.Tx) {
	k := key(fmt.Sprint("t", p.rng.IntN(things)))
	o := tx.Object(thing, k)
	if o == nil {
		if p.rng.IntN(5) == 0 {
			_ = tx.Create(thing, k, map[string]any{"lane": p.rng.IntN(lanes), "text": p.phrase()})
		}
		return
	}
	for range 1 + p.rng.IntN(3) {
		switch p.rng.IntN(10) {
		case 0:
			_ = tx.Set(device.At(thing, k, "lane"), p.rng.IntN(lanes))
		case 1:
			_ = tx.Add(device.At(thing, k, "count"), int64(p.rng.IntN(9)))
		case 2:
			_ = tx.SetInsert(device.At(thing, k, "tags"), p.word())
		case 3:
			_ = tx.SetErase(device.At(thing, k, "tags"), p.word())
		case 4:
			_ = tx.Append(device.At(thing, k, "items"), p.rng.IntN(100))
		case 5:
			_ = tx.Erase(device.At(thing, k, "items", 0))
		case 6:
			_ = tx.Set(device.At(thing, k, "extra", p.word()), p.phrase())
		case 7:
			_ = tx.Erase(device.At(thing, k, "extra", p.word()))
		case 8:
			_ = tx.Set(device.At(thing, k, "text"), p.phrase())
		case 9:
			if p.rng.IntN(6) == 0 {
				_ = tx.Delete(thing, k)
				return
			}
		}
	}
}

// look looks at the pair, whose objects are only ever changed together.
func (p *phone) look() {
	_, err := p.realm.Write(func(tx *device.Tx) error {
		a, b := tx.Object(pair, key(pairs[0])), tx.Object(pair, key(pairs[1]))
		if !object.Equal(appSchema, appSchema.Class(pair), a, b) {
			return errors.New("the pair is torn")
		}
		return nil
	})
	if err != nil {
		p.w.t.Errorf("%s: %v", p.name, err)
	}
}

func (p *phone) word() string { return words[p.rng.IntN(len(words))] }

func (p *phone) phrase() string { return fmt.Sprintf("%s %s of %s", p.word(), p.word(), p.name) }

var words = []string{"alder", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine"}

// note takes down what the realm has told the app that it should not have.
func (p *phone) note() {
	for _, err := range p.realm.Errors() {
		var refused *device.CompensatingWriteError
		// A thing may leave the phone's view while the phone writes to it.
		tolerable := errors.As(err, &refused) && !slices.ContainsFunc(refused.Objects,
			func(o protocol.RejectedUpdate) bool { return o.Table != thing })
		if !tolerable && !strings.Contains(err.Error(), "status 503: server is shutting down") {
			p.mu.Lock()
			p.told = append(p.told, err.Error())
			p.mu.Unlock()
		}
	}
}

// complaints returns what the phone should not have been told.
func (p *phone) complaints() []string {
	p.note()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// rest waits for a random while, or until the context ends.
func rest(ctx context.Context, rng *rand.Rand, most time.Duration) {
	t := time.NewTimer(time.Duration(rng.Int64N(int64(most) + 1)))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
