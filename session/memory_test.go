package session

import (
	"context"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/protocol"
)

// manyErasures is a changeset of n of the smallest instructions and one name.
func manyErasures(n int) []byte {
	return append([]byte{0x3f, 0, 1, 'T'}, strings.Repeat("\x01\x00", n)...)
}

func TestTooManyInstructionsAreRefused(t *testing.T) {
	const limit = 1000
	for _, test := range []struct {
		name       string
		changesets [][]byte
	}{
		{"in one changeset", [][]byte{manyErasures(limit)}},
		{"in one message", [][]byte{manyErasures(limit/2 - 1), manyErasures(limit / 2)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.MaxUploadItems = limit })
			r.file.commit(dogs())
			w := r.dial("ann")
			other := w.open(2)
			p := w.open(3)
			m := &protocol.Upload{Session: p.session, ProgressServer: p.at.DownloadServer, LockedServer: p.at.DownloadServer}
			for _, data := range test.changesets {
				p.version++
				m.ProgressClient = p.version
				m.Entries = append(m.Entries, protocol.UploadEntry{ClientVersion: p.version, ServerVersion: p.at.DownloadServer, Changeset: data})
			}
			p.send(m)
			e := p.expectError(protocol.BadChangeset)
			if e.Session != p.session || !strings.Contains(e.Message, "1000 instructions") || !strings.Contains(e.Message, "smaller write transactions") {
				t.Errorf("got %+v", e)
			}
			other.awaitUpload(other.upload(newDog(1, 1, "Rex")))
		})
	}
}

func TestDecodeEntries(t *testing.T) {
	entries := []protocol.UploadEntry{{ClientVersion: 2, Changeset: manyErasures(9)}, {ClientVersion: 3}, {ClientVersion: 4, Changeset: manyErasures(9)}}
	size := len(entries[0].Changeset)
	got, bytes, err := decodeEntries(entries, 20)
	if err != nil || len(got) != 3 || len(got[2].Changeset) != 9 || got[2].Size != size {
		t.Fatalf("got %v, %v", got, err)
	}
	if want := 20*changeset.ItemBytes + 2*size; bytes != want {
		t.Errorf("%d bytes, want %d", bytes, want)
	}
	for i := range entries {
		if entries[i].Changeset != nil {
			t.Errorf("the bytes of changeset %d are kept", i)
		}
	}
}

// A connection reads on when its uploads have been committed, refused or
// thrown away, whatever session they were of.
func TestMemoryIsReleased(t *testing.T) {
	r := newRig(t)
	r.file.commit(dogs())
	gate := make(chan struct{})
	w := r.dial("ann")
	p, q := w.open(1), w.open(2)
	r.file.mu.Lock()
	r.file.gate = gate
	r.file.mu.Unlock()
	first := p.upload(newDog(1, 1, "Rex"))
	q.sendRaw([]byte("upload 2 0 13 0 9 0 0\n9 0 1 0 3 \xff\xff\xff"))
	q.expectError(protocol.BadChangeset)
	q.upload(newDog(2, 1, "Fido")) // for a session that has failed
	conn := r.theConn()
	eventually(t, "an upload is held", func() bool { return conn.memory.bytes() > 0 })
	close(gate)
	p.awaitUpload(first)
	eventually(t, "nothing is held", func() bool { return conn.memory.bytes() == 0 })
}

func (m *memory) bytes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

// theConn is the only connection of the server.
func (r *rig) theConn() *conn {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	for c := range r.server.conns {
		return c
	}
	return nil
}

func TestMemoryIsBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := newMemory()
	m.await(ctx)
	m.hold(heldMemory + 1) // one upload may exceed it
	read := make(chan struct{})
	go func() {
		defer close(read)
		m.await(ctx)
		m.hold(heldMemory)
	}()
	m.release(1)
	if m.hasRoom() || m.bytes() != heldMemory {
		t.Errorf("room with %d bytes held", m.bytes())
	}
	m.release(heldMemory)
	<-read
	cancel()
	m.await(ctx) // gives up
	if m.bytes() != heldMemory {
		t.Errorf("%d bytes are held", m.bytes())
	}
}
