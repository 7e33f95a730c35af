package soak

import "slices"

// shorten leaves out of a failed session whatever is not needed to make it fail
// in the same way: first large parts, then single operations, then lines. It
// plays at most so many scripts. The outcome is that of the shortest.
func shorten(o *outcome, tries int, play func(script) *outcome) *outcome {
	best := o
	try := func(s script) bool {
		if tries <= 0 || len(s) == 0 {
			return false
		}
		tries--
		if again := play(s); again.kind == o.kind {
			best = again
			return true
		}
		return false
	}
	// What is a matter of time may come again at the second or third go.
	again := false
	for range 3 {
		again = again || try(o.script)
	}
	if !again {
		return o
	}
	for size := max(1, len(best.script)/2); tries > 0; size = max(1, size/2) {
		shorter := false
		// From the end: what comes late is more likely of no matter.
		for at := len(best.script) - size; at > -size; at -= size {
			from, to := max(0, at), min(len(best.script), at+size)
			if from < to && try(slices.Delete(slices.Clone(best.script), from, to)) {
				shorter = true
			}
		}
		if size == 1 && !shorter {
			break
		}
	}
	for i := 0; i < len(best.script); i++ {
		for k := len(best.script[i].lines) - 1; k >= 0; k-- {
			if i >= len(best.script) || k >= len(best.script[i].lines) || len(best.script[i].lines) < 2 {
				continue
			}
			fewer := slices.Clone(best.script)
			fewer[i].lines = slices.Delete(slices.Clone(fewer[i].lines), k, k+1)
			try(fewer)
		}
	}
	return best
}
