package query_test

import (
	"errors"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/query"
)

func FuzzParse(f *testing.F) {
	_, queries := coreVectors(f, "core-queries.jsonl.gz")
	for i := 0; i < len(queries); i += 200 {
		f.Add(queries[i].Text)
	}
	_, queries = coreVectors(f, "core-geo.jsonl.gz")
	for i := 0; i < len(queries); i += 50 {
		f.Add(queries[i].Text)
	}
	f.Add(`not not == 3 and any in in {1} or my\ field == 0x1F && ts > 2020-01-02@03:04:05:6`)
	f.Add(`(((a + 1) * 2) / ni) >= -inf SORT(a DESC)`)
	s, core, o := taskSchema(), coreClass(), task()
	f.Fuzz(func(t *testing.T, text string) {
		q, err := query.Parse(text)
		if err != nil {
			if !errors.Is(err, query.ErrBadQuery) {
				t.Fatalf("error %v", err)
			}
			return
		}
		for _, class := range []string{"Task", "T"} {
			schema, key := s, taskKey
			if class == "T" {
				schema, key = core, changeset.IntKey(1)
			}
			p, err := q.Bind(schema, class)
			if err != nil {
				if !errors.Is(err, query.ErrBadQuery) {
					t.Fatalf("error %v", err)
				}
				continue
			}
			again, err := q.Bind(schema, class)
			if err != nil || again.Key() != p.Key() {
				t.Fatalf("bound again: %v, error %v", again, err)
			}
			if p.Match(key, o) && p.MatchesNone() || !p.Match(key, o) && p.MatchesAll() {
				t.Fatal("MatchesAll or MatchesNone is wrong")
			}
			bsonFilter(p.Filter("q."))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := taskSchema()
	text := `((a == 1 and s BEGINSWITH "x") OR (tags == "urgent" and done == true)) OR (a IN {1, 2, 3, 4, 5})`
	for b.Loop() {
		if _, err := bind(s, "Task", text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	s, o := taskSchema(), task()
	for _, text := range []string{
		`oid == oid(0123456789abcdef01234567)`,
		`a == 2 or s BEGINSWITH "x" or done == false`,
		`ANY tags == "urgent"`,
		`dec > 1.4`,
		`s CONTAINS[c] "BRIEN"`,
		`a IN {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}`,
	} {
		p, err := bind(s, "Task", text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Match(taskKey, o)
			}
		})
	}
}
