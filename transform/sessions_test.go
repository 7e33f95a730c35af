package transform

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

var sessionsFlag = flag.Int("sessions", 2000, "number of random sessions of a server with three clients")

// event is what happens in a session: a commit if there are changes, else an
// upload or a download.
type event struct {
	client  uint64
	changes changeset.Changeset
	at      uint64
	upload  bool
}

func (e *event) String() string {
	switch {
	case e.changes != nil:
		return fmt.Sprintf("client %d at %d:\n%s", e.client, e.at, text(e.changes))
	case e.upload:
		return fmt.Sprintf("upload %d\n", e.client)
	}
	return fmt.Sprintf("download %d\n", e.client)
}

// happen makes the event happen. What does not fit any more, in a session that
// was shortened, does not happen.
func (e *event) happen(w *world) error {
	switch {
	case e.changes != nil:
		c := w.clients[e.client]
		if w.failed[e.client] == nil && c.state.clone().apply(e.changes) == nil {
			return c.commit(e.changes, e.at)
		}
		return nil
	case e.upload:
		return w.upload(e.client)
	}
	w.download(e.client)
	return nil
}

// user says how the clients of a random session behave.
type user struct {
	families  [][]string
	sloppy    bool // may assign collections without clearing them
	backwards bool // a client's clock may go back
}

// randomSession makes 30 things happen.
func randomSession(rng *rand.Rand, w *world, u user) []event {
	fields := u.families[rng.IntN(len(u.families))]
	sloppy := u.sloppy && rng.IntN(2) == 0
	now, clocks := uint64(10), map[uint64]uint64{}
	var events []event
	for range 30 {
		e := event{client: participants[rng.IntN(len(participants))]}
		now += rng.Uint64N(2)
		switch rng.IntN(5) {
		case 0:
			e.upload = true
		case 1:
		default:
			if w.failed[e.client] != nil {
				continue
			}
			ed := editor{rng: rng, fields: fields, sloppy: sloppy}
			e.changes = ed.transaction(w.clients[e.client].state, 3)
			e.at = now - rng.Uint64N(5)
			if !u.backwards {
				e.at = max(e.at, clocks[e.client])
			}
			clocks[e.client] = e.at
		}
		events = append(events, e)
		if e.happen(w) != nil {
			break
		}
	}
	return events
}

// replay plays events on a world, then brings everything everywhere.
func replay(w *world, events []event) error {
	for i := range events {
		if err := events[i].happen(w); err != nil {
			return err
		}
	}
	return w.sync(participants)
}

// shorten leaves out of a session what is not needed to make it fail.
func shorten(events []event, fails func([]event) bool) []event {
	for again := true; again; {
		again = false
		for i := 0; i < len(events); i++ {
			if fewer := slices.Delete(slices.Clone(events), i, i+1); fails(fewer) {
				events, again = fewer, true
				i--
				continue
			}
			for k := 0; k < len(events[i].changes); k++ {
				for n := 1; n <= 2 && k+n < len(events[i].changes)+1 && n < len(events[i].changes); n++ { // a collection with its Clear
					fewer := slices.Clone(events)
					fewer[i].changes = slices.Delete(slices.Clone(events[i].changes), k, k+n)
					if fails(fewer) {
						events, again = fewer, true
						k--
						break
					}
				}
			}
		}
	}
	return events
}

// assignsCleanly reports whether every assignment of a collection is followed by
// its Clear.
func assignsCleanly(events []event) bool {
	for _, e := range events {
		for i := range e.changes {
			d := draft{instructions: e.changes}
			if o := (operand{in: &e.changes[i], of: &d, pos: int32(i)}); o.in.Op == changeset.OpUpdate && keepsContent(&o) {
				return false
			}
		}
	}
	return true
}

// randomSessions plays sessions; check describes what is wrong with how one ended.
func randomSessions(t *testing.T, client Rules, u user, check func(w *world, err error) string) {
	t.Helper()
	base := newReplica()
	if err := base.apply(editorBase); err != nil {
		t.Fatal(err)
	}
	fresh := func() *world { return newWorld(participants, ServerRules, client, base) }
	result := func(events []event) string {
		w := fresh()
		return check(w, replay(w, events))
	}
	for run := range *sessionsFlag {
		events := randomSession(rand.New(rand.NewPCG(*seedFlag, uint64(run))), fresh(), u)
		if result(events) == "" {
			continue
		}
		clean := assignsCleanly(events)
		events = shorten(events, func(e []event) bool { return clean == assignsCleanly(e) && result(e) != "" })
		var log strings.Builder
		for i := range events {
			log.WriteString(events[i].String())
		}
		t.Fatalf("%ssync all\n%s\n-seed=%d, run %d", log.String(), result(events), *seedFlag, run)
	}
}

// TestRandomSessionsConverge: with the server's rules everywhere, whatever
// happens in whatever order.
func TestRandomSessionsConverge(t *testing.T) {
	u := user{families: families}
	randomSessions(t, ServerRules, u, func(w *world, err error) string {
		if err == nil {
			err = w.failure()
		}
		if err != nil {
			return err.Error()
		}
		for ident, c := range w.clients {
			if d := w.server.state.differs(c.state); len(d) > 0 {
				return fmt.Sprintf("client %d has %s\nserver has %s", ident, jsonText(c.state.dump()), jsonText(w.server.state.dump()))
			}
		}
		return ""
	})
}

// TestRandomSessionsReport: where devices go wrong in whatever they do, the
// server has noticed.
func TestRandomSessionsReport(t *testing.T) {
	reportedSessions(t, DeviceRules, user{families: append(families, wildFamilies...), sloppy: true})
}

// TestRandomSessionsClocksGoBack: the same where clients' clocks may go back,
// which lets even clean assignments of collections diverge, on peers that
// compare set erases in the same way (see Rules.SetErasesApart).
func TestRandomSessionsClocksGoBack(t *testing.T) {
	reportedSessions(t, OriginalRules, user{families: append(families, wildFamilies...), backwards: true})
}

func reportedSessions(t *testing.T, client Rules, u user) {
	t.Helper()
	reported, diverged, failed := 0, 0, 0
	randomSessions(t, client, u, func(w *world, err error) string {
		if len(w.server.defects) > 0 {
			reported++
		}
		if err != nil || len(w.failed) > 0 {
			failed++
		}
		bad, complaint := w.unreported(err)
		if bad {
			diverged++
		}
		return complaint
	})
	t.Logf("%d sessions: %d with a report, %d diverged, %d failed", *sessionsFlag, reported, diverged, failed)
}
