package schema

import "github.com/isthmus-sync/isthmus/changeset"

// Instructions returns what makes the whole schema: all classes, then all
// properties, by name.
func (s *Schema) Instructions() changeset.Changeset {
	var out changeset.Changeset
	names := s.ClassNames()
	for _, name := range names {
		out = append(out, s.Classes[name].AddTable())
	}
	for _, name := range names {
		c := s.Classes[name]
		for _, property := range c.PropertyNames() {
			out = append(out, c.AddColumn(c.Properties[property]))
		}
	}
	return out
}

// AddTable returns the instruction that adds the class, without its properties.
func (c *Class) AddTable() changeset.Instruction {
	t := &changeset.Table{Kind: c.Kind}
	if c.Kind != changeset.Embedded {
		t.KeyField, t.KeyType, t.KeyNullable = KeyField, c.KeyType, c.KeyNullable
	}
	return changeset.Instruction{Op: changeset.OpAddTable, Class: c.Name, Table: t}
}

// AddColumn returns the instruction that adds the property to the class. Its
// nullable flag is the one that was learned: devices' merges fail over another
// (rule 3.7).
func (c *Class) AddColumn(p *Property) changeset.Instruction {
	return changeset.Instruction{
		Op: changeset.OpAddColumn, Class: c.Name, Field: p.Name,
		Column: &changeset.Column{Type: p.Type, Nullable: p.Nullable, Collection: p.Collection, Target: p.Target},
	}
}
