package appservices

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const testApp = "tasks-abcde"

// testClock is a clock that moves when told to.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// brokenStore fails whenever it is told to.
type brokenStore struct {
	Store
	broken bool
}

var errBroken = errors.New("connection refused")

func (b *brokenStore) UserWith(ctx context.Context, i Identity, u User) (User, error) {
	if b.broken {
		return User{}, errBroken
	}
	return b.Store.UserWith(ctx, i, u)
}

func (b *brokenStore) User(ctx context.Context, id string) (User, error) {
	if b.broken {
		return User{}, errBroken
	}
	return b.Store.User(ctx, id)
}

func (b *brokenStore) Session(ctx context.Context, id string) (Session, error) {
	if b.broken {
		return Session{}, errBroken
	}
	return b.Store.Session(ctx, id)
}

func (b *brokenStore) RevokeSession(ctx context.Context, id string, at time.Time) error {
	if b.broken {
		return errBroken
	}
	return b.Store.RevokeSession(ctx, id, at)
}

func (b *brokenStore) Keys(ctx context.Context, first Key) ([]Key, error) {
	if b.broken {
		return nil, errBroken
	}
	return b.Store.Keys(ctx, first)
}

// rig is an API under test.
type rig struct {
	*API
	clock *testClock
	store *brokenStore
	log   *bytes.Buffer
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{clock: &testClock{now: time.Now()}, store: &brokenStore{Store: NewMemoryStore()}, log: &bytes.Buffer{}}
	opts := Options{
		AppID: testApp, Store: r.store, CORSOrigins: []string{"*"}, Anonymous: &AnonymousOptions{}, Now: r.clock.Now,
		Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&opts)
	}
	api, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	r.API = api
	return r
}

// ask sends a request; headers are "Name: value".
func (r *rig) ask(method, path, body string, headers ...string) *http.Response {
	req := httptest.NewRequest(method, "http://10.0.2.2:9090"+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json;charset=utf-8")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Result()
}

// answered is what a client gets to know of an answer.
func answered(t *testing.T, res *http.Response) (status int, contentType, body string) {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(text)
}

// object is the JSON object of a success.
func object(t *testing.T, res *http.Response, wantStatus int) map[string]any {
	t.Helper()
	status, contentType, text := answered(t, res)
	if status != wantStatus || contentType != "application/json" {
		t.Fatalf("got %d %s %s, want %d", status, contentType, text, wantStatus)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	if out["error"] != nil || out["error_code"] != nil {
		t.Fatalf("a client takes this success for an error: %s", text)
	}
	return out
}

const loginPath = "/api/client/v2.0/app/tasks-abcde/auth/providers/anon-user/login"

// What the real client sent when it was recorded.
const loginBody = `{"provider":"anon-user","options":{"device":{"appId":"stub-app","platform":"Linux","platformVersion":"1","sdk":"realmclient","sdkVersion":"0.1","cpuArch":"x86_64","deviceName":"harness","deviceVersion":"1","frameworkName":"go","frameworkVersion":"1","coreVersion":"14.12.0","bundleId":""}}}`

type tokens struct{ access, refresh, user, device string }

func (r *rig) login(t *testing.T) tokens {
	t.Helper()
	out := object(t, r.ask("POST", loginPath, loginBody), 200)
	var got tokens
	for name, p := range map[string]*string{"access_token": &got.access, "refresh_token": &got.refresh, "user_id": &got.user, "device_id": &got.device} {
		s, ok := out[name].(string)
		if !ok || s == "" {
			t.Fatalf("%s is %v", name, out[name])
		}
		*p = s
	}
	return got
}

func asBearer(token string) string { return "Authorization: Bearer " + token }

// wantError checks an answer as a client reads it: the content type exactly,
// the code by name, all strings.
func wantError(t *testing.T, res *http.Response, status int, code, text string) {
	t.Helper()
	gotStatus, contentType, body := answered(t, res)
	if gotStatus != status || contentType != "application/json" {
		t.Errorf("got %d, %q, %s; want %d, application/json", gotStatus, contentType, body, status)
		return
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Errorf("not an object of strings: %s: %v", body, err)
	}
	id := res.Header.Get(RequestIDHeader)
	want := map[string]string{"error": text, "error_code": code, "link": "http://10.0.2.2:9090/logs?co_id=" + id}
	if !reflect.DeepEqual(got, want) || id == "" {
		t.Errorf("got %v, want %v", got, want)
	}
}

func wantRetry(t *testing.T, res *http.Response) {
	t.Helper()
	status, contentType, body := answered(t, res)
	if status != 503 || strings.HasPrefix(contentType, "application/json") || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, %q, %s; want a plain 503", status, contentType, body)
	}
}

func TestLocation(t *testing.T) {
	cases := []struct {
		name      string
		publicURL string
		headers   []string
		want      string // hostname
	}{
		{"as the device said", "", nil, "http://10.0.2.2:9090"},
		{"behind a TLS proxy", "", []string{"X-Forwarded-Proto: https"}, "https://10.0.2.2:9090"},
		{"behind two proxies", "", []string{"X-Forwarded-Proto: HTTPS, http"}, "https://10.0.2.2:9090"},
		{"a header that means nothing", "", []string{"X-Forwarded-Proto: gopher"}, "http://10.0.2.2:9090"},
		{"configured", "https://sync.example.com", []string{"X-Forwarded-Proto: http"}, "https://sync.example.com"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.PublicURL = c.publicURL })
			got := object(t, r.ask("GET", "/api/client/v2.0/app/tasks-abcde/location", "", c.headers...), 200)
			ws := "ws" + strings.TrimPrefix(c.want, "http")
			want := map[string]any{
				"deployment_model": "GLOBAL", "location": "US-VA", "hostname": c.want, "ws_hostname": ws,
				"sync_route": ws + "/api/client/v2.0/app/tasks-abcde/realm-sync",
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestLogInAndProfile(t *testing.T) {
	r := newRig(t)
	got := r.login(t)
	for what, id := range map[string]string{"user_id": got.user, "device_id": got.device} {
		if !regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString(id) || strings.Trim(id, "0") == "" {
			t.Errorf("%s is %q, want 24 hexadecimal digits", what, id)
		}
	}
	if second := r.login(t); second.user == got.user {
		t.Error("two anonymous log-ins are one user")
	}
	profile := object(t, r.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(got.access)), 200)
	identities, _ := profile["identities"].([]any)
	if len(identities) != 1 {
		t.Fatalf("identities: %v, want one", profile["identities"])
	}
	identity, _ := identities[0].(map[string]any)
	id, ok := identity["id"].(string)
	if !ok || id == "" {
		t.Errorf("the identity's id is %v", identity["id"])
	}
	want := map[string]any{
		"user_id": got.user, "domain_id": testApp, "type": "normal", "last_authentication_date": float64(r.clock.Now().Unix()),
		"identities": []any{map[string]any{"id": id, "provider_type": "anon-user", "provider_id": "anon-user"}},
		"data":       map[string]any{}, "custom_data": map[string]any{}, "metadata": []any{},
	}
	if !reflect.DeepEqual(profile, want) {
		t.Errorf("got  %v\nwant %v", profile, want)
	}
	c := payload(t, got.access)
	s, err := r.store.Session(context.Background(), c["iss"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Device{ID: got.device, Platform: "Linux", PlatformVersion: "1", SDK: "realmclient", SDKVersion: "0.1", CPUArch: "x86_64", Name: "harness", Version: "1", FrameworkName: "go", FrameworkVersion: "1", CoreVersion: "14.12.0"}); s.Device != want {
		t.Errorf("stored device %+v, want %+v", s.Device, want)
	}
}

// Nothing of the device is demanded.
func TestLogInBodies(t *testing.T) {
	r := newRig(t)
	cases := []struct {
		name, body string
		status     int
		code, text string
	}{
		{"nothing", "", 200, "", ""},
		{"an empty object", "{}", 200, "", ""},
		{"no device", `{"provider":"anon-user","options":{}}`, 200, "", ""},
		{"a device of another form", `{"options":{"device":"phone"}}`, 200, "", ""},
		{"fields of other types", `{"options":{"device":{"sdk":5,"platform":null,"sdkVersion":["x"]}}}`, 200, "", ""},
		{"unknown fields", `{"provider":"anon-user","x":{"$numberInt":"1"},"options":{"device":{"y":"z"},"w":1}}`, 200, "", ""},
		{"an array", `[]`, 400, "BadRequest", "request body is not a JSON object"},
		{"half an object", `{"provider":`, 400, "BadRequest", "request body is not a JSON object"},
		{"too much", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, "ReadSizeLimitExceeded", "request body too large"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res := r.ask("POST", loginPath, c.body)
			if c.status == 200 {
				object(t, res, 200)
				return
			}
			wantError(t, res, c.status, c.code, c.text)
		})
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	u := r.login(t)
	cases := []struct {
		name, method, path string
		headers            []string
		status             int
		code, text         string
	}{
		{"another app's location", "GET", "/api/client/v2.0/app/notes-fghij/location", nil, 404, "AppNotFound", "cannot find app using Client App ID 'notes-fghij'"},
		{"another app's log-in", "POST", "/api/client/v2.0/app/notes-fghij/auth/providers/anon-user/login", nil, 404, "AppNotFound", "cannot find app using Client App ID 'notes-fghij'"},
		{"a provider that is off", "POST", "/api/client/v2.0/app/tasks-abcde/auth/providers/local-userpass/login", nil, 404, "AuthProviderNotFound", "authentication provider not found"},
		{"a provider that is unknown", "POST", "/api/client/v2.0/app/tasks-abcde/auth/providers/x/login", nil, 404, "AuthProviderNotFound", "authentication provider not found"},
		{"linking an anonymous identity", "POST", loginPath + "?link=true", []string{asBearer(u.access)}, 400, "BadRequest", "linking is not supported for this provider"},
		{"profile without a token", "GET", "/api/client/v2.0/auth/profile", nil, 401, "InvalidSession", "invalid session"},
		{"profile with another scheme", "GET", "/api/client/v2.0/auth/profile", []string{"Authorization: Basic " + u.access}, 401, "InvalidSession", "invalid session"},
		{"profile with a refresh token", "GET", "/api/client/v2.0/auth/profile", []string{asBearer(u.refresh)}, 401, "InvalidSession", "invalid session"},
		{"renewal with an access token", "POST", "/api/client/v2.0/auth/session", []string{asBearer(u.access)}, 401, "InvalidSession", "invalid session"},
		{"renewal without a token", "POST", "/api/client/v2.0/auth/session", nil, 401, "InvalidSession", "invalid session"},
		{"renewal with garbage", "POST", "/api/client/v2.0/auth/session", []string{asBearer("eyJ.abc.def")}, 401, "InvalidSession", "invalid session"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wantError(t, r.ask(c.method, c.path, "", c.headers...), c.status, c.code, c.text)
		})
	}
}

// A route that is not there is told plainly.
func TestUnknownRoutes(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/api/client/v2.0/", "/api/client/v2.0/auth/api_keys", "/api/client/v2.0/app/tasks-abcde/functions/call"} {
		status, contentType, body := answered(t, r.ask("POST", path, "{}"))
		if status != 404 || !strings.HasPrefix(contentType, "text/plain") || body != "404 page not found\n" {
			t.Errorf("%s: got %d %s %q, want a plain 404", path, status, contentType, body)
		}
	}
	if status, _, _ := answered(t, r.ask("GET", loginPath, "")); status != 405 {
		t.Errorf("GET of the log-in: %d, want 405", status)
	}
}

func TestRenewalAndLogOut(t *testing.T) {
	var over []string
	r := newRig(t, func(o *Options) { o.OnLogOut = func(user, session string) { over = append(over, user+" "+session) } })
	u := r.login(t)
	r.clock.Add(31 * time.Minute)
	wantError(t, r.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(u.access)), 401, "InvalidSession", "invalid session")
	renewed := object(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 201)
	access, _ := renewed["access_token"].(string)
	object(t, r.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(access)), 200)
	if got := payload(t, access)["exp"].(json.Number).String(); got != json.Number(jsonInt(r.clock.Now().Unix()+1800)).String() {
		t.Errorf("the renewed token ends at %s, now is %d", got, r.clock.Now().Unix())
	}

	for range 2 { // again does no harm
		status, _, body := answered(t, r.ask("DELETE", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)))
		if status != 204 || body != "" {
			t.Errorf("log-out: %d %q, want 204", status, body)
		}
	}
	for _, token := range []string{"", "garbage", u.access} {
		if status, _, _ := answered(t, r.ask("DELETE", "/api/client/v2.0/auth/session", "", asBearer(token))); status != 204 {
			t.Errorf("log-out with %q: %d, want 204", token, status)
		}
	}
	session := payload(t, u.access)["iss"].(string)
	if want := []string{u.user + " " + session, u.user + " " + session}; !reflect.DeepEqual(over, want) {
		t.Errorf("sessions told to be over: %v, want %v", over, want)
	}
	wantError(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 401, "InvalidSession", "invalid session")
	wantError(t, r.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(access)), 401, "InvalidSession", "invalid session")
	if _, _, err := r.VerifyAccess(context.Background(), testApp, access); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("the sync route after the log-out: %v, want ErrTokenInvalid", err)
	}
}

func TestSessionEnds(t *testing.T) {
	const day = 24 * time.Hour
	t.Run("an anonymous user lives from renewal to renewal", func(t *testing.T) {
		r := newRig(t)
		u := r.login(t)
		for range 4 {
			r.clock.Add(89 * day)
			object(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 201)
		}
		r.clock.Add(90*day + time.Second)
		wantError(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 401, "InvalidSession", "invalid session")
	})
	t.Run("others log in again", func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Anonymous = nil })
		r.add(nameProvider{})
		res := r.ask("POST", "/api/client/v2.0/app/tasks-abcde/auth/providers/custom-function/login", `{"name":"anna"}`)
		refresh, _ := object(t, res, 200)["refresh_token"].(string)
		r.clock.Add(59 * day)
		object(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(refresh)), 201)
		r.clock.Add(day + time.Second)
		wantError(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(refresh)), 401, "InvalidSession", "invalid session")
	})
}

// nameProvider believes whatever name it is told: a provider whose users come back.
type nameProvider struct{}

func (nameProvider) name() string { return "custom-function" }

func (nameProvider) identify(_ context.Context, c credentials) (Identity, error) {
	var name string
	if err := json.Unmarshal(c["name"], &name); err != nil || c["options"] != nil {
		return Identity{}, &answerError{http.StatusUnauthorized, "AuthError", "no name"}
	}
	return Identity{ID: name, Data: map[string]string{"name": name}}, nil
}

func (nameProvider) lifetime(usual time.Duration) lifetime { return lifetime{ttl: usual} }

// Another provider is one more implementation: its users come back under the
// same id, and its refusals reach the client.
func TestAnotherProvider(t *testing.T) {
	r := newRig(t)
	r.add(nameProvider{})
	const path = "/api/client/v2.0/app/tasks-abcde/auth/providers/custom-function/login"
	first := object(t, r.ask("POST", path, `{"name":"anna","options":{"device":{}}}`), 200)
	again := object(t, r.ask("POST", path, `{"name":"anna"}`), 200)
	if first["user_id"] != again["user_id"] || first["device_id"] == again["device_id"] {
		t.Errorf("got %v and %v, want one user on two devices", first, again)
	}
	profile := object(t, r.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(first["access_token"].(string))), 200)
	if want := map[string]any{"name": "anna"}; !reflect.DeepEqual(profile["data"], want) {
		t.Errorf("profile data %v, want %v", profile["data"], want)
	}
	wantError(t, r.ask("POST", path, `{}`), 401, "AuthError", "no name")
}

func TestDisabledUser(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	r.add(nameProvider{})
	const path = "/api/client/v2.0/app/tasks-abcde/auth/providers/custom-function/login"
	u := object(t, r.ask("POST", path, `{"name":"anna"}`), 200)
	id, access, refresh := u["user_id"].(string), u["access_token"].(string), u["refresh_token"].(string)
	if err := r.store.SetDisabled(ctx, id, true); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.ask("POST", path, `{"name":"anna"}`), 401, "UserDisabled", "user disabled")
	wantError(t, r.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(access)), 401, "UserDisabled", "user disabled")
	wantError(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(refresh)), 401, "UserDisabled", "user disabled")
	if _, _, err := r.VerifyAccess(ctx, testApp, access); !errors.Is(err, ErrUserDisabled) {
		t.Errorf("the sync route: %v, want ErrUserDisabled", err)
	}
	if err := r.store.SetDisabled(ctx, id, false); err != nil {
		t.Fatal(err)
	}
	object(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(refresh)), 201)
}

// A user who is gone has to log in again.
func TestDeletedUser(t *testing.T) {
	r := newRig(t)
	u := r.login(t)
	memory := r.store.Store.(*MemoryStore)
	delete(memory.users, u.user)
	wantError(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 401, "InvalidSession", "invalid session")
	if _, _, err := r.VerifyAccess(context.Background(), testApp, u.access); !errors.Is(err, ErrUserDeleted) {
		t.Errorf("the sync route: %v, want ErrUserDeleted", err)
	}
}

// A store that cannot be asked logs nobody out.
func TestStoreFailureIsNoRefusal(t *testing.T) {
	r := newRig(t)
	u := r.login(t)
	other := newRig(t) // tokens with a key that r does not have
	foreign := other.login(t)
	r.clock.Add(2 * keyringPause)
	r.store.broken = true
	cases := []struct{ name, method, path, token string }{
		{"log-in", "POST", loginPath, ""},
		{"profile", "GET", "/api/client/v2.0/auth/profile", u.access},
		{"renewal", "POST", "/api/client/v2.0/auth/session", u.refresh},
		{"log-out", "DELETE", "/api/client/v2.0/auth/session", u.refresh},
		{"renewal with an unknown key", "POST", "/api/client/v2.0/auth/session", foreign.refresh},
		{"profile with an unknown key", "GET", "/api/client/v2.0/auth/profile", foreign.access},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { wantRetry(t, r.ask(c.method, c.path, "{}", asBearer(c.token))) })
	}
	_, _, err := r.VerifyAccess(context.Background(), testApp, u.access)
	if !errors.Is(err, errBroken) || errors.Is(err, ErrTokenInvalid) {
		t.Errorf("the sync route: %v, want the store's error", err)
	}
	r.store.broken = false
	object(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 201)
}

// A server that is configured for another app than its devices' logs nobody
// out; one that has lost its keys has to.
func TestTokensOfAnotherApp(t *testing.T) {
	mistaken := newRig(t, func(o *Options) { o.AppID = "notes-fghij" })
	u := newRig(t).login(t)
	wantRetry(t, mistaken.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)))
	if _, _, err := mistaken.VerifyAccess(context.Background(), "notes-fghij", u.access); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("the sync route: %v, want ErrTokenInvalid", err)
	}
	lost := newRig(t)
	wantError(t, lost.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh)), 401, "InvalidSession", "invalid session")
	// The same keys do not make it the same app.
	keys := func(o *Options) { o.TokenKeys = []Key{{ID: "k1", Secret: bytes.Repeat([]byte("s"), 32)}} }
	one, two := newRig(t, keys), newRig(t, keys, func(o *Options) { o.AppID = "notes-fghij" })
	wantError(t, two.ask("GET", "/api/client/v2.0/auth/profile", "", asBearer(one.login(t).access)), 401, "InvalidSession", "invalid session")
}

func TestOpenRefuses(t *testing.T) {
	for name, opts := range map[string]Options{
		"no app":         {Store: NewMemoryStore()},
		"no store":       {AppID: testApp},
		"a broken store": {AppID: testApp, Store: &brokenStore{Store: NewMemoryStore(), broken: true}},
	} {
		if _, err := Open(context.Background(), opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func jsonInt(n int64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

// payload is the middle part of a token, numbers as they were written.
func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] == "" {
		t.Fatalf("not three parts: %s", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
