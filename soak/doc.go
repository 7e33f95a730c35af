// Package soak runs random sessions of three real Realm clients, a MongoDB
// writer and a built bridge: every kind of write, clients that go off line and
// come back, and at the end three dumps and the documents, which must be the
// same.
//
//	go test ./soak                                    a short run, and the scripts
//	go test ./soak -run Sessions -timeout 0 -sessions 2000 -parallel 3
//	go test ./soak -run Sessions -timeout 0 -sessions 2000 -parallel 3 -defects
//	go test ./soak -run Sessions -seed 1234 -sessions 1
//	go test ./soak -run Script -script FILE
//
// Without -defects no session has a pair of changes that devices are known to
// merge wrongly, and none may diverge or be told of an error. With it they occur
// all the time, and the run tells how often the server's healing was not enough.
//
// A session that fails is shortened, and printed with its seed as a script.
// Scripts in testdata/ are replayed by TestScripts: each is a failure that was
// found in this way and mended. The clients' clocks and threads are real, so a
// seed repeats the operations, and the outcome as a rule.
//
// Which kinds of writes there are follows from the schema; TestKinds fails if the
// sessions leave one out.
//
// # What remains with -defects
//
// Nothing stays different. But in about one session of sixty a client's app is told of
// an error that is not fatal: the client could not integrate a download (BadChangeset,
// "Please contact support"). It held one half of a pair that it had not sent yet, so no
// server can have known of it when it sent the other half. The client's session then
// begins anew, sends what it has, and gets the object whole.
//
//   - A list element is moved on one side, and something inside an element of that
//     list changes on the other (7.2): "ArrayMove to same location", or an index or
//     length that does not fit, in a list below.
//   - Two clients make the same entry of a dictionary of embedded objects (7.3): what
//     one of them writes to a list in it does not fit the other's.
//   - A collection in a list is cleared or assigned on one side, and elements come, go
//     or move in that list on the other (7.4); or a dictionary's entry is removed there
//     (cleared_key): "Clear: Index out of bounds", "Clear: Key not found", or a length
//     that does not fit.
//   - A mixed value becomes a list or a dictionary without a Clear, which SDKs send,
//     against another value (7.5): a length that does not fit.
//
// Rarer still is a compensating write in such a pair: elements that were removed by
// their position in a list which the server has had to replace stay, and the app is
// told that.
//
// The package has no code but tests.
package soak
