package e2e

import (
	"bytes"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/internal/mongod"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/internal/realmclient"
	"github.com/isthmus-sync/isthmus/internal/subprocess"
	"github.com/isthmus-sync/isthmus/protocol"
)

// bystander is a device that must not notice what others do wrong.
type bystander struct {
	*device
	b    *bridge
	n    int
	lost int // connections
}

// undisturbed checks that the bystander still syncs both ways.
func (d *bystander) undisturbed(t *testing.T) {
	t.Helper()
	d.n++
	d.write(newTask(d.n, map[string]any{"title": "still here"}))
	d.upload()
	document(t, d.b.collection("Task"), taskID(d.n))
	update := bson.D{{Key: "$set", Value: bson.D{{Key: "note", Value: "seen"}}}}
	if _, err := d.b.collection("Task").UpdateByID(within(t), taskID(d.n), update); err != nil {
		t.Fatal(err)
	}
	d.sees("Task", taskKey(d.n), map[string]any{"note": "seen"})
	d.untroubled()
	events, err := d.realm.Events(within(t))
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, e := range events {
		if e.To == "disconnected" {
			lost++
		}
	}
	if lost > d.lost {
		t.Errorf("the bystander lost its connection")
		d.lost = lost
	}
}

// TestBadMessages sends what no client would. Each gets the protocol's error,
// on its session or its connection, and nobody else notices.
func TestBadMessages(t *testing.T) {
	b := startBridge(t)
	witness := &bystander{device: subscribed(t, b, "bystander", taskSchema), b: b}

	session, err := witness.realm.Session(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ident := int64(session.Ident)

	encode := func(instructions ...changeset.Instruction) []byte {
		return changeset.Encode(changeset.Changeset(instructions))
	}
	key := changeset.ObjectIDKey(taskID(1))
	for _, test := range []struct {
		name string
		say  func(*peer)
		code protocol.ErrorCode
		// session is 1 where the error is the session's, 0 where it is the connection's.
		session int64
	}{
		{"unknown keyword", func(p *peer) { p.sendRaw([]byte("dance 1\n")) }, 102, 0},
		{"no keyword", func(p *peer) { p.sendRaw([]byte{0xff, 0, 0xfe}) }, 102, 0},
		{"empty message", func(p *peer) { p.sendRaw(nil) }, 102, 0},
		{"header that does not parse", func(p *peer) { p.sendRaw([]byte("mark 1 x\n")) }, 103, 0},
		{"header without an end", func(p *peer) { p.sendRaw(append([]byte("mark "), bytes.Repeat([]byte("1 "), 4096)...)) }, 103, 0},
		{"size that overflows", func(p *peer) { p.sendRaw([]byte("bind 1 99999999999999999999 0 1 0\n")) }, 103, 0},
		{"size above the body", func(p *peer) { p.sendRaw([]byte("bind 1 1000000000 0 1 0\n{}")) }, 103, 0},
		{"unknown session", func(p *peer) { p.send(&protocol.Mark{Session: 7, Request: 1}) }, 106, 0},
		{"session bound twice", func(p *peer) { p.bind(); p.send(&protocol.Bind{Session: 1, NeedIdent: true}) }, 107, 0},
		{"upload before ident", func(p *peer) {
			p.send(&protocol.Bind{Session: 1, NeedIdent: true})
			receive[*protocol.ServerIdent](p)
			p.upload(encode())
		}, 109, 0},
		{"body that does not inflate", func(p *peer) { p.bind(); p.sendRaw([]byte("upload 1 1 100 4 2 0 0\nabcd")) }, 110, 0},
		{"changeset entry that does not parse", func(p *peer) { p.bind(); p.sendRaw([]byte("upload 1 0 5 0 2 0 0\nx 0 0")) }, 111, 0},
		{"changeset longer than its body", func(p *peer) { p.bind(); p.sendRaw([]byte("upload 1 0 12 0 2 0 0\n2 0 0 0 99 ab")) }, 112, 0},
		{"file ident of nobody", func(p *peer) {
			p.send(&protocol.Bind{Session: 1})
			p.send(&protocol.ClientIdent{Session: 1, File: 1 << 40, Salt: 12345, Query: "{}"})
		}, 208, 1},
		{"file ident of another device, with a guessed salt", func(p *peer) {
			p.send(&protocol.Bind{Session: 1})
			p.send(&protocol.ClientIdent{Session: 1, File: ident, Salt: 12345, Query: "{}"})
		}, 211, 1},
		{"changeset that does not decode", func(p *peer) { p.bind(); p.upload([]byte{0x3f, 0, 0xff, 0xff, 0xff}) }, 212, 1},
		{"unknown class", func(p *peer) {
			p.bind()
			p.upload(encode(changeset.Instruction{Op: changeset.OpCreateObject, Class: "Nowhere", Key: key}))
		}, 212, 1},
		{"unknown property", func(p *peer) {
			p.bind()
			p.upload(encode(
				changeset.Instruction{Op: changeset.OpCreateObject, Class: "Task", Key: key},
				changeset.Instruction{Op: changeset.OpUpdate, Class: "Task", Key: key, Field: "nothing", Value: changeset.IntValue(1)},
			))
		}, 212, 1},
		{"value of another type", func(p *peer) {
			p.bind()
			p.upload(encode(
				changeset.Instruction{Op: changeset.OpCreateObject, Class: "Task", Key: key},
				changeset.Instruction{Op: changeset.OpUpdate, Class: "Task", Key: key, Field: "title", Value: changeset.IntValue(1)},
			))
		}, 212, 1},
		{"erased class", func(p *peer) {
			p.bind()
			p.upload(encode(changeset.Instruction{Op: changeset.OpEraseTable, Class: "Task"}))
		}, 225, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPeer(t, b)
			test.say(p)
			failure := receiveError(p)
			if failure.Code != test.code || failure.Session != test.session {
				t.Errorf("got error %d of session %d (%s), want %d of session %d",
					failure.Code, failure.Session, failure.Message, test.code, test.session)
			}
			if failure.Message == "" {
				t.Error("the error has no message")
			}
			witness.undisturbed(t)
		})
	}
}

// TestTwoSessionsOfOneConnection has one of them send garbage: the other goes on.
func TestTwoSessionsOfOneConnection(t *testing.T) {
	b := startBridge(t)
	p := newPeer(t, b)
	p.bind()
	p.send(&protocol.Bind{Session: 2, NeedIdent: true})
	ident := receive[*protocol.ServerIdent](p)
	p.send(&protocol.ClientIdent{Session: 2, File: ident.File, Salt: ident.Salt, Query: "{}"})
	p.upload([]byte{0x3f, 0, 0xff, 0xff, 0xff})
	if failure := receiveError(p); failure.Session != 1 {
		t.Fatalf("error %d of session %d, want it of session 1", failure.Code, failure.Session)
	}
	p.send(&protocol.Mark{Session: 2, Request: 1})
	if mark := receive[*protocol.Mark](p); mark.Session != 2 {
		t.Errorf("mark of session %d, want 2", mark.Session)
	}
}

func TestBadTokens(t *testing.T) {
	b := startBridge(t)
	good := anonymousToken(t, b)
	head, rest, _ := strings.Cut(good, ".")
	_, signature, _ := strings.Cut(rest, ".")
	for name, token := range map[string]string{
		"none":                  "",
		"no token":              "nonsense",
		"changed signature":     good[:len(good)-4] + "AAAA",
		"changed claims":        head + ".e30." + signature,
		"unsigned":              "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + rest[:strings.Index(rest, ".")] + ".",
		"signature of no bytes": head + "." + rest[:strings.Index(rest, ".")] + ".",
	} {
		t.Run(name, func(t *testing.T) {
			socket, status := dial(t, b, token, protocol.Offer(true))
			if socket == nil {
				t.Fatalf("the upgrade was refused with status %d, want close code 4001, which browsers see, too", status)
			}
			if code := closeCode(within(t), socket); code != 4001 {
				t.Errorf("close code %d, want 4001", code)
			}
		})
	}
	witness := &bystander{device: subscribed(t, b, "bystander", taskSchema), b: b}
	witness.undisturbed(t)
}

func TestUnsupportedProtocols(t *testing.T) {
	b := startBridge(t)
	token := anonymousToken(t, b)
	for _, offer := range [][]string{
		{"com.mongodb.realm-query-sync#1"},
		{"com.mongodb.realm-query-sync#15"},
		{"chat"},
		nil,
	} {
		t.Run(strings.Join(offer, ","), func(t *testing.T) {
			socket, status := dial(t, b, token, offer)
			if socket != nil || status != http.StatusBadRequest {
				t.Errorf("status %d, want %d", status, http.StatusBadRequest)
			}
		})
	}
	t.Run("partition mode", func(t *testing.T) {
		socket, status := dial(t, b, token, protocol.Offer(false))
		if socket == nil {
			t.Fatalf("the upgrade was refused with status %d, want error 113, which the app is shown", status)
		}
		p := &peer{t, socket, protocol.Codec{Version: protocol.MaxVersion}}
		p.send(&protocol.Bind{Session: 1, Partition: `"somebody"`, NeedIdent: true})
		failure := receiveError(p)
		if failure.Code != 113 || failure.Session != 0 {
			t.Errorf("got error %d of session %d, want 113 of the connection", failure.Code, failure.Session)
		}
	})
}

// TestRealClientWithAnUnknownApp shows what a typing mistake in an app id looks like.
func TestRealClientWithAnUnknownApp(t *testing.T) {
	b := startBridge(t)
	c := realmclient.Run(t, realmclient.Options{LogLevel: "debug"})
	if err := c.App(within(t), realmclient.AppConfig{ID: "mistyped", BaseURL: b.url, DataDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	_, err := c.LoginAnonymous(within(t))
	if err == nil || !strings.Contains(err.Error(), "mistyped") {
		t.Errorf("log in at an unknown app: %v, want an error that names the app", err)
	}
}

// TestStartErrors starts bridges that can't run: they end at once, with an
// error that says what is wrong and what to do.
func TestStartErrors(t *testing.T) {
	standalone, err := mongod.Start(t.Context(), mongod.Options{Dir: t.TempDir(), Standalone: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standalone.Kill)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port, err := subprocess.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	absent := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
	database := mongotest.Database(t).Name()
	good := []string{"--mongodb", mongotest.URI(t), "--database", database, "--app-id", database}
	for _, test := range []struct {
		name string
		args []string
		want []string // in the error
	}{
		{"MongoDB absent", []string{"--mongodb", "mongodb://" + absent + "/?replicaSet=rs0"}, []string{absent}},
		{"MongoDB is no replica set", []string{"--mongodb", standalone.URI}, []string{"replica set"}},
		{"not a connection string", []string{"--mongodb", "http://localhost"}, []string{"mongodb"}},
		{"address in use", append([]string{"--listen", taken.Addr().String()}, good...), []string{taken.Addr().String()}},
		{"bad app id", []string{"--app-id", "a/b"}, []string{"a/b"}},
		{"unknown flag", []string{"--mongo", "x"}, []string{"--mongo"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"dev", "--data", t.TempDir()}, test.args...)
			if !strings.Contains(strings.Join(args, " "), "--listen") {
				args = append(args, "--listen", "127.0.0.1:0")
			}
			var out subprocess.Tail
			cmd := exec.Command(bridgeProgram(t), args...)
			cmd.Stdout, cmd.Stderr = &out, &out
			p, err := subprocess.Start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			select {
			case <-p.Done():
			case <-time.After(patience):
				t.Fatalf("the bridge is still running; it said:\n%s", &out)
			}
			if p.ExitCode() == 0 {
				t.Errorf("exit status 0; it said:\n%s", &out)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it said nothing of %q:\n%s", want, &out)
				}
			}
			if strings.Contains(out.String(), "goroutine ") {
				t.Errorf("it panicked:\n%s", &out)
			}
		})
	}
}
