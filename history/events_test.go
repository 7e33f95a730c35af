package history_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// allSchema is a class with a property of every kind that a foreign write can
// change in a way of its own.
const allSchema = `[{"op":"AddTable","class":"Part","kind":"embedded"},
	{"op":"AddColumn","class":"Part","field":"n","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"Part","field":"m","type":"int","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"Part","field":"t","type":"string","nullable":true,"collection":"single"},
	{"op":"AddTable","class":"All","pk":{"field":"_id","type":"int","nullable":false}},
	{"op":"AddColumn","class":"All","field":"i","type":"int","nullable":false,"collection":"single"},
	{"op":"AddColumn","class":"All","field":"s","type":"string","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"All","field":"d","type":"timestamp","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"All","field":"list","type":"int","nullable":false,"collection":"list"},
	{"op":"AddColumn","class":"All","field":"loose","type":"int","nullable":true,"collection":"list"},
	{"op":"AddColumn","class":"All","field":"set","type":"int","nullable":false,"collection":"set"},
	{"op":"AddColumn","class":"All","field":"dict","type":"string","nullable":false,"collection":"dictionary"},
	{"op":"AddColumn","class":"All","field":"part","type":"link","target":"Part","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"All","field":"parts","type":"link","target":"Part","nullable":false,"collection":"list"},
	{"op":"AddColumn","class":"All","field":"any","type":"mixed","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"All","field":"to","type":"link","target":"All","nullable":true,"collection":"single"},
	{"op":"AddColumn","class":"All","field":"tos","type":"link","target":"All","nullable":false,"collection":"list"}]`

// eventRow is a foreign write to one document, and what becomes of it.
type eventRow struct {
	name   string
	before string // the document's fields besides _id, in extended JSON; empty: there is none
	// do makes the write. Filter names the document.
	do       func(ctx context.Context, coll *mongo.Collection, filter bson.D) error
	want     []string // instructions, with # for "All[the document's key]"
	unsynced bool     // the document no longer fits
}

func fields(text string) bson.D {
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte("{"+text+"}"), false, &d); err != nil {
		panic(fmt.Sprint(text, ": ", err))
	}
	return d
}

// updating makes an update, which is an update document or, in brackets, a pipeline.
func updating(text string) func(context.Context, *mongo.Collection, bson.D) error {
	return func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		var update any = nil
		if strings.HasPrefix(text, "[") {
			update = fields(`"a":` + text)[0].Value
		} else {
			update = fields(text)
		}
		res, err := coll.UpdateOne(ctx, filter, update)
		if err == nil && res.MatchedCount != 1 {
			err = fmt.Errorf("matched %d", res.MatchedCount)
		}
		return err
	}
}

// among makes an update with array filters, or one whose filter has more fields.
func among(update, more string, filters ...string) func(context.Context, *mongo.Collection, bson.D) error {
	return func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		opts := options.UpdateOne()
		if len(filters) > 0 {
			var all []any
			for _, f := range filters {
				all = append(all, fields(f))
			}
			opts.SetArrayFilters(all)
		}
		res, err := coll.UpdateOne(ctx, append(slices.Clone(filter), fields(more)...), fields(update), opts)
		if err == nil && res.MatchedCount != 1 {
			err = fmt.Errorf("matched %d", res.MatchedCount)
		}
		return err
	}
}

func replacing(text string) func(context.Context, *mongo.Collection, bson.D) error {
	return func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		_, err := coll.ReplaceOne(ctx, filter, fields(text))
		return err
	}
}

func inserting(text string) func(context.Context, *mongo.Collection, bson.D) error {
	return func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		_, err := coll.InsertOne(ctx, append(slices.Clone(filter), fields(text)...))
		return err
	}
}

const (
	fullDocument = `"i":1,"s":"a","d":{"$date":{"$numberLong":"1500"}},"list":[1,2],"loose":[null,3],"set":[5,4,5],"dict":{"k":"v","e":""},` +
		`"part":{"n":1},"parts":[{"n":2,"t":"x"},{"n":3}],"any":[1,{"a":true}],"to":7,"tos":[8,9]`
)

// Where each kind of event is tested that a change stream may bring. What an update
// says of itself (updatedFields, removedFields, truncatedArrays,
// disambiguatedPaths) is not read; the rows here make updates of all these kinds.
//
//	insert                        eventRows "insert…", "upsert"; TestForeignWritesToMany "bulk write", "$merge"
//	replace                       eventRows "replace", "find and replace"
//	update, updatedFields         eventRows "$set…", "$inc"…, and every "… set…" of a collection
//	update, removedFields         eventRows "$unset…", "$rename…", "… unset", "pipeline that unsets"
//	update, truncatedArrays       eventRows "pipeline that truncates", "… truncated"
//	update, disambiguatedPaths    eventRows "key that looks like an index", "field of others with a dot", "… at the length"
//	delete                        eventRows "delete", "find and delete"; TestExpiredDocuments
//	many events at once           TestForeignWritesToMany "update of many", "deletion of …"
//	multi-document transactions   TestForeignTransactions, TestForeignTransactionIsNeverHalf
//	drop, create                  TestForeignWritesToMany "drop and restore", TestSlowRestore
//	rename (away, back)           TestForeignWritesToMany "renaming away and back"
//	rename onto                   TestForeignWritesToMany "renaming onto", "$out", TestReplacedCollectionIsNotWaitedFor
//	dropDatabase                  TestForeignWritesToMany "drop of the database and restore"
//	invalidate                    TestStreamOfTheDatabaseAlone
//	modify, createIndexes         TestForeignWritesToMany "index and validator"
//	a lost place, a lost oplog    TestLostToken, TestOplogIsRolledOver
//	documents near 16 MB          TestLargeDocuments
//	shardCollection and the like  none: there is no sharded cluster to run them on
//
// eventRows are the kinds of write to one document, each with every kind of
// property that it does something else to.
var eventRows = []eventRow{
	{"insert", "", inserting(fullDocument), []string{
		"CreateObject #",
		"Update #.any = <list>", "ArrayInsert #.any[0] = int:1 prior_size=0", "ArrayInsert #.any[1] = <dict> prior_size=1", "Update #.any[1].'a' = bool:true",
		"Update #.d = ts:1.500000000", "Update #.dict.'e' = str:''", "Update #.dict.'k' = str:'v'", "Update #.i = int:1",
		"ArrayInsert #.list[0] = int:1 prior_size=0", "ArrayInsert #.list[1] = int:2 prior_size=1",
		"ArrayInsert #.loose[0] = null prior_size=0", "ArrayInsert #.loose[1] = int:3 prior_size=1",
		"Update #.part = <embedded>", "Update #.part.'n' = int:1",
		"ArrayInsert #.parts[0] = <embedded> prior_size=0", "Update #.parts[0].'n' = int:2", "Update #.parts[0].'t' = str:'x'",
		"ArrayInsert #.parts[1] = <embedded> prior_size=1", "Update #.parts[1].'n' = int:3",
		"Update #.s = str:'a'", "SetInsert #.set int:5", "SetInsert #.set int:4",
		"Update #.to = link:All[7]", "ArrayInsert #.tos[0] = link:All[8] prior_size=0", "ArrayInsert #.tos[1] = link:All[9] prior_size=1",
	}, false},
	{"insert of what lacks optional fields", "", inserting(`"i":0,"theirs":[1]`), []string{"CreateObject #"}, false},
	{"insert of what does not fit", "", inserting(`"i":"1"`), nil, true},
	{"upsert", "", func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		_, err := coll.UpdateOne(ctx, filter, fields(`"$set":{"s":"u"},"$setOnInsert":{"i":4}`), options.UpdateOne().SetUpsert(true))
		return err
	}, []string{"CreateObject #", "Update #.i = int:4", "Update #.s = str:'u'"}, false},

	{"replace", `"i":1,"s":"a","list":[1]`, replacing(`"i":2,"list":[1,2],"theirs":1`),
		[]string{"Update #.i = int:2", "ArrayInsert #.list[1] = int:2 prior_size=1", "Update #.s = null"}, false},
	{"find and replace", `"i":1`, func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		return coll.FindOneAndReplace(ctx, filter, fields(`"i":3`)).Err()
	}, []string{"Update #.i = int:3"}, false},
	{"delete", `"i":1`, func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		_, err := coll.DeleteOne(ctx, filter)
		return err
	}, []string{"EraseObject #"}, false},
	{"find and delete", `"i":1`, func(ctx context.Context, coll *mongo.Collection, filter bson.D) error {
		return coll.FindOneAndDelete(ctx, filter).Err()
	}, []string{"EraseObject #"}, false},

	{"$set of a scalar", `"i":1`, updating(`"$set":{"i":2}`), []string{"Update #.i = int:2"}, false},
	{"$set of the same value", `"i":1`, updating(`"$set":{"i":1}`), nil, false},
	{"$set of the same value in another width", `"i":1`, updating(`"$set":{"i":{"$numberLong":"1"},"s":null}`), nil, false},
	{"$set of a field of others", `"i":1`, updating(`"$set":{"theirs":{"i":2}}`), nil, false},
	{"field of others with a dot", `"i":1,"dict":{"a":"x"}`, updating(`[{"$replaceWith":{"$setField":{"field":"dict.a","input":"$$ROOT","value":"y"}}},{"$set":{"i":2}}]`), []string{"Update #.i = int:2"}, false},
	{"$set to null", `"i":1,"s":"a"`, updating(`"$set":{"s":null}`), []string{"Update #.s = null"}, false},
	{"$set of a required field to null", `"i":1`, updating(`"$set":{"i":null}`), nil, true},
	{"$set to another type", `"i":1`, updating(`"$set":{"i":"1"}`), nil, true},
	{"$unset of an optional field", `"i":1,"s":"a"`, updating(`"$unset":{"s":""}`), []string{"Update #.s = null"}, false},
	{"$unset of a required field", `"i":1`, updating(`"$unset":{"i":""}`), nil, true},
	{"$inc", `"i":40`, updating(`"$inc":{"i":2}`), []string{"Update #.i = int:42"}, false},
	{"$mul", `"i":40`, updating(`"$mul":{"i":{"$numberDouble":"0.5"}}`), []string{"Update #.i = int:20"}, false},
	{"$mul to a fraction", `"i":41`, updating(`"$mul":{"i":{"$numberDouble":"0.5"}}`), nil, true},
	{"$max", `"i":1`, updating(`"$max":{"i":5},"$min":{"s":"z"}`), []string{"Update #.i = int:5", "Update #.s = str:'z'"}, false},
	{"$bit", `"i":1`, updating(`"$bit":{"i":{"or":6}}`), []string{"Update #.i = int:7"}, false},
	{"$rename within", `"i":1,"s":"a"`, updating(`"$rename":{"s":"any"}`), []string{"Update #.any = str:'a'", "Update #.s = null"}, false},
	{"$rename in", `"i":1,"theirs":"a"`, updating(`"$rename":{"theirs":"s"}`), []string{"Update #.s = str:'a'"}, false},
	{"$rename out", `"i":1,"s":"a"`, updating(`"$rename":{"s":"theirs"}`), []string{"Update #.s = null"}, false},

	{"$push", `"i":1,"list":[1,2]`, updating(`"$push":{"list":3}`), []string{"ArrayInsert #.list[2] = int:3 prior_size=2"}, false},
	{"$push to what is absent", `"i":1`, updating(`"$push":{"list":3}`), []string{"ArrayInsert #.list[0] = int:3 prior_size=0"}, false},
	{"$push at a position", `"i":1,"list":[1,2]`, updating(`"$push":{"list":{"$each":[8,9],"$position":1}}`),
		[]string{"ArrayInsert #.list[1] = int:8 prior_size=2", "ArrayInsert #.list[2] = int:9 prior_size=3"}, false},
	{"$push with $slice", `"i":1,"list":[1,2]`, updating(`"$push":{"list":{"$each":[3],"$slice":-2}}`),
		[]string{"ArrayErase #.list[0] prior_size=2", "ArrayInsert #.list[1] = int:3 prior_size=1"}, false},
	{"$push with $sort", `"i":1,"list":[3,1]`, updating(`"$push":{"list":{"$each":[2],"$sort":1}}`),
		[]string{"ArrayErase #.list[0] prior_size=2", "ArrayInsert #.list[1] = int:2 prior_size=1", "ArrayInsert #.list[2] = int:3 prior_size=2"}, false},
	{"$pull", `"i":1,"list":[1,2,1,3]`, updating(`"$pull":{"list":1}`),
		[]string{"ArrayErase #.list[0] prior_size=4", "ArrayErase #.list[1] prior_size=3"}, false},
	{"$pullAll", `"i":1,"list":[1,2,3]`, updating(`"$pullAll":{"list":[1,3]}`),
		[]string{"ArrayErase #.list[0] prior_size=3", "ArrayErase #.list[1] prior_size=2"}, false},
	{"$pop", `"i":1,"list":[1,2,3]`, updating(`"$pop":{"list":1}`), []string{"ArrayErase #.list[2] prior_size=3"}, false},
	{"$pop of the first", `"i":1,"list":[1,2,3]`, updating(`"$pop":{"list":-1}`), []string{"ArrayErase #.list[0] prior_size=3"}, false},
	{"element set", `"i":1,"list":[1,2,3]`, updating(`"$set":{"list.1":9}`), []string{"Update #.list[1] = int:9 prior_size=3"}, false},
	{"element at the length", `"i":1,"list":[1]`, updating(`"$set":{"list.1":9}`), []string{"ArrayInsert #.list[1] = int:9 prior_size=1"}, false},
	{"element beyond the length", `"i":1,"list":[1]`, updating(`"$set":{"list.3":9}`), nil, true},
	{"element beyond the length of a list that may hold null", `"i":1,"loose":[1]`, updating(`"$set":{"loose.3":9}`), []string{
		"ArrayInsert #.loose[1] = null prior_size=1", "ArrayInsert #.loose[2] = null prior_size=2", "ArrayInsert #.loose[3] = int:9 prior_size=3"}, false},
	{"element unset", `"i":1,"loose":[1,2]`, updating(`"$unset":{"loose.0":""}`), []string{"Update #.loose[0] = null prior_size=2"}, false},
	{"positional", `"i":1,"list":[1,2,3]`, among(`"$set":{"list.$":9}`, `"list":2`), []string{"Update #.list[1] = int:9 prior_size=3"}, false},
	{"all positional", `"i":1,"list":[1,2]`, updating(`"$inc":{"list.$[]":10}`),
		[]string{"Update #.list[0] = int:11 prior_size=2", "Update #.list[1] = int:12 prior_size=2"}, false},
	{"filtered positional", `"i":1,"list":[1,2,3]`, among(`"$set":{"list.$[x]":0}`, ``, `"x":{"$gte":3}`), []string{"Update #.list[2] = int:0 prior_size=3"}, false},
	{"list unset", `"i":1,"list":[1,2]`, updating(`"$unset":{"list":""}`),
		[]string{"ArrayErase #.list[0] prior_size=2", "ArrayErase #.list[0] prior_size=1"}, false},
	{"list set whole", `"i":1,"list":[1,2,3]`, updating(`"$set":{"list":[1,3,4]}`),
		[]string{"ArrayErase #.list[1] prior_size=3", "ArrayInsert #.list[2] = int:4 prior_size=2"}, false},
	{"list set to a scalar", `"i":1,"list":[1]`, updating(`"$set":{"list":1}`), nil, true},

	{"pipeline that truncates", `"i":1,"list":[1,2,3,4]`, updating(`[{"$set":{"list":{"$slice":["$list",2]}}}]`),
		[]string{"ArrayErase #.list[2] prior_size=4", "ArrayErase #.list[2] prior_size=3"}, false},
	{"pipeline that appends", `"i":1,"list":[1]`, updating(`[{"$set":{"list":{"$concatArrays":["$list",[7]]},"i":{"$add":["$i",1]}}}]`),
		[]string{"Update #.i = int:2", "ArrayInsert #.list[1] = int:7 prior_size=1"}, false},
	{"pipeline that unsets", `"i":1,"s":"a"`, updating(`[{"$unset":"s"}]`), []string{"Update #.s = null"}, false},
	{"pipeline that replaces", `"i":1,"s":"a"`, updating(`[{"$replaceWith":{"_id":"$_id","i":{"$add":["$i",4]}}}]`),
		[]string{"Update #.i = int:5", "Update #.s = null"}, false},

	{"$addToSet", `"i":1,"set":[1]`, updating(`"$addToSet":{"set":{"$each":[1,2]}}`), []string{"SetInsert #.set int:2"}, false},
	{"$pull from a set", `"i":1,"set":[1,2]`, updating(`"$pull":{"set":1}`), []string{"SetErase #.set int:1"}, false},
	{"set reordered", `"i":1,"set":[1,2]`, updating(`"$set":{"set":[2,1,2]}`), nil, false},
	{"set unset", `"i":1,"set":[1]`, updating(`"$unset":{"set":""}`), []string{"SetErase #.set int:1"}, false},

	{"key set", `"i":1,"dict":{"a":"x"}`, updating(`"$set":{"dict.b":"y","dict.a":"z"}`), []string{"Update #.dict.'a' = str:'z'", "Update #.dict.'b' = str:'y'"}, false},
	{"key that looks like an index", `"i":1,"dict":{"3":"x"}`, updating(`"$set":{"dict.3":"y"}`), []string{"Update #.dict.'3' = str:'y'"}, false},
	{"key unset", `"i":1,"dict":{"a":"x","b":"y"}`, updating(`"$unset":{"dict.a":""}`), []string{"Update #.dict.'a' = <erased>"}, false},
	{"dictionary set whole", `"i":1,"dict":{"a":"x"}`, updating(`"$set":{"dict":{"c":"w"}}`), []string{"Update #.dict.'a' = <erased>", "Update #.dict.'c' = str:'w'"}, false},
	{"dictionary unset", `"i":1,"dict":{"a":"x"}`, updating(`"$unset":{"dict":""}`), []string{"Update #.dict.'a' = <erased>"}, false},
	{"key that devices refuse", `"i":1,"dict":{}`, updating(`[{"$set":{"dict":{"$literal":{"a.b":"x"}}}}]`), nil, true},

	{"embedded field", `"i":1,"part":{"n":1,"x":0}`, updating(`"$set":{"part.n":2,"part.x":1}`), []string{"Update #.part.'n' = int:2"}, false},
	{"embedded made", `"i":1`, updating(`"$set":{"part.n":2}`), []string{"Update #.part = <embedded>", "Update #.part.'n' = int:2"}, false},
	{"embedded set whole", `"i":1,"part":{"n":1,"t":"a"}`, updating(`"$set":{"part":{"n":2}}`), []string{"Update #.part.'n' = int:2", "Update #.part.'t' = null"}, false},
	{"embedded to null", `"i":1,"part":{"n":1}`, updating(`"$set":{"part":null}`), []string{"Update #.part = null"}, false},
	{"embedded field unset", `"i":1,"part":{"n":1,"t":"a"}`, updating(`"$unset":{"part.t":""}`), []string{"Update #.part.'t' = null"}, false},
	{"embedded required field unset", `"i":1,"part":{"n":1}`, updating(`"$unset":{"part.n":""}`), nil, true},
	{"embedded in a list", `"i":1,"parts":[{"n":1},{"n":2,"m":3,"t":"a"}]`, updating(`"$set":{"parts.1.t":"b"}`), []string{"Update #.parts[1].'t' = str:'b'"}, false},
	{"embedded pushed", `"i":1,"parts":[{"n":1}]`, updating(`"$push":{"parts":{"n":2}}`), []string{"ArrayInsert #.parts[1] = <embedded> prior_size=1", "Update #.parts[1].'n' = int:2"}, false},
	{"embedded pulled", `"i":1,"parts":[{"n":1},{"n":2}]`, updating(`"$pull":{"parts":{"n":1}}`), []string{"ArrayErase #.parts[0] prior_size=2"}, false},
	{"embedded list truncated", `"i":1,"parts":[{"n":1},{"n":2}]`, updating(`[{"$set":{"parts":{"$slice":["$parts",1]}}}]`), []string{"ArrayErase #.parts[1] prior_size=2"}, false},

	{"mixed scalar", `"i":1,"any":1`, updating(`"$set":{"any":"x"}`), []string{"Update #.any = str:'x'"}, false},
	{"mixed becomes a list", `"i":1,"any":1`, updating(`"$set":{"any":[2]}`), []string{"Update #.any = <list>", "ArrayInsert #.any[0] = int:2 prior_size=0"}, false},
	{"mixed list element", `"i":1,"any":[1,[2]]`, updating(`"$set":{"any.1.0":3}`), []string{"Update #.any[1][0] = int:3 prior_size=1"}, false},
	{"mixed list truncated", `"i":1,"any":[1,2]`, updating(`[{"$set":{"any":{"$slice":["$any",1]}}}]`), []string{"ArrayErase #.any[1] prior_size=2"}, false},
	{"mixed becomes a dictionary", `"i":1,"any":[1]`, updating(`"$set":{"any":{"a":1}}`), []string{"Update #.any = <dict>", "Update #.any.'a' = int:1"}, false},
	{"mixed dictionary key", `"i":1,"any":{"a":{"b":1}}`, updating(`"$set":{"any.a.b":2},"$unset":{"any.c":""}`), []string{"Update #.any.'a'.'b' = int:2"}, false},
	{"mixed unset", `"i":1,"any":{"a":1}`, updating(`"$unset":{"any":""}`), []string{"Update #.any = null"}, false},
	{"mixed link", `"i":1`, updating(`[{"$set":{"any":{"$literal":{"$ref":"All","$id":3}}}}]`), []string{"Update #.any = link:All[3]"}, false},

	{"link set", `"i":1,"to":1`, updating(`"$set":{"to":2}`), []string{"Update #.to = link:All[2]"}, false},
	{"link unset", `"i":1,"to":1`, updating(`"$unset":{"to":""}`), []string{"Update #.to = null"}, false},
	{"link to another type", `"i":1,"to":1`, updating(`"$set":{"to":"x"}`), nil, true},
	{"link element set", `"i":1,"tos":[1,2]`, updating(`"$set":{"tos.0":3}`), []string{"Update #.tos[0] = link:All[3] prior_size=2"}, false},
	{"links truncated", `"i":1,"tos":[1,2]`, updating(`[{"$set":{"tos":{"$slice":["$tos",1]}}}]`), []string{"ArrayErase #.tos[1] prior_size=2"}, false},
}

// since returns the instructions of the entries after a version, and waits until
// those of a sentinel written last are among them: what came before it in the
// stream is in the history.
func (b *bed) since(version uint64, sentinel int64) []*entryText {
	b.t.Helper()
	b.insert("All", bson.D{{Key: "_id", Value: sentinel}, {Key: "i", Value: 0}})
	end := fmt.Sprintf("CreateObject All[%d]", sentinel)
	var out []*entryText
	b.wait("the sentinel "+end+" arrives", func() bool {
		out = nil
		entries, err := b.file.Entries(b.ctx, version, 1<<30)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries {
			t := &entryText{objects: len(e.Objects)}
			arrived := false
			for i := range e.Changeset {
				// What was written in the same millisecond is in the same entry, creations first.
				if text := e.Changeset[i].String(); text == end {
					arrived = true
				} else {
					t.instructions = append(t.instructions, text)
				}
			}
			if len(t.instructions) > 0 || !arrived {
				out = append(out, t)
			}
			if arrived {
				return true
			}
		}
		return false
	})
	return out
}

type entryText struct {
	instructions []string
	objects      int
}

func TestForeignWritesByKind(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(allSchema))
	b.ingest()
	b.waitScanned("All")
	coll := b.db.Collection("All")
	sentinel := int64(-1)
	unsynced := 0
	for i, row := range eventRows {
		id := int64(1000 + i)
		filter := bson.D{{Key: "_id", Value: id}}
		if row.before != "" {
			if err := inserting(row.before)(b.ctx, coll, filter); err != nil {
				t.Fatal(row.name, ": ", err)
			}
			b.since(0, sentinel)
			sentinel--
		}
		head, _ := b.file.Head()
		if err := row.do(b.ctx, coll, filter); err != nil {
			t.Fatal(row.name, ": ", err)
		}
		var got []string
		for _, e := range b.since(head, sentinel) {
			got = append(got, e.instructions...)
		}
		sentinel--
		var want []string
		for _, w := range row.want {
			want = append(want, strings.Replace(w, "#", fmt.Sprintf("All[%d]", id), 1))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", row.name, got, want)
		}
		if row.unsynced {
			unsynced++
		}
		if n := b.file.Unsynced(); n != unsynced {
			t.Errorf("%s: %d documents are unsynced, want %d: %q", row.name, n, unsynced, b.unsynced())
			unsynced = n
		}
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}
