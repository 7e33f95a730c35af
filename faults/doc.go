// Package faults breaks what a built bridge stands on while devices and MongoDB
// writers work: the bridge itself is killed, one of two nodes, MongoDB's primary;
// the change stream's place is lost, a collection disappears, MongoDB stands
// still, Redis is gone.
//
// Everything that is written is noted down in a way that shows afterwards whether
// it is there exactly once: an object with a key of its own, a line of a list that
// no other line equals, an increment of a counter. After the fault everything
// comes to rest, and then
//   - documents, object states and a replay of the history are the same,
//   - every device holds exactly what its subscriptions say of them,
//   - all that was acknowledged is there, once; what may have failed at most once,
//   - no device was told of anything worse than a lost connection, and what is
//     written in one transaction was never seen in part.
//
// Short runs are for every day; the flags make long ones:
//
//	go test ./faults
//	go test ./faults -run Kill -timeout 0 -kills 200
//	go test ./faults -run 'StepDown|Token' -timeout 0 -rounds 20
//	go test ./faults -run Kill -seed 1234
//
// Threads and clocks are real, so a seed repeats what is done, and the outcome
// only as a rule. The package has no code but tests.
package faults
