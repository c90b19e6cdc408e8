package sim

import (
	"slices"
	"testing"
)

// A copy that was found after a crash, deleted at its source and made anew: the
// create that led to the first copy is over when the second is announced. It used to
// link the first again, and the second was copied back as something new.
func TestACreateIsOverWhenItsLinkIsReplaced(t *testing.T) {
	steps := []int{234, 235, 237, 312, 338, 377, 387, 388, 399, 400}
	w := simulate(t, newArena(t), drawWith(1617, false, false), func(i int) bool { return slices.Contains(steps, i) }, false)
	if w.broken != nil {
		t.Fatal(w.broken)
	}
}
