package soak

import (
	"fmt"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// The classes of every session.
//
// Thing has a property of every kind. Other is what links lead to and comes and
// goes, Stone is what links lead to and stays. Mark is small, so that its
// creations and deletions meet.
const (
	thing = "Thing"
	other = "Other"
	stone = "Stone"
	mark  = "Mark"
	part  = "Part" // embedded
	leaf  = "Leaf" // embedded
)

// sessionProperty says which session an object belongs to; the clients of a
// session follow those with its number.
const sessionProperty = "session"

func single(name, typ string, nullable bool) realmclient.Property {
	return realmclient.Property{Name: name, Type: typ, Nullable: nullable}
}

func many(name, collection, typ string, nullable bool) realmclient.Property {
	return realmclient.Property{Name: name, Type: typ, Collection: collection, Nullable: nullable}
}

func links(name, collection, target string) realmclient.Property {
	nullable := collection != "list" && collection != "set"
	return realmclient.Property{Name: name, Type: "object", Collection: collection, Target: target, Nullable: nullable}
}

func keyed(name, keyType string, properties ...realmclient.Property) realmclient.Class {
	own := []realmclient.Property{{Name: "_id", Type: keyType, PrimaryKey: true}, single(sessionProperty, "int", false)}
	return realmclient.Class{Name: name, Properties: append(own, properties...)}
}

var classes = []realmclient.Class{
	{Name: leaf, Kind: "embedded", Properties: []realmclient.Property{
		single("v", "int", false), many("ls", "list", "string", false),
	}},
	{Name: part, Kind: "embedded", Properties: []realmclient.Property{
		single("a", "int", false), single("t", "string", true), single("m", "mixed", true),
		many("l", "list", "int", false), many("d", "dictionary", "int", true), many("s", "set", "int", false),
		links("sub", "", leaf), links("les", "list", leaf),
	}},
	keyed(other, "string", single("k", "int", false), single("name", "string", true), links("back", "list", thing)),
	keyed(stone, "uuid", single("k", "int", false)),
	keyed(mark, "objectId", single("n", "int", false), single("x", "double", true), many("l", "list", "string", false)),
	keyed(thing, "int",
		single("n", "int", false), single("t", "string", true), single("c", "int", true), single("b", "bool", false),
		single("f", "float", true), single("x", "double", false), single("dec", "decimal128", true),
		single("ts", "timestamp", true), single("bin", "data", true), single("oid", "objectId", true),
		single("u", "uuid", true), single("m", "mixed", true),
		links("one", "", thing), links("far", "", other), links("e", "", part),
		many("l", "list", "int", false), many("ln", "list", "string", true), many("lm", "list", "mixed", true),
		many("lt", "list", "timestamp", false), many("lu", "list", "uuid", true), many("ldec", "list", "decimal128", false),
		links("ll", "list", thing), links("le", "list", part),
		many("s", "set", "int", false), many("sn", "set", "string", true), many("sm", "set", "mixed", true),
		many("so", "set", "objectId", false), many("sb", "set", "data", true), links("sl", "set", other),
		many("d", "dictionary", "int", true), many("ds", "dictionary", "string", false),
		many("dts", "dictionary", "timestamp", true), many("dm", "dictionary", "mixed", true), links("dl", "dictionary", thing), links("de", "dictionary", part)),
}

// topClasses are the classes whose objects have keys.
var topClasses = []string{thing, other, stone, mark}

// inMixed is the property as which what lies inside a mixed value is treated.
var inMixed = &realmclient.Property{Type: "mixed", Nullable: true}

func class(name string) *realmclient.Class {
	for i := range classes {
		if classes[i].Name == name {
			return &classes[i]
		}
	}
	return nil
}

func property(c *realmclient.Class, name string) *realmclient.Property {
	for i := range c.Properties {
		if c.Properties[i].Name == name {
			return &c.Properties[i]
		}
	}
	return nil
}

func isEmbedded(p *realmclient.Property) bool {
	return p.Type == "object" && class(p.Target).Kind == "embedded"
}

func isLink(p *realmclient.Property) bool { return p.Type == "object" && !isEmbedded(p) }

// ref names an object in scripts: the class, and what tells it from others of
// its session.
type ref struct {
	class string
	name  string
}

func (r ref) String() string { return r.class + "/" + r.name }

// keysPerSession bounds the objects of a class in one session.
const keysPerSession = 100

// key is the primary key of the object in a session.
func (r ref) key(session int) any {
	n := 0
	if r.class != other {
		if _, err := fmt.Sscan(r.name, &n); err != nil || n < 0 || n >= keysPerSession {
			panic(fmt.Sprintf("%s names no object", r))
		}
	}
	switch r.class {
	case thing:
		return realmclient.Int(int64(session*keysPerSession + n))
	case other:
		return fmt.Sprintf("%s.%d", r.name, session)
	case stone:
		return realmclient.UUID(fmt.Sprintf("00000000-0000-4000-8000-%08x%04x", session, n))
	case mark:
		return realmclient.ObjectID(fmt.Sprintf("%016x%08x", session, n))
	}
	panic("no key for " + r.class)
}
