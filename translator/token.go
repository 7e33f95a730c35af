package translator

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TokenTime returns the time of the place in the oplog that a resume token stands
// for, to the second; false when the token is in no form that is known. The
// token's _data is a key string, which begins with the cluster time.
func TokenTime(token bson.Raw) (time.Time, bool) {
	t, ok := tokenTimestamp(token)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(int64(t.T), 0), true
}

// tokenTimestamp returns the place itself. Where several events have it, the token
// may stand between them: all before it were told.
func tokenTimestamp(token bson.Raw) (bson.Timestamp, bool) {
	text, ok := token.Lookup("_data").StringValueOK()
	if !ok || len(text) < 18 {
		return bson.Timestamp{}, false
	}
	b, err := hex.DecodeString(text[:18])
	if err != nil || b[0] != keyStringTimestamp {
		return bson.Timestamp{}, false
	}
	return bson.Timestamp{T: binary.BigEndian.Uint32(b[1:]), I: binary.BigEndian.Uint32(b[5:])}, true
}

// keyStringTimestamp is the first byte of a timestamp in a key string.
const keyStringTimestamp = 0x82
