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
	var d ingestDoc
	err := s.ingest.FindOne(ctx, bson.D{{Key: "_id", Value: ingestID}}).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read ingest lease: %w", err)
	}
	return d.Expires.After(time.Now()), nil
}
