package device

import (
	"fmt"

	"github.com/klauspost/compress/zlib"

	"github.com/isthmus-sync/isthmus/protocol"
)

// Sizes of bootstraps, in bytes of changesets.
const (
	bootstrapCommit = 1 << 20  // a bootstrap is applied in transactions of about this
	bootstrapLimit  = 0xFFFFF0 // of one changeset as clients store it, compressed
)

// bootstrap holds the batches of a bootstrap that is not complete.
type bootstrap struct {
	version int64 // of the query
	entries []protocol.DownloadEntry
}

// keepBatch stores a batch, and applies all batches after the last one. What is
// left of another version's bootstrap goes; what is left of the same version's
// stays, as in the shipped clients, and the new batches are appended to it.
func (f *File) keepBatch(m *protocol.Download) error {
	if err := f.subs.bootstrappable(m.QueryVersion); err != nil {
		return err
	}
	for _, e := range m.Entries {
		if len(e.Changeset) > bootstrapLimit && compressedSize(e.Changeset) > bootstrapLimit {
			return deafening(protocol.BadChangesetSize, "bootstrap changeset too large to store", nil)
		}
	}
	if f.pending.version != m.QueryVersion {
		f.pending = bootstrap{version: m.QueryVersion}
	}
	f.pending.entries = append(f.pending.entries, m.Entries...)
	f.subs.begin(m.QueryVersion)
	f.history.commit()
	if m.Batch == protocol.MoreToCome {
		return nil
	}
	if len(f.pending.entries) == 0 {
		return deadly("bootstrap rule 1", "the bootstrap of query version %d has no changeset at all", m.QueryVersion)
	}
	return f.applyBootstrap(m.Progress)
}

// applyBootstrap merges all that is stored. The cursors of the last batch count.
func (f *File) applyBootstrap(p protocol.Progress) error {
	entries, version := f.pending.entries, f.pending.version
	f.pending = bootstrap{}
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && size < bootstrapCommit {
			size += len(entries[n].Changeset)
			n++
		}
		if err := f.mergeWhole(entries[:n]); err != nil {
			return fmt.Errorf("bootstrap of query version %d: %w", version, err)
		}
		entries = entries[n:]
		if len(entries) > 0 {
			f.history.commit()
		}
	}
	f.subs.bootstrapped(version)
	f.progressed(p)
	return nil
}

// dropBootstrap forgets an incomplete bootstrap.
func (f *File) dropBootstrap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending.version != 0 || len(f.pending.entries) > 0 {
		f.pending = bootstrap{}
		f.history.commit()
	}
}

// compressedSize is about what a changeset takes in a client's file.
func compressedSize(data []byte) int {
	var n counter
	w := zlib.NewWriter(&n)
	// A counter takes everything.
	_, _ = w.Write(data)
	_ = w.Close()
	return int(n)
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
