package faults

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/translator"
)

// shown is how many of many complaints are printed.
const shown = 20

// observer looks at the server file as a tool beside the nodes.
type observer struct {
	w      *world
	client *mongo.Client
	store  *history.Store
	file   *history.File
}

func (w *world) observe(ctx context.Context) (*observer, error) {
	o := &observer{w: w}
	name := "observer of " + w.name
	var err error
	if o.client, err = mongo.Connect(options.Client().ApplyURI(w.plan.uri).SetAppName(name)); err != nil {
		return nil, err
	}
	o.store, err = history.Open(ctx, history.Options{
		Client: o.client, DriverName: name, Database: "__bridge_" + w.name, Guest: true,
		Mirror: translator.NewMirror(o.client.Database(w.name), translator.Mapping{}),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		o.file, err = o.store.File(ctx, history.FlexibleFile)
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *observer) close() {
	if o.store != nil {
		o.store.Close()
	}
	_ = o.client.Disconnect(context.WithoutCancel(o.w.ctx))
}

// agree brings everything to rest, and looks whether everybody has the same, and
// nothing is missing or there twice.
func (w *world) agree() {
	w.t.Helper()
	w.end()
	ctx, cancel := context.WithTimeout(w.ctx, quietPatience)
	defer cancel()
	if err := w.examine(ctx); err != nil {
		w.t.Errorf("it does not come to rest: %v", err)
	}
	for _, p := range w.phones {
		if texts := p.complaints(); len(texts) > 0 {
			w.t.Errorf("%s was told:\n%s", p.name, list(texts))
		}
	}
	for _, n := range w.nodes {
		n.check()
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// examine waits until nothing moves, and then compares everything.
func (w *world) examine(ctx context.Context) error {
	o, err := w.observe(ctx)
	if err != nil {
		return err
	}
	defer o.close()
	if err := w.exchange(ctx); err != nil {
		return err
	}
	for _, p := range w.phones {
		p.settle()
	}
	verifier := translator.Verifier{DB: o.client.Database(w.name), File: o.file, Patience: quietPatience / 2}
	for {
		found, err := verifier.Verify(ctx)
		if err != nil {
			return err
		}
		if len(found.Differences) > 0 || found.Frozen > 0 || !found.Replayed {
			var texts []string
			for _, d := range found.Differences {
				texts = append(texts, fmt.Sprintf("%v: %s", d.Ref, d.What))
			}
			w.t.Errorf("of %d objects at version %d (replayed: %v) %d are frozen, and these differ:\n%s",
				found.Objects, found.Version, found.Replayed, found.Frozen, list(texts))
		}
		if err := w.exchange(ctx); err != nil {
			return err
		}
		s, version, err := o.states(ctx)
		if err != nil {
			return err
		}
		if version != found.Version {
			continue // it was not at rest yet
		}
		for _, p := range w.phones {
			if err := o.compare(ctx, p, s); err != nil {
				return err
			}
		}
		break
	}
	if out, err := w.nodes[0].command("verify"); err != nil {
		w.t.Errorf("bridge verify: %v\n%s", err, out)
	}
	if err := o.countEntries(ctx); err != nil {
		return err
	}
	if held := o.file.Holds(); len(held) > 0 {
		w.t.Errorf("classes are held: %v", held)
	}
	wrong, culprits, err := w.ledger.audit(ctx, w.db)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		w.t.Errorf("not all that was written is there once:\n%s", list(wrong))
		return o.explain(ctx, culprits)
	}
	return nil
}

// explain logs what the history made of some writes.
func (o *observer) explain(ctx context.Context, notes []*note) error {
	wanted := map[[2]int64]*note{}
	for _, n := range notes[:min(len(notes), 3)] {
		wanted[[2]int64{n.phone.realm.Ident().File, n.version}] = n
	}
	for after := uint64(0); ; {
		entries, err := o.file.Entries(ctx, after, 1000)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			after = e.Version
			if wanted[[2]int64{int64(e.Origin), int64(e.ClientVersion)}] == nil {
				continue
			}
			var text strings.Builder
			fmt.Fprintf(&text, "version %d is client version %d of file %d, made on %d", e.Version, e.ClientVersion, e.Origin, e.Base/history.Stride)
			for i := range e.Objects {
				t := &e.Objects[i]
				fmt.Fprintf(&text, "\n    %v: refreshed %v, refused %q", t.Ref, t.Refresh, t.Refused)
			}
			for i := range e.Changeset {
				fmt.Fprintf(&text, "\n    %v", e.Changeset[i].String())
			}
			o.w.t.Log(text.String())
		}
	}
}

// list is the first of many texts.
func list(texts []string) string {
	if len(texts) > shown {
		texts = append(texts[:shown:shown], fmt.Sprintf("and %d more", len(texts)-shown))
	}
	return strings.Join(texts, "\n")
}

type states map[changeset.ObjectRef]*object.Object

// states reads the object states as of one time, and tells its version.
func (o *observer) states(ctx context.Context) (states, uint64, error) {
	sn, err := o.file.Snapshot(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer sn.Close()
	out := states{}
	for _, name := range appSchema.ClassNames() {
		err := sn.States(ctx, name, func(st history.State) error {
			out[changeset.ObjectRef{Class: name, Key: st.Key}] = st.Object
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return out, sn.Version(), nil
}

// compare looks whether a phone holds its view of the states.
func (o *observer) compare(ctx context.Context, p *phone, s states) error {
	_, body := p.realm.ActiveQuery()
	texts, err := query.ParseBody([]byte(body))
	if err != nil {
		return err
	}
	expected := states{}
	for class, text := range texts {
		q, err := query.Parse(text)
		if err != nil {
			return err
		}
		view, err := q.Bind(appSchema, class)
		if err != nil {
			return err
		}
		for ref, state := range s {
			if ref.Class == class && view.Match(ref.Key, state) {
				expected[ref] = state
			}
		}
	}
	var wrong []string
	var first *changeset.ObjectRef
	differ := func(ref changeset.ObjectRef, have, want *object.Object) {
		class := appSchema.Class(ref.Class)
		if object.Equal(appSchema, class, have, want) {
			return
		}
		if first == nil {
			first = &ref
		}
		cs := object.Diff(appSchema, ref, have, want)
		for i := range cs {
			wrong = append(wrong, cs[i].String())
		}
	}
	for _, class := range appSchema.ClassNames() {
		for k, have := range p.realm.Objects(class) {
			ref := changeset.ObjectRef{Class: class, Key: k}
			differ(ref, have, expected[ref])
			delete(expected, ref)
		}
	}
	for ref, want := range expected {
		differ(ref, nil, want)
	}
	if first == nil {
		return nil
	}
	entries, err := o.entriesOn(ctx, *first)
	o.w.t.Errorf("%s, file %d, lacks, to be what MongoDB holds:\n%s\nThe history of %v:\n%s\nThe phone:\n%s",
		p.name, p.realm.Ident().File, list(wrong), *first, entries, p.trace.of(*first))
	return err
}

// countEntries looks whether anything was taken into the history twice.
func (o *observer) countEntries(ctx context.Context) error {
	type author struct{ file, version uint64 }
	seen := map[author]uint64{}
	for after := uint64(0); ; {
		entries, err := o.file.Entries(ctx, after, 1000)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if after++; e.Version != after {
				o.w.t.Errorf("after version %d of the history comes %d", after-1, e.Version)
				after = e.Version
			}
			if e.Origin == history.ServerIdent {
				continue
			}
			a := author{e.Origin, e.ClientVersion}
			if seen[a] != 0 {
				o.w.t.Errorf("client version %d of file %d is in the history as %d and as %d", a.version, a.file, seen[a], e.Version)
			}
			seen[a] = e.Version
		}
	}
}

// report logs what a world has seen.
func (w *world) report(began time.Time, more string) {
	certain, uncertain := w.ledger.figures()
	var slowestPhone, slowestWriter time.Duration
	refused := 0
	for _, p := range w.phones {
		slowestPhone = max(slowestPhone, p.slowest)
		refused += p.refused
	}
	for _, wr := range w.writers {
		slowestWriter = max(slowestWriter, wr.slowest)
	}
	w.t.Logf("%s in %v: %d writes, %d more of unknown outcome, %d errors of MongoDB writers, %d things taken back; slowest acknowledgement %v, slowest MongoDB write %v; the pair was seen %d times",
		more, time.Since(began).Round(time.Second), certain, uncertain, w.writerErrors.Load(), refused,
		slowestPhone.Round(time.Millisecond), slowestWriter.Round(time.Millisecond), w.pairsSeen.Load())
}
