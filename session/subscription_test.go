package session

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

func TestTrap2EmptyBootstrapHasAChangeset(t *testing.T) {
	r := newRig(t)
	p := r.dial("ann").bind(1)
	first := p.download()
	if len(first.Entries) != 1 || len(first.Entries[0].Changeset) != 0 || first.Batch != protocol.LastInBatch {
		t.Errorf("bootstrap of version 0 without a schema: %+v", first)
	}
	p.awaitMark()
	for _, body := range []string{"{}", "{}"} {
		if got := p.subscribe(body); len(got) != 1 || len(got[0].Entries) == 0 || got[0].Batch != protocol.LastInBatch || got[0].QueryVersion != p.query {
			t.Errorf("bootstrap of %s: %+v", body, got)
		}
	}
}

func TestTrap3BadQueryInIdentIsASessionError(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(age > 3)"}`)
	p.unbind()
	p.body = `{"Dog":"(age >"}`
	p.reopen(p.wire, 2)
	e := p.expectError(protocol.BadQuery)
	if e.Action != protocol.ActionClientReset || e.TryAgain {
		t.Errorf("got %+v, want a client reset", e)
	}
}

func TestTrap3BadQueryIsRefusedAndTheNextServed(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 5, "Rex"))
	p := r.dial("ann").open(1)
	for _, tt := range []struct{ body, text string }{
		{`{"Cat":"(TRUEPREDICATE)"}`, "Cat"},
		{`{"Dog":"(age >"}`, "Client provided query with bad syntax"},
		{`["Dog"]`, "Client provided query with bad syntax"},
	} {
		p.ask(tt.body)
		e := expect[*protocol.QueryError](p.wire)
		if e.Version != p.query || e.Code != protocol.BadQuery || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: got %+v", tt.body, e)
		}
		if got := p.untilMark(); len(got) != 0 {
			t.Errorf("%s: a bootstrap was sent: %+v", tt.body, got)
		}
	}
	if got := brief(seen(t, p.subscribe(`{"Dog":"(age > 3)"}`))); !strings.Contains(got, "CreateObject Dog 1") {
		t.Errorf("after the bad queries a good one got %s", got)
	}
}

func TestTrap3FieldThatMayNotBeQueried(t *testing.T) {
	r := newRig(t)
	r.file.development = false
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.query++
	p.send(&protocol.Query{Session: 1, Version: 1, Body: `{"Dog":"(age > 3)"}`})
	want := `Client provided query with bad syntax: invalid match expression for table "Dog": key "age" is not a queryable field`
	if e := expect[*protocol.QueryError](p.wire); e.Message != want {
		t.Errorf("got %q, want %q", e.Message, want)
	}
}

func TestTrap15MarkIsAnsweredAfterTheBootstrap(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 5, "Rex"))
	p := r.dial("ann").open(1)
	downloads := p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	if len(downloads) != 1 || downloads[0].QueryVersion != 1 || downloads[0].Batch != protocol.LastInBatch {
		t.Fatalf("before the mark came %+v", downloads)
	}
	// Of two queries and marks at once, the newest is served, and both are answered.
	p.query += 2
	p.mark += 2
	p.send(&protocol.Query{Session: 1, Version: p.query - 1, Body: `{}`}, &protocol.Mark{Session: 1, Request: p.mark - 1},
		&protocol.Query{Session: 1, Version: p.query, Body: `{"Dog":"(age > 1)"}`}, &protocol.Mark{Session: 1, Request: p.mark})
	var versions []int64
	for {
		m, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := m.(*protocol.Download); ok {
			p.integrate(d)
			versions = append(versions, d.QueryVersion)
			continue
		}
		mk, ok := m.(*protocol.Mark)
		if !ok {
			t.Fatalf("got %T", m)
		}
		if mk.Request == p.mark {
			break
		}
	}
	if !slices.IsSorted(versions) || versions[len(versions)-1] != p.query {
		t.Errorf("bootstraps of versions %v", versions)
	}
}

func TestTrap15MarkWaitsForWhatWasThere(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	p.unbind()
	for i := range 700 {
		r.file.commit(newDog(i, i, strings.Repeat("x", 2000)))
	}
	p.reopen(p.wire, 2)
	downloads := p.awaitMark()
	if n := strings.Count(brief(seen(t, downloads)), "CreateObject Dog"); n != 700 {
		t.Errorf("%d dogs came before the mark, want 700", n)
	}
	if len(downloads) < 3 {
		t.Errorf("1.4 MB came in %d messages", len(downloads))
	}
	if e := downloads[len(downloads)-1].Estimate; e != 1 {
		t.Errorf("the last message's estimate is %v", e)
	}
	progress := downloads[len(downloads)-2].Estimate
	if progress <= 0 || progress >= 1 {
		t.Errorf("the estimate of the last message but one is %v", progress)
	}
}

func TestTrap28BootstrapErasesBeforeItCreates(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 1, "Rex"))
	r.file.commit(newDog(2, 2, "Fido"))
	r.file.commit(newDog(3, 3, "Max"))
	p := r.dial("ann").open(1)
	versions := []int64{p.at.DownloadServer}
	for _, tt := range []struct{ body, want string }{
		{`{"Dog":"(age <= 2)"}`, "EraseObject Dog 1, CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name, EraseObject Dog 2, CreateObject Dog 2, Update Dog 2 age, Update Dog 2 name"},
		{`{"Dog":"(age >= 2)"}`, "EraseObject Dog 1, EraseObject Dog 3, CreateObject Dog 3, Update Dog 3 age, Update Dog 3 name"},
		{`{"Dog":"(age >= 2)"}`, ""},
		{`{}`, "EraseObject Dog 2, EraseObject Dog 3"},
	} {
		downloads := p.subscribe(tt.body)
		got := seen(t, downloads)
		const schemaSize = 3
		if s := brief(got[:schemaSize]); s != "AddTable Dog, AddColumn Dog age, AddColumn Dog name" {
			t.Errorf("%s: begins with %s", tt.body, s)
		}
		if s := brief(got[schemaSize:]); s != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, s, tt.want)
		}
		for _, e := range downloads[0].Entries {
			if e.ServerVersion != p.at.DownloadServer || e.Origin != history.ServerIdent {
				t.Errorf("%s: entry %+v in a bootstrap of version %d", tt.body, e, p.at.DownloadServer)
			}
		}
		versions = append(versions, p.at.DownloadServer)
	}
	for i := 1; i < len(versions); i++ {
		if versions[i] <= versions[i-1] {
			t.Errorf("bootstraps have the versions %v", versions)
		}
	}
}

func TestTrap29CutBootstrapIsFlushedFirst(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	for i := range 40 {
		r.file.commit(newDog(i, i, noise(100<<10)))
	}
	p := r.dial("ann").open(1)
	p.send(&protocol.Query{Session: 1, Version: 1, Body: `{"Dog":"(TRUEPREDICATE)"}`})
	first := expect[*protocol.Download](p.wire)
	if first.Batch != protocol.MoreToCome {
		t.Fatalf("4 MB came in one message: %+v", first.Progress)
	}
	_ = p.ws.CloseNow()

	// The client drops its batches when it binds again after the error.
	w := r.dial("ann")
	p.reopen(w, 1)
	p.mark++
	p.send(&protocol.Mark{Session: 1, Request: p.mark}, &protocol.Query{Session: 1, Version: 1, Body: `{"Dog":"(TRUEPREDICATE)"}`})
	e := p.expectError(protocol.SessionClosed)
	if !e.TryAgain || e.Action != protocol.ActionTransient {
		t.Errorf("got %+v", e)
	}
	p.send(&protocol.Unbind{Session: 1})
	p.reopen(w, 1)
	downloads := p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	if n := strings.Count(brief(seen(t, downloads)), "CreateObject Dog"); n != 40 {
		t.Errorf("the repeated bootstrap creates %d dogs, want 40", n)
	}
	progress := 0.0
	var batches []*protocol.Download
	for _, d := range downloads {
		if d.Batch != protocol.SteadyState {
			batches = append(batches, d)
		}
	}
	for i, d := range batches {
		if last := i == len(batches)-1; (d.Batch == protocol.LastInBatch) != last || last != (d.Estimate == 1) {
			t.Errorf("message %d of %d: batch state %d, estimate %v", i+1, len(batches), d.Batch, d.Estimate)
		}
		if d.Estimate < progress || d.Progress != batches[0].Progress {
			t.Errorf("message %d: estimate %v after %v, cursors %+v", i+1, d.Estimate, progress, d.Progress)
		}
		progress = d.Estimate
	}
}

func TestTrap30IdentsQueryIsNoRequest(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 5, "Rex"))
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(age > 3)"}`)
	p.unbind()
	r.file.commit(newDog(2, 6, "Fido"))
	r.file.commit(newDog(3, 1, "Max"))
	// After a client reset the same query has another number.
	p.query = 17
	p.reopen(p.wire, 2)
	downloads := p.awaitMark()
	if got := brief(seen(t, downloads)); got != "CreateObject Dog 2, Update Dog 2 age, Update Dog 2 name" {
		t.Errorf("got %s", got)
	}
	for _, d := range downloads {
		if d.Batch != protocol.SteadyState || d.QueryVersion != 17 {
			t.Errorf("got batch state %d of query version %d", d.Batch, d.QueryVersion)
		}
	}
}

func TestTrap31FirstBootstrapHasTheSchema(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 5, "Rex"))
	p := r.dial("ann").bind(1)
	m := p.download()
	if got := brief(seen(t, []*protocol.Download{m})); got != "AddTable Dog, AddColumn Dog age, AddColumn Dog name" {
		t.Errorf("got %s", got)
	}
	if m.QueryVersion != 0 || m.Batch != protocol.LastInBatch || m.Estimate != 1 {
		t.Errorf("got %+v", m)
	}
}
