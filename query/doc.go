// Package query is the Realm Query Language of subscriptions. It parses a
// query, binds it to a class, says of an object whether it satisfies the query
// exactly as the device that asked would say, and makes a MongoDB filter that
// finds all objects which may satisfy it.
//
//	texts, err := query.ParseBody(body)               // class → query
//	q, err := query.Parse(texts["Task"])
//	p, err := q.Bind(schema, "Task")
//	p.Match(key, object)
//	p.Filter("q.")
//
// A Predicate's Match is the truth. Its Filter may find too much, never too
// little: whatever it finds has to be matched.
//
// The package knows nothing of sessions, storage or the MongoDB driver: filters
// are plain trees, with the field's values in them as payloads.
package query
