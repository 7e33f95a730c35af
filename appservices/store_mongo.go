package appservices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// tokenKeysID is the one document of the keys collection: all keys are in it,
// so that changing them is one atomic write.
const tokenKeysID = "tokens"

// MongoStore is the Store of a deployment, in the collections users, sessions
// and keys of its metadata database.
type MongoStore struct {
	users, sessions, keys *mongo.Collection
}

var _ Store = (*MongoStore)(nil)

// OpenMongoStore makes the collections' indexes and returns the store.
func OpenMongoStore(ctx context.Context, client *mongo.Client, database string) (*MongoStore, error) {
	db := client.Database(database, options.Database().
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(writeconcern.Majority()).
		SetReadPreference(readpref.Primary()))
	m := &MongoStore{users: db.Collection("users"), sessions: db.Collection("sessions"), keys: db.Collection("keys")}
	_, err := m.users.Indexes().CreateOne(ctx, mongo.IndexModel{
		Keys:    bson.D{{Key: "identities.provider", Value: 1}, {Key: "identities.id", Value: 1}},
		Options: options.Index().SetUnique(true),
	})
	if err != nil {
		return nil, fmt.Errorf("index users: %w", err)
	}
	_, err = m.sessions.Indexes().CreateMany(ctx, []mongo.IndexModel{
		{Keys: bson.D{{Key: "user", Value: 1}}},
		{Keys: bson.D{{Key: "expires", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(0)},
	})
	if err != nil {
		return nil, fmt.Errorf("index sessions: %w", err)
	}
	return m, nil
}

// UserWith implements Store.
func (m *MongoStore) UserWith(ctx context.Context, identity Identity, fresh User) (User, error) {
	fresh.Identities = []Identity{identity}
	has := bson.D{{Key: "identities", Value: bson.D{{Key: "$elemMatch", Value: bson.D{
		{Key: "provider", Value: identity.Provider}, {Key: "id", Value: identity.ID},
	}}}}}
	update := bson.D{
		{Key: "$set", Value: bson.D{{Key: "last_log_in", Value: fresh.LastLogIn}}},
		{Key: "$setOnInsert", Value: bson.D{
			{Key: "_id", Value: fresh.ID},
			{Key: "created", Value: fresh.Created},
			{Key: "identities", Value: fresh.Identities},
		}},
	}
	opts := options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)
	var u User
	err := m.users.FindOneAndUpdate(ctx, has, update, opts).Decode(&u)
	if mongo.IsDuplicateKeyError(err) {
		// Another call stored a user with this identity in between.
		err = m.users.FindOneAndUpdate(ctx, has, update, opts).Decode(&u)
	}
	if err != nil {
		return User{}, fmt.Errorf("find or add user: %w", err)
	}
	return u, nil
}

// User implements Store.
func (m *MongoStore) User(ctx context.Context, id string) (User, error) {
	var u User
	if err := m.users.FindOne(ctx, byID(id)).Decode(&u); err != nil {
		return User{}, fmt.Errorf("find user: %w", absent(err))
	}
	return u, nil
}

// SetDisabled implements Store.
func (m *MongoStore) SetDisabled(ctx context.Context, id string, disabled bool) error {
	r, err := m.users.UpdateOne(ctx, byID(id), bson.D{{Key: "$set", Value: bson.D{{Key: "disabled", Value: disabled}}}})
	if err != nil {
		return fmt.Errorf("disable user: %w", err)
	}
	if r.MatchedCount == 0 {
		return fmt.Errorf("disable user: %w", ErrNotFound)
	}
	return nil
}

// AddSession implements Store.
func (m *MongoStore) AddSession(ctx context.Context, s Session) error {
	if _, err := m.sessions.InsertOne(ctx, s); err != nil {
		return fmt.Errorf("add session: %w", err)
	}
	return nil
}

// Session implements Store.
func (m *MongoStore) Session(ctx context.Context, id string) (Session, error) {
	var s Session
	if err := m.sessions.FindOne(ctx, byID(id)).Decode(&s); err != nil {
		return Session{}, fmt.Errorf("find session: %w", absent(err))
	}
	return s, nil
}

// UseSession implements Store.
func (m *MongoStore) UseSession(ctx context.Context, id string, used, expires time.Time) (Session, error) {
	set := bson.D{{Key: "used", Value: used}}
	if !expires.IsZero() {
		set = append(set, bson.E{Key: "expires", Value: expires})
	}
	filter := append(byID(id), bson.D{
		{Key: "revoked", Value: bson.D{{Key: "$exists", Value: false}}},
		{Key: "expires", Value: bson.D{{Key: "$gt", Value: used}}},
	}...)
	var s Session
	err := m.sessions.FindOneAndUpdate(ctx, filter, bson.D{{Key: "$set", Value: set}},
		options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&s)
	if err != nil {
		return Session{}, fmt.Errorf("use session: %w", absent(err))
	}
	return s, nil
}

// RevokeSession implements Store.
func (m *MongoStore) RevokeSession(ctx context.Context, id string, at time.Time) error {
	filter := append(byID(id), bson.E{Key: "revoked", Value: bson.D{{Key: "$exists", Value: false}}})
	_, err := m.sessions.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "revoked", Value: at}}}})
	if err != nil {
		return fmt.Errorf("revoke session: %w", err)
	}
	return nil
}

// keyDocument is the document that holds all keys.
type keyDocument struct {
	Keys []Key `bson:"keys"`
}

// Keys implements Store.
func (m *MongoStore) Keys(ctx context.Context, first Key) ([]Key, error) {
	update := bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "keys", Value: []Key{first}}}}}
	opts := options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)
	var doc keyDocument
	err := m.keys.FindOne(ctx, byID(tokenKeysID)).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = m.keys.FindOneAndUpdate(ctx, byID(tokenKeysID), update, opts).Decode(&doc)
	}
	if mongo.IsDuplicateKeyError(err) {
		err = m.keys.FindOne(ctx, byID(tokenKeysID)).Decode(&doc) // another node was first
	}
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return doc.Keys, nil
}

// ReplaceKeys implements Store.
func (m *MongoStore) ReplaceKeys(ctx context.Context, signing string, keys []Key) error {
	filter := append(byID(tokenKeysID), bson.E{Key: "keys.0.id", Value: signing})
	r, err := m.keys.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "keys", Value: keys}}}})
	if err != nil {
		return fmt.Errorf("replace signing keys: %w", err)
	}
	if r.MatchedCount == 0 {
		return errKeysMoved
	}
	return nil
}

func byID(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }

// absent tells a document that is not there from a server that is not.
func absent(err error) error {
	if errors.Is(err, mongo.ErrNoDocuments) {
		return ErrNotFound
	}
	return err
}
