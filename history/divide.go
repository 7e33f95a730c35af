package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// A transaction may be more than MongoDB takes: all that it writes has to fit a
// part of the storage engine's cache, and a minute. Then the batch goes in parts,
// divided between uploads, changesets of one upload, and hints; one changeset is
// never divided.
//
// Of a cache that is nearly full MongoDB says in various ways, WriteConflict the
// most often, which others' writes may cause as well. So after some of these a batch
// is divided too, where that breaks no promise.

const (
	// heavy is the size of a changeset, in bytes, that may be too large by itself.
	heavy = 2 << 20
	// slowTransaction is how long an attempt has taken that MongoDB may have ended
	// for its length: after a minute it does (transactionLifetimeLimitSeconds).
	slowTransaction = 45 * time.Second
	// strainedTries is after how many failures that may come of its size a batch is
	// divided where that divides no foreign transaction.
	strainedTries = 5
)

// maxStrained is after how many such failures what can't be divided so is taken for
// too large: a minute's worth. Tests have less patience.
var maxStrained = 60

// isTooLarge reports whether MongoDB can't take a transaction for its size, however
// often it is tried.
func isTooLarge(err error) bool {
	return hasCode(err, codeTransactionTooLargeForCache) || hasCode(err, codeTransactionTooLarge) || hasCode(err, codeLifetimeExceeded)
}

// isStraining reports whether a transaction that took so long may have failed for
// its size. Where nodes vie for the head it has not come to that.
func isStraining(err error, took time.Duration) bool {
	return err != nil && !errors.Is(err, errMoveHead) && (hasCode(err, codeWriteConflict) || isTransient(err) && took > slowTransaction)
}

// isContended reports whether an upload fails since others write to its documents all
// the time: one is another now than the last attempt read it.
func (f *File) isContended(ctx context.Context, b *batchState) bool {
	if b.jobs[0].upload == nil || b.tried == nil {
		return false
	}
	byClass := map[*schema.Class][]changeset.Key{}
	for _, ref := range b.tried.order {
		if o := b.tried.objects[ref]; o.doc != nil {
			byClass[o.class] = append(byClass[o.class], ref.Key)
		}
	}
	for class, keys := range byClass {
		now, err := f.store.opts.Mirror.Read(ctx, b.tried.schema, class, keys)
		if err != nil {
			return true // it is tried again
		}
		for _, k := range keys {
			read := b.tried.objects[changeset.ObjectRef{Class: class.Name, Key: k}].doc
			if now[k] == nil || !bytes.Equal(now[k].Raw, read.Raw) {
				return true
			}
		}
	}
	return false
}

// isHeavy reports whether the batch is one large changeset, or hints.
func (b *batchState) isHeavy() bool {
	if len(b.jobs) != 1 {
		return false
	}
	j := b.jobs[0]
	return j.upload != nil && len(j.upload.Entries) == 1 && j.bytes() > heavy || j.ingest != nil && len(j.ingest.Hints) > 1
}

// divide makes the batch smaller, and queues the rest behind it. It reports false
// when the batch can't be divided: when it is one changeset or one hint, or one
// foreign transaction that is not to be divided.
func (f *File) divide(b *batchState, transactions bool) bool {
	var rest []*job
	if n := len(b.jobs); n > 1 {
		b.jobs, rest = b.jobs[:n/2:n/2], b.jobs[n/2:]
	} else {
		first, second := b.jobs[0].halves(transactions)
		if first == nil {
			return false
		}
		b.jobs, rest = []*job{first}, []*job{second}
	}
	f.mu.Lock()
	f.jobs = append(append([]*job(nil), rest...), f.jobs...)
	f.mu.Unlock()
	return true
}

// halves makes two jobs of one, nil if that can't be.
func (j *job) halves(transactions bool) (first, second *job) {
	a, b := *j, *j
	switch {
	case j.upload != nil && len(j.upload.Entries) > 1:
		n := len(j.upload.Entries) / 2
		u, v := *j.upload.Upload, *j.upload.Upload
		u.Entries, v.Entries = u.Entries[:n:n], v.Entries[n:]
		last := u.Entries[n-1]
		// The rest of what the message says is true when all of it is in.
		u.Progress, u.Locked = Cursor{Client: last.ClientVersion, Server: last.Base}, 0
		a.upload, b.upload = &uploadJob{j.upload.client, &u}, &uploadJob{j.upload.client, &v}
	case j.ingest != nil && len(j.ingest.Hints) > 1:
		hints := j.ingest.Hints
		n, between := betweenTransactions(hints)
		if !between && !transactions {
			return nil, nil
		}
		if d := j.ingest.Documents; d != nil {
			d.entries = nil // the parts read what documents hold then
		}
		a.ingest = &Ingest{Hints: hints[:n:n]}
		b.ingest = &Ingest{Hints: hints[n:], Token: j.ingest.Token, Owner: j.ingest.Owner}
	default:
		return nil, nil
	}
	// The parts are done in order, by one goroutine.
	failed := false
	a.done = func(err error) {
		if err != nil {
			failed = true
			j.done(err)
		}
	}
	b.done = func(err error) {
		if !failed {
			j.done(err)
		}
	}
	return &a, &b
}

// betweenTransactions returns where to divide hints: as near to the middle as no
// transaction is divided, or in the middle of one that is all there is, and which of
// the two.
func betweenTransactions(hints []Hint) (n int, between bool) {
	middle := len(hints) / 2
	for d := 0; d <= middle; d++ {
		for _, i := range []int{middle - d, middle + d} {
			if i > 0 && i < len(hints) && (hints[i].Transaction == "" || hints[i].Transaction != hints[i-1].Transaction) {
				return i, true
			}
		}
	}
	return middle, false
}

// refuseTooLarge answers a batch that can't be divided and is too large all the
// same: a changeset ends its session, for good until the app is started again; a
// document is frozen.
func (f *File) refuseTooLarge(b *batchState, err error) {
	j := b.jobs[0]
	switch {
	case j.ingest != nil && len(j.ingest.Hints) == 1 && b.tooLarge == nil:
		ref := j.ingest.Hints[0].Ref
		f.log.Error("a document is larger than MongoDB takes in one transaction; it is left unsynced",
			"class", ref.Class, "key", ref.Key.String(), "hint", tooLargeHint, "error", err)
		b.tooLarge = map[changeset.ObjectRef]bool{ref: true}
	case j.upload != nil && len(j.upload.Entries) == 1:
		up := &j.upload.Entries[0]
		objects := map[changeset.ObjectRef]bool{}
		for i := range up.Changeset {
			if in := &up.Changeset[i]; !in.Op.IsSchema() {
				objects[in.Object()] = true
			}
		}
		f.log.Error("an uploaded changeset is larger than MongoDB takes in one transaction; its device stops syncing until its app is started again",
			"client_file", j.upload.client.ident.Ident, "user", j.upload.client.user, "client_version", up.ClientVersion,
			"bytes", up.Size, "objects", len(objects), "instructions", len(up.Changeset), "hint", tooLargeHint, "error", err)
		b.drop(j, &Rejection{Code: codeOtherSessionError, Final: true, Err: err, Message: fmt.Sprintf(
			"One write transaction of %d objects, %d bytes, is more than the server's database takes at once. It stays on the device, and is sent again when the app is started again. The server's operator can give MongoDB a larger cache; smaller write transactions go through",
			len(objects), up.Size)})
	default:
		b.fail(fmt.Errorf("commit: %w", err))
	}
}

// tooLargeHint says what an operator can do.
const tooLargeHint = "give mongod a larger cache (storage.wiredTiger.engineConfig.cacheSizeGB): a transaction may fill about a seventh of it"
