package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/translator"
)

// foreign is one write of the MongoDB writer. What fits no document does nothing.
//
//	insert Thing/1 {"n":{"$numberLong":"5"}}
//	update Thing/1 {"$set":{"n":{"$numberLong":"5"}}}
//	update Thing/1 {"$set":{"l.2":{"$numberLong":"5"}}} l.2     if there is an l.2
//	replace Thing/1 {"n":{"$numberLong":"5"}}
//	delete Thing/1
type foreign struct {
	verb   string
	ref    changeset.ObjectRef
	doc    bson.D
	exists string // a path that the document must have
}

func parseForeign(line string) (*foreign, error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return nil, fmt.Errorf("%q is no write", line)
	}
	f := &foreign{verb: words[0]}
	var err error
	if f.ref, err = parseRef(words[1]); err != nil {
		return nil, err
	}
	switch {
	case f.verb == "delete" && len(words) == 2:
		return f, nil
	case f.verb == "update" && len(words) == 4:
		f.exists = words[3]
	case (f.verb == "insert" || f.verb == "update" || f.verb == "replace") && len(words) == 3:
	default:
		return nil, fmt.Errorf("%q is no write", line)
	}
	if err := bson.UnmarshalExtJSON([]byte(words[2]), false, &f.doc); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	return f, nil
}

// do makes the write. It returns how many documents it changed.
func (f *foreign) do(ctx context.Context, db *mongo.Database) (int64, error) {
	coll := db.Collection(f.ref.Class)
	id := bson.E{Key: "_id", Value: translator.KeyToBSON(f.ref.Key)}
	switch f.verb {
	case "insert":
		// Not an insert: its error would end a transaction.
		res, err := coll.UpdateOne(ctx, bson.D{id}, bson.D{{Key: "$setOnInsert", Value: f.doc}}, options.UpdateOne().SetUpsert(true))
		if err != nil {
			return 0, err
		}
		return res.UpsertedCount, nil
	case "update":
		filter := bson.D{id}
		if f.exists != "" {
			filter = append(filter, bson.E{Key: f.exists, Value: bson.D{{Key: "$exists", Value: true}}})
		}
		res, err := coll.UpdateOne(ctx, filter, f.doc)
		if err != nil {
			return 0, err
		}
		return res.ModifiedCount, nil
	case "replace":
		res, err := coll.ReplaceOne(ctx, bson.D{id}, f.doc)
		if err != nil {
			return 0, err
		}
		return res.ModifiedCount, nil
	}
	res, err := coll.DeleteOne(ctx, bson.D{id})
	if err != nil {
		return 0, err
	}
	return res.DeletedCount, nil
}

// foreignWrite makes the writes of one operation, in a transaction if they are
// several. What MongoDB refuses is as if it had not been tried.
func (w *world) foreignWrite(lines []string) error {
	writes := make([]*foreign, len(lines))
	for i, line := range lines {
		f, err := parseForeign(line)
		if err != nil {
			return err
		}
		writes[i] = f
	}
	db := w.dep.documents
	if len(writes) == 1 {
		n, err := writes[0].do(w.ctx, db)
		if refused(err) {
			return nil
		}
		if err == nil && n > 0 {
			w.accountForeign(writes[0])
		}
		return err
	}
	session, err := w.dep.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(context.WithoutCancel(w.ctx))
	done := make([]int64, len(writes))
	_, err = session.WithTransaction(w.ctx, func(ctx context.Context) (any, error) {
		for i, f := range writes {
			var err error
			if done[i], err = f.do(ctx, db); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}, options.Transaction().SetReadConcern(readconcern.Snapshot()).SetWriteConcern(writeconcern.Majority()))
	if refused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, f := range writes {
		if done[i] > 0 {
			w.accountForeign(f)
		}
	}
	return nil
}

// refused reports whether MongoDB has refused a write for what it says, such as
// $push to what is no array.
func refused(err error) bool {
	var we mongo.WriteException
	var ce mongo.CommandError
	return errors.As(err, &we) || errors.As(err, &ce) && ce.Labels == nil
}

// accountForeign notes what must not get lost of a write that was made.
func (w *world) accountForeign(f *foreign) {
	switch {
	case f.ref.Class == receipt && f.verb == "insert":
		w.receipts = append(w.receipts, f.ref.Key.Int)
	case f.ref.Class == tally && f.verb == "update":
		for _, e := range f.doc {
			inc, _ := e.Value.(bson.D)
			for _, by := range inc {
				if n, ok := by.Value.(int64); ok && e.Key == "$inc" && by.Key == "mongodb" {
					w.added += n
				}
			}
		}
	}
}
