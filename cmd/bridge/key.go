package main

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/translator"
)

// idText writes an _id so that translator.ParseKey reads it.
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

// keyText writes a key so that translator.ParseKey reads it.
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

// isPlain reports whether a text stands for itself, in a table and where a key is
// read.
func isPlain(text string) bool {
	return text != "" && text != "null" && text[0] != '"' && text[0] != '{' && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}
