package gormstate

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

var files = flag.Int("state.files", 60, "how many states are opened and closed; 10,000 take some minutes")

// Many more states than may stay open are opened, written and closed, in any order
// and at once. Descriptors and memory stay bounded, and nothing is lost or mixed up.
//
// evidence: P33
func TestManyStatesFewOpen(t *testing.T) {
	const bound, workers = 20, 4
	s, err := New(t.TempDir(), keyring(t), &Options{Idle: bound})
	require.NoError(t, err)
	before := descriptors()
	most := make([]int, workers)
	start := time.Now()
	for pass := range 2 {
		done := make(chan error, workers)
		for w := range workers {
			go func() {
				rnd := rand.New(rand.NewPCG(uint64(pass), uint64(w)))
				var mine []int
				for i := w; i < *files; i += workers {
					mine = append(mine, i)
				}
				rnd.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				for _, i := range mine {
					for range 1 + rnd.IntN(2) { // some at once again, from among those that are open
						if err := visit(t, s, i, pass); err != nil {
							done <- err
							return
						}
					}
					most[w] = max(most[w], descriptors())
				}
				done <- nil
			}()
		}
		for range workers {
			require.NoError(t, <-done)
		}
	}
	t.Logf("%d states twice in %.1f s; descriptors: %d before, at most %v; resident: %s", *files, time.Since(start).Seconds(), before, most, resident())
	for _, n := range most {
		require.LessOrEqual(t, n, before+(bound+workers)*5+20)
	}
	require.NoError(t, s.Close())
	require.LessOrEqual(t, descriptors(), before+5)
	for i := range *files { // all of it is on disk
		require.NoError(t, visit(t, s, i, 2))
	}
	require.NoError(t, s.Close())
}

// visit finds what earlier passes left in a state and leaves something of its own.
func visit(t *testing.T, s *Store, i, pass int) error {
	h, err := s.Open(t.Context(), lksync.PairID(fmt.Sprint("p", i)))
	if err != nil {
		return err
	}
	defer h.Close()
	left := func(p int) string { return fmt.Sprint("pass ", p) }
	right := func(p int) string { return fmt.Sprintf("%d.%d", i, p) }
	for p := range pass {
		l, ok, err := h.Find(t.Context(), connectors.KindContact, lksync.Left, left(p))
		if err != nil || !ok || l.ID[1] != right(p) {
			return fmt.Errorf("state %d does not know pass %d: %w", i, p, err)
		}
	}
	if _, ok, err := h.Find(t.Context(), connectors.KindContact, lksync.Left, left(pass)); err != nil || ok {
		return err // the second visit of a pass
	}
	return h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{
		{Kind: connectors.KindContact, ID: [2]string{left(pass), right(pass)}, Origin: lksync.Left, State: lksync.Linked}}})
}

// A file that is open and idle is not used once it was replaced or its key is gone.
//
// evidence: P33
func TestAnIdleStateWhoseFilesWentIsNotUsed(t *testing.T) {
	s, err := New(t.TempDir(), keyring(t), &Options{Idle: 3})
	require.NoError(t, err)
	defer s.Close()
	base := func(id lksync.PairID) string {
		h, err := s.Open(t.Context(), id)
		require.NoError(t, err)
		defer h.Close()
		return h.(*state).base
	}
	a, b := base("a"), base("b")
	require.NoError(t, os.Remove(a+".key"))
	_, err = s.Open(t.Context(), "a")
	require.ErrorIs(t, err, lksync.ErrState)
	// The other's file in its place.
	content, err := os.ReadFile(b + ".state")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(b+".new", content, 0o600))
	require.NoError(t, os.Remove(b+".key"))
	require.NoError(t, os.Rename(b+".new", b+".state"))
	_, err = s.Open(t.Context(), "b")
	require.ErrorIs(t, err, lksync.ErrState)

	// One that was used and is let go serves nobody any more.
	h, err := s.Open(t.Context(), "c")
	require.NoError(t, err)
	require.NoError(t, h.Close())
	require.NoError(t, h.Close())
	// Who has it open twice keeps one of the two; the earlier is fenced.
	h, err = s.Open(t.Context(), "c")
	require.NoError(t, err)
	again, err := s.Open(t.Context(), "c")
	require.NoError(t, err)
	require.ErrorIs(t, h.Held(t.Context()), lksync.ErrFenced)
	require.NoError(t, again.Close())
	require.NoError(t, h.Close())
	require.Equal(t, 1, s.idle.order.Len())
}

func descriptors() int {
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(es)
}

func resident() string {
	runtime.GC()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	_, line, _ := strings.Cut(string(b), "VmHWM:")
	line, _, _ = strings.Cut(line, "\n")
	return strings.TrimSpace(line)
}
