package soak

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// state is what a client, or MongoDB, holds of a session.
type state map[ref]object

// stateOf reads a client's dump.
func stateOf(d realmclient.Dump, session int) (state, error) {
	names := newNames(session)
	s := state{}
	for _, name := range topClasses {
		for _, o := range d[name] {
			r, err := names.of(name, o["_id"])
			if err != nil {
				return nil, err
			}
			if s[r] != nil {
				return nil, fmt.Errorf("%s is there twice", r)
			}
			fields := object{}
			for k, v := range o {
				if k == "_id" || k == sessionProperty {
					continue
				}
				if fields[k], err = names.node(v); err != nil {
					return nil, fmt.Errorf("%s.%s: %w", r, k, err)
				}
			}
			s[r] = fields
		}
	}
	return s, nil
}

// names turns keys back into the names that scripts have for objects.
type names struct{ byKey map[string]string }

var allNames = map[string][]string{
	thing: {"1", "2", "3", "4"}, other: {"x", "y", "z"}, stone: {"1", "2"}, mark: {"1", "2", "3"},
}

func newNames(session int) *names {
	n := &names{map[string]string{}}
	for c, list := range allNames {
		for _, name := range list {
			n.byKey[keyText(c, ref{c, name}.key(session))] = name
		}
	}
	return n
}

func keyText(class string, key any) string {
	text, err := json.Marshal(key)
	if err != nil {
		panic(err) // keys are made of strings and maps
	}
	return class + string(text)
}

func (n *names) of(class string, key any) (ref, error) {
	name, ok := n.byKey[keyText(class, key)]
	if !ok {
		return ref{}, fmt.Errorf("an object that is not of the session: %s", keyText(class, key))
	}
	return ref{class, name}, nil
}

// node makes a node of a dump's value.
func (n *names) node(v any) (node, error) {
	v, err := n.rename(v)
	if err != nil {
		return nil, err
	}
	return fromJSON(v), nil
}

// rename replaces the keys in links by names.
func (n *names) rename(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		for i := range v {
			x, err := n.rename(v[i])
			if err != nil {
				return nil, err
			}
			v[i] = x
		}
	case map[string]any:
		if l, ok := v["$link"].(map[string]any); ok {
			c, _ := l["class"].(string)
			r, err := n.of(c, l["pk"])
			return map[string]any{"$link": []any{r.class, r.name}}, err
		}
		for k := range v {
			x, err := n.rename(v[k])
			if err != nil {
				return nil, err
			}
			v[k] = x
		}
	}
	return v, nil
}

// refs are the objects of the state, in order.
func (s state) refs() []ref {
	return slices.SortedFunc(maps.Keys(s), func(a, b ref) int { return cmp.Compare(a.String(), b.String()) })
}

// comparableText is the text under which equal values are equal. Sets are sorted.
// -0 is 0 and decimals are as short as can be: a client does not write a number
// over one that is equal to it.
func comparableText(n node) string {
	switch n := n.(type) {
	case scalar:
		return string(plainNumber(n))
	case *set:
		texts := make([]string, len(n.items))
		for i, item := range n.items {
			texts[i] = comparableText(item)
		}
		slices.Sort(texts)
		return `{"$set":[` + strings.Join(texts, ",") + "]}"
	case object:
		out := make([]string, 0, len(n))
		for _, k := range slices.Sorted(maps.Keys(n)) {
			out = append(out, k+":"+comparableText(n[k]))
		}
		return "{" + strings.Join(out, " ") + "}"
	case *list:
		out := make([]string, len(n.items))
		for i, item := range n.items {
			out[i] = comparableText(item)
		}
		return "[" + strings.Join(out, ",") + "]"
	case dict:
		out := make([]string, 0, len(n))
		for _, k := range slices.Sorted(maps.Keys(n)) {
			out = append(out, k+"="+comparableText(n[k]))
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	return text(n)
}

var minusZeros = map[scalar]scalar{`{"$double":"-0"}`: `{"$double":"0"}`, `{"$float":"-0"}`: `{"$float":"0"}`}

// plainNumber makes equal numbers of one type the same.
func plainNumber(s scalar) scalar {
	if zero, is := minusZeros[s]; is {
		return zero
	}
	var d struct {
		Decimal *string `json:"$decimal"`
	}
	if !strings.HasPrefix(string(s), `{"$decimal"`) || json.Unmarshal([]byte(s), &d) != nil {
		return s
	}
	parsed, err := bson.ParseDecimal128(*d.Decimal)
	if err != nil || parsed.IsNaN() || parsed.IsInf() != 0 {
		return s
	}
	digits, exponent, err := parsed.BigInt()
	if err != nil {
		return s
	}
	if digits.Sign() == 0 {
		return tagged("$decimal", "0")
	}
	text := strings.TrimRight(digits.String(), "0")
	return tagged("$decimal", fmt.Sprintf("%sE%d", text, exponent+len(digits.String())-len(text)))
}

// holder is one who holds a state, with a name for people.
type holder struct {
	name  string
	state state
}

// differences says where holders do not hold the same; nothing if they do.
func differences(holders ...holder) string {
	var b strings.Builder
	all := state{}
	for _, h := range holders {
		maps.Copy(all, h.state)
	}
	for _, r := range all.refs() {
		fields := map[string]bool{}
		for _, h := range holders {
			for k := range h.state[r] {
				fields[k] = true
			}
		}
		var missing []string
		for _, h := range holders {
			if h.state[r] == nil {
				missing = append(missing, h.name)
			}
		}
		if len(missing) > 0 {
			fmt.Fprintf(&b, "%s is missing from %s\n", r, strings.Join(missing, ", "))
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			texts := map[string][]string{}
			for _, h := range holders {
				t := comparableText(h.state[r][k])
				texts[t] = append(texts[t], h.name)
			}
			if len(texts) < 2 {
				continue
			}
			fmt.Fprintf(&b, "%s %s\n", r, k)
			for _, h := range holders {
				fmt.Fprintf(&b, "  %-8s %s\n", h.name, comparableText(h.state[r][k]))
			}
		}
	}
	return b.String()
}
