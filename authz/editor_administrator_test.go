package authz_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

func TestTheLastAdministratorStays(t *testing.T) {
	const platform = "allow " + boss + " role:boss office"
	revoke := func(w *office, e authz.Editor) error { return e.Revoke(t.Context(), w.ids[0], "") }
	expire := func(w *office, e authz.Editor) error {
		return e.Expire(t.Context(), w.ids[0], start.Add(time.Hour), "")
	}
	deny := func(l string) func(w *office, e authz.Editor) error {
		return func(w *office, e authz.Editor) error { _, err := e.Assign(t.Context(), w.line(l)); return err }
	}
	leave := func(who, team string) func(w *office, e authz.Editor) error {
		return func(w *office, e authz.Editor) error { return e.Leave(t.Context(), w.member(who, team), "") }
	}
	join := func(who, team string) func(w *office, e authz.Editor) error {
		return func(w *office, e authz.Editor) error { return e.Join(t.Context(), w.member(who, team), "") }
	}
	for name, c := range map[string]struct {
		world []string
		by    string // on office
		do    func(w *office, e authz.Editor) error
		ok    bool
	}{
		"the only one":                                   {[]string{platform}, boss, revoke, false},
		"one of two":                                     {[]string{platform, "allow " + ana + " role:admin office"}, boss, revoke, true},
		"the other is below":                             {[]string{platform, "allow " + ana + " role:admin office/x"}, boss, revoke, false},
		"the other is above":                             {[]string{platform, "allow " + ana + " role:admin yard"}, boss, revoke, false},
		"the other is for a while":                       {[]string{platform, "allow " + ana + " role:admin office until 1h"}, boss, revoke, false},
		"the other is an empty team":                     {[]string{platform, "allow team:t role:admin office"}, boss, revoke, false},
		"the other is a team of teams, empty":            {[]string{platform, "allow team:t role:admin office", "member team:s team:t"}, boss, revoke, false},
		"the other is in a team":                         {[]string{platform, "allow team:t role:admin office", "member " + ana + " team:t"}, boss, revoke, true},
		"the other is a service in a team of a team":     {[]string{platform, "allow team:t role:admin office", "member team:s team:t", "member service:root team:s"}, boss, revoke, true},
		"the other is denied":                            {[]string{platform, "allow " + ana + " role:admin office", "deny " + ana + " role:admin office"}, boss, revoke, false},
		"the other is denied in a team":                  {[]string{platform, "allow " + ana + " role:admin office", "deny team:t role:admin office", "member " + ana + " team:t"}, boss, revoke, false},
		"the other is denied somewhere below":            {[]string{platform, "allow " + ana + " role:admin office", "deny " + ana + " role:admin office/x"}, boss, revoke, false},
		"the other's deny is over":                       {[]string{platform, "allow " + ana + " role:admin office", "deny " + ana + " role:admin office until 1ns"}, boss, revoke, true},
		"the other holds another role":                   {[]string{platform, "allow " + ana + " role:writer office"}, boss, revoke, false},
		"by an end":                                      {[]string{platform}, boss, expire, false},
		"by an end, one of two":                          {[]string{platform, "allow " + ana + " role:admin office"}, boss, expire, true},
		"an end for who has one":                         {[]string{"allow " + boss + " role:boss office until 2h"}, boss, expire, true},
		"what carries no such right":                     {[]string{"allow " + ana + " role:writer office", platform}, boss, revoke, true},
		"a deny":                                         {[]string{platform}, boss, deny("deny " + boss + " role:admin office"), false},
		"a deny for a while":                             {[]string{platform}, boss, deny("deny " + boss + " role:admin office until 1h"), false},
		"a deny that takes another right":                {[]string{platform}, boss, deny("deny " + boss + " role:clerk office"), true},
		"a deny above the only one below":                {[]string{platform, "allow " + ana + " role:admin office/x"}, boss, deny("deny " + ana + " role:admin office"), true}, // the boss is above
		"a deny of a team":                               {[]string{platform, "member " + boss + " team:t"}, boss, deny("deny team:t role:admin office"), false},
		"a deny below":                                   {[]string{platform}, boss, deny("deny " + boss + " role:admin office/x"), false},
		"a deny below, of one of two":                    {[]string{platform, "allow " + ana + " role:admin office"}, boss, deny("deny " + boss + " role:admin office/x"), true},
		"leaving":                                        {[]string{"allow team:t role:boss office", "member " + boss + " team:t"}, boss, leave(boss, "team:t"), false},
		"leaving, one of two":                            {[]string{"allow team:t role:boss office", "member " + boss + " team:t", "member " + ana + " team:t"}, boss, leave(boss, "team:t"), true},
		"a team that leaves":                             {[]string{"allow team:t role:boss office", "member team:s team:t", "member " + boss + " team:s"}, boss, leave("team:s", "team:t"), false},
		"joining who is denied":                          {[]string{platform, "deny team:t role:admin office"}, boss, join(boss, "team:t"), false},
		"joining who is denied, one of two":              {[]string{platform, "allow " + ana + " role:admin office", "deny team:t role:admin office"}, boss, join(boss, "team:t"), true},
		"joining who is denied something else":           {[]string{platform, "deny team:t role:clerk office"}, boss, join(boss, "team:t"), true},
		"below, where there was nobody but from above":   {[]string{"allow " + ana + " role:admin office/x", platform}, boss, revoke, true},
		"above, with another for each part that matters": {[]string{platform, "allow " + ana + " role:admin office", "allow " + ben + " role:admin office/x", "deny " + ana + " role:admin office/x"}, boss, revoke, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOffice(t, c.world...)
			w.clock.add(1)
			e := w.as(c.by, "office")
			before := w.Revision()
			err := c.do(w, e)
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, authz.ErrLastAdministrator)
			w.refused(err, "nobody would hold "+write)
			require.Equal(t, before, w.Revision())
		})
	}
}

// A role that was defined can be what makes an administrator.
func TestTheLastAdministratorByRole(t *testing.T) {
	const keys = "role:keys"
	w := newOffice(t, "allow "+boss+" role:boss office")
	e := w.as(boss, "office")
	require.NoError(t, e.Define(t.Context(), define(keys, "role:admin"), ""))
	id := w.assign(e, "allow "+ana+" "+keys+" office")
	_, err := e.Commit(t.Context(), authz.Edits{Revoke: []uuid.UUID{w.ids[0]}, Define: []authz.RoleDefinition{define(keys, "b.read")}}, "")
	require.ErrorIs(t, err, authz.ErrLastAdministrator)
	_, err = e.Commit(t.Context(), authz.Edits{Revoke: []uuid.UUID{w.ids[0], id}, Undefine: []authz.Role{authz.MustRole(keys)}}, "")
	require.ErrorIs(t, err, authz.ErrLastAdministrator)
	require.NoError(t, e.Define(t.Context(), define(keys, "b.read"), "the boss stays"))
	require.NoError(t, e.Define(t.Context(), define(keys, "b.read", "role:admin"), ""))
	_, err = e.Commit(t.Context(), authz.Edits{Assign: []authz.Authorization{w.line("deny " + boss + " role:admin office"), w.line("deny " + ana + " " + keys + " office")}}, "")
	require.ErrorIs(t, err, authz.ErrLastAdministrator)

	// An administrator by a role that shrinks, alone.
	require.NoError(t, e.Revoke(t.Context(), w.ids[0], ""))
	by := w.as(ana, "office")
	err = by.Define(t.Context(), define(keys, "b.read"), "")
	require.ErrorIs(t, err, authz.ErrLastAdministrator)
	w.refused(err)
	require.NoError(t, by.Define(t.Context(), define(keys, "role:admin"), ""))

	// And rolled back.
	err = by.Rollback(t.Context(), 0, "")
	require.ErrorIs(t, err, authz.ErrDenied)
	lone := newOffice(t, "allow "+boss+" role:boss office")
	err = lone.as(boss, "office").Rollback(t.Context(), 0, "")
	require.ErrorIs(t, err, authz.ErrLastAdministrator)
	lone.refused(err)
}

// A policy without the permission has no administrators to lose; a condition
// makes none.
func TestAdministratorsUnderACondition(t *testing.T) {
	o := authz.Options{}
	w := newOfficeWith(t, o, "", "", "allow "+boss+" role:boss office", "allow "+ana+" role:clerk office")
	x := w.line("allow " + ana + " role:admin office")
	x.Condition = "true"
	_, err := w.as(boss, "office").Assign(t.Context(), x)
	require.NoError(t, err)
	require.ErrorIs(t, w.as(boss, "office").Revoke(t.Context(), w.ids[0], ""), authz.ErrLastAdministrator)
}
