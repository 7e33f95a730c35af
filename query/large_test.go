package query_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/query"
)

// The work that a query makes grows with its length, not with the square of it.
func TestLargeQueries(t *testing.T) {
	repeat := func(n int, term func(i int) string, between string) string {
		terms := make([]string, n)
		for i := range terms {
			terms[i] = term(i)
		}
		return strings.Join(terms, between)
	}
	for name, text := range map[string]string{
		"alternatives":  repeat(15_000, func(i int) string { return fmt.Sprintf("a == %d", i) }, " or "),
		"list":          "a in {" + repeat(40_000, func(i int) string { return fmt.Sprint(i) }, ",") + "}",
		"list of one":   "a in {" + repeat(100_000, func(int) string { return "1" }, ",") + "}",
		"not in a list": "!(a in {" + repeat(40_000, func(i int) string { return fmt.Sprint(i) }, ",") + "})",
		"elements":      "ANY nums in {" + repeat(40_000, func(i int) string { return fmt.Sprint(i) }, ",") + "}",
		"parentheses":   strings.Repeat("(", 199) + repeat(15_000, func(i int) string { return fmt.Sprintf("a == %d", i) }, " or ") + strings.Repeat(")", 199),
	} {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := q.Bind(taskSchema(), "Task")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.Filter("q.")
		p.Without(p)
		runtime.ReadMemStats(&after)
		if bytes := after.TotalAlloc - before.TotalAlloc; bytes > uint64(2000*len(text)) {
			t.Errorf("%s: a query of %d bytes takes %d bytes of memory", name, len(text), bytes)
		}
	}
}
