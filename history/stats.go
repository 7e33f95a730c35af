package history

import "time"

// Batch is what one commit held.
type Batch struct {
	Took       time.Duration // from the first attempt until it was durable
	Uploads    int           // UPLOAD messages
	Changesets int           // in them
	Bytes      int           // of those changesets, as uploaded
	Hints      int           // at documents that somebody else may have written
	Entries    int           // appended to the history
	Objects    int           // that those are about, counted once an entry
}

// measure says what a batch held that was committed.
func (b *batchState) measure(start time.Time) Batch {
	out := Batch{Took: time.Since(start), Entries: b.entries, Objects: b.touched}
	for _, j := range b.jobs {
		switch {
		case j.upload != nil:
			out.Uploads++
			out.Changesets += len(j.upload.Entries)
			out.Bytes += j.bytes()
		case j.ingest != nil:
			out.Hints += len(j.ingest.Hints)
		}
	}
	return out
}

// RetryReason says why a batch was not committed and is tried again.
type RetryReason string

// The reasons.
const (
	RetryHeadMoved    RetryReason = "head_moved"    // another node committed first
	RetryRefused      RetryReason = "refused"       // MongoDB refused an object, which is left out
	RetryForeignWrite RetryReason = "foreign_write" // an upload met a foreign write, and waits for its event
	RetryHeld         RetryReason = "held"          // too much of a class would be erased
	RetryDetached     RetryReason = "detached"      // a client file went to another node
	RetryTooLarge     RetryReason = "too_large"     // more than MongoDB takes in one transaction: it goes in parts
	RetryMongoDB      RetryReason = "mongodb"       // an error of MongoDB or of the way to it
)

// RetryReasons are all reasons.
var RetryReasons = []RetryReason{RetryHeadMoved, RetryRefused, RetryForeignWrite, RetryHeld, RetryDetached, RetryTooLarge, RetryMongoDB}

// Waiting returns how many uploads of this node's sessions are not committed
// yet, those in the commit that runs left out, and how many of them wait for a
// class that is held.
func (f *File) Waiting() (uploads, held int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jobs {
		if j.upload == nil {
			continue
		}
		uploads++
		if f.touchesHeld(j) {
			held++
		}
	}
	return uploads, held
}
