package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// documents reads the documents of the classes as the dump that a device which
// holds all of them must have.
func documents(ctx context.Context, b *bridge, schema []realmclient.Class) (realmclient.Dump, error) {
	dump := realmclient.Dump{}
	for _, class := range schema {
		cursor, err := b.collection(class.Name).Find(ctx, bson.D{})
		if err != nil {
			return nil, err
		}
		var docs []bson.Raw
		if err := cursor.All(ctx, &docs); err != nil {
			return nil, err
		}
		objects := []realmclient.Object{}
		for _, doc := range docs {
			object, err := asObject(class, doc)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", class.Name, doc.Lookup("_id"), err)
			}
			objects = append(objects, object)
		}
		slices.SortFunc(objects, func(x, y realmclient.Object) int { return cmp.Compare(keyText(x), keyText(y)) })
		dump[class.Name] = objects
	}
	return dump, nil
}

// keyText is what dumps are sorted by.
func keyText(o realmclient.Object) string {
	b, err := json.Marshal(o["_id"])
	if err != nil {
		panic(err) // a key is made of strings and maps
	}
	return string(b)
}

func asObject(class realmclient.Class, doc bson.Raw) (realmclient.Object, error) {
	object := realmclient.Object{}
	for _, p := range class.Properties {
		v := doc.Lookup(p.Name)
		var err error
		if p.Collection == "list" {
			object[p.Name], err = asList(p, v)
		} else {
			object[p.Name], err = asValue(p, v)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return object, nil
}

func asList(p realmclient.Property, v bson.RawValue) (any, error) {
	list := []any{}
	if v.IsZero() {
		return list, nil
	}
	array, ok := v.ArrayOK()
	if !ok {
		return nil, fmt.Errorf("%s is no array", v)
	}
	elements, err := array.Values()
	if err != nil {
		return nil, err
	}
	for _, e := range elements {
		x, err := asValue(p, e)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

// asValue reads a BSON value as a property's; numbers may be any that the
// property's type takes.
func asValue(p realmclient.Property, v bson.RawValue) (any, error) {
	if v.IsZero() || v.Type == bson.TypeNull {
		return nil, nil
	}
	integer := func() (int64, bool) { return v.AsInt64OK() }
	switch p.Type {
	case "bool":
		if b, ok := v.BooleanOK(); ok {
			return b, nil
		}
	case "int":
		if n, ok := integer(); ok {
			return realmclient.Int(n), nil
		}
	case "float", "double":
		f, ok := v.DoubleOK()
		if !ok {
			var n int64
			n, ok = integer()
			f = float64(n)
		}
		if ok && p.Type == "float" {
			return realmclient.Float(float32(f)), nil
		}
		if ok {
			return realmclient.Double(f), nil
		}
	case "decimal128":
		if d, ok := v.Decimal128OK(); ok {
			return realmclient.Decimal(d.String()), nil
		}
	case "string":
		if s, ok := v.StringValueOK(); ok {
			return s, nil
		}
	case "data":
		if _, b, ok := v.BinaryOK(); ok {
			return realmclient.Binary(b), nil
		}
	case "timestamp":
		if ms, ok := v.DateTimeOK(); ok {
			return realmclient.Timestamp(ms/1000, int32(ms%1000*1e6)), nil
		}
	case "objectId":
		if id, ok := v.ObjectIDOK(); ok {
			return realmclient.ObjectID(id.Hex()), nil
		}
	case "uuid":
		if subtype, b, ok := v.BinaryOK(); ok && subtype == bson.TypeBinaryUUID && len(b) == 16 {
			h := hex.EncodeToString(b)
			return realmclient.UUID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]), nil
		}
	case "object":
		target := realmclient.Property{Type: "objectId"}
		key, err := asValue(target, v)
		if err != nil {
			return nil, err
		}
		return realmclient.Link(p.Target, key), nil
	}
	return nil, fmt.Errorf("%s is no %s", v, p.Type)
}

// document is the document of that key; it ends the test if there is none.
func document(t testing.TB, c *mongo.Collection, id any) bson.Raw {
	t.Helper()
	doc, err := c.FindOne(within(t), bson.D{{Key: "_id", Value: id}}).Raw()
	if err != nil {
		t.Fatalf("%s %v: %v", c.Name(), id, err)
	}
	return doc
}

// differences says which fields of want the document has not, in type and bytes.
func differences(doc, want bson.Raw) error {
	elements, err := want.Elements()
	if err != nil {
		return err
	}
	for _, e := range elements {
		got := doc.Lookup(e.Key())
		if got.Type != e.Value().Type || !bytes.Equal(got.Value, e.Value().Value) {
			return fmt.Errorf("%s is %s %s, want %s %s", e.Key(), got.Type, got, e.Value().Type, e.Value())
		}
	}
	return nil
}
