package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ParseJSON reads the schema of an app from the files of its collections, which
// may refer to each other. It collects everything that is wrong into one
// *JSONError. Keywords that only validate, such as maxLength, are left to
// MongoDB's own validators.
func ParseJSON(files ...JSONFile) (*Schema, error) {
	p := &jsonParser{
		out:         &Schema{Classes: make(map[string]*Class)},
		collections: make(map[string]string),
	}
	var read []*jsonCollection
	for _, f := range files {
		if c := p.open(f); c != nil {
			read = append(read, c)
		}
	}
	// Properties come second, since links need all classes to be known.
	for _, c := range read {
		p.collection = c
		p.properties(c.class, c.schema, c.pointer, "")
		p.unusedRelationships()
	}
	if len(p.problems) > 0 {
		return nil, &JSONError{Problems: p.problems}
	}
	return p.out, nil
}

type jsonParser struct {
	out         *Schema
	collections map[string]string // collection to class
	collection  *jsonCollection   // being read
	problems    []JSONProblem
}

// jsonCollection is a file taken apart.
type jsonCollection struct {
	file          JSONFile
	schema        map[string]any
	pointer       string // of schema in the file
	relationships map[string]any
	relPointer    string // of relationships in the file
	used          map[string]bool
	class         *Class
}

func (p *jsonParser) problem(file, pointer, reason, hint string) {
	p.problems = append(p.problems, JSONProblem{File: file, Pointer: pointer, Reason: reason, Hint: hint})
}

// fail notes a problem of the collection being read.
func (p *jsonParser) fail(pointer, reason, hint string) {
	p.problem(p.collection.file.Name, pointer, reason, hint)
}

// open takes a file apart and makes its class, without properties. It returns
// nil where there is nothing to go on with.
func (p *jsonParser) open(f JSONFile) *jsonCollection {
	whole, err := decodeObject(f.Schema)
	if err != nil {
		p.problem(f.Name, "", err.Error(), "")
		return nil
	}
	c := &jsonCollection{file: f, schema: whole, used: make(map[string]bool)}
	p.collection = c
	collection := f.Collection
	if inner, ok := whole["schema"].(map[string]any); ok {
		c.schema, c.pointer, c.relPointer = inner, "/schema", "/relationships"
		c.relationships, _ = whole["relationships"].(map[string]any)
		if metadata, ok := whole["metadata"].(map[string]any); ok && collection == "" {
			collection, _ = metadata["collection"].(string)
		}
		if asymmetric, ok := whole["asymmetric"].(bool); ok {
			c.file.Asymmetric = asymmetric
		}
	}
	if len(bytes.TrimSpace(f.Relationships)) > 0 {
		c.relPointer = ""
		if c.relationships, err = decodeObject(f.Relationships); err != nil {
			p.fail("", "relationships: "+err.Error(), "")
		}
	}
	title, _ := c.schema["title"].(string)
	if title == "" {
		title = collection
	}
	if reason := badClassName(title, changeset.TopLevel); reason != "" {
		p.fail(c.pointer+"/title", reason, "the title is the class's name")
		return nil
	}
	if collection == "" {
		collection = title
	}
	c.class = p.topLevelClass(c, title)
	if old, ok := p.collections[collection]; ok {
		p.fail("", fmt.Sprintf("collection %q is that of class %q already", collection, old), "")
	}
	if old := p.out.Classes[title]; old != nil {
		p.fail(c.pointer+"/title", fmt.Sprintf("there are two classes %q", title), "")
		return nil
	}
	if collection != title {
		c.class.Collection = collection
	}
	p.collections[collection] = title
	p.out.Classes[title] = c.class
	return c
}

func (p *jsonParser) topLevelClass(c *jsonCollection, title string) *Class {
	class := &Class{Name: title, Kind: changeset.TopLevel, Properties: make(map[string]*Property)}
	if c.file.Asymmetric {
		class.Kind = changeset.Asymmetric
	}
	properties, _ := c.schema["properties"].(map[string]any)
	key, ok := properties[KeyField].(map[string]any)
	pointer := c.pointer + "/properties/" + KeyField
	if !ok {
		p.fail(c.pointer+"/properties", "there is no primary key "+KeyField, "")
		return class
	}
	name, null := p.bsonType(key, pointer)
	switch typ := scalarOfBSON[name]; typ {
	case changeset.Int, changeset.String, changeset.ObjectID, changeset.UUID:
		class.KeyType = typ
	default:
		p.fail(pointer+"/bsonType", fmt.Sprintf("the primary key is of type %q", name),
			`it must be "objectId", "string", "long", "int" or "uuid"`)
	}
	class.KeyNullable = null || !p.required(c.schema, c.pointer)[KeyField]
	return class
}

// properties reads the properties of a class into it. path is the dotted path to
// it in documents, with a dot at the end; empty for the collection itself.
func (p *jsonParser) properties(class *Class, schema map[string]any, pointer, path string) {
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		p.fail(pointer+"/properties", "there are no properties", "")
		return
	}
	required := p.required(schema, pointer)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if path == "" && name == KeyField {
			continue
		}
		at := pointer + "/properties/" + escapePointer(name)
		if reason := badPropertyName(name); reason != "" {
			p.fail(at, reason, "")
			continue
		}
		definition, ok := properties[name].(map[string]any)
		if !ok {
			p.fail(at, "not an object", "")
			continue
		}
		if property := p.property(class, name, definition, at, path+name, required[name]); property != nil {
			class.Properties[name] = property
		}
	}
}

// required returns the names that the schema lists as required.
func (p *jsonParser) required(schema map[string]any, pointer string) map[string]bool {
	out := make(map[string]bool)
	list, ok := schema["required"].([]any)
	if !ok && schema["required"] != nil {
		p.fail(pointer+"/required", "not a list of names", "")
	}
	for i, v := range list {
		name, ok := v.(string)
		if !ok {
			p.fail(pointer+"/required/"+strconv.Itoa(i), "not a name", "")
		}
		out[name] = true
	}
	return out
}

func (p *jsonParser) property(class *Class, name string, definition map[string]any, pointer, path string, required bool) *Property {
	out := &Property{Name: name}
	typ, null := p.bsonType(definition, pointer)
	element, elementPointer, ok := p.collectionOf(out, typ, definition, pointer)
	if !ok {
		return nil
	}
	if out.Collection != changeset.Single {
		typ, null = p.bsonType(element, elementPointer)
		required = !null
	}
	out.Nullable = null || !required
	if !p.element(out, class, typ, element, elementPointer, path, required) {
		return nil
	}
	if out.Type == changeset.Mixed || out.Type == changeset.Link {
		out.Nullable = out.AcceptsNull()
	}
	if v, ok := definition["default"]; ok && out.Collection == changeset.Single && !out.AcceptsNull() {
		if value, ok := defaultOf(out.Type, v); ok {
			out.Default = &value
		}
	}
	return out
}

// collectionOf finds out what collection a property is, and returns the schema
// of its elements, which for a single value is its own.
func (p *jsonParser) collectionOf(out *Property, typ string, definition map[string]any, pointer string) (map[string]any, string, bool) {
	switch typ {
	case "array":
		out.Collection = changeset.ListOf
		if unique, _ := definition["uniqueItems"].(bool); unique {
			out.Collection = changeset.SetOf
		}
		items, ok := definition["items"].(map[string]any)
		if !ok {
			p.fail(pointer+"/items", "the array does not say what its items are", `for any values say {"bsonType":"mixed"}`)
		}
		return items, pointer + "/items", ok
	case "object":
		properties, _ := definition["properties"].(map[string]any)
		values, ok := definition["additionalProperties"].(map[string]any)
		if ok && len(properties) > 0 {
			p.fail(pointer, "an object has properties or additionalProperties, not both", "")
			return nil, "", false
		}
		if ok {
			out.Collection = changeset.DictionaryOf
			return values, pointer + "/additionalProperties", true
		}
	}
	return definition, pointer, true
}

// element reads the type of a value or of a collection's elements.
func (p *jsonParser) element(out *Property, class *Class, typ string, definition map[string]any, pointer, path string, required bool) bool {
	if relPath := p.relationshipAt(path, out.Collection); relPath != "" {
		return p.link(out, typ, pointer, relPath, required)
	}
	switch typ {
	case "":
		return false
	case "mixed":
		out.Type = changeset.Mixed
		return true
	case "object":
		return p.embedded(out, class, definition, pointer, path)
	case "array":
		p.fail(pointer+"/bsonType", "a collection of arrays can't be mapped", `a mixed may hold them: say "mixed"`)
		return false
	case "number":
		p.fail(pointer+"/bsonType", `"number" could be any of several types`, `say "long", "double" or "decimal"`)
		return false
	}
	scalar, ok := scalarOfBSON[typ]
	if !ok {
		p.fail(pointer+"/bsonType", fmt.Sprintf("type %q can't be mapped", typ), "")
		return false
	}
	out.Type = scalar
	out.Int32 = typ == "int"
	return true
}

// embedded reads an embedded class.
func (p *jsonParser) embedded(out *Property, parent *Class, definition map[string]any, pointer, path string) bool {
	title, _ := definition["title"].(string)
	if title == "" {
		title = parent.Name + "_" + out.Name // as the hosted service named it
	}
	switch reason := badClassName(title, changeset.Embedded); {
	case reason != "":
		p.fail(pointer+"/title", reason, "the title is the embedded class's name")
		return false
	case out.Collection == changeset.SetOf:
		p.fail(pointer, "embedded objects can't be in a set", "leave uniqueItems out")
		return false
	}
	if properties, _ := definition["properties"].(map[string]any); len(properties) == 0 {
		p.fail(pointer, "an object without properties",
			`for an embedded object say "properties", for a dictionary "additionalProperties"`)
		return false
	}
	out.Type, out.Target = changeset.Link, title
	class := &Class{Name: title, Kind: changeset.Embedded, Properties: make(map[string]*Property)}
	inner := path + "."
	if out.Collection != changeset.Single {
		inner = path + ".[]."
	}
	p.properties(class, definition, pointer, inner)
	switch old := p.out.Classes[title]; {
	case old == nil:
		p.out.Classes[title] = class
	case old.Kind != changeset.Embedded:
		p.fail(pointer+"/title", fmt.Sprintf("class %q is that of a collection", title), "give the embedded class another title")
		return false
	default:
		for _, c := range class.diff(old) {
			p.fail(pointer, fmt.Sprintf("embedded class %q has another shape elsewhere: %v", title, c),
				"write it alike everywhere, relationships included, or give it another title")
		}
	}
	return true
}

// relationshipAt returns the path under which there is a relationship for a
// property, empty if there is none.
func (p *jsonParser) relationshipAt(path string, kind changeset.Collection) string {
	candidates := []string{path}
	if kind != changeset.Single {
		candidates = append(candidates, path+".[]")
	}
	for _, c := range candidates {
		if _, ok := p.collection.relationships[c]; ok {
			return c
		}
	}
	return ""
}

func (p *jsonParser) link(out *Property, typ, pointer, path string, required bool) bool {
	p.collection.used[path] = true
	at := p.collection.relPointer + "/" + escapePointer(path)
	relationship, ok := p.collection.relationships[path].(map[string]any)
	if !ok {
		p.fail(at, "not an object", "")
		return false
	}
	ref, _ := relationship["ref"].(string)
	parts := strings.Split(strings.TrimPrefix(ref, relationshipPrefix), "/")
	if !strings.HasPrefix(ref, relationshipPrefix) || len(parts) != 3 {
		p.fail(at+"/ref", fmt.Sprintf("%q is no reference", ref), "it is "+relationshipPrefix+"SERVICE/DATABASE/COLLECTION")
		return false
	}
	target := p.out.Classes[p.collections[parts[2]]]
	switch key := relationship["foreign_key"]; {
	case target == nil:
		p.fail(at+"/ref", fmt.Sprintf("no file has the schema of collection %q", parts[2]), "")
	case key != nil && key != KeyField:
		p.fail(at+"/foreign_key", fmt.Sprintf("the foreign key is %v", key), "it must be "+KeyField)
	case target.Kind == changeset.Asymmetric:
		p.fail(at+"/ref", fmt.Sprintf("class %q is asymmetric", target.Name), "no device could follow the link")
	case scalarOfBSON[typ] != target.KeyType:
		p.fail(pointer+"/bsonType", fmt.Sprintf("the type of a link is that of its target's primary key, which is %v", target.KeyType), "")
	case required && out.Collection == changeset.Single:
		p.fail(pointer, "a link can't be required", "take it out of required")
	default:
		out.Type, out.Target = changeset.Link, target.Name
		return true
	}
	return false
}

// unusedRelationships reports relationships that belong to no property.
func (p *jsonParser) unusedRelationships() {
	for _, path := range slices.Sorted(maps.Keys(p.collection.relationships)) {
		if !p.collection.used[path] {
			p.fail(p.collection.relPointer+"/"+escapePointer(path), "no property is at this path", "")
		}
	}
}

// bsonType returns the type that a schema names, empty with a problem noted, and
// whether null is allowed, too.
func (p *jsonParser) bsonType(schema map[string]any, pointer string) (name string, null bool) {
	var names []string
	switch v := schema["bsonType"].(type) {
	case string:
		names = []string{v}
	case []any:
		for _, item := range v {
			if name, ok := item.(string); ok {
				names = append(names, name)
			}
		}
	}
	all := len(names)
	names = slices.DeleteFunc(names, func(name string) bool { return name == "null" })
	switch len(names) {
	case 1:
		return names[0], all > 1
	case 0:
		p.fail(pointer+"/bsonType", "there is no type", "")
	default:
		p.fail(pointer+"/bsonType", fmt.Sprintf("there are several types: %s", strings.Join(names, ", ")),
			`for values of any type say "mixed"`)
	}
	return "", false
}

// scalarOfBSON has the types whose values are single.
var scalarOfBSON = map[string]changeset.Type{
	"long": changeset.Int, "int": changeset.Int, "bool": changeset.Bool, "string": changeset.String,
	"binData": changeset.Binary, "date": changeset.Timestamp, "float": changeset.Float, "double": changeset.Double,
	"decimal": changeset.Decimal, "objectId": changeset.ObjectID, "uuid": changeset.UUID,
}

// decodeObject reads one JSON object, with its numbers as they are.
func decodeObject(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	if out == nil {
		return nil, errors.New("not a JSON object")
	}
	return out, nil
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
