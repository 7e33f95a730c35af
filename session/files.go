package session

import (
	"context"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

// Files opens server files by name.
type Files interface {
	File(ctx context.Context, name string) (File, error)
}

// File is what sessions need of a server file; its methods are those of
// *history.File.
type File interface {
	Name() string
	Head() (version, salt uint64)
	Refresh(ctx context.Context) error
	Changed() <-chan struct{}
	Entries(ctx context.Context, after uint64, limit int) ([]*history.Entry, error)
	Schema() *schema.Schema
	IsQueryable(class, field string) bool
	MakeQueryable(ctx context.Context, class string, fields []string) error
	Allocate(ctx context.Context, user string) (history.Ident, error)
	Attach(ctx context.Context, user string, c history.Cursors) (Client, error)
	Snapshot(ctx context.Context) (Snapshot, error)
}

// Client is a client file that a session is attached to; its methods are those
// of *history.Client.
type Client interface {
	UploadCursor() history.Cursor
	Upload(u *history.Upload, done func(error))
	Private(ctx context.Context, version uint64, sw *history.ViewSwitch) (wire uint64, err error)
	Unfinished(cursor uint64) bool
	Close()
}

// Snapshot holds object states and head as of one time; its methods are those of
// *history.Snapshot.
type Snapshot interface {
	Version() uint64
	Salt() uint64
	Schema() *schema.Schema
	Count(ctx context.Context, class string, where []*query.Predicate) (int64, error)
	Scan(ctx context.Context, class string, where []*query.Predicate, fn func(key changeset.Key, o *object.Object) error) error
	Close()
}

// FromStore makes the server files of a history store available to a Server.
func FromStore(s *history.Store) Files { return storeFiles{s} }

type storeFiles struct{ store *history.Store }

func (s storeFiles) File(ctx context.Context, name string) (File, error) {
	f, err := s.store.File(ctx, name)
	if err != nil {
		return nil, err
	}
	return storeFile{f}, nil
}

type storeFile struct{ *history.File }

func (f storeFile) Attach(ctx context.Context, user string, c history.Cursors) (Client, error) {
	client, err := f.File.Attach(ctx, user, c)
	if err != nil {
		return nil, err
	}
	return client, nil
}

func (f storeFile) Snapshot(ctx context.Context) (Snapshot, error) {
	sn, err := f.File.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return sn, nil
}
