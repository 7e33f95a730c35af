package metamorphic

import "slices"

// shorten leaves out of a script whatever is not needed to make it fail: first
// large parts, then single operations, then lines of operations.
func shorten(s *script, fails func(*script) bool) *script {
	ops := s.operations
	try := func(fewer []operation) bool {
		if !fails(&script{devices: s.devices, operations: fewer}) {
			return false
		}
		ops = fewer
		return true
	}
	for size := max(1, len(ops)/2); ; size = max(1, size/2) {
		shorter := false
		// From the end: what comes late is more likely of no matter.
		for at := len(ops) - size; at > -size; at -= size {
			from := max(0, at)
			to := min(len(ops), at+size)
			if from < to && try(slices.Delete(slices.Clone(ops), from, to)) {
				shorter = true
			}
		}
		if size == 1 && !shorter {
			break
		}
	}
	for i := 0; i < len(ops); i++ {
		for k := len(ops[i].lines) - 1; k >= 0 && len(ops[i].lines) > 1; k-- {
			fewer := slices.Clone(ops)
			fewer[i].lines = slices.Delete(slices.Clone(ops[i].lines), k, k+1)
			try(fewer)
		}
	}
	return &script{devices: s.devices, operations: ops}
}
