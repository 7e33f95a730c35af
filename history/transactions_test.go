package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/changeset"
)

// transact makes foreign writes in one transaction, again where they conflict.
func (b *bed) transact(do func(ctx context.Context) error) error {
	return b.db.Client().UseSession(b.ctx, func(ctx context.Context) error {
		_, err := mongo.SessionFromContext(ctx).WithTransaction(ctx, func(ctx context.Context) (any, error) { return nil, do(ctx) })
		return err
	})
}

func TestForeignTransactions(t *testing.T) {
	b := newBed(t)
	b.device().mustSend(ops(allSchema), ops(dogSchema))
	g := b.newIngester()
	g.StreamBatch, g.Transaction = 4, 60
	b.run(g)
	b.waitScanned("All") // a scan sees halves
	b.waitScanned("Dog")
	all, dogs := b.db.Collection("All"), b.db.Collection("Dog")
	b.insert("All", bson.D{{Key: "_id", Value: 1}, {Key: "i", Value: 1}}, bson.D{{Key: "_id", Value: 2}, {Key: "i", Value: 2}})
	insertMany := func(ctx context.Context, from, n int) error {
		for i := range n {
			if _, err := all.InsertOne(ctx, bson.D{{Key: "_id", Value: from + i}, {Key: "i", Value: 0}}); err != nil {
				return err
			}
		}
		return nil
	}
	given := errors.New("given up")
	rows := []struct {
		name string
		do   func(ctx context.Context) error
		want [][]string // instructions by entry; nil: only their number by objects counts
		objs []int      // objects by entry
	}{
		{"several documents, two collections, two statements on one", func(ctx context.Context) error {
			_, err1 := all.UpdateByID(ctx, 1, fields(`"$set":{"i":10}`))
			_, err2 := dogs.InsertOne(ctx, bson.D{{Key: "_id", Value: 5}, {Key: "age", Value: 3}})
			_, err3 := all.DeleteOne(ctx, bson.D{{Key: "_id", Value: 2}})
			_, err4 := all.UpdateByID(ctx, 1, fields(`"$push":{"list":1}`))
			return errors.Join(err1, err2, err3, err4)
		}, [][]string{{"EraseObject All[2]", "CreateObject Dog[5]", "Update Dog[5].age = int:3", "Update All[1].i = int:10", "ArrayInsert All[1].list[0] = int:1 prior_size=0"}}, nil},
		{"a document made and deleted", func(ctx context.Context) error {
			_, err1 := all.InsertOne(ctx, bson.D{{Key: "_id", Value: 3}, {Key: "i", Value: 1}})
			_, err2 := all.DeleteOne(ctx, bson.D{{Key: "_id", Value: 3}})
			return errors.Join(err1, err2)
		}, [][]string{}, nil},
		{"given up", func(ctx context.Context) error {
			if err := insertMany(ctx, 100, 3); err != nil {
				return err
			}
			return given
		}, [][]string{}, nil},
		{"larger than a batch of the stream", func(ctx context.Context) error { return insertMany(ctx, 200, 50) }, nil, []int{50}},
		{"as large as is kept together", func(ctx context.Context) error { return insertMany(ctx, 300, 60) }, nil, []int{60}},
		{"larger than is kept together", func(ctx context.Context) error { return insertMany(ctx, 400, 100) }, nil, []int{60, 40}},
	}
	b.since(0, -100)
	for i, row := range rows {
		head, _ := b.file.Head()
		if err := b.transact(row.do); err != nil && !errors.Is(err, given) {
			t.Fatal(row.name, ": ", err)
		}
		got := b.since(head, int64(-i-1))
		if row.want == nil {
			var objs []int
			for _, e := range got {
				objs = append(objs, e.objects)
			}
			if !slices.Equal(objs, row.objs) {
				t.Errorf("%s: objects by entry are %v, want %v", row.name, objs, row.objs)
			}
			continue
		}
		texts := [][]string{}
		for _, e := range got {
			texts = append(texts, e.instructions)
		}
		if fmt.Sprint(texts) != fmt.Sprint(row.want) {
			t.Errorf("%s:\n got %q\nwant %q", row.name, texts, row.want)
		}
	}
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}

// Transactions that move amounts between accounts, while devices write beside
// them and batches are small: after no entry of the history is the total another.
func TestForeignTransactionIsNeverHalf(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(allSchema), ops(dogSchema))
	const accounts, amount, writers, transfers = 8, 100, 3, 60
	var docs []any
	for i := range accounts {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "i", Value: amount}})
	}
	g := b.newIngester()
	g.StreamBatch = 7
	b.run(g)
	b.waitScanned("All")
	b.waitScanned("Dog")
	b.insert("All", docs...)
	b.since(0, -1)
	start, _ := b.file.Head()
	coll := b.db.Collection("All")
	var wg sync.WaitGroup
	for w := range writers {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for range transfers {
				from, to, n := random.IntN(accounts), random.IntN(accounts-1), random.IntN(50)
				if to >= from {
					to++
				}
				err := b.transact(func(ctx context.Context) error {
					_, err := coll.UpdateByID(ctx, from, bson.D{{Key: "$inc", Value: bson.D{{Key: "i", Value: -n}}}})
					if err != nil {
						return err
					}
					_, err = coll.UpdateByID(ctx, to, bson.D{{Key: "$inc", Value: bson.D{{Key: "i", Value: n}}}})
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for k := range 50 {
			if err := d.send(ops(`[{"op":"CreateObject","class":"Dog","pk":%d}]`, k)); err != nil {
				t.Error(err)
				return
			}
			d.catchUp()
		}
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	b.since(start, -2)
	entries, err := b.file.Entries(b.ctx, start, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	held := map[changeset.Key]int64{}
	for i := range accounts {
		held[changeset.IntKey(int64(i))] = amount
	}
	seen := 0
	for _, e := range entries {
		for _, in := range e.Changeset {
			if in.Class == "All" && in.Op == changeset.OpUpdate && in.Field == "i" {
				held[in.Key] = in.Value.Num
				seen++
			}
		}
		total := int64(0)
		for _, n := range held {
			total += n
		}
		if total != accounts*amount {
			t.Fatalf("after version %d the accounts hold %d in all, want %d", e.Version, total, accounts*amount)
		}
	}
	t.Logf("%d updates of accounts in %d entries", seen, len(entries))
	if diff := b.disagreement(); diff != "" {
		t.Error(diff)
	}
}
