package soak

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// foreign is one write of the MongoDB writer. What does not fit does nothing.
//
//	insert Thing/1 {"n":{"$int":"5"}}     if there is none
//	delete Thing/1
//	set Thing/1 l.2 {"$int":"5"}          if there is an l.2; other paths may be new
//	unset Thing/1 t
//	push Thing/1 l {"$int":"5"}
//	pull Thing/1 s {"$int":"5"}           all that are equal
type foreign struct {
	verb  string
	ref   ref
	path  []any
	value node
}

var foreignWords = map[string]int{"insert": 3, "delete": 2, "set": 4, "unset": 3, "push": 4, "pull": 4}

func (f *foreign) String() string {
	out := []string{f.verb, f.ref.String()}
	if len(f.path) > 0 {
		out = append(out, pathText(f.path))
	}
	if f.verb == "insert" {
		out = append(out, entries(f.value.(object)))
	} else if foreignWords[f.verb] == 4 {
		out = append(out, text(f.value))
	}
	return strings.Join(out, " ")
}

func parseForeign(line string) (*foreign, error) {
	w := strings.Fields(line)
	if len(w) == 0 || foreignWords[w[0]] != len(w) {
		return nil, fmt.Errorf("%q is no write of MongoDB's", line)
	}
	f := &foreign{verb: w[0]}
	var err error
	if f.ref, err = parseRef(w[1]); err != nil {
		return nil, err
	}
	if f.verb == "insert" {
		v, err := decodeJSON([]byte(w[2]))
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, fmt.Errorf("%q inserts nothing", line)
		}
		f.value = object(fromEntries(m))
		return f, nil
	}
	if len(w) > 2 {
		f.path = parsePath(w[2])
	}
	if len(w) > 3 {
		f.value, err = parseNode(w[3])
	}
	return f, err
}

// do makes the write, if it fits.
func (f *foreign) do(ctx context.Context, db *mongo.Database, session int) error {
	c := class(f.ref.class)
	coll := db.Collection(c.Name)
	key := f.ref.key(session)
	id, err := scalarToBSON(key)
	if err != nil {
		return err
	}
	filter := bson.D{{Key: "_id", Value: id}}
	switch f.verb {
	case "insert":
		o := initial(c)
		for k, v := range f.value.(object) {
			o[k] = v
		}
		doc, err := objectToBSON(o, c, session)
		if err != nil {
			return err
		}
		doc[sessionProperty] = session
		_, err = coll.UpdateOne(ctx, filter, bson.D{{Key: "$setOnInsert", Value: doc}}, options.UpdateOne().SetUpsert(true))
		return err
	case "delete":
		_, err := coll.DeleteOne(ctx, filter)
		return err
	}
	p := property(c, f.path[0].(string))
	for _, step := range f.path[1:] {
		name, _ := step.(string)
		if isEmbedded(p) && p.Collection == "" {
			if p = property(class(p.Target), name); p == nil {
				return nil
			}
		} else {
			p = element(p)
		}
	}
	path := pathText(f.path)
	for i := range f.path {
		if _, atIndex := f.path[i].(int); atIndex {
			// MongoDB would fill a list up with nulls.
			filter = append(filter, bson.E{Key: pathText(f.path[:i+1]), Value: bson.D{{Key: "$exists", Value: true}}})
		}
	}
	inItems := p
	if f.verb == "push" || f.verb == "pull" {
		inItems = element(p)
	}
	value, err := toBSON(f.value, inItems, session)
	if err != nil {
		return err
	}
	if f.verb == "unset" {
		value = ""
	}
	_, err = coll.UpdateOne(ctx, filter, bson.D{{Key: "$" + f.verb, Value: bson.D{{Key: path, Value: value}}}})
	var refused mongo.WriteException
	if errors.As(err, &refused) {
		return nil // such as $push to what is no array
	}
	return err
}

// foreign makes up a write of MongoDB's. What the server makes of it for devices
// has none of the pairs that they get wrong, unless wild.
func (ed *editor) foreign(s state) *foreign {
	r := ref{thing, ed.oneThing()}
	if ed.rng.IntN(6) == 0 {
		r = ref{mark, pick(ed.rng, allNames[mark]...)}
	}
	f := &foreign{ref: r}
	o := s[r]
	c := class(r.class)
	if o == nil {
		f.verb, f.value = "insert", object{"n": tagged("$int", fmt.Sprint(ed.rng.IntN(4)))}
		return f
	}
	field := pick(ed.rng, ed.theme...)
	if r.class == mark {
		field = pick(ed.rng, "n", "x", "l", "")
	}
	if field == "" {
		if ed.rng.IntN(2) == 0 {
			f.verb = "delete"
			return f
		}
		field = "n"
	}
	p := property(c, field)
	f.verb, f.path = "set", []any{field}
	switch here := o[field].(type) {
	case *list:
		ed.foreignList(f, here, s)
		return f
	case *set:
		f.verb = "push"
		if len(here.items) > 0 && ed.rng.IntN(2) == 0 {
			f.verb, f.value = "pull", pick(ed.rng, here.items...)
			return f
		}
		if p.Type == "mixed" {
			f.value = ed.setMixed(s)
		} else {
			f.value = ed.value(p, s)
		}
	case dict:
		if p.Collection == "" || isEmbedded(p) {
			return ed.foreignScalar(f, p, s)
		}
		key := pick(ed.rng, dictKeys...)
		f.path = append(f.path, key)
		if _, has := here[key]; has && !inside(here[key]) && ed.rng.IntN(3) == 0 && (p.Type != "mixed" || !ed.nested || ed.wild) {
			f.verb = "unset"
			return f
		}
		if p.Type == "mixed" {
			f.value = ed.scalarMixed(s, false)
		} else {
			f.value = ed.value(p, s)
		}
	case object:
		f.path = append(f.path, pick(ed.rng, "a", "t"))
		f.value = ed.value(property(class(part), f.path[1].(string)), s)
	default:
		return ed.foreignScalar(f, p, s)
	}
	if f.verb == "push" && f.value == nil && isLink(p) {
		f.verb, f.value = "set", &set{}
	}
	return f
}

func (ed *editor) foreignScalar(f *foreign, p *realmclient.Property, s state) *foreign {
	switch {
	case isEmbedded(p) && p.Collection == "":
		f.value = ed.newEmbedded(p, s)
	case p.Collection != "":
		f.path, f.value = []any{"n"}, tagged("$int", fmt.Sprint(ed.rng.IntN(4)))
	case p.Type == "mixed" && ed.wild:
		f.value = ed.mixed(s, 1, false, true)
	case p.Type == "mixed":
		f.value = ed.scalarMixed(s, false)
	default:
		f.value = ed.value(p, s)
	}
	return f
}

func (ed *editor) foreignList(f *foreign, l *list, s state) {
	p := property(class(f.ref.class), f.path[0].(string))
	n := len(l.items)
	if p == nil || p.Collection == "" || isEmbedded(p) && !ed.wild || p.Type == "mixed" && ed.nested && !ed.wild {
		if p != nil && isEmbedded(p) && n > 0 {
			f.path = append(f.path, ed.rng.IntN(n), "a")
			f.value = tagged("$int", fmt.Sprint(ed.rng.IntN(4)))
			return
		}
		if p != nil && p.Collection == "" {
			ed.foreignScalar(f, p, s)
			return
		}
		f.path, f.value = []any{"n"}, tagged("$int", fmt.Sprint(ed.rng.IntN(4)))
		return
	}
	item := func() node {
		v := ed.item(p, s, 1)
		if v == nil && !p.Nullable {
			return nil
		}
		return v
	}
	v := item()
	switch op := ed.rng.IntN(4); {
	case v == nil && !p.Nullable:
		f.value = &list{}
	case op == 0 && n > 0:
		f.path, f.value = append(f.path, ed.rng.IntN(n)), v
	case op == 1 && n > 0 && !isEmbedded(p):
		f.verb, f.value = "pull", pick(ed.rng, l.items...)
	case op == 2:
		kept := cloneItems(l.items)
		ed.rng.Shuffle(len(kept), func(i, k int) { kept[i], kept[k] = kept[k], kept[i] })
		f.value = &list{append(kept[:len(kept)/2], v)}
	default:
		f.verb, f.value = "push", v
	}
}
