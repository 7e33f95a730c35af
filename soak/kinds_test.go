package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// A kind is what an edit does, and to what kind of place: its verb, and the
// class and the properties on its way there, with [] for an index and {} for a
// key, such as "insert Thing.le[].l[]". What is inside a Part's embedded objects
// counts as one, wherever the Part is. Kinds of MongoDB's writes are coarser.
// All that there are follow from the schema; so a property that is new has to
// occur, and none falls off unnoticed.

// kinds are the kinds of an edit that is to be made at the place.
func (at *place) kinds(e *edit) []string {
	verb := e.verb
	switch {
	case e.value == nil && (verb == "set" || verb == "default") && at.is.Type != "mixed":
		verb = "null"
	case verb == "set" && at.here != nil && isEmbedded(at.is) && at.is.Collection == "":
		verb = "replace"
	}
	all := []string{verb + " " + wherever(e.ref.class+"."+at.shape)}
	if at.is.Type == "mixed" && slices.Contains([]string{"set", "assign", "insert", "put"}, verb) {
		all = append(all, "mixed "+verb+" "+payloadOf(e.value))
	}
	return all
}

// wherever leaves out of a place where the Part is whose embedded object it is in.
func wherever(at string) string {
	for _, inner := range []string{".sub.", ".les[]."} {
		if i := strings.Index(at, inner); i >= 0 {
			return "*" + at[i:]
		}
	}
	return at
}

func payloadOf(n node) string {
	switch n := n.(type) {
	case nil:
		return "null"
	case *list:
		return "list"
	case dict:
		return "dictionary"
	case scalar:
		if m, ok := n.json().(map[string]any); ok {
			for tag := range m {
				return tag
			}
		}
		if n[0] == '"' {
			return "string"
		}
		return "bool"
	}
	panic(fmt.Sprintf("%T is no mixed value", n))
}

// kind is the kind of a write of MongoDB's.
func (f *foreign) kind() string {
	if len(f.path) == 0 {
		return "mongodb " + f.verb
	}
	p := property(class(f.ref.class), f.path[0].(string))
	of := p.Collection
	if of == "" {
		of = "single"
	}
	if len(f.path) > 1 {
		of = "in " + of
	}
	return fmt.Sprintf("mongodb %s %s", f.verb, of)
}

// mixedPayloads are the kinds of values in what is mixed.
var mixedPayloads = []string{
	"null", "$int", "string", "$double", "bool", "$float", "$ts", "$decimal", "$oid", "$uuid", "$binary", "$link", "list", "dictionary",
}

// mongoDBKinds are the kinds of writes of MongoDB's.
var mongoDBKinds = []string{
	"mongodb insert", "mongodb delete", "mongodb set single", "mongodb set list", "mongodb push list", "mongodb pull list",
	"mongodb push set", "mongodb pull set", "mongodb set in single", "mongodb set in list", "mongodb set in dictionary", "mongodb unset in dictionary",
}

// catalogue collects the kinds that random sessions are to have. With defects,
// those that devices get wrong are among them.
type catalogue struct {
	defects bool
	all     []string
}

// allKinds are the kinds that sessions are to have.
func allKinds(defects bool) []string {
	l := &catalogue{defects, slices.Clone(mongoDBKinds)}
	for who, list := range verbs {
		for _, verb := range list {
			if verb != "write" {
				l.add(who, verb)
			}
		}
	}
	for _, name := range topClasses {
		l.add("create", name)
		if name != stone {
			l.add("delete", name)
		}
		c := class(name)
		for i := range c.Properties {
			p := &c.Properties[i]
			if p.PrimaryKey || p.Name == sessionProperty {
				continue
			}
			l.property(p, name+"."+p.Name)
			if p.Collection == "" && p.Type != "mixed" && !isEmbedded(p) {
				l.add("default", name+"."+p.Name)
			}
		}
	}
	for _, p := range mixedPayloads {
		switch {
		case p != "list" && p != "dictionary":
			l.add("mixed", "set "+p, "put "+p)
		case defects:
			l.add("mixed", "set "+p)
			fallthrough
		default:
			l.add("mixed", "assign "+p)
		}
		l.add("mixed", "insert "+p)
	}
	return l.all
}

func (l *catalogue) add(verb string, what ...string) {
	for _, w := range what {
		if kind := verb + " " + wherever(w); !slices.Contains(l.all, kind) {
			l.all = append(l.all, kind)
		}
	}
}

// addDefects adds kinds of edits that belong to pairs which devices get wrong.
func (l *catalogue) addDefects(verb string, what ...string) {
	if l.defects {
		l.add(verb, what...)
	}
}

// property adds the kinds of edits of a property, and of what is inside.
func (l *catalogue) property(p *realmclient.Property, at string) {
	switch p.Collection {
	case "list":
		l.add("insert", at+"[]")
		l.add("remove", at+"[]")
		l.add("clear", at)
		if isEmbedded(p) {
			l.addDefects("move", at) // 7.2
		} else {
			l.add("move", at)
		}
		if !isEmbedded(p) && p.Type != "mixed" {
			l.add("set", at)
		}
		l.element(p, at+"[]")
	case "dictionary":
		l.add("remove", at+"{}")
		l.add("clear", at)
		l.element(p, at+"{}")
	case "set":
		l.add("put", at)
		l.add("take", at)
		l.add("clear", at)
	default:
		l.add("set", at)
		switch {
		case isEmbedded(p):
			l.add("replace", at)
			l.add("null", at)
			l.embedded(p, at)
			return
		case p.Type == "mixed":
			l.collections(at)
			return
		case p.Type == "int":
			l.add("add", at)
		}
		if p.Nullable {
			l.add("null", at)
		}
	}
}

// element adds the kinds of edits of a collection's elements.
func (l *catalogue) element(p *realmclient.Property, at string) {
	switch {
	case isEmbedded(p) && p.Collection == "list":
		l.add("replace", at)
		l.embedded(p, at)
	case isEmbedded(p):
		l.add("set", at)
		l.addDefects("replace", at) // 7.3
		l.addDefects("null", at)
		l.embedded(p, at)
	case p.Type == "mixed":
		l.add("set", at)
		l.collections(at)
	default:
		l.add("set", at)
		if p.Nullable && p.Type != "object" {
			l.add("null", at)
		}
	}
}

func (l *catalogue) embedded(p *realmclient.Property, at string) {
	c := class(p.Target)
	for i := range c.Properties {
		l.property(&c.Properties[i], at+"."+c.Properties[i].Name)
	}
}

// collections adds the kinds of edits of what a mixed value may hold, two deep.
// Those of an embedded object among others hold none (see editor.solo).
func (l *catalogue) collections(at string) {
	if strings.ContainsAny(at, "[{") && strings.HasSuffix(at, ".m") {
		return
	}
	atIndex := strings.HasSuffix(at, "[]")
	if atIndex {
		l.addDefects("assign", at) // 7.4
		l.addDefects("clear", at)
	} else {
		l.add("assign", at)
		l.add("clear", at)
	}
	l.add("insert", at+"[]")
	l.add("set", at+"[]", at+"{}")
	l.add("remove", at+"[]")
	if strings.Count(at, "[")+strings.Count(at, "{") == 0 {
		l.add("remove", at+"{}")
		if at == "Thing.m" {
			l.add("add", at)
			l.add("move", at)
			l.collections(at + "[]")
			l.collections(at + "{}")
		}
	} else {
		l.addDefects("remove", at+"{}")
	}
}

// expected are the kinds that a run is to have, in order: with defects those that
// it has for them. What else there is, the run without them shows.
func expected(defects bool) []string {
	all := allKinds(defects)
	if defects {
		plain := allKinds(false)
		all = slices.DeleteFunc(all, func(kind string) bool { return slices.Contains(plain, kind) })
	}
	slices.Sort(all)
	return all
}

// missing are the expected kinds that have not occurred.
func missing(done map[string]int, defects bool) []string {
	return slices.DeleteFunc(expected(defects), func(kind string) bool { return done[kind] > 0 })
}

// TestKinds makes up the sessions of some seeds, without clients, and looks
// whether there is every kind of edit in them.
func TestKinds(t *testing.T) {
	const sessions = 6000
	for _, defects := range []bool{false, true} {
		t.Run(fmt.Sprintf("defects=%v", defects), func(t *testing.T) {
			done := map[string]int{}
			for seed := range uint64(sessions) {
				s, ed := seeded(seed, defects)
				rehearse(t, s, ed, done)
			}
			if none := missing(done, defects); len(none) > 0 {
				t.Errorf("not one of these in %d sessions:\n%s", sessions, strings.Join(none, "\n"))
			}
		})
	}
}

// rehearse plays a script on one state that everybody has.
func rehearse(t *testing.T, s script, ed *editor, done map[string]int) {
	t.Helper()
	holds := state{}
	for _, op := range s {
		switch {
		case op.verb != "write":
			done[op.who+" "+op.verb]++
		case op.who == "mongodb":
			own := *ed
			own.rng = rand.New(rand.NewPCG(op.seed, 0))
			done[own.foreign(holds).kind()]++
		default:
			next := op.propose(ed, op.client, 0)
			for e := next(holds); e != nil; e = next(holds) {
				if _, err := holds.perform(e, 1); err != nil && !errors.Is(err, errUnfit) {
					t.Fatalf("%s: %v", e, err)
				}
				for _, kind := range e.kinds {
					done[kind]++
				}
			}
		}
	}
}
