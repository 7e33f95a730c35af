package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// The scripts in testdata/load hold configuration files and what Load makes of
// them:
//
//	load [env=(NAME=value, …)]
//
// prints the problems, or the warnings and "ok".
//
//	show [env=(NAME=value, …)]
//
// prints the configuration, too.
func TestLoad(t *testing.T) {
	datadriven.Walk(t, filepath.Join("testdata", "load"), func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var environ []string
			for _, arg := range d.CmdArgs {
				if arg.Key == "env" {
					environ = append(environ, arg.Vals...)
				}
			}
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "schema"), os.DirFS(filepath.Join("testdata", "schema"))); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "bridge.yaml")
			if err := os.WriteFile(file, []byte(d.Input), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := load(file, environ)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%s: not an *Error: %v", d.Pos, err)
				}
				return strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
			}
			var b strings.Builder
			for _, w := range cfg.Warnings {
				b.WriteString("warning: " + w.String() + "\n")
			}
			if d.Cmd == "show" {
				cfg.Warnings = nil
				text, err := json.MarshalIndent(cfg, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				b.WriteString(strings.ReplaceAll(string(text), dir+"/", "") + "\n")
			} else {
				b.WriteString("ok\n")
			}
			return b.String()
		})
	})
}

func TestLoadWithoutFile(t *testing.T) {
	_, err := Load(filepath.Join("testdata", "absent.yaml"))
	want := "testdata/absent.yaml: cannot be opened: no such file or directory\n    name the file with --config"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := Load("testdata"); err == nil || !strings.Contains(err.Error(), "cannot be read: is a directory") {
		t.Errorf("a folder: got %v", err)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("a large file: got %v", err)
	}
}

// writePair writes a certificate and its key as PEM files.
func writePair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The certificate is read, and found beside the file.
func TestLoadTLS(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bridge.yaml")
	source := "app: {id: a}\nmongodb: {uri: 'mongodb://localhost', database: tasks}\nauth: {providers: {anonymous: {}}}\nlisten: {tls: {cert: cert.pem, key: key.pem}}\n"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	writePair(t, dir)
	cfg, err := load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Listen.TLS; !got.Enabled() || got.Cert != filepath.Join(dir, "cert.pem") || got.Key != filepath.Join(dir, "key.pem") {
		t.Errorf("got %+v", got)
	}
	if err := os.Rename(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := load(file, nil); err == nil || !strings.Contains(err.Error(), "bridge.yaml:4:22: listen.tls.cert: cannot be used with its key") {
		t.Errorf("a broken pair: %v", err)
	}
}

// The process's own environment counts.
func TestLoadReadsEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	if err := os.WriteFile(file, []byte("app: {id: tasks-abcde}\nmongodb: {database: tasks}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BRIDGE_MONGODB_URI", "mongodb://db.example.com/?replicaSet=rs0")
	t.Setenv("BRIDGE_AUTH_PROVIDERS_ANONYMOUS", "true")
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MongoDB.URI != "mongodb://db.example.com/?replicaSet=rs0" {
		t.Errorf("uri is %q", cfg.MongoDB.URI)
	}
}

// The example is what people start from.
func TestExample(t *testing.T) {
	cfg, err := load(filepath.Join("..", "bridge.example.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) > 0 || cfg.App.ID == "" {
		t.Errorf("got %+v", cfg)
	}
}

// Every setting is described in the manual and named in the example, and
// nothing else is.
func TestSettingsAreDocumented(t *testing.T) {
	manual, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(manual)) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "`"); ok && strings.HasPrefix(line, "| `") {
			documented[name] = true
		}
	}
	for _, k := range keys {
		if !documented[k.path] {
			t.Errorf("%s is not in docs/configuration.md", k.path)
		}
		delete(documented, k.path)
	}
	for _, s := range optionalSections {
		if !documented[s.path] {
			t.Errorf("%s is not in docs/configuration.md", s.path)
		}
		delete(documented, s.path)
	}
	for name := range documented {
		t.Errorf("docs/configuration.md describes %s, which does not exist", name)
	}
}

// Every setting has a field in Config and every field a setting.
func TestSettingsHaveFields(t *testing.T) {
	fields := map[string]bool{}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for f := range reflect.VisibleFields(typ) {
			field := typ.Field(f)
			tag := field.Tag.Get("mapstructure")
			if tag == "-" {
				continue
			}
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			full := strings.TrimPrefix(path+"."+tag, ".")
			if inner.Kind() == reflect.Struct {
				walk(inner, full)
				continue
			}
			fields[full] = true
		}
	}
	walk(reflect.TypeFor[Config](), "")
	for _, k := range keys {
		if k.path != "permissions" && !fields[k.path] {
			t.Errorf("setting %s has no field", k.path)
		}
		delete(fields, k.path)
	}
	for path := range fields {
		t.Errorf("field %s has no setting", path)
	}
}

func TestDefault(t *testing.T) {
	cfg, err := Default("tasks-abcde", "mongodb://127.0.0.1:27017/?replicaSet=rs0", "tasks")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		App:     App{ID: "tasks-abcde"},
		Listen:  Listen{Addr: ":9090", CORSOrigins: []string{"*"}},
		MongoDB: MongoDB{URI: "mongodb://127.0.0.1:27017/?replicaSet=rs0", Database: "tasks", MetadataDatabase: "__bridge_tasks-abcde", Watch: WatchDeployment},
		Sync:    Sync{Mode: Flexible, MaxOffline: 720 * time.Hour, WriteNull: WriteNullAsNull},
		Auth: Auth{
			AccessTokenTTL: 30 * time.Minute, RefreshTokenTTL: 1440 * time.Hour,
			Providers: Providers{Anonymous: &Anonymous{RefreshTokenTTL: 2160 * time.Hour}},
		},
		Log: Log{Level: "info", Format: "auto"},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	if _, err := Default("", "mongodb://127.0.0.1", "tasks tasks"); err == nil {
		t.Error("no app id and a bad database: no error")
	}
}

func TestDev(t *testing.T) {
	const uri = "mongodb://127.0.0.1:27017/?replicaSet=rs0"
	cases := []struct {
		name    string
		flags   Flags
		environ []string
		want    string // app listen database level embedded development
		wantErr string
	}{
		{"defaults", Flags{MongoDB: uri}, nil, "dev-local 127.0.0.1:9090 dev info true true", ""},
		{"flags", Flags{MongoDB: uri, AppID: "a-b", Listen: ":1", Database: "d"}, nil, "a-b :1 d info true true", ""},
		{"environment", Flags{MongoDB: uri}, []string{"BRIDGE_APP_ID=env", "BRIDGE_LOG_LEVEL=debug"}, "env 127.0.0.1:9090 dev debug true true", ""},
		{"flags over environment", Flags{MongoDB: uri, AppID: "flag"}, []string{"BRIDGE_APP_ID=env"}, "flag 127.0.0.1:9090 dev info true true", ""},
		{"bad flag", Flags{MongoDB: uri, Listen: "9090"}, nil, "",
			"flag --listen: listen.addr: \"9090\" is not an address with a port\n    write host:port, such as 127.0.0.1:9090, or :9090 for all addresses"},
		{"one database for both", Flags{MongoDB: uri, Database: "__bridge_dev-local"}, nil, "",
			"flag --database: mongodb.database: documents and metadata would be in one database\n    give the metadata a database of its own"},
		{"nowhere to connect", Flags{}, nil, "",
			"configuration: mongodb.uri: is missing\n    " + exampleMongoURI},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := dev(c.flags, c.environ)
			if err != nil || c.wantErr != "" {
				if err == nil || err.Error() != c.wantErr {
					t.Fatalf("got error %v\nwant %s", err, c.wantErr)
				}
				return
			}
			got := strings.Join([]string{cfg.App.ID, cfg.Listen.Addr, cfg.MongoDB.Database, cfg.Log.Level}, " ")
			if cfg.Redis.Embedded {
				got += " true"
			}
			if cfg.Sync.DevelopmentMode {
				got += " true"
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "mongodb", "redis", "log", "admin"}
	cases := map[string]string{
		"lisen": "listen", "Listen": "listen", "mongo": "mongodb", "redsi": "redis", "lgo": "log", "database": "", "x": "", "": "",
	}
	for word, want := range cases {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// Whatever is in the file, Load answers.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"app: {id: a}\n", "a: &x [*x]\n", "listen: &l {tls: *l}\n", "app: {<<: {id: x}}\n", "auth: {token_keys: [&k {id: *k}]}\n",
		"? [a]\n: b\n", "permissions: &p {a: *p}\n", "---\n---\n", "\xff\xfe", "schema: {files: '['}", "mongodb: {uri: 'mongodb://a:b@c:d'}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		l := newLayer("bridge.yaml")
		l.parse(source)
		cfg, err := assemble(l, nil, t.TempDir())
		var e *Error
		if (cfg == nil) != (err != nil) || err != nil && (!errors.As(err, &e) || len(e.Problems) == 0) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
	})
}
