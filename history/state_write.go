package history

import (
	"context"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// writeStates writes object states of one class. New ones go in commands of their
// own: the driver's bulk writes look into every document for its _id, at several
// times the cost of all else that is done to it.
func (s *Store) writeStates(ctx context.Context, class string, models []mongo.WriteModel) error {
	var docs []any
	rest := models[:0:0]
	for _, m := range models {
		if insert, ok := m.(*mongo.InsertOneModel); ok {
			docs = append(docs, insert.Document)
		} else {
			rest = append(rest, m)
		}
	}
	if err := s.insert(ctx, stateCollection(class), docs); err != nil {
		return fmt.Errorf("write states of %s: %w", class, err)
	}
	if len(rest) == 0 {
		return nil
	}
	if _, err := s.states(class).BulkWrite(ctx, rest, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("write states of %s: %w", class, err)
	}
	return nil
}

// maxInsert bounds the documents of one insert command in bytes: the command is a
// document itself, which may be 16 KB larger than one that is stored.
const maxInsert = 16 << 20

// insert inserts documents that have an _id. It is for use in transactions.
func (s *Store) insert(ctx context.Context, collection string, docs []any) error {
	var waiting []bson.Raw
	bytes := 0
	for _, d := range docs {
		raw, err := bson.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		if len(waiting) > 0 && bytes+len(raw) > maxInsert {
			if err := s.insertRaw(ctx, collection, waiting, bytes); err != nil {
				return err
			}
			waiting, bytes = waiting[:0], 0
		}
		waiting = append(waiting, raw)
		bytes += len(raw)
	}
	if len(waiting) == 0 {
		return nil
	}
	return s.insertRaw(ctx, collection, waiting, bytes)
}

// insertRaw inserts documents that have so many bytes in one command.
func (s *Store) insertRaw(ctx context.Context, collection string, docs []bson.Raw, bytes int) error {
	at, cmd := bsoncore.AppendDocumentStart(make([]byte, 0, bytes+12*len(docs)+len(collection)+64))
	cmd = bsoncore.AppendStringElement(cmd, "insert", collection)
	list, cmd := bsoncore.AppendArrayElementStart(cmd, "documents")
	for i, raw := range docs {
		cmd = bsoncore.AppendDocumentElement(cmd, strconv.Itoa(i), bsoncore.Document(raw))
	}
	cmd, err := bsoncore.AppendArrayEnd(cmd, list)
	if err == nil {
		cmd, err = bsoncore.AppendDocumentEnd(cmd, at)
	}
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return s.db.RunCommand(ctx, bson.Raw(cmd)).Err()
}
