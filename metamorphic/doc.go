// Package metamorphic tests convergence: random lists of operations (devices
// that write, subscribe, lose their network; a MongoDB writer; nodes that
// restart; trimming) are run over the whole server in one process, each list
// under several configurations, and at the end every device holds its view of
// the object states, the documents say the same, and the history replays to it.
//
//	go test ./metamorphic                                  a short run
//	go test ./metamorphic -run Soak -timeout 0 -duration 1h
//	go test ./metamorphic -run Soak -seed 7 -runs 1 -ops 80
//
// A run that fails is shortened to the operations that it takes to fail, and
// printed as a script. Scripts in testdata/ are replayed by TestScripts: each is
// a defect that was found in this way and mended.
//
// TestModel plays the same kind of lists with the devices' files and a
// miniature server, without network and MongoDB: thousands in a second, and
// each exactly repeatable.
//
// The package has no code but tests.
package metamorphic
