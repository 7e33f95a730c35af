package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/isthmus-sync/isthmus/protocol"
)

// anonymousToken logs a new anonymous user in by hand and returns the access token.
func anonymousToken(t testing.TB, b *bridge) string {
	t.Helper()
	// A client of its own: connections kept alive would outlast the test.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(within(t), http.MethodPost,
		b.url+"/api/client/v2.0/app/"+b.app+"/auth/providers/anon-user/login", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("log in: status %d, no access token (%v)", response.StatusCode, err)
	}
	return answer.AccessToken
}

// dial opens the sync WebSocket. A refusal is returned as an HTTP status.
func dial(t testing.TB, b *bridge, token string, offer []string) (*websocket.Conn, int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	address := "ws" + strings.TrimPrefix(b.url, "http") + "/api/client/v2.0/app/" + b.app + "/realm-sync?baas_at=" + url.QueryEscape(token)
	socket, response, err := websocket.Dial(within(t), address, &websocket.DialOptions{HTTPClient: client, Subprotocols: offer})
	if err != nil {
		if response == nil {
			t.Fatalf("dial: %v", err)
		}
		return nil, response.StatusCode
	}
	socket.SetReadLimit(-1)
	t.Cleanup(func() { socket.CloseNow() })
	return socket, response.StatusCode
}

// peer is a connection that says what no client would.
type peer struct {
	t      testing.TB
	socket *websocket.Conn
	codec  protocol.Codec
}

func newPeer(t testing.TB, b *bridge) *peer {
	t.Helper()
	socket, status := dial(t, b, anonymousToken(t, b), protocol.Offer(true))
	if socket == nil {
		t.Fatalf("the upgrade was refused with status %d", status)
	}
	return &peer{t, socket, protocol.Codec{Version: protocol.MaxVersion, Flexible: true}}
}

func (p *peer) sendRaw(data []byte) {
	p.t.Helper()
	if err := p.socket.Write(within(p.t), websocket.MessageBinary, data); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) send(m protocol.Message) {
	p.t.Helper()
	data, err := p.codec.Append(nil, m)
	if err != nil {
		p.t.Fatal(err)
	}
	p.sendRaw(data)
}

// receive returns the next message of that type, skipping others.
func receive[M protocol.Message](p *peer) M {
	p.t.Helper()
	for {
		_, data, err := p.socket.Read(within(p.t))
		if err != nil {
			p.t.Fatalf("waiting for a %T: %v", *new(M), err)
		}
		m, err := p.codec.ParseServer(data)
		if err != nil {
			p.t.Fatalf("the bridge sent %q: %v", firstLine(data), err)
		}
		if wanted, ok := m.(M); ok {
			return wanted
		}
		if failure, ok := m.(*protocol.JSONError); ok {
			p.t.Fatalf("waiting for a %T, got error %d: %s", *new(M), failure.Code, failure.Message)
		}
	}
}

// receiveError returns the next error, skipping other messages.
func receiveError(p *peer) *protocol.JSONError {
	p.t.Helper()
	return receive[*protocol.JSONError](p)
}

// closeCode waits for the end of the connection and returns its close code, -1
// for an end without one.
func closeCode(ctx context.Context, socket *websocket.Conn) int {
	for {
		if _, _, err := socket.Read(ctx); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

// bind opens session 1 for a new client file and gets its bootstrap, so that
// the bridge takes uploads next.
func (p *peer) bind() {
	p.t.Helper()
	p.send(&protocol.Bind{Session: 1, NeedIdent: true})
	ident := receive[*protocol.ServerIdent](p)
	if ident.File < 2 || ident.Salt == 0 {
		p.t.Fatalf("the bridge allocated file ident %d with salt %d", ident.File, ident.Salt)
	}
	p.send(&protocol.ClientIdent{Session: 1, File: ident.File, Salt: ident.Salt, Query: "{}"})
	receive[*protocol.Download](p)
	p.send(&protocol.Mark{Session: 1, Request: 1})
	receive[*protocol.Mark](p)
}

// upload sends one changeset, made on an empty file.
func (p *peer) upload(changeset []byte) {
	p.t.Helper()
	p.send(&protocol.Upload{Session: 1, ProgressClient: 2, Entries: []protocol.UploadEntry{
		{ClientVersion: 2, Timestamp: 300_000_000_000, Changeset: changeset},
	}})
}

func firstLine(data []byte) []byte {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return line
}
