// Package soak runs random sessions of three real Realm clients, a MongoDB
// writer and a built bridge: every kind of write, clients that go off line and
// come back, and at the end three dumps and the documents, which must be the
// same.
//
//	go test ./soak                                    a short run, and the scripts
//	go test ./soak -run Sessions -timeout 0 -sessions 2000
//	go test ./soak -run Sessions -timeout 0 -sessions 2000 -defects
//	go test ./soak -run Sessions -seed 1234 -sessions 1
//	go test ./soak -run Script -script FILE
//
// Without -defects no session has a pair of changes that devices are known to
// merge wrongly, and none may diverge. With it they occur all the time, and the
// run tells how often the server's healing was not enough.
//
// A session that fails is shortened, and printed with its seed as a script.
// Scripts in testdata/ are replayed by TestScripts: each is a failure that was
// found in this way and mended. The clients' clocks and threads are real, so a
// seed repeats the operations, and the outcome as a rule.
//
// The package has no code but tests.
package soak
