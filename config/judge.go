package config

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// placeOf is where a setting was made, or the nearest section around it, or
// the file.
func (l *layer) placeOf(path string) Place {
	for p := path; p != ""; {
		if place, ok := l.places[p]; ok {
			return place
		}
		i := strings.LastIndexByte(p, '.')
		p = p[:max(i, 0)]
	}
	if l.file == "" {
		return Place{}
	}
	return Place{File: l.file, Line: 1, Column: 1}
}

// blame adds a problem of a setting as a whole.
func (l *layer) blame(path, message, hint string) {
	l.problems = append(l.problems, Problem{l.placeOf(path), path, message, hint})
}

// given reports whether the file, the environment or a flag made the setting.
func (l *layer) given(path string) bool {
	_, ok := l.values[path]
	return ok
}

// wrong reports whether there is a problem with the setting, or with a section
// around it, already.
func (l *layer) wrong(path string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool {
		return p.Key != "" && strings.HasPrefix(path+".", p.Key+".")
	})
}

// judge looks at what only all settings together can tell, completes what
// depends on others, and reports what is missing.
func (l *layer) judge(cfg *Config, dir string) {
	for i := range keys {
		k := &keys[i]
		if k.missing != "" && !l.given(k.path) && !l.wrong(k.path) {
			l.blame(k.path, "is missing", k.missing)
		}
	}
	l.judgeListen(cfg, dir)
	l.judgeMongoDB(cfg)
	l.judgeRedis(cfg)
	l.judgeSync(cfg)
	l.judgeSchema(cfg, dir)
	l.judgeAuth(cfg)
	if cfg.Permissions != nil {
		l.blame("permissions", permissionsNotSupported, "remove the section, and let only people connect who may see everything")
	}
}

func (l *layer) judgeListen(cfg *Config, dir string) {
	cfg.Listen.PublicURL = strings.TrimSuffix(cfg.Listen.PublicURL, "/")
	t := &cfg.Listen.TLS
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Key == "":
		l.blame("listen.tls.cert", "has no key with it", "set listen.tls.key to the file of the private key")
		return
	case t.Cert == "":
		l.blame("listen.tls.key", "has no certificate with it", "set listen.tls.cert to the file of the certificate chain")
		return
	}
	t.Cert, t.Key = within(dir, t.Cert), within(dir, t.Key)
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		l.blame("listen.tls.cert", "cannot be used with its key: "+err.Error(), "both are PEM files; the certificate comes first in its file, then the intermediate ones")
	}
}

func (l *layer) judgeMongoDB(cfg *Config) {
	m := &cfg.MongoDB
	if m.MetadataDatabase == "" && cfg.App.ID != "" {
		m.MetadataDatabase = metadataDatabasePrefix + cfg.App.ID
		if len(m.MetadataDatabase) > maxDatabaseName {
			l.blame("app.id", fmt.Sprintf("makes a metadata database's name of %d bytes, MongoDB allows %d", len(m.MetadataDatabase), maxDatabaseName),
				"set mongodb.metadata_database to a shorter name")
		}
	}
	if m.Database != "" && m.Database == m.MetadataDatabase {
		path := "mongodb.metadata_database"
		if !l.given(path) {
			path = "mongodb.database"
		}
		l.blame(path, "documents and metadata would be in one database", "give the metadata a database of its own")
	}
}

func (l *layer) judgeRedis(cfg *Config) {
	if cfg.Redis.Embedded {
		for _, other := range []string{"addr", "username", "password", "db", "tls"} {
			if l.given("redis." + other) {
				l.blame("redis."+other, "means nothing to an embedded Redis", "remove it, or redis.embedded")
			}
		}
		return
	}
	if cfg.Redis.Addr != "" || l.wrong("redis.addr") {
		return
	}
	for _, other := range []string{"username", "password", "db", "tls"} {
		if l.given("redis." + other) {
			l.blame("redis."+other, "is set, but redis.addr is not", "set redis.addr to host:port of your Redis")
			return
		}
	}
}

func (l *layer) judgeSync(cfg *Config) {
	p := &cfg.Sync.Partition
	if cfg.Sync.Mode == Partitioned {
		if p.Key == "" {
			p.Key = DefaultPartitionKey
		}
		if p.Type == "" {
			p.Type = "string"
		}
		if l.given("sync.queryable_fields") {
			l.blame("sync.queryable_fields", "means nothing in partition mode", "remove it")
		}
		l.blame("sync.mode", partitionNotSupported, "set it to flexible")
		return
	}
	for _, path := range []string{"sync.partition.key", "sync.partition.type"} {
		if l.given(path) && !l.wrong("sync.mode") {
			l.blame(path, "means nothing in flexible mode", "remove it, or set sync.mode to partition")
		}
	}
	for i, f := range cfg.Sync.QueryableFields {
		if slices.Contains(cfg.Sync.QueryableFields[:i], f) {
			l.blame("sync.queryable_fields", fmt.Sprintf("names %q twice", f), "keep one")
		}
	}
}

// judgeSchema replaces the patterns by the files they match.
func (l *layer) judgeSchema(cfg *Config, dir string) {
	patterns := cfg.Schema.Files
	cfg.Schema.Files = nil
	for _, pattern := range patterns {
		pattern = within(dir, pattern)
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			l.blame("schema.files", fmt.Sprintf("no file is named %s", pattern), "relative paths count from the folder of the configuration file")
		}
		for _, f := range files {
			if !slices.Contains(cfg.Schema.Files, f) {
				cfg.Schema.Files = append(cfg.Schema.Files, f)
			}
		}
	}
}

func (l *layer) judgeAuth(cfg *Config) {
	if cfg.Auth.Providers == (Providers{}) && !l.wrong("auth.providers") {
		l.blame("auth.providers", "nobody could log in: no provider is set", exampleProviders)
	}
	access := cfg.Auth.AccessTokenTTL
	if !l.wrong("auth.access_token_ttl") && !l.wrong("auth.refresh_token_ttl") && cfg.Auth.RefreshTokenTTL < access {
		l.blame("auth.refresh_token_ttl", fmt.Sprintf("is shorter than auth.access_token_ttl, which is %s", access), "devices refresh access tokens with it: make it the longer one")
	}
	if a := cfg.Auth.Providers.Anonymous; a != nil && a.RefreshTokenTTL < access && !l.wrong("auth.providers.anonymous.refresh_token_ttl") {
		l.blame("auth.providers.anonymous.refresh_token_ttl", fmt.Sprintf("is shorter than auth.access_token_ttl, which is %s", access), "an anonymous user whose refresh token has run out is lost")
	}
}

// within makes a path relative to the configuration file's folder.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
