// Package protocol holds the messages of the Device Sync protocol, versions 2
// to 14, in partition and in flexible mode: it parses and formats every message
// of both sides, and it knows the error codes, the actions, the close codes and
// the sub-protocol tokens.
//
// A Codec stands for what the two sides agreed on when they connected. Its
// ParseClient reads what a client sent, ParseServer what a server sent, and
// Append writes any message. What a message's rules make fatal for the client's
// process (an error code that kills it, a rejected object whose key it cannot
// read) Append refuses to write.
//
// The package promises that no input makes it panic, and that it allocates no
// more than a small multiple of the bytes it was given or, for compressed
// bodies, of Codec.MaxBody. It refuses to know in which order messages may come
// (that is the session's affair) and what is inside a changeset.
package protocol
