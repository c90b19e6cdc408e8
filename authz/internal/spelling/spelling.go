// Package spelling proposes what somebody meant to write.
package spelling

// maxName bounds the names that are compared.
const maxName = 256

// Nearest returns the name of a list that is spelled most like the one given,
// "" if none is near. Of equals it returns the first.
func Nearest(name string, names []string) string {
	best, at := "", 2+len(name)/4
	for _, n := range names {
		if n == name {
			continue
		}
		if d := distance(name, n, at); d < at {
			best, at = n, d
		}
	}
	return best
}

// distance counts letters to add, drop or change; limit stands for all above.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > maxName || len(b) > maxName {
		return limit
	}
	prev, cur := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j]+cost, prev[j+1]+1, cur[j]+1)
		}
		prev, cur = cur, prev
	}
	return min(prev[len(b)], limit)
}
