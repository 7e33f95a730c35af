package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

// open opens the server file that BIND names and, if the client file is new,
// gives it an ident.
func (s *session) open() error {
	name := history.FlexibleFile
	if !s.conn.codec.Flexible {
		var err error
		if name, err = partitionFile(s.bind.Partition); err != nil {
			return refuse(protocol.IllegalRealmPath, "Illegal Realm path (BIND): serialized partition '%s' is invalid", s.bind.Partition)
		}
	}
	s.log.Debug("bound", "file", name, "need_ident", s.bind.NeedIdent,
		"schema_version", s.bind.Flexible.SchemaVersion, "reset", s.bind.Flexible.Reason == protocol.ReasonClientReset)
	f, err := s.conn.server.opts.Files.File(s.ctx, name)
	if err != nil {
		return fmt.Errorf("open server file: %w", err)
	}
	s.file = f
	if !s.bind.NeedIdent {
		s.state = stateBound
		return nil
	}
	id, err := f.Allocate(s.ctx, s.conn.user)
	if err != nil {
		return err
	}
	s.state = stateBound
	return s.send(&protocol.ServerIdent{Session: s.ident, File: int64(id.Ident), Salt: int64(id.Salt)})
}

// takeIdent checks the client's IDENT and takes its client file over. other is the
// session that was for the client file before on this connection, nil if none was.
func (s *session) takeIdent(m *protocol.ClientIdent, other *session) error {
	s.key = clientFile{s.file.Name(), uint64(m.File)}
	if err := s.awaitOther(other); err != nil {
		return err
	}
	if s.conn.server.hasNewer(s.key, s.conn) {
		// What the client sent before it lost its network may be read after it has
		// come back.
		s.log.Info("client file is served over a newer connection; hanging up this one")
		return errGone
	}
	client, err := s.file.Attach(s.ctx, s.conn.user, history.Cursors{
		Ident:          history.Ident{Ident: uint64(m.File), Salt: uint64(m.Salt)},
		Download:       uint64(m.DownloadServer),
		DownloadClient: uint64(m.DownloadClient),
		Latest:         uint64(m.LatestServer),
		LatestSalt:     uint64(m.LatestSalt),
	})
	if err != nil {
		return err
	}
	s.client = client
	s.log = s.log.With("client_file", m.File)
	s.supersede()
	if client.Unfinished(uint64(m.DownloadServer)) && !s.again {
		// The client may hold batches of a bootstrap that was cut off. It drops
		// them when it binds again after an error, and only then.
		return refuse(protocol.SessionClosed, "the last bootstrap was cut off: starting over")
	}
	s.start(m)
	if err := s.startView(m); err != nil {
		return err
	}
	if s.over.retried && !s.fresh {
		s.over.waits, s.over.until = true, time.Now().Add(uploadPatience)
	}
	s.conn.server.watch(s.file)
	s.state = stateActive
	s.joinBoard()
	s.log.Debug("client file attached", "cursor", s.cursor, "query_version", s.queryVersion)
	return nil
}

// awaitOther waits until the session before on the same connection, which is being
// unbound, has ended: it may not have taken the client file over yet, and would take
// it over from this one. One that is not being unbound is the client's mistake.
func (s *session) awaitOther(other *session) error {
	if other == nil {
		return nil
	}
	select {
	case <-other.done:
		return nil
	default:
	}
	if !s.conn.isUnbinding(other) {
		return &connectionError{protocol.BoundInOtherSession, fmt.Sprintf("client file %d is bound in session %d as well", s.key.ident, other.ident)}
	}
	select {
	case <-other.done:
		return nil
	case <-s.ctx.Done():
		return errGone
	}
}

// supersede hangs up the connection that served the client file before. It is a
// zombie, whose client has lost its network and come back.
func (s *session) supersede() {
	other := s.conn.server.attach(s.key, s)
	if other != nil && other.conn != s.conn {
		other.log.Info("client file comes over a new connection; hanging up the old one")
		other.conn.closeNow()
	}
}

// start sets the cursors to what the client has integrated.
func (s *session) start(m *protocol.ClientIdent) {
	s.cursor = uint64(m.DownloadServer)
	s.integrated = uint64(m.DownloadClient)
	s.floor, s.floorSalt = uint64(m.LatestServer), uint64(m.LatestSalt)
	if s.floor/history.Stride == s.cursor/history.Stride {
		s.salt = s.floorSalt // 0 for a new file
	}
	s.sent.cursor = s.cursor
	s.last.threshold = s.client.UploadCursor()
}

// startView takes up the subscription set that the client holds. A new file
// holds nothing, so that is a bootstrap: of the schema, for query version 0.
func (s *session) startView(m *protocol.ClientIdent) error {
	if !s.conn.codec.Flexible {
		return nil
	}
	s.newestQuery, s.queryVersion, s.resolved = m.QueryVersion, m.QueryVersion, m.QueryVersion
	s.fresh = s.cursor == 0
	held := m.Query
	if s.fresh {
		held = noQuery
	}
	var err error
	s.view, err = s.conn.server.views.resume(s.file, held)
	if err == nil && s.fresh {
		err = s.expect(m.QueryVersion, m.Query)
	}
	var bad *badQuery
	if errors.As(err, &bad) {
		// There is no pending set that a QUERY_ERROR could name.
		return refuse(protocol.BadQuery, "%s", bad.Error())
	}
	return err
}

// noQuery is the body of a subscription set without subscriptions.
const noQuery = "{}"
