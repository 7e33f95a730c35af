package schema

import (
	"errors"
	"fmt"
	"strings"
)

// JSONFile is the schema of one collection as App Services exports it.
type JSONFile struct {
	Name string // as errors name the file
	// Schema is a schema.json, or what MarshalJSONSchema makes: the Admin API's
	// object of "schema", "relationships" and "metadata".
	Schema []byte
	// Relationships is a relationships.json. It may be empty.
	Relationships []byte
	// Collection is the MongoDB collection. Empty: that of the metadata, else the title.
	Collection string
	// Asymmetric classes are listed in the sync configuration, not in their
	// schema; the flag in the file, "asymmetric" beside "metadata", is our own.
	Asymmetric bool
}

// ErrBadJSONSchema is what every JSONError wraps.
var ErrBadJSONSchema = errors.New("bad JSON schema")

// JSONError is everything that is wrong with a set of files.
type JSONError struct {
	Problems []JSONProblem
}

// JSONProblem is one thing that is wrong with a file.
type JSONProblem struct {
	File    string
	Pointer string // JSON pointer to the place; empty: the whole file
	Reason  string
	Hint    string // what to write instead; may be empty
}

func (p JSONProblem) String() string {
	text := p.File + p.Pointer + ": " + p.Reason
	if p.Pointer != "" {
		text = p.File + " at " + p.Pointer + ": " + p.Reason
	}
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

func (e *JSONError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return fmt.Sprintf("%v: %s", ErrBadJSONSchema, strings.Join(texts, "\n"))
}

// Unwrap returns ErrBadJSONSchema.
func (e *JSONError) Unwrap() error { return ErrBadJSONSchema }

// relationshipPrefix begins the reference of every relationship:
// #/relationship/SERVICE/DATABASE/COLLECTION.
const relationshipPrefix = "#/relationship/"

// service is the data source that references and metadata name.
const service = "mongodb-atlas"
