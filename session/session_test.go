package session

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// What a client does wrong is answered with a clear error, and neither other
// connections nor, where only a session is at fault, the connection's other
// sessions notice.
func TestBadInputDisturbsNobodyElse(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	bystander := r.dial("bob").open(1)
	bystander.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	id := 0
	undisturbed := func(t *testing.T) {
		t.Helper()
		id++
		bystander.awaitUpload(bystander.upload(newDog(id, 1, "Rex")))
	}
	for _, tt := range []struct {
		name string
		send string
		code protocol.ErrorCode
	}{
		{"unknown message", "bogus 1 2\n", protocol.UnknownMessage},
		{"message of an old client", "alloc 1\n", protocol.UnknownMessage},
		{"transaction of an old client", "transact 1 2 3 0\n", protocol.UnknownMessage},
		{"malformed header", "mark 1 x\n", protocol.BadSyntax},
		{"nothing", "", protocol.UnknownMessage},
		{"unknown session", "mark 5 1\n", protocol.BadSessionIdent},
		{"session bound twice", "bind 1 0 0 1 0\n", protocol.ReuseOfSessionIdent},
		{"identified twice", "ident 1 2 2000 0 0 0 0 0 2\n{}", protocol.BadMessageOrder},
		{"mark not above the last", "mark 1 1\n", protocol.BadMessageOrder},
		{"query not above the last", "query 1 0 2\n{}", protocol.BadMessageOrder},
		{"undecodable zlib", "upload 1 1 2000 3 6 0 0\nabc", protocol.BadDecompression},
		{"malformed entry", "upload 1 0 3 0 6 0 0\nxyz", protocol.BadChangesetHeaderSyntax},
		{"entry that overruns", "upload 1 0 12 0 6 0 0\n7 0 1 0 3 ab", protocol.BadChangesetSize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := r.dial("ann")
			w.t = t
			w.open(1)
			w.sendRaw([]byte(tt.send))
			e := w.expectError(tt.code)
			if e.Session != 0 || e.Message == "" {
				t.Errorf("got %+v", e)
			}
			w.expectEnd()
			undisturbed(t)
		})
	}
	for _, tt := range []struct {
		name string
		send string
		code protocol.ErrorCode
	}{
		{"undecodable changeset", "upload 1 0 13 0 9 0 0\n9 0 1 0 3 \xff\xff\xff", protocol.BadChangeset},
		{"another's changeset", "upload 1 0 10 0 9 0 0\n9 0 1 4 0 ", protocol.BadOriginFileIdent},
		{"from the future", "upload 1 0 0 0 9 99999999 0\n", protocol.BadServerVersion},
		{"client could not integrate", "json_error 212 18 1\n" + `{"message":"oops"}`, protocol.SessionClosed},
		{"client could not store", "json_error 112 18 1\n" + `{"message":"oops"}`, protocol.BadClientFile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := r.dial("ann")
			w.t = t
			w.open(1)
			other := w.open(2)
			w.sendRaw([]byte(tt.send))
			e := w.expectError(tt.code)
			if e.Session != 1 || e.Message == "" {
				t.Errorf("got %+v", e)
			}
			other.awaitUpload(other.upload(setAge(id, 2)))
			undisturbed(t)
		})
	}
	if log := r.logs.String(); !strings.Contains(log, `client_error=oops`) {
		t.Errorf("the client's report is not in the log:\n%s", log)
	}
}

func TestIdentBeforeItsTime(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1})
	w.send(&protocol.Mark{Session: 1, Request: 1})
	w.expectError(protocol.BadMessageOrder)
}

func TestUnbindInEveryState(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1}, &protocol.Unbind{Session: 1})
	if m := expect[*protocol.Unbound](w); m.Session != 1 {
		t.Errorf("got %+v", m)
	}
	w.send(&protocol.Bind{Session: 2, NeedIdent: true}, &protocol.Unbind{Session: 2})
	expect[*protocol.ServerIdent](w)
	if m := expect[*protocol.Unbound](w); m.Session != 2 {
		t.Errorf("got %+v", m)
	}
}

func TestTestCommandIsAnswered(t *testing.T) {
	r := newRig(t)
	w := r.dial("ann")
	w.send(&protocol.Bind{Session: 1}, &protocol.TestCommand{Session: 1, Request: 5, Body: `{"command":"X","args":{}}`})
	if m := expect[*protocol.TestCommand](w); m.Request != 5 || m.Session != 1 {
		t.Errorf("got %+v", m)
	}
}

// A client reset binds the real file with the ident of the fresh one, maybe
// before it has read the UNBOUND of the fresh session.
func TestClientReset(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 5, "Rex"))
	w := r.dial("ann")
	fresh := w.open(3)
	fresh.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
	w.send(&protocol.Unbind{Session: 3}, &protocol.Bind{Session: 4, Flexible: protocol.FlexibleBind{Reason: protocol.ReasonClientReset}})
	real := *fresh
	real.session, real.mark, real.query, real.version = 4, 0, 5, 20
	real.identify()
	expect[*protocol.Unbound](w)
	real.awaitMark()
	if real.at.DownloadClient != 0 || real.at.UploadClient != 0 {
		t.Errorf("got %+v", real.at)
	}
	real.awaitUpload(real.upload(setAge(1, 6)))
}

func TestOneFileOverTwoConnections(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	old := p.wire
	// The client's network is gone and back; the old socket does not know it yet.
	p.reopen(r.dial("ann"), 1)
	p.awaitMark()
	old.expectEnd()
	p.awaitUpload(p.upload(newDog(1, 1, "Rex")))
	if got := r.server.Stats(); got.Sessions != 1 {
		t.Errorf("got %+v", got)
	}
}

// An IDENT that a client sent before it lost its network may be read after the one
// that it sent when it was back.
func TestIdentOfAnOldConnectionComesLate(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	old := r.dial("ann")
	p := r.dial("ann").open(1)
	zombie := *p
	zombie.reopen(old, 1)
	old.expectEnd()
	p.awaitUpload(p.upload(newDog(1, 1, "Rex")))
}

func TestGuessedSaltDisturbsNobody(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	w := r.dial("mallory")
	w.send(&protocol.Bind{Session: 1}, &protocol.ClientIdent{Session: 1, File: p.ident.File, Salt: 4711, Query: "{}"})
	w.expectError(protocol.DivergingHistories)
	p.awaitUpload(p.upload(newDog(1, 1, "Rex")))
}

func TestOneFileTwiceOnAConnection(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.reopen(p.wire, 2)
	e := p.expectError(protocol.BoundInOtherSession)
	if e.Session != 0 || !e.TryAgain {
		t.Errorf("got %+v", e)
	}
}

// An app opens a realm, pauses its session and resumes it before the first session
// has come to its IDENT: that one must not take the client file over from the second.
func TestSessionsInQuickSuccession(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.unbind()
	second := make(chan struct{}, 1)
	var attached atomic.Int32
	client := func() *fakeClient {
		r.file.mu.Lock()
		defer r.file.mu.Unlock()
		return r.file.clients[uint64(p.ident.File)]
	}
	before := client()
	r.file.mu.Lock()
	r.file.attaching = func() {
		if attached.Add(1) > 1 {
			second <- struct{}{}
			return
		}
		select {
		case <-second: // while the first is at it, which comes last then
			for client() == before {
				runtime.Gosched()
			}
		case <-time.After(200 * time.Millisecond):
		}
	}
	r.file.mu.Unlock()
	p.reopen(p.wire, 2)
	p.send(&protocol.Unbind{Session: 2})
	p.reopen(p.wire, 3)
	for unbound := false; !unbound; {
		m, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		_, unbound = m.(*protocol.Unbound)
	}
	p.awaitUpload(p.upload(newDog(1, 1, "Rex")))
}

// A session whose client file was taken over by another node learns of it from
// its next upload.
func TestFileTakenOverByAnotherNode(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	at := history.Cursors{Ident: history.Ident{Ident: uint64(p.ident.File), Salt: uint64(p.ident.Salt)}}
	if _, err := r.file.Attach(t.Context(), "ann", at); err != nil {
		t.Fatal(err)
	}
	p.upload(newDog(1, 1, "Rex"))
	p.expectEnd()
	if head, _ := r.file.Head(); head != 1 {
		t.Errorf("the upload was taken: head %d", head)
	}
}

func TestManySessionsOnAConnection(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	var phones []*phone
	for i := range int64(20) {
		p := w.open(i + 1)
		p.subscribe(fmt.Sprintf(`{"Dog":"(age == %d)"}`, i))
		phones = append(phones, p)
	}
	if got := r.server.Stats(); got.Connections != 1 || got.Sessions != 20 {
		t.Errorf("got %+v", got)
	}
	for i := range phones {
		r.file.commit(newDog(i, i, "Rex"))
	}
	got := make(map[int64]string)
	for len(got) < len(phones) {
		m := expect[*protocol.Download](w)
		phones[m.Session-1].integrate(m)
		if s := brief(seen(t, []*protocol.Download{m})); s != "" {
			got[m.Session] = s
		}
	}
	for i := range phones {
		want := fmt.Sprintf("CreateObject Dog %d, Update Dog %d age, Update Dog %d name", i, i, i)
		if got[int64(i+1)] != want {
			t.Errorf("session %d got %s, want %s", i+1, got[int64(i+1)], want)
		}
	}
}

func TestNewsOutOfSightIsCollected(t *testing.T) {
	r := newRig(t, func(o *Options) { o.QuietDelay = 100 * time.Millisecond })
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(age > 100)"}`)
	for i := range 50 {
		r.file.commit(newDog(i, 1, "Rex"))
	}
	head, _ := r.file.Head()
	messages := 0
	for p.at.DownloadServer < int64(head*history.Stride) {
		if m := p.download(); len(m.Entries) > 0 {
			t.Errorf("saw %s", brief(seen(t, []*protocol.Download{m})))
		}
		messages++
	}
	if messages > 5 {
		t.Errorf("50 commits out of sight came in %d messages", messages)
	}
}

func TestUploadsAreJudgedByTheQueryBeforeThem(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(age == 1)"}`)
	p.upload(setAgeOfNew(1, 1))
	p.ask(`{"Dog":"(age == 2)"}`)
	p.untilMark()
	p.awaitUpload(p.upload(setAgeOfNew(2, 2)))
	r.file.mu.Lock()
	defer r.file.mu.Unlock()
	if len(r.file.judged) != 2 {
		t.Fatalf("%d uploads", len(r.file.judged))
	}
	ref := changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(1)}
	for i, want := range [][]bool{{true, false}, {false, true}} {
		for k := range want {
			if got := r.file.judged[i](ref, dog(k+1, "")); got != want[k] {
				t.Errorf("upload %d, dog of age %d: in view %v, want %v", i+1, k+1, got, want[k])
			}
		}
	}
}

func setAgeOfNew(id, age int) changeset.Changeset { return newDog(id, age, "Rex") }

// While the bootstrap of a new query is being sent, uploads are judged by both
// queries, and later queries wait for their turn.
func TestMessagesDuringABootstrap(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	for i := range 40 {
		r.file.commit(newDog(i, i, noise(100<<10)))
	}
	p := r.dial("ann").open(1)
	p.subscribe(`{"Dog":"(age == 100)"}`)
	scanning, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.file.mu.Lock()
	r.file.scanned = func(ref changeset.ObjectRef) error {
		if ref.Key.Int == 30 {
			once.Do(func() { close(scanning); <-goOn })
		}
		return nil
	}
	r.file.mu.Unlock()
	p.query++
	p.send(&protocol.Query{Session: 1, Version: p.query, Body: `{"Dog":"(age < 200)"}`})
	<-scanning
	p.upload(newDog(100, 100, "Old"))
	p.query++
	p.mark++
	p.send(&protocol.Query{Session: 1, Version: p.query, Body: `{}`}, &protocol.Mark{Session: 1, Request: p.mark}, &protocol.Ping{Timestamp: 5})
	close(goOn)
	// The PONG shows that all of it has been read.
	var versions []int64
	marked, ponged := false, false
	for !marked || !ponged {
		m, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *protocol.Download:
			p.integrate(m)
			if m.Batch == protocol.LastInBatch {
				versions = append(versions, m.QueryVersion)
			}
		case *protocol.Pong:
			ponged = true
		case *protocol.Mark:
			marked = true
		default:
			t.Fatalf("got %T %+v", m, m)
		}
	}
	if fmt.Sprint(versions) != "[2 3]" {
		t.Errorf("bootstraps of versions %v", versions)
	}
	r.file.mu.Lock()
	defer r.file.mu.Unlock()
	ref := changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(1)}
	if judge := r.file.judged[0]; !judge(ref, dog(100, "")) || !judge(ref, dog(150, "")) || judge(ref, dog(250, "")) {
		t.Error("the upload is not judged by both queries")
	}
}

func TestBootstrapThatFails(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	r.file.commit(newDog(1, 1, "Rex"))
	p := r.dial("ann").open(1)
	r.file.mu.Lock()
	r.file.scanned = func(changeset.ObjectRef) error { return fmt.Errorf("snapshot too old") }
	r.file.mu.Unlock()
	p.send(&protocol.Query{Session: 1, Version: 1, Body: `{"Dog":"(TRUEPREDICATE)"}`})
	e := p.expectError(protocol.OtherSessionError)
	if !e.TryAgain || e.Action != protocol.ActionTransient || strings.Contains(e.Message, "snapshot") {
		t.Errorf("got %+v", e)
	}
	if log := r.logs.String(); !strings.Contains(log, "snapshot too old") {
		t.Errorf("the cause is not in the log:\n%s", log)
	}
}

// Each version is spoken in its own layout, which the client's side checks by
// parsing.
func TestEveryVersion(t *testing.T) {
	for version := 3; version <= protocol.MaxVersion; version++ {
		for _, flexible := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d/%v", version, flexible), func(t *testing.T) {
				r := newRig(t, func(o *Options) { o.Flexible = flexible })
				token := protocol.Token(protocol.Codec{Version: version, Flexible: flexible})
				w := r.dialOffering("ann", token)
				if w.codec.Version != version || w.ws.Subprotocol() != token || w.reply.Header.Get(RequestIDHeader) == "" {
					t.Errorf("agreed on %q: %+v", w.ws.Subprotocol(), w.codec)
				}
				w.send(&protocol.Bind{Session: 1, Partition: `"p"`, NeedIdent: true})
				p := &phone{wire: w, session: 1, version: 1, body: noQuery}
				p.ident = *expect[*protocol.ServerIdent](w)
				p.identify()
				p.download()
				p.awaitMark()
				p.awaitUpload(p.upload(dogs()))
				if flexible {
					p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
				}
				p.awaitUpload(p.upload(newDog(1, 1, "Rex")))
				w.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangesetSize})
				if version >= 4 {
					w.expectError(protocol.BadClientFile)
				} else if e := expect[*protocol.Error](w); e.Code != protocol.BadClientFile {
					t.Errorf("got %+v", e)
				}
			})
		}
	}
}

func TestPartitionMode(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Flexible = false })
	open := func(session int64, partition string) *phone {
		w := r.dial("ann")
		w.send(&protocol.Bind{Session: session, Partition: partition, NeedIdent: true})
		p := &phone{wire: w, session: session, version: 1}
		p.ident = *expect[*protocol.ServerIdent](w)
		p.identify()
		p.download()
		p.awaitMark()
		return p
	}
	a, b, elsewhere := open(1, `{"$numberInt":"5"}`), open(1, `{"$numberLong":"5"}`), open(1, `"5"`)
	a.awaitUpload(a.upload(dogs(), newDog(1, 1, "Rex")))
	var got changeset.Changeset
	for len(got) < 6 {
		got = append(got, seen(t, []*protocol.Download{b.download()})...)
	}
	want := "AddTable Dog, AddColumn Dog age, AddColumn Dog name, CreateObject Dog 1, Update Dog 1 age, Update Dog 1 name"
	if brief(got) != want {
		t.Errorf("got %s, want %s", brief(got), want)
	}
	if other := seen(t, elsewhere.awaitMark()); len(other) != 0 {
		t.Errorf("another partition got %s", brief(other))
	}
}

func TestPresenceBoard(t *testing.T) {
	board := NewMemoryPresence()
	r := newRig(t, func(o *Options) { o.Presence = board })
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(1)
	who, err := board.List(context.Background())
	if err != nil || len(who) != 1 || who[0].User != "ann" || who[0].File != history.FlexibleFile || who[0].Ident != uint64(p.ident.File) || who[0].Node != "here" {
		t.Fatalf("got %+v (%v)", who, err)
	}
	w.send(&protocol.Ping{Timestamp: 1})
	expect[*protocol.Pong](w)
	w.send(&protocol.Unbind{Session: 1})
	expect[*protocol.Unbound](w)
	eventually(t, "the session to leave the board", func() bool {
		n, err := board.Count(context.Background())
		return err == nil && n == 0
	})
}

func TestSilentConnectionsAreDropped(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleTimeout = 50 * time.Millisecond })
	w := r.dial("ann")
	w.open(1)
	w.expectEnd()

	r = newRig(t, func(o *Options) { o.BindTimeout = 50 * time.Millisecond })
	w = r.dial("ann")
	w.expectEnd()
}
