package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/internal/redisd"
)

// running is a bridge inside the test.
type running struct {
	cfg  *config.Config
	addr string
	stop func() error
	log  *logBuffer
}

// logBuffer collects a log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// testConfig is a configuration of an app of its own on the shared MongoDB.
func testConfig(t *testing.T, app string) *config.Config {
	t.Helper()
	cfg, err := config.Default(app, sharedMongo(t), app)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Addr = "127.0.0.1:0"
	cfg.Sync.DevelopmentMode = true
	cfg.Log = config.Log{Level: "debug", Format: "text"}
	return cfg
}

// start runs a bridge until the test ends or stop is called.
func start(t *testing.T, cfg *config.Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cfg: cfg, log: &logBuffer{}}
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, cfg, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), newConsole(io.Discard), func(addr string) { ready <- addr })
	}()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(shutdownGrace + 10*time.Second):
			return errors.New("it did not shut down")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if t.Failed() {
			t.Logf("the bridge's log:\n%s", r.log)
		}
	})
	select {
	case r.addr = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("it did not start: %v", err)
	}
	return r
}

// get returns status and body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// call sends a request with a token and decodes the answer.
func call(t *testing.T, method, url, token string, wantStatus int) map[string]string {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != wantStatus {
		t.Fatalf("%s %s: %d %s, want %d", method, url, res.StatusCode, body, wantStatus)
	}
	out := map[string]string{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (r *running) login(t *testing.T) map[string]string {
	t.Helper()
	return call(t, "POST", "http://"+r.addr+"/api/client/v2.0/app/"+r.cfg.App.ID+"/auth/providers/anon-user/login", "", 200)
}

// connect opens the sync route with a token.
func (r *running) connect(t *testing.T, app, token string) *websocket.Conn {
	t.Helper()
	ws, res, err := websocket.Dial(context.Background(), "ws://"+r.addr+"/api/client/v2.0/app/"+app+"/realm-sync?baas_at="+token,
		&websocket.DialOptions{Subprotocols: []string{"com.mongodb.realm-query-sync#14"}})
	if err != nil {
		t.Fatalf("connect: %v (%v)", err, res)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// closeCode waits for the server to close.
func closeCode(t *testing.T, ws *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, "serve-abcde")
	cfg.Redis.Embedded = true
	r := start(t, cfg)
	waitFor(t, "it is ready", func() bool {
		status, _ := get(t, "http://"+r.addr+"/readyz")
		return status == 200
	})
	for path, want := range map[string]string{
		"/healthz":            "ok\n",
		"/metrics":            "\nbridge_check_up{check=\"mongodb\"} 1\n",
		"/logs?co_id=65f0abc": "request_id=65f0abc\n",
	} {
		if status, body := get(t, "http://"+r.addr+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	waitFor(t, "it reads the change stream", func() bool {
		_, body := get(t, "http://"+r.addr+"/metrics")
		return strings.Contains(body, "\nbridge_ingest_running 1\n")
	})
	location := call(t, "GET", "http://"+r.addr+"/api/client/v2.0/app/serve-abcde/location", "", 200)
	if want := "ws://" + r.addr + "/api/client/v2.0/app/serve-abcde/realm-sync"; location["sync_route"] != want {
		t.Errorf("sync_route is %s, want %s", location["sync_route"], want)
	}

	u := r.login(t)
	ws := r.connect(t, "serve-abcde", u["access_token"])
	waitFor(t, "the connection is counted", func() bool {
		_, body := get(t, "http://"+r.addr+"/metrics")
		return strings.Contains(body, "\nbridge_connections 1\n")
	})
	if code := closeCode(t, r.connect(t, "serve-abcde", "bad")); code != 4001 {
		t.Errorf("a bad token: close code %d, want 4001", code)
	}
	if code := closeCode(t, r.connect(t, "other-abcde", u["access_token"])); code != 4001 {
		t.Errorf("another app: close code %d, want 4001", code)
	}
	call(t, "DELETE", "http://"+r.addr+"/api/client/v2.0/auth/session", u["refresh_token"], 204)
	if code := closeCode(t, ws); code != 4001 {
		t.Errorf("after the log-out: close code %d, want 4001", code)
	}

	disabled := r.login(t)
	client, err := mongo.Connect(options.Client().ApplyURI(cfg.MongoDB.URI))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	_, err = client.Database(cfg.MongoDB.MetadataDatabase).Collection("users").UpdateByID(context.Background(), disabled["user_id"],
		bson.D{{Key: "$set", Value: bson.D{{Key: "disabled", Value: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	if code := closeCode(t, r.connect(t, "serve-abcde", disabled["access_token"])); code != 4002 {
		t.Errorf("a disabled user: close code %d, want 4002", code)
	}
	for _, secret := range []string{u["access_token"], u["refresh_token"], "baas_at"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// A session outlives the process: the signing key is in the database.
func TestServeAgain(t *testing.T) {
	t.Parallel()
	first := start(t, testConfig(t, "again-abcde"))
	u := first.login(t)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if _, body := get(t, "http://"+first.addr+"/healthz"); !strings.Contains(body, "refused") {
		t.Errorf("after the shutdown it answers %s", body)
	}
	second := start(t, testConfig(t, "again-abcde"))
	call(t, "POST", "http://"+second.addr+"/api/client/v2.0/auth/session", u["refresh_token"], 201)
}

// Two nodes with a real Redis: either is ready, and a token of one is good at
// the other.
func TestServeTwoNodes(t *testing.T) {
	t.Parallel()
	redis := redisd.Run(t)
	var nodes []*running
	for range 2 {
		cfg := testConfig(t, "nodes-abcde")
		cfg.Redis.Addr = redis.Addr
		nodes = append(nodes, start(t, cfg))
	}
	for _, n := range nodes {
		waitFor(t, "both are ready", func() bool {
			status, _ := get(t, "http://"+n.addr+"/readyz")
			return status == 200
		})
	}
	u := nodes[0].login(t)
	ws := nodes[1].connect(t, "nodes-abcde", u["access_token"])
	waitFor(t, "the connection is counted", func() bool {
		_, body := get(t, "http://"+nodes[1].addr+"/metrics")
		return strings.Contains(body, "\nbridge_connections 1\n")
	})
	_ = ws.CloseNow()

	redis.Kill()
	waitFor(t, "the loss of Redis is told, and no more than that", func() bool {
		status, body := get(t, "http://"+nodes[0].addr+"/readyz")
		return status == 200 && strings.Contains(body, "presence and wake-ups are this node's own")
	})
	nodes[1].login(t)
}

// Operators' routes can have an address of their own.
func TestServeAdminApart(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, "admin-abcde")
	cfg.Admin.Addr = closedPort(t)
	r := start(t, cfg)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if status, _ := get(t, "http://"+r.addr+path); status != 404 {
			t.Errorf("devices get %d from %s, want 404", status, path)
		}
		if status, body := get(t, "http://"+cfg.Admin.Addr+path); status != 200 && path != "/readyz" {
			t.Errorf("operators get %d %s from %s", status, body, path)
		}
	}
	if status, _ := get(t, "http://"+r.addr+"/logs?co_id=a"); status != 200 {
		t.Errorf("the link of errors: %d, want 200", status)
	}
}

func TestServeTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roots := writeCertificate(t, dir)
	cfg := testConfig(t, "tls-abcde")
	cfg.Listen.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	r := start(t, cfg)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + r.addr + "/api/client/v2.0/app/tls-abcde/location")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var location map[string]string
	if err := json.NewDecoder(res.Body).Decode(&location); err != nil {
		t.Fatal(err)
	}
	if location["hostname"] != "https://"+r.addr || !strings.HasPrefix(location["sync_route"], "wss://") {
		t.Errorf("location: %v", location)
	}
	if res.ProtoMajor != 1 {
		t.Errorf("HTTP/%d was negotiated: a WebSocket needs 1", res.ProtoMajor)
	}
}

// writeCertificate makes a certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}

func TestServeAddressTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, change := range map[string]func(*config.Config){
		"listen.addr": func(c *config.Config) { c.Listen.Addr = l.Addr().String() },
		"admin.addr":  func(c *config.Config) { c.Admin.Addr = l.Addr().String() },
	} {
		cfg := testConfig(t, "taken-abcde")
		change(cfg)
		err := run(context.Background(), cfg, slog.New(slog.DiscardHandler), newConsole(io.Discard), func(string) { t.Error("it is ready") })
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A signal while MongoDB is waited for is no failure.
func TestServeStoppedBeforeItServes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cfg := testConfig(t, "stopped-abcde")
	cfg.MongoDB.URI = "mongodb://" + closedPort(t)
	began := time.Now()
	if err := run(ctx, cfg, slog.New(slog.DiscardHandler), newConsole(io.Discard), func(string) { t.Error("it is ready") }); err != nil {
		t.Errorf("got %v, want a shutdown in order", err)
	}
	if took := time.Since(began); took > preflightTimeout/2 {
		t.Errorf("it took %s", took)
	}
}

func TestLogFormats(t *testing.T) {
	cases := []struct {
		log  config.Log
		want string
	}{
		{config.Log{Level: "info", Format: "json"}, `{"level":"INFO","msg":"hello","n":1}` + "\n"},
		{config.Log{Level: "info", Format: "auto"}, `{"level":"INFO","msg":"hello","n":1}` + "\n"}, // a buffer is no terminal
		{config.Log{Level: "info", Format: "text"}, "level=INFO msg=hello n=1\n"},
		{config.Log{Level: "warn", Format: "text"}, ""},
	}
	for _, c := range cases {
		var b bytes.Buffer
		logger := newLogger(c.log, &b)
		logger.Info("hello", "n", 1)
		got := b.String()
		if i := strings.Index(got, "level"); i > 0 && strings.HasPrefix(got, "time=") {
			got = got[i:]
		}
		if i := strings.Index(got, `"level"`); i > 0 {
			got = "{" + got[i:]
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", c.log, got, c.want)
		}
	}
}
