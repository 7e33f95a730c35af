package appservices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Tunables, with their defaults.
const (
	DefaultAccessTokenTTL  = 30 * time.Minute
	DefaultRefreshTokenTTL = 60 * 24 * time.Hour
	DefaultAnonymousTTL    = 90 * 24 * time.Hour

	// DefaultTimeout bounds what a request waits for the Store. Clients wait 60 s.
	DefaultTimeout = 10 * time.Second

	maxBody = 2 << 20 // bytes; custom tokens have up to a million characters
)

// Options configure an API. AppID and Store are required, and at least one
// provider is of use.
type Options struct {
	AppID string
	Store Store

	// PublicURL is where devices reach the server, such as
	// https://sync.example.com; empty means the host that each request names.
	PublicURL string
	// CORSOrigins are the origins whose pages may call; "*" is any.
	CORSOrigins []string

	AccessTokenTTL time.Duration
	// RefreshTokenTTL is how long a log-in lasts, unless its provider has a
	// duration of its own.
	RefreshTokenTTL time.Duration
	// TokenKeys sign and verify tokens, the first one signs. Without them a key
	// is made and kept in the Store.
	TokenKeys []Key

	// Anonymous switches on log-in without credentials; nil is off.
	Anonymous *AnonymousOptions

	Timeout time.Duration
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil counts nothing

	// OnLogOut is called when a session was ended, to close its connections.
	OnLogOut func(userID, sessionID string)
	// Now is the clock.
	Now func() time.Time
}

// API answers the log-in requests of one app.
type API struct {
	opts      Options
	logger    *slog.Logger
	keys      *keyring
	providers map[string]provider
	handler   http.Handler
}

// Open returns the API, after it has read, or at the first start made, the keys
// that sign tokens.
func Open(ctx context.Context, opts Options) (*API, error) {
	if opts.AppID == "" || opts.Store == nil {
		return nil, errors.New("open log-in API: it needs an app id and a store")
	}
	if opts.AccessTokenTTL == 0 {
		opts.AccessTokenTTL = DefaultAccessTokenTTL
	}
	if opts.RefreshTokenTTL == 0 {
		opts.RefreshTokenTTL = DefaultRefreshTokenTTL
	}
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.OnLogOut == nil {
		opts.OnLogOut = func(string, string) {}
	}
	a := &API{opts: opts, logger: opts.Logger, providers: map[string]provider{}}
	var err error
	if a.keys, err = openKeyring(ctx, opts.TokenKeys, opts.Store, a.now); err != nil {
		return nil, fmt.Errorf("open log-in API: %w", err)
	}
	if opts.Anonymous != nil {
		a.add(newAnonymous(*opts.Anonymous))
	}
	a.handler, err = a.middleware(a.routes())
	if err != nil {
		return nil, fmt.Errorf("open log-in API: %w", err)
	}
	return a, nil
}

func (a *API) add(p provider) { a.providers[p.name()] = p }

// now is the time with the precision that the Store keeps.
func (a *API) now() time.Time { return a.opts.Now().UTC().Truncate(time.Millisecond) }

// RotateKeys makes a new signing key. Tokens signed with the key before it stay
// valid; done twice, it logs everybody out. Other nodes take part within a minute.
func (a *API) RotateKeys(ctx context.Context) error {
	if err := a.keys.rotate(ctx); err != nil {
		return fmt.Errorf("rotate signing keys: %w", err)
	}
	return nil
}

// Base is the path below which everything is served.
const Base = "/api/client/v2.0/"

const (
	base = "/api/client/v2.0"
	app  = base + "/app/{app}"
)

// endpoint answers a request, or returns the error to answer with.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// routes are all requests that are understood; others are a plain 404.
func (a *API) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]endpoint{
		"GET " + app + "/location":                     a.location,
		"POST " + app + "/auth/providers/{name}/login": a.logIn,
		"GET " + base + "/auth/profile":                a.profile,
		"POST " + base + "/auth/session":               a.renew,
		"DELETE " + base + "/auth/session":             a.logOut,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if id := r.PathValue("app"); id != "" && id != a.opts.AppID {
				a.fail(w, r, errAppNotFound(id))
				return
			}
			if err := serve(w, r); err != nil {
				a.fail(w, r, err)
			}
		})
	}
	return mux
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }
