package authz_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

func history(t testing.TB, w *office, g authz.Grant, after uint64) (out []authz.Change) {
	t.Helper()
	for c, err := range w.History(t.Context(), g, after) {
		require.NoError(t, err)
		out = append(out, c)
	}
	return out
}

func TestHistoryShowsWhatTheGrantCovers(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:admin office/x")
	e := w.as(boss, "office")
	x := w.assign(e, "allow "+ben+" role:clerk office/x")
	y := w.assign(e, "allow team:t role:clerk office/y")
	require.NoError(t, e.Join(t.Context(), w.member(ben, "team:t"), "helps out"))
	require.NoError(t, e.Define(t.Context(), define("role:r", "a.read"), "a role"))
	_, err := e.Commit(t.Context(), authz.Edits{Revoke: []uuid.UUID{x, y}}, "both gone")
	require.NoError(t, err)

	all := history(t, w, grant(t, w.Authorizer, boss, read, "office"), 0)
	require.Len(t, all, 5, "the membership in a team that holds nothing is not shown")
	for i, n := range []uint64{1, 2, 3, 5, 6} {
		require.Equal(t, n, all[i].Revision)
	}
	require.Len(t, all[0].Add, 2)
	require.Equal(t, x, all[1].Add[0].ID)
	require.Equal(t, boss, all[1].Author.String())
	require.Equal(t, "a role", all[3].Reason)
	require.Len(t, all[4].Remove, 2)
	require.Equal(t, "both gone", all[4].Reason)
	require.Equal(t, start, all[4].Time)
	require.Equal(t, all[2:], history(t, w, grant(t, w.Authorizer, boss, read, "office"), 2))
	require.Empty(t, history(t, w, grant(t, w.Authorizer, boss, read, "office"), 99))

	part := history(t, w, grant(t, w.Authorizer, ana, read, "office/x"), 0)
	require.Len(t, part, 4)
	require.Len(t, part[0].Add, 1, "what stands above is not shown")
	require.Equal(t, x, part[1].Add[0].ID)
	require.Len(t, part[3].Remove, 1)
	require.Equal(t, x, part[3].Remove[0].ID)
	require.Empty(t, part[3].Reason, "it may be about what is not shown")
	require.Len(t, history(t, w, grant(t, w.Authorizer, boss, read, "office"), 0)[4].Remove, 2, "nothing was cut from what is kept")

	w.assign(e, "allow team:t role:clerk office/y")
	all = history(t, w, grant(t, w.Authorizer, boss, read, "office"), 3)
	require.Equal(t, []authz.Membership{w.member(ben, "team:t")}, all[0].Join)
	for _, c := range history(t, w, grant(t, w.Authorizer, ana, read, "office/x"), 3) {
		require.Empty(t, c.Join)
	}

	g := grant(t, w.Authorizer, boss, write, "office")
	other := newOffice(t, "allow "+boss+" role:boss office")
	live := grant(t, w.Authorizer, ana, read, "office/x")
	for name, g := range map[string]authz.Grant{"zero": {}, "to write": g, "of another house": grant(t, other.Authorizer, boss, read, "office")} {
		n := 0
		for c, err := range w.History(t.Context(), g, 0) {
			require.ErrorIs(t, err, authz.ErrDenied, name)
			require.Equal(t, authz.Change{}, c)
			n++
		}
		require.Equal(t, 1, n, name)
	}
	// A Grant that ends while it is read ends the reading.
	n := 0
	for _, err := range w.History(t.Context(), live, 0) {
		if n++; n == 1 {
			require.NoError(t, err)
			require.NoError(t, e.Revoke(t.Context(), w.ids[1], ""))
			continue
		}
		require.ErrorIs(t, err, authz.ErrDenied)
	}
	require.Equal(t, 2, n)
	for range w.History(t.Context(), grant(t, w.Authorizer, boss, read, "office"), 0) {
		break
	}
}

func TestRollback(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:writer office/x", "deny "+ben+" role:clerk office", "member "+cara+" team:t", "allow team:t role:reader office")
	e := w.as(boss, "office")
	require.NoError(t, e.Define(t.Context(), define("role:r", "a.read"), ""))
	w.assign(e, "allow "+ben+" role:r office")
	good := w.Revision()

	require.NoError(t, e.Revoke(t.Context(), w.ids[1], ""))
	require.NoError(t, e.Revoke(t.Context(), w.ids[2], ""))
	w.assign(e, "allow "+ben+" role:clerk office")
	require.NoError(t, e.Leave(t.Context(), w.member(cara, "team:t"), ""))
	require.NoError(t, e.Join(t.Context(), w.member(ben, "team:t"), ""))
	require.NoError(t, e.Join(t.Context(), w.member(ben, "team:t"), "twice"))
	require.NoError(t, e.Define(t.Context(), define("role:r", "b.read"), ""))
	require.NoError(t, e.Define(t.Context(), define("role:s", "role:r"), ""))
	w.assign(e, "allow "+cara+" role:s office")
	require.NoError(t, e.Expire(t.Context(), w.ids[3], start.Add(time.Hour), ""))
	require.NoError(t, e.Expire(t.Context(), w.ids[3], start.Add(2*time.Hour), ""))
	bad := w.Revision()

	require.ErrorIs(t, e.Rollback(t.Context(), bad, ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Rollback(t.Context(), bad+9, ""), authz.ErrUnknown)
	require.NoError(t, e.Rollback(t.Context(), good, "a bad day"))
	require.Equal(t, bad+1, w.Revision(), "one new revision")
	require.True(t, w.can(ana, "a.write", "office/x"))
	require.False(t, w.can(ben, "b.read", "office"))
	require.True(t, w.can(ben, "a.read", "office"))
	require.True(t, w.can(cara, "a.read", "office"))
	require.False(t, w.can(cara, "b.read", "office"))
	require.Equal(t, w.ids[1], find(t, w.Authorizer, boss, "allow "+ana+" role:writer office/x"), "under the id it had")
	w.clock.add(time.Minute)
	require.ErrorIs(t, e.Undefine(t.Context(), authz.MustRole("role:s"), ""), authz.ErrUnknown)

	// And turned around again.
	require.NoError(t, e.Rollback(t.Context(), bad, "not so bad"))
	require.False(t, w.can(ana, "a.write", "office/x"))
	require.True(t, w.can(ben, "b.read", "office"))
	require.True(t, w.can(cara, "b.read", "office"), "by role:s")
	require.False(t, w.can(cara, "a.read", "office"))
}

func TestRollbackIsCheckedLikeAnEdit(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+admin+" role:admin office", "allow "+ana+" role:writer office/x", "deny "+ana+" role:clerk office")
	e, lesser := w.as(boss, "office"), w.as(admin, "office")
	require.NoError(t, e.Revoke(t.Context(), w.ids[2], ""))
	w.refused(lesser.Rollback(t.Context(), 1, ""), "does not hold a.read")
	require.NoError(t, e.Rollback(t.Context(), 1, ""))
	w.assign(e, "deny "+ben+" role:clerk office")
	w.refused(lesser.Rollback(t.Context(), w.Revision()-1, ""), "does not hold b.read")
	w.refused(w.as(boss, "office/x").Rollback(t.Context(), w.Revision()-1, ""))
	w.assign(e, "allow "+ben+" role:writer office")
	require.NoError(t, lesser.Rollback(t.Context(), w.Revision()-1, "to take needs no more than for an edit"))
	require.False(t, w.can(ben, "a.write", "office"))
	require.ErrorContains(t, e.Rollback(t.Context(), 1, string(make([]byte, 1025))), "1024 at most")
	w.refused(w.as(boss, "office/x").Rollback(t.Context(), 2, ""))
}

// What has ended meanwhile comes back ended; a role that the policy has lost, and
// a history that does not reach back, are said.
func TestRollbackOfWhatIsNoMore(t *testing.T) {
	st := &odd{Store: authz.NewMemoryStore()}
	w := newOfficeWith(t, authz.Options{Store: st}, "x.read, more\n", "p, role:extra, x.read\n", "allow "+boss+" role:boss office", "allow "+boss+" role:extra office", "allow "+ana+" role:writer office until 1h", "allow "+ben+" role:extra office")
	e := w.as(boss, "office")
	require.NoError(t, e.Revoke(t.Context(), w.ids[2], ""))
	w.clock.add(2 * time.Hour)
	e = w.as(boss, "office")
	require.NoError(t, e.Rollback(t.Context(), 1, ""))
	require.False(t, w.can(ana, "a.write", "office"))
	require.Equal(t, w.ids[2], find(t, w.Authorizer, boss, "allow "+ana+" role:writer office"))

	st.skip.Store(2)
	require.ErrorContains(t, e.Rollback(t.Context(), 1, ""), "gap after revision 1")
	require.ErrorIs(t, e.Rollback(t.Context(), 1, ""), authz.ErrUnknown)
	st.skip.Store(3)
	require.ErrorContains(t, e.Rollback(t.Context(), 1, ""), "gap after revision 2")
	st.skip.Store(0)

	require.NoError(t, e.Revoke(t.Context(), w.ids[3], ""))
	require.NoError(t, e.Revoke(t.Context(), w.ids[1], ""))
	without := newOfficeWith(t, authz.Options{Store: st}, "", "")
	err := without.as(boss, "office").Rollback(t.Context(), 1, "")
	require.ErrorIs(t, err, authz.ErrUnknown)
	require.ErrorContains(t, err, "role role:extra: unknown to the policy")

	// A store that another process has written to is ahead.
	behind := newOfficeWith(t, authz.Options{Store: st}, "", "")
	require.NoError(t, w.as(boss, "office").Join(t.Context(), w.member(ana, "team:t"), ""))
	require.ErrorIs(t, behind.as(boss, "office").Rollback(t.Context(), 1, ""), authz.ErrConflict)
	down := errors.New("down")
	st.fail.Store(&down)
	for _, err := range w.History(t.Context(), grant(t, w.Authorizer, boss, read, "office"), 0) {
		require.ErrorIs(t, err, down)
	}
}
