package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Hint says that a document may have been changed by somebody else. The commit
// looks at the document itself, so a hint too many does no harm.
type Hint struct {
	Ref changeset.ObjectRef
	// Time is when the change was made, in ms since 2015.
	Time uint64
	// Transaction names the transaction that made it: its changes become one
	// entry. Empty outside transactions.
	Transaction string
	// Told: the event said what the change left, which is Left; no document when
	// that is nil. What nobody changed until the time that the documents of the
	// hints are read as of need not be read.
	Told bool
	Left bson.Raw
}

// Ingest is a batch of hints. A batch holds whole transactions.
type Ingest struct {
	Hints []Hint
	// Documents are those of the hints, all as of one time. Nil: the commit reads
	// them.
	Documents *Documents
	// Token is the change stream's resume token after the hints, stored with
	// what they lead to. Nil for hints from elsewhere.
	Token bson.Raw
	// Owner holds the ingest lease. Required with Token.
	Owner string
}

// Ingest commits what a batch of hints leads to. It returns when that is
// durable; ErrLeaseLost when Owner no longer holds the lease.
func (f *File) Ingest(ctx context.Context, in *Ingest) error {
	return f.submitAndWait(ctx, &job{ingest: in})
}

// putOff reports whether loading passes over a hint: its class is held, or
// takeForeign loads it.
func (w *work) putOff(in *Ingest, ref changeset.ObjectRef) bool {
	return in.Documents != nil || isPutOff(w.holds, ref.Class)
}

// isPutOff reports whether hints at a class wait until it is compared as a whole.
func isPutOff(holds map[string]Hold, class string) bool {
	h, held := holds[class]
	return held && !h.Settling
}

// writeIngest stores the resume token of what the batch ingested.
func (w *work) writeIngest() error {
	for i := len(w.batch.jobs) - 1; i >= 0; i-- {
		j := w.batch.jobs[i]
		if j.ingest == nil || j.ingest.Token == nil {
			continue
		}
		// The last batch's token is the newest.
		ok, err := w.f.store.storeToken(w.ctx, j.ingest.Owner, j.ingest.Token)
		if err != nil {
			return err
		}
		if !ok {
			return &jobError{j, ErrLeaseLost}
		}
		break
	}
	return w.writeFrozen()
}

// ingestDoc is the document of the ingest collection.
type ingestDoc struct {
	ID      string    `bson:"_id"`
	Owner   string    `bson:"owner"`
	Expires time.Time `bson:"expires"`
	Token   bson.Raw  `bson:"token,omitempty"`
}

const ingestID = "stream"

func (s *Store) storeToken(ctx context.Context, owner string, token bson.Raw) (bool, error) {
	res, err := s.ingest.UpdateOne(ctx, bson.D{{Key: "_id", Value: ingestID}, {Key: "owner", Value: owner}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "token", Value: token}}}})
	if err != nil {
		return false, fmt.Errorf("store resume token: %w", err)
	}
	return res.MatchedCount == 1, nil
}

// StoreToken stores a resume token where nothing relevant happened before it.
func (s *Store) StoreToken(ctx context.Context, owner string, token bson.Raw) error {
	ok, err := s.storeToken(ctx, owner, token)
	if err == nil && !ok {
		err = ErrLeaseLost
	}
	return err
}

// AcquireIngest takes or renews the ingest lease, for so long. It returns the
// resume token stored last, nil if there is none, and false when another owner
// holds the lease. Two owners at once, after a stop of one, do no harm: the
// lease only saves work.
func (s *Store) AcquireIngest(ctx context.Context, owner string, lease time.Duration) (token bson.Raw, ok bool, err error) {
	now := time.Now()
	var d ingestDoc
	// A node that was killed while it committed what it had read has locked the lease.
	err = s.unblocking(ctx, func() error {
		return s.ingest.FindOneAndUpdate(ctx, bson.D{
			{Key: "_id", Value: ingestID},
			{Key: "$or", Value: bson.A{
				bson.D{{Key: "owner", Value: owner}},
				bson.D{{Key: "expires", Value: bson.D{{Key: "$lt", Value: now}}}},
			}},
		}, bson.D{{Key: "$set", Value: bson.D{{Key: "owner", Value: owner}, {Key: "expires", Value: now.Add(lease)}}}},
			options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&d)
	})
	if mongo.IsDuplicateKeyError(err) || errors.Is(err, mongo.ErrNoDocuments) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("acquire ingest lease: %w", err)
	}
	return d.Token, true, nil
}

// ReleaseIngest gives the lease up.
func (s *Store) ReleaseIngest(ctx context.Context, owner string) error {
	_, err := s.ingest.UpdateOne(ctx, bson.D{{Key: "_id", Value: ingestID}, {Key: "owner", Value: owner}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "expires", Value: time.Unix(0, 0)}}}})
	if err != nil {
		return fmt.Errorf("release ingest lease: %w", err)
	}
	return nil
}
