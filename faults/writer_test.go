package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// writePatience is how long one write to MongoDB may take.
const writePatience = 3 * time.Minute

// writer is a program that works on the documents with MongoDB's own driver.
type writer struct {
	w    *world
	name string
	rng  *rand.Rand

	seq     int
	mine    []string // receipts that are certain to be there
	slowest time.Duration
}

func (w *world) newWriter(number int) *writer {
	return &writer{w: w, name: fmt.Sprintf("writer%d", number), rng: w.rng(uint64(200 + number))}
}

// work writes until the context ends. What is begun is finished.
func (wr *writer) work(ctx context.Context) {
	for ctx.Err() == nil {
		if !wr.write() {
			return
		}
		rest(ctx, wr.rng, 50*time.Millisecond)
	}
}

// write does one write, and notes what it leaves. It reports false when the
// writer must not go on.
func (wr *writer) write() bool {
	ctx, cancel := context.WithTimeout(wr.w.ctx, writePatience)
	defer cancel()
	n := &note{added: map[counter]int64{}}
	began := time.Now()
	err := wr.choose()(ctx, n)
	wr.slowest = max(wr.slowest, time.Since(began))
	n.certain = err == nil
	wr.w.ledger.add(n)
	if err != nil {
		if !wr.w.writersMayFail.Load() {
			wr.w.t.Errorf("%s: %v", wr.name, err)
			return false
		}
		wr.w.writerErrors.Add(1)
		return true
	}
	wr.mine = append(wr.mine, n.receipts...)
	return true
}

// choose returns a write that is to be done.
func (wr *writer) choose() func(context.Context, *note) error {
	switch n := wr.rng.IntN(100); {
	case n < 14:
		return wr.leaveReceipt
	case n < 20:
		return wr.leaveReceipts
	case n < 28 && len(wr.mine) > 0:
		return wr.eraseReceipt
	case n < 38:
		return wr.increment
	case n < 50:
		return wr.appendLine
	case n < 62:
		return wr.transact
	case n < 70:
		return wr.setPair
	}
	return wr.changeThing
}

func (wr *writer) receipt(n *note) bson.D {
	wr.seq++
	id := fmt.Sprintf("%s-%d", wr.name, wr.seq)
	n.receipts = append(n.receipts, id)
	return bson.D{{Key: "_id", Value: id}, {Key: "by", Value: fmt.Sprint("phone", wr.rng.IntN(4))}, {Key: "number", Value: wr.seq}, {Key: "text", Value: wr.word()}}
}

func (wr *writer) leaveReceipt(ctx context.Context, n *note) error {
	_, err := wr.w.db.Collection(receipt).InsertOne(ctx, wr.receipt(n))
	return err
}

// leaveReceipts leaves many in one statement, which is not one transaction: a
// note for each.
func (wr *writer) leaveReceipts(ctx context.Context, _ *note) error {
	var notes []*note
	var docs []any
	for range 2 + wr.rng.IntN(20) {
		n := &note{}
		docs = append(docs, wr.receipt(n))
		notes = append(notes, n)
	}
	_, err := wr.w.db.Collection(receipt).InsertMany(ctx, docs)
	for _, n := range notes {
		if n.certain = err == nil; n.certain {
			wr.mine = append(wr.mine, n.receipts...)
		}
		wr.w.ledger.add(n)
	}
	return err
}

func (wr *writer) eraseReceipt(ctx context.Context, n *note) error {
	i := wr.rng.IntN(len(wr.mine))
	id := wr.mine[i]
	res, err := wr.w.db.Collection(receipt).DeleteOne(ctx, byID(id))
	if err == nil && res.DeletedCount == 0 {
		return nil // the collection is away
	}
	wr.mine = append(wr.mine[:i], wr.mine[i+1:]...)
	n.erased = []string{id}
	return err
}

func (wr *writer) increment(ctx context.Context, n *note) error {
	by := int64(1 + wr.rng.IntN(3))
	id := []string{"all", wr.name}[wr.rng.IntN(2)]
	n.added[counter{id, "mongodb"}] = by
	_, err := wr.w.db.Collection(tally).UpdateOne(ctx, byID(id), bson.D{{Key: "$inc", Value: bson.D{{Key: "mongodb", Value: by}}}})
	return err
}

func (wr *writer) appendLine(ctx context.Context, n *note) error {
	wr.seq++
	line := fmt.Sprintf("%s-%d", wr.name, wr.seq)
	n.lines = []string{line}
	id := wr.w.journal()
	push := bson.D{{Key: "$push", Value: bson.D{{Key: "lines", Value: line}}}}
	for {
		_, err := wr.w.db.Collection(journal).UpdateOne(ctx, byID(id), push, options.UpdateOne().SetUpsert(true))
		if !mongo.IsDuplicateKeyError(err) { // two at once have made it
			return err
		}
	}
}

// transact leaves a receipt, lines and increments, in one transaction.
func (wr *writer) transact(ctx context.Context, n *note) error {
	wr.seq++
	line := fmt.Sprintf("%s-%d", wr.name, wr.seq)
	made := wr.receipt(n)
	n.lines = []string{line}
	n.added[counter{"all", "mongodb"}] = 1
	n.added[counter{wr.name, "mongodb"}] = 5
	id := wr.w.journal()
	return wr.inTransaction(ctx, func(ctx context.Context) error {
		if _, err := wr.w.db.Collection(receipt).InsertOne(ctx, made); err != nil {
			return err
		}
		for _, by := range []counter{{"all", "mongodb"}, {wr.name, "mongodb"}} {
			inc := bson.D{{Key: "$inc", Value: bson.D{{Key: by.field, Value: n.added[by]}}}}
			if _, err := wr.w.db.Collection(tally).UpdateOne(ctx, byID(by.id), inc); err != nil {
				return err
			}
		}
		push := bson.D{{Key: "$push", Value: bson.D{{Key: "lines", Value: line}}}}
		_, err := wr.w.db.Collection(journal).UpdateOne(ctx, byID(id), push, options.UpdateOne().SetUpsert(true))
		return err
	})
}

func (wr *writer) setPair(ctx context.Context, _ *note) error {
	wr.seq++
	set := bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: wr.seq}, {Key: "by", Value: wr.name}}}}
	return wr.inTransaction(ctx, func(ctx context.Context) error {
		for _, id := range pairs {
			if _, err := wr.w.db.Collection(pair).UpdateOne(ctx, byID(id), set); err != nil {
				return err
			}
		}
		return nil
	})
}

func (wr *writer) inTransaction(ctx context.Context, fn func(context.Context) error) error {
	session, err := wr.w.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) { return nil, fn(ctx) })
	return err
}

// changeThing does something to some thing, as programs do.
func (wr *writer) changeThing(ctx context.Context, _ *note) error {
	c := wr.w.db.Collection(thing)
	id := fmt.Sprint("t", wr.rng.IntN(things))
	var update bson.D
	switch wr.rng.IntN(11) {
	case 0:
		_, err := c.DeleteOne(ctx, byID(id))
		return err
	case 1, 2:
		for {
			_, err := c.ReplaceOne(ctx, byID(id), wr.thing(id), options.Replace().SetUpsert(true))
			if !mongo.IsDuplicateKeyError(err) {
				return err
			}
		}
	case 3:
		update = bson.D{{Key: "$set", Value: bson.D{{Key: "lane", Value: wr.rng.IntN(lanes)}}}}
	case 4:
		update = bson.D{{Key: "$inc", Value: bson.D{{Key: "count", Value: wr.rng.IntN(9)}}}}
	case 5:
		update = bson.D{{Key: "$addToSet", Value: bson.D{{Key: "tags", Value: wr.word()}}}}
	case 6:
		update = bson.D{{Key: "$pull", Value: bson.D{{Key: "tags", Value: wr.word()}}}}
	case 7:
		update = bson.D{{Key: "$push", Value: bson.D{{Key: "items", Value: bson.D{
			{Key: "$each", Value: bson.A{wr.rng.IntN(100)}}, {Key: "$position", Value: 0}, {Key: "$slice", Value: 30},
		}}}}}
	case 8:
		update = bson.D{{Key: "$pop", Value: bson.D{{Key: "items", Value: 1}}}}
	case 9:
		update = bson.D{{Key: "$set", Value: bson.D{{Key: "extra." + wr.word(), Value: wr.word()}}}, {Key: "$unset", Value: bson.D{{Key: "text", Value: ""}}}}
	case 10:
		update = bson.D{{Key: "$set", Value: bson.D{{Key: "text", Value: wr.word()}, {Key: "unmapped", Value: wr.word()}}}}
	}
	_, err := c.UpdateOne(ctx, byID(id), update)
	return err
}

func (wr *writer) thing(id string) bson.D {
	return bson.D{
		{Key: "_id", Value: id}, {Key: "lane", Value: wr.rng.IntN(lanes)}, {Key: "count", Value: 0}, {Key: "text", Value: wr.word()},
		{Key: "tags", Value: bson.A{wr.word()}}, {Key: "items", Value: bson.A{}}, {Key: "extra", Value: bson.D{}},
	}
}

func (wr *writer) word() string { return words[wr.rng.IntN(len(words))] }

func byID(id string) bson.D { return bson.D{{Key: "_id", Value: id}} }

// watch looks at the pair in MongoDB until the context ends.
func (w *world) watch(ctx context.Context, looked *atomic.Int64) {
	rng := w.rng(300)
	for ctx.Err() == nil {
		var a, b struct {
			N  int64  `bson:"n"`
			By string `bson:"by"`
		}
		err := w.atOnce(ctx, func(ctx context.Context) error {
			if err := w.db.Collection(pair).FindOne(ctx, byID(pairs[0])).Decode(&a); err != nil {
				return err
			}
			return w.db.Collection(pair).FindOne(ctx, byID(pairs[1])).Decode(&b)
		})
		if err == nil {
			looked.Add(1)
			if a != b {
				w.t.Errorf("the pair is torn in MongoDB: %v and %v", a, b)
				return
			}
		}
		rest(ctx, rng, 100*time.Millisecond)
	}
}

// atOnce runs reads as of one time.
func (w *world) atOnce(ctx context.Context, fn func(context.Context) error) error {
	session, err := w.client.StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return err
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	return fn(mongo.NewSessionContext(ctx, session))
}
