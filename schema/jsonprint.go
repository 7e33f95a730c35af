package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ErrNotJSONSchema is the error for a class that no JSON schema can express:
// an embedded class that is inside itself.
var ErrNotJSONSchema = errors.New("not expressible as a JSON schema")

// MarshalJSONSchema writes the schema of a class that is not embedded, with the
// embedded ones below it: an object of "schema", "relationships" and "metadata"
// that ParseJSON reads back, and App Services' Admin API took. database is what
// references and metadata name. Embedded classes that nothing uses are in no file.
func (s *Schema) MarshalJSONSchema(class, database string) ([]byte, error) {
	c := s.Class(class)
	if c == nil || c.Kind == changeset.Embedded {
		return nil, fmt.Errorf("write JSON schema: %q is no class with a collection", class)
	}
	w := &jsonWriter{schema: s, database: database, relationships: make(map[string]any)}
	properties, err := w.object(c, "")
	if err != nil {
		return nil, fmt.Errorf("write JSON schema of %q: %w", class, err)
	}
	out := map[string]any{
		"schema":        properties,
		"relationships": w.relationships,
		"metadata":      map[string]any{"data_source": service, "database": database, "collection": c.CollectionName()},
	}
	if c.Kind == changeset.Asymmetric {
		out["asymmetric"] = true
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write JSON schema of %q: %w", class, err)
	}
	return append(text, '\n'), nil
}

type jsonWriter struct {
	schema        *Schema
	database      string
	relationships map[string]any
	inside        []string // embedded classes being written
}

// object writes a class. path is the dotted path to it, with a dot at the end.
func (w *jsonWriter) object(c *Class, path string) (map[string]any, error) {
	properties, required := make(map[string]any), []string{}
	if c.Kind != changeset.Embedded {
		properties[KeyField] = map[string]any{"bsonType": bsonName(c.KeyType)}
		if !c.KeyNullable {
			required = append(required, KeyField)
		}
	}
	for _, name := range c.PropertyNames() {
		p := c.Properties[name]
		definition, err := w.property(p, path+name)
		if err != nil {
			return nil, err
		}
		properties[name] = definition
		if p.Collection == changeset.Single && !p.AcceptsNull() {
			required = append(required, name)
		}
	}
	out := map[string]any{"title": c.Name, "bsonType": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out, nil
}

func (w *jsonWriter) property(p *Property, path string) (map[string]any, error) {
	element, err := w.element(p, path)
	if err != nil {
		return nil, err
	}
	switch p.Collection {
	case changeset.ListOf:
		return map[string]any{"bsonType": "array", "items": element}, nil
	case changeset.SetOf:
		return map[string]any{"bsonType": "array", "uniqueItems": true, "items": element}, nil
	case changeset.DictionaryOf:
		return map[string]any{"bsonType": "object", "additionalProperties": element}, nil
	}
	if p.Default != nil {
		element["default"] = defaultJSON(*p.Default)
	}
	return element, nil
}

func (w *jsonWriter) element(p *Property, path string) (map[string]any, error) {
	if p.Type == changeset.Link {
		return w.linkOrEmbedded(p, path)
	}
	name := bsonName(p.Type)
	if p.Int32 {
		name = "int"
	}
	if p.Collection != changeset.Single && p.Nullable && p.Type != changeset.Mixed {
		return map[string]any{"bsonType": []string{name, "null"}}, nil
	}
	return map[string]any{"bsonType": name}, nil
}

func (w *jsonWriter) linkOrEmbedded(p *Property, path string) (map[string]any, error) {
	target := w.schema.Class(p.Target)
	if target == nil {
		return nil, fmt.Errorf("%s leads to class %q, which does not exist", path, p.Target)
	}
	if target.Kind != changeset.Embedded {
		w.relationships[path] = map[string]any{
			"ref":         relationshipPrefix + service + "/" + w.database + "/" + target.CollectionName(),
			"foreign_key": KeyField,
			"is_list":     p.Collection != changeset.Single,
		}
		return map[string]any{"bsonType": bsonName(target.KeyType)}, nil
	}
	if slices.Contains(w.inside, target.Name) {
		return nil, fmt.Errorf("%w: embedded class %q is inside itself at %s", ErrNotJSONSchema, target.Name, path)
	}
	w.inside = append(w.inside, target.Name)
	inner := path + "."
	if p.Collection != changeset.Single {
		inner = path + ".[]."
	}
	out, err := w.object(target, inner)
	w.inside = w.inside[:len(w.inside)-1]
	return out, err
}

// bsonName is the bsonType of a type that is no link.
func bsonName(t changeset.Type) string {
	if t == changeset.Mixed {
		return "mixed"
	}
	if t == changeset.Int {
		return "long"
	}
	for name, scalar := range scalarOfBSON {
		if scalar == t {
			return name
		}
	}
	return "mixed"
}
