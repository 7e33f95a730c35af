package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/spf13/viper"
	"gopkg.in/yaml.v3"
)

// maxFile bounds the configuration file: what is larger is another file.
const maxFile = 1 << 20

// Load reads the file and the environment. The error is an *Error that holds
// all problems.
func Load(path string) (*Config, error) { return load(path, os.Environ()) }

func load(path string, environ []string) (*Config, error) {
	l := newLayer(path)
	source, err := readFile(path)
	if err != nil {
		return nil, &Error{[]Problem{{Place{File: path}, "", err.Error(), "name the file with --config"}}}
	}
	l.parse(source)
	return assemble(l, environ, filepath.Dir(path))
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be opened: %w", unwrapPath(err))
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", unwrapPath(err))
	}
	if len(source) > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	return source, nil
}

// unwrapPath takes the path out of a file error, which is told once already.
func unwrapPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parse reads the file's one document.
func (l *layer) parse(source []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	if err == nil && decoder.Decode(&second) == nil {
		l.problem(&second, "", "has a second document", "remove what follows the line ---")
	}
	switch {
	case errors.Is(err, io.EOF):
		return // empty: what is required will be missed
	case err != nil:
		l.problems = append(l.problems, syntaxProblem(l.file, source, err))
	default:
		l.walk(settings, resolve(doc.Content[0]), "")
	}
}

var yamlErrorPlace = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxProblem finds the place of a syntax error, since the parser's own line
// numbers are one off, or missing: it is in the line after the longest part of
// the file that parses.
func syntaxProblem(file string, source []byte, err error) Problem {
	lines := bytes.SplitAfter(source, []byte("\n"))
	bad := len(lines) - 1
	for ; bad > 0; bad-- {
		var n yaml.Node
		if yaml.Unmarshal(bytes.Join(lines[:bad], nil), &n) == nil {
			break
		}
	}
	line := lines[bad]
	column := len(line) - len(bytes.TrimLeft(line, " \t")) + 1
	message := yamlErrorPlace.ReplaceAllString(err.Error(), "")
	hint := ""
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")):
		hint = "indent with spaces"
	case strings.Contains(message, "mapping values are not allowed"):
		hint = "put a value that contains \": \" in quotes"
	case strings.Contains(message, "cannot start any token"):
		hint = "put a value that begins with @, ` or % in quotes"
	}
	return Problem{Place{File: file, Line: bad + 1, Column: column}, "", "is not YAML: " + message, hint}
}

// assemble lays defaults, the layer, the environment and what overrides it over
// each other and judges the result. Relative paths count from dir.
func assemble(l *layer, environ []string, dir string, overrides ...*layer) (*Config, error) {
	broken := len(l.problems) > 0 && len(l.places) == 0 && l.file != "" // nothing of the file could be read
	warnings := l.readEnvironment(environ)
	for _, o := range overrides {
		maps.Copy(l.values, o.values)
		maps.Copy(l.places, o.places)
		l.problems = append(l.problems, o.problems...)
	}
	v := viper.New()
	for i := range keys {
		if keys[i].initial != nil {
			v.SetDefault(keys[i].path, keys[i].initial)
		}
	}
	cfg := &Config{Warnings: warnings}
	for path, value := range l.values {
		if n, ok := value.(*yaml.Node); ok {
			if path == "permissions" && !isEmpty(n) {
				cfg.Permissions = n
			}
			continue
		}
		if settings.at(path).optional {
			continue
		}
		v.Set(path, value)
	}
	if l.values["auth.providers.anonymous"] != nil || l.values["auth.providers.anonymous.refresh_token_ttl"] != nil {
		v.SetDefault("auth.providers.anonymous.refresh_token_ttl", DefaultAnonymousTTL)
	}
	if err := v.Unmarshal(cfg); err != nil {
		return nil, fmt.Errorf("assemble configuration: %w", err)
	}
	if !broken {
		l.judge(cfg, dir)
	}
	if len(l.problems) > 0 {
		sort.SliceStable(l.problems, func(i, j int) bool { return earlier(l.problems[i].Place, l.problems[j].Place) })
		return nil, &Error{l.problems}
	}
	return cfg, nil
}

// earlier orders places: the file's by position, then the others.
func earlier(a, b Place) bool {
	if (a.File == "") != (b.File == "") {
		return a.File != ""
	}
	if a.Line != b.Line {
		return a.Line < b.Line
	}
	return a.Column < b.Column
}

// kubernetesEnv are the variables that Kubernetes makes for a service named bridge.
var kubernetesEnv = regexp.MustCompile(`^BRIDGE_(SERVICE_|PORT(_|$))`)

// readEnvironment reads the BRIDGE_ variables over the file's values. An empty
// variable is as none. One that names no setting is a warning only: others make
// variables, too.
func (l *layer) readEnvironment(environ []string) []Problem {
	names := map[string]*section{}
	paths := map[string]string{}
	var known []string
	var collect func(s *section, path string)
	collect = func(s *section, path string) {
		for _, n := range s.names {
			full := strings.TrimPrefix(path+"."+n, ".")
			child := s.children[n]
			if child.setting != nil || child.optional {
				names[envName(full)], paths[envName(full)] = child, full
				known = append(known, envName(full))
			}
			collect(child, full)
		}
	}
	collect(settings, "")

	var warnings []Problem
	environ = append([]string(nil), environ...)
	sort.Strings(environ)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" || kubernetesEnv.MatchString(name) {
			continue
		}
		place := Place{Env: name}
		s, path := names[name], paths[name]
		if s == nil {
			hint := ""
			if near := nearest(name, known); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			warnings = append(warnings, Problem{place, "", "names no setting and is ignored", hint})
			continue
		}
		l.places[path] = place
		faults := l.readVariable(s, path, value)
		for _, f := range faults {
			l.problems = append(l.problems, Problem{place, path, f.message, f.hint})
		}
	}
	return warnings
}

func (l *layer) readVariable(s *section, path, value string) []fault {
	if s.setting == nil { // an optional section is switched on or off
		on, faults := boolean.read(&yaml.Node{Kind: yaml.ScalarNode, Value: value})
		if len(faults) > 0 {
			return faults
		}
		if on == true {
			l.values[path] = true
			return nil
		}
		for other := range l.values {
			if other == path || strings.HasPrefix(other, path+".") {
				delete(l.values, other)
			}
		}
		return nil
	}
	n, err := s.setting.read.fromEnv(value)
	if err != nil {
		return []fault{{message: "is not YAML: " + yamlErrorPlace.ReplaceAllString(err.Error(), "")}}
	}
	v, faults := s.setting.read.read(n)
	if len(faults) == 0 {
		l.values[path] = v
	}
	return faults
}
