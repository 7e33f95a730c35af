package translator

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

const (
	// maxNesting bounds embedded objects; MongoDB itself nests no deeper.
	maxNesting = 200
	// maxMixedNesting bounds collections inside mixed, as clients do.
	maxMixedNesting = 100
)

// Mapping is what the schema leaves open about documents. The zero value reads
// and writes every document; it only writes links in mixed without the name of
// their database, and trusts those that name one.
type Mapping struct {
	// Database is where the synced collections are. It goes into the "$db" of
	// links in mixed properties.
	Database string
	// UnsetNulls removes an optional field that a device sets to null. Otherwise
	// a field that is there is set to null, and an absent one stays absent.
	UnsetNulls bool
}

// mapper is a Mapping at work on one schema.
type mapper struct {
	Mapping
	schema *schema.Schema
}

// null is a null property value; shared, so that reading one allocates nothing.
var null object.Node = changeset.NullValue()

// MapDocument is Mapping{}.MapDocument.
func MapDocument(s *schema.Schema, c *schema.Class, doc bson.Raw) (*object.Object, error) {
	return Mapping{}.MapDocument(s, c, doc)
}

// MapDocument reads a document as the object of its class, without its key.
// Fields that the class does not have are ignored; an absent or null field is
// null, an empty collection, or the default of a required property. The error
// is an *Unsynced. The object shares no memory with the document.
func (m Mapping) MapDocument(s *schema.Schema, c *schema.Class, doc bson.Raw) (*object.Object, error) {
	mp := mapper{m, s}
	o, u := mp.readObject(c, doc, 0)
	if u != nil {
		return nil, u
	}
	return o, nil
}

func (m *mapper) readObject(c *schema.Class, doc []byte, depth int) (*object.Object, *Unsynced) {
	if depth > maxNesting {
		return nil, &Unsynced{Expected: "at most 200 levels of documents", Found: "more"}
	}
	o := &object.Object{Fields: make(map[string]object.Node, len(c.Properties))}
	e := elementsOf(doc)
	for {
		key, v, ok := e.next()
		if !ok {
			break
		}
		p := c.Properties[string(key)]
		if p == nil {
			continue
		}
		if _, twice := o.Fields[p.Name]; twice {
			return nil, (&Unsynced{Expected: "one field of that name", Found: "two"}).below(p.Name)
		}
		node, u := m.readProperty(p, v, depth)
		if u != nil {
			return nil, u.below(p.Name)
		}
		o.Fields[p.Name] = node
	}
	if e.bad {
		return nil, &Unsynced{Expected: "well-formed BSON", Found: "a broken document"}
	}
	if len(o.Fields) < len(c.Properties) {
		if missing := fillDefaults(c, o); missing != "" {
			return nil, (&Unsynced{Expected: expectedName(c.Properties[missing].Type), Found: "nothing", Reason: "the field is required", Missing: true}).below(missing)
		}
	}
	return o, nil
}

// fillDefaults gives an object the defaults of required properties that its
// document lacks, and returns the first by name that has none.
func fillDefaults(c *schema.Class, o *object.Object) (missing string) {
	for name, p := range c.Properties {
		if _, present := o.Fields[name]; present || !requiresValue(p) {
			continue
		}
		if v, ok := defaultOf(p); ok {
			o.Fields[name] = v
		} else if missing == "" || name < missing {
			missing = name
		}
	}
	return missing
}

// requiresValue reports whether a property has to be in a document: scalars
// that may not be null.
func requiresValue(p *schema.Property) bool {
	return p.Collection == changeset.Single && !p.AcceptsNull()
}

// firstLevel is the level of a collection that stands directly in a mixed
// property: below the collection that the property itself may be.
func firstLevel(p *schema.Property) int {
	if p.Collection == changeset.Single {
		return 1
	}
	return 2
}

// defaultOf returns the default of a required property. One of another type
// counts as missing.
func defaultOf(p *schema.Property) (changeset.Value, bool) {
	if p.Default == nil || p.Default.Type != p.Type {
		return changeset.Value{}, false
	}
	return *p.Default, true
}

// readProperty reads the whole of a property: one value or a collection.
func (m *mapper) readProperty(p *schema.Property, v bson.RawValue, depth int) (object.Node, *Unsynced) {
	switch p.Collection {
	case changeset.ListOf:
		return m.readList(p, v, depth)
	case changeset.SetOf:
		return m.readSet(p, v)
	case changeset.DictionaryOf:
		return m.readDictionary(p, v, depth)
	}
	if v.Type == bson.TypeNull && requiresValue(p) {
		if d, ok := defaultOf(p); ok {
			return d, nil
		}
	}
	return m.readElement(p, v, depth)
}

func (m *mapper) readList(p *schema.Property, v bson.RawValue, depth int) (object.Node, *Unsynced) {
	list := &object.List{}
	switch v.Type {
	case bson.TypeNull:
		return list, nil
	case bson.TypeArray:
	default:
		return nil, &Unsynced{Expected: "array", Found: typeName(v)}
	}
	if n := countElements(v.Value); n > 0 {
		list.Items = make([]object.Node, 0, n)
	}
	e := elementsOf(v.Value)
	for i := 0; ; i++ {
		_, item, ok := e.next()
		if !ok {
			break
		}
		node, u := m.readElement(p, item, depth)
		if u != nil {
			return nil, u.belowIndex(i)
		}
		list.Items = append(list.Items, node)
	}
	if e.bad {
		return nil, broken(v)
	}
	return list, nil
}

// readSet reads an array as a set: equal elements collapse into the first.
func (m *mapper) readSet(p *schema.Property, v bson.RawValue) (object.Node, *Unsynced) {
	set := &object.Set{}
	switch v.Type {
	case bson.TypeNull:
		return set, nil
	case bson.TypeArray:
	default:
		return nil, &Unsynced{Expected: "array", Found: typeName(v)}
	}
	var seen map[changeset.Value]bool
	e := elementsOf(v.Value)
	for i := 0; ; i++ {
		_, item, ok := e.next()
		if !ok {
			break
		}
		node, u := m.readElement(p, item, 0)
		if u != nil {
			return nil, u.belowIndex(i)
		}
		value, ok := node.(changeset.Value)
		if !ok {
			return nil, (&Unsynced{Expected: "a value that a set can hold", Found: typeName(item)}).belowIndex(i)
		}
		id := setIdentity(p, value)
		if seen[id] {
			continue
		}
		if seen == nil {
			seen = make(map[changeset.Value]bool)
		}
		seen[id] = true
		set.Items = append(set.Items, value)
	}
	if e.bad {
		return nil, broken(v)
	}
	return set, nil
}

func (m *mapper) readDictionary(p *schema.Property, v bson.RawValue, depth int) (object.Node, *Unsynced) {
	switch v.Type {
	case bson.TypeNull:
		return &object.Dictionary{}, nil
	case bson.TypeEmbeddedDocument:
	default:
		return nil, &Unsynced{Expected: "object", Found: typeName(v)}
	}
	return m.readEntries(v, func(item bson.RawValue) (object.Node, *Unsynced) { return m.readElement(p, item, depth) })
}

// readEntries reads a document as a dictionary, its values by read.
func (m *mapper) readEntries(v bson.RawValue, read func(bson.RawValue) (object.Node, *Unsynced)) (object.Node, *Unsynced) {
	entries := make(map[string]object.Node, countElements(v.Value))
	e := elementsOf(v.Value)
	for {
		key, item, ok := e.next()
		if !ok {
			break
		}
		name := string(key)
		if err := schema.CheckKeyName(name); err != nil {
			return nil, &Unsynced{Expected: "keys that a dictionary can have", Found: "the key " + quote(name), Reason: err.Error()}
		}
		if _, twice := entries[name]; twice {
			return nil, (&Unsynced{Expected: "one entry of that key", Found: "two"}).below(name)
		}
		node, u := read(item)
		if u != nil {
			return nil, u.below(name)
		}
		entries[name] = node
	}
	if e.bad {
		return nil, broken(v)
	}
	return &object.Dictionary{Entries: entries}, nil
}

// readElement reads one value of the property: the single one, or an element of
// the collection that it is.
func (m *mapper) readElement(p *schema.Property, v bson.RawValue, depth int) (object.Node, *Unsynced) {
	if p.Type == changeset.Mixed {
		return m.readMixed(v, firstLevel(p))
	}
	if v.Type == bson.TypeNull {
		if p.AcceptsNull() {
			return null, nil
		}
		if p.Type != changeset.Link {
			return nil, &Unsynced{
				Expected: expectedName(p.Type), Found: "null", Reason: "the schema does not let it be null",
				Missing: p.Collection == changeset.Single,
			}
		}
	}
	if p.Type != changeset.Link {
		value, u := readScalar(p.Type, v)
		if u != nil {
			return nil, u
		}
		return value, nil
	}
	target := m.schema.Class(p.Target)
	if target == nil {
		return nil, &Unsynced{Expected: "a link to class " + quote(p.Target), Found: typeName(v), Reason: "the schema has no such class"}
	}
	if target.Kind != changeset.Embedded {
		k, u := readKey(target, v)
		if u != nil {
			u.Expected += ", the _id of a " + target.Name
			return nil, u
		}
		return changeset.LinkValue(target.Name, k), nil
	}
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, &Unsynced{Expected: "object", Found: typeName(v)}
	}
	o, u := m.readObject(target, v.Value, depth+1)
	if u != nil {
		return nil, u
	}
	return o, nil
}
