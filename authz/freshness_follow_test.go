package authz

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// asked counts how often its history is read.
type asked struct {
	memoryStore
	n int
}

func (s *asked) Changes(ctx context.Context, after uint64) iter.Seq2[Change, error] {
	s.n++
	return s.memoryStore.Changes(ctx, after)
}

// Follow looks at once, as often as it is told to, by itself every second, and at
// each word that arrives, however many came before.
func TestFollowLooksAsOftenAsItIsTold(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		wakes int
		want  int // within ten seconds and a half
	}{{0, 0, 11}, {-1, 0, 11}, {5 * time.Second, 0, 3}, {time.Hour, 0, 1}, {time.Hour, 4, 5}, {500 * time.Millisecond, 0, 21}} {
		synctest.Test(t, func(t *testing.T) {
			s := &asked{}
			a, err := New(t.Context(), files(t, nil), &Options{Store: s})
			require.NoError(t, err)
			s.n = 0
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+100*time.Millisecond)
			defer cancel()
			wake := make(chan struct{})
			go func() {
				for range c.wakes {
					time.Sleep(time.Second)
					wake <- struct{}{}
				}
			}()
			require.ErrorIs(t, a.Follow(ctx, wake, c.every), context.DeadlineExceeded)
			require.Equal(t, c.want, s.n, "%+v", c)
		})
	}
}

// A refusal is not stale unless what is known is too old.
func TestOnlyWhatIsOldIsStale(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	req.Permission = Permission{"audit.read"}
	_, err := a.Authorize(t.Context(), req)
	require.ErrorIs(t, err, ErrDenied)
	require.NotErrorIs(t, err, ErrStale)
	req.AtLeast = 99
	_, err = a.Authorize(t.Context(), req)
	require.ErrorIs(t, err, ErrDenied)
	require.ErrorIs(t, err, ErrStale)
}
