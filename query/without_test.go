package query_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
)

func TestWithout(t *testing.T) {
	for _, test := range []struct{ p, other, want string }{
		{`(a == 1) or (b == 2) or (c == 3)`, `(b == 2) or (a == 1)`, `c == 3`},
		{`(b == 2) or (a == 1)`, `(a == 1) or (b == 2) or (c == 3)`, `FALSEPREDICATE`},
		{`a == 1`, `a == 1 or b == 2`, `FALSEPREDICATE`},
		{`a == 1 or b == 2`, `a == 1`, `b == 2`},
		{`a == 1`, `b == 1`, `a == 1`},
		{`a == 1 and b == 2`, `a == 1`, `a == 1 and b == 2`},
		{`TRUEPREDICATE`, `a == 1`, `TRUEPREDICATE`},
		{`TRUEPREDICATE`, `TRUEPREDICATE`, `FALSEPREDICATE`},
		{`a == 1`, `TRUEPREDICATE`, `a == 1`},
		{`FALSEPREDICATE`, `a == 1`, `FALSEPREDICATE`},
		{`a == 1`, `FALSEPREDICATE`, `a == 1`},
	} {
		p, err1 := bind(taskSchema(), "Task", test.p)
		other, err2 := bind(taskSchema(), "Task", test.other)
		want, err3 := bind(taskSchema(), "Task", test.want)
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		if got := p.Without(other); got.Key() != want.Key() {
			t.Errorf("%s without %s: got %v, want %v", test.p, test.other, got, want)
		}
		if got := p.Without(nil); got != p {
			t.Errorf("%s without nothing: got %v", test.p, got)
		}
	}
}

// What satisfies one of two queries and not the other satisfies what is left of
// the one.
func TestWithoutLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var texts [3]string
		for i := range texts {
			texts[i], _ = randomQuery(t, 2)
		}
		p, err1 := bind(coreClass(), "T", texts[0]+" or "+texts[1])
		other, err2 := bind(coreClass(), "T", texts[1]+" or "+texts[2])
		if err1 != nil || err2 != nil {
			return // literals of the wrong type
		}
		key, o := changeset.IntKey(1), randomObject(t)
		left := p.Without(other)
		if p.Match(key, o) && !other.Match(key, o) && !left.Match(key, o) {
			t.Fatalf("%v without %v: %v does not match", p, other, left)
		}
		if left.Match(key, o) && !p.Match(key, o) {
			t.Fatalf("%v without %v: %v matches", p, other, left)
		}
	})
}
