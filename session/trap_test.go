package session

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// The traps of the wire protocol that a server can fall into, by number. Those
// about the spelling of single messages (6, 10, 43) are the protocol package's;
// 24 and 26, about what becomes of uploads, are the history's.

func TestTrap1KillingCodeFromBelowIsNotSent(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.reject = func(*history.Upload) error { return &history.Rejection{Code: 224, Message: "too many sessions"} }
	r.file.mu.Unlock()
	p.upload(newDog(1, 1, "Rex"))
	p.expectEnd()
}

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
	p.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](p.wire)
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
		p.query++
		p.mark++
		p.send(&protocol.Query{Session: 1, Version: p.query, Body: tt.body}, &protocol.Mark{Session: 1, Request: p.mark})
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

// What is refused for good is not tried again until the app says so, whatever the
// code says else.
func TestFinalRejection(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.reject = func(*history.Upload) error { return &history.Rejection{Code: 201, Message: "too large", Final: true} }
	r.file.mu.Unlock()
	p.upload(newDog(1, 1, "Rex"))
	e := expect[*protocol.JSONError](p.wire)
	if e.Code != protocol.OtherSessionError || e.Message != "too large" || e.TryAgain || e.Action != protocol.ActionApplicationBug || e.ShouldClientReset {
		t.Errorf("got %+v", e)
	}
}

// Errors are counted as clients are sent them, of queries, sessions and
// connections alike.
func TestErrorsAreCounted(t *testing.T) {
	var mu sync.Mutex
	var codes []protocol.ErrorCode
	r := newRig(t, func(o *Options) {
		o.OnError = func(code protocol.ErrorCode) {
			mu.Lock()
			defer mu.Unlock()
			codes = append(codes, code)
		}
	})
	p := r.dial("ann").open(1)
	p.send(&protocol.Query{Session: 1, Version: 1, Body: `["Dog"]`})
	expect[*protocol.QueryError](p.wire)
	p.send(&protocol.Upload{Session: 1, ProgressClient: 1, ProgressServer: 1 << 40})
	expect[*protocol.JSONError](p.wire)
	p.send(&protocol.Bind{Session: 1})
	expect[*protocol.JSONError](p.wire)
	mu.Lock()
	defer mu.Unlock()
	if want := []protocol.ErrorCode{protocol.BadQuery, protocol.BadServerVersion, protocol.ReuseOfSessionIdent}; !slices.Equal(codes, want) {
		t.Errorf("counted %v, want %v", codes, want)
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

func TestTrap4RefusedWriteIsToldBeforeItsDownload(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	r.file.mu.Lock()
	r.file.refuse = func(ref changeset.ObjectRef) string {
		if ref.Key.Int == 9 {
			return "outside the current query view"
		}
		return ""
	}
	r.file.mu.Unlock()
	// A QUERY right behind it must not let a bootstrap pass over the undoing.
	p.query++
	p.mark++
	up := p.upload(newDog(8, 1, "Blue"), newDog(9, 1, "Nope"))
	p.send(&protocol.Query{Session: 1, Version: p.query, Body: `{"Dog":"(age > 0)"}`}, &protocol.Mark{Session: 1, Request: p.mark})

	var told *protocol.JSONError
	var undone bool
	for {
		m, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *protocol.JSONError:
			told = m
			continue
		case *protocol.Download:
			p.integrate(m)
			if m.Batch != protocol.SteadyState && !undone {
				t.Fatal("the bootstrap came before the undoing")
			}
			for _, e := range m.Entries {
				if m.Batch != protocol.SteadyState {
					continue
				}
				if told == nil {
					t.Fatal("the undoing came before the error")
				}
				if e.ServerVersion != told.CompensatingWriteServerVersion || e.ClientVersion != up.Entries[1].ClientVersion || e.Origin != history.ServerIdent {
					t.Errorf("undone by %+v, told %+v", e, told)
				}
				cs, err := changeset.Decode(e.Changeset)
				if err != nil || brief(cs) != "EraseObject Dog 9" {
					t.Errorf("undone by %s (%v)", brief(cs), err)
				}
				undone = true
			}
			continue
		}
		break
	}
	if !undone {
		t.Fatal("nothing was undone")
	}
	if told.Code != protocol.CompensatingWrite || !told.TryAgain || told.Action != protocol.ActionWarning || told.RejectedClientVersion != up.Entries[1].ClientVersion {
		t.Errorf("told %+v", told)
	}
	want := []protocol.RejectedUpdate{{Table: "Dog", Key: changeset.IntKey(9), Reason: "outside the current query view"}}
	if !slices.Equal(told.RejectedUpdates, want) {
		t.Errorf("rejected %+v, want %+v", told.RejectedUpdates, want)
	}
}

func TestTrap4RefusalIsToldAgainInTheNextSession(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.refuse = func(changeset.ObjectRef) string { return "no" }
	r.file.mu.Unlock()
	held := p.at
	p.upload(newDog(9, 1, "Nope"))
	first := p.expectError(protocol.CompensatingWrite)
	// The client loses its connection before it integrates the undoing.
	_ = p.ws.CloseNow()
	p.at = held
	p.reopen(r.dial("ann"), 1)
	again := p.expectError(protocol.CompensatingWrite)
	if again.CompensatingWriteServerVersion != first.CompensatingWriteServerVersion {
		t.Errorf("told %d, then %d", first.CompensatingWriteServerVersion, again.CompensatingWriteServerVersion)
	}
	if got := brief(seen(t, p.awaitMark())); got != "EraseObject Dog 9" {
		t.Errorf("undone by %q", got)
	}
	p.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](p.wire)
	p.reopen(p.wire, 2)
	p.awaitMark() // fails on an error: it is not told once more
}

func TestTrap7NothingFollowsASessionError(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(1)
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangesetSize, Message: "could not"})
	p.expectError(protocol.BadClientFile)
	// Traffic that was on its way, and history that moves on.
	p.mark++
	p.send(&protocol.Mark{Session: 1, Request: p.mark})
	p.upload(newDog(3, 3, "Late"))
	r.file.commit(newDog(4, 4, "Rex"))
	p.send(&protocol.Unbind{Session: 1})
	// No UNBOUND: the next message is the answer to the next BIND.
	p.send(&protocol.Bind{Session: 1, NeedIdent: true})
	expect[*protocol.ServerIdent](w)
}

func TestTrap7UnboundIsTheLastMessage(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(1)
	p.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](w)
	r.file.commit(newDog(4, 4, "Rex"))
	p.send(&protocol.Mark{Session: 1, Request: 9})
	e := w.expectError(protocol.BadSessionIdent)
	if e.Session != 0 || e.TryAgain {
		t.Errorf("got %+v", e)
	}
	w.expectEnd()
}

func TestTrap8WrongModeIsAConnectionError(t *testing.T) {
	r := newRig(t)
	w := r.dialOffering("ann", protocol.Offer(false)...)
	w.send(&protocol.Bind{Session: 1, Partition: `"foo"`, NeedIdent: true})
	if e := w.expectError(protocol.SwitchToFLXSync); e.Session != 0 || e.TryAgain || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	w.expectEnd()

	r = newRig(t, func(o *Options) { o.Flexible = false })
	w = r.dialOffering("ann", protocol.Offer(true)...)
	w.send(&protocol.Bind{Session: 1, NeedIdent: true})
	if e := w.expectError(protocol.SwitchToPBS); e.Session != 0 || e.TryAgain || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	w.expectEnd()
}

func TestTrap11PongEchoesThePing(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.sendRaw([]byte("ping 2518588 17\n"))
	expect[*protocol.Pong](w)
	if got := string(w.raw[len(w.raw)-1]); got != "pong 2518588\n" {
		t.Errorf("got %q", got)
	}
}

func TestTrap12And17AndOwnChangesAreAcknowledgedNotSent(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	up := p.upload(newDog(1, 1, "Rex"), setAge(1, 2))
	downloads := append(p.awaitUpload(up), p.awaitMark()...)
	if got := seen(t, downloads); len(got) != 0 {
		t.Errorf("got its own changes back: %s", brief(got))
	}
	if p.at.DownloadClient != up.Entries[1].ClientVersion {
		t.Errorf("D.c is %d, want %d", p.at.DownloadClient, up.Entries[1].ClientVersion)
	}
	if head, _ := r.file.Head(); uint64(p.at.DownloadServer) != head*history.Stride {
		t.Errorf("cursor %d at head %d", p.at.DownloadServer, head)
	}
}

func TestTrap14IdentsAndSalts(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	idents := make(map[int64]bool)
	for i := range int64(5) {
		w.send(&protocol.Bind{Session: i + 1, NeedIdent: true})
		m := expect[*protocol.ServerIdent](w)
		if m.File < 2 || m.Salt <= 0 || idents[m.File] {
			t.Errorf("got %+v", m)
		}
		idents[m.File] = true
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
	p.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](p.wire)
	for i := range 700 {
		r.file.commit(newDog(i, i, strings.Repeat("x", 2000)))
	}
	p.reopen(p.wire, 2)
	downloads := p.awaitMark()
	got := seen(t, downloads)
	created := 0
	for i := range got {
		if got[i].Op == changeset.OpCreateObject {
			created++
		}
	}
	if created != 700 {
		t.Errorf("%d dogs came before the mark, want 700", created)
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

func TestTrap18EmptyUploadMakesNoVersion(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	before, _ := r.file.Head()
	up := p.upload()
	at := p.at.DownloadServer
	p.awaitUpload(up)
	if after, _ := r.file.Head(); after != before || p.at.DownloadServer != at {
		t.Errorf("head %d became %d, cursor %d became %d", before, after, at, p.at.DownloadServer)
	}
}

func TestTrap20CloseCodes(t *testing.T) {
	r := newRig(t)
	for token, want := range map[string]websocket.StatusCode{
		"expired":  websocket.StatusCode(protocol.CloseAuthExpired),
		"disabled": websocket.StatusCode(protocol.CloseForbidden),
	} {
		w, err := r.tryDial(token, protocol.Offer(true)...)
		if err != nil {
			t.Fatalf("%s: refused at the upgrade: %v", token, err)
		}
		_, err = w.read()
		if got := websocket.CloseStatus(err); got != want {
			t.Errorf("%s: got %v (%v), want %v", token, got, err, want)
		}
	}
	w := r.dial("ann")
	other := r.dial("bob")
	w.open(1)
	r.server.Disconnect("ann", protocol.CloseForbidden)
	if got := websocket.CloseStatus(w.expectEnd()); got != websocket.StatusCode(protocol.CloseForbidden) {
		t.Errorf("a user that was disabled: got %v", got)
	}
	other.open(1)
}

func TestTrap20TextMessageIsRefused(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	if err := w.ws.Write(context.Background(), websocket.MessageText, []byte("ping 1 0\n")); err != nil {
		t.Fatal(err)
	}
	w.expectError(protocol.BadSyntax)
}

func TestTrap22StatusesOfRefusedUpgrades(t *testing.T) {
	r := newRig(t)
	w, err := r.tryDial("unknowable", protocol.Offer(true)...)
	if err == nil || w.reply.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a token that cannot be checked: got %v, %v", w.reply, err)
	}
	for _, offer := range []string{"com.mongodb.realm-query-sync#1", "com.mongodb.realm-query-sync#99", "chat"} {
		w, err = r.tryDial("user:ann", offer)
		if err == nil || w.reply.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %v, %v", offer, w.reply, err)
			continue
		}
		text, _ := io.ReadAll(w.reply.Body)
		if !strings.Contains(string(text), "sub-protocol") {
			t.Errorf("%s: the answer is %q", offer, text)
		}
	}
	reply, err := http.Get(r.http.URL + "/api/client/v2.0/app/test-app/realm-sync?baas_at=user:ann")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: got %s", reply.Status)
	}
	if err := r.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	w, err = r.tryDial("user:ann", protocol.Offer(true)...)
	if err == nil || w.reply.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after shutdown: got %v, %v", w.reply, err)
	}
}

func TestTrap23LargeMessages(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxMessage = 1 << 20 })
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	// Hardly compressible, above every common default.
	name := noise(600 << 10)
	p.awaitUpload(p.upload(newDog(1, 1, name)))
	p.awaitMark()
	other := r.dial("bob").open(1)
	p.upload(newDog(2, 1, name), newDog(3, 1, name), newDog(4, 1, name))
	// Not close code 1009, for which the client would throw its changes away.
	e := p.expectError(protocol.BadSyntax)
	if !strings.Contains(e.Message, "1048576 bytes") {
		t.Errorf("got %q", e.Message)
	}
	other.awaitMark()
}

// noise returns text that compresses badly.
func noise(n int) string {
	b := make([]byte, n)
	for i, x := 0, uint64(1); i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = 'A' + byte(x>>32)%26 + byte(x>>40)%2*32
	}
	return string(b)
}

func TestTrap25NothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	gate := make(chan struct{})
	r.file.mu.Lock()
	r.file.gate = gate
	r.file.mu.Unlock()
	up := p.upload(newDog(1, 1, "Rex"))
	// The session goes on meanwhile, and says nothing of the upload.
	r.file.commit(newDog(2, 2, "Fido"))
	for _, d := range p.awaitMark() {
		if d.UploadClient >= up.ProgressClient || d.DownloadClient >= up.ProgressClient {
			t.Errorf("acknowledged too early: %+v", d.Progress)
		}
	}
	close(gate)
	p.awaitUpload(up)
}

func TestTrap26OneClientVersionInAMessage(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	at := p.at
	p.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](p.wire)
	// History in which others' entries lie between this file's own.
	ident := uint64(p.ident.File)
	r.file.commit(newDog(1, 1, "a"))
	for i := range 3 {
		r.file.mu.Lock()
		p.version++
		r.file.append(&history.Entry{Origin: ident, ClientVersion: uint64(p.version), Changeset: newDog(10+i, 1, "own")})
		r.file.clients[ident].upload = history.Cursor{Client: uint64(p.version), Server: uint64(at.DownloadServer)}
		r.file.mu.Unlock()
		r.file.commit(setAge(1, 2+i))
	}
	p.reopen(p.wire, 2)
	downloads := p.awaitMark() // integrate checks that client versions agree
	if len(downloads) != 4 {
		t.Errorf("got %d messages, want one for each client version, 4", len(downloads))
	}
	if got := brief(seen(t, downloads)); got != "CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name, Update Dog 1 age, Update Dog 1 age, Update Dog 1 age" {
		t.Errorf("got %s", got)
	}
}

func TestTrap27LatestIsWhatWasDownloaded(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 1, "Rex"))
	p := r.dial("ann").bind(1)
	p.download()
	downloads := p.awaitMark()
	downloads = append(downloads, p.subscribe(`{"Dog":"(age > 7)"}`)...)
	// Invisible to the client, yet the cursor says so before the mark.
	r.file.commit(newDog(2, 2, "Fido"))
	downloads = append(downloads, p.awaitMark()...)
	for _, d := range downloads {
		if d.LatestServer != d.DownloadServer || d.LatestSalt != int64(saltOf(uint64(d.LatestServer)/history.Stride)) {
			t.Errorf("got %+v", d.Progress)
		}
	}
	if head, _ := r.file.Head(); p.at.DownloadServer != int64(head*history.Stride) {
		t.Errorf("the mark was answered at %d, the head is %d", p.at.DownloadServer, head)
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
	created := 0
	got := seen(t, downloads)
	for i := range got {
		if got[i].Op == changeset.OpCreateObject {
			created++
		}
	}
	if created != 40 {
		t.Errorf("the repeated bootstrap creates %d dogs, want 40", created)
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
	p.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](p.wire)
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

func TestTrap32ClientResetIsFinal(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	for name, tt := range map[string]struct {
		ident protocol.ClientIdent
		code  protocol.ErrorCode
	}{
		"unknown client file": {protocol.ClientIdent{File: 99, Salt: 1}, protocol.BadClientFileIdent},
		"wrong salt":          {protocol.ClientIdent{File: 2, Salt: 1}, protocol.DivergingHistories},
		"from the future":     {protocol.ClientIdent{File: 2, Salt: 2000, DownloadServer: 99 * history.Stride, LatestServer: 99 * history.Stride, LatestSalt: 1}, protocol.BadServerVersion},
	} {
		t.Run(name, func(t *testing.T) {
			w := r.dial("ann")
			w.send(&protocol.Bind{Session: 1, NeedIdent: true})
			expect[*protocol.ServerIdent](w)
			m := tt.ident
			m.Session, m.Query = 1, "{}"
			w.send(&m)
			e := w.expectError(tt.code)
			if e.TryAgain || e.Action != protocol.ActionClientReset || !e.ShouldClientReset || e.Session != 1 {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestTrap33OriginAndTimestampPassUnchanged(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	ann, bob := r.dial("ann").open(1), r.dial("bob").open(1)
	ann.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	bob.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	up := ann.upload(newDog(1, 1, "Rex"))
	ann.awaitUpload(up)
	d := bob.download()
	want := protocol.DownloadEntry{
		ServerVersion: d.DownloadServer, ClientVersion: 0, Timestamp: up.Entries[0].Timestamp, Origin: ann.ident.File,
		OriginalSize: int64(len(up.Entries[0].Changeset)), Changeset: up.Entries[0].Changeset,
	}
	if len(d.Entries) != 1 || d.Entries[0].Timestamp != want.Timestamp || d.Entries[0].Origin != want.Origin ||
		d.Entries[0].ServerVersion != want.ServerVersion || d.Entries[0].ClientVersion != 0 || string(d.Entries[0].Changeset) != string(want.Changeset) {
		t.Errorf("got %+v, want %+v", d.Entries, want)
	}
}

func TestTrap34SessionIdentsAreTheClients(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(7)
	q := w.open(12)
	p.awaitMark()
	w.send(&protocol.Bind{Session: 12, NeedIdent: true})
	w.expectError(protocol.ReuseOfSessionIdent)

	w = r.dial("ann")
	w.open(7)
	w.send(&protocol.Bind{Session: 5, NeedIdent: true})
	w.expectError(protocol.ReuseOfSessionIdent)
	_ = q
}

func TestTrap35EverythingAtOnce(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 5, "Rex"))
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(age > 3)"}`)
	_ = p.ws.CloseNow()
	r.file.commit(newDog(2, 6, "Fido"))

	// A known file back within a minute: all before the server has said a word.
	p.reopen(r.dial("ann"), 1)
	up := p.upload(newDog(3, 7, "Max"))
	p.query++
	p.mark++
	p.send(&protocol.Query{Session: 1, Version: p.query, Body: `{"Dog":"(age > 6)"}`}, &protocol.Mark{Session: 1, Request: p.mark})
	downloads := p.untilMark()
	if p.at.UploadClient < up.ProgressClient {
		t.Errorf("the upload before the query is not acknowledged: %+v", p.at)
	}
	got := brief(seen(t, downloads))
	if !strings.HasPrefix(got, "CreateObject Dog 2") || !strings.HasSuffix(got, "EraseObject Dog 1, EraseObject Dog 2") {
		t.Errorf("got %s", got)
	}
}

func TestTrap36WhatWasOnItsWayIsIgnored(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1})
	w.send(&protocol.ClientIdent{Session: 1, File: 99, Salt: 1, Query: "{}"},
		&protocol.Mark{Session: 1, Request: 1},
		&protocol.Query{Session: 1, Version: 1, Body: "{}"},
		&protocol.Upload{Session: 1, ProgressClient: 3},
		&protocol.ClientIdent{Session: 1, File: 99, Salt: 1, Query: "{}"},
		&protocol.Unbind{Session: 1},
		&protocol.Bind{Session: 1, NeedIdent: true})
	w.expectError(protocol.BadClientFileIdent)
	expect[*protocol.ServerIdent](w)
}

func TestTrap37RestartIsAnnounced(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	gate := make(chan struct{})
	r.file.mu.Lock()
	r.file.gate = gate
	r.file.mu.Unlock()
	p.upload(newDog(1, 1, "Rex"))
	eventually(t, "the upload to be under way", func() bool {
		r.file.mu.Lock()
		defer r.file.mu.Unlock()
		return len(r.file.judged) == 1
	})
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown(context.Background()) }()
	e := p.expectError(protocol.ConnectionClosed)
	if e.Session != 0 || !e.TryAgain || e.Action != protocol.ActionTransient || e.Backoff == nil || e.Backoff.Seconds < 1 || e.Backoff.Multiplier < 1 {
		t.Errorf("got %+v", e)
	}
	_ = p.ws.CloseNow()
	select {
	case err := <-ended:
		t.Errorf("shutdown did not wait for the commit: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(gate)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if head, _ := r.file.Head(); head != 2 {
		t.Errorf("the upload under way was not committed: head %d", head)
	}
}

func TestTrap39TokenIsNotLogged(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann-secret-token")
	w.open(1)
	_, _ = r.tryDial("expired-secret", protocol.Offer(true)...)
	if log := r.logs.String(); strings.Contains(log, "baas_at") || strings.Contains(log, "user:ann") || strings.Contains(log, "expired-secret") {
		t.Errorf("the log holds a token:\n%s", log)
	}
}

func TestTrap40HangingUpIsNoError(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.open(1)
	_ = w.ws.CloseNow()
	eventually(t, "the connection to end", func() bool { return r.server.Stats() == Stats{} })
	if log := r.logs.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
		t.Errorf("got the log\n%s", log)
	}
}

func TestTrap41PartitionIsAValue(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Flexible = false })
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1, Partition: `foo`, NeedIdent: true})
	e := w.expectError(protocol.IllegalRealmPath)
	if !strings.Contains(e.Message, "serialized partition 'foo' is invalid") || e.Action != protocol.ActionApplicationBug {
		t.Errorf("got %+v", e)
	}
	// The connection and its other sessions go on.
	w.send(&protocol.Bind{Session: 2, Partition: `"foo"`, NeedIdent: true})
	expect[*protocol.ServerIdent](w)
}
