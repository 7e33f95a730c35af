package device

import (
	"fmt"
	"math"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/transform"
)

// check checks a DOWNLOAD's cursors against what is integrated (the cursor
// rules, 1 to 12). The error is a *Violation.
func (f *File) check(m *protocol.Download) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, now := f.history.progress, m.Progress
	wrong := func(rule int, format string, args ...any) error {
		return violation(fmt.Sprintf("cursor rule %d", rule), format, args...)
	}
	switch {
	case now.LatestServer < before.LatestServer:
		return wrong(1, "latest server version went back from %d to %d", before.LatestServer, now.LatestServer)
	case now.UploadClient < before.UploadClient:
		return wrong(2, "upload client version went back from %d to %d", before.UploadClient, now.UploadClient)
	case now.UploadClient > f.history.version:
		return wrong(3, "upload client version %d, but the newest in existence is %d", now.UploadClient, f.history.version)
	case now.DownloadServer < before.DownloadServer:
		return wrong(4, "download server version went back from %d to %d", before.DownloadServer, now.DownloadServer)
	case now.DownloadServer > now.LatestServer:
		return wrong(5, "download server version %d is above the latest, %d", now.DownloadServer, now.LatestServer)
	case now.DownloadClient < before.DownloadClient:
		return wrong(6, "download client version went back from %d to %d", before.DownloadClient, now.DownloadClient)
	case now.DownloadClient > now.UploadClient:
		return wrong(7, "download client version %d is above the upload client version, %d", now.DownloadClient, now.UploadClient)
	case now.DownloadServer < now.UploadServer:
		return wrong(8, "download server version %d is below the upload server version, %d", now.DownloadServer, now.UploadServer)
	}
	server, client := before.DownloadServer, before.DownloadClient
	for i, e := range m.Entries {
		switch {
		case e.Origin < 1 || e.Origin == f.history.ident.File:
			return wrong(9, "entry %d originates in file %d", i, e.Origin)
		case e.ServerVersion < server || !f.flexible && e.ServerVersion == server:
			return wrong(10, "entry %d has server version %d after %d", i, e.ServerVersion, server)
		case e.ServerVersion > now.DownloadServer:
			return wrong(10, "entry %d has server version %d above the cursor, %d", i, e.ServerVersion, now.DownloadServer)
		case e.ClientVersion < client || e.ClientVersion > now.DownloadClient:
			return wrong(11, "entry %d has client version %d, not within %d and %d", i, e.ClientVersion, client, now.DownloadClient)
		case e.ServerVersion == 0:
			return wrong(12, "entry %d has server version 0", i)
		}
		server, client = e.ServerVersion, e.ClientVersion
	}
	return nil
}

// Integrate takes a DOWNLOAD: a steady-state one is merged and applied, a part
// of a bootstrap is kept until the last part has come. The error is a
// *Violation, and the file is then as it was (but for changesets that were let
// in before the failing one).
func (f *File) Integrate(m *protocol.Download) error {
	if err := f.check(m); err != nil {
		return err
	}
	f.mu.Lock()
	err := f.integrate(m)
	f.mu.Unlock()
	f.changed()
	return err
}

func (f *File) integrate(m *protocol.Download) error {
	if err := f.checkUploadServer(m.Progress); err != nil {
		return err
	}
	if f.flexible && m.Batch != protocol.SteadyState {
		return f.keepBatch(m)
	}
	if err := f.merge(m.Entries, f.yield); err != nil {
		return err
	}
	f.progressed(m.Progress)
	return nil
}

// checkUploadServer is cursor rule 13.
func (f *File) checkUploadServer(now protocol.Progress) error {
	if before := f.history.progress.UploadServer; now.UploadServer < before && now.UploadServer != 0 {
		reason := fmt.Sprintf("cursor rule 13: upload server version went back from %d to %d", before, now.UploadServer)
		return deafening(protocol.BadProgress, reason, nil)
	}
	return nil
}

// progressed commits the cursors of a DOWNLOAD.
func (f *File) progressed(p protocol.Progress) {
	f.history.commit()
	f.history.advance(p)
	f.history.integrated(p.DownloadServer)
}

// mergeWhole is merge without letting anybody in.
func (f *File) mergeWhole(entries []protocol.DownloadEntry) error {
	return f.merge(entries, math.MaxInt)
}

// merge applies changesets of the server's, transformed against what the file
// has uploaded without the server having merged it, or has not uploaded yet.
// Where they are many, writers that wait are let in between two of them: their
// changes then name the last one applied as their base.
func (f *File) merge(entries []protocol.DownloadEntry, yield int) error {
	undo := newSavepoint(f.store)
	saved := f.history.saved()
	rollBack := func(code protocol.ErrorCode, reason string, err error) error {
		f.history.restore(saved)
		if undoErr := undo.restore(); undoErr != nil {
			err = fmt.Errorf("%w; rolling back failed: %w", err, undoErr)
		}
		return deafening(code, reason, err)
	}
	applied := 0
	for len(entries) > 0 {
		run := firstRun(entries, yield-applied)
		for i := range run {
			applied += len(run[i].Changeset)
		}
		if err := f.mergeRun(run, undo); err != nil {
			return rollBack(protocol.BadChangeset, "failed to integrate the changesets of server versions "+
				fmt.Sprintf("%d to %d", run[0].ServerVersion, run[len(run)-1].ServerVersion), err)
		}
		entries = entries[len(run):]
		if len(entries) > 0 && applied >= yield && f.waiting.Load() > 0 {
			applied = 0
			f.letIn(run[len(run)-1].ServerVersion)
			undo = newSavepoint(f.store)
			saved = f.history.saved()
		}
	}
	return nil
}

// firstRun returns the first changesets that have the same client version, up
// to a number of bytes, but at least one.
func firstRun(entries []protocol.DownloadEntry, bytes int) []protocol.DownloadEntry {
	n := 0
	for n < len(entries) && entries[n].ClientVersion == entries[0].ClientVersion && (n == 0 || bytes > 0) {
		bytes -= len(entries[n].Changeset)
		n++
	}
	return entries[:n]
}

// mergeRun merges and applies changesets of one client version.
func (f *File) mergeRun(run []protocol.DownloadEntry, undo *savepoint) error {
	incoming := make([]*transform.Entry, len(run))
	for i, e := range run {
		cs, err := changeset.Decode(e.Changeset)
		if err != nil {
			return fmt.Errorf("server version %d: %w", e.ServerVersion, err)
		}
		incoming[i] = &transform.Entry{Changeset: cs, Timestamp: uint64(e.Timestamp), Origin: uint64(e.Origin)}
	}
	own, local, err := f.history.window(run[0].ClientVersion)
	if err != nil {
		return err
	}
	if len(local) > 0 {
		if err := transform.Merge(local, incoming, f.rules); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		for i := range own {
			own[i].merged = local[i].Changeset
		}
	}
	for i, e := range incoming {
		if err := f.unappliable(e.Changeset); err != nil {
			return fmt.Errorf("server version %d: %w", run[i].ServerVersion, err)
		}
		undo.keep(e.Changeset)
		if err := f.store.Apply(e.Changeset); err != nil {
			return fmt.Errorf("server version %d: %w", run[i].ServerVersion, err)
		}
	}
	return nil
}

// unappliable finds what the shipped clients cannot apply although the rules
// allow it: the erasure of null from a set that is not of mixed (trap 7.6).
func (f *File) unappliable(cs changeset.Changeset) error {
	for i := range cs {
		in := &cs[i]
		if in.Op != changeset.OpSetErase || !in.Value.IsNull() {
			continue
		}
		sp, err := look(f.store, Place{Class: in.Class, Key: in.Key, Field: in.Field, Path: in.Path})
		if err == nil && sp.prop.Type != changeset.Mixed {
			return fmt.Errorf("SetErase of null from the set %s.%s", in.Class, in.Field)
		}
	}
	return nil
}

// letIn commits what has been applied so far, up to a server version, and lets
// a waiting writer have the file.
func (f *File) letIn(server int64) {
	f.history.commit()
	f.history.integrated(server)
	// Whoever waits is about to get the lock, and says so.
	f.admitted.Wait()
}
