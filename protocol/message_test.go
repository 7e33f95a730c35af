package protocol

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
)

var (
	flexible  = Codec{Version: MaxVersion, Flexible: true}
	partition = Codec{Version: MaxVersion}
)

func flexibleAt(version int) Codec  { return Codec{Version: version, Flexible: true} }
func partitionAt(version int) Codec { return Codec{Version: version} }

// messages holds one or more of every message in every layout.
var messages = []struct {
	name   string
	codec  Codec
	client bool
	m      Message
	wire   string
}{
	{"bind partition", partition, true, &Bind{Session: 1, Partition: `"foo"`, NeedIdent: true}, "bind 1 5 0 1 0\n\"foo\""},
	{"bind partition with token", partitionAt(2), true, &Bind{Session: 9, Partition: `null`, Token: "abc", Subserver: true}, "bind 9 4 3 0 1\nnullabc"},
	{"bind flexible", flexible, true, &Bind{Session: 7}, "bind 7 37 0 0 0\n{\"schemaVersion\":0,\"sessionReason\":0}"},
	{"bind migrated", flexible, true,
		&Bind{Session: 3, Flexible: FlexibleBind{MigratedPartition: `"part-1"`, Reason: ReasonClientReset}},
		"bind 3 70 0 0 0\n{\"migratedPartition\":\"\\\"part-1\\\"\",\"schemaVersion\":0,\"sessionReason\":1}"},
	{"bind version 10", flexibleAt(10), true, &Bind{Session: 3, NeedIdent: true}, "bind 3 19 0 1 0\n{\"sessionReason\":0}"},
	{"bind version 9", flexibleAt(9), true, &Bind{Session: 3, Flexible: FlexibleBind{MigratedPartition: "1"}}, "bind 3 25 0 0 0\n{\"migratedPartition\":\"1\"}"},
	{"bind version 8", flexibleAt(8), true, &Bind{Session: 3}, "bind 3 0 0 0 0\n"},
	{"bind version 3", flexibleAt(3), true, &Bind{Session: 3}, "bind 3 0 0 0 0\n"},
	{"client ident partition", partition, true,
		&ClientIdent{Session: 2, File: 2, Salt: 6218463210987654321, DownloadServer: 5, DownloadClient: 8, LatestServer: 5, LatestSalt: 7000000000000000005},
		"ident 2 2 6218463210987654321 5 8 5 7000000000000000005\n"},
	{"client ident flexible", flexible, true,
		&ClientIdent{Session: 1, File: 3, Salt: 1003, DownloadServer: 5, LatestServer: 5, LatestSalt: 9, QueryVersion: 1, Query: `{"Dog":"(TRUEPREDICATE)"}`},
		"ident 1 3 1003 5 0 5 9 1 25\n{\"Dog\":\"(TRUEPREDICATE)\"}"},
	{"query", flexible, true, &Query{Session: 1, Version: 4, Body: "{}"}, "query 1 4 2\n{}"},
	{"upload without entries", partition, true, &Upload{Session: 1, ProgressClient: 6, ProgressServer: 3, LockedServer: 2}, "upload 1 0 0 0 6 3 2\n"},
	{"upload", flexible, true,
		&Upload{Session: 1, ProgressClient: 8, ProgressServer: 4, LockedServer: 4, Entries: []UploadEntry{
			{ClientVersion: 7, ServerVersion: 3, Timestamp: 300000003000, Changeset: []byte("ab")},
			{ClientVersion: 8, ServerVersion: 4, Timestamp: 300000003001, Origin: 5, Changeset: []byte("c d")},
		}}, "upload 1 0 47 0 8 4 4\n7 3 300000003000 0 2 ab8 4 300000003001 5 3 c d"},
	{"mark", flexible, true, &Mark{Session: 1, Request: 12}, "mark 1 12\n"},
	{"mark answer", flexible, false, &Mark{Session: 1, Request: 12}, "mark 1 12\n"},
	{"ping", flexible, true, &Ping{Timestamp: 2518588, RTT: 12}, "ping 2518588 12\n"},
	{"unbind", partition, true, &Unbind{Session: 1}, "unbind 1\n"},
	{"client error", flexible, true, &ClientError{Session: 4, Code: BadChangeset, Message: `a "b" <c>`}, "json_error 212 25 4\n{\"message\":\"a \\\"b\\\" <c>\"}"},
	{"test command", flexible, true, &TestCommand{Session: 1, Request: 2, Body: `{"command":"X"}`}, "test_command 1 2 15\n{\"command\":\"X\"}"},
	{"refresh", partitionAt(2), true, &Refresh{Session: 1, Token: "abc"}, "refresh 1 3\nabc"},
	{"alloc request", partitionAt(2), true, &AllocRequest{Session: 1}, "alloc 1\n"},
	{"state request", partitionAt(2), true,
		&StateRequest{Session: 1, PartialVersion: 2, PartialSalt: 3, Offset: 4, NeedRecent: true, MinFileFormat: 5, MaxFileFormat: 6, MinHistorySchema: 7, MaxHistorySchema: 8},
		"state_request 1 2 3 4 1 5 6 7 8\n"},
	{"client version request", partitionAt(2), true, &ClientVersionRequest{Session: 1, File: 2, Salt: 3}, "client_version_request 1 2 3\n"},
	{"transact", partitionAt(2), true, &Transact{Session: 1, ClientVersion: 2, ServerVersion: 3, Changeset: []byte("abc")}, "transact 1 2 3 3\nabc"},

	{"server ident", flexible, false, &ServerIdent{Session: 1, File: 2, Salt: 6218463210987654321}, "ident 1 2 6218463210987654321\n"},
	{"download partition", partition, false,
		&Download{Session: 1, Progress: Progress{4, 3, 4, 7000000000000000004, 6, 3}, Downloadable: 17, Entries: []DownloadEntry{
			{ServerVersion: 4, ClientVersion: 3, Timestamp: 300000002000, Origin: 3, OriginalSize: 9, Changeset: []byte("ab")}}},
		"download 1 4 3 4 7000000000000000004 6 3 17 0 25 0\n4 3 300000002000 3 9 2 ab"},
	{"download flexible", flexible, false,
		&Download{Session: 1, Progress: Progress{3, 5, 3, 7, 11, 2}, QueryVersion: 1, Batch: MoreToCome, Estimate: 0.3333},
		"download 1 3 5 3 7 11 2 1 0 0.3333 0 0 0\n"},
	{"download steady", flexible, false,
		&Download{Session: 1, Progress: Progress{3, 5, 3, 7, 11, 2}, QueryVersion: 1, Batch: SteadyState, Estimate: 1},
		"download 1 3 5 3 7 11 2 1 2 1 0 0 0\n"},
	{"download version 13", flexibleAt(13), false,
		&Download{Session: 1, Progress: Progress{3, 5, 3, 7, 11, 2}, QueryVersion: 1, Batch: LastInBatch, Estimate: 0.5},
		"download 1 3 5 3 7 11 2 1 1 0.5 0 0 0\n"},
	{"download version 11", flexibleAt(11), false,
		&Download{Session: 1, Progress: Progress{3, 5, 3, 7, 11, 2}, QueryVersion: 1, Batch: MoreToCome},
		"download 1 3 5 3 7 11 2 1 0 0 0 0 0\n"},
	{"unbound", partition, false, &Unbound{Session: 1}, "unbound 1\n"},
	{"error", partitionAt(3), false, &Error{Session: 1, Code: OtherSessionError, Message: "hello", TryAgain: true}, "error 201 5 1 1\nhello"},
	{"json error of the connection", flexible, false,
		&JSONError{Code: ConnectionClosed, Message: "server restarting", TryAgain: true, Action: ActionTransient, Backoff: &Backoff{3, 60, 2}},
		"json_error 100 206 0\n" + `{"action":"Transient","backoffIntervalSec":3,"backoffMaxDelaySec":60,"backoffMultiplier":2,"isRecoveryModeDisabled":false,"logURL":"","message":"server restarting","shouldClientReset":false,"tryAgain":true}`},
	{"json error 231", flexible, false,
		&JSONError{Session: 1, Code: CompensatingWrite, Message: "write not allowed, reverted", TryAgain: true, Action: ActionWarning,
			CompensatingWriteServerVersion: 5, RejectedClientVersion: 19,
			RejectedUpdates: []RejectedUpdate{{"Dog", changeset.IntKey(9), "outside the current query view"}}},
		"json_error 231 297 1\n" + `{"action":"Warning","compensatingWriteServerVersion":5,"isRecoveryModeDisabled":false,"logURL":"","message":"write not allowed, reverted","rejectedClientVersion":19,"rejectedUpdates":[{"pk":"AQk=","reason":"outside the current query view","table":"Dog"}],"shouldClientReset":false,"tryAgain":true}`},
	{"json error 232", partition, false,
		&JSONError{Session: 1, Code: MigrateToFLX, Action: ActionMigrateToFLX, PartitionQuery: `part == "a"`},
		"json_error 232 157 1\n" + `{"action":"MigrateToFLX","isRecoveryModeDisabled":false,"logURL":"","message":"","partitionQuery":"part == \"a\"","shouldClientReset":false,"tryAgain":false}`},
	{"json error 236", flexible, false,
		&JSONError{Session: 1, Code: SchemaVersionChanged, TryAgain: true, Action: ActionMigrateSchema},
		"json_error 236 150 1\n" + `{"action":"MigrateSchema","isRecoveryModeDisabled":false,"logURL":"","message":"","previousSchemaVersion":0,"shouldClientReset":false,"tryAgain":true}`},
	{"query error", flexible, false, &QueryError{Session: 2, Code: BadQuery, Version: 84, Message: "né"}, "query_error 226 3 2 84\nné"},
	{"log message", flexible, false, &LogMessage{CorrelationID: "65f0", Level: "info", Text: "connected"}, "log_message 0 49\n" + `{"co_id":"65f0","level":"info","msg":"connected"}`},
	{"pong", flexible, false, &Pong{Timestamp: -5}, "pong -5\n"},
	{"test command answer", flexible, false, &TestCommand{Session: 1, Request: 2, Body: `{}`}, "test_command 1 2 2\n{}"},
	{"alloc", partitionAt(2), false, &Alloc{Session: 1, File: 3}, "alloc 1 3\n"},
	{"state", partitionAt(2), false, &State{Session: 1, Version: 2, Salt: 3, EndOffset: 5, MaxOffset: 6, Segments: [][]byte{[]byte("ab"), []byte("c")}},
		"state 1 2 3 0 5 6 11\n\x00\x00\x00\x02ab\x00\x00\x00\x01c"},
	{"client version", partitionAt(2), false, &ClientVersion{Session: 1, ClientVersion: 2}, "client_version 1 2\n"},
	{"transact result", partitionAt(2), false, &TransactResult{Session: 1, Status: 3, Version: 2, Salt: 5, Timestamp: 6, Origin: 7, Substitutions: []byte("x")},
		"transact 1 3 2 5 6 7 1\nx"},
}

func parseAs(c Codec, client bool, data []byte) (Message, error) {
	if client {
		return c.ParseClient(data)
	}
	return c.ParseServer(data)
}

func TestEveryMessage(t *testing.T) {
	covered := make(map[string]bool)
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.codec.Append([]byte("before"), tt.m)
			if err != nil {
				t.Fatalf("format: %v", err)
			}
			if string(got) != "before"+tt.wire {
				t.Errorf("format got\n%q, want\n%q", got, "before"+tt.wire)
			}
			m, err := parseAs(tt.codec, tt.client, []byte(tt.wire))
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if !reflect.DeepEqual(m, tt.m) {
				t.Errorf("parse got\n%+v, want\n%+v", m, tt.m)
			}
			// Every cut of the message is refused, and so is one byte more.
			for n := range len(tt.wire) {
				if m, err := parseAs(tt.codec, tt.client, []byte(tt.wire[:n])); err == nil {
					t.Errorf("cut to %q it still parses: %+v", tt.wire[:n], m)
				}
			}
			if m, err := parseAs(tt.codec, tt.client, []byte(tt.wire+"\n")); err == nil {
				t.Errorf("with a byte more it still parses: %+v", m)
			}
		})
		covered[key(tt.client, tt.m.Keyword())] = true
	}
	for keyword := range clientLayouts {
		if !covered[key(true, keyword)] {
			t.Errorf("no test of the client's %s", keyword)
		}
	}
	for keyword := range serverLayouts {
		if !covered[key(false, keyword)] {
			t.Errorf("no test of the server's %s", keyword)
		}
	}
}

func key(client bool, keyword string) string {
	if client {
		return "client " + keyword
	}
	return "server " + keyword
}

func TestSteadyStateBefore14IsTheLastOfABatch(t *testing.T) {
	m := &Download{Session: 1, Progress: Progress{3, 5, 3, 7, 11, 2}, QueryVersion: 1, Batch: SteadyState, Estimate: 1}
	for version, want := range map[int]string{
		14: "download 1 3 5 3 7 11 2 1 2 1 0 0 0\n",
		13: "download 1 3 5 3 7 11 2 1 1 1 0 0 0\n",
		12: "download 1 3 5 3 7 11 2 1 1 1 0 0 0\n",
		11: "download 1 3 5 3 7 11 2 1 1 0 0 0 0\n",
		3:  "download 1 3 5 3 7 11 2 1 1 0 0 0 0\n",
	} {
		got, err := flexibleAt(version).Append(nil, m)
		if err != nil || string(got) != want {
			t.Errorf("version %d: got %q (%v), want %q", version, got, err, want)
		}
	}
}

func TestErrorsBefore4AreWrittenAsError(t *testing.T) {
	got, err := partitionAt(3).Append(nil, NewError(1, BadClientFile, "start over"))
	if want := "error 217 10 0 1\nstart over"; err != nil || string(got) != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// An older client's BIND, and that of a client which speaks version 14 whatever
// was agreed.
func TestBindAcceptsWhatOtherVersionsSay(t *testing.T) {
	want := FlexibleBind{SchemaVersion: 2, Reason: ReasonClientReset}
	for version := MinVersion; version <= MaxVersion; version++ {
		m, err := flexibleAt(version).ParseClient([]byte("bind 1 37 0 1 0\n" + `{"schemaVersion":2,"sessionReason":1}`))
		if err != nil {
			t.Errorf("version %d: %v", version, err)
			continue
		}
		if got := m.(*Bind).Flexible; got != want {
			t.Errorf("version %d: got %+v, want %+v", version, got, want)
		}
		if _, err := flexibleAt(version).ParseClient([]byte("bind 1 0 0 1 0\n")); err != nil {
			t.Errorf("version %d without data: %v", version, err)
		}
	}
	if _, err := flexibleAt(7).ParseClient([]byte("bind 1 5 0 1 0\n/path")); err != nil {
		t.Errorf("a path before version 8: %v", err)
	}
}

func TestMalformedMessages(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codec  Codec
		client bool
		wire   string
		code   ErrorCode
		field  string
	}{
		{"nothing", flexible, true, "", UnknownMessage, ""},
		{"unknown keyword", flexible, true, "bogus 1 2\n", UnknownMessage, ""},
		{"keyword in capitals", flexible, true, "MARK 1 1\n", UnknownMessage, ""},
		{"server's keyword from a client", flexible, true, "download 1\n", UnknownMessage, ""},
		{"query in partition mode", partition, true, "query 1 1 2\n{}", UnknownMessage, ""},
		{"log message before version 10", partitionAt(9), false, "log_message 0 2\n{}", UnknownMessage, ""},
		{"json error before version 4", partitionAt(3), false, "json_error 200 2 1\n{}", UnknownMessage, ""},
		{"no end of header", flexible, true, "mark 1 1", BadSyntax, "header"},
		{"header too long", flexible, true, "mark 1 " + strings.Repeat("1", maxHeader) + "\n", BadSyntax, "header"},
		{"carriage return", flexible, true, "mark 1 1\r\n", BadSyntax, "request ident"},
		{"two spaces", flexible, true, "mark 1  1\n", BadSyntax, "request ident"},
		{"blank at the end", flexible, true, "mark 1 1 \n", BadSyntax, "header"},
		{"plus sign", flexible, true, "mark 1 +1\n", BadSyntax, "request ident"},
		{"minus sign", flexible, true, "mark 1 -1\n", BadSyntax, "request ident"},
		{"overflow", flexible, true, "mark 1 9223372036854775808\n", BadSyntax, "request ident"},
		{"too few fields", flexible, true, "mark 1\n", BadSyntax, "request ident"},
		{"too many fields", flexible, true, "mark 1 1 1\n", BadSyntax, "header"},
		{"session 0", flexible, true, "mark 0 1\n", BadSyntax, "session ident"},
		{"body where none is", flexible, true, "mark 1 1\nx", BadSyntax, "body"},
		{"size beyond the message", flexible, true, "query 1 1 9223372036854775807\n{}", BadSyntax, "query"},
		{"data is not JSON", flexible, true, "bind 1 3 0 1 0\nfoo", BadSyntax, "data"},
		{"negative schema version", flexible, true, "bind 1 20 0 1 0\n" + `{"schemaVersion":-1}`, BadSyntax, "data"},
		{"upload larger than announced", flexible, true, "upload 1 0 3 0 6 3 2\nabcd", BadChangesetHeaderSyntax, "client version"},
		{"upload shorter than announced", flexible, true, "upload 1 0 3 0 6 3 2\nab", BadSyntax, "body"},
		{"upload above the limit", Codec{Version: 14, MaxBody: 100}, true, "upload 1 0 101 0 6 3 2\n" + strings.Repeat("x", 101), BadSyntax, "uncompressed size"},
		{"entry without the space", flexible, true, "upload 1 0 11 0 6 3 2\n7 3 1 0 1\nab", BadChangesetHeaderSyntax, "changeset size"},
		{"entry with a letter", flexible, true, "upload 1 0 12 0 6 3 2\n7 x 1 0 1 ab", BadChangesetHeaderSyntax, "server version"},
		{"entry overruns", flexible, true, "upload 1 0 12 0 6 3 2\n7 3 1 0 3 ab", BadChangesetSize, "changeset size"},
		{"no zlib stream", flexible, true, "upload 1 1 2000 3 6 3 2\nabc", BadDecompression, "compressed body"},
		{"small zlib window", flexible, true, "upload 1 1 2000 3 6 3 2\n\x68\x81\x00", BadDecompression, "compressed body"},
		{"bomb by its claim", flexible, true, "upload 1 1 100000000 3 6 3 2\nx\x9c\x03", BadDecompression, "compressed body"},
		{"download with batch state 3", flexible, false, "download 1 3 5 3 7 11 2 1 3 1 0 0 0\n", BadSyntax, "batch state"},
		{"estimate above 1", flexible, false, "download 1 3 5 3 7 11 2 1 2 1.5 0 0 0\n", BadSyntax, "progress estimate"},
		{"estimate not a number", flexible, false, "download 1 3 5 3 7 11 2 1 2 nan 0 0 0\n", BadSyntax, "progress estimate"},
		{"error lacks a key", flexible, false, sized("json_error 200 % 1", `{"action":"Transient","isRecoveryModeDisabled":false,"message":"m","shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"error with a text for a boolean", flexible, false, sized("json_error 200 % 1", `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","shouldClientReset":false,"tryAgain":"yes"}`), BadSyntax, "body"},
		{"back-off without a multiplier", flexible, false, sized("json_error 200 % 1", `{"action":"","backoffIntervalSec":3,"backoffMaxDelaySec":60,"isRecoveryModeDisabled":false,"logURL":"","message":"","shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"232 without its query", flexible, false, sized("json_error 232 % 1", `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"236 without its version", flexible, false, sized("json_error 236 % 1", `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"rejected update without its client version", flexible, false, sized("json_error 231 % 1", `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","rejectedUpdates":[{"pk":"AQk=","reason":"r","table":"t"}],"shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"rejected update without a table", flexible, false, sized("json_error 231 % 1", `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","rejectedClientVersion":1,"rejectedUpdates":[{"pk":"AQk=","reason":"r"}],"shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"rejected update with a bad key", flexible, false, sized("json_error 231 % 1", `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","rejectedClientVersion":1,"rejectedUpdates":[{"pk":"AQk","reason":"r","table":"t"}],"shouldClientReset":false,"tryAgain":true}`), BadSyntax, "body"},
		{"log level", flexible, false, sized("log_message 0 %", `{"level":"loud","msg":"x!"}`), BadSyntax, "body"},
		{"client error without JSON", flexible, true, sized("json_error 212 % 1", `oops`), BadSyntax, "body"},
		{"transact status", partition, false, "transact 1 4 2 5 6 7 0\n", BadSyntax, "status"},
		{"segment overruns", partition, false, "state 1 2 3 0 5 6 6\n\x00\x00\x00\x03ab", BadSyntax, "segment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parseAs(tt.codec, tt.client, []byte(tt.wire))
			var got *SyntaxError
			if !errors.As(err, &got) {
				t.Fatalf("got %+v, %v; want a SyntaxError", m, err)
			}
			if got.Code != tt.code || got.Field != tt.field {
				t.Errorf("got code %v field %q (%v), want %v %q", got.Code, got.Field, got, tt.code, tt.field)
			}
		})
	}
}

// sized makes a message of a header, with % for the body's size, and a body.
func sized(header, body string) string {
	return strings.Replace(header, "%", strconv.Itoa(len(body)), 1) + "\n" + body
}

func TestAppendRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		codec Codec
		m     Message
		kills bool
	}{
		{"salt 0", flexible, &ServerIdent{Session: 1, File: 2}, false},
		{"negative salt", flexible, &ServerIdent{Session: 1, File: 2, Salt: -4}, false},
		{"the server's own ident", flexible, &ServerIdent{Session: 1, File: 1, Salt: 4}, false},
		{"session 0", flexible, &Mark{Request: 1}, false},
		{"negative version", flexible, &Mark{Session: 1, Request: -1}, false},
		{"download with salt 0", flexible, &Download{Session: 1}, false},
		{"download with origin 0", flexible, &Download{Session: 1, Progress: Progress{LatestSalt: 1}, Entries: []DownloadEntry{{ServerVersion: 1}}}, false},
		{"download with version 0", flexible, &Download{Session: 1, Progress: Progress{LatestSalt: 1}, Entries: []DownloadEntry{{Origin: 1}}}, false},
		{"estimate above 1", flexible, &Download{Session: 1, Progress: Progress{LatestSalt: 1}, Estimate: 2}, false},
		{"query error in partition mode", partition, &QueryError{Session: 1, Code: BadQuery}, false},
		{"log message before version 10", flexibleAt(9), &LogMessage{Level: "info"}, false},
		{"log message of unknown level", flexible, &LogMessage{Level: "notice"}, false},
		{"connection error with a session", flexible, NewError(1, SwitchToPBS, ""), false},
		{"session error without one", flexible, NewError(0, BadClientFile, ""), false},
		{"unknown code", flexible, NewError(1, 299, ""), false},
		{"unknown code of the connection", flexible, NewError(0, 150, ""), false},
		{"231 without a version", flexible, NewError(1, CompensatingWrite, ""), true},
		{"231 with a key of another type", flexible, &JSONError{Session: 1, Code: CompensatingWrite, CompensatingWriteServerVersion: 1, RejectedClientVersion: 1,
			RejectedUpdates: []RejectedUpdate{{Key: changeset.Key{Type: changeset.GlobalKey, Str: "0123456789abcdef"}}}}, true},
		{"rejected updates without a client version", flexible, &JSONError{Session: 1, Code: WriteNotAllowed, RejectedUpdates: []RejectedUpdate{{}}}, false},
		{"232 without a query", partition, NewError(1, MigrateToFLX, ""), false},
		{"232 in flexible mode", flexible, &JSONError{Session: 1, Code: MigrateToFLX, PartitionQuery: "a == 1"}, true},
		{"its action with another code", partition, &JSONError{Session: 1, Code: OtherSessionError, Action: ActionMigrateToFLX}, true},
		{"234 in partition mode", partition, NewError(1, RevertToPBS, ""), false},
		{"multiplier 0", flexible, &JSONError{Session: 1, Code: SessionClosed, Backoff: &Backoff{Seconds: 1, MaxSeconds: 1}}, false},
		{"upload with a negative timestamp", flexible, &Upload{Session: 1, Entries: []UploadEntry{{Timestamp: -1}}}, false},
		{"transact status 0", partition, &TransactResult{Session: 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.codec.Append([]byte("x"), tt.m)
			var refused *FormatError
			if !errors.As(err, &refused) || string(got) != "x" {
				t.Fatalf("got %q, %v; want it refused", got, err)
			}
			if errors.Is(err, ErrKillsClient) != tt.kills {
				t.Errorf("%v: kills the client: got %v, want %v", err, !tt.kills, tt.kills)
			}
		})
	}
}

// Trap 1: a code that ends the client's process cannot be written, by either
// error message, in any version.
func TestTrap1KillingCodesCannotBeWritten(t *testing.T) {
	killing := map[ErrorCode]bool{104: true, 202: true, 203: true, 205: true, 207: true, 214: true, 215: true, 218: true, 219: true, 220: true, 221: true, 224: true}
	for code, info := range Errors {
		if info.Kills != killing[code] {
			t.Errorf("%v: kills: got %v, want %v", code, info.Kills, killing[code])
		}
		delete(killing, code)
		if !info.Kills {
			if info.Action == "" || info.Name == "" {
				t.Errorf("%v has no recommended action or no name", code)
			}
			continue
		}
		session := int64(1)
		if info.Level == ConnectionLevel {
			session = 0
		}
		for version := MinVersion; version <= MaxVersion; version++ {
			for _, m := range []Message{NewError(session, code, ""), &Error{Session: session, Code: code}} {
				if got, err := flexibleAt(version).Append(nil, m); !errors.Is(err, ErrKillsClient) {
					t.Errorf("version %d, %T %v: got %q, %v", version, m, code, got, err)
				}
			}
		}
	}
	for code := range killing {
		t.Errorf("%v is not in the table", code)
	}
}

// Trap 6: whatever an error leaves out, its six mandatory keys are written.
func TestTrap6MandatoryKeysAreAlwaysWritten(t *testing.T) {
	got, err := flexible.Append(nil, &JSONError{Session: 1, Code: SessionClosed})
	want := "json_error 200 112 1\n" + `{"action":"","isRecoveryModeDisabled":false,"logURL":"","message":"","shouldClientReset":false,"tryAgain":false}`
	if err != nil || string(got) != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func TestCompressedBodies(t *testing.T) {
	random := make([]byte, 5000)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	for _, tt := range []struct {
		name       string
		changeset  []byte
		compressed bool
	}{
		{"small", bytes.Repeat([]byte("a"), 900), false},
		{"large", bytes.Repeat([]byte("abc"), 100_000), true},
		{"incompressible", random, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := &Upload{Session: 1, ProgressClient: 3, Entries: []UploadEntry{{ClientVersion: 3, Changeset: tt.changeset}}}
			down := &Download{Session: 1, Progress: Progress{LatestSalt: 1}, Batch: SteadyState, Estimate: 1,
				Entries: []DownloadEntry{{ServerVersion: 1, Origin: 1, OriginalSize: int64(len(tt.changeset)), Changeset: tt.changeset}}}
			for _, m := range []Message{up, down} {
				data, err := flexible.Append(nil, m)
				if err != nil {
					t.Fatal(err)
				}
				if isCompressed(data) != tt.compressed {
					t.Errorf("%s compressed: got %v, want %v", m.Keyword(), !tt.compressed, tt.compressed)
				}
				got, err := parseAs(flexible, m == Message(up), data)
				if err != nil || !reflect.DeepEqual(got, m) {
					t.Errorf("%s: got %.100v (%v)", m.Keyword(), got, err)
				}
			}
		})
	}
}

func TestDamagedStreams(t *testing.T) {
	body := bytes.Repeat([]byte("1 0 0 0 1 x"), 1000)
	stream := deflate(body)
	if got, err := inflate(stream, len(body)); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("inflate: %v", err)
	}
	damaged := bytes.Clone(stream)
	damaged[len(damaged)-1] ^= 1
	for name, tt := range map[string]struct {
		stream []byte
		size   int
	}{
		"announced too small": {stream, len(body) - 1},
		"announced too large": {stream, len(body) + 1},
		"announced as empty":  {stream, 0},
		"checksum":            {damaged, len(body)},
		"cut":                 {stream[:len(stream)-1], len(body)},
		"a byte follows":      {append(bytes.Clone(stream), 0), len(body)},
		"no stream":           {nil, 0},
	} {
		if got, err := inflate(tt.stream, tt.size); err == nil {
			t.Errorf("%s: got %d bytes, want an error", name, len(got))
		}
	}
}

func TestTimestamps(t *testing.T) {
	at := time.Date(2015, 1, 1, 0, 0, 1, 5e6, time.UTC)
	if got := Timestamp(at); got != 1005 {
		t.Errorf("Timestamp: got %d, want 1005", got)
	}
	if got := TimestampTime(1005); !got.Equal(at) {
		t.Errorf("TimestampTime: got %v, want %v", got, at)
	}
}
