package history

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/internal/bulk"
)

// stateWrites are writes of object states of one class.
type stateWrites struct {
	inserts []bson.Raw
	others  []mongo.WriteModel
}

// writeStates writes object states of one class.
func (s *Store) writeStates(ctx context.Context, class string, writes *stateWrites) error {
	states := s.states(class)
	if err := bulk.Insert(ctx, states, writes.inserts); err != nil {
		return fmt.Errorf("write states of %s: %w", class, err)
	}
	if len(writes.others) == 0 {
		return nil
	}
	if _, err := states.BulkWrite(ctx, writes.others, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("write states of %s: %w", class, err)
	}
	return nil
}
