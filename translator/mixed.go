package translator

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// readMixed reads any BSON value that a mixed property can hold. Level counts
// the collections around it, itself included if it is one.
func (m *mapper) readMixed(v bson.RawValue, level int) (object.Node, *Unsynced) {
	switch v.Type {
	case bson.TypeNull:
		return null, nil
	case bson.TypeInt32, bson.TypeInt64:
		return scalarNode(changeset.Int, v)
	case bson.TypeDouble:
		return scalarNode(changeset.Double, v)
	case bson.TypeDecimal128:
		return scalarNode(changeset.Decimal, v)
	case bson.TypeBoolean:
		return scalarNode(changeset.Bool, v)
	case bson.TypeString:
		return scalarNode(changeset.String, v)
	case bson.TypeDateTime:
		return scalarNode(changeset.Timestamp, v)
	case bson.TypeObjectID:
		return scalarNode(changeset.ObjectID, v)
	case bson.TypeBinary:
		return readMixedBinary(v)
	case bson.TypeArray:
		return m.readMixedList(v, level)
	case bson.TypeEmbeddedDocument:
		link, isLink, u := m.readReference(v)
		if u != nil {
			return nil, u
		}
		if isLink {
			return link, nil
		}
		if level > maxMixedNesting {
			return nil, tooDeep()
		}
		return m.readEntries(v, func(item bson.RawValue) (object.Node, *Unsynced) { return m.readMixed(item, level+1) })
	}
	return nil, &Unsynced{Expected: "a value that a mixed property can hold", Found: typeName(v)}
}

func scalarNode(t changeset.Type, v bson.RawValue) (object.Node, *Unsynced) {
	value, u := readScalar(t, v)
	if u != nil {
		return nil, u
	}
	return value, nil
}

func readMixedBinary(v bson.RawValue) (object.Node, *Unsynced) {
	subtype, b, ok := readBinary(v)
	switch {
	case !ok:
		return nil, broken(v)
	case subtype != bson.TypeBinaryUUID:
		return changeset.BinaryValue(b), nil
	case len(b) == 16:
		return changeset.UUIDValue([16]byte(b)), nil
	}
	return nil, &Unsynced{Expected: "uuid", Found: typeName(v), Reason: "it has not 16 bytes"}
}

func (m *mapper) readMixedList(v bson.RawValue, level int) (object.Node, *Unsynced) {
	if level > maxMixedNesting {
		return nil, tooDeep()
	}
	list := &object.List{}
	e := elementsOf(v.Value)
	for i := 0; ; i++ {
		_, item, ok := e.next()
		if !ok {
			break
		}
		node, u := m.readMixed(item, level+1)
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

func tooDeep() *Unsynced {
	return &Unsynced{Expected: "at most " + strconv.Itoa(maxMixedNesting) + " collections inside each other", Found: "more"}
}

// readReference reads a document as a link if it is a DBRef: one that starts
// with "$ref" and "$id" and names a synced collection. A document that merely
// looks like one is explained rather than taken for a dictionary, whose keys
// can't start with $.
func (m *mapper) readReference(v bson.RawValue) (link changeset.Value, isLink bool, u *Unsynced) {
	e := elementsOf(v.Value)
	key, ref, ok := e.next()
	if !ok || string(key) != "$ref" {
		return link, false, nil
	}
	key, id, ok := e.next()
	if !ok || string(key) != "$id" {
		return link, false, nil
	}
	collection, _, ok := bsoncore.ReadString(ref.Value)
	if ref.Type != bson.TypeString || !ok {
		return link, false, (&Unsynced{Expected: "the name of a collection", Found: typeName(ref)}).below("$ref")
	}
	if key, db, ok := e.next(); ok && string(key) == "$db" && m.Database != "" {
		if name, _, ok := bsoncore.ReadString(db.Value); db.Type != bson.TypeString || !ok || name != m.Database {
			return link, false, (&Unsynced{Expected: "the synced database " + quote(m.Database), Found: "a link into another one"}).below("$db")
		}
	}
	c := m.classOf(collection)
	if c == nil {
		return link, false, (&Unsynced{Expected: "a collection that is synced", Found: quote(collection)}).below("$ref")
	}
	k, u := readKey(c, id)
	if u != nil {
		u.Expected += ", the _id of a " + c.Name
		return link, false, u.below("$id")
	}
	return changeset.LinkValue(c.Name, k), true, nil
}

// classOf returns the class that links can lead to and whose documents are in
// the collection; nil if there is none.
func (m *mapper) classOf(collection string) *schema.Class {
	for _, c := range m.schema.Classes {
		if c.Kind == changeset.TopLevel && collectionName(c) == collection {
			return c
		}
	}
	return nil
}

// appendReference appends the DBRef of a link in a mixed property.
func (m *mapper) appendReference(dst []byte, link changeset.Value) (bson.Type, []byte, *RefusedValue) {
	c := m.schema.Class(link.Str)
	if c == nil || c.Kind != changeset.TopLevel {
		return 0, dst, refused("a link leads to %q, which is no class that has documents", link.Str)
	}
	start, dst := openDocument(dst)
	dst = bsoncore.AppendString(appendHeader(dst, bson.TypeString, "$ref"), collectionName(c))
	dst = AppendKey(dst, "$id", link.Key)
	if m.Database != "" {
		dst = bsoncore.AppendString(appendHeader(dst, bson.TypeString, "$db"), m.Database)
	}
	return bson.TypeEmbeddedDocument, closeDocument(dst, start), nil
}

func quote(s string) string { return strconv.Quote(s) }
