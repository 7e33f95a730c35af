package session

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

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
	up := p.upload(newDog(8, 1, "Blue"), newDog(9, 1, "Nope"))
	p.ask(`{"Dog":"(age > 0)"}`)

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
	p.unbind()
	p.reopen(p.wire, 2)
	p.awaitMark() // fails on an error: it is not told once more
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
	p.unbind()
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
	p.ask(`{"Dog":"(age > 6)"}`)
	downloads := p.untilMark()
	if p.at.UploadClient < up.ProgressClient {
		t.Errorf("the upload before the query is not acknowledged: %+v", p.at)
	}
	got := brief(seen(t, downloads))
	if !strings.HasPrefix(got, "CreateObject Dog 2") || !strings.HasSuffix(got, "EraseObject Dog 1, EraseObject Dog 2") {
		t.Errorf("got %s", got)
	}
}
