package appservices

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// appError is what the library made of a failed call.
func appError(t *testing.T, err error) realmclient.AppError {
	t.Helper()
	var failed *realmclient.CommandError
	if !errors.As(err, &failed) || failed.App == nil {
		t.Fatalf("got %v, want an error of the app's server", err)
	}
	return *failed.App
}

// The library that apps ship logs in, renews, and logs out; it reads codes,
// texts and links of errors.
func TestRealClient(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, func(o *Options) { o.Store = mongoStore(t) })
	server := httptest.NewServer(r)
	defer server.Close()
	c := realmclient.Run(t, realmclient.Options{LogLevel: "warn"})
	dir := t.TempDir()
	if err := c.App(ctx, realmclient.AppConfig{ID: testApp, BaseURL: server.URL, DataDir: dir}); err != nil {
		t.Fatal(err)
	}

	u, err := c.LoginAnonymous(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if u.State != "logged_in" || len(u.ID) != 24 || len(u.DeviceID) != 24 {
		t.Errorf("got %+v", u)
	}
	if user, _, err := r.VerifyAccess(ctx, testApp, u.AccessToken); err != nil || user != u.ID {
		t.Errorf("the client's access token: %q, %v", user, err)
	}

	if _, err := c.Do(ctx, realmclient.Command{Op: "refresh_custom_data"}); err != nil {
		t.Errorf("renewal: %v", err)
	}

	_, err = c.Do(ctx, realmclient.Command{Op: "login_email", RealmConfig: realmclient.RealmConfig{User: "email"},
		Credentials: realmclient.Credentials{Email: "a@example.com", Password: "secret"}})
	if e := appError(t, err); e.HTTPStatus != 404 || e.Message != "authentication provider not found" || !strings.HasPrefix(e.Logs, server.URL+"/logs?co_id=") {
		t.Errorf("a provider that is off: %+v", e)
	}
	_, err = c.Do(ctx, realmclient.Command{Op: "call_function", Name: "f", Args: []any{}})
	if e := appError(t, err); e.HTTPStatus != 404 {
		t.Errorf("a route that is not there: %+v", e)
	}

	// The client is told about a disabled user, and renews by itself after a 401.
	if err := r.opts.Store.SetDisabled(ctx, u.ID, true); err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(ctx, realmclient.Command{Op: "refresh_custom_data"})
	if e := appError(t, err); e.HTTPStatus != 401 || e.Message != "user disabled" {
		t.Errorf("a disabled user: %+v", e)
	}
	if err := r.opts.Store.SetDisabled(ctx, u.ID, false); err != nil {
		t.Fatal(err)
	}

	if err := c.Logout(ctx); err != nil {
		t.Errorf("log-out: %v", err)
	}
	session, _ := payload(t, u.AccessToken)["iss"].(string)
	if s, err := r.opts.Store.Session(ctx, session); err != nil || s.Revoked.IsZero() {
		t.Errorf("after the log-out the session is %+v, %v", s, err)
	}
}

// A process that starts again goes on as the user it was.
func TestRealClientRestarts(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	server := httptest.NewServer(r)
	defer server.Close()
	dir := t.TempDir()
	var first realmclient.User
	for i := range 2 {
		c := realmclient.Run(t, realmclient.Options{LogLevel: "warn"})
		if err := c.App(ctx, realmclient.AppConfig{ID: testApp, BaseURL: server.URL, DataDir: dir}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			var err error
			if first, err = c.LoginAnonymous(ctx); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		again, err := c.CurrentUser(ctx)
		if err != nil || again == nil || again.ID != first.ID {
			t.Fatalf("after the restart: %+v, %v; want user %s", again, err, first.ID)
		}
		if _, err := c.Do(ctx, realmclient.Command{Op: "refresh_custom_data"}); err != nil {
			t.Errorf("renewal after the restart: %v", err)
		}
		raw, err := c.Do(ctx, realmclient.Command{Op: "user"})
		var now realmclient.User
		if err != nil || json.Unmarshal(raw, &now) != nil || now.State != "logged_in" {
			t.Errorf("the user after the renewal: %s, %v", raw, err)
		}
	}
}
