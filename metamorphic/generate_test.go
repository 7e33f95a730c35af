package metamorphic

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// families are the properties of Thing that one list of operations stays with,
// so that most changes meet. The empty one stands for creating and deleting.
var families = [][]string{
	{"n", "t", "c"}, {"n", "t", "c", ""}, {"b", "f", "x", "dec", "ts", "bin", "oid", "u"},
	{"one", "far", ""}, {"l"}, {"ln"}, {"lt", "l", ""}, {"ll", ""}, {"lm"}, {"le"}, {"le", "e", ""},
	{"s", "sn", "so"}, {"sl", ""}, {"sm"}, {"d"}, {"ds", "dl", ""}, {"dm"}, {"m"}, {"m", "lm", "dm"}, {"e"}, {"e", "m", ""},
	{later, "n", ""}, {"n", "l", "s", "d", "m", ""}, {"n", "t", "l", "le", "dm", "m", "e", "sl", "ll", ""},
}

// wildFamilies have pairs that devices get wrong in whatever is done to them.
var wildFamilies = [][]string{{"de"}, {"de", "n", ""}, {"lm", "le"}, {"sn", "sm"}, {"m"}, {"dm"}, {"de", "le", "sm", "m", "lm", ""}}

// scale is how far keys, indices and values spread: little, so that they meet.
const (
	thingKeys = 3
	maxDepth  = 4
)

var (
	otherKeys   = []string{"x", "y"}
	dictKeys    = []string{"p", "q", "r"}
	texts       = []string{"a", "b", "cc", ""}
	thingFilter = []string{
		"TRUEPREDICATE", "n > 1", "n <= 1", "t == 'a'", "n == 2 OR t == NULL", "n > 0 AND t != 'b'", "FALSEPREDICATE", "_id != 2",
	}
	otherFilter = []string{"TRUEPREDICATE", "k > 1", "k < 2", "_id == 'x'"}
)

// editor makes up edits. It looks at a state, so that most of them fit.
type editor struct {
	rng    *rand.Rand
	fields []string
	keys   int // things that are edited
	wild   bool
}

func newEditor(rng *rand.Rand, wild bool) *editor {
	e := &editor{rng: rng, wild: wild, fields: pick(rng, families...), keys: 1 + rng.IntN(thingKeys)}
	if wild && rng.IntN(3) > 0 {
		e.fields = pick(rng, wildFamilies...)
	}
	return e
}

// reader is where an editor looks objects up.
type reader interface {
	Get(class string, key changeset.Key) *object.Object
}

// edits makes one transaction's.
func (ed *editor) edits(r reader) []edit {
	var out []edit
	for range 1 + ed.rng.IntN(3) {
		out = append(out, ed.edit(r))
	}
	return out
}

func (ed *editor) edit(r reader) edit {
	if ed.rng.IntN(8) == 0 {
		return ed.otherEdit(r)
	}
	key := changeset.IntKey(int64(1 + ed.rng.IntN(ed.keys)))
	e := edit{ref: changeset.ObjectRef{Class: thing, Key: key}}
	o := r.Get(thing, key)
	field := pick(ed.rng, ed.fields...)
	switch {
	case o == nil:
		e.verb = "create"
	case field == "" && ed.rng.IntN(2) == 0:
		e.verb = "delete"
	case field == "":
		e.verb = "create"
	default:
		p := appSchema.Class(thing).Properties[field]
		e.path = []any{field}
		ed.property(&e, p, o.Get(p))
	}
	return e
}

// otherEdit changes what links lead to.
func (ed *editor) otherEdit(r reader) edit {
	e := edit{ref: changeset.ObjectRef{Class: other, Key: changeset.StringKey(pick(ed.rng, otherKeys...))}}
	o := r.Get(other, e.ref.Key)
	field := pick(ed.rng, "k", "k", "name", "back", "")
	switch {
	case o == nil:
		e.verb = "create"
	case field == "":
		e.verb = "delete"
	default:
		p := appSchema.Class(other).Properties[field]
		e.path = []any{field}
		ed.property(&e, p, o.Get(p))
	}
	return e
}

// property changes what is at the edit's path: a property, an element of one, or
// something deeper.
func (ed *editor) property(e *edit, p *schema.Property, node object.Node) {
	switch n := node.(type) {
	case *object.Object:
		ed.embedded(e, p, n)
	case *object.List:
		ed.list(e, p, n)
	case *object.Dictionary:
		ed.dictionary(e, p, n)
	case *object.Set:
		ed.set(e, p, n)
	default:
		ed.scalar(e, p, node)
	}
}

func (ed *editor) scalar(e *edit, p *schema.Property, node object.Node) {
	v, _ := node.(changeset.Value)
	switch {
	case appSchema.IsEmbedded(p):
		e.verb, e.value = "set", ed.newEmbedded(p)
	case v.Type == changeset.Int && len(e.path) == 1 && ed.rng.IntN(3) == 0:
		e.verb, e.value = "add", strconv.Itoa(ed.rng.IntN(5)-2)
	case p.Type == changeset.Mixed:
		ed.assignMixed(e)
	case len(e.path) == 1 && ed.rng.IntN(8) == 0:
		e.verb, e.value = "default", ed.value(p)
	default:
		e.verb, e.value = "set", ed.value(p)
	}
}

// assignMixed sets a mixed value: as the SDKs do, with a Clear that comes with
// a collection; if wild, at times without it.
func (ed *editor) assignMixed(e *edit) {
	e.verb, e.value = "assign", ed.mixed(len(e.path))
	_, atIndex := e.path[len(e.path)-1].(int)
	if ed.wild && ed.rng.IntN(2) == 0 {
		e.verb = "set"
	}
	if atIndex && !ed.wild && isCollection(e.value) {
		// A Clear at a list index is one of what devices get wrong.
		e.verb, e.value = "set", ed.scalarMixed()
	}
}

func isCollection(text string) bool {
	return strings.HasPrefix(text, "[") || strings.HasPrefix(text, `{"$dict"`)
}

func (ed *editor) embedded(e *edit, p *schema.Property, o *object.Object) {
	if _, atIndex := e.path[len(e.path)-1].(int); !atIndex && ed.rng.IntN(4) == 0 {
		e.verb, e.value = "set", "null"
		if ed.rng.IntN(2) == 0 {
			e.value = ed.newEmbedded(p)
		}
		return
	}
	c := appSchema.Class(p.Target)
	inner := c.Properties[pick(ed.rng, c.PropertyNames()...)]
	e.path = append(e.path, inner.Name)
	ed.property(e, inner, o.Get(inner))
}

func isInside(node object.Node) bool {
	_, scalar := node.(changeset.Value)
	return node != nil && !scalar
}

func (ed *editor) list(e *edit, p *schema.Property, l *object.List) {
	n := len(l.Items)
	at := append([]any(nil), e.path...)
	if n > 0 && len(at) < maxDepth {
		if i := ed.rng.IntN(n); isInside(l.Items[i]) && ed.rng.IntN(2) == 0 {
			e.path = append(at, i)
			if ed.wild || appSchema.IsEmbedded(p) || ed.rng.IntN(6) > 0 {
				ed.inner(e, p, l.Items[i])
				return
			}
			e.verb, e.value = "set", ed.scalarMixed()
			return
		}
	}
	nested := p.Type == changeset.Mixed || appSchema.IsEmbedded(p)
	switch op := ed.rng.IntN(12); {
	case n == 0 || op < 4 && n < 6:
		e.verb, e.path, e.value = "insert", append(at, ed.rng.IntN(n+1)), ed.element(p, len(at))
	case op < 7:
		e.path = append(at, ed.rng.IntN(n))
		if p.Type == changeset.Mixed {
			ed.assignMixed(e)
			return
		}
		e.verb, e.value = "set", ed.element(p, len(at))
	case op < 9 && n > 1 && (ed.wild || !nested):
		e.verb, e.from = "move", ed.rng.IntN(n)
		e.to = (e.from + 1 + ed.rng.IntN(n-1)) % n
	case op == 11 && (ed.wild || !endsInIndex(at)):
		e.verb = "clear"
	default:
		e.verb, e.path = "remove", append(at, ed.rng.IntN(n))
	}
}

func endsInIndex(path []any) bool {
	_, is := path[len(path)-1].(int)
	return is
}

// inner changes something in a collection or an embedded object in a collection.
func (ed *editor) inner(e *edit, p *schema.Property, node object.Node) {
	if o, ok := node.(*object.Object); ok {
		ed.embedded(e, p, o)
		return
	}
	ed.property(e, schema.MixedElement, node)
}

func (ed *editor) dictionary(e *edit, p *schema.Property, d *object.Dictionary) {
	key := pick(ed.rng, dictKeys...)
	node, present := d.Entries[key]
	at := append([]any(nil), e.path...)
	op := ed.rng.IntN(10)
	switch {
	case present && isInside(node) && op < 6 && len(at) < maxDepth:
		e.path = append(at, key)
		ed.inner(e, p, node)
	case op == 9 && len(d.Entries) > 0 && (ed.wild || !endsInIndex(at)):
		e.verb = "clear"
	case present && op > 6 && (ed.wild || p.Type != changeset.Mixed):
		e.verb, e.path = "remove", append(at, key)
	default:
		e.path = append(at, key)
		if p.Type == changeset.Mixed {
			ed.assignMixed(e)
			return
		}
		e.verb, e.value = "set", ed.element(p, len(at))
	}
}

func (ed *editor) set(e *edit, p *schema.Property, s *object.Set) {
	op := ed.rng.IntN(8)
	switch {
	case op == 0 && len(s.Items) > 0:
		e.verb = "clear"
	case op < 4 && len(s.Items) > 0:
		v := s.Items[ed.rng.IntN(len(s.Items))]
		if v.IsNull() && p.Type != changeset.Mixed && !ed.wild {
			e.verb, e.value = "put", "null"
			return
		}
		e.verb, e.value = "take", valueText(v)
	case p.Type == changeset.Mixed:
		e.verb, e.value = "put", ed.setMixed()
	default:
		e.verb, e.value = "put", ed.value(p)
	}
}

func valueText(v changeset.Value) string {
	text, err := notation.FormatValue(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// element makes an element of a collection.
func (ed *editor) element(p *schema.Property, depth int) string {
	switch {
	case appSchema.IsEmbedded(p):
		if p.Collection == dict && ed.rng.IntN(6) == 0 {
			return "null"
		}
		return ed.newEmbedded(p)
	case p.Type == changeset.Mixed:
		return ed.mixed(depth)
	}
	return ed.value(p)
}

// newEmbedded makes an embedded object, at times with something in it.
func (ed *editor) newEmbedded(p *schema.Property) string {
	c := appSchema.Class(p.Target)
	fields := map[string]json.RawMessage{}
	for range ed.rng.IntN(3) {
		inner := c.Properties[pick(ed.rng, c.PropertyNames()...)]
		if inner.Collection == changeset.Single && inner.Type != changeset.Link && inner.Type != changeset.Mixed {
			fields[inner.Name] = json.RawMessage(ed.value(inner))
		}
	}
	return tagged("$obj", fields)
}

func tagged(tag string, content map[string]json.RawMessage) string {
	text, err := json.Marshal(map[string]any{tag: content})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// mixed makes a mixed value: often a collection, unless it is deep down.
func (ed *editor) mixed(depth int) string {
	if depth >= maxDepth-1 || ed.rng.IntN(2) == 0 {
		return ed.scalarMixed()
	}
	if ed.rng.IntN(2) == 0 {
		items := make([]string, ed.rng.IntN(3))
		for i := range items {
			items[i] = ed.mixed(depth + 1)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	entries := map[string]json.RawMessage{}
	for range ed.rng.IntN(3) {
		entries[pick(ed.rng, dictKeys...)] = json.RawMessage(ed.mixed(depth + 1))
	}
	return tagged("$dict", entries)
}

func (ed *editor) scalarMixed() string {
	n := ed.rng.IntN(4)
	return pick(ed.rng, "null", strconv.Itoa(n), `"`+texts[n]+`"`, fmt.Sprintf(`{"$double":%d.5}`, n), "true",
		fmt.Sprintf(`{"$link":["Thing",%d]}`, 1+n%thingKeys))
}

// setMixed makes an element of a set of mixed. Numbers of different types that
// are equal are among what devices get wrong.
func (ed *editor) setMixed() string {
	n := ed.rng.IntN(4)
	if ed.wild && ed.rng.IntN(2) == 0 {
		return pick(ed.rng, fmt.Sprintf(`{"$double":%d}`, n), fmt.Sprintf(`{"$dec":"%d.0"}`, n))
	}
	return pick(ed.rng, strconv.Itoa(n), `"`+texts[n]+`"`, "null")
}

// value makes a value of a property's type.
func (ed *editor) value(p *schema.Property) string {
	if p.Nullable && p.Type != changeset.Link && ed.rng.IntN(6) == 0 {
		return "null"
	}
	n := ed.rng.IntN(4)
	switch p.Type {
	case changeset.Int:
		return strconv.Itoa(n)
	case changeset.Bool:
		return strconv.FormatBool(n < 2)
	case changeset.String:
		return `"` + texts[n] + `"`
	case changeset.Binary:
		return fmt.Sprintf(`{"$bin":"%04x"}`, n)
	case changeset.Timestamp:
		// Finer than MongoDB's dates.
		return fmt.Sprintf(`{"$ts":[%d,%d]}`, 1700000000+n/2, 5+1000*(n%2))
	case changeset.Float:
		return pick(ed.rng, fmt.Sprintf(`{"$float":%d.25}`, n), `{"$float":"NaN"}`, `{"$float":"-Infinity"}`)
	case changeset.Double:
		return pick(ed.rng, fmt.Sprintf(`{"$double":%d.1}`, n), `{"$double":"NaN"}`, `{"$double":-0.0}`)
	case changeset.Decimal:
		return fmt.Sprintf(`{"$dec":"%d.50"}`, n)
	case changeset.ObjectID:
		return fmt.Sprintf(`{"$oid":"%024x"}`, n)
	case changeset.UUID:
		return fmt.Sprintf(`{"$uuid":"00000000-0000-0000-0000-%012x"}`, n)
	case changeset.Link:
		if p.Collection == changeset.Single && n == 0 {
			return "null"
		}
		if p.Target == other {
			return fmt.Sprintf(`{"$link":["Other","%s"]}`, pick(ed.rng, otherKeys...))
		}
		return fmt.Sprintf(`{"$link":["Thing",%d]}`, 1+ed.rng.IntN(thingKeys))
	}
	panic(fmt.Sprintf("no value of type %v", p.Type))
}
