// Package history keeps the server files of an app: their linear history of
// changesets, the client files that sync with them, and the object states as of
// the head. It merges what devices and MongoDB send into that history and
// commits history, object states, documents and client files together.
//
// Use: Open a Store, take a File from it, Allocate an ident for a new client
// file, Attach a session to one, hand its uploads to Client.Upload, and read
// the File's Entries after a cursor to build downloads. Snapshot reads object
// states and head as of one time, for bootstraps. Ingest takes hints of foreign
// writes.
//
// Design: one goroutine for each File (the committer) takes what waits, merges
// it in memory and commits it in one MongoDB transaction whose first write
// compares and sets the head. Whoever loses that race loads what the winner
// wrote and tries again, so any number of nodes may commit to one File. All a
// node holds in memory is a cache as of a head it knows.
//
// Versions: history versions count entries; on the wire they are multiplied by
// Stride, and the numbers in between belong to bootstraps of one client file.
// In this package a "wire version" is always named so.
//
// The package knows nothing of WebSockets or of how documents map to objects:
// the latter is the Mirror's.
package history
