package object

import "slices"

// match is a pair of equal elements of two sequences.
type match struct{ a, b int }

// Bounds of the search below: its memory is the square of the differences, its
// time the length times the differences.
const (
	maxDifferences = 1000
	maxSteps       = 20_000_000
)

// commonSubsequence returns a longest common subsequence, in order (E. W. Myers,
// An O(ND) Difference Algorithm, 1986). Nil if the sequences differ in more than
// it is worth to search for, or have nothing in common.
func commonSubsequence(x, y []int) []match {
	n, m := len(x), len(y)
	limit := min(n+m, maxDifferences, maxSteps/max(n+m, 1))
	// reach[k] is how far into x paths on diagonal k (in x less in y) have come;
	// diagonals begin at -limit-1.
	reach := make([]int32, 2*limit+3)
	origin := limit + 1
	var trace [][]int32 // reach of diagonals -d..d before step d
	for d := 0; d <= limit; d++ {
		trace = append(trace, slices.Clone(reach[origin-d:origin+d+1]))
		for k := -d; k <= d; k += 2 {
			i := nextReach(reach, origin, d, k)
			for int(i) < n && int(i)-k < m && x[i] == y[int(i)-k] {
				i++
			}
			reach[origin+k] = i
			if int(i) >= n && int(i)-k >= m {
				return walkBack(trace, n, m)
			}
		}
	}
	return nil
}

// byInsertion reports whether step d comes to diagonal k by an insertion, from
// diagonal k+1, rather than by an erasure, from k-1: from where it gets farther.
func byInsertion(reach []int32, origin, d, k int) bool {
	return k == -d || k != d && reach[origin+k-1] < reach[origin+k+1]
}

// nextReach is where step d begins on diagonal k.
func nextReach(reach []int32, origin, d, k int) int32 {
	switch {
	case d == 0:
		return 0
	case byInsertion(reach, origin, d, k):
		return reach[origin+k+1]
	}
	return reach[origin+k-1] + 1
}

// walkBack follows the trace from the ends of the sequences to their beginnings.
func walkBack(trace [][]int32, n, m int) []match {
	var out []match
	i, j := n, m
	for d := len(trace) - 1; d >= 0; d-- {
		k, reach := i-j, trace[d]
		for start := int(nextReach(reach, d, d, k)); i > start; {
			i, j = i-1, j-1
			out = append(out, match{i, j})
		}
		if d > 0 && byInsertion(reach, d, d, k) {
			j--
		} else {
			i--
		}
	}
	slices.Reverse(out)
	return out
}
