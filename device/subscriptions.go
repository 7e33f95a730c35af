package device

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// SubscriptionState is how far a subscription set has got.
type SubscriptionState uint8

// The states, in the order in which a set goes through them. A set ends in one
// of the last three.
const (
	Pending       SubscriptionState = iota // not answered yet
	Bootstrapping                          // a part of its bootstrap has arrived
	AwaitingMark                           // its bootstrap is applied
	Complete                               // the MARK that followed is answered
	Failed                                 // QUERY_ERROR: the state "error" of the SDKs
	Superseded                             // a newer set's bootstrap was applied first
)

func (s SubscriptionState) String() string {
	switch s {
	case Pending:
		return "pending"
	case Bootstrapping:
		return "bootstrapping"
	case AwaitingMark:
		return "awaiting mark"
	case Complete:
		return "complete"
	case Failed:
		return "error"
	case Superseded:
		return "superseded"
	}
	return "unknown"
}

// QueryError is what the server answered to a subscription set.
type QueryError struct {
	Version int64 // of the set
	Message string
}

func (e *QueryError) Error() string {
	return fmt.Sprintf("subscription set %d refused: %s", e.Version, e.Message)
}

// subscriptionSet is one version of all subscriptions of a file.
type subscriptionSet struct {
	version  int64
	queries  map[string]string // class to RQL, without the outer parentheses
	snapshot int64             // the newest local version when it was committed
	state    SubscriptionState
	failure  string
}

// body is the set as QUERY and IDENT carry it: a JSON object, its keys sorted.
func (s *subscriptionSet) body() string {
	clauses := make(map[string]string, len(s.queries))
	for class, rql := range s.queries {
		clauses[class] = "(" + rql + ")"
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(clauses); err != nil {
		panic("device: a map of strings does not marshal: " + err.Error())
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

// subscriptions are the sets of a file that may still matter, by rising
// version. Version 0 is there from the start and asks for nothing.
type subscriptions struct {
	sets   []*subscriptionSet
	newest int64 // version given last; a client reset may have dropped that set
}

func newSubscriptions() subscriptions {
	return subscriptions{sets: []*subscriptionSet{{}}}
}

// add commits a set on top of the local version snapshot.
func (s *subscriptions) add(queries map[string]string, snapshot int64) *subscriptionSet {
	copied := make(map[string]string, len(queries))
	for class, rql := range queries {
		copied[class] = rql
	}
	s.newest++
	set := &subscriptionSet{version: s.newest, queries: copied, snapshot: snapshot}
	s.sets = append(s.sets, set)
	return set
}

func (s *subscriptions) latest() *subscriptionSet { return s.sets[len(s.sets)-1] }

// set returns the set of that version, or nil when there is none (any more).
func (s *subscriptions) set(version int64) *subscriptionSet {
	for _, set := range s.sets {
		if set.version == version {
			return set
		}
	}
	return nil
}

// state of a version. Sets that are gone are superseded.
func (s *subscriptions) state(version int64) (SubscriptionState, error) {
	set := s.set(version)
	switch {
	case set == nil && version <= s.newest:
		return Superseded, nil
	case set == nil:
		return Pending, fmt.Errorf("no subscription set has the version %d", version)
	case set.state == Failed:
		return Failed, &QueryError{Version: version, Message: set.failure}
	}
	return set.state, nil
}

// active is the newest set whose bootstrap is applied: what the file holds. It
// is version 0 without queries when there is none yet.
func (s *subscriptions) active() *subscriptionSet {
	for i := len(s.sets) - 1; i >= 0; i-- {
		if set := s.sets[i]; set.state == AwaitingMark || set.state == Complete {
			return set
		}
	}
	return &subscriptionSet{}
}

// next is the oldest set after a version that still waits for its bootstrap,
// or nil.
func (s *subscriptions) next(after int64) *subscriptionSet {
	for _, set := range s.sets {
		if set.version > after && (set.state == Pending || set.state == Bootstrapping) {
			return set
		}
	}
	return nil
}

// bootstrappable checks that the server may send a bootstrap of that version
// (bootstrap rule 2).
func (s *subscriptions) bootstrappable(version int64) error {
	set := s.set(version)
	switch {
	case set == nil:
		return deadly("bootstrap rule 2", "a bootstrap for query version %d, which does not exist (any more)", version)
	case set.state == Failed:
		return deadly("bootstrap rule 2", "a bootstrap for query version %d, which the server has refused", version)
	case set.state != Pending && set.state != Bootstrapping && set != s.active():
		return deadly("bootstrap rule 2", "a bootstrap for query version %d, which is not the active one", version)
	}
	return nil
}

// begin notes that the first batch of a version's bootstrap is stored.
func (s *subscriptions) begin(version int64) {
	if set := s.set(version); set != nil && set.state == Pending {
		set.state = Bootstrapping
	}
}

// bootstrapped notes that a version's bootstrap is applied. Older sets are
// superseded. A set that was complete stays so.
func (s *subscriptions) bootstrapped(version int64) {
	for i, set := range s.sets {
		if set.version != version {
			continue
		}
		if set.state == Pending || set.state == Bootstrapping {
			set.state = AwaitingMark
		}
		s.sets = append([]*subscriptionSet(nil), s.sets[i:]...)
		return
	}
}

// marked notes that everything asked for has arrived. It reports whether that
// changed a state.
func (s *subscriptions) marked() bool {
	set := s.active()
	if set.state != AwaitingMark {
		return false
	}
	set.state = Complete
	return true
}

// fail notes a QUERY_ERROR.
func (s *subscriptions) fail(version int64, message string) error {
	set := s.set(version)
	if set == nil {
		return deadly("query error", "QUERY_ERROR for query version %d, which does not exist (any more)", version)
	}
	if set.state != Pending && set.state != Bootstrapping {
		return deadly("query error", "QUERY_ERROR for query version %d, which is %v", version, set.state)
	}
	set.state, set.failure = Failed, message
	return nil
}
