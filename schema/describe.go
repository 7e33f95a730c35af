package schema

import (
	"github.com/isthmus-sync/isthmus/changeset"
)

// describe says for people what a property is: "string", "optional int",
// "list of optional string", "dictionary of links to Person".
func describe(p *Property) string {
	element := typeName(p.Type)
	if p.Type == changeset.Link {
		element = "link to " + p.Target
		if p.Collection != changeset.Single {
			element = "links to " + p.Target
		}
	} else if p.Type != changeset.Mixed && p.Nullable {
		element = "optional " + element
	}
	if p.Collection == changeset.Single {
		return element
	}
	return p.Collection.String() + " of " + element
}

func describeColumn(c *changeset.Column) string {
	if c == nil {
		return ""
	}
	return describe(propertyOf("", c))
}

// describe says for people what a class is: "embedded class", "asymmetric class
// with a primary key of type optional string".
func (c *Class) describe() string {
	text := "class with a primary key of type "
	switch c.Kind {
	case changeset.Embedded:
		return "embedded class"
	case changeset.Asymmetric:
		text = "asymmetric " + text
	}
	if c.KeyNullable {
		text += "optional "
	}
	return text + typeName(c.KeyType)
}

func describeTable(t *changeset.Table) string {
	if t == nil {
		return ""
	}
	return (&Class{Kind: t.Kind, KeyType: t.KeyType, KeyNullable: t.KeyNullable}).describe()
}

func typeName(t changeset.Type) string {
	if t == changeset.Mixed {
		return "mixed"
	}
	return t.String()
}

// hostedTypeName is the hosted service's name of a type in its messages.
func hostedTypeName(t changeset.Type) string {
	switch t {
	case changeset.Mixed:
		return "Mixed"
	case changeset.Int:
		return "Int"
	case changeset.Bool:
		return "Bool"
	case changeset.String:
		return "String"
	case changeset.Binary:
		return "Data"
	case changeset.Timestamp:
		return "Date"
	case changeset.Float:
		return "Float"
	case changeset.Double:
		return "Double"
	case changeset.Decimal:
		return "Decimal"
	case changeset.Link:
		return "Link"
	case changeset.ObjectID:
		return "ObjectID"
	case changeset.UUID:
		return "UUID"
	}
	return t.String()
}
