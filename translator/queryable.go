package translator

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Queryable implements history.Mirror.
func (m *Mirror) Queryable(s *schema.Schema, c *schema.Class, fields []string, o *object.Object) bson.Raw {
	mp := mapper{m.mapping, s}
	start, dst := openDocument(make([]byte, 0, 64))
	for _, name := range fields {
		p, node := c.Properties[name], o.Fields[name]
		if p == nil || isInitial(p, node) {
			continue
		}
		if set, ok := node.(*object.Set); ok {
			// An array of a document leaves elements out that it can't tell apart.
			list := &object.List{Items: make([]object.Node, len(set.Items))}
			for i, v := range set.Items {
				list.Items[i] = v
			}
			node = list
		}
		var refused *RefusedValue
		if dst, refused = mp.appendElement(dst, p, name, node); refused != nil {
			return nil
		}
	}
	return closeDocument(dst, start)
}
