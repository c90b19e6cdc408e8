package authz

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What no edit plans, a history that was tampered with could ask for: the checks
// look at the change itself.
func TestChecksLookAtTheChangeItself(t *testing.T) {
	at, boss, ana := Resource{"a"}, Principal{"user:idp/boss"}, Principal{"user:idp/ana"}
	all := Role{"role:everything"}
	taken := Authorization{ID: newID(), Principal: ana, Role: all, Resource: at, Effect: Allow, Until: time.Now().Add(time.Hour), GrantedBy: ana, Reason: breakGlassReason + "fire"}
	given := Authorization{ID: newID(), Principal: ana, Role: all, Resource: at, Effect: Allow, Condition: "hour == 1"}
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions + writeAuthorizations + ", give\n",
		"roles.csv": fewRoles + "p, role:everything, a.*\np, role:everything, " + writeAuthorizations + "\np, role:giver, " + writeAuthorizations + "\n"}),
		&Options{Seed: []Authorization{{Principal: boss, Role: Role{"role:giver"}, Resource: at, Effect: Allow}, taken, given}})
	require.NoError(t, err)
	g, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{writeAuthorizations}, Resource: at})
	require.NoError(t, err)
	e := a.Edit(g)
	check := func(c Change) error { _, err := e.check(a.ix, c); return err }
	require.ErrorContains(t, check(Change{Remove: []Authorization{taken}}), "waits for its review")
	for _, alter := range []func(x *Authorization){
		func(x *Authorization) { x.Principal = boss },
		func(x *Authorization) { x.Role = Role{"role:giver"} },
		func(x *Authorization) { x.Resource = Resource{"a/b"} },
		func(x *Authorization) { x.Effect = Deny },
	} {
		x := given
		alter(&x)
		require.ErrorContains(t, check(Change{Remove: []Authorization{given}, Add: []Authorization{x}}), "becomes another")
	}
	// More than before is a gift, whatever grew.
	late := given
	late.ID, late.From = newID(), time.Now().Add(time.Hour)
	require.NoError(t, a.store.Apply(t.Context(), Change{Revision: 2, Add: []Authorization{late}}))
	_, err = a.Refresh(t.Context())
	require.NoError(t, err)
	for _, alter := range []func(x *Authorization){
		func(x *Authorization) { x.From = time.Time{} },
		func(x *Authorization) { x.Condition = "" },
	} {
		x := late
		alter(&x)
		require.ErrorContains(t, check(Change{Remove: []Authorization{late}, Add: []Authorization{x}}), "cannot give it")
	}
	x := late
	x.From = x.From.Add(time.Hour)
	require.NoError(t, check(Change{Remove: []Authorization{late}, Add: []Authorization{x}}), "less is none")
}
