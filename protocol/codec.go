package protocol

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// The protocol versions that a Codec speaks.
const (
	MinVersion = 2
	MaxVersion = 14
)

// Versions in which something began.
const (
	versionJSONError     = 4  // JSON_ERROR replaces ERROR
	versionBindJSON      = 8  // flexible BIND carries JSON
	versionMigrated      = 9  // migratedPartition in BIND
	versionLogMessage    = 10 // LOG_MESSAGE; sessionReason in BIND
	versionSchemaVersion = 11 // schemaVersion in BIND
	versionEstimate      = 12 // progress estimate in flexible DOWNLOADs
	versionBatchState    = 14 // steady state is a batch state of its own
)

// DefaultMaxBody is how large a message's body may be, inflated, when
// Codec.MaxBody is 0.
const DefaultMaxBody = 128 << 20

// maxHeader bounds the search for the end of a header: the longest legal one,
// a STATE_REQUEST, has nine numbers.
const maxHeader = 512

// Codec parses and formats the messages of one connection. It is a value
// without state and may be used by many goroutines.
type Codec struct {
	Version  int  // MinVersion … MaxVersion
	Flexible bool // flexible mode, else partition mode
	MaxBody  int  // bytes of an inflated body; 0 means DefaultMaxBody
}

func (c Codec) maxBody() int {
	if c.MaxBody > 0 {
		return c.MaxBody
	}
	return DefaultMaxBody
}

// layout is how one side's message of one keyword is read, and where it exists.
type layout struct {
	parse    func(*header) Message
	since    int  // first version that has it
	flexible bool // only in flexible mode
}

var clientLayouts = map[string]layout{
	"bind":                   {parse: parseBind},
	"ident":                  {parse: parseClientIdent},
	"query":                  {parse: parseQuery, flexible: true},
	"upload":                 {parse: parseUpload},
	"mark":                   {parse: parseMark},
	"ping":                   {parse: parsePing},
	"unbind":                 {parse: parseUnbind},
	"json_error":             {parse: parseClientError},
	"test_command":           {parse: parseTestCommand},
	"refresh":                {parse: parseRefresh},
	"alloc":                  {parse: parseAllocRequest},
	"state_request":          {parse: parseStateRequest},
	"client_version_request": {parse: parseClientVersionRequest},
	"transact":               {parse: parseTransact},
}

var serverLayouts = map[string]layout{
	"ident":          {parse: parseServerIdent},
	"download":       {parse: parseDownload},
	"mark":           {parse: parseMark},
	"unbound":        {parse: parseUnbound},
	"error":          {parse: parseError},
	"json_error":     {parse: parseJSONError, since: versionJSONError},
	"query_error":    {parse: parseQueryError, flexible: true},
	"log_message":    {parse: parseLogMessage, since: versionLogMessage},
	"pong":           {parse: parsePong},
	"test_command":   {parse: parseTestCommand},
	"alloc":          {parse: parseAlloc},
	"state":          {parse: parseState},
	"client_version": {parse: parseClientVersion},
	"transact":       {parse: parseTransactResult},
}

// ParseClient reads a message that a client sent. The error is a *SyntaxError.
func (c Codec) ParseClient(data []byte) (Message, error) { return c.parse(data, clientLayouts) }

// ParseServer reads a message that a server sent. The error is a *SyntaxError.
func (c Codec) ParseServer(data []byte) (Message, error) { return c.parse(data, serverLayouts) }

func (c Codec) parse(data []byte, layouts map[string]layout) (Message, error) {
	end := bytes.IndexByte(data[:min(len(data), maxHeader)], '\n')
	keyword := data[:max(end, 0)]
	if end < 0 {
		keyword = data[:min(len(data), maxHeader)]
	}
	var fields []byte
	if space := bytes.IndexByte(keyword, ' '); space >= 0 {
		keyword, fields = keyword[:space], keyword[space:]
	}
	l, ok := layouts[string(keyword)]
	if !ok || c.Version < l.since || l.flexible && !c.Flexible {
		return nil, &SyntaxError{Code: UnknownMessage, Keyword: printable(keyword), Reason: "unknown message"}
	}
	if end < 0 {
		return nil, &SyntaxError{Code: BadSyntax, Keyword: string(keyword), Field: "header", Reason: "does not end"}
	}
	h := &header{codec: c, keyword: string(keyword), fields: fields, body: data[end+1:]}
	m := l.parse(h)
	if h.err == nil && len(h.fields) > 0 {
		h.fail(BadSyntax, "header", "more fields than the message has")
	}
	if h.err == nil && len(h.body) > 0 {
		h.fail(BadSyntax, "body", fmt.Sprintf("%d bytes more than the header says", len(h.body)))
	}
	if h.err != nil {
		return nil, h.err
	}
	return m, nil
}

// Append appends the message to dst. It refuses, with a *FormatError, what the
// agreed version or mode does not have, numbers out of range, and what would
// end the client's process.
func (c Codec) Append(dst []byte, m Message) ([]byte, error) {
	w := &writer{codec: c, keyword: m.Keyword(), dst: append(dst, m.Keyword()...)}
	m.appendTo(w)
	if w.err != nil {
		return dst, w.err
	}
	return w.dst, nil
}

// printable shortens an unknown keyword to what an error message may show.
func printable(keyword []byte) string {
	const longest = 32
	text := strconv.QuoteToASCII(string(keyword[:min(len(keyword), longest)]))
	return text[1 : len(text)-1]
}

// header reads a message's header fields, then its body. After the first error
// it reads zeros.
type header struct {
	codec   Codec
	keyword string
	fields  []byte // what is left of the header, each field with its leading space
	body    []byte // what is left of the body
	err     *SyntaxError
}

func (h *header) fail(code ErrorCode, field, reason string) {
	if h.err == nil {
		h.err = &SyntaxError{Code: code, Keyword: h.keyword, Field: field, Reason: reason}
	}
}

// next returns the next field of the header, as text.
func (h *header) next(field string) []byte {
	if h.err != nil {
		return nil
	}
	if len(h.fields) == 0 {
		h.fail(BadSyntax, field, "missing")
		return nil
	}
	rest := h.fields[1:]
	end := bytes.IndexByte(rest, ' ')
	if end < 0 {
		end = len(rest)
	}
	text := rest[:end]
	h.fields = rest[end:]
	if len(text) == 0 {
		h.fail(BadSyntax, field, "empty")
	}
	return text
}

// number reads a field of 0 … 2^63-1.
func (h *header) number(field string) int64 {
	text := h.next(field)
	if h.err != nil {
		return 0
	}
	n, ok := parseDigits(text)
	if !ok {
		h.fail(BadSyntax, field, "not a number of 0 to 2^63-1")
	}
	return n
}

// signed reads a field that may have a minus sign.
func (h *header) signed(field string) int64 {
	text := h.next(field)
	if h.err != nil {
		return 0
	}
	digits, negative := bytes.CutPrefix(text, []byte("-"))
	n, ok := parseDigits(digits)
	if !ok {
		h.fail(BadSyntax, field, "not a signed 64-bit number")
	}
	if negative {
		return -n
	}
	return n
}

func (h *header) bool(field string) bool { return h.number(field) != 0 }

// session reads the ident of a session, which 0 is not.
func (h *header) session() int64 {
	n := h.number("session ident")
	if h.err == nil && n == 0 {
		h.fail(BadSyntax, "session ident", "is 0")
	}
	return n
}

// size reads a size in bytes. It may claim anything; take and inflate check it.
func (h *header) size(field string) int { return int(min(h.number(field), math.MaxInt)) }

// take returns the next n bytes of the body.
func (h *header) take(field string, n int) []byte {
	if h.err != nil {
		return nil
	}
	if n > len(h.body) {
		h.fail(BadSyntax, field, fmt.Sprintf("%d bytes, but %d are left of the message", n, len(h.body)))
		return nil
	}
	taken := h.body[:n]
	h.body = h.body[n:]
	return taken
}

// parseDigits reads decimal digits as a number of 0 … 2^63-1.
func parseDigits(text []byte) (int64, bool) {
	if len(text) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		digit := int64(c - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// writer writes a message's header and body. After the first error what it
// writes is thrown away.
type writer struct {
	codec   Codec
	keyword string
	dst     []byte
	err     *FormatError
}

func (w *writer) fail(field, reason string) {
	if w.err == nil {
		w.err = &FormatError{Keyword: w.keyword, Field: field, Reason: reason}
	}
}

func (w *writer) signed(n int64) { w.dst = strconv.AppendInt(append(w.dst, ' '), n, 10) }

func (w *writer) number(field string, n int64) {
	if n < 0 {
		w.fail(field, fmt.Sprintf("%d is negative", n))
	}
	w.signed(n)
}

// positive writes a number that may not be 0: idents and salts.
func (w *writer) positive(field string, n int64) {
	if n <= 0 {
		w.fail(field, fmt.Sprintf("%d is not positive", n))
	}
	w.signed(n)
}

func (w *writer) session(n int64) { w.positive("session ident", n) }

func (w *writer) size(n int) { w.signed(int64(n)) }

func (w *writer) bool(b bool) {
	if b {
		w.signed(1)
	} else {
		w.signed(0)
	}
}

func (w *writer) endHeader() { w.dst = append(w.dst, '\n') }

func (w *writer) text(s string) { w.dst = append(w.dst, s...) }

// since refuses the message in versions older than that.
func (w *writer) since(version int) {
	if w.codec.Version < version {
		w.fail("", fmt.Sprintf("not in protocol version %d", w.codec.Version))
	}
}

// onlyFlexible refuses the message in partition mode.
func (w *writer) onlyFlexible() {
	if !w.codec.Flexible {
		w.fail("", "not in partition mode")
	}
}
