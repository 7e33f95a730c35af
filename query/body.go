package query

import (
	"encoding/json"
	"fmt"
)

// MaxText is the length in bytes of the longest query of one class.
const MaxText = 256 << 10

// ParseBody reads the body of QUERY and IDENT messages: a JSON object of class
// names and the text of each class's query.
func ParseBody(body []byte) (map[string]string, error) {
	var texts map[string]string
	if err := json.Unmarshal(body, &texts); err != nil || texts == nil {
		return nil, fmt.Errorf("%w: the body is not a JSON object of class names and query texts", ErrBadQuery)
	}
	for class, text := range texts {
		if len(text) > MaxText {
			return nil, &MatchError{class, -1, fmt.Sprintf("the query has %d bytes, more than the %d allowed", len(text), MaxText)}
		}
	}
	return texts, nil
}
