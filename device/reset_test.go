package device

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/protocol"
)

// schemaEntries is the schema as a bootstrap carries it.
func schemaEntries(version int64) string { return entry(version, 0, 1, dogs().Instructions()) }

// reset plays the server's part of a client reset up to the fresh copy's end.
// The fresh copy holds dog 7.
func (sc *scene) playReset(session int) {
	sc.t.Helper()
	text := func(format string) string { return strings.ReplaceAll(format, "S", fmt.Sprint(session)) }
	sc.connect()
	sc.socket.expect(text("bind S 37 0 1 0\n") + `{"schemaVersion":0,"sessionReason":1}`)
	sc.socket.send(text("ident S 9 999\n"))
	sc.socket.expect(text("ident S 9 999 0 0 0 0 0 2\n{}"))
	sc.socket.expect(text("mark S 1\n"))
	sc.socket.send(strings.Replace(download("1 5 0 5 1005 0 0 0 1", schemaEntries(5)), "download 1 ", text("download S "), 1))
	sc.socket.send(text("mark S 1\n"))
	sc.socket.expect(text("query S 1 25\n") + `{"Dog":"(TRUEPREDICATE)"}`)
	sc.socket.expect(text("mark S 2\n"))
	sc.socket.send(strings.Replace(download("1 6 0 6 1006 0 0 1 1", entry(6, 0, 1, dog(7))), "download 1 ", text("download S "), 1))
	sc.socket.send(text("mark S 2\n"))
	sc.socket.expect(text("unbind S\n"))
	sc.socket.send(text("unbound S\n"))
}

// resettable is a realm that resets by itself, with a complete subscription and
// a write that is not acknowledged.
func resettable(t *testing.T) *scene {
	t.Helper()
	sc := newScene(t, Options{}, Config{DiscardOnReset: true})
	sc.realm.Subscribe(map[string]string{"Dog": "TRUEPREDICATE"})
	sc.connect()
	hear[*protocol.Bind](sc.socket)
	sc.socket.send("ident 1 2 777\n")
	hear[*protocol.ClientIdent](sc.socket)
	sc.socket.expect("mark 1 1\n")
	sc.socket.send(download("1 1 0 1 1001 0 0 0 1", schemaEntries(1)))
	sc.socket.send("mark 1 1\n")
	for {
		if _, ok := sc.hearAny().(*protocol.Query); ok {
			break
		}
	}
	sc.socket.expect("mark 1 2\n")
	sc.socket.send(download("1 2 6 2 1002 6 0 1 1", entry(2, 6, 1, dog(1))))
	sc.socket.send("mark 1 2\n")
	if err := sc.realm.WaitSubscriptions(sc.within()); err != nil {
		t.Fatal(err)
	}
	sc.create(2)
	sc.hearChanges()
	return sc
}

// TestDiscardReset throws the local file away for a fresh copy.
func TestDiscardReset(t *testing.T) {
	sc := resettable(t)
	version := sc.realm.Version()
	sc.socket.send(jsonError(208, 1, "ClientReset", false, ""))
	sc.socket.expect("unbind 1\n")
	sc.playReset(2)
	sc.connect()
	sc.socket.expect("bind 3 37 0 0 0\n" + `{"schemaVersion":0,"sessionReason":1}`)
	sc.socket.expect("ident 3 9 999 6 0 6 1006 1 25\n" + `{"Dog":"(TRUEPREDICATE)"}`)
	sc.socket.expect("mark 3 2\n")
	if keys := sc.realm.Keys("Dog"); len(keys) != 1 || keys[0] != changeset.IntKey(7) {
		t.Errorf("the realm holds %v", keys)
	}
	sc.socket.send("download 3 6 0 6 1006 0 0 1 2 1 0 0 0\n")
	sc.socket.send("mark 3 2\n")
	if err := sc.realm.WaitDownload(withAnswer(sc, 3, 3)); err != nil {
		t.Fatal(err)
	}
	if len(sc.realm.Errors()) != 0 {
		t.Error("the app is told of", sc.realm.Errors())
	}
	// Versions go on, and so does the app.
	if v := sc.create(8); v <= version {
		t.Errorf("version %d after %d", v, version)
	}
	if u := sc.hearChanges(); len(u.Entries) != 1 || u.Entries[0].ServerVersion != 6 {
		t.Errorf("%+v", u)
	}
	sc.socket.send("download 3 7 18 7 1007 18 6 1 2 1 0 0 0\n")
	if err := sc.realm.WaitUpload(sc.within()); err != nil {
		t.Fatal(err)
	}
	// The reset is finished: another one is no cycle.
	sc.socket.send(jsonError(208, 3, "ClientReset", false, ""))
	for {
		if m, ok := sc.hearAny().(*protocol.Unbind); ok && m.Session == 3 {
			break
		}
	}
	sc.playReset(4)
}

// TestResetDropsWaitingSubscriptions: who waits for them is told, and their
// versions are not given again.
func TestResetDropsWaitingSubscriptions(t *testing.T) {
	sc := resettable(t)
	dropped := sc.realm.Subscribe(map[string]string{"Dog": "age > 1"})
	hear[*protocol.Query](sc.socket)
	sc.socket.expect("mark 1 3\n")
	sc.socket.send(jsonError(208, 1, "ClientReset", false, ""))
	sc.socket.expect("unbind 1\n")
	sc.playReset(2)
	sc.connect()
	hear[*protocol.Bind](sc.socket)
	if state, err := sc.realm.SubscriptionState(dropped); state != Superseded || err != nil {
		t.Errorf("the dropped set is %v, %v", state, err)
	}
	if next := sc.realm.Subscribe(map[string]string{"Dog": "age > 2"}); next <= dropped {
		t.Errorf("version %d is given after %d", next, dropped)
	}
}

// TestResetCycle: a reset that the server answers by another reset fails.
func TestResetCycle(t *testing.T) {
	sc := resettable(t)
	sc.socket.send(jsonError(208, 1, "ClientReset", false, ""))
	sc.socket.expect("unbind 1\n")
	sc.playReset(2)
	sc.connect()
	hear[*protocol.Bind](sc.socket)
	hear[*protocol.ClientIdent](sc.socket)
	sc.socket.send(jsonError(208, 3, "ClientReset", false, ""))
	if err := sc.failure(); !errors.Is(err, ErrResetFailed) {
		t.Errorf("the failure is %v", err)
	}
}

// TestResetFails for what is wrong with the fresh copy.
func TestResetFails(t *testing.T) {
	for _, tc := range []struct {
		name     string
		messages []string
		want     string
	}{
		{"error", []string{jsonError(206, 2, "ApplicationBug", false, "")}, "permission_denied"},
		{"schema", []string{
			strings.Replace(download("1 5 0 5 1005 0 0 0 1", entry(5, 0, 1, nil)), "download 1 ", "download 2 ", 1), "mark 2 1\n",
			strings.Replace(download("1 6 0 6 1006 0 0 1 1", entry(6, 0, 1, nil)), "download 1 ", "download 2 ", 1), "mark 2 2\n",
		}, "lacks the class Dog"},
		{"query", []string{
			strings.Replace(download("1 5 0 5 1005 0 0 0 1", schemaEntries(5)), "download 1 ", "download 2 ", 1), "mark 2 1\n",
			"query_error 226 3 2 1\nbad",
		}, "bad"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := resettable(t)
			sc.socket.send(jsonError(208, 1, "ClientReset", false, ""))
			sc.socket.expect("unbind 1\n")
			sc.connect()
			hear[*protocol.Bind](sc.socket)
			sc.socket.send("ident 2 9 999\n")
			hear[*protocol.ClientIdent](sc.socket)
			hear[*protocol.Mark](sc.socket)
			for i, m := range tc.messages {
				if i == 2 {
					hear[*protocol.Query](sc.socket)
					hear[*protocol.Mark](sc.socket)
				}
				sc.socket.send(m)
			}
			err := sc.failure()
			if !errors.Is(err, ErrResetFailed) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the failure is %v, want %q", err, tc.want)
			}
		})
	}
}

// TestManualReset leaves the file alone.
func TestManualReset(t *testing.T) {
	sc := ready(t, Options{})
	sc.create(1)
	hear[*protocol.Upload](sc.socket)
	sc.socket.send(jsonError(217, 1, "ClientReset", false, ""))
	sc.socket.expect("unbind 1\n")
	if err := sc.failure(); !errors.Is(err, ErrClientReset) {
		t.Errorf("the failure is %v", err)
	}
	if len(sc.realm.Keys("Dog")) != 1 {
		t.Error("the file has changed")
	}
}

// TestResetAfterBadChangeset: a device that could not integrate a DOWNLOAD says
// so, and is well again after the reset that the server answers with.
func TestResetAfterBadChangeset(t *testing.T) {
	sc := resettable(t)
	sc.socket.send("download 1 3 6 3 1003 6 0 1 2 1 0 14 0\n3 6 1 3 2 2 \x3f\x05")
	for {
		if e, ok := sc.hearAny().(*protocol.ClientError); ok {
			if e.Code != protocol.BadChangeset {
				t.Errorf("%+v", e)
			}
			break
		}
	}
	// Deaf: what comes now is not taken.
	sc.socket.send("download 1 3 6 3 1003 6 0 1 2 1 0 0 0\n")
	sc.socket.send(jsonError(217, 1, "ClientReset", false, ""))
	sc.socket.expect("unbind 1\n")
	sc.playReset(2)
	sc.connect()
	sc.socket.expect("bind 3 37 0 0 0\n" + `{"schemaVersion":0,"sessionReason":1}`)
	if err := sc.realm.Failure(); err != nil {
		t.Error("still inactive: ", err)
	}
	if keys := sc.realm.Keys("Dog"); len(keys) != 1 || keys[0] != changeset.IntKey(7) {
		t.Errorf("the realm holds %v", keys)
	}
}
