package authz

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is asked of no Authorizer, or of one whose model keeps no
// Authorizations, is refused at every door, once, and never answered.
func TestEveryDoorOfAZeroAuthorizerIsShut(t *testing.T) {
	who, perm, at := Principal{"user:idp/ana"}, Permission{"mailbox.items.read"}, Resource{"t"}
	good, _ := audited(t, NewMemory(0), 0)
	g, err := good.Authorize(t.Context(), Request{Principal: who, Permission: perm, Resource: at})
	require.NoError(t, err)
	foreign, err := New(t.Context(), files(t, map[string]string{"model.conf": "[request_definition]\nr = sub, act, obj\n[policy_definition]\np = sub, act, obj\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n",
		foreignFile: "p, user:idp/ana, mailbox.items.read, t\n", "permissions.csv": "", "roles.csv": ""}), nil)
	require.NoError(t, err)
	d, err := foreign.Check(t.Context(), Request{Principal: who, Permission: perm, Resource: at})
	require.NoError(t, err)
	require.True(t, d.Allowed)
	for name, a := range map[string]*Authorizer{"nil": nil, "zero": {}, "foreign": foreign} {
		want := ErrDenied
		if name == "foreign" {
			want = ErrUnsupported
		}
		errs := map[string]error{}
		if name != "foreign" { // whoever is looked up by an Authorizer is known to it
			_, errs["PrincipalHandle"] = a.PrincipalHandle(who)
			_, errs["ResourceHandle"] = a.ResourceHandle(at)
			require.False(t, a.CheckHandles(PrincipalHandle{}, PermissionHandle{}, &ResourceHandle{}).Allowed())
			require.ErrorIs(t, a.CheckBatch(t.Context(), []Request{{}}, make([]Decision, 1)), want)
			_, errs["elevations"] = a.Elevations(Grant{})
			_, errs["ask"] = a.Ask(t.Context(), Elevation{For: 1})
		}
		_, errs["PermissionHandle"] = a.PermissionHandle(perm)
		n := 0
		for r, err := range a.Resources(t.Context(), who, perm, at) {
			n++
			require.True(t, r.IsZero())
			errs["Resources"] = err
		}
		for d, err := range a.Principals(t.Context(), perm, at) {
			n++
			require.Equal(t, Decision{}, d)
			errs["Principals"] = err
		}
		require.Equal(t, 2, n, name)
		for door, err := range errs {
			require.ErrorIs(t, err, want, "%s: %s", name, door)
		}
		for door, err := range map[string]error{"Authorizations": second(a.Authorizations(g, at)), "Elevations": second(a.Elevations(g)), "ExplainFor": second(a.ExplainFor(t.Context(), g, Request{Principal: who, Permission: perm, Resource: at}))} {
			require.ErrorIs(t, err, ErrDenied, "a grant of another house: %s %s", name, door)
		}
		for _, err := range a.History(t.Context(), g, 0) {
			require.ErrorIs(t, err, ErrDenied)
			n++
		}
		require.Equal(t, 3, n)
	}
	x, err := foreign.Explain(t.Context(), Request{Principal: who, Permission: Permission{"mailbox.items.write"}, Resource: at})
	require.NoError(t, err)
	require.Equal(t, Explanation{Decision: x.Decision, Reason: x.Decision.Reason()}, x, "rows of a file have no giver")
}

func second[T any](_ T, err error) error { return err }

// A list ends where its reader or its context ends, and says so in the second
// case.
func TestAListEndsWhereItIsEnded(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	for _, at := range []string{"t/a", "t/b"} {
		a.ix.apply(Change{Revision: a.Revision() + 1, Add: []Authorization{{ID: newID(), Principal: Principal{"user:idp/" + at[2:]}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow},
			{ID: newID(), Principal: Principal{"user:idp/" + at[2:]}, Role: Role{"role:user"}, Resource: Resource{at}, Effect: Allow}}})
	}
	n := 0
	for range a.Resources(t.Context(), req.Principal, req.Permission, req.Resource) {
		n++
		break
	}
	for range a.Principals(t.Context(), req.Permission, req.Resource) {
		n++
		break
	}
	require.Equal(t, 2, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for r, err := range a.Resources(ctx, req.Principal, req.Permission, req.Resource) {
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, r.IsZero())
		n++
	}
	for d, err := range a.Principals(ctx, req.Permission, req.Resource) {
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, d.Allowed)
		n++
	}
	require.Equal(t, 4, n)
	_, err := a.Explain(ctx, req)
	require.ErrorIs(t, err, context.Canceled)
	_, err = a.Check(ctx, req)
	require.ErrorIs(t, err, context.Canceled)
	for range a.Permissions() {
		n++
		break
	}
	for range a.Roles() {
		n++
		break
	}
	require.Equal(t, 6, n)
	all := 0
	for range a.ix.each() {
		all++
		break
	}
	for range after(a.ix, Change{Add: []Authorization{{}, {}}}).each() {
		all++
		break
	}
	o := after(a.ix, Change{Add: []Authorization{{}, {}}})
	for x := range o.each() {
		if all++; x.ID == [16]byte{} {
			break
		}
	}
	require.Equal(t, 2+5+1, all)
}

// What is below a deny is not gone on with: the list has to be begun again.
func TestAListDoesNotGoOnBelowADeny(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	for i, e := range []Effect{Allow, Deny} {
		_ = a.ix.apply(Change{Revision: uint64(2 + i), Add: []Authorization{{ID: newID(), Principal: req.Principal, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: e}}})
	}
	h, err := a.ResourceHandle(Resource{"t/a/b"})
	require.NoError(t, err)
	require.Equal(t, uint8(3), h.at.known)
	n := 0
	for _, err := range a.ResourcesAfter(t.Context(), req.Principal, req.Permission, req.Resource, Resource{"t/a/b"}) {
		require.ErrorIs(t, err, ErrConflict)
		n++
	}
	for _, err := range a.ResourcesAfter(t.Context(), req.Principal, req.Permission, req.Resource, Resource{"t/a"}) {
		require.ErrorIs(t, err, ErrConflict)
		n++
	}
	require.Equal(t, 2, n)
}

// Names of resources that would not fit are refused before any is kept.
func TestNamesOfResourcesHaveABound(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	c := Change{Revision: 2, Add: []Authorization{{ID: newID(), Principal: req.Principal, Role: Role{"role:user"}, Resource: Resource{"t/abc"}, Effect: Allow}}}
	used := a.ix.tree.names.used
	a.ix.tree.names.used = maxText - len("t/abc")
	require.NoError(t, a.ix.fits(c))
	a.ix.tree.names.used++
	require.ErrorContains(t, a.ix.fits(c), "names of resources")
	_, err := a.ResourceHandle(Resource{"t"})
	require.NoError(t, err)
	a.ix.tree.names.used = maxText + 1
	_, err = a.ResourceHandle(Resource{"t/new"})
	require.ErrorContains(t, err, "names of resources")
	a.ix.tree.names.used = used
	require.Zero(t, a.ix.tree.lookup("t/new"))
}
