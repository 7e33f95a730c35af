// Package notation writes changesets as JSON that people can read and write:
// for test scripts, and for tools that show or make changesets.
//
// A changeset is an array of instructions:
//
//	{"op":"AddTable","class":"C","pk":{"field":"_id","type":"int","nullable":false}}
//	{"op":"AddTable","class":"C","kind":"asymmetric","pk":{…}}
//	{"op":"AddTable","class":"C","kind":"embedded"}
//	{"op":"EraseTable","class":"C"}
//	{"op":"AddColumn","class":"C","field":"f","type":"int","nullable":false,"collection":"single"}
//	{"op":"AddColumn","class":"C","field":"f","type":"link","target":"D",…}
//	{"op":"EraseColumn","class":"C","field":"f"}
//	{"op":"CreateObject","class":"C","pk":PK}
//	{"op":"EraseObject","class":"C","pk":PK}
//	{"op":"Update","class":"C","pk":PK,"path":["f",…],"value":V}      with "prior_size":N if the path ends
//	                                                                 in an index; else "default":true, if so
//	{"op":"AddInteger","class":"C","pk":PK,"path":[…],"value":1}
//	{"op":"ArrayInsert","class":"C","pk":PK,"path":[…,i],"value":V,"prior_size":N}
//	{"op":"ArrayMove","class":"C","pk":PK,"path":[…,i],"to":j,"prior_size":N}
//	{"op":"ArrayErase","class":"C","pk":PK,"path":[…,i],"prior_size":N}
//	{"op":"Clear","class":"C","pk":PK,"path":[…],"collection":"list"}
//	{"op":"SetInsert","class":"C","pk":PK,"path":[…],"value":V}
//	{"op":"SetErase","class":"C","pk":PK,"path":[…],"value":V}
//
// The first element of a path is the property; further ones are strings for
// dictionary keys and properties of embedded objects, integers for list indices.
//
//	PK  null, integer, string, {"$oid":hex}, {"$uuid":text}, {"$gkey":[hi,lo]}
//	V   null, bool, integer, string, {"$bin":hex}, {"$ts":[seconds,nanoseconds]}, {"$float":x}, {"$double":x},
//	    {"$dec":"12.50"}, {"$decraw":[coefficient,exponent,sign]}, {"$link":[class,PK]}, {"$oid":hex},
//	    {"$uuid":text}, {"$erased":true}, {"$new":"object"}, and so "list", "dictionary", "set"
//
// Floats and doubles that JSON cannot write are the strings "NaN", "Infinity"
// and "-Infinity".
package notation
