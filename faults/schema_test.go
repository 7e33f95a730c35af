package faults

import (
	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// The classes of the app.
//
// A receipt is made once, has a key of its own and is not touched again, but that
// a MongoDB writer may delete what it has made. A tally's numbers are only ever
// added to, each by one kind of writer. A journal is a list that everybody appends
// lines to, no two of which are equal. The two objects of class pair are only ever
// written together, to say the same. A thing is changed by everybody in every way,
// and moves between lanes, which subscriptions ask for. What is in the archive
// hardly ever changes: it is there to disappear.
const (
	receipt = "Receipt"
	tally   = "Tally"
	journal = "Journal"
	pair    = "Pair"
	thing   = "Thing"
	archive = "Archive"
	attic   = "Attic" // another archive
)

var appSchema = newSchema()

func newSchema() *schema.Schema {
	s := &schema.Schema{Classes: map[string]*schema.Class{}}
	add := func(name string, properties ...schema.Property) {
		c := &schema.Class{Name: name, Kind: changeset.TopLevel, KeyType: changeset.String, Properties: map[string]*schema.Property{}}
		for i := range properties {
			c.Properties[properties[i].Name] = &properties[i]
		}
		s.Classes[name] = c
	}
	number := func(name string) schema.Property { return schema.Property{Name: name, Type: changeset.Int} }
	text := func(name string) schema.Property { return schema.Property{Name: name, Type: changeset.String} }
	add(receipt, text("by"), number("number"), text("text"))
	add(tally, number("devices"), number("mongodb"))
	add(journal, schema.Property{Name: "lines", Type: changeset.String, Collection: changeset.ListOf})
	add(pair, number("n"), text("by"))
	add(thing, number("lane"), number("count"), schema.Property{Name: "text", Type: changeset.String, Nullable: true},
		schema.Property{Name: "tags", Type: changeset.String, Collection: changeset.SetOf},
		schema.Property{Name: "items", Type: changeset.Int, Collection: changeset.ListOf},
		schema.Property{Name: "extra", Type: changeset.Mixed, Nullable: true, Collection: changeset.DictionaryOf})
	add(archive, number("number"), text("text"))
	add(attic, number("number"), text("text"))
	return s
}

// queryable are the fields that subscriptions ask for.
var queryable = []string{"by", "lane"}

const lanes = 4

func key(k string) changeset.Key { return changeset.StringKey(k) }
