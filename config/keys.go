package config

import (
	"strings"
	"time"
)

// Defaults that are told elsewhere, too.
const (
	DefaultAddr             = ":9090"
	DefaultAccessTokenTTL   = 30 * time.Minute
	DefaultRefreshTokenTTL  = 1440 * time.Hour
	DefaultAnonymousTTL     = 2160 * time.Hour
	DefaultMaxOffline       = 720 * time.Hour
	DefaultPartitionKey     = "_partition"
	metadataDatabasePrefix  = "__bridge_"
	envPrefix               = "BRIDGE_"
	minTokenSecret          = 32 // bytes, the size of the hash
	maxDatabaseName         = 63 // bytes, MongoDB's limit
	exampleTokenKeys        = "auth.token_keys: [{id: k1, secret: \"at least 32 random characters\"}]"
	exampleProviders        = "for log-in without credentials write\n        auth: {providers: {anonymous: {}}}"
	exampleMongoURI         = "write a connection string such as mongodb://localhost:27017/?replicaSet=rs0"
	partitionNotSupported   = "this version does not mirror partitions into MongoDB"
	permissionsNotSupported = "this version does not enforce permissions: every user could read and write everything"
)

// key is one setting.
type key struct {
	path    string
	read    reader // value of a YAML node or of an environment variable
	initial any    // default; nil is the zero value
	missing string // hint when it is absent though required; empty: optional
}

// optionalSection is a section whose being there means something, so that it
// may be empty.
type optionalSection struct{ path string }

var optionalSections = []optionalSection{{"auth.providers.anonymous"}}

// keys are all settings, in the order of the documentation.
var keys = []key{
	{path: "app.id", read: text(appID), missing: "write the client app id the devices use, such as app: {id: tasks-abcde}"},

	{path: "listen.addr", read: text(hostPort), initial: DefaultAddr},
	{path: "listen.public_url", read: text(publicURL)},
	{path: "listen.cors_origins", read: texts(origin), initial: []string{"*"}},
	{path: "listen.tls.cert", read: text(nil)},
	{path: "listen.tls.key", read: text(nil)},

	{path: "admin.addr", read: text(hostPort)},

	{path: "mongodb.uri", read: text(mongoURI), missing: exampleMongoURI},
	{path: "mongodb.database", read: text(databaseName), missing: "write the database that holds the synced documents, such as database: tasks"},
	{path: "mongodb.metadata_database", read: text(databaseName)},
	{path: "mongodb.watch", read: text(oneOf(string(WatchDeployment), string(WatchDatabase))), initial: string(WatchDeployment)},

	{path: "redis.addr", read: text(hostPort)},
	{path: "redis.username", read: text(nil)},
	{path: "redis.password", read: text(nil)},
	{path: "redis.db", read: integer(0, 1<<15)},
	{path: "redis.tls", read: boolean},
	{path: "redis.embedded", read: boolean},

	{path: "sync.mode", read: text(oneOf(string(Flexible), string(Partitioned))), initial: string(Flexible)},
	{path: "sync.partition.key", read: text(fieldName)},
	{path: "sync.partition.type", read: text(oneOf("string", "int", "objectId", "uuid"))},
	{path: "sync.development_mode", read: boolean},
	{path: "sync.queryable_fields", read: texts(fieldName)},
	{path: "sync.max_offline", read: duration, initial: DefaultMaxOffline},
	{path: "sync.write_null", read: word(oneOf(string(WriteNullAsNull), string(UnsetNull))), initial: string(WriteNullAsNull)},
	{path: "sync.guard_grace", read: duration},
	{path: "sync.hint_wait", read: duration},
	{path: "sync.batch_changesets", read: integer(1, 100_000)},

	{path: "schema.files", read: texts(filePattern)},

	{path: "auth.access_token_ttl", read: duration, initial: DefaultAccessTokenTTL},
	{path: "auth.refresh_token_ttl", read: duration, initial: DefaultRefreshTokenTTL},
	{path: "auth.token_keys", read: tokenKeys},
	{path: "auth.providers.anonymous.refresh_token_ttl", read: duration},

	{path: "permissions", read: raw},

	{path: "log.level", read: text(oneOf("debug", "info", "warn", "error")), initial: "info"},
	{path: "log.format", read: text(oneOf("auto", "text", "json")), initial: "auto"},
}

// envName is the variable that overrides a setting.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
