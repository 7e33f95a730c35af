package soak

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// documents reads the documents of a session as the state that a client which
// holds all of them must have, but for what BSON cannot tell.
func documents(ctx context.Context, db *mongo.Database, session int) (state, error) {
	r := &reader{names: newNames(session), found: state{}}
	docs := map[ref]bson.Raw{}
	for _, name := range topClasses {
		cursor, err := db.Collection(name).Find(ctx, bson.D{{Key: sessionProperty, Value: session}})
		if err != nil {
			return nil, err
		}
		var found []bson.Raw
		if err := cursor.All(ctx, &found); err != nil {
			return nil, err
		}
		for _, doc := range found {
			key, err := scalarOf(doc.Lookup("_id"))
			if err != nil {
				return nil, err
			}
			of, err := r.names.of(name, key.json())
			if err != nil {
				return nil, err
			}
			docs[of], r.found[of] = doc, object{}
		}
	}
	for of, doc := range docs {
		o, err := r.object(class(of.class), doc)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", of, err)
		}
		r.found[of] = o
	}
	return r.found, nil
}

func (s scalar) json() any {
	v, err := decodeJSON([]byte(s))
	if err != nil {
		panic(err) // it was made from JSON
	}
	return v
}

// reader makes nodes of BSON.
type reader struct {
	names *names
	found state // which objects there are
}

func (r *reader) object(c *realmclient.Class, doc bson.Raw) (object, error) {
	o := object{}
	for i := range c.Properties {
		p := &c.Properties[i]
		if p.PrimaryKey || p.Name == sessionProperty {
			continue
		}
		n, err := r.node(p, doc.Lookup(p.Name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		o[p.Name] = n
	}
	return o, nil
}

func (r *reader) node(p *realmclient.Property, v bson.RawValue) (node, error) {
	isNull := v.IsZero() || v.Type == bson.TypeNull
	switch p.Collection {
	case "list":
		items, err := r.items(element(p), v, isNull)
		return &list{items}, err
	case "set":
		items, err := r.items(element(p), v, isNull)
		return &set{distinct(items)}, err
	case "dictionary":
		if isNull {
			return dict{}, nil
		}
		return r.dictionary(element(p), v)
	}
	switch {
	case isNull && p.Nullable:
		return nil, nil
	case isEmbedded(p):
		doc, ok := v.DocumentOK()
		if !ok {
			return nil, fmt.Errorf("%s is no document", v)
		}
		return r.object(class(p.Target), doc)
	case isLink(p):
		return r.link(p.Target, v)
	case p.Type == "mixed":
		return r.mixed(v)
	}
	return typed(p, v)
}

// items reads an array. A link in it that dangles is not seen.
func (r *reader) items(p *realmclient.Property, v bson.RawValue, isNull bool) ([]node, error) {
	if isNull {
		return nil, nil
	}
	array, ok := v.ArrayOK()
	if !ok {
		return nil, fmt.Errorf("%s is no array", v)
	}
	values, err := array.Values()
	if err != nil {
		return nil, err
	}
	var out []node
	for _, v := range values {
		var n node
		if isLink(p) {
			n, err = r.link(p.Target, v)
			if err == nil && n == nil {
				continue
			}
		} else {
			n, err = r.node(p, v)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// distinct leaves of equal elements one.
func distinct(items []node) []node {
	seen := map[string]bool{}
	return slices.DeleteFunc(items, func(n node) bool {
		t := text(n)
		was := seen[t]
		seen[t] = true
		return was
	})
}

func (r *reader) dictionary(p *realmclient.Property, v bson.RawValue) (node, error) {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil, fmt.Errorf("%s is no document", v)
	}
	elements, err := doc.Elements()
	if err != nil {
		return nil, err
	}
	d := dict{}
	for _, e := range elements {
		if d[e.Key()], err = r.node(p, e.Value()); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// link reads a link; one that dangles reads as null.
func (r *reader) link(target string, v bson.RawValue) (node, error) {
	key, err := scalarOf(v)
	if err != nil {
		return nil, err
	}
	to, err := r.names.of(target, key.json())
	if err != nil || r.found[to] == nil {
		return nil, err
	}
	return linkTo(to), nil
}

func (r *reader) mixed(v bson.RawValue) (node, error) {
	switch v.Type {
	case bson.TypeNull:
		return nil, nil
	case bson.TypeArray:
		items, err := r.items(inMixed, v, false)
		return &list{items}, err
	case bson.TypeEmbeddedDocument:
		if to, is := v.Document().Lookup("$ref").StringValueOK(); is {
			return r.link(to, v.Document().Lookup("$id"))
		}
		return r.dictionary(inMixed, v)
	}
	return scalarOf(v)
}

// typed reads a value of a property's type; numbers may be any that it takes.
func typed(p *realmclient.Property, v bson.RawValue) (node, error) {
	switch {
	case p.Type == "double" && (v.Type == bson.TypeInt32 || v.Type == bson.TypeInt64):
		return tagged("$double", formatFloat(float64(v.AsInt64()), 64)), nil
	case p.Type == "float":
		if f, ok := v.DoubleOK(); ok {
			return tagged("$float", formatFloat(f, 32)), nil
		}
	}
	s, err := scalarOf(v)
	if err != nil {
		return nil, err
	}
	want := map[string]string{
		"int": `{"$int"`, "double": `{"$double"`, "string": `"`, "data": `{"$binary"`, "timestamp": `{"$ts"`,
		"decimal128": `{"$decimal"`, "objectId": `{"$oid"`, "uuid": `{"$uuid"`,
	}[p.Type]
	if !strings.HasPrefix(string(s), want) || p.Type == "bool" && s != "true" && s != "false" {
		return nil, fmt.Errorf("%s is no %s", v, p.Type)
	}
	return s, nil
}

// scalarOf reads a value by what it is itself.
func scalarOf(v bson.RawValue) (scalar, error) {
	switch v.Type {
	case bson.TypeInt32, bson.TypeInt64:
		return tagged("$int", strconv.FormatInt(v.AsInt64(), 10)), nil
	case bson.TypeBoolean:
		return scalar(strconv.FormatBool(v.Boolean())), nil
	case bson.TypeString:
		text, err := json.Marshal(v.StringValue())
		return scalar(text), err
	case bson.TypeDouble:
		return tagged("$double", formatFloat(v.Double(), 64)), nil
	case bson.TypeDecimal128:
		return tagged("$decimal", v.Decimal128().String()), nil
	case bson.TypeObjectID:
		return tagged("$oid", v.ObjectID().Hex()), nil
	case bson.TypeDateTime:
		ms := v.DateTime()
		return tagged("$ts", []int64{ms / 1000, ms % 1000 * 1e6}), nil
	case bson.TypeBinary:
		subtype, b := v.Binary()
		if subtype == bson.TypeBinaryUUID && len(b) == 16 {
			h := hex.EncodeToString(b)
			return tagged("$uuid", h[:8]+"-"+h[8:12]+"-"+h[12:16]+"-"+h[16:20]+"-"+h[20:]), nil
		}
		return tagged("$binary", base64.StdEncoding.EncodeToString(b)), nil
	}
	return "", fmt.Errorf("%s is no value of a client's", v)
}

func formatFloat(f float64, bits int) string { return strconv.FormatFloat(f, 'g', -1, bits) }

// atBSON is a state as far as documents can tell: times in milliseconds, and no
// difference between float and double in mixed values.
func (s state) atBSON() state {
	out := state{}
	for r, o := range s {
		out[r] = coarseObject(o, class(r.class))
	}
	return out
}

func coarseObject(o object, c *realmclient.Class) object {
	out := object{}
	for k, n := range o {
		out[k] = coarse(n, property(c, k))
	}
	return out
}

func coarse(n node, p *realmclient.Property) node {
	switch n := n.(type) {
	case *list:
		return &list{coarseItems(n.items, element(p))}
	case *set:
		return &set{coarseItems(n.items, element(p))}
	case dict:
		out := dict{}
		for k, v := range n {
			out[k] = coarse(v, element(p))
		}
		return out
	case object:
		return coarseObject(n, class(p.Target))
	case scalar:
		return coarseScalar(n, p.Type == "mixed")
	}
	return n
}

func coarseItems(items []node, p *realmclient.Property) []node {
	out := make([]node, len(items))
	for i, n := range items {
		out[i] = coarse(n, p)
	}
	return out
}

func coarseScalar(s scalar, inMixed bool) scalar {
	m, ok := s.json().(map[string]any)
	if !ok {
		return s
	}
	if ts, ok := m["$ts"].([]any); ok {
		sec, _ := ts[0].(json.Number).Int64()
		nano, _ := ts[1].(json.Number).Int64()
		return tagged("$ts", []int64{sec, nano / 1e6 * 1e6})
	}
	if f, ok := m["$float"].(string); ok && inMixed {
		x, err := strconv.ParseFloat(f, 32)
		if err != nil {
			panic(err) // the client wrote it
		}
		return tagged("$double", formatFloat(x, 64))
	}
	return s
}

// toBSON is a node as MongoDB's writer writes it.
func toBSON(n node, p *realmclient.Property, session int) (any, error) {
	switch n := n.(type) {
	case nil:
		return nil, nil
	case *list:
		return itemsToBSON(n.items, p, session)
	case *set:
		return itemsToBSON(n.items, p, session)
	case dict:
		out := bson.M{}
		for k, v := range n {
			x, err := toBSON(v, element(p), session)
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	case object:
		return objectToBSON(fill(n, class(p.Target)), class(p.Target), session)
	case scalar:
		if to, is := n.linked(); is {
			key, err := scalarToBSON(to.key(session))
			if err != nil || p.Type != "mixed" {
				return key, err
			}
			return bson.D{{Key: "$ref", Value: to.class}, {Key: "$id", Value: key}}, nil
		}
		return scalarToBSON(n.json())
	}
	return nil, fmt.Errorf("%T is no node", n)
}

func objectToBSON(o object, c *realmclient.Class, session int) (bson.M, error) {
	out := bson.M{}
	for k, v := range o {
		x, err := toBSON(v, property(c, k), session)
		if err != nil {
			return nil, err
		}
		if x != nil {
			out[k] = x
		}
	}
	return out, nil
}

func itemsToBSON(items []node, p *realmclient.Property, session int) (bson.A, error) {
	out := bson.A{}
	for _, item := range items {
		x, err := toBSON(item, element(p), session)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func scalarToBSON(v any) (any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return v, nil
	}
	for tag, x := range m {
		if ts, ok := x.([]any); ok && tag == "$ts" {
			sec, _ := ts[0].(json.Number).Int64()
			nano, _ := ts[1].(json.Number).Int64()
			return bson.DateTime(sec*1000 + nano/1e6), nil
		}
		s, _ := x.(string)
		switch tag {
		case "$int":
			return strconv.ParseInt(s, 10, 64)
		case "$float":
			f, err := strconv.ParseFloat(s, 32)
			return f, err
		case "$double":
			return strconv.ParseFloat(s, 64)
		case "$decimal":
			return bson.ParseDecimal128(s)
		case "$oid":
			return bson.ObjectIDFromHex(s)
		case "$uuid":
			b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
			return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: b}, err
		case "$binary":
			b, err := base64.StdEncoding.DecodeString(s)
			return bson.Binary{Data: b}, err
		}
	}
	return nil, fmt.Errorf("%v is no value of a client's", v)
}
