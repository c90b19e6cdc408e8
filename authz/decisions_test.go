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
	r := matches{t: t, generate: generate, done: func(sum tally) bool { return sum.decisions >= want }}
	sum, ok := r.play()
	t.Logf("seed %d: %d decisions by names, %d of them by handles too, in %d worlds: %.1f %% allowed, %.1f %% denied by a row, %d reasons looked at, %.1f seconds",
		r.seed, sum.decisions, sum.handles, r.worlds, share(sum.allowed, sum.decisions), share(sum.denied, sum.decisions), sum.reasons, time.Since(r.began).Seconds())
	t.Logf("%d changes, %d starts from the store, %d times a run was searched, %d holdings at most, %d blocks, %d of them given back",
		sum.changes, sum.reloads, sum.longRuns, sum.biggest, sum.blocks, sum.moved)
	if ok {
		require.GreaterOrEqual(t, sum.decisions, want)
		require.Greater(t, share(sum.allowed, sum.decisions), 2.0, "worlds in which nothing is allowed prove nothing")
		require.Positive(t, sum.denied)
		require.Positive(t, sum.handles)
		require.Positive(t, sum.longRuns)
		require.Positive(t, sum.moved)
		require.Positive(t, sum.reloads)
	}
}

func share(n, of int) float64 { return float64(n) * 100 / float64(max(of, 1)) }

// matches plays one world of a seed after another, as many at a time as there
// are processors, until that is enough.
type matches struct {
	t        *testing.T
	generate func(seed, number uint64) *scenario
	judge    judge
	done     func(sum tally) bool

	seed   uint64
	worlds int
	began  time.Time
}

// play returns what was asked, and whether that was enough and all was well.
// What fails is made small and printed.
func (r *matches) play() (sum tally, ok bool) {
	t := r.t
	r.began = time.Now()
	if r.seed = *seedFlag; r.seed == 0 {
		r.seed = rand.Uint64()
	}
	t.Logf("seed %d", r.seed)
	replay := func(n uint64) string {
		return fmt.Sprintf("go test ./authz -run '%s$' -authz.seed=%d -authz.world=%d", t.Name(), r.seed, n)
	}
	var next atomic.Uint64
	var mu sync.Mutex
	failed := false
	one := func(n uint64) bool {
		s := r.generate(r.seed, n)
		m, got, err := s.play(nil, r.judge)
		mu.Lock()
		defer mu.Unlock()
		sum.add(got)
		r.worlds++
		if failed {
			return false
		}
		switch {
		case err != nil:
			t.Errorf("%s: %v", replay(n), err)
		case m != nil:
			small, less := s.shrink(nil, r.judge)
			if less == nil {
				t.Errorf("%s: %s, but not when played again", replay(n), m.what)
			} else {
				t.Errorf("not all agree:\n%s", small.yaml(less, replay(n)))
			}
		}
		failed = failed || err != nil || m != nil
		return !failed && !r.done(sum)
	}
	if *worldFlag >= 0 {
		one(uint64(*worldFlag))
		return sum, false
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for one(next.Add(1) - 1) {
			}
		})
	}
	wg.Wait()
	return sum, !failed
}
