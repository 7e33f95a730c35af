package query_test

import "testing"

// Each line holds spellings of one query; lines differ.
func TestKey(t *testing.T) {
	seen := map[string]string{}
	for _, line := range [][]string{
		{`TRUEPREDICATE`, `(truepredicate)`, `a == 1 or TRUEPREDICATE`, `!(FALSEPREDICATE)`, `(TRUEPREDICATE) AND (TRUEPREDICATE)`},
		{`FALSEPREDICATE`, `a == 1 and FALSEPREDICATE`, `NOT TRUEPREDICATE`},
		{`a == 1`, `(a == 1)`, `a=1`, `a == 1.0`, `a == 0x1`, `NOT NOT a == 1`, `a == 1 or a == 1`, `a == 1 and TRUEPREDICATE`, `a == 1 or FALSEPREDICATE`},
		{`b == 1`},
		{`a != 1`, `a <> 1`},
		{`!(a == 1)`},
		{`a == 1 and b == 2`, `b == 2 && a == 1`, `(b == 2) AND (a == 1 AND b == 2)`},
		{`a == 1 or b == 2`, `(b == 2) OR (a == 1)`},
		{`a == 1 or b == 2 or c == 3`, `(c == 3 or a == 1) or b == 2`},
		{`a == 1 or b == 2 and c == 3`, `(c == 3 and b == 2) or a == 1`},
		{`(a == 1 or b == 2) and c == 3`},
		{`a IN {3, 1, 2}`, `a in {1, 2, 3}`, `a == {2, 1, 3}`, `a IN {1,1,2,3}`, `a == ANY {3,2,1}`, `SOME {1,2,3} == a`, `{1,2,3} == a`},
		{`NONE {1, 2, 3} == a`},
		{`ALL {1, 2, 3} == a`},
		{`a IN {3, 1}`},
		{`a IN {}`},
		{`"x" == tags`, `ANY tags == "x"`, `tags == 'x'`, `'x' IN tags`},
		{`ALL tags == "x"`},
		{`NONE tags == "x"`},
		{`ANY tags ==[c] "x"`},
		{`ANY tags IN {"x", "y"}`, `ANY tags IN {"y", "x"}`},
		{`a between {1, 5}`, `a >= 1 and a <= 5`},
		{`a > 1`, `1 < a`},
		{`5 == a`, `a == 5`},
		{`dec == 1.5`},
		{`dec == 1.50`},
		{`mx == 1`},
		{`mx == "1"`},
		{`mx == binary("1")`},
		{`s == "a"`, `"a" == s`},
		{`s < "a"`},
		{`"a" > s`},
		{`d < 1.5`},
		{`1.5 > d`},
		{`s BEGINSWITH "a"`},
		{`"a" BEGINSWITH s`},
		{`s == NULL`},
		{`s == ""`},
		{`s.@size == 0`},
		{`(a + b) == 1`, `a + b == 1`},
		{`(a - b) == 1`},
		{`loc GEOWITHIN geoCircle([1, 2], 1)`, `loc geowithin GEOCIRCLE(geoPoint(1.0, 2), 1.0)`},
		{`loc GEOWITHIN geoCircle([1, 2], 2)`},
		{`loc GEOWITHIN geoBox([1, 2], [3, 4])`, `loc GEOWITHIN geoPolygon({[1, 2], [1, 4], [3, 4], [3, 2], [1, 2]})`},
	} {
		key := ""
		for _, text := range line {
			p, err := bind(taskSchema(), "Task", text)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if key == "" {
				key = p.Key()
				if other, ok := seen[key]; ok {
					t.Errorf("%s has the key of %s", text, other)
				}
				seen[key] = text
			}
			if p.Key() != key {
				t.Errorf("%s (%v) has another key than %s", text, p, line[0])
			}
		}
	}
}

func TestMatchesAllAndNone(t *testing.T) {
	for text, want := range map[string][2]bool{
		`TRUEPREDICATE`: {true, false}, `FALSEPREDICATE`: {false, true}, `a == 1`: {false, false}, `a == 1 or TRUEPREDICATE`: {true, false},
	} {
		p, err := bind(taskSchema(), "Task", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{p.MatchesAll(), p.MatchesNone()}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
