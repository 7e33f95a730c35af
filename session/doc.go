// Package session serves the sync route: one WebSocket carries any number of
// sessions, and each session keeps one client file in step with its server
// file.
//
// Use: give NewServer the server files and an Authenticator, mount the Server on
// the sync route, and call Shutdown at the end.
//
// Design: a connection has one goroutine that reads, parses and hands messages
// to their sessions, and each session has one goroutine that does everything
// else: it takes the client's messages in order, gives uploads to the history,
// and writes downloads. Since only that goroutine writes for its session, what
// a session sends is in order by construction: nothing follows an error, and a
// BIND gets exactly one terminator, an error or UNBOUND.
//
// What a session may see is decided in one place, the view; what a history
// entry means to a view, in another, the delivery, which all sessions with one
// view share. Which message is legal when is one table, in state.go.
//
// The package promises that whatever a client sends disturbs no other
// connection, and that nothing is acknowledged which is not durable. It knows
// nothing of BSON, of MongoDB or of how changesets are merged.
package session
