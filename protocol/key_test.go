package protocol

import (
	"encoding/base64"
	"math"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

func TestKeys(t *testing.T) {
	oid := [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	uuid := [16]byte{15: 1}
	for _, tt := range []struct {
		key changeset.Key
		raw string
	}{
		{changeset.NullKey, "\x00"},
		{changeset.IntKey(0), "\x01\x00"},
		{changeset.IntKey(8), "\x01\x08"},
		{changeset.IntKey(63), "\x01\x3f"},
		{changeset.IntKey(64), "\x01\xc0\x00"},
		{changeset.IntKey(200), "\x01\xc8\x01"},
		{changeset.IntKey(-1), "\x01\x40"},
		{changeset.IntKey(-64), "\x01\x7f"},
		{changeset.IntKey(-65), "\x01\xc0\x40"},
		{changeset.IntKey(math.MaxInt64), "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"},
		{changeset.IntKey(math.MinInt64), "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x40"},
		{changeset.StringKey(""), "\x03\x00"},
		{changeset.StringKey("né"), "\x03\x03né"},
		{changeset.ObjectIDKey(oid), "\x0a\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"},
		{changeset.UUIDKey(uuid), "\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"},
	} {
		want := base64.StdEncoding.EncodeToString([]byte(tt.raw))
		got, err := EncodeKey(tt.key)
		if err != nil || got != want {
			t.Errorf("%+v: got %q (%v), want %q", tt.key, got, err, want)
		}
		back, err := DecodeKey(want)
		if err != nil || back != tt.key {
			t.Errorf("%q: got %+v (%v), want %+v", want, back, err, tt.key)
		}
	}
}

func TestBadKeys(t *testing.T) {
	for _, raw := range []string{"", "\x01", "\x01\xc0", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		"\x02\x01", "\x03\x04abc", "\x03\x40", "\x0a12345678901", "\x0b123456789012345", "\x00\x00", "\x03\x01ab"} {
		if key, err := DecodeKey(base64.StdEncoding.EncodeToString([]byte(raw))); err == nil {
			t.Errorf("%q: got %+v, want an error", raw, key)
		}
	}
	if key, err := DecodeKey("AQk"); err == nil {
		t.Errorf("unpadded base64: got %+v, want an error", key)
	}
	for _, key := range []changeset.Key{{Type: changeset.GlobalKey, Str: "0123456789abcdef"}, {Type: changeset.ObjectID, Str: "short"}, {Type: changeset.String, Str: "\xff"}} {
		if got, err := EncodeKey(key); err == nil {
			t.Errorf("%+v: got %q, want an error", key, got)
		}
	}
}
