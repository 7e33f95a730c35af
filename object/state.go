package object

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/schema"
)

// State returns everything the store holds as JSON, in the notation of merge
// scenarios: each top-level class with its objects, sorted by the text of their
// primary keys "_pk", every property written out. Values are in changeset
// notation; besides {"$dict":{…}}, {"$set":[…]} sorted by text, {"$obj":{…}}
// (embedded), {"$link":[class,key]}, and {"$dangling":[class,key]} for links to
// objects that do not exist. Equal states give equal texts.
func (st *Store) State() ([]byte, error) {
	out := make(map[string][]json.RawMessage)
	for _, name := range st.schema.ClassNames() {
		c := st.schema.Class(name)
		if c.Kind == changeset.Embedded {
			continue
		}
		type row struct {
			key  string
			text json.RawMessage
		}
		rows := make([]row, 0, len(st.objects[name]))
		for key, o := range st.objects[name] {
			text, err := notation.FormatKey(key)
			if err != nil {
				return nil, fmt.Errorf("format key of %s: %w", name, err)
			}
			fields, err := st.fields(c, o)
			if err != nil {
				return nil, fmt.Errorf("format object %v: %w", changeset.ObjectRef{Class: name, Key: key}, err)
			}
			fields["_pk"] = text
			object, err := encodeJSON(fields)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row{string(text), object})
		}
		slices.SortFunc(rows, func(a, b row) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
		out[name] = make([]json.RawMessage, len(rows))
		for i, r := range rows {
			out[name][i] = r.text
		}
	}
	return encodeJSON(out)
}

func (st *Store) fields(c *schema.Class, o *Object) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(c.Properties)+1)
	for name, p := range c.Properties {
		text, err := st.node(p, o.Get(p))
		if err != nil {
			return nil, err
		}
		out[name] = text
	}
	return out, nil
}

func (st *Store) node(p *schema.Property, node Node) (json.RawMessage, error) {
	switch node := node.(type) {
	case *Object:
		c := st.schema.Class(p.Target)
		if c == nil {
			return nil, fmt.Errorf("class %q does not exist", p.Target)
		}
		fields, err := st.fields(c, node)
		if err != nil {
			return nil, err
		}
		return encodeJSON(map[string]any{"$obj": fields})
	case *List:
		items, err := st.nodes(p, node.Items)
		if err != nil {
			return nil, err
		}
		return encodeJSON(items)
	case *Dictionary:
		entries := make(map[string]json.RawMessage, len(node.Entries))
		for key, entry := range node.Entries {
			text, err := st.node(p, entry)
			if err != nil {
				return nil, err
			}
			entries[key] = text
		}
		return encodeJSON(map[string]any{"$dict": entries})
	case *Set:
		items := make([]Node, len(node.Items))
		for i, v := range node.Items {
			items[i] = v
		}
		texts, err := st.nodes(p, items)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(texts, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
		return encodeJSON(map[string]any{"$set": texts})
	case changeset.Value:
		return st.value(node)
	}
	return nil, fmt.Errorf("%s can't be written", kindOf(node))
}

func (st *Store) nodes(p *schema.Property, nodes []Node) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(nodes))
	for i, node := range nodes {
		text, err := st.node(p, node)
		if err != nil {
			return nil, err
		}
		out[i] = text
	}
	return out, nil
}

func (st *Store) value(v changeset.Value) (json.RawMessage, error) {
	if v.Type == changeset.Link && st.Object(v.Target()) == nil {
		key, err := notation.FormatKey(v.Key)
		if err != nil {
			return nil, err
		}
		return encodeJSON(map[string]any{"$dangling": []any{v.Str, json.RawMessage(key)}})
	}
	return notation.FormatValue(v)
}

// encodeJSON writes JSON with sorted keys and without the escapes for HTML.
func encodeJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
