package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// fault is what is wrong with a value, at the node that is to blame.
type fault struct {
	node          *yaml.Node
	message, hint string
}

// check judges a text and says how to mend it; both are empty when it is right.
type check func(s string) (message, hint string)

// reader turns a YAML node into a setting's value. The node of an environment
// variable's text is made by fromEnv.
type reader struct {
	read    func(n *yaml.Node) (any, []fault)
	fromEnv func(text string) (*yaml.Node, error)
}

// text reads a string. Numbers count as the text they were written as, so that
// a password may be one; true and null do not.
func text(ok check) reader {
	return reader{fromEnv: verbatim, read: func(n *yaml.Node) (any, []fault) {
		s, f := textOf(n, ok)
		return s, f
	}}
}

func textOf(n *yaml.Node, ok check) (string, []fault) {
	if f := wrongKind(n, yaml.ScalarNode, "a text"); f != nil {
		return "", f
	}
	if tag := n.ShortTag(); tag == "!!bool" {
		return "", []fault{{n, fmt.Sprintf("must be a text, %s is a truth value", n.Value), "put it in quotes if the text is meant"}}
	}
	if ok == nil {
		return n.Value, nil
	}
	if message, hint := ok(n.Value); message != "" {
		return "", []fault{{n, message, hint}}
	}
	return n.Value, nil
}

// word reads a text that may be the word null, which needs no quotes.
func word(ok check) reader {
	return reader{fromEnv: verbatim, read: func(n *yaml.Node) (any, []fault) {
		if isEmpty(n) && n.Value == "null" {
			quoted := *n
			quoted.Tag = "!!str"
			n = &quoted
		}
		s, f := textOf(n, ok)
		return s, f
	}}
}

// texts reads a list of strings, or a single one.
func texts(ok check) reader {
	return reader{fromEnv: commaNode, read: func(n *yaml.Node) (any, []fault) {
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
		} else if n.Kind != yaml.ScalarNode {
			return nil, wrongKind(n, yaml.SequenceNode, "a list of texts")
		}
		out := []string{}
		var faults []fault
		for _, item := range items {
			s, f := textOf(resolve(item), ok)
			faults = append(faults, f...)
			out = append(out, s)
		}
		return out, faults
	}}
}

var boolean = reader{fromEnv: yamlNode, read: func(n *yaml.Node) (any, []fault) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return strings.EqualFold(n.Value, "true"), nil
	}
	return nil, []fault{{n, "must be true or false" + butIs(n), ""}}
}}

// integer reads a whole number from least to most.
func integer(least, most int) reader {
	return reader{fromEnv: yamlNode, read: func(n *yaml.Node) (any, []fault) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
			return nil, []fault{{n, fmt.Sprintf("must be a whole number from %d to %d", least, most) + butIs(n), ""}}
		}
		return v, nil
	}}
}

// duration reads a positive time span such as 30m or 720h.
var duration = reader{fromEnv: verbatim, read: func(n *yaml.Node) (any, []fault) {
	if f := wrongKind(n, yaml.ScalarNode, "a duration such as 30m or 720h"); f != nil {
		return nil, f
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil {
		return nil, []fault{{n, fmt.Sprintf("must be a duration such as 30m or 720h, not %q", n.Value), durationHint(n.Value)}}
	}
	if d <= 0 {
		return nil, []fault{{n, fmt.Sprintf("must be more than zero, not %s", n.Value), ""}}
	}
	return d, nil
}}

// durationHint recognises numbers without a unit, and days and weeks.
func durationHint(s string) string {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return fmt.Sprintf("write the unit, too: %ss are seconds, %sm minutes, %sh hours", s, s, s)
	}
	for unit, hours := range map[string]float64{"d": 24, "w": 7 * 24} {
		if n, err := strconv.ParseFloat(strings.TrimSuffix(s, unit), 64); err == nil && strings.HasSuffix(s, unit) {
			return fmt.Sprintf("the largest unit is the hour: write %sh", strconv.FormatFloat(math.Round(n*hours*100)/100, 'f', -1, 64))
		}
	}
	return "units are s, m and h"
}

// tokenKeys reads the list of keys that tokens are signed with.
var tokenKeys = reader{fromEnv: yamlNode, read: func(n *yaml.Node) (any, []fault) {
	if n.Kind != yaml.SequenceNode {
		return nil, []fault{{n, "must be a list of {id, secret}", exampleTokenKeys}} // not repeating what may be a secret
	}
	var (
		faults []fault
		out    []map[string]any
		seen   = map[string]bool{}
	)
	for _, item := range n.Content {
		item = resolve(item)
		if item.Kind != yaml.MappingNode {
			faults = append(faults, fault{item, "must consist of {id, secret}", exampleTokenKeys})
			continue
		}
		k := map[string]any{}
		for i := 0; i+1 < len(item.Content); i += 2 {
			name, value := item.Content[i], resolve(item.Content[i+1])
			var ok check
			switch name.Value {
			case "id":
				ok = tokenKeyID
			case "secret":
				ok = tokenSecret
			default:
				faults = append(faults, fault{name, fmt.Sprintf("has no key %q", name.Value), "a token key has an id and a secret"})
				continue
			}
			s, f := textOf(value, ok)
			faults = append(faults, f...)
			k[name.Value] = s
			if name.Value != "id" || len(f) > 0 {
				continue
			}
			if seen[s] {
				faults = append(faults, fault{value, fmt.Sprintf("has two keys with the id %q", s), "give each key an id of its own"})
			}
			seen[s] = true
		}
		for _, need := range []string{"id", "secret"} {
			if _, ok := k[need]; !ok {
				faults = append(faults, fault{item, "has a key without its " + need, exampleTokenKeys})
			}
		}
		out = append(out, k)
	}
	if len(n.Content) == 0 {
		faults = append(faults, fault{n, "must hold at least one key", "remove token_keys to have a key made and kept in the metadata database"})
	}
	return out, faults
}}

// raw keeps the node itself.
var raw = reader{fromEnv: yamlNode, read: func(n *yaml.Node) (any, []fault) { return n, nil }}

// wrongKind is nil when the node is of the wanted kind. An empty value is of
// no kind.
func wrongKind(n *yaml.Node, want yaml.Kind, what string) []fault {
	if isEmpty(n) {
		return []fault{{n, "has no value", "write " + what + ", or remove the key"}}
	}
	if n.Kind == want {
		return nil
	}
	return []fault{{n, "must be " + what + butIs(n), ""}}
}

// isEmpty reports whether nothing was written.
func isEmpty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// butIs says what was found instead.
func butIs(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return ", not a section of keys"
	case yaml.SequenceNode:
		return ", not a list"
	}
	return fmt.Sprintf(", not %q", n.Value)
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// plainNode is the text as it stands: a password may look like YAML.
func plainNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// verbatim is plainNode as a reader's fromEnv.
func verbatim(text string) (*yaml.Node, error) { return plainNode(text), nil }

// commaNode is a list written with commas, or a YAML one.
func commaNode(text string) (*yaml.Node, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		return yamlNode(text)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for item := range strings.SplitSeq(text, ",") {
		list.Content = append(list.Content, plainNode(strings.TrimSpace(item)))
	}
	return list, nil
}

// yamlNode is the text read as YAML.
func yamlNode(text string) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	}
	return doc.Content[0], nil
}
