package transform

import (
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
)

// This file is a miniature of a server and its clients (part 4 of the
// specification), to try merging where it is used: reciprocals for each
// client, uploads in batches, downloads that meet what is not yet acknowledged.

const serverIdent = 1

// row is an entry of a peer's history.
type row struct {
	changeset     changeset.Changeset
	timestamp     uint64
	origin        uint64 // 0 if made by this peer
	remoteVersion int    // of a received one: its version at the sender; of an own one: the last remote version integrated
}

// received is a changeset on its way to another peer.
type received struct {
	Entry
	version int // at the sender
	base    int // last version of the receiver that the sender had integrated
}

// peer is the server or a client. history[i] produced version i+1.
type peer struct {
	ident      uint64
	rules      Rules
	state      *replica
	history    []row
	reciprocal map[uint64]map[int]changeset.Changeset // remote → version → rewritten
	cursor     map[uint64]int                         // remote → its last version integrated

	defects map[uint64]map[Defect]bool // by the remote whose changesets were merged
}

func newPeer(ident uint64, rules Rules, state *replica) *peer {
	return &peer{
		ident: ident, rules: rules, state: state,
		reciprocal: map[uint64]map[int]changeset.Changeset{}, cursor: map[uint64]int{},
		defects: map[uint64]map[Defect]bool{},
	}
}

// commit makes a local changeset.
func (p *peer) commit(c changeset.Changeset, timestamp uint64) error {
	if err := p.state.apply(c); err != nil {
		return err
	}
	p.history = append(p.history, row{c, timestamp, 0, p.cursor[serverIdent]})
	return nil
}

func (p *peer) receivedFrom(r *row, remote uint64) bool {
	if p.ident == serverIdent {
		return r.origin == remote
	}
	return r.origin != 0
}

// integrate merges changesets received from a remote, applies them and takes
// them into the history.
func (p *peer) integrate(remote uint64, in []received) error {
	if len(in) == 0 {
		return nil
	}
	if p.reciprocal[remote] == nil {
		p.reciprocal[remote] = map[int]changeset.Changeset{}
	}
	end, cache := len(p.history), map[int]*Entry{}
	for from := 0; from < len(in); {
		to := from + 1
		for to < len(in) && in[to].base == in[from].base {
			to++
		}
		if err := p.integrateRun(remote, in[from:to], end, cache); err != nil {
			return err
		}
		from = to
	}
	for v, e := range cache {
		if e.Changed {
			p.reciprocal[remote][v] = e.Changeset
		}
	}
	if p.ident == serverIdent {
		for i := range in {
			p.history = append(p.history, row{in[i].Changeset, in[i].Timestamp, in[i].Origin, in[i].version})
		}
		return nil
	}
	last := in[len(in)-1]
	p.history = append(p.history, row{nil, last.Timestamp, last.Origin, last.version})
	return nil
}

// integrateRun is for changesets of one base.
func (p *peer) integrateRun(remote uint64, run []received, end int, cache map[int]*Entry) error {
	var window, incoming []*Entry
	for v := run[0].base + 1; v <= end; v++ {
		r := &p.history[v-1]
		if p.receivedFrom(r, remote) || len(r.changeset) == 0 {
			continue
		}
		if cache[v] == nil {
			cache[v] = &Entry{Changeset: r.changeset, Timestamp: r.timestamp, Origin: r.origin}
			if c, ok := p.reciprocal[remote][v]; ok {
				cache[v].Changeset = c
			}
			if r.origin == 0 {
				cache[v].Origin = p.ident
			}
		}
		window = append(window, cache[v])
	}
	for i := range run {
		incoming = append(incoming, &run[i].Entry)
	}
	defects, err := MergeAndReport(window, incoming, p.rules)
	for _, d := range defects {
		if p.defects[remote] == nil {
			p.defects[remote] = map[Defect]bool{}
		}
		p.defects[remote][d] = true
	}
	if err != nil {
		return err
	}
	for _, e := range incoming {
		if err := p.state.apply(e.Changeset); err != nil {
			return err
		}
	}
	return nil
}

// world is a server and its clients.
type world struct {
	server  *peer
	clients map[uint64]*peer
	failed  map[uint64]error // clients that could not apply a download, and get no more
}

// uploadError says whose upload the server could not integrate.
type uploadError struct {
	client uint64
	err    error
}

func (e *uploadError) Error() string { return fmt.Sprintf("upload of client %d: %v", e.client, e.err) }
func (e *uploadError) Unwrap() error { return e.err }

// newWorld makes peers that all hold the base.
func newWorld(idents []uint64, server, client Rules, base *replica) *world {
	w := &world{newPeer(serverIdent, server, base.clone()), map[uint64]*peer{}, map[uint64]error{}}
	for _, ident := range idents {
		w.clients[ident] = newPeer(ident, client, base.clone())
	}
	return w
}

// upload integrates on the server what it has not yet seen of the client.
func (w *world) upload(ident uint64) error {
	c, s := w.clients[ident], w.server
	var out []received
	for v := s.cursor[ident] + 1; v <= len(c.history); v++ {
		if r := c.history[v-1]; r.origin == 0 && len(r.changeset) > 0 {
			out = append(out, received{Entry{Changeset: r.changeset, Timestamp: r.timestamp, Origin: ident}, v, r.remoteVersion})
		}
	}
	if err := s.integrate(ident, out); err != nil {
		return &uploadError{ident, err}
	}
	s.cursor[ident] = len(c.history)
	return nil
}

// download integrates on the client what it has not yet seen of the server. A
// client that fails to do so is out.
func (w *world) download(ident uint64) {
	if w.failed[ident] != nil {
		return
	}
	c, s := w.clients[ident], w.server
	var out []received
	lic := 0 // last of the client's versions that is integrated in the row
	for v := 1; v <= len(s.history); v++ {
		r := s.history[v-1]
		switch {
		case r.origin == ident:
			lic = r.remoteVersion
		case len(r.changeset) > 0 && v > c.cursor[serverIdent]:
			out = append(out, received{Entry{Changeset: r.changeset, Timestamp: r.timestamp, Origin: max(r.origin, serverIdent)}, v, lic})
		}
	}
	if err := c.integrate(serverIdent, out); err != nil {
		w.failed[ident] = err
		return
	}
	c.cursor[serverIdent] = len(s.history)
}

// sync uploads from each client in this order, then downloads to each.
func (w *world) sync(order []uint64) error {
	for _, ident := range order {
		if err := w.upload(ident); err != nil {
			return err
		}
	}
	for _, ident := range order {
		w.download(ident)
	}
	return nil
}

// failure returns why a client failed to apply a download, if one did.
func (w *world) failure() error {
	for ident, err := range w.failed {
		return fmt.Errorf("download of client %d: %w", ident, err)
	}
	return nil
}

// permutations returns all orders of the values.
func permutations[T any](values []T) [][]T {
	if len(values) == 0 {
		return [][]T{nil}
	}
	var out [][]T
	for i := range values {
		rest := append(slices.Clone(values[:i]), values[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]T{values[i]}, p...))
		}
	}
	return out
}
