package device

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLogin asks in the order of the SDKs.
func TestLogin(t *testing.T) {
	s := newFakeServer(t)
	app := s.app()
	user, err := app.LoginAnonymous(context.Background())
	if err != nil || user.ID != "user-1" || user.DeviceID != "d" || user.AccessToken() == "" {
		t.Fatalf("%+v, %v", user, err)
	}
	second, err := app.LoginEmail(context.Background(), "a@b.c", "secret")
	if err != nil || second.ID != "user-2" {
		t.Fatalf("%+v, %v", second, err)
	}
	if _, err := app.LoginJWT(context.Background(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := user.LogOut(context.Background()); err != nil || user.AccessToken() != "" {
		t.Error(err)
	}
	root := "/api/client/v2.0/"
	want := []string{
		"GET " + root + "app/fake-app/location", // once
		"POST " + root + "app/fake-app/auth/providers/anon-user/login",
		"GET " + root + "auth/profile",
		"POST " + root + "app/fake-app/auth/providers/local-userpass/login",
		"GET " + root + "auth/profile",
		"POST " + root + "app/fake-app/auth/providers/custom-token/login",
		"GET " + root + "auth/profile",
		"DELETE " + root + "auth/session",
	}
	if got := s.requested(); !slices.Equal(got, want) {
		t.Errorf("requests\n got %q\nwant %q", got, want)
	}
}

// TestLoginFails for what SDKs do not put up with.
func TestLoginFails(t *testing.T) {
	good := `{"access_token":"` + token("u", 0, time.Now()) + `","refresh_token":"` + token("u", 1, time.Now()) + `","user_id":"u","device_id":"d"}`
	for _, tc := range []struct {
		name, request string
		answer        answer
		want          string
	}{
		{"refused", "/login", answer{401, `{"error":"invalid username/password","error_code":"InvalidPassword"}`}, "InvalidPassword"},
		{"plain text", "/login", answer{404, `not here`}, "404: not here"},
		{"an error that says 200", "/login", answer{200, `{"error_code":"BadRequest"}`}, "BadRequest"},
		{"no JSON", "/login", answer{200, `hello`}, "read answer"},
		{"refresh token without times", "/login", answer{200, strings.Replace(good, token("u", 1, time.Now()), "a.e30.c", 1)}, "without exp or iat"},
		{"refresh token is no JWT", "/login", answer{200, strings.Replace(good, token("u", 1, time.Now()), "abc", 1)}, "malformed JWT"},
		{"profile refused", "/profile", answer{403, `{"error":"no","error_code":"X"}`}, "X"},
		{"profile without identities", "/profile", answer{200, `{"data":{}}`}, "lacks identities"},
		{"no host", "/location", answer{200, `{"hostname":"http://HOST"}`}, "lacks hostname or ws_hostname"},
		{"bad route", "/location", answer{200, `{"hostname":"","ws_hostname":"","sync_route":"ws://HOST/x?a=b"}`}, "sync route"},
		{"route that is no URL", "/location", answer{200, `{"hostname":"","ws_hostname":"","sync_route":"ws://HOST:x:y"}`}, "sync route"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newFakeServer(t)
			s.answer(tc.request, tc.answer)
			if _, err := s.app().LoginAnonymous(context.Background()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestRegister refuses as the server does.
func TestRegister(t *testing.T) {
	s := newFakeServer(t)
	s.answer("/register", answer{201, ``}, answer{409, `{"error":"name already in use","error_code":"AccountNameInUse"}`})
	if err := s.app().Register(context.Background(), "a@b.c", "secret"); err != nil {
		t.Error(err)
	}
	var e *ServiceError
	if err := s.app().Register(context.Background(), "a@b.c", "secret"); !errors.As(err, &e) || e.Status != 409 || e.Code != "AccountNameInUse" {
		t.Error(err)
	}
}

// TestLocation takes the hosts that the server names, or derives them.
func TestLocation(t *testing.T) {
	for _, tc := range []struct{ answer, sync string }{
		{`{"hostname":"http://HOST","ws_hostname":"ws://HOST"}`, "ws://HOST/api/client/v2.0/app/fake-app/realm-sync"},
		{`{"hostname":"","ws_hostname":""}`, "ws://HOST/api/client/v2.0/app/fake-app/realm-sync"},
		{`{"hostname":"https://else.where","ws_hostname":""}`, "wss://else.where/api/client/v2.0/app/fake-app/realm-sync"},
		{`{"hostname":"http://HOST","ws_hostname":"ws://HOST","sync_route":"wss://sync.else.where/s"}`, "wss://sync.else.where/s"},
	} {
		s := newFakeServer(t)
		app := s.app()
		host := strings.TrimPrefix(s.http.URL, "http://")
		if got, want := app.syncURL(), "ws://"+host+"/api/client/v2.0/app/fake-app/realm-sync"; got != want {
			t.Errorf("the guess is %q, want %q", got, want)
		}
		s.answer("/location", answer{200, tc.answer})
		if _, err := app.locate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, want := app.syncURL(), strings.ReplaceAll(tc.sync, "HOST", host); got != want {
			t.Errorf("%s: the route is %q, want %q", tc.answer, got, want)
		}
	}
}

// TestProfileRefreshes an access token that is refused, once.
func TestProfileRefreshes(t *testing.T) {
	s := newFakeServer(t)
	user := s.user("u")
	s.answer("/profile", answer{401, `{"error":"invalid session","error_code":"InvalidSession"}`},
		answer{200, `{"identities":[{"id":"i","provider_type":"anon-user"}],"data":{"name":"A"}}`})
	p, err := user.Profile(context.Background())
	if err != nil || p.Data["name"] != "A" || p.Identities[0].Provider != "anon-user" {
		t.Fatalf("%+v, %v", p, err)
	}
	s.answer("/profile", answer{401, `{"error":"invalid session","error_code":"InvalidSession"}`})
	if _, err := user.Profile(context.Background()); err == nil {
		t.Error("a second refusal is let pass")
	}
}
