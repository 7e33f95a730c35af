package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// counter is a number that is only added to: a field of a tally.
type counter struct{ id, field string }

// note is what one write leaves behind if it came through, all of it or nothing.
type note struct {
	receipts []string          // made
	erased   []string          // receipts of earlier notes
	lines    []string          // of journals
	added    map[counter]int64 // to tallies
	certain  bool              // it came through

	phone   *phone // that made it; nil: MongoDB
	version int64  // of the phone's file
}

// ledger is what devices and MongoDB writers have written.
type ledger struct {
	mu    sync.Mutex
	notes []*note
}

func (l *ledger) add(n *note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, n)
}

// confirm notes that a write came through.
func (l *ledger) confirm(n *note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.certain = true
}

// figures are how many notes are certain, and how many are not.
func (l *ledger) figures() (certain, uncertain int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.notes {
		if n.certain {
			certain++
		} else {
			uncertain++
		}
	}
	return certain, uncertain
}

// bounds are how often something is at least and at most there.
type bounds struct{ least, most int64 }

func (b bounds) String() string {
	if b.least == b.most {
		return fmt.Sprint(b.least)
	}
	return fmt.Sprintf("%d to %d", b.least, b.most)
}

// expected adds the notes up. What was erased, and so is not to be there, is in
// the maps as well.
func (l *ledger) expected() (receipts, lines map[string]bounds, added map[counter]bounds) {
	l.mu.Lock()
	defer l.mu.Unlock()
	receipts, lines, added = map[string]bounds{}, map[string]bounds{}, map[counter]bounds{}
	for _, n := range l.notes {
		least := int64(0)
		if n.certain {
			least = 1
		}
		for _, k := range n.receipts {
			receipts[k] = bounds{least, 1}
		}
		for _, k := range n.lines {
			lines[k] = bounds{least, 1}
		}
		for c, by := range n.added {
			b := added[c]
			added[c] = bounds{b.least + least*by, b.most + by}
		}
		for _, k := range n.erased {
			receipts[k] = bounds{0, 1 - least}
		}
	}
	return receipts, lines, added
}

// writerOf returns the note that has a line or a receipt, nil if none has.
func (l *ledger) writerOf(k string) *note {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.notes {
		if slices.Contains(n.lines, k) || slices.Contains(n.receipts, k) {
			return n
		}
	}
	return nil
}

// audit compares the notes with the documents, and says what does not fit. culprits
// are the phones' writes that concerns.
func (l *ledger) audit(ctx context.Context, db *mongo.Database) (wrong []string, culprits []*note, err error) {
	receipts, lines, added := l.expected()
	compare := func(what, k string, got int64, want bounds) {
		if got < want.least || got > want.most {
			wrong = append(wrong, fmt.Sprintf("%s %s is there %d times, want %v", what, k, got, want))
			if n := l.writerOf(k); n != nil && n.phone != nil {
				culprits = append(culprits, n)
			}
		}
	}

	found := map[string]int64{}
	err = each(ctx, db.Collection(receipt), func(raw bson.Raw) {
		found[raw.Lookup("_id").StringValue()]++
	})
	if err != nil {
		return nil, nil, err
	}
	for k, want := range receipts {
		compare("receipt", k, found[k], want)
		delete(found, k)
	}
	for k := range found {
		wrong = append(wrong, "receipt "+k+" is from nobody")
	}

	clear(found)
	err = each(ctx, db.Collection(journal), func(raw bson.Raw) {
		values, _ := raw.Lookup("lines").Array().Values()
		for _, v := range values {
			found[v.StringValue()]++
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for k, want := range lines {
		compare("line", k, found[k], want)
		delete(found, k)
	}
	for k := range found {
		wrong = append(wrong, "line "+k+" is from nobody")
	}

	err = each(ctx, db.Collection(tally), func(raw bson.Raw) {
		for _, field := range []string{"devices", "mongodb"} {
			c := counter{raw.Lookup("_id").StringValue(), field}
			if got, want := raw.Lookup(field).AsInt64(), added[c]; got < want.least || got > want.most {
				wrong = append(wrong, fmt.Sprintf("%s of tally %s is %d, want %v", field, c.id, got, want))
			}
		}
	})
	slices.Sort(wrong)
	return wrong, culprits, err
}

// each calls fn with all documents of a collection.
func each(ctx context.Context, c *mongo.Collection, fn func(bson.Raw)) error {
	cur, err := c.Find(ctx, bson.D{})
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Name(), err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		fn(cur.Current)
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read %s: %w", c.Name(), err)
	}
	return nil
}
