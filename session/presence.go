package session

import (
	"context"
	"errors"
	"time"
)

// ErrPresenceDegraded is returned by Presence.List and Presence.Count when the
// board cannot be reached: what comes with it is this node's own part.
var ErrPresenceDegraded = errors.New("presence board unreachable, this node's own sessions only")

// Attendee is one session as the presence board shows it.
type Attendee struct {
	ID    string    `json:"id"` // unique among the sessions of all nodes
	Node  string    `json:"node"`
	User  string    `json:"user"`
	File  string    `json:"file"`  // the server file
	Ident uint64    `json:"ident"` // the client file; 0 before it is known
	Since time.Time `json:"since"`
}

// Presence is the board on which the nodes of a deployment see each other's
// sessions, and the bell with which one tells the others that a server file
// has moved. It holds nothing that syncing needs: when it is gone, sessions go
// on with what their own node and the history tell them.
//
// All methods may be called from any goroutine. Touch, Remove and Publish
// return at once and cannot fail.
type Presence interface {
	// Touch puts a session on the board, or keeps it there, until the deadline.
	// What it says about the session replaces what was said before.
	Touch(who Attendee, deadline time.Time)

	// Remove takes a session off the board. An unknown id is no mistake.
	Remove(id string)

	// List returns the sessions of all nodes in the order of their ids, and
	// Count how many they are. When the board cannot be reached they answer for
	// this node alone, with an error that wraps ErrPresenceDegraded.
	List(ctx context.Context) ([]Attendee, error)
	Count(ctx context.Context) (int, error)

	// Publish wakes all who subscribed to the server file, on this node and on
	// the others.
	Publish(file string)

	// Subscribe returns a channel that holds a value whenever the file was
	// published since the last value was taken: many wake-ups may come as one,
	// and one may come for nothing, but none is lost while the board is
	// reachable. After an outage each subscriber is woken once. The cancel
	// function ends the subscription; the channel is never closed.
	Subscribe(file string) (wakeups <-chan struct{}, cancel func())

	// Close takes this node's sessions off the board.
	Close() error
}
