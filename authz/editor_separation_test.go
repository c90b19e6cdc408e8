package authz_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// evidence: P24
func TestSeparationOfDuties(t *testing.T) {
	for name, c := range map[string]struct {
		world []string
		give  string // a line for Assign, or member
		ok    bool
	}{
		"the same resource":             {[]string{"allow " + ana + " role:payer office/x"}, "allow " + ana + " role:checker office/x", false},
		"the other way round":           {[]string{"allow " + ana + " role:checker office/x"}, "allow " + ana + " role:payer office/x", false},
		"above":                         {[]string{"allow " + ana + " role:payer office/x"}, "allow " + ana + " role:checker office", false},
		"below":                         {[]string{"allow " + ana + " role:payer office"}, "allow " + ana + " role:checker office/x/y", false},
		"beside":                        {[]string{"allow " + ana + " role:payer office/x"}, "allow " + ana + " role:checker office/y", true},
		"somebody else":                 {[]string{"allow " + ana + " role:payer office/x"}, "allow " + ben + " role:checker office/x", true},
		"a deny is no holding":          {[]string{"allow " + ana + " role:payer office/x"}, "deny " + ana + " role:checker office/x", true},
		"a deny does not part them":     {[]string{"allow " + ana + " role:payer office/x", "deny " + ana + " role:payer office/x"}, "allow " + ana + " role:checker office/x", false},
		"through one's team":            {[]string{"allow team:t role:payer office/x", "member " + ana + " team:t"}, "allow " + ana + " role:checker office/x", false},
		"through the team of a team":    {[]string{"allow team:u role:payer office/x", "member team:t team:u", "member " + ana + " team:t"}, "allow " + ana + " role:checker office/x", false},
		"to a team of who holds one":    {[]string{"allow " + ana + " role:payer office/x", "member " + ana + " team:t"}, "allow team:t role:checker office/x", false},
		"to a team around it":           {[]string{"allow " + ana + " role:payer office/x", "member team:t team:u", "member " + ana + " team:t"}, "allow team:u role:checker office/x", false},
		"to a team itself":              {[]string{"allow team:t role:payer office/x"}, "allow team:t role:checker office/x", false},
		"by joining":                    {[]string{"allow " + ana + " role:payer office/x", "allow team:t role:checker office/x"}, "member " + ana + " team:t", false},
		"by joining in two teams":       {[]string{"allow team:s role:payer office/x", "member " + ana + " team:s", "allow team:t role:checker office/x"}, "member " + ana + " team:t", false},
		"by a team that joins":          {[]string{"allow " + ana + " role:payer office/x", "member " + ana + " team:s", "allow team:t role:checker office/x"}, "member team:s team:t", false},
		"joining what is beside":        {[]string{"allow " + ana + " role:payer office/x", "allow team:t role:checker office/y"}, "member " + ana + " team:t", true},
		"what has ended is no holding":  {[]string{"allow " + ana + " role:payer office/x until 1ns"}, "allow " + ana + " role:checker office/x", true},
		"one after the other":           {[]string{"allow " + ana + " role:payer office/x until 1h"}, "later " + ana + " role:checker office/x", true},
		"what begins before that ends":  {[]string{"allow " + ana + " role:payer office/x until 3h"}, "later " + ana + " role:checker office/x", false},
		"who held both before may more": {[]string{"allow " + ana + " role:payer office/x", "allow " + ana + " role:checker office/x"}, "allow " + ana + " role:reader office", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOffice(t, append([]string{"allow " + boss + " role:admin office", "allow " + boss + " role:reader office"}, c.world...)...)
			w.clock.add(1)
			e := w.as(boss, "office")
			var err error
			if c.give[:6] == "member" {
				var who, team string
				_, err = fmt.Sscanf(c.give, "member %s %s", &who, &team)
				require.NoError(t, err)
				err = e.Join(t.Context(), w.member(who, team), "")
			} else {
				x := w.line(c.give)
				if c.give[:5] == "later" {
					x.From = start.Add(2 * time.Hour)
				}
				_, err = e.Assign(t.Context(), x)
			}
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, authz.ErrSeparation)
			w.refused(err, "both of x, money.check, money.pay")
		})
	}
}

func TestSeparationNamesWhatConflicts(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:admin office", "allow "+ana+" role:payer office/x")
	_, err := w.as(boss, "office").Assign(t.Context(), w.line("allow "+ana+" role:checker office"))
	require.EqualError(t, err, "authz: user:idp/ana would hold both of x, money.check, money.pay on office/x: conflicts with "+w.ids[1].String()+", role:payer on office/x: separation of duties: denied")
	_, err = w.as(boss, "office").Commit(t.Context(), authz.Edits{Assign: []authz.Authorization{w.line("allow " + ben + " role:checker office"), w.line("allow " + ben + " role:payer office")}}, "")
	require.ErrorIs(t, err, authz.ErrSeparation, "both at once")
	_, err = w.as(boss, "office").Commit(t.Context(), authz.Edits{Revoke: []uuid.UUID{w.ids[1]}, Assign: []authz.Authorization{w.line("allow " + ana + " role:checker office")}}, "changes desks")
	require.NoError(t, err)
}

// Roles, ends and approvals are ways to both, too.
func TestSeparationByOtherWays(t *testing.T) {
	lines := []string{"allow " + boss + " role:boss office", "allow " + boss + " role:admin office", "allow " + boss + " role:payer office", "allow " + boss + " role:checker office", // seeded so: an installation's own matter
		"allow " + cara + " role:payer office", "allow " + ana + " role:payer office until 1h"}
	w := newOfficeWith(t, authz.Options{}, "", "e, role:payer, role:checker\nb, role:payer, role:checker\n", lines...)
	e := w.as(boss, "office")
	err := e.Define(t.Context(), define("role:both", "money.pay", "money.check"), "")
	require.ErrorIs(t, err, authz.ErrSeparation)
	w.refused(err, "role:both", "both of x, money.check, money.pay")

	// A role that comes to carry the other half.
	require.NoError(t, e.Define(t.Context(), define("role:desk", "a.read"), ""))
	w.assign(e, "allow "+cara+" role:desk office/x")
	err = e.Define(t.Context(), define("role:desk", "a.read", "money.check"), "")
	require.ErrorIs(t, err, authz.ErrSeparation)
	w.refused(err, cara)

	// An end that is moved.
	x := w.line("allow " + ana + " role:checker office")
	x.From = start.Add(2 * time.Hour)
	_, err = e.Assign(t.Context(), x)
	require.NoError(t, err)
	require.ErrorIs(t, e.Expire(t.Context(), w.ids[5], start.Add(3*time.Hour), ""), authz.ErrSeparation)
	require.NoError(t, e.Expire(t.Context(), w.ids[5], start.Add(2*time.Hour), ""))

	// What is taken in an emergency, and what is approved.
	el := authz.Elevation{Principal: w.line(lines[4]).Principal, Role: authz.MustRole("role:checker"), Resource: w.line(lines[4]).Resource, For: time.Hour, Reason: "the checker is ill"}
	_, err = w.BreakGlass(t.Context(), el)
	require.ErrorIs(t, err, authz.ErrSeparation)
	w.refused(err)
	id, err := w.Ask(t.Context(), el)
	require.NoError(t, err, "it gives nothing yet")
	err = e.Approve(t.Context(), id, "")
	require.ErrorIs(t, err, authz.ErrSeparation)
	w.refused(err)

	// And what is rolled back.
	before := w.Revision()
	require.NoError(t, e.Revoke(t.Context(), w.ids[4], ""))
	hand := newHand(w, boss)
	hand("allow " + cara + " role:checker office/y")
	later := w.Revision()
	require.NoError(t, e.Revoke(t.Context(), find(t, w.Authorizer, boss, "allow "+cara+" role:checker office/y"), ""))
	require.NoError(t, e.Rollback(t.Context(), later, ""))
	require.True(t, w.can(cara, "money.check", "office/y"))
	require.NoError(t, e.Rollback(t.Context(), before, "both go back at once"))
	require.True(t, w.can(cara, "money.pay", "office"))
	require.False(t, w.can(cara, "money.check", "office/y"))
}

func newHand(w *office, who string) func(line string) {
	return func(l string) { w.t.Helper(); w.assign(w.as(who, "office"), l) }
}
