package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

// parseKey reads a primary key as people write it: a number, a text, the
// hexadecimal digits of an ObjectId, a UUID; or as logs and MongoDB's tools do:
// "text", ObjectID("…"), UUID(…), extended JSON. An _id that can't be a key of
// the class is written as extended JSON, and read as a stray key.
func parseKey(c *schema.Class, text string) (changeset.Key, error) {
	if id, ok := parseExtendedJSON(text); ok && (c.KeyType != changeset.String || isWritten(text)) {
		if key, err := translator.KeyFromBSON(c, id); err == nil {
			return key, nil
		}
		if isWritten(text) || id.Type == bson.TypeEmbeddedDocument {
			return history.StrayKey(id), nil
		}
	}
	plain := text
	for _, form := range []struct{ before, after string }{{`ObjectID("`, `")`}, {`ObjectId("`, `")`}, {"UUID(uuid:", ")"}, {`UUID("`, `")`}} {
		if inner, ok := strings.CutPrefix(text, form.before); ok && strings.HasSuffix(inner, form.after) {
			plain = strings.TrimSuffix(inner, form.after)
		}
	}
	switch c.KeyType {
	case changeset.String:
		return changeset.StringKey(text), nil
	case changeset.Int:
		if n, err := strconv.ParseInt(plain, 10, 64); err == nil {
			return changeset.IntKey(n), nil
		}
	case changeset.ObjectID:
		if b, err := hex.DecodeString(plain); err == nil && len(b) == 12 {
			return changeset.ObjectIDKey([12]byte(b)), nil
		}
	case changeset.UUID:
		if b, err := hex.DecodeString(strings.ReplaceAll(plain, "-", "")); err == nil && len(b) == 16 {
			return changeset.UUIDKey([16]byte(b)), nil
		}
	}
	return changeset.Key{}, fmt.Errorf("%q is no key of class %s, whose keys are of type %v", abridged(text), c.Name, c.KeyType)
}

// isWritten reports whether a text is meant as extended JSON even where a plain
// text would do: a type of its own, or quotes.
func isWritten(text string) bool {
	return strings.HasPrefix(text, `{"$`) || strings.HasPrefix(text, `"`)
}

// parseExtendedJSON reads one value.
func parseExtendedJSON(text string) (bson.RawValue, bool) {
	var doc struct {
		V bson.RawValue `bson:"v"`
	}
	if text == "" || bson.UnmarshalExtJSON([]byte(`{"v":`+text+`}`), false, &doc) != nil {
		return bson.RawValue{}, false
	}
	return doc.V, doc.V.Type != 0
}

// idText writes an _id so that parseKey reads it.
func idText(c *schema.Class, id bson.RawValue) string {
	if c == nil {
		return id.String()
	}
	key, err := translator.KeyFromBSON(c, id)
	if err != nil {
		return id.String()
	}
	return keyText(key)
}

// keyText writes a key so that parseKey reads it.
func keyText(key changeset.Key) string {
	switch key.Type {
	case changeset.Int:
		return strconv.FormatInt(key.Int, 10)
	case changeset.ObjectID:
		return hex.EncodeToString([]byte(key.Str))
	case changeset.UUID:
		return changeset.UUIDText(key.Str)
	case changeset.String:
		if isPlain(key.Str) {
			return key.Str
		}
	}
	if id, stray := history.StrayID(key); stray {
		return id.String()
	}
	return history.KeyValue(key).String()
}

// isPlain reports whether a text stands for itself in a table and in parseKey.
func isPlain(text string) bool {
	return text != "" && !isWritten(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}
