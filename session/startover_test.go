package session

import (
	"testing"

	"github.com/isthmus-sync/isthmus/protocol"
)

// A client that could not integrate a download begins anew: it is sent nothing
// until what it has itself is uploaded, even if it asks first. Should it fail
// again, it has to reset.
func TestStartsOver(t *testing.T) {
	for _, asks := range []bool{false, true} {
		name := map[bool]string{false: "uploads at once", true: "asks first"}[asks]
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.file.commit(dogs())
			w := r.dial("ann")
			p := w.open(1)
			p.subscribe(`{"Dog":"(TRUEPREDICATE)"}`)
			before := p.at
			r.file.commit(newDog(3, 3, "Rex"))
			expect[*protocol.Download](w) // what it cannot integrate
			p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangeset, Message: "could not"})
			if e := p.expectError(protocol.SessionClosed); !e.TryAgain {
				t.Errorf("got %+v", e)
			}
			p.send(&protocol.Unbind{Session: 1})
			p.at = before
			p.reopen(w, 1)
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
	r := newRig(t)
	r.file.commit(dogs())
	w := r.dial("ann")
	p := w.open(1)
	p.subscribe(`{"Dog":"(age < 9)"}`)
	before := p.at
	r.file.commit(newDog(3, 3, "Rex"))
	expect[*protocol.Download](w) // what it cannot integrate
	p.send(&protocol.ClientError{Session: 1, Code: protocol.BadChangeset, Message: "could not"})
	p.expectError(protocol.SessionClosed)
	p.send(&protocol.Unbind{Session: 1})
	p.at = before
	p.reopen(w, 1)
	if got := seen(t, p.awaitMark()); len(got) != 0 {
		t.Errorf("before its upload the client gets %v", got)
	}
	p.query++
	p.mark++
	p.send(&protocol.Query{Session: 1, Version: p.query, Body: `{"Dog":"(TRUEPREDICATE)"}`}, &protocol.Mark{Session: 1, Request: p.mark})
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
