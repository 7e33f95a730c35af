package config

import "os"

// Flags are what the command line of the development server sets; an empty
// value leaves the setting to the environment and the defaults.
type Flags struct {
	Listen   string // --listen, host:port
	AppID    string // --app-id
	MongoDB  string // --mongodb, a connection string; required here or in the environment
	Database string // --database
}

// What the development server is called unless told otherwise.
const (
	DevAppID    = "dev-local"
	DevDatabase = "dev"
	DevAddr     = "127.0.0.1:9090"
)

// Dev is the configuration of the development server: no file, any device may
// log in anonymously and bring its classes with it, an embedded Redis.
func Dev(flags Flags) (*Config, error) { return dev(flags, os.Environ()) }

func dev(flags Flags, environ []string) (*Config, error) {
	l := newLayer("")
	l.values = map[string]any{
		"app.id":                   DevAppID,
		"listen.addr":              DevAddr,
		"mongodb.database":         DevDatabase,
		"redis.embedded":           true,
		"sync.development_mode":    true,
		"auth.providers.anonymous": true,
	}
	overrides := newLayer("")
	overrides.set("listen.addr", flags.Listen, Place{Flag: "listen"})
	overrides.set("app.id", flags.AppID, Place{Flag: "app-id"})
	overrides.set("mongodb.uri", flags.MongoDB, Place{Flag: "mongodb"})
	overrides.set("mongodb.database", flags.Database, Place{Flag: "database"})
	return assemble(l, environ, ".", overrides)
}

// Default is the configuration of an app with that id whose documents are in
// that database and whose users log in anonymously, every other setting left as
// it is by default.
func Default(appID, uri, database string) (*Config, error) {
	l := newLayer("")
	l.values["auth.providers.anonymous"] = true
	l.set("app.id", appID, Place{})
	l.set("mongodb.uri", uri, Place{})
	l.set("mongodb.database", database, Place{})
	return assemble(l, nil, ".")
}

// set makes a setting of text unless that is empty.
func (l *layer) set(path, text string, place Place) {
	if text == "" {
		return
	}
	l.places[path] = place
	v, faults := settings.at(path).setting.read.read(plainNode(text))
	for _, f := range faults {
		l.problems = append(l.problems, Problem{place, path, f.message, f.hint})
	}
	if len(faults) == 0 {
		l.values[path] = v
	}
}
