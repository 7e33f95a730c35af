package appservices

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is returned by a Store for a user or session that does not exist.
var ErrNotFound = errors.New("not found")

// errKeysMoved is returned by Store.ReplaceKeys when another node was first.
var errKeysMoved = errors.New("signing keys were changed by another node")

// Store keeps users, their sessions and the keys that sign tokens. Every method
// returns only when what it wrote is durable. An error that does not wrap
// ErrNotFound says nothing about what is stored: the store could not be asked.
type Store interface {
	// UserWith returns the user who has the identity, after noting the log-in.
	// If nobody has it, the new user is stored with it and returned. Of several
	// calls at once with the same identity all get the same user.
	UserWith(ctx context.Context, identity Identity, fresh User) (User, error)

	// User returns a user, or ErrNotFound.
	User(ctx context.Context, id string) (User, error)

	// SetDisabled forbids or allows a user to log in and to sync.
	SetDisabled(ctx context.Context, id string, disabled bool) error

	// AddSession stores a new session.
	AddSession(ctx context.Context, s Session) error

	// Session returns a session, revoked or not, or ErrNotFound.
	Session(ctx context.Context, id string) (Session, error)

	// UseSession notes a renewal and moves the session's end to expires unless
	// that is zero. It returns the session as it is then. A session that is
	// revoked or that has ended by the time used is ErrNotFound.
	UseSession(ctx context.Context, id string, used, expires time.Time) (Session, error)

	// RevokeSession ends a session. One that is unknown or over is no mistake.
	RevokeSession(ctx context.Context, id string, at time.Time) error

	// Keys returns the keys that verify tokens; the first one signs. If there is
	// none, first is stored. Of several calls at once all get the same keys.
	Keys(ctx context.Context, first Key) ([]Key, error)

	// ReplaceKeys stores keys in place of those whose first id is signing. The
	// error is errKeysMoved when the first one is another by now.
	ReplaceKeys(ctx context.Context, signing string, keys []Key) error
}

// User is someone who can log in. The id names the folder of the device's local
// files, and all that the user did not send yet: it never changes.
type User struct {
	ID         string     `bson:"_id"`
	Created    time.Time  `bson:"created"`
	LastLogIn  time.Time  `bson:"last_log_in"`
	Disabled   bool       `bson:"disabled,omitempty"`
	Identities []Identity `bson:"identities"`
}

// Identity is one way in which a user is known to a provider.
type Identity struct {
	Provider string            `bson:"provider"` // provider type, as in paths: anon-user, local-userpass, …
	ID       string            `bson:"id"`       // unique within the provider
	Data     map[string]string `bson:"data,omitempty"`
}

// Session is one log-in on one device. Both tokens name it.
type Session struct {
	ID       string    `bson:"_id"`
	User     string    `bson:"user"`
	Identity Identity  `bson:"identity"` // the one that was logged in with, without its data
	Device   Device    `bson:"device"`
	Created  time.Time `bson:"created"`
	Used     time.Time `bson:"used"`
	Expires  time.Time `bson:"expires"`
	Revoked  time.Time `bson:"revoked,omitempty"`
}

// Device is what a device said of itself when it logged in; any part may be
// empty.
type Device struct {
	ID               string `bson:"id" json:"-"`
	AppVersion       string `bson:"app_version,omitempty" json:"appVersion"`
	Platform         string `bson:"platform,omitempty" json:"platform"`
	PlatformVersion  string `bson:"platform_version,omitempty" json:"platformVersion"`
	SDK              string `bson:"sdk,omitempty" json:"sdk"`
	SDKVersion       string `bson:"sdk_version,omitempty" json:"sdkVersion"`
	CPUArch          string `bson:"cpu_arch,omitempty" json:"cpuArch"`
	Name             string `bson:"name,omitempty" json:"deviceName"`
	Version          string `bson:"version,omitempty" json:"deviceVersion"`
	FrameworkName    string `bson:"framework_name,omitempty" json:"frameworkName"`
	FrameworkVersion string `bson:"framework_version,omitempty" json:"frameworkVersion"`
	CoreVersion      string `bson:"core_version,omitempty" json:"coreVersion"`
	BundleID         string `bson:"bundle_id,omitempty" json:"bundleId"`
}

// Key signs and verifies tokens with HMAC-SHA-256.
type Key struct {
	ID      string    `bson:"id"` // the tokens' kid
	Secret  []byte    `bson:"secret"`
	Created time.Time `bson:"created"`
}
