package metamorphic

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
)

// stage is where a script is played with the model: the model and devices' files.
type stage struct {
	model  *model
	actors []*actor
	gone   []*actor
	deaf   int
	wild   bool
}

// actor is a device of the model's, with an account of what it has written.
type actor struct {
	file     *device.File
	client   *modelClient
	clock    int64
	receipts []int64
	added    int64
	failed   bool // it could not integrate a download, and takes no part any more
}

func newStage(devices int, wild bool) (*stage, error) {
	st := &stage{model: newModel(wild), wild: wild}
	for range devices {
		a, err := st.welcome()
		if err != nil {
			return nil, err
		}
		st.actors = append(st.actors, a)
		if len(st.actors) > 1 {
			continue
		}
		_, err = a.file.Write(func(tx *device.Tx) error { return tx.Create(tally, changeset.IntKey(0), nil) })
		if err != nil {
			return nil, err
		}
		if err := st.meet(); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// welcome makes a device that has the Tally.
func (st *stage) welcome() (*actor, error) {
	a := &actor{}
	var err error
	opts := device.Options{Clock: func() time.Time { return protocol.TimestampTime(a.clock) }}
	if a.file, err = device.NewFile(device.Config{Schema: appSchema}, opts); err != nil {
		return nil, err
	}
	a.client = st.model.register()
	a.file.SetIdent(device.FileIdent{File: a.client.ident, Salt: 1})
	if err := a.client.connect(a.file); err != nil {
		return nil, err
	}
	a.file.Subscribe(map[string]string{tally: "TRUEPREDICATE"})
	for range 2 {
		if err := errors.Join(st.upload(a), st.download(a, 1<<30)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// upload sends what a device has to send: changesets, and the next subscription
// set when its turn has come.
func (st *stage) upload(a *actor) error {
	if a.failed || a.client.cursor == 0 {
		return nil
	}
	c, f := a.client, a.file
	for {
		pending, snapshot := f.NextQuery(c.lastQuery)
		if pending != nil && c.uploaded.Client >= snapshot {
			c.lastQuery, c.pending = pending.Version, pending
			continue
		}
		target := f.Version()
		if pending != nil {
			target = min(target, snapshot)
		}
		entries, reached := f.Upload(c.uploaded, target)
		if len(entries) == 0 && reached == c.uploaded {
			return nil
		}
		if err := st.model.take(c, entries, reached); err != nil {
			return err
		}
		c.uploaded = reached
	}
}

// download has a device get up to n entries. With the last of them come a
// bootstrap, if one is due, and the answer to MARK.
func (st *stage) download(a *actor, n int) error {
	if a.failed {
		return nil
	}
	err := st.model.download(a.client, a.file, n)
	if v, deaf := asViolation(err); deaf {
		if !st.wild {
			return &failure{"deaf", v.Error()}
		}
		st.deaf++
		if err = st.again(a); err != nil {
			return err
		}
		n = 1 << 30
		if err = st.model.download(a.client, a.file, n); err != nil {
			return &failure{"deaf", err.Error()}
		}
	}
	if err != nil {
		return err
	}
	if a.client.cursor/modelStride == st.model.head() {
		a.file.Marked()
	}
	return nil
}

// again begins a session anew with a device that could not integrate a download:
// first it uploads what it has, so that the server knows what it would get wrong.
func (st *stage) again(a *actor) error {
	if err := a.client.connect(a.file); err != nil {
		return err
	}
	return st.upload(a)
}

func (st *stage) meet() error {
	for _, a := range st.actors {
		if err := st.upload(a); err != nil {
			return err
		}
	}
	for _, a := range st.actors {
		if err := st.download(a, 1<<30); err != nil {
			return err
		}
	}
	return nil
}

// perform does one operation.
func (st *stage) perform(o *operation) error {
	if o.who == "devices" {
		return st.meet()
	}
	edits := make([]edit, len(o.lines))
	for i, line := range o.lines {
		var err error
		if edits[i], err = parseEdit(line); err != nil {
			return err
		}
	}
	if o.who == "mongodb" {
		var at int64
		if _, err := fmt.Sscan(o.rest, &at); err != nil {
			return err
		}
		for i := range edits {
			st.foreign(&edits[i], at)
		}
		return nil
	}
	a := st.actors[o.which-1]
	switch o.verb {
	case "subscribe":
		queries := map[string]string{}
		if err := json.Unmarshal([]byte(o.rest), &queries); err != nil {
			return err
		}
		queries[tally] = "TRUEPREDICATE"
		a.file.Subscribe(queries)
	case "write":
		if _, err := fmt.Sscan(o.rest, &a.clock); err != nil {
			return err
		}
		return a.write(edits)
	case "upload":
		return st.upload(a)
	case "download":
		n := 1 << 30
		if o.rest != "" {
			if _, err := fmt.Sscan(o.rest, &n); err != nil {
				return err
			}
		}
		return st.download(a, n)
	case "cut":
		return a.client.connect(a.file)
	case "afresh":
		fresh, err := st.welcome()
		if err != nil {
			return err
		}
		st.gone = append(st.gone, a)
		st.actors[o.which-1] = fresh
	}
	return nil
}

func (a *actor) write(edits []edit) error {
	var w written
	_, err := a.file.Write(func(tx *device.Tx) error {
		for i := range edits {
			before := tx.Len()
			if edits[i].perform(tx) == nil && tx.Len() > before {
				w.account(&edits[i])
			}
		}
		return nil
	})
	a.receipts = append(a.receipts, w.receipts...)
	a.added += w.added
	return err
}

// scratch is a file in which edits can be tried.
var scratch = sync.OnceValue(func() *device.File {
	f, err := device.NewFile(device.Config{Schema: appSchema, Partition: `"scratch"`}, device.Options{})
	if err != nil {
		panic(err)
	}
	return f
})

var errRollBack = errors.New("roll back")

// foreign makes an edit of the server's objects that no device has made.
func (st *stage) foreign(e *edit, at int64) {
	now := st.model.objects[e.ref]
	after := now
	// The scratch file lends its transaction, and forgets it.
	_, _ = scratch().Write(func(tx *device.Tx) error {
		if err := tx.Instruct(modelRefresh(e.ref, now)...); err != nil {
			return err
		}
		if e.perform(tx) == nil {
			after = tx.Object(e.ref.Class, e.ref.Key).Clone()
		}
		return errRollBack
	})
	st.model.foreign(e.ref, after, at)
}

// finish brings everything everywhere, and says what is wrong.
func (st *stage) finish() error {
	for again := true; again; {
		head := st.model.head()
		if err := st.meet(); err != nil {
			return err
		}
		again = st.model.head() != head
		for _, a := range st.actors {
			next, _ := a.file.NextQuery(a.client.lastQuery)
			again = again || !a.failed && (next != nil || a.client.pending != nil || a.file.Unacknowledged(a.file.Version()))
		}
	}
	for i, a := range st.actors {
		if a.failed {
			continue
		}
		wrong, err := lacks(a.file, st.model.objects)
		if err != nil {
			return err
		}
		if len(wrong) > 0 {
			_, body := a.file.ActiveQuery()
			return &failure{"diverged", fmt.Sprintf("device %d (file %d, %s): to be what the server holds it lacks\n%s",
				i+1, a.client.ident, body, strings.Join(wrong, "\n"))}
		}
	}
	if st.deaf > 0 {
		return nil // what the deaf ones wrote is nowhere
	}
	var added int64
	for _, a := range st.actors {
		added += a.added
		for _, n := range a.receipts {
			if st.model.objects[changeset.ObjectRef{Class: receipt, Key: changeset.IntKey(n)}] == nil {
				return &failure{"lost", fmt.Sprintf("receipt %d", n)}
			}
		}
	}
	if got := st.model.objects.number(tally, 0, "devices"); len(st.gone) == 0 && got != added {
		return &failure{"lost", fmt.Sprintf("the devices have added %d, the tally says %d", added, got)}
	}
	return nil
}

// play plays a script on a stage of its own.
func play(s *script, wild bool) (*stage, error) {
	st, err := newStage(s.devices, wild)
	if err != nil {
		return nil, err
	}
	for i := range s.operations {
		if err := st.perform(&s.operations[i]); err != nil {
			return st, fmt.Errorf("%s: %w", s.operations[i].String(), err)
		}
	}
	return st, st.finish()
}

// improvise makes up a script of n operations while it is played, so that the
// edits fit what is there. The error is what is wrong with how it ended.
func improvise(rng *rand.Rand, n int, wild bool) (*script, *stage, error) {
	g := &generator{rng: rng, editor: newEditor(rng, wild), devices: 2 + rng.IntN(3), next: 1}
	g.clocks = make([]int64, g.devices)
	s := &script{devices: g.devices}
	st, err := newStage(g.devices, wild)
	if err != nil {
		return s, nil, err
	}
	act := func(o operation) error {
		s.operations = append(s.operations, o)
		return st.perform(&s.operations[len(s.operations)-1])
	}
	for d := range g.devices {
		if err := act(g.subscribe(d+1, rng.IntN(3) > 0)); err != nil {
			return s, st, err
		}
	}
	for len(s.operations) < n {
		if err := act(g.modelOperation(st)); err != nil {
			return s, st, err
		}
	}
	return s, st, st.finish()
}

// modelOperation makes up an operation of the model's.
func (g *generator) modelOperation(st *stage) operation {
	d := 1 + g.rng.IntN(g.devices)
	on := func(verb, rest string) operation { return operation{who: "device", which: d, verb: verb, rest: rest} }
	switch p := g.rng.IntN(100); {
	case p < 50:
		return g.writeOn(d, st.actors[d-1].file)
	case p < 60:
		g.tick(0)
		o := operation{who: "mongodb", verb: "edit", rest: fmt.Sprint(g.now)}
		e := g.editor.edit(serverObjects{st.model})
		o.lines = []string{e.String()}
		return o
	case p < 72:
		return on("upload", "")
	case p < 80:
		return on("download", "")
	case p < 87:
		return on("download", fmt.Sprint(1+g.rng.IntN(3)))
	case p < 91:
		return meeting
	case p < 95:
		return g.subscribe(d, g.rng.IntN(4) == 0)
	case p < 99:
		return on("cut", "")
	}
	return on("afresh", "")
}

// serverObjects lets an editor see what the server holds.
type serverObjects struct{ model *model }

func (s serverObjects) Get(class string, key changeset.Key) *object.Object {
	return s.model.objects[changeset.ObjectRef{Class: class, Key: key}]
}
