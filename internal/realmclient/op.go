package realmclient

import "encoding/json"

// Op is one operation of a write transaction. Each names a class and, but for
// those on a whole class, the primary key of an object.
//
//	create                   Set (in the order of the schema), Upsert
//	delete, delete_all (of the class), delete_query (Query)
//	set                      Path, Value, Default; a list index overwrites, a dictionary key
//	                         inserts or overwrites, a collection is cleared and filled
//	add_int                  Path, By
//	list_insert, list_erase  Path, Index
//	list_append, list_move   Path; Value; From, To
//	dict_erase               Path, ending with the key
//	set_insert, set_erase    Path, Value
//	clear, remove_all        Path; remove_all deletes the linked objects, too
//	remove_table             a class that the open schema does not name
type Op struct {
	Op      string         `json:"op"`
	Class   string         `json:"class"`
	PK      any            `json:"pk,omitempty"`
	Set     map[string]any `json:"set,omitempty"`
	Path    []any          `json:"path,omitempty"` // a property, then list indices, dictionary keys, properties
	Value   any            `json:"value,omitempty"`
	Index   json.Number    `json:"index,omitempty"`
	From    json.Number    `json:"from,omitempty"`
	To      json.Number    `json:"to,omitempty"`
	By      json.Number    `json:"by,omitempty"`
	Default bool           `json:"default,omitempty"`
	Upsert  bool           `json:"upsert,omitempty"`
	Query   string         `json:"query,omitempty"`
}

// Create makes an object with those properties.
func Create(class string, pk any, properties map[string]any) Op {
	return Op{Op: "create", Class: class, PK: pk, Set: properties}
}

// Update gives one property of an object a value.
func Update(class string, pk any, property string, value any) Op {
	return Op{Op: "set", Class: class, PK: pk, Path: []any{property}, Value: value}
}

// Delete deletes an object.
func Delete(class string, pk any) Op { return Op{Op: "delete", Class: class, PK: pk} }
