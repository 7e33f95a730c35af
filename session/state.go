package session

import (
	"fmt"

	"github.com/isthmus-sync/isthmus/protocol"
)

// state is where a session is between BIND and UNBIND.
type state uint8

const (
	stateAllocating state = iota // bound, its client file gets an ident
	stateBound                   // bound, the client's IDENT is awaited
	stateActive                  // the client's IDENT was accepted
	stateFailed                  // an error was sent: only UNBIND is awaited
	stateEnded                   // UNBIND was taken
)

func (s state) String() string {
	return [...]string{"allocating", "bound", "active", "failed", "ended"}[s]
}

// legal lists the messages that a session takes in each state. TEST_COMMAND and
// UNBIND are legal from BIND on; BIND is the connection's affair. A session
// that has failed takes everything and heeds only UNBIND: what the client had
// sent before it read the error still arrives.
var legal = map[state]map[string]bool{
	stateAllocating: {"unbind": true, "test_command": true},
	stateBound:      {"unbind": true, "test_command": true, "ident": true},
	stateActive:     {"unbind": true, "test_command": true, "mark": true, "upload": true, "query": true, "json_error": true},
}

// checkOrder refuses a message that is illegal in the state.
func (s state) checkOrder(m protocol.Message) error {
	if s == stateFailed || legal[s][m.Keyword()] {
		return nil
	}
	return &connectionError{protocol.BadMessageOrder, fmt.Sprintf("%s message in a session that is %s", m.Keyword(), s)}
}

// isHistoric reports whether a message belongs to clients that no current SDK
// is. They are not served.
func isHistoric(m protocol.Message) bool {
	switch m.(type) {
	case *protocol.Refresh, *protocol.AllocRequest, *protocol.StateRequest, *protocol.ClientVersionRequest, *protocol.Transact:
		return true
	}
	return false
}
