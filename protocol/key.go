package protocol

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/isthmus-sync/isthmus/changeset"
)

// EncodeKey returns a primary key as the `pk` of a rejected update: base64 of a
// type byte and the value. Keys of other types than null, int, string, ObjectId
// and UUID are an error: a client that gets one dies.
func EncodeKey(key changeset.Key) (string, error) {
	raw := []byte{byte(key.Type)}
	switch key.Type {
	case changeset.Null:
	case changeset.Int:
		raw = appendVarint(raw, key.Int)
	case changeset.String:
		if !utf8.ValidString(key.Str) {
			return "", errors.New("string key is not UTF-8")
		}
		raw = appendVarint(raw, int64(len(key.Str)))
		raw = append(raw, key.Str...)
	case changeset.ObjectID, changeset.UUID:
		if want := keyLength(key.Type); len(key.Str) != want {
			return "", fmt.Errorf("key of %d bytes, want %d", len(key.Str), want)
		}
		raw = append(raw, key.Str...)
	default:
		return "", fmt.Errorf("keys of type %d cannot be named to a client", key.Type)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

func keyLength(t changeset.Type) int {
	if t == changeset.ObjectID {
		return 12
	}
	return 16
}

// DecodeKey is the reverse of EncodeKey.
func DecodeKey(pk string) (changeset.Key, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(pk)
	if err != nil {
		return changeset.Key{}, fmt.Errorf("decode key: %w", err)
	}
	if len(raw) == 0 {
		return changeset.Key{}, errors.New("key is empty")
	}
	key := changeset.Key{Type: changeset.Type(raw[0])}
	rest := raw[1:]
	switch key.Type {
	case changeset.Null:
	case changeset.Int:
		key.Int, rest, err = varint(rest)
	case changeset.String:
		var size int64
		size, rest, err = varint(rest)
		if err == nil && (size < 0 || size > int64(len(rest))) {
			err = errors.New("key is truncated")
		}
		if err == nil {
			key.Str, rest = string(rest[:size]), rest[size:]
		}
	case changeset.ObjectID, changeset.UUID:
		size := keyLength(key.Type)
		if len(rest) < size {
			err = errors.New("key is truncated")
		} else {
			key.Str, rest = string(rest[:size]), rest[size:]
		}
	default:
		err = fmt.Errorf("key of type %d", key.Type)
	}
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes follow the key")
	}
	if err != nil {
		return changeset.Key{}, err
	}
	return key, nil
}

// The variable-length integers of keys: groups of 7 bits, the least significant
// first, the top bit set on every byte but the last. The last has six bits and
// the sign; a negative n is written as -(n+1).
const (
	varintMore = 0x80
	varintSign = 0x40
)

func appendVarint(dst []byte, n int64) []byte {
	sign := byte(0)
	if n < 0 {
		n, sign = ^n, varintSign
	}
	for n >= varintSign {
		dst = append(dst, byte(n)&0x7f|varintMore)
		n >>= 7
	}
	return append(dst, byte(n)|sign)
}

func varint(src []byte) (n int64, rest []byte, err error) {
	var u uint64
	for i, b := range src {
		shift := 7 * i
		if shift > 63 {
			break
		}
		bits := uint64(b & 0x7f)
		if b < varintMore {
			bits &^= varintSign
		}
		if bits<<shift>>shift != bits {
			break
		}
		u |= bits << shift
		if b >= varintMore {
			continue
		}
		if u > math.MaxInt64 {
			break
		}
		if b&varintSign != 0 {
			return ^int64(u), src[i+1:], nil
		}
		return int64(u), src[i+1:], nil
	}
	return 0, nil, errors.New("integer is truncated or too large")
}
