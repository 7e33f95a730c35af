package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Upload is an UPLOAD message: changesets of one client file and its progress.
type Upload struct {
	Progress Cursor
	Locked   uint64 // wire version
	Entries  []UploadEntry
	// View is what the session is sent of the history at this point of its message
	// stream; nil means everything.
	View View
	// Next is the view to which a bootstrap that is on its way leads. What is in it
	// may be written to as well. Nil if there is none.
	Next View
}

// UploadEntry is one uploaded changeset. The history takes it over.
type UploadEntry struct {
	ClientVersion uint64
	Base          uint64 // wire version the client had integrated when it made it
	Timestamp     uint64 // ms since 2015
	Changeset     changeset.Changeset
	Size          int // bytes as uploaded
}

// job is what waits for a commit: exactly one of its kinds is set.
type job struct {
	upload    *uploadJob
	ingest    *Ingest
	queryable *queryableJob
	configure bool // take up what is configured
	bump      bool // append an empty entry

	done func(error) // called once

	// An upload that met a foreign write waits until then, or until hints have
	// been committed since: ingests counts them. Zero if it met none.
	patience time.Time
	ingests  int
}

type uploadJob struct {
	client *Client
	*Upload
}

type queryableJob struct {
	class  string
	fields []string
}

// entries and bytes bound a batch.
func (j *job) entries() int {
	switch {
	case j.upload != nil:
		return len(j.upload.Entries)
	case j.ingest != nil:
		return len(j.ingest.Hints)
	}
	return 1
}

func (j *job) bytes() int {
	n := 0
	if j.upload != nil {
		for i := range j.upload.Entries {
			n += j.upload.Entries[i].Size
		}
	}
	return n
}

// Upload queues an upload; those of one Client are committed in order. done is
// called once, from another goroutine: with nil when the upload is durable, a
// *Rejection when it is refused whole, ErrDetached or ErrClosed. Progress alone
// (no Entries) is done at once and becomes durable soon.
func (c *Client) Upload(u *Upload, done func(error)) {
	c.mu.Lock()
	// Progress waits for the uploads before it: stored too early, it would say
	// that they are durable.
	alone := len(u.Entries) == 0 && c.queued == 0
	if !alone {
		c.queued++
	}
	c.mu.Unlock()
	if alone {
		c.takeProgress(u)
		done(nil)
		return
	}
	c.file.submit(&job{upload: &uploadJob{c, u}, done: func(err error) {
		c.mu.Lock()
		c.queued--
		c.failed = c.failed || err != nil
		c.mu.Unlock()
		done(err)
	}})
}

func (f *File) submit(j *job) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.jobs = append(f.jobs, j)
	}
	f.mu.Unlock()
	if closed {
		j.done(ErrClosed)
		return
	}
	f.wakeCommitter()
}

func (f *File) submitAndWait(ctx context.Context, j *job) error {
	result := make(chan error, 1)
	j.done = func(err error) { result <- err }
	f.submit(j)
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *File) wakeCommitter() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// takeBatch takes jobs that fit one commit, at least one; nil when none waits.
func (f *File) takeBatch() []*job {
	f.mu.Lock()
	ready, waiting := f.sortWaiting(f.jobs)
	var hopeless []*job
	switch {
	case f.closed:
		hopeless, waiting = waiting, nil
	case f.draining:
		hopeless, waiting = f.splitHeld(waiting)
	}
	entries, bytes, n := 0, 0, 0
	for n < len(ready) {
		entries += ready[n].entries()
		bytes += ready[n].bytes()
		if n > 0 && (entries > f.store.opts.BatchEntries || bytes > f.store.opts.BatchBytes) {
			break
		}
		n++
	}
	// What waits goes first: it was there before what is left.
	f.jobs = append(append([]*job(nil), waiting...), ready[n:]...)
	f.mu.Unlock()
	for _, j := range hopeless {
		j.done(ErrClosed)
	}
	return ready[:n:n]
}

// splitHeld splits jobs into those that touch a held class and the others. The
// caller holds mu.
func (f *File) splitHeld(jobs []*job) (held, others []*job) {
	for _, j := range jobs {
		if f.touchesHeld(j) {
			held = append(held, j)
		} else {
			others = append(others, j)
		}
	}
	return held, others
}

// commitLoop is the committer.
func (f *File) commitLoop(ctx context.Context) {
	for {
		batch := f.takeBatch()
		if len(batch) > 0 {
			f.commitBatch(ctx, batch)
			continue
		}
		f.mu.Lock()
		closed := f.closed && len(f.jobs) == 0
		f.mu.Unlock()
		if closed {
			f.flushProgress()
			return
		}
		<-f.wake
	}
}

// How long a commit is tried before its jobs are told that it failed: longer
// than an election takes.
const commitPatience = 90 * time.Second

// commitBatch commits jobs, or answers them why not. A job at fault is
// answered and left out; the others are tried again without it.
func (f *File) commitBatch(ctx context.Context, batch []*job) {
	f.advance.Lock()
	defer f.advance.Unlock()
	b := &batchState{jobs: batch, refused: map[changeset.ObjectRef]string{}}
	start := time.Now()
	since := start // this size of batch is tried
	var looked time.Time
	strained := 0
	for attempt := 0; len(b.jobs) > 0; {
		b.contended = attempt >= contendedAfter
		began := time.Now()
		err := f.attempt(ctx, b)
		strains := isStraining(err, time.Since(began))
		tooLarge := isTooLarge(err)
		if !tooLarge && strains && strained >= maxStrained && b.isHeavy() {
			if tooLarge = !f.isContended(ctx, b); !tooLarge {
				strained = 0 // others' writes say nothing of its size
			}
		}
		var (
			fault   *jobError
			refusal *Refusal
			foreign *foreignWriteError
			erasure *massErasureError
		)
		switch {
		case err == nil:
			f.store.opts.OnBatch(b.measure(start))
			for _, j := range b.jobs {
				j.done(nil)
			}
			f.countIngests(b.jobs)
			return
		case errors.Is(err, errHeadMoved):
			f.store.opts.OnRetry(RetryHeadMoved)
			if err := f.loadTail(ctx); err != nil {
				f.log.Warn("loading what another node committed fails; will try again", "error", err)
				pause(ctx, attempt)
			}
			attempt++
		case errors.As(err, &fault):
			// What a session says that was taken over is nobody's fault.
			if f.isDetached(ctx, fault.job) {
				fault.err = ErrDetached
			}
			b.drop(fault.job, fault.err)
		case errors.As(err, &refusal):
			f.store.opts.OnRetry(RetryRefused)
			b.refused[refusal.Ref] = refusal.Reason
			if len(b.refused) >= probedAfter {
				f.probe(ctx, b, refusal)
			}
		case errors.As(err, &foreign):
			f.store.opts.OnRetry(RetryForeignWrite)
			f.setAside(b, foreign.ref)
		case errors.As(err, &erasure):
			f.store.opts.OnRetry(RetryHeld)
			if err := f.holdClass(ctx, b, erasure); err != nil {
				f.log.Warn("holding a class fails; will try again", "class", erasure.class, "error", err)
				pause(ctx, attempt)
				attempt++
			}
		case errors.Is(err, errDetachedClient):
			f.store.opts.OnRetry(RetryDetached)
			f.dropDetached(ctx, b)
			pause(ctx, attempt)
			attempt++
		case ctx.Err() != nil:
			b.fail(ErrClosed)
		case hasLabel(err, "UnknownTransactionCommitResult"):
			// If it has landed, another try would do it all again. Who asks anew is told
			// how far it came.
			f.log.Error("it can't be found out whether a commit has landed; its uploads are asked for again", "jobs", len(b.jobs), "error", err)
			b.fail(fmt.Errorf("commit: %w", err))
		case tooLarge:
			f.store.opts.OnRetry(RetryTooLarge)
			if !f.divide(b, true) {
				f.refuseTooLarge(b, err)
			}
			since, strained, attempt = time.Now(), 0, 0
		case strains && strained > 0 && strained%strainedTries == 0 && f.divide(b, false):
			f.store.opts.OnRetry(RetryTooLarge)
			since, strained, attempt = time.Now(), 0, 0
		case time.Since(since) > commitPatience || !isTransient(err) && attempt > 4:
			f.log.Error("commit failed; its uploads are refused for now and come again", "jobs", len(b.jobs), "error", err)
			b.fail(fmt.Errorf("commit: %w", err))
		default:
			f.store.opts.OnRetry(RetryMongoDB)
			if strains {
				strained++
			}
			if !isTransient(err) {
				f.log.Warn("commit failed; trying again", "attempt", attempt, "error", err)
			} else if hasCode(err, codeWriteConflict) && time.Since(start) > blockedAfter && time.Since(looked) > lookEvery {
				f.store.endAbandoned(ctx)
				looked = time.Now()
			}
			if hasCode(err, codeWriteConflict) {
				// Others hold the head for some milliseconds. Who waits for longer
				// finds it held by the next one.
				pause(ctx, min(attempt, 3))
			} else {
				pause(ctx, attempt)
			}
			attempt++
			if err := f.loadTail(ctx); err != nil && ctx.Err() == nil {
				f.log.Warn("reading the head fails; trying again", "error", err)
			}
		}
	}
}

// contendedAfter is after how many lost attempts a commit locks the head first.
const contendedAfter = 3

// countIngests notes that hints were committed: uploads that wait for some look
// whether they were theirs.
func (f *File) countIngests(jobs []*job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range jobs {
		if j.ingest != nil {
			f.ingests++
		}
	}
}

// batchState is what attempts at one batch hand on to each other.
type batchState struct {
	jobs    []*job
	refused map[changeset.ObjectRef]string // objects that MongoDB refused, with reasons
	// tooLarge are those whose documents are more than a transaction takes.
	tooLarge  map[changeset.ObjectRef]bool
	contended bool  // the next attempt locks the head first
	tried     *work // the last attempt
	entries   int   // appended by the attempt that committed
	touched   int   // objects that they are about, each counted anew
}

// jobError says that one job is at fault.
type jobError struct {
	job *job
	err error
}

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

func (b *batchState) drop(j *job, err error) {
	for i, k := range b.jobs {
		if k == j {
			b.jobs = append(b.jobs[:i:i], b.jobs[i+1:]...)
			break
		}
	}
	j.done(err)
}

func (b *batchState) fail(err error) {
	for _, j := range b.jobs {
		j.done(err)
	}
	b.jobs = nil
}

var (
	errHeadMoved      = errors.New("another node has committed")
	errMoveHead       = errors.New("move head")
	errDetachedClient = errors.New("a client file was attached elsewhere")
)

// foreignWriteError: an upload met a document that somebody else has written.
type foreignWriteError struct{ ref changeset.ObjectRef }

func (e *foreignWriteError) Error() string {
	return fmt.Sprintf("foreign write to %s %v is not ingested yet", e.ref.Class, e.ref.Key)
}

// setAside puts back the uploads that touch an object which somebody else has
// written, until the change stream tells when, or patience ends. Then they are
// let in, and the write is ingested on the spot.
func (f *File) setAside(b *batchState, ref changeset.ObjectRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := time.Now().Add(f.store.opts.HintWait)
	for _, j := range b.jobs {
		if j.patience.IsZero() && j.touches(ref) {
			j.patience, j.ingests = until, f.ingests
		}
	}
	var back []*job
	b.jobs, back = f.sortWaiting(b.jobs)
	f.jobs = append(back, f.jobs...)
	time.AfterFunc(f.store.opts.HintWait, f.wakeCommitter)
}

// touches reports whether an upload is about an object.
func (j *job) touches(ref changeset.ObjectRef) bool {
	if j.upload == nil {
		return false
	}
	for i := range j.upload.Entries {
		for k := range j.upload.Entries[i].Changeset {
			if in := &j.upload.Entries[i].Changeset[k]; !in.Op.IsSchema() && in.Object() == ref {
				return true
			}
		}
	}
	return false
}

// mayIngest reports whether a foreign write to an object may be ingested on the
// spot: all uploads that touch it have waited for it.
func (b *batchState) mayIngest(ref changeset.ObjectRef) bool {
	for _, j := range b.jobs {
		if j.patience.IsZero() && j.touches(ref) {
			return false
		}
	}
	return true
}

// dropDetached answers the jobs of clients that were taken over elsewhere.
func (f *File) dropDetached(ctx context.Context, b *batchState) {
	for _, j := range append([]*job(nil), b.jobs...) {
		if f.isDetached(ctx, j) {
			b.drop(j, ErrDetached)
		}
	}
}

// isDetached reports whether the job is of a client file that another session
// has attached to; false when that can't be told.
func (f *File) isDetached(ctx context.Context, j *job) bool {
	if j.upload == nil {
		return false
	}
	detached, err := j.upload.client.isDetached(ctx)
	return err == nil && detached
}

// longestPause is what pause grows to, in ns. Tests have less patience.
var longestPause atomic.Int64

func init() { longestPause.Store(int64(time.Second)) }

// pause waits before another attempt: longer each time, with jitter.
func pause(ctx context.Context, attempt int) {
	d := min(time.Duration(longestPause.Load()), 2*time.Millisecond<<min(attempt, 9))
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
