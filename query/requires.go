package query

import (
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Requires returns the values one of which a field must have in any object that
// satisfies the predicate: those of == and IN, joined by AND, or in every branch
// of an OR. ok is false if there is no such requirement. The values have the
// type of the property, or are null; none means that nothing satisfies the
// predicate. Fields of types whose equality isn't that of bits, such as floats,
// are not looked at.
func (p *Predicate) Requires(name string) (values []changeset.Value, ok bool) {
	return required(p.root, name)
}

func required(n node, name string) ([]changeset.Value, bool) {
	switch n := n.(type) {
	case truth:
		return nil, !bool(n)
	case *all:
		var best []changeset.Value
		found := false
		for _, t := range n.terms {
			if values, ok := required(t, name); ok && (!found || len(values) < len(best)) {
				best, found = values, true
			}
		}
		return best, found
	case *some:
		var union []changeset.Value
		there := map[changeset.Value]bool{}
		for _, t := range n.terms {
			values, ok := required(t, name)
			if !ok {
				return nil, false
			}
			for _, v := range values {
				if !there[v] {
					there[v] = true
					union = append(union, v)
				}
			}
		}
		return union, true
	case *test:
		return n.required(name)
	}
	return nil, false
}

func (t *test) required(name string) ([]changeset.Value, bool) {
	if t.relation != equal || t.fold {
		return nil, false
	}
	f, ok := t.left.(*field)
	other := t.right
	if !ok {
		f, ok = t.right.(*field)
		other = t.left
	}
	if !ok || f.name != name || f.many() || !f.hasPlainEquality() {
		return nil, false
	}
	var values []changeset.Value
	switch c := other.(type) {
	case constant:
		values = []changeset.Value{c.value}
	case *constants:
		if t.quantifier != anyOf {
			return nil, false
		}
		values = slices.Clone(c.items)
	default:
		return nil, false
	}
	// Constants of another type, such as 1.5 for an integer, equal nothing.
	return slices.DeleteFunc(values, func(v changeset.Value) bool { return !v.IsNull() && v.Type != f.typ() }), true
}

// hasPlainEquality reports whether equal values of the field are the same
// payload.
func (f *field) hasPlainEquality() bool {
	switch f.typ() {
	case changeset.Int, changeset.Bool, changeset.String, changeset.Binary, changeset.Timestamp, changeset.ObjectID, changeset.UUID:
		return true
	}
	return false
}
