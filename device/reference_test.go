package device

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/transform"
)

// reference is a server as small as it can be: one history in memory, in
// partition mode, the merge rules of part 4. Files are exchanged with it by
// calls instead of messages.
type reference struct {
	store   *object.Store
	entries []*referenceEntry // of server version i+1
	clients map[*File]*referenceClient
	rules   transform.Rules
}

type referenceEntry struct {
	origin, client, timestamp int64
	changeset                 changeset.Changeset
}

// referenceClient is what the server remembers of a client file.
type referenceClient struct {
	uploaded   Cursor
	reciprocal map[int64]changeset.Changeset // by server version
	sent       Cursor                        // how far the client has uploaded in its own eyes
}

func newReference(rules transform.Rules) *reference {
	return &reference{
		store: object.NewStore(nil, object.AcceptErasures()), clients: map[*File]*referenceClient{}, rules: rules,
	}
}

// register gives a file an ident.
func (s *reference) register(f *File, ident int64) {
	f.SetIdent(FileIdent{File: ident, Salt: 1000 + ident})
	s.clients[f] = &referenceClient{reciprocal: map[int64]changeset.Changeset{}}
}

// upload takes everything that a file has to upload, as one batch.
func (s *reference) upload(f *File) error {
	c, target := s.clients[f], f.Version()
	for {
		entries, reached := f.Upload(c.sent, target)
		if err := s.integrate(f, entries); err != nil {
			return err
		}
		c.sent = reached
		if reached.Client > c.uploaded.Client {
			c.uploaded = reached
			for v := range c.reciprocal {
				if v <= reached.Server {
					delete(c.reciprocal, v)
				}
			}
		}
		if reached.Client >= target {
			return nil
		}
	}
}

// reconnect makes the file upload again what it does not know to be uploaded.
func (s *reference) reconnect(f *File) {
	p := f.Progress()
	s.clients[f].sent = Cursor{Client: p.UploadClient, Server: p.UploadServer}
}

func (s *reference) integrate(f *File, entries []protocol.UploadEntry) error {
	c, ident, end := s.clients[f], f.Ident().File, int64(len(s.entries))
	for _, e := range entries {
		if e.ClientVersion <= c.uploaded.Client {
			continue // taken before
		}
		cs, err := changeset.Decode(e.Changeset)
		if err != nil {
			return err
		}
		var versions []int64
		var window []*transform.Entry
		for v := e.ServerVersion + 1; v <= end; v++ {
			known := s.entries[v-1]
			if known.origin == ident || len(known.changeset) == 0 {
				continue
			}
			merged, met := c.reciprocal[v]
			if !met {
				merged = known.changeset
			}
			versions = append(versions, v)
			window = append(window, &transform.Entry{
				Changeset: merged, Timestamp: uint64(known.timestamp), Origin: uint64(known.origin),
			})
		}
		incoming := &transform.Entry{Changeset: cs, Timestamp: uint64(e.Timestamp), Origin: uint64(ident)}
		if err := transform.Merge(window, []*transform.Entry{incoming}, s.rules); err != nil {
			return err
		}
		for i, v := range versions {
			c.reciprocal[v] = window[i].Changeset
		}
		if err := s.store.Apply(incoming.Changeset); err != nil {
			return err
		}
		s.entries = append(s.entries, &referenceEntry{
			origin: ident, client: e.ClientVersion, timestamp: e.Timestamp, changeset: incoming.Changeset,
		})
	}
	return nil
}

// download sends a file what it has not got, at most a number of changesets.
func (s *reference) download(f *File, most int) error {
	p, c := f.Progress(), s.clients[f]
	m := &protocol.Download{Batch: protocol.SteadyState}
	lic, position := p.DownloadClient, p.DownloadServer
	for position < int64(len(s.entries)) && len(m.Entries) < most {
		position++
		e := s.entries[position-1]
		if e.origin == f.Ident().File {
			lic = e.client
			continue
		}
		if len(e.changeset) == 0 {
			continue
		}
		m.Entries = append(m.Entries, protocol.DownloadEntry{
			ServerVersion: position, ClientVersion: lic, Timestamp: e.timestamp, Origin: e.origin,
			Changeset: changeset.Encode(e.changeset),
		})
	}
	m.Progress = protocol.Progress{
		DownloadServer: position, DownloadClient: lic, LatestServer: position, LatestSalt: 1,
		UploadClient: c.uploaded.Client, UploadServer: c.uploaded.Server,
	}
	return f.Integrate(m)
}

// newReferenceFile makes a file in partition mode without a schema of its own,
// and a clock for it.
func newReferenceFile(t *testing.T, opts Options) (*File, *int64) {
	t.Helper()
	now := new(int64)
	opts.Clock = func() time.Time { return protocol.TimestampTime(*now) }
	f, err := NewFile(Config{Partition: `"p"`}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f, now
}

// downloadAll sends a file everything it has not got in one message.
func (s *reference) downloadAll(f *File) error { return s.download(f, math.MaxInt) }

// same compares the state of every file with the server's.
func (s *reference) same(files ...*File) error {
	want, err := s.store.State()
	if err != nil {
		return err
	}
	for i, f := range files {
		got, err := f.Dump()
		if err != nil {
			return err
		}
		if string(got) != string(want) {
			return fmt.Errorf("file %d of %d differs from the server:\n got %s\nwant %s", i+1, len(files), got, want)
		}
	}
	return nil
}
