// Package realmclient drives the real Realm sync client, the native library
// that released SDKs ship, so that tests meet what apps use.
//
// A Client is one process (cmd/realmclient) that has loaded the library: one
// device. It takes one JSON command per line on standard input and answers
// each with one line on standard output. This package builds the program,
// starts it, sends commands and says what came of them, the death of the
// process included: the library ends its process on some messages of a server,
// which is a result like another.
//
// # Values
//
// A value of an object is what encoding/json makes of these forms. Equal
// states of a realm have equal dumps.
//
//	null, bool, string    nil, true, "text"
//	int                   {"$int": "42"}; going in, a bare number takes the type of its property
//	float, double         {"$float": "1.5"}, {"$double": "1.5"}, also NaN, +Inf, -Inf
//	decimal128            {"$decimal": "1.5E+3"}
//	data                  {"$binary": "base64"}
//	timestamp             {"$ts": [seconds, nanoseconds]}, both of one sign
//	objectId, uuid        {"$oid": "24 hex digits"}, {"$uuid": "..."}
//	link                  {"$link": {"class": "Dog", "pk": value}}
//	list                  [...]
//	set, dictionary       {"$set": [...]}, {"$dict": {...}}
//	embedded object       {"$embedded": {...}}
package realmclient
