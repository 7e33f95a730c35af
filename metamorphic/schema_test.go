package metamorphic

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// The classes that devices write to.
//
// Thing has a property of every kind. Other is what links lead to. A Receipt is
// created once and never touched again, so that all of them exist in the end. A
// Tally only ever has its numbers added to, each by one kind of writer, so that
// they add up in the end.
const (
	thing   = "Thing"
	other   = "Other"
	receipt = "Receipt"
	tally   = "Tally"
	part    = "Part" // embedded
	leaf    = "Leaf" // embedded
)

type column struct {
	name       string
	typ        changeset.Type
	nullable   bool
	collection changeset.Collection
	target     string
}

const (
	list = changeset.ListOf
	dict = changeset.DictionaryOf
	set  = changeset.SetOf
)

func single(name string, t changeset.Type, nullable bool) column {
	return column{name: name, typ: t, nullable: nullable}
}

func many(name string, c changeset.Collection, t changeset.Type, nullable bool) column {
	return column{name: name, typ: t, nullable: nullable, collection: c}
}

func link(name string, c changeset.Collection, target string) column {
	return column{name: name, typ: changeset.Link, nullable: c == changeset.Single || c == dict, collection: c, target: target}
}

var appSchema = newSchema()

// later is a property of Thing that only newer versions of the app know.
const later = "later"

// olderSchema is what devices begin with.
var olderSchema = func() *schema.Schema {
	s := newSchema()
	delete(s.Classes[thing].Properties, later)
	return s
}()

func newSchema() *schema.Schema {
	s := &schema.Schema{Classes: map[string]*schema.Class{}}
	add := func(name string, kind changeset.TableKind, key changeset.Type, columns ...column) {
		c := &schema.Class{Name: name, Kind: kind, KeyType: key, Properties: map[string]*schema.Property{}}
		for _, col := range columns {
			c.Properties[col.name] = &schema.Property{
				Name: col.name, Type: col.typ, Nullable: col.nullable, Collection: col.collection, Target: col.target,
			}
		}
		s.Classes[name] = c
	}
	add(leaf, changeset.Embedded, 0, single("v", changeset.Int, false), many("ls", list, changeset.String, false))
	add(part, changeset.Embedded, 0,
		single("a", changeset.Int, false), single("t", changeset.String, true), single("m", changeset.Mixed, true),
		many("l", list, changeset.Int, false), many("d", dict, changeset.Int, true), many("s", set, changeset.Int, false),
		link("sub", changeset.Single, leaf), link("les", list, leaf))
	add(other, changeset.TopLevel, changeset.String,
		single("k", changeset.Int, false), single("name", changeset.String, true), link("back", list, thing))
	add(thing, changeset.TopLevel, changeset.Int,
		single("n", changeset.Int, false), single("t", changeset.String, true), single("c", changeset.Int, true),
		single("b", changeset.Bool, false), single("f", changeset.Float, true), single("x", changeset.Double, false),
		single("dec", changeset.Decimal, true), single("ts", changeset.Timestamp, true), single("bin", changeset.Binary, true),
		single("oid", changeset.ObjectID, true), single("u", changeset.UUID, true), single("m", changeset.Mixed, true),
		link("one", changeset.Single, thing), link("far", changeset.Single, other), link("e", changeset.Single, part),
		many("l", list, changeset.Int, false), many("ln", list, changeset.String, true), many("lm", list, changeset.Mixed, true),
		many("lt", list, changeset.Timestamp, false), link("ll", list, thing), link("le", list, part),
		many("s", set, changeset.Int, false), many("sn", set, changeset.String, true), many("sm", set, changeset.Mixed, true),
		many("so", set, changeset.ObjectID, false), link("sl", set, other),
		many("d", dict, changeset.Int, true), many("ds", dict, changeset.String, false), many("dm", dict, changeset.Mixed, true),
		link("dl", dict, thing), link("de", dict, part), many(later, list, changeset.Int, false))
	add(receipt, changeset.TopLevel, changeset.Int, single("v", changeset.Int, false))
	add(tally, changeset.TopLevel, changeset.Int, single("devices", changeset.Int, false), single("mongodb", changeset.Int, false))
	return s
}
