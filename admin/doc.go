// Package admin serves what operators and their tools ask of a node: whether it
// lives (/healthz), whether it may be sent devices (/readyz), its figures
// (/metrics), and where the log entry of a request is (/logs, which errors that
// devices get link to).
//
// It knows nothing of what it checks and counts: others hand in Checks and
// register collectors.
package admin
