package authz

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A list is the set of checks that are allowed, each resource and each
// principal once, whole or in pieces.
//
// evidence: P20, P23
func TestListsAreSetsOfChecks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, func(m map[string]string) *Authorizer {
			a, err := New(t.Context(), files(t, m), nil)
			require.NoError(t, err)
			return a
		})
		for range rapid.IntRange(3, 25).Draw(rt, "steps") {
			w.step(rt)
		}
		for _, p := range w.who {
			for _, perm := range w.perms {
				for _, under := range w.tree {
					want := map[Resource]bool{}
					for n := uint32(1); n < w.a.ix.tree.nodes.size(); n++ {
						r := Resource{w.a.ix.tree.path(n)}
						if under.Contains(r) && w.a.ix.decide(p, w.a.cat.number[perm.name], r).Allowed {
							want[r] = true
						}
					}
					if w.a.ix.decide(p, w.a.cat.number[perm.name], under).Allowed {
						want[under] = true
					}
					got := map[Resource]bool{}
					var order []Resource
					for r, err := range w.a.Resources(t.Context(), p, perm, under) {
						require.NoError(t, err)
						require.False(t, got[r], "%s twice", r)
						got[r] = true
						order = append(order, r)
					}
					require.Equal(t, want, got, "%s %s under %s", p, perm, under)
					if len(order) > 0 { // from any place on, the rest
						i := rapid.IntRange(0, len(order)-1).Draw(rt, "pause")
						rest := order[i+1:]
						for r, err := range w.a.ResourcesAfter(t.Context(), p, perm, under, order[i]) {
							require.NoError(t, err)
							require.NotEmpty(t, rest)
							require.Equal(t, rest[0], r)
							rest = rest[1:]
						}
						require.Empty(t, rest, "the list ended early")
					}
				}
			}
		}
		for _, perm := range w.perms {
			for _, on := range w.tree {
				var want, got []string
				for _, p := range append(slices.Clone(w.who), w.root) {
					if w.a.ix.decide(p, w.a.cat.number[perm.name], on).Allowed {
						want = append(want, p.name)
					}
				}
				for d, err := range w.a.Principals(t.Context(), perm, on) {
					require.NoError(t, err)
					require.True(t, d.Allowed && d.On.Contains(on))
					got = append(got, d.Principal.name)
				}
				slices.Sort(want)
				slices.Sort(got)
				require.Equal(t, want, got, "%s on %s", perm, on)
			}
		}
	})
}

func TestLongListsGoOn(t *testing.T) {
	w, at := Principal{"user:idp/ana"}, Resource{"t"}
	seed := []Authorization{{Principal: w, Role: Role{"role:user"}, Resource: at, Effect: Allow}}
	for i := range 3000 {
		seed = append(seed, Authorization{Principal: Principal{"user:idp/x"}, Role: Role{"role:user"}, Resource: Resource{fmt.Sprintf("t/a%d/b", i)}, Effect: Allow})
	}
	a, err := New(t.Context(), files(t, nil), &Options{Seed: seed})
	require.NoError(t, err)
	perm := Permission{"mailbox.items.read"}
	n := 0
	var last Resource
	for r, err := range a.Resources(t.Context(), w, perm, at) {
		require.NoError(t, err)
		n++
		last = r
		if n == 2500 {
			break
		}
	}
	for _, err := range a.ResourcesAfter(t.Context(), w, perm, at, last) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 6001, n)

	// What was revoked in a pause is said, not skipped.
	x := a.ix.heldBy(w)[0]
	a.ix.apply(Change{Revision: 2, Remove: []Authorization{x}})
	errs := 0
	for _, err := range a.ResourcesAfter(t.Context(), w, perm, at, last) {
		require.ErrorIs(t, err, ErrConflict)
		errs++
	}
	require.Equal(t, 1, errs)

	for _, bad := range []struct {
		p    Principal
		perm Permission
		on   Resource
		err  error
	}{{Principal{}, perm, at, ErrDenied}, {w, perm, Resource{}, ErrDenied}, {w, Permission{"no.such"}, at, ErrUnknown}} {
		for _, err := range a.Resources(t.Context(), bad.p, bad.perm, bad.on) {
			require.ErrorIs(t, err, bad.err)
		}
	}
	for _, err := range a.Principals(t.Context(), perm, Resource{}) {
		require.ErrorIs(t, err, ErrDenied)
	}
	for _, err := range a.Principals(t.Context(), Permission{"no.such"}, at) {
		require.ErrorIs(t, err, ErrUnknown)
	}
	var none *Authorizer
	for _, err := range none.Resources(t.Context(), w, perm, at) {
		require.ErrorIs(t, err, ErrDenied)
	}
}

// Handles follow what is changed after they were made, and serve nobody else.
func TestHandles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, func(m map[string]string) *Authorizer {
			a, err := New(t.Context(), files(t, m), nil)
			require.NoError(t, err)
			return a
		})
		whos, ons := map[Principal]PrincipalHandle{}, map[Resource]ResourceHandle{}
		for _, p := range w.who {
			h, err := w.a.PrincipalHandle(p)
			require.NoError(t, err)
			whos[p] = h
		}
		for _, r := range w.tree {
			h, err := w.a.ResourceHandle(r)
			require.NoError(t, err)
			ons[r] = h
		}
		for range rapid.IntRange(3, 25).Draw(rt, "steps") {
			w.step(rt)
			for _, p := range w.who {
				for _, perm := range w.perms {
					do, err := w.a.PermissionHandle(perm)
					require.NoError(t, err)
					for _, r := range w.tree {
						on := ons[r]
						d, err := w.a.Check(t.Context(), Request{Principal: p, Permission: perm, Resource: r})
						require.NoError(t, err)
						ans := w.a.CheckHandles(whos[p], do, &on)
						require.Equal(t, d.Allowed, ans.Allowed())
						require.Equal(t, d, ans.Decision())
					}
				}
			}
		}
	})
	a, _ := audited(t, NewMemory(0), time.Second)
	other, _ := audited(t, NewMemory(0), time.Second)
	who, err := a.PrincipalHandle(Principal{"user:idp/ana"})
	require.NoError(t, err)
	do, err := a.PermissionHandle(Permission{"mailbox.items.read"})
	require.NoError(t, err)
	on, err := a.ResourceHandle(Resource{"t"})
	require.NoError(t, err)
	require.True(t, a.CheckHandles(who, do, &on).Allowed())
	require.Zero(t, testing.AllocsPerRun(100, func() { a.CheckHandles(who, do, &on) }))
	for name, ans := range map[string]Answer{"another house": other.CheckHandles(who, do, &on), "no principal": a.CheckHandles(PrincipalHandle{}, do, &on),
		"no permission": a.CheckHandles(who, PermissionHandle{}, &on), "no resource": a.CheckHandles(who, do, nil), "zero resource": a.CheckHandles(who, do, &ResourceHandle{}),
		"no house": (*Authorizer)(nil).CheckHandles(who, do, &on), "nothing": {}} {
		require.False(t, ans.Allowed(), name)
		require.False(t, ans.Decision().Allowed, name)
	}
	_, err = a.PrincipalHandle(Principal{})
	require.ErrorIs(t, err, ErrDenied)
	_, err = a.ResourceHandle(Resource{})
	require.ErrorIs(t, err, ErrDenied)
	_, err = a.PermissionHandle(Permission{"no.such"})
	require.ErrorIs(t, err, ErrUnknown)
}
