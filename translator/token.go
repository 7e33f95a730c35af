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
	text, ok := token.Lookup("_data").StringValueOK()
	if !ok || len(text) < 10 {
		return time.Time{}, false
	}
	b, err := hex.DecodeString(text[:10])
	if err != nil || b[0] != keyStringTimestamp {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint32(b[1:])), 0), true
}

// keyStringTimestamp is the first byte of a timestamp in a key string.
const keyStringTimestamp = 0x82
