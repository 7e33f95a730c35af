package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// recordedLine is one WebSocket message between an unmodified client and a stub
// server. What the client sent is evidence; what the stub sent only shows what
// the client took.
type recordedLine struct {
	file   string
	number int
	codec  Codec
	client bool
	data   []byte
}

// readRecorded reads testdata/recorded: lines of a connection's number and
// either "open TOKEN" or the sender (C or S) and the message, quoted.
func readRecorded(tb testing.TB) []recordedLine {
	tb.Helper()
	files, err := filepath.Glob("testdata/recorded/*.txt")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no recorded messages: %v", err)
	}
	var lines []recordedLine
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			tb.Fatal(err)
		}
		codecs := make(map[string]Codec)
		scanner := bufio.NewScanner(f)
		scanner.Buffer(nil, 1<<20)
		for n := 1; scanner.Scan(); n++ {
			conn, rest, _ := strings.Cut(scanner.Text(), " ")
			what, rest, _ := strings.Cut(rest, " ")
			if what == "open" {
				_, codec, err := Negotiate([]string{rest})
				if err != nil {
					tb.Fatalf("%s:%d: %v", file, n, err)
				}
				// The client speaks version 14 whatever was agreed, and so did the stub.
				codec.Version = MaxVersion
				codecs[conn] = codec
				continue
			}
			text, err := strconv.Unquote(rest)
			if err != nil {
				tb.Fatalf("%s:%d: %v", file, n, err)
			}
			lines = append(lines, recordedLine{filepath.Base(file), n, codecs[conn], what == "C", []byte(text)})
		}
		if err := scanner.Err(); err != nil {
			tb.Fatal(err)
		}
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return lines
}

// stubs lists what the stub server sent that this package would not write,
// by the message's beginning.
var stubs = map[string]string{
	"nonsense 1\n":           "unknown",  // not a message, on purpose
	"json_error 999 173 1\n": "refused",  // a code without a name
	"json_error 999 177 1\n": "refused",  // the same
	"json_error 235 196 1\n": "spelling", // previousSchemaVersion belongs to 236
	"json_error 201 174 1\n": "spelling", // these with blanks, keys in another order
	"json_error 201 172 1\n": "spelling",
	"json_error 206 178 1\n": "spelling",
	"json_error 212 177 1\n": "spelling",
	"json_error 201 170 1\n": "spelling",
	"json_error 213 173 1\n": "refused", // a code that means nothing
	"json_error 201 166 1\n": "spelling",
	"json_error 101 177 0\n": "spelling",
	"json_error 232 213 1\n": "spelling",
	"json_error 234 172 3\n": "spelling",
	"log_message 1 66\n":     "spelling",
	"log_message 0 66\n":     "spelling",
}

func TestRecordedMessagesRoundTrip(t *testing.T) {
	met := make(map[string]bool)
	counts := make(map[string]int)
	for _, line := range readRecorded(t) {
		where := fmt.Sprintf("%s:%d", line.file, line.number)
		parse := line.codec.ParseServer
		expect := ""
		if line.client {
			parse = line.codec.ParseClient
		} else {
			head, _, _ := strings.Cut(string(line.data), "\n")
			expect = stubs[head+"\n"]
			met[head+"\n"] = true
		}
		m, err := parse(line.data)
		if expect == "unknown" {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Code != UnknownMessage {
				t.Errorf("%s: got %v, want an unknown message", where, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: parse %.60q: %v", where, line.data, err)
			continue
		}
		again, err := line.codec.Append(nil, m)
		if expect == "refused" {
			var refused *FormatError
			if !errors.As(err, &refused) {
				t.Errorf("%s: formatting got %v, want it refused", where, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: format: %v", where, err)
			continue
		}
		counts[m.Keyword()]++
		if isCompressed(line.data) || isCompressed(again) || expect == "spelling" {
			// The same message, spelled otherwise: zlib streams differ from one
			// compressor to the next, and the stub compresses or not as told.
			m2, err := parse(again)
			if err != nil || !reflect.DeepEqual(withoutPreviousSchema(m), m2) {
				t.Errorf("%s: parsed again got %+v (%v), want %+v", where, m2, err, m)
			}
			continue
		}
		if string(again) != string(line.data) {
			t.Errorf("%s: got  %.200q\nwant %.200q", where, again, line.data)
		}
	}
	for stub := range stubs {
		if !met[stub] {
			t.Errorf("the recordings lack %q", stub)
		}
	}
	for _, keyword := range []string{"bind", "ident", "query", "upload", "download", "mark", "ping", "pong", "unbind", "unbound", "json_error", "error", "query_error", "log_message"} {
		if counts[keyword] == 0 {
			t.Errorf("no recorded %s was compared", keyword)
		}
	}
}

// isCompressed reports whether the message is an UPLOAD or a DOWNLOAD whose
// body is a zlib stream.
func isCompressed(data []byte) bool {
	head, body, _ := strings.Cut(string(data), "\n")
	return (strings.HasPrefix(head, "upload ") || strings.HasPrefix(head, "download ")) && strings.HasPrefix(body, "\x78")
}

func withoutPreviousSchema(m Message) Message {
	e, ok := m.(*JSONError)
	if !ok || e.Code == SchemaVersionChanged {
		return m
	}
	copied := *e
	copied.PreviousSchemaVersion = 0
	return &copied
}
