package authz

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	decisionsFlag = flag.Int("authz.decisions", 0, "decisions that TestDifferential compares with the reference; 0: 1,000,000, or 150,000 under the race detector")
	seedFlag      = flag.Uint64("authz.seed", 0, "seed of random worlds; 0: another each time")
	worldFlag     = flag.Int("authz.world", -1, "the only world of the seed that TestDifferential plays; -1: all")
)

// Index and reference give one answer to every question in any world, by names
// and by handles, before and after any change, at any time.
//
// evidence: P20, P22, P23, G1
func TestDifferential(t *testing.T) {
	want := *decisionsFlag
	if want == 0 {
		if want = 1_000_000; underRace {
			want = 150_000
		}
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	replay := func(n uint64) string {
		return fmt.Sprintf("go test ./authz -run 'TestDifferential$' -authz.seed=%d -authz.world=%d", seed, n)
	}
	t.Logf("seed %d", seed)
	began := time.Now()
	var next, asked atomic.Uint64
	var mu sync.Mutex
	var sum tally
	worlds, failed := 0, false
	one := func(n uint64) bool {
		s := generate(seed, n)
		m, got, err := s.play(nil)
		asked.Add(uint64(got.decisions))
		mu.Lock()
		defer mu.Unlock()
		sum.add(got)
		worlds++
		if failed {
			return false
		}
		switch {
		case err != nil:
			t.Errorf("%s: %v", replay(n), err)
		case m != nil:
			small, less := s.shrink(nil)
			if less == nil {
				t.Errorf("%s: %s, but not when played again", replay(n), m.what)
			} else {
				t.Errorf("product and reference differ:\n%s", small.yaml(less, replay(n)))
			}
		}
		failed = failed || err != nil || m != nil
		return !failed
	}
	if *worldFlag >= 0 {
		one(uint64(*worldFlag))
	} else {
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for asked.Load() < uint64(want) && one(next.Add(1)-1) {
				}
			})
		}
		wg.Wait()
	}
	t.Logf("seed %d: %d decisions by names, %d of them by handles too, in %d worlds: %.1f %% allowed, %.1f %% denied by a row, %d reasons looked at, %.1f seconds",
		seed, sum.decisions, sum.handles, worlds, share(sum.allowed, sum.decisions), share(sum.denied, sum.decisions), sum.reasons, time.Since(began).Seconds())
	t.Logf("%d changes, %d starts from the store, %d times a run was searched, %d holdings at most, %d blocks, %d of them given back",
		sum.changes, sum.reloads, sum.longRuns, sum.biggest, sum.blocks, sum.moved)
	if *worldFlag < 0 && !failed {
		require.GreaterOrEqual(t, sum.decisions, want)
		require.Greater(t, share(sum.allowed, sum.decisions), 5.0, "worlds in which nothing is allowed prove nothing")
		require.Positive(t, sum.denied)
		require.Positive(t, sum.handles)
		require.Positive(t, sum.longRuns)
		require.Positive(t, sum.moved)
		require.Positive(t, sum.reloads)
	}
}

func share(n, of int) float64 { return float64(n) * 100 / float64(max(of, 1)) }
