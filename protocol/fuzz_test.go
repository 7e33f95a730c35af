package protocol

import (
	"bytes"
	"testing"
)

// Whatever parses formats again, and what is formatted is a fixed point: it
// parses, and formats to the same bytes.
func fuzzParser(f *testing.F, client bool) {
	for _, tt := range messages {
		if tt.client == client {
			f.Add(uint8(tt.codec.Version), tt.codec.Flexible, []byte(tt.wire))
		}
	}
	for i, line := range readRecorded(f) {
		// Every one would only slow the start.
		if line.client == client && i%20 == 0 {
			f.Add(uint8(line.codec.Version), line.codec.Flexible, line.data)
		}
	}
	f.Fuzz(func(t *testing.T, version uint8, flexible bool, data []byte) {
		codec := Codec{Version: MinVersion + int(version)%(MaxVersion-MinVersion+1), Flexible: flexible, MaxBody: 1 << 16}
		m, err := parseAs(codec, client, data)
		if err != nil {
			return
		}
		once, err := codec.Append(nil, m)
		if err != nil {
			return // parsing takes more than may be sent
		}
		again, err := parseAs(codec, client, once)
		if err != nil {
			t.Fatalf("%q\nformats to %q\nwhich does not parse: %v", data, once, err)
		}
		twice, err := codec.Append(nil, again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q\nformats to %q\nand then to %q (%v)", data, once, twice, err)
		}
	})
}

func FuzzParseClient(f *testing.F) { fuzzParser(f, true) }

func FuzzParseServer(f *testing.F) { fuzzParser(f, false) }

func FuzzNegotiate(f *testing.F) {
	f.Add("com.mongodb.realm-query-sync#14")
	f.Add("com.mongodb.realm-sync/2-7")
	f.Fuzz(func(t *testing.T, offer string) {
		token, codec, err := Negotiate([]string{offer})
		if err != nil {
			return
		}
		_, again, err := Negotiate([]string{token})
		if err != nil || again != codec {
			t.Fatalf("%q chose %q %+v, which chooses %+v (%v)", offer, token, codec, again, err)
		}
	})
}
