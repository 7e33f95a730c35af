// Package changeset holds the instructions of the Device Sync protocol: what
// one write transaction did, as a list of changes to classes, objects and the
// values inside them. It knows their binary format (Encode, Decode) and how to
// print them, and nothing of merging, storage or networks.
//
// A Changeset is a value: decoding copies everything it needs, so a changeset
// never refers to the buffer it came from.
package changeset
