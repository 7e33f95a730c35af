// Package bulk inserts many raw documents with few commands and little work. The
// driver's own bulk writes look into each document for its _id, which costs several
// times what all else does that is done to it here.
//
// Commands are not tried again: it is for use in transactions, or where another try
// does no harm.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// maxCommand bounds the documents of one command in bytes: the command is a document
// itself, which may be 16 KB larger than one that is stored.
const maxCommand = 16 << 20

// Error says which document MongoDB has refused.
type Error struct {
	Index int // of the document
	mongo.WriteError
	Err error // the mongo.WriteException
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Insert inserts documents, which have an _id, in order up to the first that MongoDB
// refuses for what it holds: an *Error.
func Insert(ctx context.Context, c *mongo.Collection, docs []bson.Raw) error {
	for done := 0; done < len(docs); {
		n, bytes := 0, 0
		for _, raw := range docs[done:] {
			if n > 0 && bytes+len(raw) > maxCommand {
				break
			}
			bytes += len(raw)
			n++
		}
		if err := insert(ctx, c, docs[done:done+n], bytes); err != nil {
			var refused mongo.WriteException
			if errors.As(err, &refused) && len(refused.WriteErrors) > 0 {
				first := refused.WriteErrors[0]
				return &Error{done + first.Index, first, err}
			}
			return err
		}
		done += n
	}
	return nil
}

// insert inserts documents that have so many bytes in one command.
func insert(ctx context.Context, c *mongo.Collection, docs []bson.Raw, bytes int) error {
	at, cmd := bsoncore.AppendDocumentStart(make([]byte, 0, bytes+12*len(docs)+len(c.Name())+64))
	cmd = bsoncore.AppendStringElement(cmd, "insert", c.Name())
	list, cmd := bsoncore.AppendArrayElementStart(cmd, "documents")
	for i, raw := range docs {
		cmd = bsoncore.AppendHeader(cmd, bsoncore.TypeEmbeddedDocument, "")
		cmd = append(strconv.AppendInt(cmd[:len(cmd)-1], int64(i), 10), 0)
		cmd = append(cmd, raw...)
	}
	cmd, err := bsoncore.AppendArrayEnd(cmd, list)
	if err == nil {
		cmd, err = bsoncore.AppendDocumentEnd(cmd, at)
	}
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return c.Database().RunCommand(ctx, bson.Raw(cmd)).Err()
}
