package authz

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// ledger is a Committer that notes what came together.
type ledger struct {
	memoryStore
	tap
	calls [][]string // the reasons of records; a change is the last, by its own
}

func (l *ledger) Commit(ctx context.Context, rs []AuditRecord, c Change) error {
	if err := l.tap.Append(ctx, rs); err != nil {
		return err
	}
	var what []string
	for _, r := range rs {
		what = append(what, r.Reason)
	}
	l.calls = append(l.calls, append(what, "change "+c.Reason))
	return nil
}

// Whatever waits while the sink is busy, each change goes out with its own record
// as the last, and what waited before it goes with it.
func TestAChangeNeverGoesWithoutItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l := &ledger{tap: tap{Memory: NewMemory(0)}}
		l.before = func(context.Context, []AuditRecord) error { <-release; return nil }
		tr, err := newTrail(t.Context(), l, time.Minute)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for _, what := range []string{"first", "a", "+b", "c", "d", "+e", "f"} {
			wg.Go(func() {
				r := AuditRecord{Reason: what}
				if what[0] == '+' {
					require.NoError(t, tr.commit(context.Background(), r, Change{Reason: what}))
				} else {
					require.NoError(t, tr.write(context.Background(), r))
				}
			})
			synctest.Wait()
		}
		close(release)
		wg.Wait()
		require.Equal(t, [][]string{{"a", "+b", "change +b"}, {"c", "d", "+e", "change +e"}}, l.calls)
		_, _, err = Verify(each(l.Records()))
		require.NoError(t, err)
		require.Len(t, l.Records(), 7)
	})
}

// Who gives up takes back the own record and nobody else's.
func TestWhoGivesUpTakesBackTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &tap{Memory: NewMemory(0), before: func(context.Context, []AuditRecord) error { <-release; return nil }}
		tr, err := newTrail(t.Context(), s, time.Minute)
		require.NoError(t, err)
		var wg sync.WaitGroup
		write := func(ctx context.Context, what string, want error) {
			wg.Go(func() { require.ErrorIs(t, tr.write(ctx, AuditRecord{Reason: what}), want) })
			synctest.Wait()
		}
		write(t.Context(), "with the sink", nil)
		write(t.Context(), "waits", nil)
		ctx, cancel := context.WithCancel(t.Context())
		write(ctx, "gives up", context.Canceled)
		write(t.Context(), "waits too", nil)
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		var got []string
		for _, r := range s.Records() {
			got = append(got, r.Reason)
		}
		require.Equal(t, []string{"with the sink", "waits", "waits too"}, got)
	})
}

// A sink in which others are always quicker, or that fails, refuses: a decision
// by ErrAuditUnavailable, a change by what it is.
func TestWhyARecordWasNotKept(t *testing.T) {
	full := errors.New("disk full")
	for _, c := range []struct {
		fails             error
		decision, changed error
		tries             int
	}{{ErrConflict, ErrAuditUnavailable, ErrConflict, maxTries}, {full, ErrAuditUnavailable, ErrAuditUnavailable, 1}} {
		tries := 0
		l := &ledger{tap: tap{Memory: NewMemory(0), before: func(context.Context, []AuditRecord) error { tries++; return c.fails }}}
		tr, err := newTrail(t.Context(), l, time.Minute)
		require.NoError(t, err)
		err = tr.write(t.Context(), AuditRecord{})
		require.ErrorIs(t, err, c.decision)
		require.ErrorIs(t, err, c.fails)
		require.ErrorIs(t, err, ErrDenied)
		require.Equal(t, c.tries, tries)
		err = tr.commit(t.Context(), AuditRecord{}, Change{})
		require.ErrorIs(t, err, c.changed)
		require.Equal(t, c.changed == ErrAuditUnavailable, errors.Is(err, ErrDenied), "a conflict is no denial")
	}
}

// A record that was kept costs the sink one call.
func TestASinkIsAskedForItsHeadOnlyAfterAFailure(t *testing.T) {
	heads := 0
	s := &tap{Memory: NewMemory(0), head: func() error { heads++; return nil }}
	a, req := audited(t, s, time.Minute)
	heads = 0
	for range 3 {
		_, err := a.Authorize(t.Context(), req)
		require.NoError(t, err)
	}
	require.Zero(t, heads)
	s.after = func([]AuditRecord) error { return errors.New("no") }
	_, err := a.Authorize(t.Context(), req)
	require.ErrorIs(t, err, ErrAuditUnavailable)
	require.Equal(t, 1, heads)
}
