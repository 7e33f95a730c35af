package schema

import (
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Change is one difference of two schemas.
type Change struct {
	Class    string
	Property string // empty: the class itself
	Breaking bool   // needs a new history, and every client a reset
	Old, New string // the definitions; empty: there is none
}

func (c Change) String() string {
	where := fmt.Sprintf("class %q", c.Class)
	if c.Property != "" {
		where += fmt.Sprintf(", property %q", c.Property)
	}
	switch {
	case c.Old == "":
		return where + " added: " + c.New
	case c.New == "":
		return where + " removed: " + c.Old
	}
	return fmt.Sprintf("%s was %s, is %s", where, c.Old, c.New)
}

// Diff returns what the schema changes over an older one, sorted by class and
// property. What was added is additive; what was removed or redefined breaks,
// but for defaults and the width of integers, which devices know nothing of.
func (s *Schema) Diff(old *Schema) []Change {
	var out []Change
	for _, name := range unionOfNames(s.ClassNames(), old.ClassNames()) {
		now, before := s.Class(name), old.Class(name)
		switch {
		case now == nil:
			out = append(out, Change{Class: name, Breaking: true, Old: before.describe()})
		case before == nil:
			out = append(out, Change{Class: name, New: now.describe()})
			out = append(out, now.diff(&Class{})...)
		default:
			if a, b := now.definition(), before.definition(); a != b {
				out = append(out, Change{Class: name, Breaking: true, Old: b, New: a})
			}
			out = append(out, now.diff(before)...)
		}
	}
	return out
}

// definition describes a class and where its documents are.
func (c *Class) definition() string {
	if c.Kind == changeset.Embedded || c.CollectionName() == c.Name {
		return c.describe()
	}
	return c.describe() + fmt.Sprintf(" in collection %q", c.CollectionName())
}

// CollectionName returns the MongoDB collection of the class; empty for embedded ones.
func (c *Class) CollectionName() string {
	switch {
	case c.Kind == changeset.Embedded:
		return ""
	case c.Collection == "":
		return c.Name
	}
	return c.Collection
}

// diff is Diff for the properties of one class.
func (c *Class) diff(old *Class) []Change {
	var out []Change
	for _, name := range unionOfNames(c.PropertyNames(), old.PropertyNames()) {
		now, before := c.Properties[name], old.Properties[name]
		change := Change{Class: c.Name, Property: name}
		if now != nil {
			change.New = describe(now)
		}
		if before != nil {
			change.Old = describe(before)
		}
		switch {
		case before == nil:
		case now == nil, !sameDefinition(now, before):
			change.Breaking = true
		case now.Int32 != before.Int32 || !sameDefault(now, before):
			change.New += storage(now)
			change.Old += storage(before)
		default:
			continue
		}
		out = append(out, change)
	}
	return out
}

// sameDefinition reports whether two properties are the same to devices.
func sameDefinition(a, b *Property) bool {
	return a.Type == b.Type && a.Collection == b.Collection && a.Target == b.Target && a.AcceptsNull() == b.AcceptsNull()
}

func sameDefault(a, b *Property) bool {
	if a.Default == nil || b.Default == nil {
		return a.Default == b.Default
	}
	return *a.Default == *b.Default
}

// storage says for people what devices know nothing of.
func storage(p *Property) string {
	text := ""
	if p.Int32 {
		text += " of 32 bits"
	}
	if p.Default != nil {
		text += " with default " + p.Default.String()
	}
	return text
}

// unionOfNames merges two sorted lists.
func unionOfNames(a, b []string) []string {
	out := make([]string, 0, max(len(a), len(b)))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}
