package config

import (
	"time"

	"gopkg.in/yaml.v3"
)

// Config is the bridge's configuration. docs/configuration.md tells what each
// key does.
type Config struct {
	App     App     `mapstructure:"app"`
	Listen  Listen  `mapstructure:"listen"`
	Admin   Admin   `mapstructure:"admin"`
	MongoDB MongoDB `mapstructure:"mongodb"`
	Redis   Redis   `mapstructure:"redis"`
	Sync    Sync    `mapstructure:"sync"`
	Schema  Schema  `mapstructure:"schema"`
	Auth    Auth    `mapstructure:"auth"`
	Log     Log     `mapstructure:"log"`

	// Permissions is the section as written, with its positions; nil when absent.
	Permissions *yaml.Node `mapstructure:"-"`

	// Warnings are no mistakes, but likely not what was meant.
	Warnings []Problem `mapstructure:"-"`
}

// App is the app that is served.
type App struct {
	ID string `mapstructure:"id"`
}

// Listen is where devices connect.
type Listen struct {
	Addr        string   `mapstructure:"addr"`         // host:port
	PublicURL   string   `mapstructure:"public_url"`   // http(s)://host[:port], or empty: what the device used
	CORSOrigins []string `mapstructure:"cors_origins"` // origins, or "*"
	TLS         TLS      `mapstructure:"tls"`
}

// TLS names the certificate and key files; both are empty or both are set.
type TLS struct {
	Cert string `mapstructure:"cert"`
	Key  string `mapstructure:"key"`
}

// Enabled reports whether the listener speaks TLS itself.
func (t TLS) Enabled() bool { return t.Cert != "" }

// Admin is where health and metrics are served; an empty Addr is the devices' listener.
type Admin struct {
	Addr string `mapstructure:"addr"`
}

// MongoDB is the cluster that holds the documents and the metadata.
type MongoDB struct {
	URI              string `mapstructure:"uri"`
	Database         string `mapstructure:"database"`
	MetadataDatabase string `mapstructure:"metadata_database"`
	Watch            Watch  `mapstructure:"watch"`
}

// Watch is what the change stream is opened on.
type Watch string

// What it may be.
const (
	WatchDeployment Watch = "deployment" // the whole cluster
	WatchDatabase   Watch = "database"   // the documents' database
)

// Redis is the presence board. With neither Addr nor Embedded the node is alone.
type Redis struct {
	Addr     string `mapstructure:"addr"` // host:port
	Username string `mapstructure:"username"`
	Password string `mapstructure:"password"`
	DB       int    `mapstructure:"db"`
	TLS      bool   `mapstructure:"tls"`
	Embedded bool   `mapstructure:"embedded"`
}

// Mode is how client files map to server files.
type Mode string

// The modes.
const (
	Flexible    Mode = "flexible"
	Partitioned Mode = "partition"
)

// Sync is how and what is synchronised.
type Sync struct {
	Mode            Mode          `mapstructure:"mode"`
	Partition       Partition     `mapstructure:"partition"`
	DevelopmentMode bool          `mapstructure:"development_mode"`
	QueryableFields []string      `mapstructure:"queryable_fields"`
	MaxOffline      time.Duration `mapstructure:"max_offline"`
	WriteNull       WriteNull     `mapstructure:"write_null"`
	GuardGrace      time.Duration `mapstructure:"guard_grace"`      // 0: the translator's default
	HintWait        time.Duration `mapstructure:"hint_wait"`        // 0: the history's default
	BatchChangesets int           `mapstructure:"batch_changesets"` // 0: the history's default
}

// WriteNull is what becomes of an optional field that a device sets to null.
type WriteNull string

// What it may become.
const (
	WriteNullAsNull WriteNull = "null"  // it is null
	UnsetNull       WriteNull = "unset" // it is removed
)

// Partition is the field whose value tells a document's server file. It counts
// in partition mode only.
type Partition struct {
	Key  string `mapstructure:"key"`
	Type string `mapstructure:"type"` // string, int, objectId or uuid
}

// Schema names the JSON Schema files, patterns expanded, in order.
type Schema struct {
	Files []string `mapstructure:"files"`
}

// Auth is how users log in and how long that lasts.
type Auth struct {
	AccessTokenTTL  time.Duration `mapstructure:"access_token_ttl"`
	RefreshTokenTTL time.Duration `mapstructure:"refresh_token_ttl"`
	TokenKeys       []TokenKey    `mapstructure:"token_keys"`
	Providers       Providers     `mapstructure:"providers"`
}

// TokenKey signs and verifies tokens. The first of a list signs.
type TokenKey struct {
	ID     string `mapstructure:"id"`
	Secret string `mapstructure:"secret"`
}

// Providers are the ways to log in; nil is off.
type Providers struct {
	Anonymous *Anonymous `mapstructure:"anonymous"`
}

// Anonymous is log-in without credentials.
type Anonymous struct {
	RefreshTokenTTL time.Duration `mapstructure:"refresh_token_ttl"` // counted from the last refresh
}

// Log is what is logged and how.
type Log struct {
	Level  string `mapstructure:"level"`  // debug, info, warn or error
	Format string `mapstructure:"format"` // auto, text or json
}
