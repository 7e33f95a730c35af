package device

import (
	"sort"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/transform"
)

// Sizes at which a client ends an UPLOAD, in bytes of changesets.
const (
	uploadSoftLimit = 128 << 10 // no further changeset is added beyond
	uploadHardLimit = 16 << 20  // two changesets together never exceed it
)

// FileIdent is what the server calls a client file, and the secret that proves it.
type FileIdent struct{ File, Salt int64 }

// Cursor is a position in a client file's history: a client version, and the
// server version that the client had integrated there.
type Cursor struct{ Client, Server int64 }

// history is a client file's sync history: its versions and the changesets of
// its own that may still have to be uploaded or merged.
type history struct {
	version    int64 // the newest version; each commit adds 1
	recognised int64 // the newest version that a session takes into account
	ident      FileIdent
	progress   protocol.Progress // of the last integrated DOWNLOAD

	own   []*ownChangeset // above progress.DownloadClient, by rising version
	bases []Cursor        // where the integrated server version changed, by rising client version
}

// ownChangeset is one transaction of the app's.
type ownChangeset struct {
	version   int64
	base      int64 // the server version that was integrated then
	timestamp int64
	encoded   []byte // as it is uploaded

	// merged is the changeset as merging with downloads has left it (the
	// reciprocal), nil as long as it has not met any.
	merged changeset.Changeset
	met    bool
}

// newHistory makes the history of a file with a number of versions behind it
// that carry no changeset.
func newHistory(version int64) history { return history{version: version, recognised: version} }

// commit makes a new version without a changeset.
func (h *history) commit() int64 {
	h.commitUnnoticed()
	h.recognised = h.version
	return h.version
}

// commitUnnoticed makes a new version that sessions learn of with the next one
// only. So it is with the commit that completes a subscription set: the client
// sends what it then may before it hears of that commit.
func (h *history) commitUnnoticed() { h.version++ }

// append makes a new version with a changeset of the app's.
func (h *history) append(encoded []byte, timestamp int64) int64 {
	h.commit()
	h.own = append(h.own, &ownChangeset{
		version:   h.version,
		base:      h.serverAt(h.version),
		timestamp: timestamp,
		encoded:   encoded,
	})
	return h.version
}

// integrated notes that the newest version has server history up to server.
func (h *history) integrated(server int64) {
	if n := len(h.bases); n > 0 && h.bases[n-1].Client == h.version {
		h.bases[n-1].Server = server
		return
	}
	if n := len(h.bases); n == 0 && server == 0 || n > 0 && h.bases[n-1].Server == server {
		return
	}
	h.bases = append(h.bases, Cursor{Client: h.version, Server: server})
}

// serverAt returns the server version that was integrated at a client version.
func (h *history) serverAt(version int64) int64 {
	i := sort.Search(len(h.bases), func(i int) bool { return h.bases[i].Client > version })
	if i == 0 {
		return 0
	}
	return h.bases[i-1].Server
}

// advance stores the cursors of a DOWNLOAD and drops what they make useless.
func (h *history) advance(p protocol.Progress) {
	h.progress = p
	keep := sort.Search(len(h.own), func(i int) bool { return h.own[i].version > p.DownloadClient })
	h.own = append([]*ownChangeset(nil), h.own[keep:]...)
	// Uploads start from the upload cursor; the base in force there stays.
	i := sort.Search(len(h.bases), func(i int) bool { return h.bases[i].Client > p.UploadClient })
	if i > 1 {
		h.bases = append([]Cursor(nil), h.bases[i-1:]...)
	}
}

// upload collects what the client uploads after a position of its history, up
// to a version, and returns the position that is reached. It ends early when
// the changesets are enough for one message.
func (h *history) upload(after Cursor, target int64) ([]protocol.UploadEntry, Cursor) {
	var entries []protocol.UploadEntry
	size := 0
	first := sort.Search(len(h.own), func(i int) bool { return h.own[i].version > after.Client })
	for _, own := range h.own[first:] {
		if own.version > target {
			break
		}
		if len(entries) > 0 && (size >= uploadSoftLimit || size+len(own.encoded) > uploadHardLimit) {
			last := entries[len(entries)-1]
			return entries, Cursor{Client: last.ClientVersion, Server: last.ServerVersion}
		}
		size += len(own.encoded)
		entries = append(entries, protocol.UploadEntry{
			ClientVersion: own.version,
			ServerVersion: own.base,
			Timestamp:     own.timestamp,
			Changeset:     own.encoded,
		})
	}
	if target <= after.Client {
		return entries, after
	}
	return entries, Cursor{Client: target, Server: h.serverAt(target)}
}

// unacknowledged reports whether a changeset of the app's up to a version is
// not known to be on the server.
func (h *history) unacknowledged(version int64) bool {
	for _, own := range h.own {
		if own.version > version {
			break
		}
		if own.version > h.progress.UploadClient {
			return true
		}
	}
	return false
}

// window returns the own changesets that a download has not seen: those after a
// client version, as earlier downloads left them.
func (h *history) window(after int64) ([]*ownChangeset, []*transform.Entry, error) {
	first := sort.Search(len(h.own), func(i int) bool { return h.own[i].version > after })
	own := h.own[first:]
	entries := make([]*transform.Entry, len(own))
	for i, o := range own {
		if !o.met {
			c, err := changeset.Decode(o.encoded)
			if err != nil {
				return nil, nil, err
			}
			o.merged, o.met = c, true
		}
		entries[i] = &transform.Entry{
			Changeset: o.merged,
			Timestamp: uint64(o.timestamp),
			Origin:    uint64(h.ident.File),
		}
	}
	return own, entries, nil
}

// saved is what of a history merging changes.
type saved struct {
	history history
	merged  []ownChangeset
}

// saved remembers the history; restore goes back to it.
func (h *history) saved() saved {
	s := saved{history: *h, merged: make([]ownChangeset, len(h.own))}
	for i, own := range h.own {
		s.merged[i] = *own
	}
	return s
}

func (h *history) restore(s saved) {
	*h = s.history
	for i := range h.own {
		*h.own[i] = s.merged[i]
	}
}
