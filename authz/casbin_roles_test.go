package authz

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A role that was defined while running means to Casbin what it means to the
// index, and so does its end.
func TestCasbinKnowsDefinedRoles(t *testing.T) {
	who, at := Principal{"user:idp/ana"}, Resource{"a"}
	boss := Principal{"user:idp/boss"}
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions + writeAuthorizations + ", give\n", "roles.csv": fewRoles + "g, role:boss, role:writer\np, role:boss, " + writeAuthorizations + "\n"}),
		&Options{Seed: []Authorization{{Principal: boss, Role: Role{"role:boss"}, Resource: at, Effect: Allow}}})
	require.NoError(t, err)
	g, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{writeAuthorizations}, Resource: at})
	require.NoError(t, err)
	e := a.Edit(g)
	agree := func(want string) {
		t.Helper()
		ix := a.ix
		for bit, p := range ix.cat().permissions {
			ok, err := a.meaning.enforce(ix, who, p, at)
			require.NoError(t, err)
			require.Equal(t, p == want, ok, p)
			require.Equal(t, ok, ix.decide(who, bit, at).Allowed)
		}
	}
	role := Role{"role:own"}
	require.NoError(t, e.Define(t.Context(), RoleDefinition{Role: role, Permissions: []Permission{{"a.read"}}}, ""))
	id, err := e.Assign(t.Context(), Authorization{Principal: who, Role: role, Resource: at, Effect: Allow})
	require.NoError(t, err)
	agree("a.read")
	require.NoError(t, e.Define(t.Context(), RoleDefinition{Role: role, Permissions: []Permission{{"a.write"}}}, ""))
	agree("a.write")
	require.NoError(t, e.Revoke(t.Context(), id, ""))
	agree("none")
	require.NoError(t, e.Undefine(t.Context(), role, ""))
	agree("none")
}
