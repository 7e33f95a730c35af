package soak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// node is what is at one place of an object: a scalar, nil for null, or what
// has places inside.
type node any

type (
	// scalar is a value that is no collection, as JSON in the client's notation;
	// a link is {"$link":["Thing","1"]}.
	scalar string

	list   struct{ items []node }
	set    struct{ items []node }
	dict   map[string]node
	object map[string]node // an object or an embedded one: property to value
)

func inside(n node) bool {
	switch n.(type) {
	case nil, scalar:
		return false
	}
	return true
}

func tagged(tag string, v any) scalar {
	text, err := json.Marshal(map[string]any{tag: v})
	if err != nil {
		panic(err)
	}
	return scalar(text)
}

func linkTo(r ref) scalar { return tagged("$link", []string{r.class, r.name}) }

// linked is the target of a link.
func (s scalar) linked() (ref, bool) {
	if !strings.HasPrefix(string(s), `{"$link":`) {
		return ref{}, false
	}
	var l struct {
		Link [2]string `json:"$link"`
	}
	if err := json.Unmarshal([]byte(s), &l); err != nil {
		return ref{}, false
	}
	return ref{l.Link[0], l.Link[1]}, true
}

// text is a node in a script.
func text(n node) string {
	switch n := n.(type) {
	case nil:
		return "null"
	case scalar:
		return string(n)
	case *list:
		return "[" + joined(n.items) + "]"
	case *set:
		return `{"$set":[` + joined(n.items) + "]}"
	case dict:
		return `{"$dict":` + entries(n) + "}"
	case object:
		return `{"$embedded":` + entries(n) + "}"
	}
	panic(fmt.Sprintf("%T is no node", n))
}

func joined(items []node) string {
	texts := make([]string, len(items))
	for i, n := range items {
		texts[i] = text(n)
	}
	return strings.Join(texts, ",")
}

func entries(m map[string]node) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(k)
		b.Write(key)
		b.WriteByte(':')
		b.WriteString(text(m[k]))
	}
	return "{" + b.String() + "}"
}

// parseNode reads a node of a script.
func parseNode(s string) (node, error) {
	v, err := decodeJSON([]byte(s))
	if err != nil {
		return nil, fmt.Errorf("%q is no value: %w", s, err)
	}
	return fromJSON(v), nil
}

func decodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// fromJSON makes a node of decoded JSON.
func fromJSON(v any) node {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return &list{fromItems(v)}
	case map[string]any:
		if items, ok := v["$set"].([]any); ok {
			return &set{fromItems(items)}
		}
		if m, ok := v["$dict"].(map[string]any); ok {
			return dict(fromEntries(m))
		}
		if m, ok := v["$embedded"].(map[string]any); ok {
			return object(fromEntries(m))
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return scalar(text)
}

func fromItems(items []any) []node {
	out := make([]node, len(items))
	for i, v := range items {
		out[i] = fromJSON(v)
	}
	return out
}

func fromEntries(m map[string]any) map[string]node {
	out := make(map[string]node, len(m))
	for k, v := range m {
		out[k] = fromJSON(v)
	}
	return out
}

// forClient is a node as a command for a session's client has it.
func forClient(n node, session int) any {
	switch n := n.(type) {
	case nil:
		return nil
	case scalar:
		if r, ok := n.linked(); ok {
			return realmclient.Link(r.class, r.key(session))
		}
		return json.RawMessage(n)
	case *list:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = forClient(item, session)
		}
		return out
	case *set:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = forClient(item, session)
		}
		return realmclient.Set(out...)
	case dict:
		return realmclient.Dictionary(propertiesForClient(n, session))
	case object:
		return realmclient.Embedded(propertiesForClient(n, session))
	}
	panic(fmt.Sprintf("%T is no node", n))
}

func propertiesForClient(m map[string]node, session int) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = forClient(v, session)
	}
	return out
}

// initial is a new object of a class.
func initial(c *realmclient.Class) object {
	o := object{}
	for i := range c.Properties {
		p := &c.Properties[i]
		switch {
		case p.PrimaryKey || p.Name == sessionProperty:
		case p.Collection == "list":
			o[p.Name] = &list{}
		case p.Collection == "set":
			o[p.Name] = &set{}
		case p.Collection == "dictionary":
			o[p.Name] = dict{}
		case p.Nullable || p.Type == "mixed" || p.Type == "object":
			o[p.Name] = nil
		default:
			o[p.Name] = zeros[p.Type]
		}
	}
	return o
}

// zeros are the values that required properties begin with.
var zeros = map[string]scalar{
	"int": `{"$int":"0"}`, "bool": "false", "double": `{"$double":"0"}`,
}

// fill makes an embedded object of given properties whole.
func fill(o object, c *realmclient.Class) object {
	out := initial(c)
	for k, v := range o {
		out[k] = settled(v, property(c, k))
	}
	return out
}

// settled is a value as it is once it is in a property, or is an element of it.
func settled(n node, p *realmclient.Property) node {
	switch n := n.(type) {
	case object:
		return fill(n, class(p.Target))
	case *list:
		if isEmbedded(p) {
			out := &list{}
			for _, item := range n.items {
				out.items = append(out.items, settled(item, p))
			}
			return out
		}
	case dict:
		if isEmbedded(p) {
			out := dict{}
			for k, v := range n {
				out[k] = settled(v, p)
			}
			return out
		}
	}
	return n
}

// clone copies a node, so that the copy can be changed.
func clone(n node) node {
	switch n := n.(type) {
	case *list:
		return &list{cloneItems(n.items)}
	case *set:
		return &set{cloneItems(n.items)}
	case dict:
		return dict(cloneEntries(n))
	case object:
		return object(cloneEntries(n))
	}
	return n
}

func cloneItems(items []node) []node {
	out := make([]node, len(items))
	for i, n := range items {
		out[i] = clone(n)
	}
	return out
}

func cloneEntries(m map[string]node) map[string]node {
	out := make(map[string]node, len(m))
	for k, n := range m {
		out[k] = clone(n)
	}
	return out
}
