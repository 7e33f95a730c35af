package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// IngestHeld reports whether some node holds the ingest lease at the moment.
func (s *Store) IngestHeld(ctx context.Context) (bool, error) {
	d, err := s.readIngest(ctx)
	return d.Expires.After(time.Now()), err
}

// IngestToken returns the resume token stored last, by whatever node; nil if
// there is none yet.
func (s *Store) IngestToken(ctx context.Context) (bson.Raw, error) {
	d, err := s.readIngest(ctx)
	return d.Token, err
}

// readIngest reads what is stored of the change stream; the zero value if
// nothing is.
func (s *Store) readIngest(ctx context.Context) (ingestDoc, error) {
	var d ingestDoc
	err := s.ingest.FindOne(ctx, bson.D{{Key: "_id", Value: ingestID}}).Decode(&d)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return ingestDoc{}, fmt.Errorf("read ingest lease: %w", err)
	}
	return d, nil
}
