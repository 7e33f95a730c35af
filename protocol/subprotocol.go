package protocol

import (
	"errors"
	"strconv"
	"strings"
)

// The prefixes of the WebSocket sub-protocol tokens. A token is a prefix, a
// separator ("#", or "/" in versions up to 7) and a version or a range of
// versions, "from-to".
const (
	PartitionPrefix = "com.mongodb.realm-sync"
	FlexiblePrefix  = "com.mongodb.realm-query-sync"
)

// ErrNoSubprotocol says that nothing a client offers is spoken here.
var ErrNoSubprotocol = errors.New("no sub-protocol offered that this server speaks")

// Negotiate chooses the highest version among the sub-protocol tokens that a
// client offers. The token is to be sent back; for a range it names one version
// of it. The error is ErrNoSubprotocol.
func Negotiate(offered []string) (token string, agreed Codec, err error) {
	for _, offer := range offered {
		offer = strings.TrimSpace(offer)
		o, ok := parseToken(offer)
		if !ok || o.from > MaxVersion || o.to < MinVersion {
			continue
		}
		version := min(o.to, MaxVersion)
		if version <= agreed.Version {
			continue
		}
		agreed = Codec{Version: version, Flexible: o.flexible}
		token = offer
		if o.from != o.to {
			token = Token(agreed)
		}
	}
	if token == "" {
		return "", Codec{}, ErrNoSubprotocol
	}
	return token, agreed, nil
}

// Token returns the sub-protocol token for a mode and version.
func Token(c Codec) string {
	prefix, separator := PartitionPrefix, "#"
	if c.Flexible {
		prefix = FlexiblePrefix
	}
	if c.Version < versionBindJSON {
		separator = "/"
	}
	return prefix + separator + strconv.Itoa(c.Version)
}

// Offer returns the tokens that a client offers: every version of the mode,
// the newest first.
func Offer(flexible bool) []string {
	prefix := PartitionPrefix
	if flexible {
		prefix = FlexiblePrefix
	}
	var tokens []string
	for v := MaxVersion; v >= MinVersion; v-- {
		tokens = append(tokens, prefix+"#"+strconv.Itoa(v))
	}
	return tokens
}

type tokenRange struct {
	flexible bool
	from, to int
}

func parseToken(token string) (tokenRange, bool) {
	var t tokenRange
	at := strings.LastIndexAny(token, "#/")
	if at < 0 {
		return t, false
	}
	switch token[:at] {
	case PartitionPrefix:
	case FlexiblePrefix:
		t.flexible = true
	default:
		return t, false
	}
	from, to, isRange := strings.Cut(token[at+1:], "-")
	if !isRange {
		to = from
	}
	low, okLow := parseDigits([]byte(from))
	high, okHigh := parseDigits([]byte(to))
	const highest = 1 << 30
	if !okLow || !okHigh || low > high || high > highest {
		return t, false
	}
	t.from, t.to = int(low), int(high)
	return t, true
}

// CloseCode is a WebSocket close code. Clients give some of them a meaning of
// their own; codes that are not listed here are never to be sent: some clients
// hang on them.
type CloseCode int

// The close codes that a server may send. 1000 is not among them: clients
// ignore it and go on reading.
const (
	CloseMessageTooBig CloseCode = 1009 // the client resets every file of the connection
	CloseServerFault   CloseCode = 1011 // reported to the app; reconnects with back-off
	CloseAuthExpired   CloseCode = 4001 // token expired or unknown: the client fetches a new one and returns
	CloseForbidden     CloseCode = 4002 // user disabled or deleted: the client logs the user out
	CloseMoved         CloseCode = 4003 // the client asks for the location again
)
