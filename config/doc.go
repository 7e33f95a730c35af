// Package config reads the bridge's configuration: one YAML file, environment
// variables over it, defaults below it.
//
// It promises that a Config it returns is complete and consistent, and that
// whatever is wrong is told all at once, each problem with its place and how to
// mend it. It knows nothing of what the settings do; it opens no connection.
//
// A new setting is a field in config.go and a row in keys.go.
package config
