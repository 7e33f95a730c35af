package session

import (
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/protocol"
)

// startingOver makes a client that could not integrate the creation of dog 3, and has
// bound its session again.
func startingOver(t *testing.T, subscribed string) *phone {
	t.Helper()
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	p.subscribe(subscribed)
	before := p.at
	r.file.commit(newDog(3, 3, "Rex"))
	expect[*protocol.Download](p.wire)
	p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangeset, Message: "could not"})
	if e := p.expectError(protocol.SessionClosed); !e.TryAgain {
		t.Errorf("got %+v", e)
	}
	p.send(&protocol.Unbind{Session: 1})
	p.at = before
	p.reopen(p.wire, 1)
	return p
}

// A client that could not integrate a download begins anew: it is sent nothing
// until what it has itself is uploaded, even if it asks first. Should it fail
// again, it has to reset.
func TestStartsOver(t *testing.T) {
	for _, asks := range []bool{false, true} {
		name := map[bool]string{false: "uploads at once", true: "asks first"}[asks]
		t.Run(name, func(t *testing.T) {
			p := startingOver(t, `{"Dog":"(TRUEPREDICATE)"}`)
			if asks {
				if got := seen(t, p.awaitMark()); len(got) != 0 {
					t.Errorf("before its upload the client gets %v", got)
				}
			}
			own := p.upload(newDog(4, 4, "Lad"))
			if got := seen(t, p.awaitUpload(own)); len(got) != 3 || got[0].Key != newDog(3, 3, "Rex")[0].Key {
				t.Errorf("after its upload the client gets %v", got)
			}
			p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangeset, Message: "could not"})
			p.expectError(protocol.BadClientFile)
		})
	}
}

// A client that starts over sends the subscription set that it made before it
// wrote first. The MARK that follows the set is about its bootstrap: answered
// before that, the set would never be complete.
func TestStartsOverWithANewSubscriptionSet(t *testing.T) {
	p := startingOver(t, `{"Dog":"(age < 9)"}`)
	if got := seen(t, p.awaitMark()); len(got) != 0 {
		t.Errorf("before its upload the client gets %v", got)
	}
	p.ask(`{"Dog":"(TRUEPREDICATE)"}`)
	p.upload(newDog(4, 4, "Lad"))
	downloads := p.untilMark()
	if len(downloads) == 0 {
		t.Fatal("the mark is answered before any DOWNLOAD")
	}
	last := downloads[len(downloads)-1]
	if last.QueryVersion != p.query || last.Batch != protocol.LastInBatch {
		t.Errorf("the mark is answered after a DOWNLOAD of query version %d, batch state %v", last.QueryVersion, last.Batch)
	}
}

// A client whose schema does not agree with the server's is told so: neither an upload
// nor a reset would help.
func TestClientOfAnotherSchema(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	p := r.dial("ann").open(1)
	text := "Failed to transform received changeset: Schema mismatch: Property 'age' in class 'Dog' is of type String on one side and type Int on the other."
	p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangeset, Message: text})
	e := p.expectError(protocol.InvalidSchemaChange)
	if e.TryAgain || e.Action != protocol.ActionApplicationBug || !strings.Contains(e.Message, text) {
		t.Errorf("got %+v", e)
	}
}
