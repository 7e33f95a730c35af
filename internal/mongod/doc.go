// Package mongod runs real MongoDB servers on this machine: the one that
// `bridge dev` keeps its data in, and those that tests use and kill.
//
// It promises that a started server accepts writes when Start returns, listens
// on 127.0.0.1 only, and ends with this process whatever happens to it. It
// knows nothing of what is stored.
package mongod
