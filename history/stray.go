package history

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
)

// strayType is the type of stray keys. No format of keys has it, so that none
// ever comes from a device or from the history.
const strayType changeset.Type = -100

// StrayKey names a document whose _id can't be a key of its class. Such a
// document is hinted at, looked at and listed as unsynced like others that can't
// be mapped; no object ever has the key.
func StrayKey(id bson.RawValue) changeset.Key {
	return changeset.Key{Type: strayType, Str: string(append([]byte{byte(id.Type)}, id.Value...))}
}

// StrayID returns the _id that a stray key names, false if the key is none.
func StrayID(k changeset.Key) (bson.RawValue, bool) {
	if k.Type != strayType || k.Str == "" {
		return bson.RawValue{}, false
	}
	return bson.RawValue{Type: bson.Type(k.Str[0]), Value: []byte(k.Str[1:])}, true
}

// documentID is the _id of the document that a key names.
func documentID(k changeset.Key) bson.RawValue {
	if id, stray := StrayID(k); stray {
		return id
	}
	return KeyValue(k)
}

// documentText is the _id of the document that a key names, for people.
func documentText(k changeset.Key) string {
	if id, stray := StrayID(k); stray {
		if len(id.Value) > maxKeyText {
			return fmt.Sprintf("an _id of %d bytes", len(id.Value))
		}
		return id.String()
	}
	return keyText(k)
}
