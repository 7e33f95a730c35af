package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// edit is one change within a client's transaction. It says what to do to what
// is there when its turn comes: a list index is taken modulo the list's length,
// and what does not fit at all is left out. So a script makes sense after any
// part of it is gone.
//
//	create Thing/1 {"n":{"$int":"5"}}
//	delete Thing/1
//	set Thing/1 l.2 {"$int":"5"}      over what is there; a whole collection, too
//	default Thing/1 n {"$int":"5"}    set, as a class's default
//	assign Thing/1 m [...]            a mixed value: made, cleared, filled, as the SDKs do
//	add Thing/1 c -2
//	insert Thing/1 l.0 {"$int":"5"}
//	remove Thing/1 l.0                a list element or a dictionary entry
//	move Thing/1 l 0 2
//	clear Thing/1 l
//	put Thing/1 s {"$int":"5"}        into a set
//	take Thing/1 s {"$int":"5"}       out of a set
type edit struct {
	verb  string
	ref   ref
	path  []any // a property, then names and indices
	value node
	by    int64 // of add
	from  int   // of move
	to    int
	// kinds are those of the edit once it was made; none before.
	kinds []string
}

// words is how many there are in an edit of each verb.
var words = map[string]int{
	"create": 3, "delete": 2, "set": 4, "default": 4, "assign": 4, "add": 4, "insert": 4,
	"remove": 3, "move": 5, "clear": 3, "put": 4, "take": 4,
}

func (e *edit) String() string {
	out := []string{e.verb, e.ref.String()}
	if len(e.path) > 0 {
		out = append(out, pathText(e.path))
	}
	switch {
	case e.verb == "create":
		out = append(out, entries(e.value.(object)))
	case e.verb == "add":
		out = append(out, strconv.FormatInt(e.by, 10))
	case e.verb == "move":
		out = append(out, strconv.Itoa(e.from), strconv.Itoa(e.to))
	case words[e.verb] == 4:
		out = append(out, text(e.value))
	}
	return strings.Join(out, " ")
}

func pathText(path []any) string {
	steps := make([]string, len(path))
	for i, step := range path {
		steps[i] = fmt.Sprint(step)
	}
	return strings.Join(steps, ".")
}

func parsePath(s string) []any {
	var path []any
	for step := range strings.SplitSeq(s, ".") {
		if i, err := strconv.Atoi(step); err == nil {
			path = append(path, i)
		} else {
			path = append(path, step)
		}
	}
	return path
}

func parseRef(s string) (ref, error) {
	c, name, ok := strings.Cut(s, "/")
	if !ok || !slices.Contains(allNames[c], name) {
		return ref{}, fmt.Errorf("%q names no object", s)
	}
	return ref{c, name}, nil
}

func parseEdit(line string) (*edit, error) {
	w := strings.Fields(line)
	if len(w) == 0 || words[w[0]] != len(w) {
		return nil, fmt.Errorf("%q is no edit", line)
	}
	e := &edit{verb: w[0]}
	var err error
	if e.ref, err = parseRef(w[1]); err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	if e.verb != "create" && len(w) > 2 {
		e.path = parsePath(w[2])
	}
	switch {
	case e.verb == "create":
		v, err := decodeJSON([]byte(w[2]))
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, fmt.Errorf("%q creates nothing", line)
		}
		e.value = object(fromEntries(m))
	case e.verb == "add":
		e.by, err = strconv.ParseInt(w[3], 10, 64)
	case e.verb == "move":
		if e.from, err = strconv.Atoi(w[3]); err == nil {
			e.to, err = strconv.Atoi(w[4])
		}
	case len(w) == 4:
		e.value, err = parseNode(w[3])
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	return e, nil
}

// errUnfit says that an edit makes no sense in the state that it has met.
var errUnfit = errors.New("does not fit")

// place is where an edit's path leads.
type place struct {
	path  []any
	shape string                // the path in a kind
	inner node                  // what the last step is a step of
	last  any                   // the last step: a property, an index, a key
	here  node                  // what is there; nil if nothing is
	is    *realmclient.Property // as which it is treated
}

// element is the property as which the elements of a collection are treated.
func element(p *realmclient.Property) *realmclient.Property {
	if p.Collection == "" {
		return inMixed
	}
	out := *p
	out.Collection = ""
	return &out
}

// find goes along a path. The last step may lead to what is not there yet: a
// dictionary's key or, if insert, the end of a list.
func (s state) find(r ref, path []any, insert bool) (*place, error) {
	o := s[r]
	if o == nil {
		return nil, errUnfit
	}
	c := class(r.class)
	at := &place{here: o}
	for i, step := range path {
		last := i == len(path)-1
		at.inner = at.here
		switch inner := at.here.(type) {
		case object:
			if at.is != nil {
				c = class(at.is.Target)
			}
			name, ok := step.(string)
			if ok {
				at.is = property(c, name)
			}
			if !ok || at.is == nil {
				return nil, errUnfit
			}
			at.last, at.here = name, inner[name]
			at.shape = strings.TrimPrefix(at.shape+"."+name, ".")
		case *list:
			n, ok := step.(int)
			size := len(inner.items)
			if last && insert {
				size++
			}
			if !ok || size == 0 {
				return nil, errUnfit
			}
			n %= size
			at.is, at.last, at.here, at.shape = element(at.is), n, nil, at.shape+"[]"
			if n < len(inner.items) {
				at.here = inner.items[n]
			}
		case dict:
			name, ok := step.(string)
			if !ok {
				return nil, errUnfit
			}
			at.is, at.last, at.here, at.shape = element(at.is), name, inner[name], at.shape+"{}"
		default:
			return nil, errUnfit
		}
		at.path = append(at.path, at.last)
	}
	return at, nil
}

// put makes n be at the place.
func (at *place) put(n node) {
	n = settled(n, at.is)
	switch inner := at.inner.(type) {
	case object:
		inner[at.last.(string)] = n
	case *list:
		inner.items[at.last.(int)] = n
	case dict:
		inner[at.last.(string)] = n
	}
	at.here = n
}

// linksExist says whether all that is linked to in n is there.
func (s state) linksExist(n node) bool {
	all := func(items []node) bool {
		return !slices.ContainsFunc(items, func(n node) bool { return !s.linksExist(n) })
	}
	switch n := n.(type) {
	case scalar:
		r, is := n.linked()
		return !is || s[r] != nil
	case *list:
		return all(n.items)
	case *set:
		return all(n.items)
	case dict:
		return all(slices.Collect(maps.Values(n)))
	case object:
		return all(slices.Collect(maps.Values(n)))
	}
	return true
}

// perform makes the edit to the state, and returns the operations by which a
// client makes it. The error is errUnfit, and then nothing is changed.
func (s state) perform(e *edit, session int) ([]realmclient.Op, error) {
	if !s.linksExist(e.value) {
		return nil, errUnfit
	}
	key := e.ref.key(session)
	switch e.verb {
	case "create":
		if s[e.ref] != nil {
			return nil, errUnfit
		}
		o := initial(class(e.ref.class))
		for k, v := range e.value.(object) {
			o[k] = settled(clone(v), property(class(e.ref.class), k))
		}
		s[e.ref] = o
		fields := propertiesForClient(e.value.(object), session)
		fields[sessionProperty] = realmclient.Int(int64(session))
		e.kinds = []string{"create " + e.ref.class}
		return []realmclient.Op{realmclient.Create(e.ref.class, key, fields)}, nil
	case "delete":
		if s[e.ref] == nil {
			return nil, errUnfit
		}
		delete(s, e.ref)
		for _, o := range s {
			unlink(o, e.ref)
		}
		e.kinds = []string{"delete " + e.ref.class}
		return []realmclient.Op{realmclient.Delete(e.ref.class, key)}, nil
	}
	at, err := s.find(e.ref, e.path, e.verb == "insert")
	if err != nil {
		return nil, err
	}
	kinds := at.kinds(e)
	ops, err := at.perform(e, realmclient.Op{Class: e.ref.class, PK: key, Path: at.path}, session)
	if err == nil {
		e.kinds = kinds
	}
	return ops, err
}

// perform makes an edit at its place. op says where that is.
func (at *place) perform(e *edit, op realmclient.Op, session int) ([]realmclient.Op, error) {
	value := forClient(e.value, session)
	switch e.verb {
	case "set", "default":
		if !at.takes(e.value) || e.verb == "default" && e.value == nil && isLink(at.is) {
			return nil, errUnfit // a client tells nobody that a link is null by default
		}
		at.put(clone(e.value))
		op.Op, op.Value, op.Default = "set", value, e.verb == "default"
		return []realmclient.Op{op}, nil
	case "assign":
		if at.is.Type != "mixed" || at.is.Collection != "" {
			return nil, errUnfit
		}
		at.put(clone(e.value))
		return assign(op, e.value, session), nil
	case "add":
		held, _ := at.here.(scalar)
		var n struct {
			Int *int64 `json:"$int,string"`
		}
		if json.Unmarshal([]byte(held), &n) != nil || n.Int == nil {
			return nil, errUnfit
		}
		if _, is := at.inner.(object); !is {
			return nil, errUnfit
		}
		at.put(tagged("$int", strconv.FormatInt(*n.Int+e.by, 10)))
		op.Op, op.By = "add_int", json.Number(strconv.FormatInt(e.by, 10))
		return []realmclient.Op{op}, nil
	case "insert":
		l, is := at.inner.(*list)
		if !is || !at.takes(e.value) {
			return nil, errUnfit
		}
		i := at.last.(int)
		l.items = slices.Insert(l.items, i, settled(clone(e.value), at.is))
		op.Op, op.Path, op.Index, op.Value = "list_insert", at.path[:len(at.path)-1], number(i), value
		return []realmclient.Op{op}, nil
	case "remove":
		switch inner := at.inner.(type) {
		case *list:
			i := at.last.(int)
			inner.items = slices.Delete(inner.items, i, i+1)
			op.Op = "list_erase"
			return []realmclient.Op{op}, nil
		case dict:
			if _, there := inner[at.last.(string)]; there {
				delete(inner, at.last.(string))
				op.Op = "dict_erase"
				return []realmclient.Op{op}, nil
			}
		}
		return nil, errUnfit
	}
	return at.performOnCollection(e, op, value)
}

// performOnCollection makes an edit of the collection that is at the place.
func (at *place) performOnCollection(e *edit, op realmclient.Op, value any) ([]realmclient.Op, error) {
	switch here := at.here.(type) {
	case *list:
		switch n := len(here.items); {
		case e.verb == "clear":
			here.items = nil
			op.Op = "clear"
			return []realmclient.Op{op}, nil
		case e.verb == "move" && n > 1 && e.from%n != e.to%n:
			from, to := e.from%n, e.to%n
			moved := here.items[from]
			here.items = slices.Insert(slices.Delete(here.items, from, from+1), to, moved)
			op.Op, op.From, op.To = "list_move", number(from), number(to)
			return []realmclient.Op{op}, nil
		}
	case dict:
		if e.verb == "clear" {
			clear(here)
			op.Op = "clear"
			return []realmclient.Op{op}, nil
		}
	case *set:
		i := slices.IndexFunc(here.items, func(n node) bool { return text(n) == text(e.value) })
		switch {
		case e.verb == "clear":
			here.items = nil
			op.Op = "clear"
			return []realmclient.Op{op}, nil
		case e.verb == "put":
			if i < 0 {
				here.items = append(here.items, e.value)
			}
			op.Op, op.Value = "set_insert", value
			return []realmclient.Op{op}, nil
		case e.verb == "take" && i >= 0:
			here.items = slices.Delete(here.items, i, i+1)
			op.Op, op.Value = "set_erase", value
			return []realmclient.Op{op}, nil
		}
	}
	return nil, errUnfit
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// takes says whether a value can be set there.
func (at *place) takes(n node) bool {
	switch n := n.(type) {
	case nil:
		return at.is.Collection == "" && at.is.Nullable
	case *list:
		return at.is.Collection == "list" || at.is.Collection == "" && at.is.Type == "mixed"
	case dict:
		return at.is.Collection == "dictionary" || at.is.Collection == "" && at.is.Type == "mixed"
	case *set:
		return at.is.Collection == "set"
	case object:
		return at.is.Collection == "" && isEmbedded(at.is)
	case scalar:
		target, is := n.linked()
		switch {
		case at.is.Collection != "" || isEmbedded(at.is):
			return false
		case at.is.Type == "mixed":
			return true
		}
		return is == isLink(at.is) && (!is || target.class == at.is.Target)
	}
	return false
}

// assign gives a mixed place a collection as the SDKs do, so that nothing of an
// older one of the same kind is left.
func assign(at realmclient.Op, n node, session int) []realmclient.Op {
	made, cleared := at, at
	made.Op, cleared.Op = "set", "clear"
	switch n := n.(type) {
	case *list:
		made.Value = []any{}
		ops := []realmclient.Op{made, cleared}
		for i, item := range n.items {
			op := at
			op.Op, op.Index, op.Value = "list_insert", number(i), forClient(item, session)
			ops = append(ops, op)
		}
		return ops
	case dict:
		made.Value = realmclient.Dictionary(map[string]any{})
		ops := []realmclient.Op{made, cleared}
		for _, k := range slices.Sorted(maps.Keys(n)) {
			op := at
			op.Op, op.Path, op.Value = "set", append(slices.Clone(at.Path), k), forClient(n[k], session)
			ops = append(ops, op)
		}
		return ops
	}
	made.Value = forClient(n, session)
	return []realmclient.Op{made}
}

// unlink does to a value what the deletion of r does to the links to it.
func unlink(n node, r ref) {
	is := func(n node) bool {
		s, _ := n.(scalar)
		to, linked := s.linked()
		return linked && to == r
	}
	prune := func(items []node) []node {
		items = slices.DeleteFunc(items, is)
		for _, item := range items {
			unlink(item, r)
		}
		return items
	}
	null := func(m map[string]node) {
		for k, v := range m {
			if is(v) {
				m[k] = nil
			} else {
				unlink(v, r)
			}
		}
	}
	switch n := n.(type) {
	case *list:
		n.items = prune(n.items)
	case *set:
		n.items = prune(n.items)
	case dict:
		null(n)
	case object:
		null(n)
	}
}
