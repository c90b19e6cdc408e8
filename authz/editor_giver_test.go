package authz_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// deskRoles: keys may change who holds what, desk hands out payer, and readers may
// ask for desk.
const deskRoles = "p, role:keys, authz.authorizations.*\np, role:desk, b.read\nd, role:desk, role:payer\ne, role:reader, role:desk\ne, role:reader, role:clerk\n"

// What a giver holds, or holds in part, and what that lets it give: each thing by
// which a holding counts for less is looked at.
func TestWhatAGiverMayGive(t *testing.T) {
	type change func(x *authz.Authorization)
	tomorrow := func(x *authz.Authorization) { x.From = start.Add(24 * time.Hour) }
	gone := func(x *authz.Authorization) { x.From, x.Until = start.Add(-2*time.Hour), start.Add(-time.Hour) }
	waits := func(x *authz.Authorization) { x.Pending, x.Until = true, start.Add(100*time.Hour) }
	when := func(c string) change { return func(x *authz.Authorization) { x.Condition = c } }
	for name, c := range map[string]struct {
		lines []string // of ben; with is applied to the last
		with  change
		gift  string
		as    change
		ok    bool
	}{
		"what one holds":                          {lines: []string{"allow role:reader office"}, gift: "allow role:reader office", ok: true},
		"denied something else":                   {lines: []string{"allow role:reader office", "deny role:clerk office"}, gift: "allow role:reader office", ok: true},
		"denied it, from tomorrow":                {lines: []string{"allow role:reader office", "deny role:reader office"}, with: tomorrow, gift: "allow role:reader office"},
		"denied it above, from tomorrow":          {lines: []string{"allow role:reader office", "deny role:reader office"}, with: tomorrow, gift: "allow role:reader office/x"},
		"denied it below, from tomorrow":          {lines: []string{"allow role:reader office", "deny role:reader office/x/y"}, with: tomorrow, gift: "allow role:reader office/x"},
		"denied it beside":                        {lines: []string{"allow role:reader office", "deny role:reader office/y"}, gift: "allow role:reader office/x", ok: true},
		"denied it once":                          {lines: []string{"allow role:reader office", "deny role:reader office"}, with: gone, gift: "allow role:reader office", ok: true},
		"the right to give denied below":          {lines: []string{"allow role:reader office", "deny role:admin office/x/y"}, gift: "allow role:reader office/x"},
		"for as long":                             {lines: []string{"allow role:reader office until 1h"}, gift: "allow role:reader office until 1h", ok: true},
		"for longer":                              {lines: []string{"allow role:reader office until 1h"}, gift: "allow role:reader office until 2h"},
		"for longer, long beside":                 {lines: []string{"allow role:reader office until 1h", "allow role:reader office/x"}, gift: "allow role:reader office until 2h"},
		"for longer, long above":                  {lines: []string{"allow role:reader office/x until 1h", "allow role:reader office"}, gift: "allow role:reader office/x until 2h", ok: true},
		"for longer, from tomorrow":               {lines: []string{"allow role:reader office until 1h", "allow role:reader office"}, with: tomorrow, gift: "allow role:reader office until 2h"},
		"for longer, if approved":                 {lines: []string{"allow role:reader office until 1h", "allow role:reader office"}, with: waits, gift: "allow role:reader office until 2h"},
		"for longer, of another role":             {lines: []string{"allow role:reader office until 1h", "allow role:clerk office"}, gift: "allow role:reader office until 2h"},
		"for longer, on a condition":              {lines: []string{"allow role:reader office until 1h", "allow role:reader office"}, with: when("true"), gift: "allow role:reader office until 2h"},
		"for longer, on the same condition":       {lines: []string{"allow role:reader office until 1h", "allow role:reader office"}, with: when("true"), gift: "allow role:reader office until 2h", as: when("true"), ok: true},
		"for longer, on another condition":        {lines: []string{"allow role:reader office until 1h", "allow role:reader office"}, with: when("true"), gift: "allow role:reader office until 2h", as: when("!(false)")},
		"on a condition, by who needs none":       {lines: []string{"allow role:reader office"}, gift: "allow role:reader office", as: when("true"), ok: true},
		"what is handed out":                      {lines: []string{"allow role:desk office"}, gift: "allow role:payer office", ok: true},
		"handed out for longer":                   {lines: []string{"allow role:desk office until 1h"}, gift: "allow role:payer office until 2h"},
		"handed out for longer, by another role":  {lines: []string{"allow role:desk office until 1h", "allow role:clerk office"}, gift: "allow role:payer office until 2h"},
		"handed out above":                        {lines: []string{"allow role:desk office/x"}, gift: "allow role:payer office"},
		"handed out from tomorrow":                {lines: []string{"allow role:desk office"}, with: tomorrow, gift: "allow role:payer office"},
		"handed out if approved":                  {lines: []string{"allow role:desk office"}, with: waits, gift: "allow role:payer office until 1h"},
		"handed out on a condition":               {lines: []string{"allow role:desk office"}, with: when("true"), gift: "allow role:payer office", as: when("true")},
		"taken by who hands it out":               {lines: []string{"allow role:desk office"}, gift: "deny role:payer office", ok: true},
		"taken by who hands it out for a while":   {lines: []string{"allow role:desk office until 1h"}, gift: "deny role:payer office", ok: true},
		"taken by who hands nothing out":          {lines: []string{"allow role:clerk office"}, gift: "deny role:payer office"},
		"taken by who will hand it out":           {lines: []string{"allow role:desk office"}, with: tomorrow, gift: "deny role:payer office"},
		"taken by who may hand it out if asked":   {lines: []string{"allow role:desk office"}, with: waits, gift: "deny role:payer office"},
		"taken by who hands it out elsewhere":     {lines: []string{"allow role:desk office/y"}, gift: "deny role:payer office/x"},
		"taken by who hands it out on conditions": {lines: []string{"allow role:desk office"}, with: when("true"), gift: "deny role:payer office"},
		"taken by who is denied to, perhaps":      {lines: []string{"allow role:desk office", "deny role:desk office"}, with: when("device == 'x'"), gift: "deny role:payer office"},
		"handed out, denied once":                 {lines: []string{"allow role:desk office", "deny role:desk office"}, with: gone, gift: "allow role:payer office", ok: true},
		"handed out, denied beside":               {lines: []string{"allow role:desk office", "deny role:desk office/y"}, gift: "allow role:payer office/x", ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			probe := &office{t: t, clock: &clock{t: start}}
			line := func(l, who string) authz.Authorization {
				effect, rest, _ := strings.Cut(l, " ")
				return probe.line(effect + " " + who + " " + rest)
			}
			var seed []authz.Authorization
			for _, l := range c.lines {
				seed = append(seed, line(l, ben))
			}
			if c.with != nil {
				c.with(&seed[len(seed)-1])
			}
			w := newOfficeWith(t, authz.Options{Seed: seed}, "", deskRoles, "allow "+ben+" role:keys office", "allow "+boss+" role:boss office")
			x := line(c.gift, ana)
			if c.as != nil {
				c.as(&x)
			}
			_, err := w.as(ben, "office").Assign(t.Context(), x)
			require.Equal(t, c.ok, err == nil, "%v", err)
			if !c.ok {
				w.refused(err, "cannot give it")
			}
		})
	}
	// Of several that are missing the first is named.
	w := newOffice(t, "allow "+ben+" role:admin office", "allow "+ben+" role:writer office until 1h", "allow "+boss+" role:boss office")
	_, err := w.as(ben, "office").Assign(t.Context(), w.line("allow "+ana+" role:writer office"))
	w.refused(err, "does not hold a.read there as long")
	_, err = w.as(ben, "office").Assign(t.Context(), w.line("allow "+ana+" role:boss office"))
	w.refused(err, "does not hold a.read there as long")
}

// Whoever is, or comes to be, one of those who gain is one of them: before the
// change and after it.
func TestJoiningAndLeavingDoNotHideTheGiver(t *testing.T) {
	lines := []string{"allow " + boss + " role:boss office", "allow " + cara + " role:boss office", "allow " + ben + " role:keys office", "allow " + ben + " role:desk office", "member " + boss + " team:in", "member " + ben + " team:in"}
	for _, c := range []struct {
		what func(w *office) authz.Edits
		by   string
		says string
	}{
		{func(w *office) authz.Edits { return authz.Edits{Join: []authz.Membership{w.member(boss, "team:out")}} }, boss, ""},
		{func(w *office) authz.Edits { return authz.Edits{Leave: []authz.Membership{w.member(boss, "team:in")}} }, boss, ""},
		{func(w *office) authz.Edits {
			return authz.Edits{Join: []authz.Membership{w.member(boss, "team:out")}, Define: []authz.RoleDefinition{define("role:out", "b.read", "a.read")}}
		}, boss, "cannot extend it"},
		{func(w *office) authz.Edits {
			return authz.Edits{Leave: []authz.Membership{w.member(boss, "team:in")}, Define: []authz.RoleDefinition{define("role:in", "b.read", "a.read")}}
		}, boss, "cannot extend it"},
		{func(w *office) authz.Edits {
			return authz.Edits{Assign: []authz.Authorization{w.line("allow team:in role:payer office")}}
		}, ben, "cannot give it"},
		{func(w *office) authz.Edits {
			return authz.Edits{Leave: []authz.Membership{w.member(ben, "team:in")}, Assign: []authz.Authorization{w.line("allow team:in role:payer office")}}
		}, ben, "cannot give it"},
		{func(w *office) authz.Edits {
			return authz.Edits{Assign: []authz.Authorization{w.line("allow team:new role:payer office")}}
		}, ben, ""},
		{func(w *office) authz.Edits {
			return authz.Edits{Join: []authz.Membership{w.member(ben, "team:new")}, Assign: []authz.Authorization{w.line("allow team:new role:payer office")}}
		}, ben, "cannot give it"},
	} {
		w := newOfficeWith(t, authz.Options{}, "", deskRoles, lines...)
		e := w.as(cara, "office")
		_, err := e.Commit(t.Context(), authz.Edits{Define: []authz.RoleDefinition{define("role:in", "b.read"), define("role:out", "b.read")}}, "")
		require.NoError(t, err)
		w.assign(e, "allow team:in role:in office")
		w.assign(e, "allow team:out role:out office")
		_, err = w.as(c.by, "office").Commit(t.Context(), c.what(w), "")
		if c.says == "" {
			require.NoError(t, err)
		} else {
			w.refused(err, c.says)
		}
	}
}

// A role is removed when nobody is left who holds it, and the same again is no
// change. Roles are listed by name.
func TestRolesThatAreHeldStay(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office")
	e := w.as(boss, "office")
	for _, r := range []string{"role:zebra", "role:apple"} {
		require.NoError(t, e.Define(t.Context(), define(r, "b.read", "role:reader"), ""))
	}
	var names []string
	for r := range w.Roles() {
		names = append(names, r.String())
	}
	require.True(t, slices.IsSorted(names), "%v", names)
	require.Contains(t, names, "role:zebra")
	one, two := w.assign(e, "allow "+ana+" role:apple office"), w.assign(e, "allow "+ben+" role:apple office")
	gone := authz.Edits{Revoke: []uuid.UUID{one}, Undefine: []authz.Role{authz.MustRole("role:apple")}}
	_, err := e.Commit(t.Context(), gone, "")
	require.ErrorContains(t, err, "revoke that first")
	require.ErrorContains(t, err, ben)
	require.NoError(t, e.Define(t.Context(), define("role:apple", "b.read", "role:reader"), "the same"))
	cs := history(t, w, grant(t, w.Authorizer, boss, read, "office"), w.Revision()-1)
	require.Empty(t, cs, "nothing in it to show")
	require.NoError(t, e.Join(t.Context(), w.member(ana, "team:t"), ""))
	_, err = e.Commit(t.Context(), authz.Edits{Join: []authz.Membership{w.member(ana, "team:t"), w.member(ben, "team:t"), w.member(ben, "team:t")}}, "twice and again")
	require.NoError(t, err)
	require.Contains(t, w.last().Reason, ben+" joins team:t")
	require.NotContains(t, w.last().Reason, ana+" joins")
	require.NotContains(t, w.last().Reason, "joins team:t; ")
	gone.Revoke = append(gone.Revoke, two)
	_, err = e.Commit(t.Context(), gone, "")
	require.NoError(t, err)

	// Who cannot give one role may make another.
	require.NoError(t, w.as(boss, "office").Define(t.Context(), define("role:boss2", "role:boss"), ""))
	w.assign(e, "allow "+cara+" role:admin office")
	w.assign(e, "allow "+cara+" role:reader office")
	require.NoError(t, w.as(cara, "office").Define(t.Context(), define("role:look", "a.read"), ""))
}

// Roles that include one another crosswise are worked out once each.
func TestRolesThatIncludeEachOtherCrosswise(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office")
	var what authz.Edits
	name := func(level, i int) string { return fmt.Sprintf("role:l%d-%d", level, i) }
	for level := range 9 {
		for i := range 30 {
			names := []string{"a.read"}
			for j := range 30 {
				if level > 0 {
					names = append(names, name(level-1, j))
				}
			}
			what.Define = append(what.Define, define(name(level, i), names...))
		}
	}
	slices.Reverse(what.Define)
	_, err := w.as(boss, "office").Commit(t.Context(), what, "")
	require.NoError(t, err)
}

// A conflict that is there already is no leave for another: of other
// Authorizations, or between the same by another row.
func TestAnOldConflictIsNoLeaveForANewOne(t *testing.T) {
	lines := []string{"allow " + boss + " role:boss office", "allow " + boss + " role:both office", "allow " + ana + " role:payer office/x", "allow " + ana + " role:checker office/x"}
	for name, c := range map[string]struct {
		gift, says string
	}{
		"nothing to do with it":    {"allow " + ana + " role:reader office", ""},
		"another who checks":       {"allow " + ana + " role:checker office", "on office/x: conflicts with ID2, role:payer on office/x"},
		"another who pays":         {"allow " + ana + " role:payer office", "on office/x: conflicts with ID3, role:checker on office/x"},
		"one who checks elsewhere": {"allow " + ana + " role:checker office/y", ""},
		"one who checks below":     {"allow " + ana + " role:checker office/x/z", "on office/x/z: conflicts with ID2, role:payer on office/x"},
	} {
		w := newOfficeWith(t, authz.Options{}, "", "d, role:both, role:payer\nd, role:both, role:checker\np, role:both, a.read\n", lines...)
		_, err := w.as(boss, "office").Assign(t.Context(), w.line(c.gift))
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, authz.ErrSeparation, name)
		says := c.says
		for i, id := range w.ids {
			says = strings.ReplaceAll(says, fmt.Sprintf("ID%d", i), id.String())
		}
		require.ErrorContains(t, err, says, name)
	}

	// One after the other is not both at once.
	w := newOffice(t, "allow "+boss+" role:admin office", "allow "+ana+" role:payer office until 1h")
	x := w.line("allow " + ana + " role:checker office")
	x.From = start.Add(time.Hour)
	_, err := w.as(boss, "office").Assign(t.Context(), x)
	require.NoError(t, err)
	x.From = start.Add(time.Hour - 1)
	_, err = w.as(boss, "office").Assign(t.Context(), x)
	require.ErrorIs(t, err, authz.ErrSeparation)
	y := w.line("allow " + ben + " role:payer office")
	y.From = start.Add(2 * time.Hour)
	_, err = w.as(boss, "office").Assign(t.Context(), y)
	require.NoError(t, err)
	_, err = w.as(boss, "office").Assign(t.Context(), w.line("allow "+ben+" role:checker office until 2h"))
	require.NoError(t, err)
	_, err = w.as(boss, "office").Assign(t.Context(), w.line("allow "+ben+" role:checker office/x until 3h"))
	require.ErrorIs(t, err, authz.ErrSeparation)
}

// Between the same two Authorizations a second row is a second conflict; a role
// with one side only is none.
func TestARoleThatGrowsIntoAConflict(t *testing.T) {
	w := newOfficeWith(t, authz.Options{}, "", "x, money.pay, b.read\np, role:pays, money.pay\n", "allow "+cara+" role:admin office", "allow "+cara+" role:checker office", "allow "+cara+" role:reader office")
	e := w.as(cara, "office")
	require.NoError(t, e.Define(t.Context(), define("role:own", "money.check"), "one side"))
	v := newOfficeWith(t, authz.Options{}, "", "x, money.pay, b.read\n", "allow "+cara+" role:boss office", "allow "+boss+" role:admin office", "allow "+ana+" role:payer office", "allow "+cara+" role:checker office", "allow "+ben+" role:boss yard")
	f := v.as(cara, "office")
	require.NoError(t, f.Define(t.Context(), define("role:own", "a.read"), ""))
	v.assign(f, "allow "+ana+" role:own office")
	require.NoError(t, f.Define(t.Context(), define("role:own", "a.read", "a.write"), "no side"))
	require.ErrorIs(t, f.Define(t.Context(), define("role:own", "b.read"), ""), authz.ErrSeparation)
	require.ErrorIs(t, f.Define(t.Context(), define("role:own", "money.check"), ""), authz.ErrSeparation)
}

// A preview shows the resources on which something can change, in order, and none
// beside.
func TestAPreviewShowsNothingBeside(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+ana+" role:reader office/x/y", "deny "+ana+" role:reader office/x/b", "allow "+ana+" role:reader office/z", "allow "+ana+" role:reader yard", "allow "+ben+" role:reader office/x/c")
	i, err := w.as(boss, "office").Preview(t.Context(), authz.Edits{Assign: []authz.Authorization{w.line("allow " + ana + " role:reader office/x")}})
	require.NoError(t, err)
	var got []string
	for _, r := range i.Resources {
		got = append(got, r.String())
	}
	require.Equal(t, []string{"office/x", "office/x/b", "office/x/y"}, got)
	require.Equal(t, 1, i.Gained)
	require.Zero(t, i.Lost)
}
