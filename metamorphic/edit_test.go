package metamorphic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/device"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// edit is one change that a device makes within a transaction. It says what to
// do to whatever is there when its turn comes: a list index is taken modulo the
// list's length, and what does not fit at all is left out. So a list of
// operations makes sense after any of them is gone.
//
//	create Thing/1
//	delete Thing/1
//	set Thing/1 l.2 17          over what is there
//	assign Thing/1 m [1,2]      set, with the Clear that SDKs send with a collection
//	default Thing/1 n 3         set, as a class's default
//	add Thing/1 c -2
//	insert Thing/1 l.0 17
//	remove Thing/1 l.0          a list element or a dictionary entry
//	move Thing/1 l 0 2
//	clear Thing/1 l
//	fill Thing/1 bin 300000     as many bytes
//	put Thing/1 s 17            into a set
//	take Thing/1 s 17           out of a set
//
// Values are in the notation of changesets; a list is a JSON array, a dictionary
// {"$dict":{…}}, an embedded object {"$obj":{…}}.
type edit struct {
	verb  string
	ref   changeset.ObjectRef
	path  []any // property, then names and indices
	value string
	from  int // of move
	to    int
}

// arguments is how many words follow the object in an edit of each verb.
var arguments = map[string]int{
	"create": 0, "delete": 0, "set": 2, "assign": 2, "default": 2, "add": 2, "insert": 2,
	"remove": 1, "move": 3, "clear": 1, "put": 2, "take": 2, "fill": 2,
}

func (e *edit) String() string {
	key, err := notation.FormatKey(e.ref.Key)
	if err != nil {
		panic(err)
	}
	words := []string{e.verb, e.ref.Class + "/" + string(key)}
	if arguments[e.verb] > 0 {
		steps := make([]string, len(e.path))
		for i, step := range e.path {
			steps[i] = fmt.Sprint(step)
		}
		words = append(words, strings.Join(steps, "."))
	}
	switch arguments[e.verb] {
	case 2:
		words = append(words, e.value)
	case 3:
		words = append(words, strconv.Itoa(e.from), strconv.Itoa(e.to))
	}
	return strings.Join(words, " ")
}

func parseEdit(line string) (edit, error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return edit{}, fmt.Errorf("%q is no edit", line)
	}
	n, known := arguments[words[0]]
	if !known || len(words) != 2+n {
		return edit{}, fmt.Errorf("%q: %s is no edit with %d arguments", line, words[0], len(words)-2)
	}
	ref, err := parseRef(words[1])
	if err != nil {
		return edit{}, fmt.Errorf("%q: %w", line, err)
	}
	e := edit{verb: words[0], ref: ref}
	if n > 0 {
		for step := range strings.SplitSeq(words[2], ".") {
			if i, err := strconv.Atoi(step); err == nil {
				e.path = append(e.path, i)
			} else {
				e.path = append(e.path, step)
			}
		}
	}
	switch n {
	case 2:
		e.value = words[3]
	case 3:
		if e.from, err = strconv.Atoi(words[3]); err == nil {
			e.to, err = strconv.Atoi(words[4])
		}
	}
	return e, err
}

func parseRef(word string) (changeset.ObjectRef, error) {
	class, text, ok := strings.Cut(word, "/")
	if !ok || appSchema.Class(class) == nil {
		return changeset.ObjectRef{}, fmt.Errorf("%q names no object", word)
	}
	key, err := notation.ParseKey([]byte(text))
	return changeset.ObjectRef{Class: class, Key: key}, err
}

// value parses a value of an edit.
func value(text string) (any, error) {
	raw := bytes.TrimSpace([]byte(text))
	if bytes.HasPrefix(raw, []byte("[")) {
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, err
		}
		out := device.List{}
		for _, item := range items {
			v, err := value(string(item))
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	for _, tag := range []string{"$dict", "$obj"} {
		if !bytes.HasPrefix(raw, []byte(`{"`+tag+`"`)) {
			continue
		}
		var tagged map[string]map[string]json.RawMessage
		if err := json.Unmarshal(raw, &tagged); err != nil {
			return nil, err
		}
		entries := map[string]any{}
		for name, item := range tagged[tag] {
			v, err := value(string(item))
			if err != nil {
				return nil, err
			}
			entries[name] = v
		}
		if tag == "$obj" {
			return device.Embedded(entries), nil
		}
		return device.Dict(entries), nil
	}
	return notation.ParseValue(raw)
}

// errUnfit says that an edit makes no sense in the state that it has met.
var errUnfit = errors.New("does not fit")

// perform makes the edit in a transaction. An error means that it does not fit,
// and has changed nothing or only a part of what it is to change.
func (e *edit) perform(tx *device.Tx) error {
	switch e.verb {
	case "create":
		return tx.Upsert(e.ref.Class, e.ref.Key, nil)
	case "delete":
		return tx.Delete(e.ref.Class, e.ref.Key)
	}
	p, node, err := e.place(tx)
	if err != nil {
		return err
	}
	var v any
	if e.value != "" {
		if v, err = value(e.value); err != nil {
			return err
		}
	}
	switch e.verb {
	case "set":
		return tx.Set(p, v)
	case "assign":
		return assign(tx, p, v)
	case "default":
		return tx.SetDefault(p, v)
	case "add":
		n, ok := v.(changeset.Value)
		if held, isValue := node.(changeset.Value); !ok || !isValue || n.Type != changeset.Int || held.Type != changeset.Int {
			return errUnfit
		}
		return tx.Add(p, n.Num)
	case "insert":
		return tx.Insert(p, v)
	case "fill":
		return tx.Set(p, bytes.Repeat([]byte{byte(e.ref.Key.Int)}, int(v.(changeset.Value).Num)))
	case "remove":
		if node == nil {
			return errUnfit
		}
		return tx.Erase(p)
	case "move":
		l, ok := node.(*object.List)
		if !ok || len(l.Items) < 2 {
			return errUnfit
		}
		return tx.Move(p, e.from%len(l.Items), e.to%len(l.Items))
	case "clear":
		return tx.Clear(p)
	case "put":
		return tx.SetInsert(p, v)
	case "take":
		return tx.SetErase(p, v)
	}
	return fmt.Errorf("unknown edit %q", e.verb)
}

// assign sets a mixed value to a collection as the SDKs do: made, cleared, filled.
func assign(tx *device.Tx, p device.Place, v any) error {
	switch v := v.(type) {
	case device.List:
		if err := tx.Set(p, device.List{}); err != nil {
			return err
		}
		if err := tx.Clear(p); err != nil {
			return err
		}
		for i, item := range v {
			if err := tx.Insert(p.Index(i), item); err != nil {
				return err
			}
		}
		return nil
	case device.Dict:
		if err := tx.Set(p, device.Dict{}); err != nil {
			return err
		}
		if err := tx.Clear(p); err != nil {
			return err
		}
		for _, name := range sortedKeys(v) {
			if err := tx.Set(p.Name(name), v[name]); err != nil {
				return err
			}
		}
		return nil
	}
	return tx.Set(p, v)
}

// place goes to where the edit is to happen, and returns what is there; nil if
// nothing is.
func (e *edit) place(tx *device.Tx) (device.Place, object.Node, error) {
	field, ok := e.path[0].(string)
	class := appSchema.Class(e.ref.Class)
	o := tx.Object(e.ref.Class, e.ref.Key)
	if !ok || class.Properties[field] == nil || o == nil {
		return device.Place{}, nil, errUnfit
	}
	prop := class.Properties[field]
	at, node := device.At(e.ref.Class, e.ref.Key, field), o.Get(prop)
	for i, step := range e.path[1:] {
		last := i == len(e.path)-2
		switch n := node.(type) {
		case *object.List:
			index, ok := step.(int)
			length := len(n.Items)
			if last && e.verb == "insert" {
				length++
			}
			if !ok || length == 0 {
				return device.Place{}, nil, errUnfit
			}
			index %= length
			at, node = at.Index(index), nil
			if index < len(n.Items) {
				node = n.Items[index]
			}
		case *object.Dictionary:
			name, ok := step.(string)
			if !ok {
				return device.Place{}, nil, errUnfit
			}
			at, node = at.Name(name), n.Entries[name]
		case *object.Object:
			name, ok := step.(string)
			var inner *schema.Property
			if c := appSchema.Class(prop.Target); ok && c != nil {
				inner = c.Properties[name]
			}
			if inner == nil {
				return device.Place{}, nil, errUnfit
			}
			prop = inner
			at, node = at.Name(name), n.Get(inner)
		default:
			return device.Place{}, nil, errUnfit
		}
	}
	return at, node, nil
}
