package authz_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

func TestAtRefusesWhatWasChangedMeanwhile(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office")
	e := w.as(boss, "office")
	require.Zero(t, e.Last())
	require.Zero(t, authz.Editor{}.Last())
	seen := w.Revision()
	require.Equal(t, uint64(1), seen)
	id := w.assign(e.At(seen), "allow "+ana+" role:clerk office")
	require.Equal(t, seen+1, w.Revision())
	require.Equal(t, seen+1, e.Last(), "known to the Editor it was made from")
	at := e.At(seen)
	_, err := at.Assign(t.Context(), w.line("allow "+ana+" role:clerk office"))
	require.ErrorIs(t, err, authz.ErrConflict)
	require.NotErrorIs(t, err, authz.ErrDenied)
	for _, err := range []error{at.Revoke(t.Context(), id, ""), at.Expire(t.Context(), id, start, ""), at.Join(t.Context(), w.member(ana, "team:t"), ""), at.Leave(t.Context(), w.member(ana, "team:t"), ""),
		at.Define(t.Context(), define("role:r", "a.read"), ""), at.Undefine(t.Context(), authz.MustRole("role:r"), ""), at.Rollback(t.Context(), 0, ""),
		at.Approve(t.Context(), id, ""), at.Reject(t.Context(), id, ""), at.Review(t.Context(), id, "")} {
		require.ErrorIs(t, err, authz.ErrConflict)
	}
	_, err = at.Preview(t.Context(), authz.Edits{})
	require.ErrorIs(t, err, authz.ErrConflict)
	_, err = e.At(seen+7).Assign(t.Context(), w.line("allow "+ana+" role:clerk office"))
	require.ErrorIs(t, err, authz.ErrConflict, "a revision that is not there yet")
	r, err := e.At(e.Last()).Commit(t.Context(), authz.Edits{Revoke: []uuid.UUID{id}}, "")
	require.NoError(t, err)
	require.Equal(t, w.Revision(), r.Revision)
	require.Equal(t, r.Revision, e.Last())
}

// two Authorizers share a store.
func two(t testing.TB, o authz.Options, lines ...string) (a, b *office) {
	o.Store = authz.NewMemoryStore()
	a = newOfficeWith(t, o, "", "", lines...)
	b = newOfficeWith(t, o, "", "")
	b.clock = a.clock
	return a, b
}

func TestRefresh(t *testing.T) {
	a, b := two(t, authz.Options{}, "allow "+boss+" role:boss office", "allow "+ana+" role:writer office")
	g := grant(t, b.Authorizer, ana, "a.write", "office/x")
	e := a.as(boss, "office")
	require.NoError(t, e.Revoke(t.Context(), a.ids[1], ""))
	require.NoError(t, e.Define(t.Context(), define("role:look", "b.read"), ""))
	a.assign(e, "allow "+ben+" role:look office")
	require.NoError(t, e.Join(t.Context(), a.member(ana, "team:t"), ""))
	require.NoError(t, covers(t, g, "a.write", "office/x"), "not known yet")
	n, err := b.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, a.Revision(), n)
	require.Equal(t, n, b.Revision())
	require.ErrorIs(t, covers(t, g, "a.write", "office/x"), authz.ErrDenied)
	require.True(t, b.can(ben, "b.read", "office"))
	n, err = b.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, a.Revision(), n)

	// It is a base to edit on.
	b.assign(b.as(boss, "office"), "allow "+cara+" role:look office")
	_, err = a.Refresh(t.Context())
	require.NoError(t, err)
	require.True(t, a.can(cara, "b.read", "office"))

	for _, zero := range []*authz.Authorizer{nil, {}} {
		_, err = zero.Refresh(t.Context())
		require.ErrorIs(t, err, authz.ErrDenied)
		require.ErrorIs(t, zero.Follow(t.Context(), nil, 0), authz.ErrDenied)
		require.Zero(t, zero.Revision())
	}
}

func TestRequestsDemandARevision(t *testing.T) {
	a, b := two(t, authz.Options{}, "allow "+boss+" role:boss office", "allow "+ana+" role:writer office")
	e := a.as(boss, "office")
	require.NoError(t, e.Revoke(t.Context(), a.ids[1], ""))
	req := ask(t, ana, "a.write", "office")
	d, err := b.Check(t.Context(), req)
	require.NoError(t, err)
	require.True(t, d.Allowed, "any revision will do")
	req.AtLeast = e.Last()
	d, err = b.Check(t.Context(), req)
	require.NoError(t, err)
	require.False(t, d.Allowed, "known after a look at the store")
	require.Equal(t, e.Last(), d.Revision)

	// A revision that nobody has made.
	boss := ask(t, boss, "a.write", "office")
	boss.AtLeast = e.Last() + 1
	d, err = b.Check(t.Context(), boss)
	require.ErrorIs(t, err, authz.ErrStale)
	require.ErrorIs(t, err, authz.ErrDenied)
	require.Equal(t, authz.Stale, d.Code)
	require.False(t, d.Allowed)
	require.Equal(t, "what is known here is as of revision 2, which is older than demanded", d.Reason())
	_, err = b.Authorize(t.Context(), boss)
	require.ErrorIs(t, err, authz.ErrStale)
	require.False(t, b.last().Allowed)
	require.Equal(t, d.Reason(), b.last().Reason)
	boss.AtLeast--
	_, err = b.Authorize(t.Context(), boss)
	require.NoError(t, err)
}

// odd is a store whose history is not what it should be.
type odd struct {
	authz.Store
	skip atomic.Uint64 // a revision that the history does not have
	fail atomic.Pointer[error]
	wrap func(authz.Change) authz.Change
}

func (s *odd) Changes(ctx context.Context, after uint64) iter.Seq2[authz.Change, error] {
	return func(yield func(authz.Change, error) bool) {
		if err := s.fail.Load(); err != nil {
			yield(authz.Change{}, *err)
			return
		}
		for c, err := range s.Store.Changes(ctx, after) {
			if s.wrap != nil {
				c = s.wrap(c)
			}
			if c.Revision != s.skip.Load() && !yield(c, err) {
				return
			}
		}
	}
}

func TestAGapInTheHistoryIsLoadedAnew(t *testing.T) {
	for name, spoil := range map[string]func(s *odd){
		"a revision is missing": func(s *odd) { s.skip.Store(2) },
		"something else is removed": func(s *odd) {
			s.wrap = func(c authz.Change) authz.Change { c.Remove = nil; c.Add = nil; c.Revision += 5; return c }
		},
		"what is removed is not there": func(s *odd) {
			s.wrap = func(c authz.Change) authz.Change {
				if len(c.Remove) > 0 {
					c.Remove = []authz.Authorization{{ID: uuid.New()}}
				}
				return c
			}
		},
		"what is added cannot be, by itself": func(s *odd) {
			s.wrap = func(c authz.Change) authz.Change {
				if len(c.Add) > 0 {
					c.Add = append(c.Add, c.Add[0])
				}
				return c
			}
		},
	} {
		st := &odd{Store: authz.NewMemoryStore()}
		a := newOfficeWith(t, authz.Options{Store: st}, "", "", "allow "+boss+" role:boss office", "allow "+ana+" role:writer office")
		b := newOfficeWith(t, authz.Options{Store: st}, "", "")
		e := a.as(boss, "office")
		require.NoError(t, e.Revoke(t.Context(), a.ids[1], ""))
		a.assign(e, "allow "+ben+" role:clerk office")
		spoil(st)
		n, err := b.Refresh(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, e.Last(), n, name)
		require.False(t, b.can(ana, "a.write", "office"), name)
		require.True(t, b.can(ben, "b.read", "office"), name)
	}
	st := &odd{Store: authz.NewMemoryStore()}
	b := newOfficeWith(t, authz.Options{Store: st}, "", "", "allow "+boss+" role:boss office")
	down := errors.New("down")
	st.fail.Store(&down)
	n, err := b.Refresh(t.Context())
	require.ErrorIs(t, err, down)
	require.Equal(t, uint64(1), n)
	require.True(t, b.can(boss, "a.write", "office"))
	req := ask(t, boss, "a.write", "office")
	req.AtLeast = 2
	_, err = b.Check(t.Context(), req)
	require.ErrorIs(t, err, authz.ErrStale)
	require.ErrorIs(t, b.as(boss, "office").Rollback(t.Context(), 0, ""), down)
}

// A revocation in one process ends a live Grant in another within a second, by
// itself; at once where the other is told.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		var told []uint64
		a, b := two(t, authz.Options{Clock: time.Now, Announce: func(n uint64) { told = append(told, n) }}, "allow "+boss+" role:boss office", "allow "+ana+" role:writer office", "allow "+ben+" role:writer office")
		ctx, stop := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- b.Follow(ctx, wake, time.Second) }()
		anas, bens := grant(t, b.Authorizer, ana, "a.write", "office"), grant(t, b.Authorizer, ben, "a.write", "office")
		e := a.as(boss, "office")
		synctest.Wait()
		require.NoError(t, e.Revoke(t.Context(), a.ids[1], ""))
		synctest.Wait()
		require.NoError(t, covers(t, anas, "a.write", "office"))
		time.Sleep(time.Second)
		synctest.Wait()
		require.ErrorIs(t, covers(t, anas, "a.write", "office"), authz.ErrDenied)

		require.NoError(t, e.Revoke(t.Context(), a.ids[2], ""))
		require.NoError(t, covers(t, bens, "a.write", "office"))
		wake <- struct{}{}
		synctest.Wait()
		require.ErrorIs(t, covers(t, bens, "a.write", "office"), authz.ErrDenied)
		require.Equal(t, []uint64{2, 3}, told)

		close(wake)
		synctest.Wait()
		stop()
		require.ErrorIs(t, <-end, context.Canceled)

		// Every second where nothing else is said, and through failures.
		st := &odd{Store: authz.NewMemoryStore()}
		down := errors.New("down")
		c := newOfficeWith(t, authz.Options{Store: st, Clock: time.Now}, "", "", "allow "+boss+" role:boss office")
		d := newOfficeWith(t, authz.Options{Store: st, Clock: time.Now}, "", "")
		ctx, stop = context.WithCancel(t.Context())
		go func() { end <- d.Follow(ctx, nil, 0) }()
		synctest.Wait()
		st.fail.Store(&down)
		c.assign(c.as(boss, "office"), "allow "+ana+" role:clerk office")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, uint64(1), d.Revision())
		st.fail.Store(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, uint64(2), d.Revision())
		st.fail.Store(&down)
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
		require.ErrorIs(t, <-end, down)
	})
}

// Who is told asks back at once.
func TestAnnounceIsCalledWithoutThePen(t *testing.T) {
	var a *authz.Authorizer
	var seen []uint64
	w := newOfficeWith(t, authz.Options{Announce: func(n uint64) {
		got, err := a.Refresh(t.Context())
		require.NoError(t, err)
		seen = append(seen, n, got)
	}}, "", "", "allow "+boss+" role:boss office", "allow "+ana+" role:reader office")
	a = w.Authorizer
	w.assign(w.as(boss, "office"), "allow "+ana+" role:clerk office")
	_, err := w.Ask(t.Context(), authz.Elevation{Principal: w.line("allow " + ana + " role:clerk office").Principal, Role: authz.MustRole("role:writer"), Resource: w.line("allow " + ana + " role:clerk office").Resource, For: time.Hour, Reason: "once"})
	require.NoError(t, err)
	_, err = w.as(boss, "office").Assign(t.Context(), w.line("allow "+ana+" role:payer office"))
	require.Error(t, err)
	require.Equal(t, []uint64{2, 2, 3, 3}, seen)
}
