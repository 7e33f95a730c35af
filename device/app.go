package device

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// apiRoot is where the HTTP API lies on every host.
const apiRoot = "/api/client/v2.0"

// DefaultRequestTimeout bounds one HTTP request, as in the SDKs.
const DefaultRequestTimeout = 60 * time.Second

// maxAnswer bounds what is read of an HTTP answer.
const maxAnswer = 4 << 20

// App is an app of a server, as an SDK sees it. It may be used by many
// goroutines.
type App struct {
	ID string

	// HTTP sends the requests. NewApp sets a client with DefaultRequestTimeout.
	HTTP *http.Client

	base string

	mu       sync.Mutex
	location *location // nil until the server has been asked
}

// location is what the server answers to a location request, completed.
type location struct {
	hostname  string // base URL of HTTP requests
	syncRoute string // the WebSocket's URL without the token
}

// NewApp makes an app of the server at baseURL. It sends nothing.
func NewApp(baseURL, id string) *App {
	return &App{
		ID:   id,
		HTTP: &http.Client{Timeout: DefaultRequestTimeout, Transport: transport},
		base: strings.TrimRight(baseURL, "/"),
	}
}

// ServiceError is an error that the HTTP API answered.
type ServiceError struct {
	Status int    // of HTTP
	Code   string // such as InvalidSession; empty if the answer carries none
	Text   string
}

func (e *ServiceError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("http status %d: %s", e.Status, e.Text)
	}
	return fmt.Sprintf("%s (http status %d, %s)", e.Text, e.Status, e.Code)
}

// guess is the location that holds until the server has told another.
func (a *App) guess() *location {
	return &location{hostname: a.base, syncRoute: webSocketURL(a.base) + a.syncPath()}
}

func (a *App) syncPath() string { return apiRoot + "/app/" + a.ID + "/realm-sync" }

// webSocketURL turns http into ws and https into wss.
func webSocketURL(base string) string {
	if rest, ok := strings.CutPrefix(base, "http"); ok {
		return "ws" + rest
	}
	return base
}

// locate returns the app's location, which it asks for once.
func (a *App) locate(ctx context.Context) (*location, error) {
	a.mu.Lock()
	known := a.location
	a.mu.Unlock()
	if known != nil {
		return known, nil
	}
	return a.relocate(ctx)
}

// relocate asks for the location at the base URL.
func (a *App) relocate(ctx context.Context) (*location, error) {
	var answer struct {
		Hostname   *string `json:"hostname"`
		WSHostname *string `json:"ws_hostname"`
		SyncRoute  string  `json:"sync_route"`
	}
	err := a.request(ctx, http.MethodGet, a.base+apiRoot+"/app/"+a.ID+"/location", "", nil, &answer)
	if err != nil {
		return nil, fmt.Errorf("ask for the location: %w", err)
	}
	if answer.Hostname == nil || answer.WSHostname == nil {
		return nil, errors.New("ask for the location: the answer lacks hostname or ws_hostname")
	}
	l := a.guess()
	if *answer.Hostname != "" {
		l.hostname = *answer.Hostname
	}
	ws := *answer.WSHostname
	if ws == "" {
		ws = webSocketURL(l.hostname)
	}
	l.syncRoute = ws + a.syncPath()
	if answer.SyncRoute != "" {
		l.syncRoute = answer.SyncRoute
	}
	if err := checkSyncRoute(l.syncRoute); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.location = l
	a.mu.Unlock()
	return l, nil
}

// checkSyncRoute refuses what makes a client throw when it opens a session.
func checkSyncRoute(route string) error {
	u, err := url.Parse(route)
	if err != nil {
		return fmt.Errorf("sync route: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("sync route %q: not a ws or wss URL of host and path alone", route)
	}
	return nil
}

// syncURL returns the WebSocket's URL: the server's, or a guess as long as the
// server has not been asked.
func (a *App) syncURL() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.location != nil {
		return a.location.syncRoute
	}
	return a.guess().syncRoute
}

// call sends a request to the host of the location. The path begins with the
// API's root.
func (a *App) call(ctx context.Context, method, path, token string, body, answer any) error {
	l, err := a.locate(ctx)
	if err != nil {
		return err
	}
	return a.request(ctx, method, l.hostname+path, token, body, answer)
}

// request sends one HTTP request and reads its JSON answer, if wanted.
func (a *App) request(ctx context.Context, method, target, token string, body, answer any) error {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, payload)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json;charset=utf-8")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if err := answerError(resp, data); err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// answerError finds the error in an answer as the SDKs do: a body of exactly
// the type application/json with a key error or error_code is an error whatever
// the status; a body of another type is not looked at.
func answerError(resp *http.Response, data []byte) error {
	e := &ServiceError{Status: resp.StatusCode}
	if resp.Header.Get("Content-Type") == "application/json" {
		var body struct {
			Error string `json:"error"`
			Code  string `json:"error_code"`
		}
		// A result may be of any JSON type: what is no object holds no error.
		if json.Unmarshal(data, &body) == nil {
			e.Code, e.Text = body.Code, body.Error
		}
	}
	if e.Code == "" && e.Text == "" {
		if resp.StatusCode >= 200 && resp.StatusCode < 300 {
			return nil
		}
		e.Text = string(data)
	}
	return e
}

// LoginAnonymous makes a new anonymous user.
func (a *App) LoginAnonymous(ctx context.Context) (*User, error) {
	return a.Login(ctx, "anon-user", nil)
}

// LoginEmail logs in with e-mail and password.
func (a *App) LoginEmail(ctx context.Context, email, password string) (*User, error) {
	return a.Login(ctx, "local-userpass", map[string]any{"username": email, "password": password})
}

// LoginJWT logs in with a token of another issuer.
func (a *App) LoginJWT(ctx context.Context, token string) (*User, error) {
	return a.Login(ctx, "custom-token", map[string]any{"token": token})
}

// Login logs in through a provider, with the fields that its credentials have,
// and asks for the profile, as the SDKs do.
func (a *App) Login(ctx context.Context, provider string, credentials map[string]any) (*User, error) {
	body := map[string]any{"options": map[string]any{"device": a.deviceInfo()}}
	if provider != "custom-function" {
		body["provider"] = provider
	}
	for k, v := range credentials {
		body[k] = v
	}
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		UserID       string `json:"user_id"`
		DeviceID     string `json:"device_id"`
	}
	path := apiRoot + "/app/" + a.ID + "/auth/providers/" + provider + "/login"
	if err := a.call(ctx, http.MethodPost, path, "", body, &answer); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	u := a.User(answer.UserID, answer.AccessToken, answer.RefreshToken)
	u.DeviceID = answer.DeviceID
	if _, err := tokenExpiry(answer.RefreshToken); err != nil {
		return nil, fmt.Errorf("log in: refresh token: %w", err)
	}
	if _, err := u.Profile(ctx); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	return u, nil
}

// deviceInfo is what SDKs say about the device. All of it is text.
func (a *App) deviceInfo() map[string]string {
	return map[string]string{
		"appId": a.ID, "platform": "Go", "platformVersion": "1", "sdk": "isthmus-device", "sdkVersion": "1",
		"cpuArch": "any", "deviceName": "headless", "deviceVersion": "1", "frameworkName": "go",
		"frameworkVersion": "1", "coreVersion": "14.12.0", "bundleId": "isthmus-device",
	}
}

// Register makes a user of e-mail and password.
func (a *App) Register(ctx context.Context, email, password string) error {
	path := apiRoot + "/app/" + a.ID + "/auth/providers/local-userpass/register"
	if err := a.call(ctx, http.MethodPost, path, "", map[string]string{"email": email, "password": password}, nil); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

// User is a user of an app who has logged in. It may be used by many
// goroutines.
type User struct {
	ID       string
	DeviceID string

	app *App

	mu      sync.Mutex
	access  string
	refresh string
}

// User makes a user of tokens that the caller has.
func (a *App) User(id, accessToken, refreshToken string) *User {
	return &User{ID: id, app: a, access: accessToken, refresh: refreshToken}
}

// AccessToken returns the token that goes into the WebSocket's URL.
func (u *User) AccessToken() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.access
}

func (u *User) refreshToken() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.refresh
}

// Refresh fetches a new access token.
func (u *User) Refresh(ctx context.Context) error {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := u.app.call(ctx, http.MethodPost, apiRoot+"/auth/session", u.refreshToken(), nil, &answer); err != nil {
		return fmt.Errorf("refresh the access token: %w", err)
	}
	if _, err := tokenExpiry(answer.AccessToken); err != nil {
		return fmt.Errorf("refresh the access token: %w", err)
	}
	u.mu.Lock()
	u.access = answer.AccessToken
	u.mu.Unlock()
	return nil
}

// Profile is what the server says about a user.
type Profile struct {
	Identities []Identity     `json:"identities"`
	Data       map[string]any `json:"data"`
}

// Identity is one way in which a user logs in.
type Identity struct {
	ID       string `json:"id"`
	Provider string `json:"provider_type"`
}

// Profile asks for the user's profile. An expired access token is refreshed
// once, as for every call that bears one.
func (u *User) Profile(ctx context.Context) (*Profile, error) {
	p := &Profile{}
	get := func() error {
		return u.app.call(ctx, http.MethodGet, apiRoot+"/auth/profile", u.AccessToken(), nil, p)
	}
	err := get()
	var refused *ServiceError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		if err := u.Refresh(ctx); err != nil {
			return nil, err
		}
		err = get()
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the profile: %w", err)
	}
	if p.Identities == nil || p.Data == nil {
		return nil, errors.New("ask for the profile: the answer lacks identities or data")
	}
	return p, nil
}

// LogOut ends the user's session on the server. The user's tokens are gone
// whatever the server answers.
func (u *User) LogOut(ctx context.Context) error {
	token := u.refreshToken()
	u.mu.Lock()
	u.access, u.refresh = "", ""
	u.mu.Unlock()
	if err := u.app.call(ctx, http.MethodDelete, apiRoot+"/auth/session", token, nil, nil); err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// expiryGrace is how long after its end a token still passes for good.
const expiryGrace = 5 * time.Second

// expired reports whether the access token must be refreshed before a session
// starts. A token that is no JWT is left for the server to judge.
func (u *User) expired(now time.Time) bool {
	exp, err := tokenExpiry(u.AccessToken())
	return err == nil && now.After(exp.Add(expiryGrace))
}

// tokenExpiry reads exp of a JWT, without looking at the signature.
func tokenExpiry(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] == "" {
		return time.Time{}, errors.New("received malformed JWT")
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, fmt.Errorf("received malformed JWT: %w", err)
	}
	var claims struct {
		Expires *int64 `json:"exp"`
		Issued  *int64 `json:"iat"`
	}
	if err := json.Unmarshal(data, &claims); err != nil {
		return time.Time{}, fmt.Errorf("received malformed JWT: %w", err)
	}
	if claims.Expires == nil || claims.Issued == nil {
		return time.Time{}, errors.New("received JWT without exp or iat")
	}
	return time.Unix(*claims.Expires, 0), nil
}
