package device

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/schema"
)

// dogs is the schema of most tests.
func dogs() *schema.Schema {
	return &schema.Schema{Classes: map[string]*schema.Class{"Dog": {
		Name: "Dog", KeyType: changeset.Int,
		Properties: map[string]*schema.Property{"name": {Name: "name", Type: changeset.String, Nullable: true}},
	}}}
}

// dog makes the changeset that creates a dog.
func dog(key int64) changeset.Changeset {
	return changeset.Changeset{{Op: changeset.OpCreateObject, Class: "Dog", Key: changeset.IntKey(key)}}
}

// entry writes an entry of a DOWNLOAD.
func entry(server, client, origin int64, cs changeset.Changeset) string {
	data := changeset.Encode(cs)
	return fmt.Sprintf("%d %d 1 %d %d %d %s", server, client, origin, len(data), len(data), data)
}

// download writes a DOWNLOAD: the header's fields up to the progress estimate,
// and entries.
func download(fields string, entries ...string) string {
	body := strings.Join(entries, "")
	return fmt.Sprintf("download %s 1 0 %d 0\n%s", fields, len(body), body)
}

// jsonError writes a JSON_ERROR. more are further keys.
func jsonError(code, session int, action protocol.Action, tryAgain bool, more string) string {
	body := fmt.Sprintf(`{"action":%q,"isRecoveryModeDisabled":false,"logURL":"","message":"m","shouldClientReset":false,"tryAgain":%t%s}`,
		action, tryAgain, more)
	return fmt.Sprintf("json_error %d %d %d\n%s", code, len(body), session, body)
}

// scene is a device with one realm that talks to the test.
type scene struct {
	t      *testing.T
	server *fakeServer
	client *Client
	user   *User
	realm  *Realm
	socket *fakeSocket
}

func newScene(t *testing.T, opts Options, cfg Config) *scene {
	t.Helper()
	if opts.Second == 0 {
		opts.Second = time.Millisecond
	}
	if opts.Clock == nil {
		opts.Clock = func() time.Time { return protocol.TimestampTime(7) }
	}
	sc := &scene{t: t, server: newFakeServer(t), client: NewClient(opts)}
	t.Cleanup(sc.client.Close)
	sc.user = sc.server.user("u")
	if _, err := sc.user.app.locate(sc.within()); err != nil {
		t.Fatal(err)
	}
	if cfg.Schema == nil {
		cfg.Schema = dogs()
	}
	realm, err := sc.client.Open(sc.user, cfg)
	if err != nil {
		t.Fatal(err)
	}
	sc.realm = realm
	return sc
}

// begun is a scene whose session is up to date and has uploaded its schema: the
// cursors are D (2, 9), L 2, U (9, 1), and the newest version is 11.
func begun(t *testing.T, opts Options) *scene {
	t.Helper()
	sc := newScene(t, opts, Config{})
	sc.connect()
	sc.socket.expect("bind 1 37 0 1 0\n" + `{"schemaVersion":0,"sessionReason":0}`)
	sc.socket.send("ident 1 2 777\n")
	sc.socket.expect("ident 1 2 777 0 0 0 0 0 2\n{}")
	sc.socket.expect("mark 1 1\n")
	sc.socket.send(download("1 1 0 1 1001 0 0 0 1", entry(1, 0, 1, nil)))
	sc.socket.send("mark 1 1\n")
	if u := hear[*protocol.Upload](sc.socket); u.ProgressClient != 9 || len(u.Entries) != 1 || u.Entries[0].ClientVersion != 6 {
		t.Fatalf("the upload of the schema is %+v", u)
	}
	sc.socket.send(download("1 2 9 2 1002 9 1 0 2"))
	sc.socket.expect("upload 1 0 0 0 11 2 2\n")
	return sc
}

func (sc *scene) connect() { sc.socket = sc.server.socket("u") }

func (sc *scene) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	sc.t.Cleanup(cancel)
	return ctx
}

// failure waits until the realm is inactive.
func (sc *scene) failure() error {
	sc.t.Helper()
	var failure error
	err := sc.realm.WaitFor(sc.within(), func() bool {
		failure = sc.realm.Failure()
		return failure != nil
	})
	if err != nil && failure == nil {
		sc.t.Fatal("the realm has not failed: ", err)
	}
	return failure
}

// TestViolations sends what a server must not send to a session that is up to
// date. The device fails, and says which rule is broken.
func TestViolations(t *testing.T) {
	query := func(sc *scene) {
		sc.realm.Subscribe(map[string]string{"Dog": "TRUEPREDICATE"})
		sc.socket.expect("query 1 1 25\n" + `{"Dog":"(TRUEPREDICATE)"}`)
		sc.socket.expect("mark 1 2\n")
	}
	send := func(messages ...string) func(*scene) {
		return func(sc *scene) {
			for _, m := range messages {
				sc.socket.send(m)
			}
		}
	}
	afterQuery := func(messages ...string) func(*scene) {
		return func(sc *scene) {
			query(sc)
			send(messages...)(sc)
		}
	}
	uploaded := download("1 3 11 3 1003 11 2 0 2") // moves all cursors
	suspend := jsonError(201, 1, "Transient", true, "")
	for _, tc := range []struct {
		name        string
		do          func(*scene)
		consequence Consequence
		want        string
	}{
		{"latest goes back", send(download("1 2 9 1 1001 9 1 0 2")), ClosesConnection, "cursor rule 1:"},
		{"upload client goes back", send(download("1 2 9 2 1002 8 1 0 2")), ClosesConnection, "cursor rule 2:"},
		{"upload client from the future", send(download("1 3 9 3 1003 99 1 0 2")), ClosesConnection, "cursor rule 3:"},
		{"download server goes back", send(download("1 1 9 2 1002 9 1 0 2")), ClosesConnection, "cursor rule 4:"},
		{"download server above latest", send(download("1 5 9 4 1002 9 1 0 2")), ClosesConnection, "cursor rule 5:"},
		{"download client goes back", send(download("1 3 8 3 1003 9 1 0 2")), ClosesConnection, "cursor rule 6:"},
		{"download client above upload client", send(download("1 3 10 3 1003 9 1 0 2")), ClosesConnection, "cursor rule 7:"},
		{"upload server above download server", send(download("1 3 9 3 1003 9 4 0 2")), ClosesConnection, "cursor rule 8:"},
		{"origin 0", send(download("1 3 9 3 1003 9 1 0 2", entry(3, 9, 0, dog(1)))), ClosesConnection, "cursor rule 9:"},
		{"own changeset", send(download("1 3 9 3 1003 9 1 0 2", entry(3, 9, 2, dog(1)))), ClosesConnection, "cursor rule 9:"},
		{"entry below the cursor", send(download("1 3 9 3 1003 9 1 0 2", entry(1, 9, 3, dog(1)))), ClosesConnection, "cursor rule 10:"},
		{"entry above the cursor", send(download("1 3 9 3 1003 9 1 0 2", entry(4, 9, 3, dog(1)))), ClosesConnection, "cursor rule 10:"},
		{"entries out of order", send(download("1 4 9 4 1003 9 1 0 2", entry(4, 9, 3, dog(1)), entry(3, 9, 3, dog(2)))), ClosesConnection, "cursor rule 10:"},
		{"entry's client version too low", send(download("1 3 9 3 1003 9 1 0 2", entry(3, 8, 3, dog(1)))), ClosesConnection, "cursor rule 11:"},
		{"entry's client version too high", send(download("1 3 9 3 1003 11 1 0 2", entry(3, 10, 3, dog(1)))), ClosesConnection, "cursor rule 11:"},
		{"body cut short", send("download 1 3 9 3 1003 9 1 0 2 1 0 9 0\n3 9 1 3 5"), ClosesConnection, "does not parse"},
		{"trailing byte", send(download("1 3 9 3 1003 9 1 0 2") + "\n"), ClosesConnection, "does not parse"},
		{"upload server goes back", send(uploaded, download("1 3 11 3 1003 11 1 0 2")), GoesDeaf, "cursor rule 13"},
		{"changeset does not parse", send(download("1 3 9 3 1003 9 1 0 2", "3 9 1 3 2 2 \x3f\x05")), GoesDeaf, "failed to integrate"},
		{"changeset does not apply", send(download("1 3 9 3 1003 9 1 0 2",
			entry(3, 9, 3, changeset.Changeset{{Op: changeset.OpUpdate, Class: "Dog", Key: changeset.IntKey(1), Field: "name"}}))), GoesDeaf, "does not exist"},

		{"no changeset in a bootstrap", afterQuery(download("1 3 9 3 1003 9 1 1 1")), KillsClient, "bootstrap rule 1:"},
		{"bootstrap of an unknown version", send(download("1 3 9 3 1003 9 1 7 1", entry(3, 9, 1, nil))), KillsClient, "bootstrap rule 2:"},
		{"bootstrap of a superseded version", afterQuery(download("1 3 9 3 1003 9 1 1 1", entry(3, 9, 1, nil)),
			download("1 4 9 4 1003 9 1 0 1", entry(4, 9, 1, nil))), KillsClient, "bootstrap rule 3:"},
		{"bootstrap of a refused version", afterQuery("query_error 226 3 1 1\nbad", download("1 3 9 3 1003 9 1 1 1", entry(3, 9, 1, nil))), KillsClient, "bootstrap rule 2:"},
		{"steady state amid a bootstrap", afterQuery(download("1 3 9 3 1003 9 1 1 0", entry(3, 9, 1, dog(1))),
			download("1 4 9 4 1003 9 1 1 2")), ClosesConnection, "bootstrap rule 4:"},
		{"batch state 3", send(download("1 3 9 3 1003 9 1 0 3")), ClosesConnection, "does not parse"},

		{"QUERY_ERROR for a complete version", send("query_error 226 3 1 0\nbad"), KillsClient, "query error:"},
		{"QUERY_ERROR for an unknown version", send("query_error 226 3 1 9\nbad"), KillsClient, "query error:"},

		{"MARK that nobody asked for", send("mark 1 2\n"), ClosesConnection, "MARK:"},
		{"MARK twice", send("mark 1 1\n"), ClosesConnection, "MARK:"},
		{"IDENT that nobody asked for", send("ident 1 3 5\n"), ClosesConnection, "IDENT:"},
		{"UNBOUND that nobody asked for", send("unbound 1\n"), ClosesConnection, "UNBOUND:"},
		{"PONG that nobody asked for", send("pong 5\n"), ClosesConnection, "PONG:"},
		{"unknown session", send("mark 9 1\n"), ClosesConnection, "session ident:"},
		{"unknown message", send("state 1\n"), ClosesConnection, "does not parse"},
		{"message of an older protocol", send("alloc 1 5\n"), ClosesConnection, "message:"},
		{"log level", send("log_message 0 27\n" + `{"level":"loud","msg":"x"}` + "\n"), ClosesConnection, "does not parse"},

		{"error without a field", send("json_error 201 2 1\n{}"), ClosesConnection, "does not parse"},
		{"connection's code for a session", send(jsonError(101, 1, "Transient", true, "")), ClosesConnection, "errors:"},
		{"session's code for the connection", send(jsonError(201, 0, "Transient", true, "")), ClosesConnection, "errors:"},
		{"code that kills", send(jsonError(202, 1, "Transient", true, "")), KillsClient, "errors:"},
		{"code that kills the connection", send(jsonError(104, 0, "Transient", true, "")), KillsClient, "errors:"},
		{"232 in flexible mode", send(jsonError(232, 1, "MigrateToFLX", false, `,"partitionQuery":"a == 1"`)), KillsClient, "errors:"},
		{"234 to a native client", send(jsonError(234, 1, "RevertToPBS", false, "")), KillsClient, "errors:"},
		{"two errors", send(suspend, suspend), ClosesConnection, "errors:"},
		{"DOWNLOAD after an error", send(suspend, download("1 2 9 2 1002 9 1 0 2")), ClosesConnection, "DOWNLOAD:"},
		{"MARK after an error", send(suspend, "mark 1 2\n"), ClosesConnection, "MARK:"},
		{"UNBOUND after an error", send(suspend, "unbound 1\n"), ClosesConnection, "UNBOUND:"},

		{"231 without its version", send(jsonError(231, 1, "Warning", true, "")), KillsClient, "compensation:"},
		{"231s in the wrong order", send(jsonError(231, 1, "Warning", true, `,"compensatingWriteServerVersion":5`),
			jsonError(231, 1, "Warning", true, `,"compensatingWriteServerVersion":4`)), KillsClient, "compensation rule 3:"},
		{"231 after its DOWNLOAD", send(jsonError(231, 1, "Warning", true, `,"compensatingWriteServerVersion":3`),
			download("1 4 9 4 1003 9 1 0 2", entry(4, 9, 3, dog(1)))), KillsClient, "compensation rule 2:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// An hour of a second keeps suspended sessions suspended.
			sc := begun(t, Options{Second: time.Hour})
			tc.do(sc)
			failure := sc.failure()
			v, ok := asViolation(failure)
			if !ok || v.Consequence != tc.consequence || !strings.Contains(v.Error(), tc.want) {
				t.Fatalf("got the failure %v, want %q, %v", failure, tc.want, tc.consequence)
			}
			if v.Consequence == GoesDeaf {
				for {
					if e, ok := sc.hearAny().(*protocol.ClientError); ok {
						if e.Code != v.Code || e.Session != 1 {
							t.Fatalf("the client says %+v", e)
						}
						break
					}
				}
				return
			}
			sc.socket.ended()
			if err := sc.realm.WaitUpload(sc.within()); err == nil && tc.consequence != GoesDeaf {
				if _, err := sc.realm.Write(func(tx *Tx) error { return tx.Upsert("Dog", changeset.IntKey(1), nil) }); err != nil {
					t.Fatal(err)
				}
				if err := sc.realm.WaitUpload(sc.within()); !errors.Is(err, failure) {
					t.Errorf("waiting for the upload ends in %v, want the failure", err)
				}
			}
		})
	}
}

// hearAny waits for the next message.
func (sc *scene) hearAny() protocol.Message {
	sc.t.Helper()
	data := sc.socket.next()
	if data == nil {
		sc.t.Fatal("the connection has ended")
	}
	m, err := sc.socket.codec.ParseClient(data)
	if err != nil {
		sc.t.Fatal(err)
	}
	return m
}

// hearChanges waits for an UPLOAD with changesets.
func (sc *scene) hearChanges() *protocol.Upload {
	sc.t.Helper()
	for {
		if u, ok := sc.hearAny().(*protocol.Upload); ok && len(u.Entries) > 0 {
			return u
		}
	}
}

// TestNotViolations sends odd things that clients put up with.
func TestNotViolations(t *testing.T) {
	sc := begun(t, Options{})
	sc.socket.send("log_message 99 2\n{}")
	if err := sc.socket.conn.Write(sc.within(), 1 /* text */, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	sc.socket.send(download("1 2 9 2 1002 9 1 0 2")) // nothing new
	sc.socket.send(download("1 2 9 2 1002 9 0 0 2")) // an upload server version of 0 is let pass
	sc.socket.send(download("1 4 9 4 1003 9 1 0 2", entry(3, 9, 3, dog(1)), entry(3, 9, 3, dog(2))))
	hear[*protocol.Upload](sc.socket)
	if err := sc.realm.Failure(); err != nil || len(sc.realm.Keys("Dog")) != 2 {
		t.Fatal(err, sc.realm.Keys("Dog"))
	}
}

// TestSuspendedSession binds again after an error that says so, under the same
// session ident.
func TestSuspendedSession(t *testing.T) {
	sc := begun(t, Options{})
	sc.socket.send(download("1 2 11 2 1002 11 2 0 2"))
	for range 2 {
		sc.socket.send(jsonError(200, 1, "Transient", true, ""))
		sc.socket.expect("unbind 1\n")
		sc.socket.expect("bind 1 37 0 0 0\n" + `{"schemaVersion":0,"sessionReason":0}`)
		sc.socket.expect("ident 1 2 777 2 11 2 1002 0 2\n{}")
	}
	if len(sc.realm.Errors()) != 0 {
		t.Error("the app is told of", sc.realm.Errors())
	}
	sc.socket.send(jsonError(206, 1, "ApplicationBug", false, ""))
	sc.socket.expect("unbind 1\n")
	var e *ServerError
	if err := sc.failure(); !errors.As(err, &e) || e.Code != 206 {
		t.Fatal(err)
	}
	// The app may try again, with a new session.
	if err := sc.realm.Resume(); err != nil {
		t.Fatal(err)
	}
	sc.connect()
	sc.socket.expect("bind 2 37 0 0 0\n" + `{"schemaVersion":0,"sessionReason":0}`)
}

// TestRefreshUser fetches a token when the server says so.
func TestRefreshUser(t *testing.T) {
	sc := begun(t, Options{Second: time.Hour})
	before := sc.user.AccessToken()
	sc.socket.send(jsonError(201, 1, "RefreshUser", true, ""))
	sc.socket.expect("unbind 1\n")
	sc.socket.expect("bind 1 37 0 0 0\n" + `{"schemaVersion":0,"sessionReason":0}`)
	if sc.user.AccessToken() == before {
		t.Error("the token is the old one")
	}
}

// TestUnfinishedBootstrap: batches stay when the connection is cut, and the
// repeated bootstrap is appended to them; they go when the session is bound
// again or starts anew.
func TestUnfinishedBootstrap(t *testing.T) {
	half := download("1 3 9 3 1003 9 1 1 0", entry(3, 9, 1, dog(1)))
	whole := download("1 3 9 3 1003 9 1 1 1", entry(3, 9, 1, dog(2)))
	reidentify := func(sc *scene, session int) {
		sc.socket.expect(fmt.Sprintf("bind %d 37 0 0 0\n", session) + `{"schemaVersion":0,"sessionReason":0}`)
		sc.socket.expect(fmt.Sprintf("ident %d 2 777 2 9 2 1002 0 2\n{}", session))
	}
	for _, tc := range []struct {
		name      string
		interrupt func(*scene)
		want      string
	}{
		{"cut", func(sc *scene) {
			sc.client.Drop()
			sc.connect()
			reidentify(sc, 1)
		}, "[1 2]"},
		{"error", func(sc *scene) {
			sc.socket.send(jsonError(200, 1, "Transient", true, ""))
			sc.socket.expect("unbind 1\n")
			reidentify(sc, 1)
		}, "[2]"},
		{"pause", func(sc *scene) {
			sc.realm.Pause()
			sc.socket.expect("unbind 1\n")
			sc.socket.send("unbound 1\n")
			if err := sc.realm.Resume(); err != nil {
				t.Fatal(err)
			}
			sc.connect()
			reidentify(sc, 2)
			sc.socket.expect("mark 2 1\n")
			whole = strings.Replace(whole, "download 1 ", "download 2 ", 1)
			sc.socket.send(strings.Replace(download("1 2 9 2 1002 9 1 0 2"), "download 1 ", "download 2 ", 1))
			sc.socket.send("mark 2 1\n")
		}, "[2]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sc := begun(t, Options{})
			version := sc.realm.Subscribe(map[string]string{"Dog": "TRUEPREDICATE"})
			hear[*protocol.Query](sc.socket)
			sc.socket.expect("mark 1 2\n")
			sc.socket.send(half)
			err := sc.realm.WaitFor(sc.within(), func() bool {
				state, _ := sc.realm.SubscriptionState(version)
				return state == Bootstrapping
			})
			if err != nil {
				t.Fatal(err)
			}
			tc.interrupt(sc)
			// What was not answered is asked again: a MARK that was sent first.
			for {
				if _, ok := sc.hearAny().(*protocol.Query); ok {
					break
				}
			}
			m := hear[*protocol.Mark](sc.socket)
			sc.socket.send(whole)
			sc.socket.say(m)
			if err := sc.realm.WaitSubscriptions(sc.within()); err != nil {
				t.Fatal(err)
			}
			got := []int64{}
			for _, key := range sc.realm.Keys("Dog") {
				got = append(got, key.Int)
			}
			if fmt.Sprint(got) != tc.want {
				t.Errorf("the realm holds the dogs %v, want %s", got, tc.want)
			}
		})
	}
}

// TestQueries goes through the states of subscription sets.
func TestQueries(t *testing.T) {
	sc := begun(t, Options{})
	first := sc.realm.Subscribe(map[string]string{"Dog": `name == "a" && _id < 9`})
	second := sc.realm.Subscribe(map[string]string{})
	sc.socket.expect("query 1 1 36\n" + `{"Dog":"(name == \"a\" && _id < 9)"}`)
	sc.socket.expect("mark 1 2\n")
	sc.socket.expect("query 1 2 2\n{}")
	sc.socket.expect("mark 1 3\n")
	sc.socket.send("query_error 226 3 1 1\nbad")
	sc.socket.send(download("1 3 9 3 1003 9 1 2 1", entry(3, 9, 1, nil)))
	sc.socket.send("mark 1 2\n") // an older MARK: it completes nothing
	err := sc.realm.WaitFor(sc.within(), func() bool {
		state, _ := sc.realm.SubscriptionState(second)
		return state == AwaitingMark
	})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := sc.realm.SubscriptionState(first); state != Superseded {
		t.Errorf("the first set is %v, %v", state, err)
	}
	sc.socket.send("mark 1 3\n")
	if err := sc.realm.WaitSubscriptions(sc.within()); err != nil {
		t.Fatal(err)
	}
	sc.realm.Subscribe(map[string]string{"Dog": "x"})
	for {
		// The UPLOAD that acknowledges the bootstrap may come first.
		if q, ok := sc.hearAny().(*protocol.Query); ok && q.Version == 3 {
			break
		}
	}
	sc.socket.send("query_error 226 3 1 3\nbad")
	var refused *QueryError
	if err := sc.realm.WaitSubscriptions(sc.within()); !errors.As(err, &refused) || refused.Message != "bad" {
		t.Errorf("waiting ends in %v", err)
	}
}

// TestRefreshLocation asks for the location and the token, and then a new
// session takes over.
func TestRefreshLocation(t *testing.T) {
	sc := ready(t, Options{Multiplex: true, Second: time.Hour})
	before := len(sc.server.requested())
	sc.socket.send(jsonError(201, 1, "RefreshLocation", true, ""))
	sc.socket.expect("unbind 1\n")
	for {
		m := sc.hearAny()
		if _, ok := m.(*protocol.Unbind); ok {
			sc.socket.send("unbound 1\n")
		}
		if b, ok := m.(*protocol.Bind); ok && b.Session == 2 {
			break
		}
	}
	want := []string{"GET /api/client/v2.0/app/fake-app/location", "POST /api/client/v2.0/auth/session"}
	if got := sc.server.requested()[before:]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the client asked for %q, want %q", got, want)
	}
}
