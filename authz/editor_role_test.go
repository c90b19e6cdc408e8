package authz_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

func TestDefine(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+cara+" role:boss office")
	e := w.as(boss, "office")
	require.NoError(t, e.Define(t.Context(), define("role:look", "a.read"), "for guests"))
	require.NoError(t, e.Define(t.Context(), define("role:both", "role:look", "role:clerk"), ""))
	require.Contains(t, w.last().Reason, "; defines role:both")
	w.assign(e, "allow "+ana+" role:both office/x")
	require.True(t, w.can(ana, "a.read", "office/x"))
	require.True(t, w.can(ana, "b.read", "office/x"))
	require.False(t, w.can(ana, "a.write", "office/x"))
	got := map[string]string{}
	for r, ps := range w.Roles() {
		got[r.String()] = fmt.Sprint(ps)
	}
	require.Equal(t, "[a.read]", got["role:look"])
	require.Equal(t, "[a.read b.read]", got["role:both"])
	require.Equal(t, "[a.read a.write]", got["role:writer"])

	// A live Grant ends when its role no longer carries it.
	g := grant(t, w.Authorizer, ana, "a.read", "office/x")
	require.NoError(t, e.Define(t.Context(), define("role:look", "a.write"), ""))
	require.ErrorIs(t, covers(t, g, "a.read", "office/x"), authz.ErrDenied)
	require.True(t, w.can(ana, "a.write", "office/x"), "through the role that includes it")
	x, err := w.Explain(t.Context(), ask(t, ana, "a.read", "office/x"))
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(x.Nearest), "role:reader")

	before := w.Revision()
	for name, c := range map[string]struct {
		d    authz.RoleDefinition
		want string
	}{
		"a role of the policy": {define("role:clerk", "a.read"), "the policy has a role of this name"},
		"no name":              {authz.RoleDefinition{}, "role: missing"},
		"nothing":              {define("role:n"), "carries nothing"},
		"unknown permission":   {define("role:n", "a.raed"), "permission a.raed: unknown"},
		"unknown role":         {define("role:n", "role:emperor"), "includes role:emperor: role unknown"},
		"itself":               {define("role:n", "role:n"), "in a circle, role:n > role:n"},
		"a circle":             {define("role:look", "role:both"), "in a circle"},
	} {
		require.ErrorContains(t, e.Define(t.Context(), c.d, ""), c.want, name)
	}
	_, err = e.Commit(t.Context(), authz.Edits{Define: []authz.RoleDefinition{define("role:n", "a.read"), define("role:n", "b.read")}}, "")
	require.ErrorContains(t, err, "defined twice")
	require.Equal(t, before, w.Revision())

	require.ErrorContains(t, e.Undefine(t.Context(), authz.MustRole("role:look"), ""), "includes role:look")
	require.ErrorContains(t, e.Undefine(t.Context(), authz.MustRole("role:both"), ""), "revoke that first")
	require.ErrorIs(t, e.Undefine(t.Context(), authz.MustRole("role:clerk"), ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Undefine(t.Context(), authz.MustRole("role:nobody"), ""), authz.ErrUnknown)
	_, err = e.Commit(t.Context(), authz.Edits{Undefine: []authz.Role{authz.MustRole("role:both"), authz.MustRole("role:both")}}, "")
	require.ErrorContains(t, err, "named twice")
	_, err = e.Commit(t.Context(), authz.Edits{Undefine: []authz.Role{authz.MustRole("role:look"), authz.MustRole("role:both")},
		Revoke: []uuid.UUID{find(t, w.Authorizer, boss, "allow "+ana+" role:both office/x")}}, "all at once")
	require.NoError(t, err)
	require.Contains(t, w.last().Reason, "; undefines role:look; undefines role:both")
	_, err = e.Assign(t.Context(), w.line("allow "+ana+" role:both office/x"))
	require.ErrorIs(t, err, authz.ErrUnknown)
}

func TestDefinedRolesNestTenDeep(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:boss office")
	e := w.as(boss, "office")
	require.NoError(t, e.Define(t.Context(), define("role:d0", "a.read"), ""))
	for i := range 9 {
		require.NoError(t, e.Define(t.Context(), define(fmt.Sprintf("role:d%d", i+1), fmt.Sprintf("role:d%d", i)), ""))
	}
	w.assign(e, "allow "+ana+" role:d9 office")
	require.True(t, w.can(ana, "a.read", "office"))
	require.ErrorContains(t, e.Define(t.Context(), define("role:d10", "role:d9"), ""), "deeper than 10")
}

func TestDefiningIsGiving(t *testing.T) {
	const team = "team:desk"
	base := []string{"allow " + boss + " role:boss office", "allow " + cara + " role:boss office", "allow " + cara + " role:boss yard", "member " + ben + " " + team, "allow " + ben + " role:boss office"}
	for name, c := range map[string]struct {
		held  []string // lines with role:r, which carries b.read
		to    authz.RoleDefinition
		by    string
		on    string
		other string // another line of the world
		ok    bool
	}{
		"nobody holds it":             {nil, define("role:r", "a.read"), boss, "office", "", true},
		"what one does not hold":      {nil, define("role:r", "money.pay"), boss, "office", "", false},
		"what one may hand out only":  {nil, define("role:r", "role:payer"), boss, "office", "", false},
		"held within the Grant":       {[]string{"allow " + ana + " role:r office/x"}, define("role:r", "a.read"), boss, "office", "", true},
		"held outside the Grant":      {[]string{"allow " + ana + " role:r office/x"}, define("role:r", "a.read"), boss, "office/y", "", false},
		"held outside, by who may":    {[]string{"allow " + ana + " role:r yard"}, define("role:r", "a.read"), cara, "office", "", false},
		"held where one is denied":    {[]string{"allow " + ana + " role:r office/x"}, define("role:r", "a.read"), boss, "office/x", "deny " + boss + " role:writer office/x/y", false},
		"extended by who holds it":    {[]string{"allow " + boss + " role:r office/x"}, define("role:r", "b.read", "a.read"), boss, "office", "", false},
		"by who holds it in a team":   {[]string{"allow " + team + " role:r office/x"}, define("role:r", "b.read", "a.read"), ben, "office", "", false},
		"reduced by who holds it":     {[]string{"allow " + boss + " role:r office/x", "allow " + boss + " role:r2 office/x"}, define("role:r2", "b.read"), boss, "office", "", true},
		"extended by somebody else":   {[]string{"allow " + boss + " role:r office/x"}, define("role:r", "b.read", "a.read"), cara, "office", "", true},
		"a deny that shrinks":         {[]string{"deny " + ana + " role:r office/x"}, define("role:r", "a.read"), boss, "office", "", true},
		"a deny that one is under":    {[]string{"deny " + ana + " role:r office/x", "deny " + boss + " role:r office/x"}, define("role:r", "a.read"), boss, "office", "", false},
		"by way of what it includes":  {[]string{"allow " + boss + " role:outer office/x"}, define("role:r", "b.read", "a.read"), boss, "office", "", false},
		"undone by who lacks it":      {nil, define("role:r", "a.read"), admin, "office", "allow " + admin + " role:admin office", false},
		"an ended one does not count": {[]string{"allow " + boss + " role:r office/x until 1ns"}, define("role:r", "b.read", "a.read"), boss, "office", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			lines := base
			if c.other != "" {
				lines = append(lines[:len(lines):len(lines)], c.other)
			}
			w := newOffice(t, lines...)
			e := w.as(cara, "office")
			_, err := e.Commit(t.Context(), authz.Edits{Define: []authz.RoleDefinition{define("role:r", "b.read"), define("role:outer", "role:r"), define("role:r2", "b.read", "a.read")}}, "")
			require.NoError(t, err)
			for _, l := range c.held {
				on := "office"
				if w.line(l).Resource.String() == "yard" {
					on = "yard"
				}
				w.assign(w.as(cara, on), l)
			}
			w.clock.add(1)
			by := w.as(c.by, c.on)
			err = by.Define(t.Context(), c.to, "")
			require.Equal(t, c.ok, err == nil, "%v", err)
			if !c.ok {
				w.refused(err)
			}
		})
	}
	w := newOffice(t, "allow "+boss+" role:boss office", "allow "+admin+" role:admin office")
	require.NoError(t, w.as(boss, "office").Define(t.Context(), define("role:r", "b.read"), ""))
	w.refused(w.as(admin, "office").Undefine(t.Context(), authz.MustRole("role:r"), ""))
	require.NoError(t, w.as(boss, "office").Define(t.Context(), define("role:r", "b.read"), "again is nothing new"))
	require.NoError(t, w.as(boss, "office").Undefine(t.Context(), authz.MustRole("role:r"), ""))
}

// What was defined is there when the store is opened again, and a policy that no
// longer fits it is refused.
func TestDefinedRolesAreKept(t *testing.T) {
	st := authz.NewMemoryStore()
	w := newOfficeWith(t, authz.Options{Store: st}, "", "", "allow "+boss+" role:boss office")
	e := w.as(boss, "office")
	require.NoError(t, e.Define(t.Context(), define("role:look", "b.read"), ""))
	w.assign(e, "allow "+ana+" role:look office")
	again := newOfficeWith(t, authz.Options{Store: st}, "", "")
	require.True(t, again.can(ana, "b.read", "office"))
	_, err := authz.New(t.Context(), officePolicy(t, "", "p, role:look, a.read\n"), &authz.Options{Store: st})
	require.ErrorContains(t, err, "the policy has a role of this name")
}
