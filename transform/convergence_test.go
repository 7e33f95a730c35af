package transform

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

var exhaustiveFlag = flag.Bool("exhaustive", false, "enumerate every order of arrival with every order of timestamps, and downloads between uploads")

var participants = []uint64{2, 3, 4}

// order is how the participants' changesets reach the others.
type order struct {
	name string
	run  func(w *world, idents []uint64) error
}

var orders = []order{
	{"upload all, download all", func(w *world, idents []uint64) error { return w.sync(idents) }},
	{"download before each upload", func(w *world, idents []uint64) error {
		for _, ident := range idents {
			w.download(ident)
			if err := w.upload(ident); err != nil {
				return err
			}
		}
		return w.sync(idents)
	}},
}

// timestamps of the participants: equal, so that idents decide, and against
// the idents.
var timestamps = [][]uint64{{5, 5, 5}, {7, 6, 5}}

// session is one case of an enumeration.
type session struct {
	actions []changeset.Changeset // one for each participant
	times   []uint64
	arrival []uint64
	order   order
}

func (s *session) String() string {
	var b strings.Builder
	for i, c := range s.actions {
		fmt.Fprintf(&b, "client %d at %d:\n%s", participants[i], s.times[i], text(c))
	}
	fmt.Fprintf(&b, "%s, in the order %v", s.order.name, s.arrival)
	return b.String()
}

// sessions enumerates all cases. As every participant may do everything, what
// counts is how the order of arrival relates to that of the order keys; large
// enumerations go through all of those once, with equal timestamps.
func (e *enumeration) sessions(visit func(*session)) {
	n := len(e.actions(0))
	actions := make([][]changeset.Changeset, len(participants))
	for i, p := range participants {
		actions[i] = e.actions(int64(p))
	}
	large := n > 17
	for t, times := range timestamps {
		for a, arrival := range permutations(participants) {
			for o := range orders {
				if !*exhaustiveFlag && (o > 0 || large && t > 0 && a > 0) {
					continue
				}
				for i := range n * n * n {
					visit(&session{
						actions: []changeset.Changeset{actions[0][i%n], actions[1][i/n%n], actions[2][i/n/n]},
						times:   times, arrival: arrival, order: orders[o],
					})
				}
			}
		}
	}
}

func (e *enumeration) baseReplica(t *testing.T) *replica {
	t.Helper()
	base := newReplica()
	if err := base.apply(e.base); err != nil {
		t.Fatal(err)
	}
	return base
}

// play runs a session. The error is a failed merge or application.
func (s *session) play(base *replica, server, client Rules) (*world, error) {
	w := newWorld(participants, server, client, base)
	for i, ident := range participants {
		if err := w.clients[ident].commit(s.actions[i], s.times[i]); err != nil {
			panic(fmt.Sprintf("an enumeration has an action that does not fit the base: %v", err))
		}
	}
	return w, s.order.run(w, s.arrival)
}

// TestConvergence: with the server's rules everywhere, three participants who
// do one thing each end up with the same state.
func TestConvergence(t *testing.T) {
	for _, e := range enumerations {
		t.Run(e.name, func(t *testing.T) {
			base, cases := e.baseReplica(t), 0
			e.sessions(func(s *session) {
				if t.Failed() {
					return
				}
				cases++
				w, err := s.play(base, ServerRules, ServerRules)
				if err == nil {
					err = w.failure()
				}
				if err != nil {
					t.Errorf("%v\n%v", s, err)
					return
				}
				for ident, c := range w.clients {
					if d := w.server.state.differs(c.state); len(d) > 0 {
						t.Errorf("%v\nclient %d has %s\nserver has %s", s, ident, jsonText(c.state.dump()), jsonText(w.server.state.dump()))
					}
				}
			})
			n := len(e.actions(0))
			t.Logf("%d combinations, %d sessions", n*n*n, cases)
		})
	}
}

// TestDefectsAreReported: where devices, with the rules they have, end up
// elsewhere than the server or fail, the server has met a defect in the merge
// of that device's upload, on that object.
func TestDefectsAreReported(t *testing.T) {
	for _, e := range append(enumerations, defective...) {
		t.Run(e.name, func(t *testing.T) {
			base, cases, diverged, refused, failed, reported := e.baseReplica(t), 0, 0, 0, 0, 0
			e.sessions(func(s *session) {
				if t.Failed() {
					return
				}
				cases++
				w, err := s.play(base, ServerRules, DeviceRules)
				if len(w.server.defects) > 0 {
					reported++
				}
				if err != nil {
					refused++
				}
				if len(w.failed) > 0 {
					failed++
				}
				bad, complaint := w.unreported(err)
				if bad {
					diverged++
				}
				if complaint != "" {
					t.Errorf("%v\n%s", s, complaint)
				}
			})
			t.Logf("%d sessions: %d with a report; in %d peers diverged, in %d a download and in %d an upload failed",
				cases, reported, diverged, failed, refused)
		})
	}
}

// unreported reports whether clients diverged, and describes what the server
// should have noticed but did not: a failed upload or download, or an object
// that differs.
func (w *world) unreported(err error) (diverged bool, complaint string) {
	var upload *uploadError
	if errors.As(err, &upload) {
		if len(w.server.defects[upload.client]) == 0 {
			return false, fmt.Sprintf("nothing reported of client %d, but %v", upload.client, err)
		}
		return false, ""
	}
	for ident, c := range w.clients {
		if err := w.failed[ident]; err != nil {
			if len(w.server.defects[ident]) == 0 {
				return false, fmt.Sprintf("nothing reported of client %d, but it failed: %v", ident, err)
			}
			continue
		}
		for _, ref := range w.server.state.differs(c.state) {
			diverged = true
			if !w.server.reported(ident, ref) {
				return true, fmt.Sprintf("nothing reported of client %d and %v, but\nclient has %s\nserver has %s",
					ident, ref, jsonText(c.state.dump()), jsonText(w.server.state.dump()))
			}
		}
	}
	return diverged, ""
}

// reported reports whether merging the client's changesets met a defect on the object.
func (p *peer) reported(client uint64, ref changeset.ObjectRef) bool {
	for d := range p.defects[client] {
		if d.Object == ref {
			return true
		}
	}
	return false
}
