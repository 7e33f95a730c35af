package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// errOplogUnknown: MongoDB does not say how far its oplog reaches back: the user
// may not ask, or it is a sharded cluster, of which each shard has its own.
var errOplogUnknown = errors.New("MongoDB does not tell how far its oplog reaches back")

// oldestOperation returns the time of the oldest entry of the oplog. It takes the
// role clusterMonitor; without it the error is errOplogUnknown.
func oldestOperation(ctx context.Context, client *mongo.Client) (time.Time, error) {
	ask := bson.D{{Key: "serverStatus", Value: 1}, {Key: "oplog", Value: 1}}
	for _, rest := range []string{"metrics", "wiredTiger", "tcmalloc", "locks", "opLatencies", "tenantMigrations", "transactions"} {
		ask = append(ask, bson.E{Key: rest, Value: 0})
	}
	raw, err := client.Database("admin").RunCommand(ctx, ask).Raw()
	var server mongo.ServerError
	if errors.As(err, &server) && (server.HasErrorCode(codeUnauthorized) || server.HasErrorCode(codeAtlasError)) {
		return time.Time{}, errOplogUnknown
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read server status: %w", err)
	}
	at, _, ok := raw.Lookup("oplog", "earliestOptime").TimestampOK()
	if !ok {
		return time.Time{}, errOplogUnknown
	}
	return time.Unix(int64(at), 0), nil
}
