package authz_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Of several edits each is checked: one that may be made opens no door for those
// behind it, whatever their order and kind.
func TestAnEditThatMayBeMadeOpensNoDoorForAnother(t *testing.T) {
	lines := []string{
		"allow " + boss + " role:boss office", "allow " + admin + " role:admin office", "allow " + admin + " role:reader office",
		"deny " + ana + " role:reader office", "deny " + ana + " role:clerk office", "allow team:readers role:reader office", "allow team:both role:reader office", "allow team:both role:clerk office",
		"deny team:shut role:reader office", "deny team:shut role:clerk office", "deny team:shut2 role:reader office", "member " + ben + " team:shut", "member " + ben + " team:shut2",
	}
	j := func(who, team string) func(w *office) authz.Membership {
		return func(w *office) authz.Membership { return w.member(who, team) }
	}
	for name, c := range map[string]struct {
		what func(w *office) authz.Edits
		ok   bool
	}{
		"a deny of what one holds ends": {func(w *office) authz.Edits { return authz.Edits{Revoke: w.ids[3:4]} }, true},
		"and what one does not hold is given": {func(w *office) authz.Edits {
			return authz.Edits{Revoke: w.ids[3:4], Assign: []authz.Authorization{w.line("allow " + cara + " role:clerk office")}}
		}, false},
		"and a deny of what one does not hold": {func(w *office) authz.Edits { return authz.Edits{Revoke: w.ids[3:5]} }, false},
		"what one holds is given, twice": {func(w *office) authz.Edits {
			return authz.Edits{Assign: []authz.Authorization{w.line("allow " + cara + " role:reader office"), w.line("allow " + cara + " role:reader office/x")}}
		}, true},
		"and then what one does not hold": {func(w *office) authz.Edits {
			return authz.Edits{Assign: []authz.Authorization{w.line("allow " + cara + " role:reader office"), w.line("allow " + cara + " role:clerk office")}}
		}, false},
		"a team of what one holds is joined": {func(w *office) authz.Edits { return authz.Edits{Join: []authz.Membership{j(cara, "team:readers")(w)}} }, true},
		"a team of more":                     {func(w *office) authz.Edits { return authz.Edits{Join: []authz.Membership{j(cara, "team:both")(w)}} }, false},
		"after one that may be": {func(w *office) authz.Edits {
			return authz.Edits{Join: []authz.Membership{j(cara, "team:readers")(w), j(cara, "team:both")(w)}}
		}, false},
		"a team is left, and so is a deny": {func(w *office) authz.Edits { return authz.Edits{Leave: []authz.Membership{j(ben, "team:shut2")(w)}} }, true},
		"one that was denied more":         {func(w *office) authz.Edits { return authz.Edits{Leave: []authz.Membership{j(ben, "team:shut")(w)}} }, false},
		"after one that may be left": {func(w *office) authz.Edits {
			return authz.Edits{Leave: []authz.Membership{j(ben, "team:shut2")(w), j(ben, "team:shut")(w)}}
		}, false},
		"one that is denied is joined": {func(w *office) authz.Edits { return authz.Edits{Join: []authz.Membership{j(cara, "team:shut")(w)}} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOffice(t, lines...)
			before := w.Revision()
			_, err := w.as(admin, "office").Commit(t.Context(), c.what(w), "")
			require.Equal(t, c.ok, err == nil, "%v", err)
			if !c.ok {
				w.refused(err, "cannot give it")
				require.Equal(t, before, w.Revision())
			}
		})
	}
}

// What a rollback brings back to wait gives nothing, and whoever could say no may
// take the no back.
func TestWhatWaitsAgainIsNotGiven(t *testing.T) {
	w := newOffice(t, elevationLines...)
	id, err := w.Ask(t.Context(), elevation(t, ana, "role:writer", "office/x", time.Hour))
	require.NoError(t, err)
	e := w.as(admin, "office")
	require.NoError(t, e.Reject(t.Context(), id, ""))
	require.NoError(t, e.Rollback(t.Context(), w.Revision()-1, ""))
	require.Equal(t, []uuid.UUID{id}, waiting(t, w))
	require.False(t, w.can(ana, "a.write", "office/x"))

	// Of all that a team holds each is given, in whatever order it came.
	for _, order := range [][]string{{"reader", "clerk"}, {"clerk", "reader"}} {
		w := newOffice(t, "allow "+boss+" role:boss office", "allow "+admin+" role:admin office", "allow "+admin+" role:reader office", "allow team:t role:"+order[0]+" office", "allow team:t role:"+order[1]+" office")
		w.refused(w.as(admin, "office").Join(t.Context(), w.member(ana, "team:t"), ""), "does not hold b.read")
	}
}

// What waits in a team is given to nobody by joining it.
func TestWhatWaitsInATeamIsNotGiven(t *testing.T) {
	probe := &office{t: t, clock: &clock{t: start}}
	x := probe.line("allow team:t role:clerk office until 9h")
	x.Pending = true
	w := newOfficeWith(t, authz.Options{Seed: []authz.Authorization{x}}, "", "", "allow "+boss+" role:boss office", "allow "+admin+" role:admin office")
	require.NoError(t, w.as(admin, "office").Join(t.Context(), w.member(ana, "team:t"), ""))
}

// Of several roles that are made or changed at once each is checked, in whatever
// order they are named and even if others are new.
func TestOfSeveralRolesEachIsChecked(t *testing.T) {
	for _, order := range [][]string{{"role:a", "role:b"}, {"role:b", "role:a"}, {"role:a", "role:b", "role:new", "role:z"}, {"role:z", "role:new", "role:b", "role:a"}, {"role:new", "role:a"}, {"role:a", "role:z"}} {
		for _, held := range []string{"role:a", "role:b"} {
			w := newOffice(t, "allow "+boss+" role:boss office", "allow "+cara+" role:boss office")
			e := w.as(cara, "office")
			_, err := e.Commit(t.Context(), authz.Edits{Define: []authz.RoleDefinition{define("role:a", "b.read"), define("role:b", "b.read")}}, "")
			require.NoError(t, err)
			w.assign(e, "allow "+boss+" "+held+" office/x")
			var what authz.Edits
			touches := false
			for _, r := range order {
				what.Define = append(what.Define, define(r, "b.read", "a.read"))
				touches = touches || r == held
			}
			_, err = w.as(boss, "office").Commit(t.Context(), what, "")
			require.Equal(t, touches, err != nil, "%v, holds %s: %v", order, held, err)
			if touches {
				w.refused(err, "cannot extend it")
			}
		}
	}
}

// A deny may be made longer than the giver holds what it takes; an allow may not.
func TestTakingMayOutlastTheTaker(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+admin+" role:admin office", "allow "+admin+" role:clerk office until 2h", "deny "+ana+" role:clerk office until 1h", "allow "+ana+" role:clerk office/x until 1h")
	e := w.as(admin, "office")
	require.NoError(t, e.Expire(t.Context(), w.ids[3], start.Add(3*time.Hour), ""))
	require.NoError(t, e.Expire(t.Context(), w.ids[4], start.Add(2*time.Hour), ""))
	w.refused(e.Expire(t.Context(), w.ids[4], start.Add(3*time.Hour), ""), "as long")
	w.refused(e.Expire(t.Context(), w.ids[3], start.Add(4*time.Hour), ""), "as long") // what it takes until three ends, for a moment
}

// What waits for approval, or depends on circumstances, leads to nothing further,
// and a policy without a permission to approve knows no other approver than who
// may give.
func TestOnlyWhatIsHeldLeadsToMore(t *testing.T) {
	w := newOfficeWith(t, authz.Options{}, "", "e, role:writer, role:boss\nb, role:writer, role:clerk\n", "allow "+boss+" role:boss office", "allow "+ana+" role:reader office", "allow "+ben+" role:admin office", "allow "+ben+" role:reader office", "allow "+ben+" role:clerk office")
	id, err := w.Ask(t.Context(), elevation(t, ana, "role:writer", "office", time.Hour))
	require.NoError(t, err)
	_, err = w.Ask(t.Context(), elevation(t, ana, "role:boss", "office", time.Hour))
	w.refused(err, "holds no role that leads to it")
	_, err = w.BreakGlass(t.Context(), elevation(t, ana, "role:clerk", "office", time.Hour))
	w.refused(err, "holds no role that leads to it")
	w.refused(w.as(ben, "office").Approve(t.Context(), id, ""), "cannot give it")
	require.NoError(t, w.as(boss, "office").Approve(t.Context(), id, ""))
	_, err = w.Ask(t.Context(), elevation(t, ana, "role:boss", "office", time.Hour))
	require.NoError(t, err)

	x := w.line("allow " + cara + " role:reader office")
	x.Condition = "true"
	_, err = w.as(boss, "office").Assign(t.Context(), x)
	require.NoError(t, err)
	_, err = w.Ask(t.Context(), elevation(t, cara, "role:writer", "office", time.Hour))
	w.refused(err, "holds no role that leads to it")
	_, err = w.Ask(t.Context(), elevation(t, ana, "role:writer", "office", -1))
	require.ErrorContains(t, err, "more than nothing")
}

// Who took a role in an emergency may end it early, and may not review it by that.
func TestWhoTookARoleMayEndIt(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:reader office")
	first, err := w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office/x", time.Hour))
	require.NoError(t, err)
	w.clock.add(time.Minute)
	second, err := w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office/x", time.Hour))
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{first, second}, waiting(t, w), "the oldest first")
	e := w.as(ana, "office/x")
	require.NoError(t, e.Expire(t.Context(), first, start.Add(10*time.Minute), ""))
	w.refused(e.Review(t.Context(), first, ""), "second person")
	require.Equal(t, []uuid.UUID{first, second}, waiting(t, w))
	require.NoError(t, e.Revoke(t.Context(), second, ""))
	require.False(t, func() bool { w.clock.add(10 * time.Minute); return w.can(ana, "a.write", "office/x") }())
	require.Equal(t, []uuid.UUID{first, second}, waiting(t, w))
}

// A list shows what stands on a resource, above it and below it, and nothing
// beside it.
func TestWhatStandsBesideIsNotListed(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:reader office/x", "allow "+ana+" role:reader office/x/y", "allow "+ana+" role:reader office/xx", "allow "+ana+" role:reader yard", "allow "+ana+" role:reader office/x/y/z")
	for on, want := range map[string][]int{"office": {0, 1, 2, 3, 5}, "office/x": {0, 1, 2, 5}, "office/x/y": {0, 1, 2, 5}, "office/x/y/z": {0, 1, 2, 5}, "office/xx": {0, 3}, "office/new": {0}} {
		xs, err := w.Authorizations(grant(t, w.Authorizer, boss, read, on), parse(t, "allow "+ana+" role:reader "+on).Resource)
		require.NoError(t, err)
		var got []uuid.UUID
		for _, x := range xs {
			got = append(got, x.ID)
		}
		var ids []uuid.UUID
		for _, i := range want {
			ids = append(ids, w.ids[i])
		}
		require.Equal(t, ids, got, on)
	}
}
