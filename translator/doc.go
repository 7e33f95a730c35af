// Package translator stands between objects and documents. It reads a document
// as the object it mirrors (MapDocument), says when a document and an object
// agree (Fingerprint), and turns what a changeset did to an object into the
// smallest write of its document (NewDocument, Edit). It promises that a field
// the schema does not name is never touched, whatever it sits in, and that a
// value is read exactly as its property's type demands or not at all.
//
// It knows nothing of sessions, of WebSockets, or of how changesets are merged.
package translator
