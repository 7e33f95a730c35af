package appservices

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestClaims(t *testing.T) {
	r := newRig(t)
	u := r.login(t)
	now := r.clock.Now().Unix()
	access, refresh := payload(t, u.access), payload(t, u.refresh)
	session := access["iss"]
	want := map[string]any{
		"typ": "access", "sub": u.user, "baas_domain_id": testApp, "iss": session, "baas_id": session, "baas_device_id": u.device,
		"iat": json.Number(strconv.FormatInt(now, 10)), "exp": json.Number(strconv.FormatInt(now+1800, 10)),
	}
	if !reflect.DeepEqual(access, want) {
		t.Errorf("access token\n got %v\nwant %v", access, want)
	}
	identity, _ := refresh["baas_identity"].(map[string]any)
	if identity["id"] == "" || identity["provider_type"] != "anon-user" {
		t.Errorf("identity in the refresh token: %v", identity)
	}
	delete(refresh, "baas_identity")
	want["typ"], want["exp"] = "refresh", json.Number(strconv.FormatInt(now+90*24*3600, 10))
	if !reflect.DeepEqual(refresh, want) {
		t.Errorf("refresh token\n got %v\nwant %v", refresh, want)
	}
	if len(u.refresh) > 2000 {
		t.Errorf("the refresh token has %d characters", len(u.refresh))
	}
}

// forge signs whatever it is told to.
func forge(t *testing.T, method jwt.SigningMethod, key any, kid any, c map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(c))
	if kid != nil {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifyAccess(t *testing.T) {
	secret := bytes.Repeat([]byte("s"), 32)
	r := newRig(t, func(o *Options) {
		o.TokenKeys = []Key{{ID: "k2", Secret: secret}, {ID: "k1", Secret: bytes.Repeat([]byte("o"), 32)}}
	})
	u := r.login(t)
	parts := strings.Split(u.access, ".")
	with := func(change map[string]any) map[string]any {
		c := payload(t, u.access)
		for k, v := range change {
			c[k] = v
		}
		return c
	}
	hs := jwt.SigningMethodHS256
	now := r.clock.Now().Unix()
	other := r.login(t)
	cases := []struct {
		name, app, token string
		want             error // nil: accepted
	}{
		{"as issued", testApp, u.access, nil},
		{"no app asked for", "", u.access, nil},
		{"the second key", testApp, forge(t, hs, bytes.Repeat([]byte("o"), 32), "k1", with(nil)), nil},
		{"issued in the future, by a node whose clock is ahead", testApp, forge(t, hs, secret, "k2", with(map[string]any{"iat": now + 3600, "exp": now + 5400})), nil},
		{"another app asked for", "notes-fghij", u.access, ErrTokenInvalid},
		{"of another app", testApp, forge(t, hs, secret, "k2", with(map[string]any{"baas_domain_id": "notes-fghij"})), ErrTokenInvalid},
		{"a refresh token", testApp, u.refresh, ErrTokenInvalid},
		{"of no type", testApp, forge(t, hs, secret, "k2", with(map[string]any{"typ": ""})), ErrTokenInvalid},
		{"expired", testApp, forge(t, hs, secret, "k2", with(map[string]any{"exp": now})), ErrTokenExpired},
		{"no end", testApp, forge(t, hs, secret, "k2", with(map[string]any{"exp": nil})), ErrTokenExpired},
		{"empty", testApp, "", ErrTokenInvalid},
		{"one part", testApp, "eyJ", ErrTokenInvalid},
		{"no signature", testApp, parts[0] + "." + parts[1] + ".", ErrTokenInvalid},
		{"another's signature", testApp, parts[0] + "." + parts[1] + "." + strings.Split(other.access, ".")[2], ErrTokenInvalid},
		{"four parts", testApp, u.access + ".x", ErrTokenInvalid},
		{"endless", testApp, strings.Repeat("x", maxToken+1), ErrTokenInvalid},
		{"alg none", testApp, forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "k2", with(nil)), ErrTokenInvalid},
		{"alg None in other letters", testApp, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"nOnE","kid":"k2"}`)) + "." + parts[1] + ".", ErrTokenInvalid},
		{"another alg with the key", testApp, forge(t, jwt.SigningMethodHS512, secret, "k2", with(nil)), ErrTokenInvalid},
		{"another key", testApp, forge(t, hs, []byte("guess"), "k2", with(nil)), ErrTokenInvalid},
		{"an unknown key", testApp, forge(t, hs, secret, "k9", with(nil)), ErrTokenInvalid},
		{"no key id", testApp, forge(t, hs, secret, nil, with(nil)), ErrTokenInvalid},
		{"a key id of another type", testApp, forge(t, hs, secret, 5, with(nil)), ErrTokenInvalid},
		{"an unknown session", testApp, forge(t, hs, secret, "k2", with(map[string]any{"iss": "x"})), ErrTokenInvalid},
		{"an unknown user", testApp, forge(t, hs, secret, "k2", with(map[string]any{"sub": "x"})), ErrUserDeleted},
		{"another user's session", testApp, forge(t, hs, secret, "k2", with(map[string]any{"sub": other.user})), ErrTokenInvalid},
		{"claims of other types", testApp, forge(t, hs, secret, "k2", with(map[string]any{"sub": 5})), ErrTokenInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			user, session, err := r.VerifyAccess(context.Background(), c.app, c.token)
			if c.want != nil {
				if !errors.Is(err, c.want) || user != "" || session != "" {
					t.Errorf("got %q, %q, %v; want %v", user, session, err, c.want)
				}
				return
			}
			if err != nil || user != u.user || session != payload(t, u.access)["iss"] {
				t.Errorf("got %q, %q, %v; want %s", user, session, err, u.user)
			}
		})
	}
}

func FuzzVerifyAccess(f *testing.F) {
	api, err := Open(context.Background(), Options{AppID: testApp, Store: NewMemoryStore(), TokenKeys: []Key{{ID: "k", Secret: []byte("s")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.e30.x")
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := api.VerifyAccess(context.Background(), testApp, token); err == nil {
			t.Errorf("%q was accepted", token)
		}
	})
}

func TestKeyRotation(t *testing.T) {
	ctx := context.Background()
	store := NewMemoryStore()
	shared := func(o *Options) { o.Store = store }
	one, two := newRig(t, shared), newRig(t, shared)
	verified := func(r *rig, token string) error {
		_, _, err := r.VerifyAccess(ctx, testApp, token)
		return err
	}
	first := one.login(t)
	if err := verified(two, first.access); err != nil {
		t.Fatalf("the other node refuses the first key: %v", err)
	}

	two.clock.Add(2 * keyringPause)
	one.clock.Add(2 * keyringPause)
	if err := one.RotateKeys(ctx); err != nil {
		t.Fatal(err)
	}
	second := one.login(t)
	if kid(t, first.access) == kid(t, second.access) {
		t.Fatal("the key is still the old one")
	}
	for name, token := range map[string]string{"old": first.access, "new": second.access} {
		for i, r := range []*rig{one, two} {
			if err := verified(r, token); err != nil {
				t.Errorf("node %d refuses the %s key: %v", i+1, name, err)
			}
		}
	}

	// Twice drops the first key, at once here, within a minute elsewhere.
	one.clock.Add(2 * keyringPause)
	if err := one.RotateKeys(ctx); err != nil {
		t.Fatal(err)
	}
	if err := verified(one, first.access); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("the dropped key: %v, want ErrTokenInvalid", err)
	}
	two.clock.Add(keyringAge)
	if err := verified(two, first.access); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("the dropped key on the other node: %v, want ErrTokenInvalid", err)
	}
	if err := verified(two, second.access); err != nil {
		t.Errorf("the key before the last on the other node: %v", err)
	}
	if got, want := kid(t, two.login(t).access), kid(t, one.login(t).access); got != want {
		t.Errorf("the other node signs with %s, want %s", got, want)
	}

	static := newRig(t, func(o *Options) { o.TokenKeys = []Key{{ID: "k", Secret: []byte("s")}} })
	if err := static.RotateKeys(ctx); err == nil {
		t.Error("the configuration's keys were rotated")
	}
}

func kid(t *testing.T, token string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Alg, Typ, Kid string }
	if err := json.Unmarshal(text, &header); err != nil || header.Alg != "HS256" || header.Typ != "JWT" {
		t.Fatalf("header %s: %v", text, err)
	}
	return header.Kid
}

// countingStore counts how often the keys are read.
type countingStore struct {
	Store
	reads int
}

func (c *countingStore) Keys(ctx context.Context, first Key) ([]Key, error) {
	c.reads++
	return c.Store.Keys(ctx, first)
}

// Tokens with unknown keys do not have the keys read more often than once in a
// while, and wait for that rather than being refused too early.
func TestUnknownKeysAreBounded(t *testing.T) {
	counting := &countingStore{Store: NewMemoryStore()}
	r := newRig(t, func(o *Options) { o.Store = counting; o.Now = time.Now; o.Timeout = 100 * time.Millisecond })
	foreign := newRig(t).login(t)
	began := time.Now()
	for range 3 {
		wantRetry(t, r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(foreign.refresh)))
	}
	before := counting.reads
	if took := time.Since(began); took < keyringPause && before != 1 {
		t.Errorf("the keys were read %d times in %s", before, took)
	}
	if _, _, err := r.VerifyAccess(context.Background(), testApp, foreign.access); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("after a reading: %v, want ErrTokenInvalid", err)
	}
	if counting.reads != before+1 {
		t.Errorf("the keys were read %d times, want %d", counting.reads, before+1)
	}
}
