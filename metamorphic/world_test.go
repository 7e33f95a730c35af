package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/session"
)

// How long a run waits for what must happen. It is long, since a machine may have
// other things to do; what hangs does so for ever.
const (
	opPatience    = time.Minute     // one operation
	quietPatience = 2 * time.Minute // everything, in the end
)

// failure is what is wrong with a run. Its kind is what shortening keeps.
type failure struct {
	kind string
	text string
}

func (f *failure) Error() string { return f.kind + ": " + f.text }

// world is one run: a deployment, phones, and what must not get lost.
type world struct {
	ctx    context.Context
	cancel context.CancelFunc
	dep    *deployment
	nodes  []*node
	phones []*phone
	gone   []*phone // whose place others have taken
	epoch  int64    // ms, when the run began
	wild   bool     // pairs that devices get wrong may occur

	fit, unfit int // edits

	receipts []int64 // made in MongoDB
	added    int64   // to the Tally, in MongoDB
	entries  map[author]int
	seen     uint64 // history version up to which entries is counted

	mu      sync.Mutex
	failure *failure
}

// author names an uploaded changeset.
type author struct{ origin, version uint64 }

// fail notes that the run has failed. The first failure counts.
func (w *world) fail(kind, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = &failure{kind, fmt.Sprintf(format, args...)}
	}
}

func (w *world) failed() *failure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

func (w *world) node(number int) *node { return w.nodes[(number-1)%len(w.nodes)] }

// outcome is what a run came to.
type outcome struct {
	failure *failure
	fit     int // edits that were made
	unfit   int // edits that made no sense when their turn came
	entries int // of the history
	deaf    int // downloads that devices could not integrate
	resets  int
	took    time.Duration

	defects map[string]int // what was met of what devices get wrong, by kind
}

// newWorld starts nodes and phones, who all have the Tally.
func newWorld(ctx context.Context, client *mongo.Client, database string, s *script, c configuration, wild bool, log *slog.Logger) (*world, error) {
	w := &world{
		dep: &deployment{
			client: client, documents: client.Database(database), metadata: "__bridge_" + database, config: c,
			presence: session.NewMemoryPresence(), log: log, defects: &defectCount{kinds: map[string]int{}},
		},
		epoch: protocol.Timestamp(time.Now()), wild: wild, entries: map[author]int{},
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	for range c.nodes {
		n, err := w.dep.start(w.ctx)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("start node: %w", err)
		}
		w.nodes = append(w.nodes, n)
	}
	for i := range s.devices {
		if err := w.welcome(i); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// welcome makes a phone that has the Tally. The first one makes the Tally.
func (w *world) welcome(i int) error {
	p, err := w.newPhone(i + 1)
	if err != nil {
		return err
	}
	if i < len(w.phones) {
		w.gone = append(w.gone, w.phones[i])
		w.phones[i] = p
	} else {
		w.phones = append(w.phones, p)
	}
	if err := p.subscribe("{}"); err != nil {
		return err
	}
	if len(w.phones) == 1 && len(w.gone) == 0 {
		p.write(0, []edit{{verb: "create", ref: changeset.ObjectRef{Class: tally, Key: changeset.IntKey(0)}}})
	}
	for _, f := range []func(context.Context) error{p.subscribed, p.realm.Sync} {
		if err := p.wait(opPatience, f); err != nil {
			return fmt.Errorf("device %d begins: %w", p.number, err)
		}
	}
	p.note()
	return nil
}

// close ends everything and drops the databases.
func (w *world) close() {
	for _, p := range w.phones {
		p.close()
	}
	for _, n := range w.nodes {
		n.stop(false)
	}
	w.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, db := range []*mongo.Database{w.dep.documents, w.dep.client.Database(w.dep.metadata)} {
		if err := db.Drop(ctx); err != nil {
			w.dep.log.Error("drop database", "error", err)
		}
	}
}

// run plays a script and looks what it has come to.
func run(ctx context.Context, client *mongo.Client, database string, s *script, c configuration, wild bool, log *slog.Logger) outcome {
	start := time.Now()
	w, err := newWorld(ctx, client, database, s, c, wild, log)
	if err != nil {
		return outcome{failure: &failure{"begin", err.Error()}}
	}
	defer w.close()
	for i := range s.operations {
		if err := w.perform(&s.operations[i]); err != nil {
			w.fail("operation", "%s: %v", s.operations[i].String(), err)
		}
		if w.failed() != nil {
			break
		}
	}
	if w.failed() == nil {
		w.quiesce()
	}
	out := outcome{fit: w.fit, unfit: w.unfit, entries: int(w.seen), defects: w.dep.defects.byKind()}
	for _, p := range append(w.phones, w.gone...) {
		deaf, worst := p.complaints()
		out.deaf += deaf
		out.resets += p.resets
		switch {
		case worst != nil:
			w.fail("violation", "device %d: %v", p.number, worst)
		case p.resets > 0 && !p.expired, deaf > 0 && !wild:
			// What is deaf is to hear again without losing what it has.
			w.fail("reset", "device %d: %v", p.number, p.realm.Errors())
		}
	}
	out.failure = w.failed()
	out.took = time.Since(start)
	return out
}

// perform does one operation.
func (w *world) perform(o *operation) error {
	switch o.who {
	case "device":
		return w.performDevice(w.phones[o.which-1], o)
	case "devices":
		return w.meet()
	case "node":
		return w.restart((o.which-1)%len(w.nodes), o.verb == "restart")
	case "history":
		return w.trim()
	}
	if o.verb == "write" {
		return w.foreignWrite(o.lines)
	}
	return w.settle()
}

func (w *world) performDevice(p *phone, o *operation) error {
	defer p.note()
	switch o.verb {
	case "subscribe":
		return p.subscribe(o.rest)
	case "write":
		return w.write(p, o)
	case "offline":
		p.offline = true
		p.client.GoOffline()
	case "online":
		p.offline, p.muted = false, false
		p.wire.cut()
		p.client.GoOnline()
	case "pause":
		p.paused = true
		p.realm.Pause()
	case "resume":
		p.paused = false
		return p.realm.Resume()
	case "expire":
		return w.expire(p)
	case "upgrade":
		p.upgraded = true
		_, err := p.realm.UpdateSchema(appSchema, nil)
		return err
	case "cut":
		if o.rest == "half" {
			p.muted = false
			p.wire.vanish()
			return nil
		}
		direction, bytes := "", 0
		if _, err := fmt.Sscan(o.rest, &direction, &bytes); err == nil {
			p.wire.cutAfter(map[string]int{"down": down, "up": up}[direction], bytes)
			return nil
		}
		p.muted = false
		p.wire.cut()
	case "mute":
		p.muted = true
		p.wire.muteDown()
	case "restart":
		return p.restart()
	case "afresh":
		p.note()
		p.close()
		return w.welcome(p.number - 1)
	case "node":
		if _, err := fmt.Sscan(o.rest, &p.node); err != nil {
			return err
		}
		p.muted = false
		p.wire.lead(w.node(p.node).addr)
		p.wire.cut()
	case "upload":
		return w.await(p, p.realm.WaitUpload)
	case "download":
		return w.await(p, p.realm.WaitDownload)
	}
	return nil
}

// meet has the phones on line upload, and then download.
func (w *world) meet() error {
	for _, p := range w.phones {
		if err := w.await(p, p.realm.WaitUpload); err != nil {
			return err
		}
		p.note()
	}
	for _, p := range w.phones {
		if err := w.await(p, p.realm.WaitDownload); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) write(p *phone, o *operation) error {
	var at int64
	if _, err := fmt.Sscan(o.rest, &at); err != nil {
		return err
	}
	edits := make([]edit, len(o.lines))
	for i, line := range o.lines {
		e, err := parseEdit(line)
		if err != nil {
			return err
		}
		edits[i] = e
	}
	p.write(at, edits)
	return nil
}

// await waits for a phone that can reach the server.
func (w *world) await(p *phone, f func(context.Context) error) error {
	if !p.reachable() {
		return nil
	}
	return w.judge(p, p.wait(opPatience, f))
}

// judge says what an error of a wait means.
func (w *world) judge(p *phone, err error) error {
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded):
		w.fail("stuck", "device %d: %v", p.number, p.position())
	default:
		if _, deaf := asViolation(err); deaf && w.wild {
			return nil // the reset comes by itself
		}
		w.fail("violation", "device %d: %v", p.number, err)
	}
	return nil
}

// asViolation reports whether an error is that a device could not integrate a
// download.
func asViolation(err error) (*device.Violation, bool) {
	var v *device.Violation
	ok := errors.As(err, &v) && v.Consequence == device.GoesDeaf
	return v, ok
}

// position says how far a phone has come.
func (p *phone) position() string {
	version, query := p.realm.ActiveQuery()
	return fmt.Sprintf("file %d at version %d, progress %+v, query %d of %d (%s), failure %v, errors %v",
		p.realm.Ident().File, p.realm.Version(), p.realm.Progress(), version, p.realm.LatestSubscriptions(), query, p.realm.Failure(), p.realm.Errors())
}

// restart ends a node and starts another in its place.
func (w *world) restart(i int, kindly bool) error {
	w.nodes[i].stop(kindly)
	n, err := w.dep.start(w.ctx)
	if err != nil {
		w.nodes = append(w.nodes[:i], w.nodes[i+1:]...)
		return err
	}
	w.nodes[i] = n
	for _, p := range w.phones {
		if w.node(p.node) == n {
			p.wire.lead(n.addr)
			p.wire.cut()
			p.muted = false
		}
	}
	return nil
}

// trim drops history that nobody needs, after it was counted.
func (w *world) trim() error {
	if err := w.count(); err != nil {
		return err
	}
	_, err := w.nodes[0].file.Trim(w.ctx)
	return err
}

// expire makes a phone that is off line one that was so for too long.
func (w *world) expire(p *phone) error {
	if !p.offline || p.ident == 0 {
		return nil
	}
	p.note()
	p.expired = true
	files := w.dep.client.Database(w.dep.metadata).Collection("client_files")
	_, err := files.UpdateOne(w.ctx, bson.D{{Key: "_id.ident", Value: p.ident}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: time.Unix(0, 0)}}}})
	if err != nil {
		return fmt.Errorf("expire: %w", err)
	}
	return w.trim()
}

// count counts the entries of the history that were not counted yet.
func (w *world) count() error {
	f := w.nodes[0].file
	if err := f.Refresh(w.ctx); err != nil {
		return err
	}
	for {
		entries, err := f.Entries(w.ctx, w.seen, 1000)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			w.entries[author{e.Origin, e.ClientVersion}]++
			w.seen = e.Version
		}
	}
}

// settle waits until the change stream has been read up to now: a foreign write
// to the Tally is made, and waited for.
func (w *world) settle() error {
	n, err := (&foreign{verb: "update", ref: changeset.ObjectRef{Class: tally, Key: changeset.IntKey(0)},
		doc: bson.D{{Key: "$inc", Value: bson.D{{Key: "mongodb", Value: int64(1)}}}}}).do(w.ctx, w.dep.documents)
	if err != nil || n != 1 {
		return fmt.Errorf("write to the tally: %d documents, %w", n, err)
	}
	w.added++
	ctx, cancel := context.WithTimeout(w.ctx, opPatience)
	defer cancel()
	for {
		changed := w.nodes[0].file.Changed()
		reached, err := w.tallied(ctx)
		if err != nil || reached {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.fail("stuck", "the foreign write to the tally is not ingested")
			return nil
		}
	}
}
