package appservices

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What is wrong with a token. Any other error of the functions that check one
// means that it could not be found out: the client has to come back later.
var (
	ErrTokenInvalid = errors.New("invalid token")
	ErrTokenExpired = errors.New("token expired")
	ErrUserDisabled = errors.New("user disabled")
	ErrUserDeleted  = errors.New("user deleted")

	// errForeignApp is about a token of an app that this server does not serve,
	// signed with a key that it does not have: more likely a mistake in the
	// configuration than a forgery, and no reason to log the device out.
	errForeignApp = errors.New("token of another app")
)

// The kinds of token: the two are presented in the same way, to different
// endpoints.
const (
	accessToken  = "access"
	refreshToken = "refresh"
)

// maxToken bounds what is parsed; tokens travel in URLs and stay far below.
const maxToken = 16 << 10

// claims are what a token says. Clients read iat and exp as plain integers
// without checking, and user_data; the rest is ours, named as the hosted
// service named it. (Specification of the log-in API, 5.1 to 5.3.)
type claims struct {
	Type      string         `json:"typ"`
	User      string         `json:"sub"`
	App       string         `json:"baas_domain_id"`
	Session   string         `json:"iss"`
	SessionID string         `json:"baas_id"` // the same, under the name tools look for
	Device    string         `json:"baas_device_id"`
	IssuedAt  int64          `json:"iat"` // seconds since 1970
	Expires   int64          `json:"exp"`
	Identity  *tokenIdentity `json:"baas_identity,omitempty"` // of refresh tokens
}

type tokenIdentity struct {
	ID           string `json:"id"`
	ProviderType string `json:"provider_type"`
	ProviderID   string `json:"provider_id"`
}

// The methods make claims acceptable to the JWT library; validity in time is
// judged here, not there.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(c.Expires, 0)), nil
}
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(c.IssuedAt, 0)), nil
}
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }
func (c *claims) GetIssuer() (string, error)              { return c.Session, nil }
func (c *claims) GetSubject() (string, error)             { return c.User, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)  { return nil, nil }

// issue signs a token for a session.
func (a *API) issue(ctx context.Context, typ string, s Session, expires time.Time) (string, error) {
	key, err := a.keys.signing(ctx)
	if err != nil {
		return "", err
	}
	c := &claims{
		Type: typ, User: s.User, App: a.opts.AppID,
		Session: s.ID, SessionID: s.ID, Device: s.Device.ID,
		IssuedAt: a.now().Unix(), Expires: expires.Unix(),
	}
	if typ == refreshToken {
		c.Identity = &tokenIdentity{ID: s.Identity.ID, ProviderType: s.Identity.Provider, ProviderID: s.Identity.Provider}
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	t.Header["kid"] = key.ID
	signed, err := t.SignedString(key.Secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// issueAccess signs an access token for a session.
func (a *API) issueAccess(ctx context.Context, s Session) (string, error) {
	return a.issue(ctx, accessToken, s, a.now().Add(a.opts.AccessTokenTTL))
}

var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
	jwt.WithoutClaimsValidation(),
	jwt.WithStrictDecoding(),
)

// read verifies the signature of a token of that kind for this app and returns
// its claims. Whether it has expired is the caller's to judge. When it was
// issued is not judged at all: nodes' clocks differ, and nobody shall be logged
// out for that.
func (a *API) read(ctx context.Context, typ, token string) (*claims, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("%w: too long", ErrTokenInvalid)
	}
	c := &claims{}
	var keyErr error
	_, err := parser.ParseWithClaims(token, c, func(t *jwt.Token) (any, error) {
		kid, ok := t.Header["kid"].(string)
		if !ok {
			return nil, fmt.Errorf("%w: no key id", ErrTokenInvalid)
		}
		var key Key
		key, keyErr = a.keys.verifying(ctx, kid)
		if errors.Is(keyErr, ErrTokenInvalid) && c.App != a.opts.AppID {
			keyErr = fmt.Errorf("%w: %q", errForeignApp, c.App)
		}
		return key.Secret, keyErr
	})
	switch {
	case keyErr != nil:
		return nil, keyErr
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrTokenInvalid, err)
	case c.Type != typ:
		return nil, fmt.Errorf("%w: it is no %s token", ErrTokenInvalid, typ)
	case c.App != a.opts.AppID:
		return nil, fmt.Errorf("%w: it is for another app", ErrTokenInvalid)
	}
	return c, nil
}

// VerifyAccess tells whose access token it is, for a request to the app of that
// id (empty: the app that is served). The error wraps ErrTokenInvalid or
// ErrTokenExpired when a renewal may help, ErrUserDisabled or ErrUserDeleted
// when the user must be logged out; any other error means that it could not be
// found out.
func (a *API) VerifyAccess(ctx context.Context, appID, token string) (userID, sessionID string, err error) {
	if appID != "" && appID != a.opts.AppID {
		return "", "", fmt.Errorf("%w: the request is to another app", ErrTokenInvalid)
	}
	u, s, err := a.verifyAccess(ctx, token)
	if err != nil {
		return "", "", fmt.Errorf("verify access token: %w", err)
	}
	return u.ID, s.ID, nil
}

func (a *API) verifyAccess(ctx context.Context, token string) (User, Session, error) {
	c, err := a.read(ctx, accessToken, token)
	if errors.Is(err, errForeignApp) {
		return User{}, Session{}, fmt.Errorf("%w: %w", ErrTokenInvalid, err) // a renewal will tell
	}
	if err != nil {
		return User{}, Session{}, err
	}
	if a.now().Unix() >= c.Expires {
		return User{}, Session{}, ErrTokenExpired
	}
	u, err := a.activeUser(ctx, c.User)
	if err != nil {
		return User{}, Session{}, err
	}
	s, err := a.opts.Store.Session(ctx, c.Session)
	if errors.Is(err, ErrNotFound) || err == nil && (!s.Revoked.IsZero() || s.User != u.ID) {
		return User{}, Session{}, fmt.Errorf("%w: its session is over", ErrTokenInvalid)
	}
	if err != nil {
		return User{}, Session{}, err
	}
	return u, s, nil
}

// activeUser returns a user who may act, else ErrUserDisabled or ErrUserDeleted.
func (a *API) activeUser(ctx context.Context, id string) (User, error) {
	u, err := a.opts.Store.User(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return User{}, ErrUserDeleted
	case err != nil:
		return User{}, err
	case u.Disabled:
		return User{}, ErrUserDisabled
	}
	return u, nil
}
