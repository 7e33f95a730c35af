package session

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
)

func TestUploadChecks(t *testing.T) {
	type c = history.Cursor
	entry := func(client, server int64) protocol.UploadEntry {
		return protocol.UploadEntry{ClientVersion: client, ServerVersion: server}
	}
	const ok = 0
	const sentTo = 3072
	for _, tt := range []struct {
		name string
		last lastUpload
		up   protocol.Upload
		code protocol.ErrorCode
	}{
		{"first of a new file", lastUpload{}, protocol.Upload{ProgressClient: 5, ProgressServer: 1025, LockedServer: 1025, Entries: []protocol.UploadEntry{entry(2, 0), entry(3, 0)}}, ok},
		{"no entries", lastUpload{progress: c{Client: 5, Server: 1025}}, protocol.Upload{ProgressClient: 6, ProgressServer: 3072, LockedServer: 3072}, ok},
		{"limited by a query: server below what was downloaded", lastUpload{}, protocol.Upload{ProgressClient: 6, ProgressServer: 0, LockedServer: 1}, ok},
		{"after a reconnect, below what is stored", lastUpload{threshold: c{Client: 7, Server: 3072}}, protocol.Upload{ProgressClient: 6, ProgressServer: 1025, Entries: []protocol.UploadEntry{entry(6, 1025)}}, ok},
		{"progress goes back", lastUpload{progress: c{Client: 5, Server: 1025}}, protocol.Upload{ProgressClient: 4, ProgressServer: 1025}, protocol.BadClientVersion},
		{"entries do not rise", lastUpload{}, protocol.Upload{ProgressClient: 5, Entries: []protocol.UploadEntry{entry(3, 0), entry(3, 0)}}, protocol.BadClientVersion},
		{"entry not above the last progress", lastUpload{progress: c{Client: 5}}, protocol.Upload{ProgressClient: 6, Entries: []protocol.UploadEntry{entry(5, 0)}}, protocol.BadClientVersion},
		{"entry above the progress", lastUpload{}, protocol.Upload{ProgressClient: 5, Entries: []protocol.UploadEntry{entry(6, 0)}}, protocol.BadClientVersion},
		{"progress beyond what was sent", lastUpload{}, protocol.Upload{ProgressClient: 5, ProgressServer: 3073}, protocol.BadServerVersion},
		{"locked beyond what was sent", lastUpload{}, protocol.Upload{ProgressClient: 5, LockedServer: 3073}, protocol.BadServerVersion},
		{"base beyond what was sent", lastUpload{}, protocol.Upload{ProgressClient: 5, ProgressServer: 3072, Entries: []protocol.UploadEntry{entry(5, 4096)}}, protocol.BadServerVersion},
		{"locked goes back", lastUpload{locked: 2048}, protocol.Upload{ProgressClient: 5, LockedServer: 1024}, protocol.BadServerVersion},
		{"server without client", lastUpload{}, protocol.Upload{ProgressServer: 1024}, protocol.BadServerVersion},
		{"later by one, earlier by the other", lastUpload{progress: c{Client: 5, Server: 2048}}, protocol.Upload{ProgressClient: 6, ProgressServer: 1024}, protocol.BadServerVersion},
		{"the same against what is stored", lastUpload{threshold: c{Client: 5, Server: 2048}}, protocol.Upload{ProgressClient: 6, ProgressServer: 1024}, protocol.BadServerVersion},
		{"bases go back", lastUpload{}, protocol.Upload{ProgressClient: 5, ProgressServer: 2048, Entries: []protocol.UploadEntry{entry(3, 2048), entry(4, 1024)}}, protocol.BadServerVersion},
		{"base above the progress", lastUpload{}, protocol.Upload{ProgressClient: 5, ProgressServer: 1024, Entries: []protocol.UploadEntry{entry(3, 2048)}}, protocol.BadServerVersion},
		{"another's changeset", lastUpload{}, protocol.Upload{ProgressClient: 5, Entries: []protocol.UploadEntry{{ClientVersion: 3, Origin: 7}}}, protocol.BadOriginFileIdent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.last.check(&tt.up, sentTo)
			var got *sessionError
			if errors.As(err, &got); got != nil && got.code != tt.code || got == nil && tt.code != ok {
				t.Errorf("got %v, want code %v", err, tt.code)
			}
		})
	}
}

func TestMessageOrder(t *testing.T) {
	messages := []protocol.Message{
		&protocol.ClientIdent{}, &protocol.Query{}, &protocol.Upload{}, &protocol.Mark{},
		&protocol.ClientError{}, &protocol.Unbind{}, &protocol.TestCommand{},
	}
	for s, want := range map[state]map[string]bool{
		stateAllocating: {"unbind": true, "test_command": true},
		stateBound:      {"unbind": true, "test_command": true, "ident": true},
		stateActive:     {"unbind": true, "test_command": true, "query": true, "upload": true, "mark": true, "json_error": true},
		stateFailed:     {"unbind": true, "test_command": true, "query": true, "upload": true, "mark": true, "json_error": true, "ident": true},
		stateEnded:      {},
	} {
		for _, m := range messages {
			err := s.checkOrder(m)
			var refused *connectionError
			if got := err == nil; got != want[m.Keyword()] {
				t.Errorf("%s in state %s: got %v", m.Keyword(), s, err)
			} else if err != nil && (!errors.As(err, &refused) || refused.code != protocol.BadMessageOrder) {
				t.Errorf("%s in state %s: got %v, want 109", m.Keyword(), s, err)
			}
		}
	}
}

func TestWhatTheClientIsTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"rejection", fmt.Errorf("attach: %w", &history.Rejection{Code: 222, Message: "too old"}), "*session.sessionError 222 client_file_expired: too old"},
		{"session error", refuse(protocol.BadQuery, "no %s", "such"), "*session.sessionError 226 bad_query: no such"},
		{"connection error", &connectionError{protocol.BadMessageOrder, "x"}, "*session.connectionError 109 bad_message_order: x"},
		{"taken over elsewhere", fmt.Errorf("upload: %w", history.ErrDetached), "*errors.errorString connection gone"},
		{"hung up", errGone, "*errors.errorString connection gone"},
		{"shutdown", history.ErrClosed, "*session.connectionError 100 connection_closed: server is shutting down"},
		// What went wrong inside is for the log; the client gets no details.
		{"anything else", errors.New("no primary"), "*session.sessionError 201 other_session_error: internal error, please try again: no primary"},
	} {
		got := toldAs(tt.err)
		if text := fmt.Sprintf("%T %v", got, got); text != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, text, tt.want)
		}
	}
}

func TestPartitionFile(t *testing.T) {
	for text, want := range map[string]string{
		`"foo"`:                               "partition/string/foo",
		`"fo\u006f"`:                          "partition/string/foo",
		` "42" `:                              "partition/string/42",
		`{"$numberInt":"42"}`:                 "partition/long/42",
		`{"$numberLong": "42"}`:               "partition/long/42",
		`42`:                                  "partition/long/42",
		`{"$numberLong":"-7"}`:                "partition/long/-7",
		`null`:                                "partition/null",
		`{"$oid":"65F0000000000000000000aB"}`: "partition/objectId/65f0000000000000000000ab",
		`{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}}`: "partition/uuid/000102030405060708090a0b0c0d0e0f",
		`{"$uuid":"00010203-0405-0607-0809-0a0b0c0d0e0f"}`:                 "partition/uuid/000102030405060708090a0b0c0d0e0f",
	} {
		if got, err := partitionFile(text); err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", text, got, err, want)
		}
	}
	for _, text := range []string{``, `foo`, `"foo`, `"foo" "bar"`, `1.5`, `true`, `[]`, `{}`, `{"$oid":"65"}`, `{"$oid":5}`, `{"$numberLong":"x"}`,
		`{"$numberLong":"99999999999999999999"}`, `{"$binary":"AA=="}`, `{"$binary":{"base64":"AA==","subType":"04"}}`,
		`{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"00"}}`, `{"$uuid":"zz"}`, `{"$oid":"65f0","$uuid":""}`, `{"a":"b"}`} {
		if got, err := partitionFile(text); !errors.Is(err, errBadPartition) {
			t.Errorf("%s: got %q, %v; want it refused", text, got, err)
		}
	}
}

func TestInboxIsBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	q := newInbox()
	mark := item{m: &protocol.Mark{}, size: 10}
	for range inboxMessages {
		q.push(ctx, mark)
	}
	if q.tryPush(mark) {
		t.Error("took one more than it holds")
	}
	done := make(chan struct{})
	go func() { defer close(done); q.push(ctx, item{m: &protocol.Unbind{}, size: 1}) }()
	if it, ok := q.peek(); !ok || !reflect.DeepEqual(it, mark) {
		t.Errorf("got %+v", it)
	}
	q.take()
	<-done
	for range inboxMessages - 1 {
		q.take()
	}
	if it, _ := q.peek(); it.m == nil || it.m.Keyword() != "unbind" {
		t.Errorf("last came %+v", it)
	}
	q.take()
	// A message larger than the limit is taken, alone.
	large := item{m: &protocol.Upload{}, size: 2 * inboxBytes}
	q.push(ctx, large)
	if q.tryPush(mark) {
		t.Error("took one above the limit in bytes")
	}
	cancel()
	q.push(ctx, mark) // gives up
	q.take()
	if _, ok := q.peek(); ok || q.bytes != 0 {
		t.Errorf("left over: %d bytes", q.bytes)
	}
}
