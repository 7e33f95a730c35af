package protocol

import (
	"errors"
	"testing"
)

func TestNegotiate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		offered []string
		token   string
		want    Codec
	}{
		{"flexible, all versions", Offer(true), "com.mongodb.realm-query-sync#14", flexible},
		{"partition, all versions", Offer(false), "com.mongodb.realm-sync#14", partition},
		{"an older client", []string{"com.mongodb.realm-query-sync#10", " com.mongodb.realm-query-sync#9"}, "com.mongodb.realm-query-sync#10", flexibleAt(10)},
		{"slash", []string{"com.mongodb.realm-sync/5", "com.mongodb.realm-sync/7", "com.mongodb.realm-sync/6"}, "com.mongodb.realm-sync/7", partitionAt(7)},
		{"a newer client", []string{"com.mongodb.realm-sync#16", "com.mongodb.realm-sync#15", "com.mongodb.realm-sync#14"}, "com.mongodb.realm-sync#14", partition},
		{"range", []string{"com.mongodb.realm-query-sync#2-20"}, "com.mongodb.realm-query-sync#14", flexible},
		{"range of old versions", []string{"com.mongodb.realm-sync#1-5"}, "com.mongodb.realm-sync/5", partitionAt(5)},
		{"something else, too", []string{"chat", "com.mongodb.realm-sync#x", "com.mongodb.realm-sync#3"}, "com.mongodb.realm-sync#3", partitionAt(3)},
	} {
		token, got, err := Negotiate(tt.offered)
		if err != nil || token != tt.token || got != tt.want {
			t.Errorf("%s: got %q %+v (%v), want %q %+v", tt.name, token, got, err, tt.token, tt.want)
		}
	}
	for _, offered := range [][]string{nil, {"chat"}, {"com.mongodb.realm-sync#1"}, {"com.mongodb.realm-sync#15"}, {"com.mongodb.realm-sync#15-20"},
		{"com.mongodb.realm-sync#"}, {"com.mongodb.realm-sync#9-3"}, {"com.mongodb.realm-sync#99999999999999999999"}, {"com.mongodb.realm-sync#-3"}} {
		if token, _, err := Negotiate(offered); !errors.Is(err, ErrNoSubprotocol) {
			t.Errorf("%q: got %q, %v; want ErrNoSubprotocol", offered, token, err)
		}
	}
}
