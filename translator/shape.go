package translator

import (
	"fmt"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

// shapeVersion goes up when documents are read otherwise than by the version of
// the bridge before, so that what was unsynced is looked at again.
const shapeVersion = 1

// shapeOf is a text that changes when documents of the class read otherwise.
func shapeOf(s *schema.Schema, c *schema.Class) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %q:", shapeVersion, collectionName(c))
	hasMixed := false
	eachClass(s, c, func(c *schema.Class) {
		fmt.Fprintf(&b, "%q:", c.Name)
		for _, name := range c.PropertyNames() {
			p := c.Properties[name]
			fmt.Fprintf(&b, "%q", name)
			if d, ok := defaultOf(p); ok {
				fmt.Fprintf(&b, "=%v", d)
			}
			b.WriteByte(',')
			hasMixed = hasMixed || p.Type == changeset.Mixed
		}
	})
	if hasMixed {
		// A reference in a mixed property is one only to a collection that is synced.
		for _, name := range s.ClassNames() {
			if other := s.Class(name); other.Kind == changeset.TopLevel {
				fmt.Fprintf(&b, "%q", collectionName(other))
			}
		}
	}
	return b.String()
}

// requiredOf returns the required properties of the class and of what it embeds.
func requiredOf(s *schema.Schema, c *schema.Class) []history.Property {
	var out []history.Property
	eachClass(s, c, func(c *schema.Class) {
		for _, name := range c.PropertyNames() {
			if requiresValue(c.Properties[name]) {
				out = append(out, history.Property{Class: c.Name, Name: name})
			}
		}
	})
	return out
}

// eachClass calls fn with the class and those that it embeds, at any depth, each
// once.
func eachClass(s *schema.Schema, c *schema.Class, fn func(*schema.Class)) {
	seen := map[string]bool{}
	var visit func(c *schema.Class)
	visit = func(c *schema.Class) {
		if seen[c.Name] {
			return
		}
		seen[c.Name] = true
		fn(c)
		for _, name := range c.PropertyNames() {
			if p := c.Properties[name]; s.IsEmbedded(p) {
				visit(s.Class(p.Target))
			}
		}
	}
	visit(c)
}
