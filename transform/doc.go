// Package transform merges changesets that were made without knowledge of each
// other. It holds the rules of operational transformation that every Realm
// client carries, so that a server and its devices, merging the same changes
// in different orders, end in the same state.
//
// It promises to be pure and deterministic: the result of Merge depends on its
// arguments alone, nothing it is given is written to except the fields of the
// entries, and no input makes it panic. It knows nothing of object states, of
// schemas beyond what the instructions themselves say, of histories, client
// files, storage or clocks.
//
// # Using it
//
// An Entry is a changeset with its order key: the timestamp and the file of
// its origin. Merge takes two runs of entries made on the same base and
// rewrites both: an incoming entry then fits on top of all local ones, a local
// entry (now the "reciprocal") fits on top of all incoming ones.
//
//	err := transform.Merge(window, upload, transform.ServerRules)
//
// # How it works
//
// Every local instruction meets every incoming one, row by row (merge.go). A
// meeting may rewrite or discard either, or put an instruction in front of one
// (rule S4). Which meetings can have an effect is known beforehand (index.go),
// so that work on unrelated objects costs next to nothing.
//
// The names of the rules (S1, O2, V1, L7, …) are those of the specification of
// merging that this project is built on. They live in rules_schema.go (S1 to
// S8), rules_object.go (O1, O2), rules_value.go (V1 to V4), rules_list.go (L1
// to L9) and rules_set.go (C1, C2, T1); nested.go holds what an instruction
// does to one that lies deeper, meeting.go decides which rule applies.
//
// Where devices are known to merge wrongly, rules.go has a switch, and
// defect.go says which objects of a merge are affected.
package transform
