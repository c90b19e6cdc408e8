package authz_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

func TestPreviewChangesNothing(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:writer office", "member "+ben+" team:t", "deny "+ben+" role:clerk office/x/y")
	e := w.as(boss, "office")
	revision, records := w.Revision(), len(w.audit.Records())
	what := authz.Edits{
		Assign: []authz.Authorization{w.line("allow team:t role:clerk office/x")},
		Revoke: []uuid.UUID{w.ids[1]},
		Join:   []authz.Membership{w.member(cara, "team:t")},
		Define: []authz.RoleDefinition{define("role:r", "a.read")},
	}
	replay := []authz.Request{ask(t, ana, "a.write", "office"), ask(t, ana, "b.read", "office"), ask(t, cara, "b.read", "office/x/z"), ask(t, boss, "a.write", "office")}
	got, err := e.Preview(t.Context(), what, replay...)
	require.NoError(t, err)
	require.Equal(t, revision, w.Revision())
	require.Len(t, w.audit.Records(), records)
	require.True(t, w.can(ana, "a.write", "office"))
	require.False(t, w.can(cara, "b.read", "office/x"))

	names := func(ps []authz.Principal) (out []string) {
		for _, p := range ps {
			out = append(out, p.String())
		}
		return out
	}
	require.Equal(t, []string{"team:t", ana, ben, cara}, names(got.Principals))
	require.Len(t, got.Resources, 3)
	// team:t, ben and cara read b on office/x, the first and the last below it too; ana loses two on each of three.
	require.Equal(t, 5, got.Gained)
	require.Equal(t, 6, got.Lost)
	require.Len(t, got.Examples, 11)
	require.Equal(t, authz.Access{Principal: got.Principals[0], Permission: authz.MustPermission("b.read"), Resource: got.Resources[1], Gained: true}, got.Examples[0])
	require.Len(t, got.Flips, 2)
	require.True(t, got.Flips[0].Before.Allowed && !got.Flips[0].After.Allowed && got.Flips[0].Request == replay[0])
	require.True(t, !got.Flips[1].Before.Allowed && got.Flips[1].After.Allowed && got.Flips[1].Request == replay[2])
	require.Equal(t, "user:idp/cara, through team:t, holds role:clerk on office/x", got.Flips[1].After.Reason())

	r, err := e.Commit(t.Context(), what, "as previewed")
	require.NoError(t, err)
	require.Equal(t, revision+1, r.Revision, "one revision")
	require.Len(t, r.IDs, 1)
	require.Equal(t, r.IDs[0], find(t, w.Authorizer, boss, "allow team:t role:clerk office/x"))
	require.False(t, w.can(ana, "a.write", "office"))
	require.True(t, w.can(cara, "b.read", "office/x"))
	require.Len(t, w.audit.Records(), records+2, "one for the change, one for the Grant to find what it made")

	// A role in use shows where it is used; many examples are cut off.
	require.NoError(t, e.Define(t.Context(), define("role:r", "a.read"), ""))
	for _, on := range []string{"office/1", "office/2", "office/3", "office/4", "office/5", "office/6", "office/7", "office/8"} {
		w.assign(e, "allow "+ana+" role:r "+on)
	}
	got, err = e.Preview(t.Context(), authz.Edits{Define: []authz.RoleDefinition{define("role:r", "a.read", "a.write", "b.read", read)}})
	require.NoError(t, err)
	require.Equal(t, []string{ana}, names(got.Principals))
	require.Len(t, got.Resources, 8)
	require.Equal(t, 24, got.Gained)
	require.Zero(t, got.Lost)
	require.Len(t, got.Examples, 20)
}

func TestPreviewIsRefusedAsTheRealThing(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:admin office", "allow "+ana+" role:payer office/x")
	e := w.as(boss, "office")
	for _, what := range []authz.Edits{
		{Assign: []authz.Authorization{w.line("allow " + ana + " role:writer office")}},
		{Assign: []authz.Authorization{w.line("allow " + ana + " role:checker office")}},
		{Assign: []authz.Authorization{w.line("allow " + ana + " role:checker yard")}},
		{Revoke: []uuid.UUID{w.ids[0]}},
		{Revoke: []uuid.UUID{uuid.New()}},
		{Define: []authz.RoleDefinition{define("role:r", "a.read")}},
	} {
		n := len(w.audit.Records())
		_, preview := e.Preview(t.Context(), what)
		require.Error(t, preview)
		require.Len(t, w.audit.Records(), n)
		_, commit := e.Commit(t.Context(), what, "")
		require.EqualError(t, commit, preview.Error())
	}
	_, err := e.Preview(t.Context(), authz.Edits{}, ask(t, ana, "a.read", "yard"))
	require.ErrorIs(t, err, authz.ErrDenied, "what others hold elsewhere is not the editor's to see")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = e.Preview(ctx, authz.Edits{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = authz.Editor{}.Preview(t.Context(), authz.Edits{})
	require.ErrorIs(t, err, authz.ErrDenied)
}

// All or nothing, and no edit is the ground on which another stands.
func TestEditsDoNotPaveTheWay(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:admin office", "allow team:t role:payer office", "deny "+boss+" role:clerk office", "allow "+boss+" role:clerk office", "allow "+cara+" role:boss office")
	e := w.as(boss, "office")
	for name, what := range map[string]authz.Edits{
		"hold it, then give it":              {Assign: []authz.Authorization{w.line("allow " + boss + " role:payer office"), w.line("allow " + ana + " role:payer office")}},
		"empty team, joined and filled":      {Join: []authz.Membership{w.member(boss, "team:new")}, Assign: []authz.Authorization{w.line("allow team:new role:payer office")}},
		"end a deny, then give":              {Revoke: []uuid.UUID{w.ids[2]}, Assign: []authz.Authorization{w.line("allow " + ana + " role:clerk office")}},
		"a role, made and given":             {Define: []authz.RoleDefinition{define("role:r", "a.write")}, Assign: []authz.Authorization{w.line("allow " + ana + " role:r office")}},
		"one bad among good":                 {Assign: []authz.Authorization{w.line("allow " + ana + " role:payer office"), w.line("allow " + ana + " role:boss office")}},
		"a team joins a team that is filled": {Join: []authz.Membership{w.member("team:s", "team:u"), w.member(boss, "team:s")}, Assign: []authz.Authorization{w.line("allow team:u role:payer office")}},
	} {
		before := w.Revision()
		_, err := e.Commit(t.Context(), what, "")
		require.ErrorIs(t, err, authz.ErrDenied, name)
		require.Equal(t, before, w.Revision(), name)
	}
	require.False(t, w.can(ana, "money.pay", "office"))
	_, err := e.Commit(t.Context(), authz.Edits{Revoke: make([]uuid.UUID, 10_001)}, "")
	require.ErrorContains(t, err, "10000 at most")
	x := w.line("allow " + ana + " role:payer office until 1h")
	x.Pending = true
	y := w.line("allow " + ana + " role:payer office")
	y.ApprovedBy = y.Principal
	z := w.line("allow " + ana + " role:payer office")
	z.Reason = "break-glass: not at all"
	for _, x := range []authz.Authorization{x, y, z} {
		_, err = e.Assign(t.Context(), x)
		w.refused(err)
	}
	_, err = e.Commit(t.Context(), authz.Edits{Join: []authz.Membership{w.member(ana, "team:e"), w.member(ana, "team:e")}}, "twice is once")
	require.NoError(t, err)
	require.NoError(t, e.Leave(t.Context(), w.member(ana, "team:e"), ""))
}
