package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// section is a node of the tree of settings: a setting, or the sections and
// settings below a name.
type section struct {
	setting  *key
	names    []string // in the order of keys
	children map[string]*section
	optional bool // being there means something
}

// settings is the tree of all keys.
var settings = buildSettings()

func buildSettings() *section {
	root := &section{}
	for i := range keys {
		root.at(keys[i].path).setting = &keys[i]
	}
	for _, s := range optionalSections {
		root.at(s.path).optional = true
	}
	return root
}

// at makes and returns the section of a dotted path.
func (s *section) at(path string) *section {
	for name := range strings.SplitSeq(path, ".") {
		if s.children == nil {
			s.children = map[string]*section{}
		}
		child := s.children[name]
		if child == nil {
			child = &section{}
			s.children[name] = child
			s.names = append(s.names, name)
		}
		s = child
	}
	return s
}

// layer is what one file says.
type layer struct {
	file     string
	values   map[string]any   // by path
	places   map[string]Place // of values and sections, by path
	problems []Problem
}

func newLayer(file string) *layer {
	return &layer{file: file, values: map[string]any{}, places: map[string]Place{}}
}

func (l *layer) place(n *yaml.Node) Place {
	return Place{File: l.file, Line: n.Line, Column: n.Column}
}

func (l *layer) problem(n *yaml.Node, path, message, hint string) {
	l.problems = append(l.problems, Problem{l.place(n), path, message, hint})
}

// walk reads a section.
func (l *layer) walk(s *section, n *yaml.Node, path string) {
	if s.optional {
		l.values[path] = true
	}
	if isEmpty(n) {
		return // all of it is commented out
	}
	if n.Kind != yaml.MappingNode {
		l.problem(n, path, "must be a section with the keys "+strings.Join(s.names, ", ")+butIs(n), "")
		return
	}
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], resolve(n.Content[i+1])
		full := name.Value
		if path != "" {
			full = path + "." + full
		}
		if name.ShortTag() == "!!merge" {
			l.problem(name, path, "merge keys (<<) are not supported", "write the keys out")
			continue
		}
		if before := first[name.Value]; before != nil {
			l.problem(name, full, fmt.Sprintf("was set before, in line %d", before.Line), "keep one of the two")
			continue
		}
		first[name.Value] = name
		child := s.children[name.Value]
		if child == nil {
			l.unknown(s, name, path)
			continue
		}
		l.places[full] = l.place(value)
		if child.setting == nil {
			l.places[full] = l.place(name)
			l.walk(child, value, full)
			continue
		}
		v, faults := child.setting.read.read(value)
		for _, f := range faults {
			l.problem(f.node, full, f.message, f.hint)
		}
		if len(faults) == 0 {
			l.values[full] = v
		}
	}
}

// unknown reports a key that does not exist, and what may have been meant: a
// similar one here, or the same name elsewhere.
func (l *layer) unknown(s *section, name *yaml.Node, path string) {
	hint := "known keys here: " + strings.Join(s.names, ", ")
	if near := nearest(name.Value, s.names); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	} else if elsewhere := find(settings, "", name.Value); elsewhere != "" {
		hint = fmt.Sprintf("did you mean %s?", elsewhere)
	}
	where := "at the top"
	if path != "" {
		where = "in " + path
	}
	l.problem(name, "", fmt.Sprintf("unknown key %q %s", name.Value, where), hint)
}

// find returns the path of the first setting or section of that name.
func find(s *section, path, name string) string {
	for _, n := range s.names {
		full := strings.TrimPrefix(path+"."+n, ".")
		if n == name {
			return full
		}
		if found := find(s.children[n], full, name); found != "" {
			return found
		}
	}
	return ""
}
