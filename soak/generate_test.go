package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// themes are the properties of Thing that one session stays with, so that most
// changes meet. The empty one stands for creating and deleting.
var themes = [][]string{
	{"n", "t", "c", ""}, {"n", "c"}, {"b", "f", "x", "dec", "ts", "bin", "oid", "u"}, {"one", "far", "m", ""},
	{"l"}, {"lt"}, {"ln"}, {"ll", ""}, {"ll"}, {"lm"}, {"le"}, {"le", "e", ""},
	{"s", "so"}, {"sn"}, {"sl", ""}, {"sm"}, {"sb"}, {"lu", "dts", "sb"}, {"ldec", "ln", "dts"},
	{"d"}, {"ds", "d", ""}, {"dl", ""}, {"dm"}, {"m"}, {"m", "lm", "dm"},
	{"e"}, {"e"}, {"e", "m", ""}, {"de"}, {"de"}, {"de", ""}, {"le", "de"}, {"de", "le", "e"}, {"n", "l", "s", "d", "m", ""},
	{"n", "t", "l", "le", "dm", "m", "e", "sl", "ll", "de", ""}, {""},
}

// wildThemes have a pair that devices get wrong in most of what is done.
var wildThemes = [][]string{{"de"}, {"de", ""}, {"le"}, {"lm"}, {"m"}, {"dm"}, {"lm", "le"}, {"sn", "sm"}, {"sl", "sn", ""}}

// How far values and depths spread: little, so that changes meet.
const (
	maxDepth = 4
	maxItems = 6
)

var (
	dictKeys = []string{"p", "q", "r"}
	someText = []scalar{`"a"`, `"b"`, `"cc"`, `""`}
	someData = []string{"", "AAE=", "x0Y=", "/w=="}
)

// editor makes up edits.
type editor struct {
	rng   *rand.Rand
	theme []string
	// wild allows pairs that devices are known to get wrong.
	wild bool
	// nested has collections inside of collections, which rules out moves in
	// lists of mixed, and the removal of dictionary entries that may be
	// collections: devices get both wrong. Without it such values are flat.
	nested bool
	// solo has one Thing, with one Part at most, whose mixed properties may be
	// collections. Where a class has several objects they may not: a client that
	// gets a new object of the class then crashes.
	solo bool
	// inner is the property of embedded objects that a session's edits are about
	// most, and small how many edits there are to one of the small classes: so
	// that changes meet there, too.
	inner string
	small int
	// who writes: 1 to 3 for a client.
	who int
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// newEditor makes the editor of a session; all of a session's writes have the
// same theme.
func newEditor(rng *rand.Rand, wild bool) *editor {
	e := &editor{
		rng: rng, wild: wild, theme: pick(rng, themes...), nested: rng.IntN(2) > 0, solo: rng.IntN(3) > 0,
		inner: pick(rng, "a", "m", "m", "l", "d", "s", "sub", "les", "les"), small: pick(rng, 8, 8, 8, 2),
	}
	if wild && rng.IntN(2) == 0 {
		e.theme = pick(rng, wildThemes...)
	}
	has := func(field string) bool { return slices.Contains(e.theme, field) }
	e.solo = e.solo && (has("m") || has("e")) && !has("le") && !has("de")
	return e
}

// things are the names of the Things that the editor writes to.
func (ed *editor) things() []string {
	if ed.solo {
		return allNames[thing][:1]
	}
	return allNames[thing][:3]
}

// oneThing is the name of a Thing to write to: often the first, so that changes
// meet.
func (ed *editor) oneThing() string {
	all := ed.things()
	return pick(ed.rng, append([]string{all[0], all[0]}, all...)...)
}

// one makes up an edit that fits the state.
func (ed *editor) one(s state) *edit {
	if ed.rng.IntN(ed.small) == 0 {
		return ed.ofSmall(s)
	}
	e := &edit{ref: ref{thing, ed.oneThing()}}
	o := s[e.ref]
	field := pick(ed.rng, ed.theme...)
	switch {
	case o == nil:
		ed.create(e, s)
	case field == "" && ed.rng.IntN(2) == 0:
		e.verb = "delete"
	case field == "":
		ed.scalarOf(e, o, s, "n", "t", "c")
	default:
		ed.at(e, property(class(thing), field), o[field], s, field)
	}
	return e
}

// ofSmall is an edit of one of the other classes.
func (ed *editor) ofSmall(s state) *edit {
	e := &edit{}
	switch n := ed.rng.IntN(10); {
	case n == 0:
		e.ref = ref{stone, pick(ed.rng, allNames[stone]...)}
	case n < 5:
		e.ref = ref{mark, pick(ed.rng, allNames[mark]...)}
	default:
		e.ref = ref{other, pick(ed.rng, allNames[other]...)}
	}
	o := s[e.ref]
	c := class(e.ref.class)
	switch {
	case o == nil:
		ed.create(e, s)
	case e.ref.class != stone && ed.rng.IntN(4) == 0:
		e.verb = "delete"
	default:
		fields := slices.Sorted(maps.Keys(o))
		for _, often := range []string{"l", "back"} {
			if _, has := o[often]; has && ed.rng.IntN(2) == 0 {
				fields = []string{often}
			}
		}
		field := pick(ed.rng, fields...)
		ed.at(e, property(c, field), o[field], s, field)
	}
	return e
}

// create makes an object, with values for some properties.
func (ed *editor) create(e *edit, s state) {
	c := class(e.ref.class)
	e.verb = "create"
	fields := object{}
	for range ed.rng.IntN(3) {
		p := &c.Properties[2+ed.rng.IntN(len(c.Properties)-2)]
		if p.Type == "mixed" && p.Collection == "" {
			fields[p.Name] = ed.scalarMixed(s, false)
		} else if p.Collection == "" && !isEmbedded(p) {
			fields[p.Name] = ed.value(p, s)
		}
	}
	e.value = fields
}

func (ed *editor) scalarOf(e *edit, o object, s state, names ...string) {
	name := pick(ed.rng, names...)
	ed.at(e, property(class(e.ref.class), name), o[name], s, name)
}

// at makes the edit one of what is at a place: of what is there, of something
// in it, or its replacement. The path so far is the edit's, step is its next.
func (ed *editor) at(e *edit, p *realmclient.Property, here node, s state, step any) {
	e.path = append(e.path, step)
	switch n := here.(type) {
	case object:
		if p.Collection == "" && ed.replaces(e) {
			ed.replace(e, p, s)
			return
		}
		ed.embedded(e, p, n, s)
	case *list:
		if p.Collection == "" && ed.rng.IntN(6) == 0 && !ed.atIndex(e) {
			ed.assign(e, s)
			return
		}
		ed.list(e, p, n, s)
	case dict:
		if p.Collection == "" && ed.rng.IntN(6) == 0 && !ed.atIndex(e) {
			ed.assign(e, s)
			return
		}
		ed.dictionary(e, p, n, s)
	case *set:
		ed.set(e, p, n, s)
	default:
		ed.scalar(e, p, here, s)
	}
}

// atIndex says whether the edit's path ends in a list index.
func (ed *editor) atIndex(e *edit) bool {
	_, is := e.path[len(e.path)-1].(int)
	return is
}

func (ed *editor) scalar(e *edit, p *realmclient.Property, here node, s state) {
	held, _ := here.(scalar)
	isInt := len(held) > 6 && held[:6] == `{"$int`
	single := len(e.path) == 1
	switch {
	case isEmbedded(p):
		e.verb, e.value = "set", ed.newEmbedded(p, s)
	case isInt && !ed.atIndex(e) && (single || p.Type == "int") && ed.inObject(e) && ed.rng.IntN(3) == 0:
		e.verb, e.by = "add", int64(ed.rng.IntN(5)-2)
	case p.Type == "mixed":
		ed.assign(e, s)
	case single && ed.rng.IntN(8) == 0:
		e.verb, e.value = "default", ed.value(p, s)
		if e.value == nil && isLink(p) {
			e.verb = "set"
		}
	default:
		e.verb, e.value = "set", ed.value(p, s)
	}
}

// inObject says whether the edit's place is a property, not an element.
func (ed *editor) inObject(e *edit) bool {
	c := class(e.ref.class)
	for i, step := range e.path {
		name, ok := step.(string)
		if !ok {
			continue
		}
		if p := property(c, name); p != nil {
			if i == len(e.path)-1 {
				return true
			}
			if isEmbedded(p) {
				c = class(p.Target)
			}
		}
	}
	return false
}

// assign gives a mixed place another value. Over what may have been a collection
// it takes the SDKs' way, with a Clear; if wild, at times not.
func (ed *editor) assign(e *edit, s state) {
	inList := slices.ContainsFunc(e.path, func(step any) bool { _, is := step.(int); return is }) || e.path[0] == "lm"
	e.verb, e.value = "assign", ed.mixed(s, len(e.path), inList, ed.inObject(e))
	if inside(e.value) && !ed.wild && ed.atIndex(e) {
		// A Clear at a list index is one of what devices get wrong.
		e.value = ed.scalarMixed(s, inList)
	}
	if !inside(e.value) || ed.wild && ed.rng.IntN(2) == 0 {
		e.verb = "set"
	}
}

// replaces says whether an embedded object is to be replaced as a whole, and not
// changed inside. Replacing an entry of a dictionary is one of what devices get
// wrong.
func (ed *editor) replaces(e *edit) bool {
	return !ed.atIndex(e) && ed.rng.IntN(4) == 0 && (ed.wild || ed.inObject(e))
}

func (ed *editor) replace(e *edit, p *realmclient.Property, s state) {
	e.verb, e.value = "set", nil
	if ed.rng.IntN(2) == 0 {
		e.value = ed.newEmbedded(p, s)
	}
}

// embedded makes the edit one of something in an embedded object.
func (ed *editor) embedded(e *edit, p *realmclient.Property, o object, s state) {
	name := pick(ed.rng, slices.Sorted(maps.Keys(o))...)
	if often := map[string]string{part: ed.inner, leaf: "ls"}[p.Target]; ed.rng.IntN(3) > 0 {
		name = often
	}
	ed.at(e, property(class(p.Target), name), o[name], s, name)
}

func (ed *editor) list(e *edit, p *realmclient.Property, l *list, s state) {
	n := len(l.items)
	if n > 0 && len(e.path) < maxDepth {
		if i := ed.rng.IntN(n); inside(l.items[i]) && ed.rng.IntN(3) > 0 {
			ed.into(e, p, l.items[i], s, i)
			return
		}
	}
	// A client that moves an element of a list of mixed which has held a
	// collection spoils its file.
	mayMove := ed.wild && isEmbedded(p) || !isEmbedded(p) && (p.Type != "mixed" || !ed.nested)
	switch op := ed.rng.IntN(14); {
	case n == 0 || op < 4 && n < maxItems:
		e.verb, e.path, e.value = "insert", append(e.path, ed.rng.IntN(n+1)), ed.item(p, s, len(e.path))
	case op < 6:
		e.path = append(e.path, ed.rng.IntN(n))
		if p.Type == "mixed" {
			ed.assign(e, s)
			return
		}
		e.verb, e.value = "set", ed.item(p, s, len(e.path))
	case op < 9 && n > 1 && mayMove:
		e.verb, e.from = "move", ed.rng.IntN(n)
		e.to = (e.from + 1 + ed.rng.IntN(n-1)) % n
	case op == 9 && p.Collection == "list" && !isEmbedded(p) && p.Type != "mixed":
		e.verb, e.value = "set", &list{[]node{ed.item(p, s, 1), ed.item(p, s, 1)}}
	case op == 10 && (ed.wild || !ed.atIndex(e)):
		e.verb = "clear"
	default:
		e.verb, e.path = "remove", append(e.path, ed.rng.IntN(n))
	}
}

// into makes the edit one of what an element of a collection has inside.
func (ed *editor) into(e *edit, p *realmclient.Property, here node, s state, step any) {
	ed.at(e, element(p), here, s, step)
}

func (ed *editor) dictionary(e *edit, p *realmclient.Property, d dict, s state) {
	key := pick(ed.rng, dictKeys...)
	if isEmbedded(p) && !ed.wild {
		ed.ownEntry(e, p, d, s)
		return
	}
	here, present := d[key]
	op := ed.rng.IntN(10)
	switch {
	case present && inside(here) && op < 6 && len(e.path) < maxDepth:
		ed.into(e, p, here, s, key)
	case op == 9 && len(d) > 0 && (ed.wild || !ed.atIndex(e)):
		e.verb = "clear"
	case present && op > 6 && (ed.wild || p.Type != "mixed" || !ed.nested):
		e.verb, e.path = "remove", append(e.path, key)
	default:
		e.path = append(e.path, key)
		if p.Type == "mixed" {
			ed.assign(e, s)
			return
		}
		e.verb, e.value = "set", ed.item(p, s, len(e.path))
	}
}

// ownEntry edits a dictionary of embedded objects such that no two clients
// create an entry of one key, and none replaces one: devices get both wrong.
func (ed *editor) ownEntry(e *edit, p *realmclient.Property, d dict, s state) {
	own := fmt.Sprintf("k%d", ed.who)
	if _, has := d[own]; !has {
		e.verb, e.path, e.value = "set", append(e.path, own), ed.newEmbedded(p, s)
		return
	}
	key := pick(ed.rng, slices.Sorted(maps.Keys(d))...)
	if n := ed.rng.IntN(12); d[key] == nil || n < 3 {
		e.verb, e.path = "remove", append(e.path, key)
		return
	} else if n == 3 {
		e.verb = "clear"
		return
	}
	ed.into(e, p, d[key], s, key)
}

func (ed *editor) set(e *edit, p *realmclient.Property, n *set, s state) {
	op := ed.rng.IntN(8)
	switch {
	case op == 0 && len(n.items) > 0:
		e.verb = "clear"
	case op < 4 && len(n.items) > 0:
		e.verb, e.value = "take", pick(ed.rng, n.items...)
	case p.Type == "mixed":
		e.verb, e.value = "put", ed.setMixed(s)
	default:
		e.verb, e.value = "put", ed.value(p, s)
		if e.value == nil && isLink(p) {
			// Nothing is there to link to.
			e.verb = "clear"
		}
	}
}

// item makes an element of a collection.
func (ed *editor) item(p *realmclient.Property, s state, depth int) node {
	switch {
	case isEmbedded(p):
		return ed.newEmbedded(p, s)
	case p.Type == "mixed":
		return ed.mixed(s, depth, true, false)
	}
	return ed.value(p, s)
}

// newEmbedded makes an embedded object, at times with something in it.
func (ed *editor) newEmbedded(p *realmclient.Property, s state) object {
	c := class(p.Target)
	o := object{}
	for range ed.rng.IntN(3) {
		inner := &c.Properties[ed.rng.IntN(len(c.Properties))]
		some := func() node {
			if isEmbedded(inner) {
				return ed.newEmbedded(inner, s)
			}
			return ed.value(inner, s)
		}
		switch {
		case inner.Type == "mixed":
		case inner.Collection == "":
			o[inner.Name] = some()
		case inner.Collection == "list":
			l := &list{}
			for range 1 + ed.rng.IntN(3) {
				l.items = append(l.items, some())
			}
			o[inner.Name] = l
		}
	}
	return o
}

// mixed makes a mixed value: often a collection, unless it is deep down or may
// be none. ofObject says that it is for a property, not for an element.
func (ed *editor) mixed(s state, depth int, inList, ofObject bool) node {
	switch {
	case ofObject && !ed.solo, !ofObject && !ed.nested, depth >= maxDepth-1, ed.rng.IntN(2) == 0:
		return ed.scalarMixed(s, inList)
	case ed.rng.IntN(2) == 0:
		l := &list{}
		for range ed.rng.IntN(3) {
			l.items = append(l.items, ed.mixed(s, depth+1, true, false))
		}
		return l
	}
	d := dict{}
	for range ed.rng.IntN(3) {
		d[pick(ed.rng, dictKeys...)] = ed.mixed(s, depth+1, inList, false)
	}
	return d
}

// scalarMixed makes a mixed value that is no collection. In lists it links only
// to what is never deleted, unless wild: a device does not write a null over a
// link that dangles.
func (ed *editor) scalarMixed(s state, inList bool) node {
	n := ed.rng.IntN(4)
	made := pick(ed.rng, nil, node(tagged("$int", fmt.Sprint(n))), node(someText[n]), node(tagged("$double", fmt.Sprintf("%d.5", n))),
		node(scalar("true")), node(tagged("$float", "2.25")), node(tagged("$ts", []int{-5 * n, -1000 * n})),
		node(tagged("$decimal", "1.750")), node(tagged("$oid", fmt.Sprintf("%024x", n))),
		node(tagged("$uuid", fmt.Sprintf("00000000-0000-4000-9000-%012x", n))), node(tagged("$binary", pick(ed.rng, someData...))), "link")
	if made != "link" {
		return made
	}
	to := ref{stone, pick(ed.rng, allNames[stone]...)}
	if !inList || ed.wild {
		to = pick(ed.rng, to, ref{thing, pick(ed.rng, ed.things()...)}, ref{other, pick(ed.rng, allNames[other]...)})
	}
	if s[to] == nil {
		return nil
	}
	return linkTo(to)
}

// setMixed makes an element of a set of mixed. Numbers of different types that
// are equal are among what devices get wrong.
func (ed *editor) setMixed(s state) node {
	if n := ed.rng.IntN(4); ed.wild && ed.rng.IntN(3) == 0 {
		return pick(ed.rng, tagged("$double", fmt.Sprint(n)), tagged("$decimal", fmt.Sprintf("%d.0", n)))
	}
	return ed.scalarMixed(s, true)
}

// value makes a value of a property's type, or of its elements' type.
func (ed *editor) value(p *realmclient.Property, s state) node {
	if p.Nullable && p.Type != "object" && ed.rng.IntN(6) == 0 {
		return nil
	}
	n := ed.rng.IntN(4)
	switch p.Type {
	case "int":
		return tagged("$int", fmt.Sprint(n))
	case "bool":
		return scalar(fmt.Sprint(n < 2))
	case "string":
		return someText[n]
	case "data":
		return tagged("$binary", pick(ed.rng, someData...))
	case "timestamp":
		// Finer than MongoDB's dates.
		return tagged("$ts", []int{1_700_000_000 + n/2, 5 + 1000*(n%2)})
	case "float":
		return tagged("$float", pick(ed.rng, "0.25", "1.25", "NaN", "-Inf"))
	case "double":
		return tagged("$double", pick(ed.rng, "0.1", "1.1", "NaN", "-0"))
	case "decimal128":
		return tagged("$decimal", pick(ed.rng, "0.50", "1.50", "-3E+10", "NaN"))
	case "objectId":
		return tagged("$oid", fmt.Sprintf("%024x", n))
	case "uuid":
		return tagged("$uuid", fmt.Sprintf("00000000-0000-4000-9000-%012x", n))
	case "object":
		to := ref{p.Target, pick(ed.rng, allNames[p.Target]...)}
		if p.Collection == "" && n == 0 || s[to] == nil {
			return ed.anyLink(p, s)
		}
		return linkTo(to)
	}
	panic("no value of type " + p.Type)
}

// anyLink is a link to some object that is there; null if none is.
func (ed *editor) anyLink(p *realmclient.Property, s state) node {
	for _, r := range s.refs() {
		if r.class == p.Target && ed.rng.IntN(2) == 0 {
			return linkTo(r)
		}
	}
	return nil
}
