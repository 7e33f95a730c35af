package device

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
	"github.com/isthmus-sync/isthmus/transform"
)

var (
	seedFlag = flag.Uint64("seed", 0, "the first random session")
	runsFlag = flag.Int("runs", 200, "how many random sessions")
)

// convergeSchema holds what devices merge alike. (Collections in mixed, moves in
// lists of embedded objects and embedded objects in dictionaries they do not.)
func convergeSchema() *schema.Schema {
	property := func(name string, typ changeset.Type, collection changeset.Collection, nullable bool, target string) *schema.Property {
		return &schema.Property{Name: name, Type: typ, Collection: collection, Nullable: nullable, Target: target}
	}
	class := func(name string, kind changeset.TableKind, properties ...*schema.Property) *schema.Class {
		c := &schema.Class{Name: name, Kind: kind, Properties: map[string]*schema.Property{}}
		if kind == changeset.TopLevel {
			c.KeyType = changeset.Int
		}
		for _, p := range properties {
			c.Properties[p.Name] = p
		}
		return c
	}
	return &schema.Schema{Classes: map[string]*schema.Class{
		"P": class("P", changeset.TopLevel,
			property("n", changeset.Int, changeset.Single, false, ""),
			property("nn", changeset.Int, changeset.Single, true, ""),
			property("s", changeset.String, changeset.Single, true, ""),
			property("m", changeset.Mixed, changeset.Single, true, ""),
			property("l", changeset.Int, changeset.ListOf, false, ""),
			property("t", changeset.String, changeset.SetOf, false, ""),
			property("d", changeset.Int, changeset.DictionaryOf, true, ""),
			property("e", changeset.Link, changeset.Single, true, "E"),
			property("r", changeset.Link, changeset.Single, true, "P"),
			property("rl", changeset.Link, changeset.ListOf, false, "P"),
		),
		"E": class("E", changeset.Embedded,
			property("a", changeset.Int, changeset.Single, false, ""),
			property("l", changeset.Int, changeset.ListOf, false, ""),
		),
	}}
}

// TestConverge lets three devices write, upload and download in random order:
// in the end all hold what the server holds. go test -run TestConverge -seed=N
// -runs=1 repeats one session.
func TestConverge(t *testing.T) {
	for seed := *seedFlag; seed < *seedFlag+uint64(*runsFlag); seed++ {
		if err := converge(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func converge(t *testing.T, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 1))
	// What the set erasures meet is compared by content on both sides.
	s := newReference(transform.OriginalRules)
	var files []*File
	var clocks []*int64
	now := int64(0)
	for i := range 3 {
		f, clock := newReferenceFile(t, Options{Rules: &transform.OriginalRules})
		if _, err := f.UpdateSchema(convergeSchema(), nil); err != nil {
			return err
		}
		s.register(f, int64(i)+2)
		files, clocks = append(files, f), append(clocks, clock)
	}
	for range 10 + random.IntN(60) {
		i := random.IntN(len(files))
		f := files[i]
		var err error
		switch random.IntN(8) {
		case 0:
			err = s.upload(f)
		case 1:
			err = s.download(f, 1+random.IntN(4))
		case 2:
			s.reconnect(f)
		default:
			now += int64(random.IntN(2)) // ties occur
			*clocks[i] = max(0, now-int64(random.IntN(5)))
			_, err = f.Write(func(tx *Tx) error {
				for range 1 + random.IntN(3) {
					if err := randomOp(random, tx); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
	}
	for range 2 {
		for _, f := range files {
			if err := errors.Join(s.upload(f), s.downloadAll(f)); err != nil {
				return err
			}
		}
	}
	return s.same(files...)
}

// randomOp does one thing to one of a few objects.
func randomOp(random *rand.Rand, tx *Tx) error {
	key := changeset.IntKey(random.Int64N(3))
	n := random.Int64N(10)
	o := tx.Object("P", key)
	if o == nil {
		return tx.Create("P", key, map[string]any{"n": n})
	}
	at := func(field string, steps ...any) Place { return At("P", key, field, steps...) }
	list := func(field string) int { return length(o.Fields[field]) }
	switch random.IntN(20) {
	case 0:
		if random.IntN(3) == 0 {
			return tx.Delete("P", key)
		}
		return tx.Upsert("P", key, nil)
	case 1:
		return tx.Set(at("n"), n)
	case 2:
		return tx.Add(at([]string{"n", "nn"}[n%2]), n-5)
	case 3:
		return tx.Set(at("nn"), []any{nil, n}[n%2])
	case 4:
		return tx.SetDefault(at("s"), fmt.Sprint(n))
	case 5:
		return tx.Set(at("s"), fmt.Sprint(n))
	case 6:
		return tx.Set(at("m"), []any{nil, n, "text", true, 1.5}[n%5])
	case 7, 8:
		return tx.Insert(at("l", random.IntN(list("l")+1)), n)
	case 9:
		if size := list("l"); size > 0 {
			return tx.Erase(at("l", random.IntN(size)))
		}
	case 10:
		if size := list("l"); size > 1 {
			return tx.Move(at("l"), random.IntN(size), random.IntN(size))
		}
	case 11:
		if size := list("l"); size > 0 {
			return tx.Set(at("l", random.IntN(size)), n)
		}
	case 12:
		return tx.Clear(at([]string{"l", "t", "d", "rl"}[n%4]))
	case 13:
		return tx.SetInsert(at("t"), fmt.Sprint(n%4))
	case 14:
		return tx.SetErase(at("t"), fmt.Sprint(n%4))
	case 15:
		return tx.Set(at("d", fmt.Sprint(n%3)), []any{nil, n}[n%2])
	case 16:
		if d, ok := o.Fields["d"].(*object.Dictionary); ok && d.Entries[fmt.Sprint(n%3)] != nil {
			return tx.Erase(at("d", fmt.Sprint(n%3)))
		}
	case 17:
		return randomEmbedded(random, tx, at, o)
	case 18:
		return tx.Set(at("r"), changeset.LinkValue("P", changeset.IntKey(n%3)))
	case 19:
		return tx.Append(at("rl"), changeset.LinkValue("P", changeset.IntKey(n%3)))
	}
	return nil
}

func randomEmbedded(random *rand.Rand, tx *Tx, at func(string, ...any) Place, o *object.Object) error {
	e, ok := o.Fields["e"].(*object.Object)
	if !ok {
		return tx.Set(at("e"), Embedded{"a": 1})
	}
	switch random.IntN(5) {
	case 0:
		return tx.Set(at("e"), nil)
	case 1:
		return tx.Set(at("e", "a"), random.IntN(10))
	case 2:
		return tx.Add(at("e", "a"), 1)
	}
	return tx.Insert(at("e", "l", random.IntN(length(e.Fields["l"])+1)), random.IntN(10))
}
