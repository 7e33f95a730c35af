package realmclient

// Class is a class of the schema that a realm is opened with.
type Class struct {
	Name       string     `json:"name"`
	Kind       string     `json:"kind,omitempty"` // top (the default), embedded, asymmetric
	Properties []Property `json:"props"`
}

// Property is a property of a class. What the rules of schemas leave no choice
// about (a mixed value, a single link and a dictionary of links are nullable)
// need not be said.
type Property struct {
	Name       string `json:"name"`
	Type       string `json:"type"`                 // int bool float double string data timestamp decimal128 objectId uuid mixed object
	Collection string `json:"collection,omitempty"` // list, set, dictionary
	Target     string `json:"target,omitempty"`     // the class of an object
	Nullable   bool   `json:"nullable,omitempty"`
	PrimaryKey bool   `json:"pk,omitempty"`
	Indexed    bool   `json:"indexed,omitempty"`
	FullText   bool   `json:"fulltext,omitempty"`
}

// Subscription is a query that a flexible realm follows.
type Subscription struct {
	Class string `json:"class"`
	Name  string `json:"name,omitempty"`
	Query string `json:"query,omitempty"` // empty means TRUEPREDICATE
}

// SubscriptionSet is the newest set of subscriptions of a realm.
type SubscriptionSet struct {
	Version int64          `json:"version"`
	State   string         `json:"state"` // uncommitted pending bootstrapping complete error superseded awaiting_mark
	Error   string         `json:"error,omitempty"`
	Subs    []Subscription `json:"subs,omitempty"`
}
