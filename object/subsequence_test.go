package object

import (
	"testing"

	"pgregory.net/rapid"
)

// TestCommonSubsequence compares with the length found by dynamic programming.
func TestCommonSubsequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sequence := rapid.SliceOfN(rapid.IntRange(0, 3), 0, 30)
		x, y := sequence.Draw(t, "x"), sequence.Draw(t, "y")
		got := commonSubsequence(x, y)
		i, j := -1, -1
		for _, m := range got {
			if m.a <= i || m.b <= j || x[m.a] != y[m.b] {
				t.Fatalf("%v is no common subsequence", got)
			}
			i, j = m.a, m.b
		}
		if want := longestCommon(x, y); len(got) != want {
			t.Fatalf("got %v of length %d, the longest has %d", got, len(got), want)
		}
	})
}

func longestCommon(x, y []int) int {
	row := make([]int, len(y)+1)
	for i := range x {
		diagonal := 0
		for j := range y {
			above := row[j+1]
			if x[i] == y[j] {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(y)]
}

func TestCommonSubsequenceGivesUp(t *testing.T) {
	x, y := make([]int, 5000), make([]int, 5000)
	for i := range x {
		x[i], y[i] = i, -1-i
	}
	if got := commonSubsequence(x, y); got != nil {
		t.Errorf("got %d matches", len(got))
	}
	copy(y, x[10:]) // ten differences at either end are found whatever the length
	if got := commonSubsequence(x, y); len(got) != 4990 {
		t.Errorf("got %d matches, want 4990", len(got))
	}
}
