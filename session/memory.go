package session

import (
	"context"
	"sync"
)

// heldMemory is how many bytes of memory the decoded uploads of a connection may
// take before it reads no further ones. The last one read may exceed it.
const heldMemory = 128 << 20

// memory keeps account of the uploads of a connection that are decoded and not
// yet committed or thrown away, over all its sessions. Their wire size says
// little: they may be compressed, and the smallest instruction takes two bytes.
type memory struct {
	space chan struct{} // holds a value after a release

	mu   sync.Mutex
	held int
}

func newMemory() *memory { return &memory{space: make(chan struct{}, 1)} }

// await waits until there is room, or ctx ends. Only the connection's reader
// waits.
func (m *memory) await(ctx context.Context) {
	for !m.hasRoom() {
		select {
		case <-m.space:
		case <-ctx.Done():
			return
		}
	}
}

func (m *memory) hasRoom() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held < heldMemory
}

func (m *memory) hold(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += bytes
}

func (m *memory) release(bytes int) {
	if bytes == 0 {
		return
	}
	m.mu.Lock()
	m.held -= bytes
	m.mu.Unlock()
	signal(m.space)
}
