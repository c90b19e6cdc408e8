package sim

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The same seed makes the same trace: twice in one arena, in another one, and on
// one processor or several. With -race it is the same test.
func TestSameSeedSameTrace(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	a := newArena(t)
	for seed := uint64(1); seed <= 12; seed++ {
		first := simulate(t, a, draw(seed), all, false)
		again := simulate(t, a, draw(seed), all, true)
		runtime.GOMAXPROCS(1)
		other := simulate(t, newArena(t), draw(seed), all, false)
		runtime.GOMAXPROCS(procs)
		require.Equal(t, first.trace, again.trace, "seed %d", seed)
		require.Equal(t, first.trace, other.trace, "seed %d", seed)
		require.Equal(t, first.count, other.count, "seed %d", seed)
		require.NotEqual(t, first.trace, simulate(t, a, draw(seed+1000), all, false).trace)
	}
}
