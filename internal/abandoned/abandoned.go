// Package abandoned ends transactions that nobody will end: those of a process
// that was killed in the middle. MongoDB keeps them, with what they have
// written, for transactionLifetimeLimitSeconds (60 s unless changed); until
// then everybody else's write to the same documents fails with a WriteConflict
// and dropping their database waits.
//
// It knows a transaction as abandoned by how long no statement of it has run.
// It asks for no privileges: a user sees and ends only sessions of its own.
package abandoned

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// End aborts the transactions in which nothing has happened for longer than
// idle, and returns how many it found. With a name it ends only those of
// drivers with that application name. A transaction that was only slow fails
// with NoSuchTransaction, which carries the label TransientTransactionError.
func End(ctx context.Context, client *mongo.Client, name string, idle time.Duration) (int, error) {
	admin := client.Database("admin")
	match := bson.D{
		{Key: "type", Value: "idleSession"},
		{Key: "transaction.timeInactiveMicros", Value: bson.D{{Key: "$gt", Value: idle.Microseconds()}}},
	}
	if name != "" {
		match = append(match, bson.E{Key: "appName", Value: name})
	}
	cursor, err := admin.Aggregate(ctx, bson.A{
		bson.D{{Key: "$currentOp", Value: bson.D{{Key: "idleSessions", Value: true}}}},
		bson.D{{Key: "$match", Value: match}},
		bson.D{{Key: "$project", Value: bson.D{{Key: "id", Value: "$lsid.id"}}}},
	})
	if err != nil {
		return 0, fmt.Errorf("list idle transactions: %w", err)
	}
	var sessions []struct {
		ID bson.Binary `bson:"id"`
	}
	if err := cursor.All(ctx, &sessions); err != nil {
		return 0, fmt.Errorf("list idle transactions: %w", err)
	}
	if len(sessions) == 0 {
		return 0, nil
	}
	var ids bson.A
	for _, s := range sessions {
		ids = append(ids, bson.D{{Key: "id", Value: s.ID}})
	}
	if err := admin.RunCommand(ctx, bson.D{{Key: "killSessions", Value: ids}}).Err(); err != nil {
		return 0, fmt.Errorf("end abandoned transactions: %w", err)
	}
	return len(sessions), nil
}
