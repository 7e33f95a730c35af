// Package e2e holds the tests of the whole: the built bridge, a real MongoDB,
// and the real Realm sync client that apps ship with. It has no code of its own.
//
// E2E_RACE=1 builds the bridge with the race detector.
package e2e
