package authz_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
)

// crowd is an office in which everybody edits what they can.
type crowd struct {
	*office
	replica *office // of the same store
	who     []authz.Principal
	teams   []authz.Principal
	perms   []authz.Permission
	roles   []authz.Role
	defined []authz.Role
	tree    []authz.Resource
	known   []uuid.UUID
	asked   []uuid.UUID
	seen    map[uint64]map[access]bool // what was allowed at a revision
}

type access struct {
	who  authz.Principal
	perm authz.Permission
	on   authz.Resource
}

func newCrowd(t *testing.T) *crowd {
	w, other := two(t, authz.Options{}, "allow "+boss+" role:boss office", "allow "+admin+" role:admin office until 200h", "allow "+ana+" role:reader office", "allow "+ben+" role:boss office/a",
		"allow team:s role:clerk office", "member "+cara+" team:s", "allow "+ana+" role:payer office/a")
	c := &crowd{office: w, replica: other, known: slices.Clone(w.ids), seen: map[uint64]map[access]bool{}}
	for _, s := range []string{boss, admin, ana, ben, cara, "team:s", "team:u"} {
		p := authztest.Principal(t, s)
		c.who = append(c.who, p)
		if p.IsTeam() {
			c.teams = append(c.teams, p)
		}
	}
	for p := range w.Permissions() {
		c.perms = append(c.perms, p)
	}
	for r := range w.Roles() {
		c.roles = append(c.roles, r)
	}
	c.defined = []authz.Role{authz.MustRole("role:x1"), authz.MustRole("role:x2")}
	for _, s := range []string{"office", "office/a", "office/a/b", "office/ab"} {
		c.tree = append(c.tree, authztest.Resource(t, s))
	}
	c.seen[w.Revision()] = c.all(w.Authorizer)
	return c
}

// all returns what is allowed.
func (c *crowd) all(a *authz.Authorizer) map[access]bool {
	out := map[access]bool{}
	for _, p := range c.who {
		for _, perm := range c.perms {
			for _, r := range c.tree {
				d, err := a.Check(c.t.Context(), authz.Request{Principal: p, Permission: perm, Resource: r})
				require.NoError(c.t, err)
				if d.Allowed {
					out[access{p, perm, r}] = true
				}
			}
		}
	}
	return out
}

// administered returns where somebody can edit for good.
func (c *crowd) administered() map[authz.Resource]bool {
	c.clock.add(1000 * time.Hour)
	later := c.all(c.Authorizer)
	c.clock.add(-1000 * time.Hour)
	now, out := c.all(c.Authorizer), map[authz.Resource]bool{}
	for k := range now {
		if k.perm.String() == write && !k.who.IsTeam() && later[k] {
			out[k.on] = true
		}
	}
	return out
}

func draw[T any](t *rapid.T, from []T, what string) T { return rapid.SampledFrom(from).Draw(t, what) }

func (c *crowd) edits(t *rapid.T) (what authz.Edits) {
	roles := slices.Concat(c.roles, c.defined, c.defined)
	for range draw(t, []int{1, 1, 1, 2, 3}, "edits") {
		until := time.Time{}
		if rapid.IntRange(0, 2).Draw(t, "bounded") == 0 {
			until = start.Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "hours")) * time.Hour)
		}
		switch k := rapid.IntRange(0, 11).Draw(t, "edit"); {
		case k < 5:
			x := authz.Authorization{Principal: draw(t, c.who, "who"), Role: draw(t, roles, "role"), Resource: draw(t, c.tree, "on"), Effect: authz.Allow, Until: until}
			if rapid.IntRange(0, 3).Draw(t, "deny") == 0 {
				x.Effect = authz.Deny
			}
			what.Assign = append(what.Assign, x)
		case k < 7:
			what.Revoke = append(what.Revoke, draw(t, c.known, "revoked"))
		case k < 8:
			what.Expire = append(what.Expire, authz.Expiry{ID: draw(t, c.known, "expired"), Until: until})
		case k < 9:
			what.Join = append(what.Join, authz.Membership{Member: draw(t, c.who, "member"), Team: draw(t, c.teams, "team")})
		case k < 10:
			what.Leave = append(what.Leave, authz.Membership{Member: draw(t, c.who, "member"), Team: draw(t, c.teams, "team")})
		case k < 11:
			d := authz.RoleDefinition{Role: draw(t, c.defined, "defined"), Permissions: []authz.Permission{draw(t, c.perms, "permission")}}
			if rapid.Bool().Draw(t, "includes") {
				d.Includes = []authz.Role{draw(t, roles, "included")}
			}
			what.Define = append(what.Define, d)
		default:
			what.Undefine = append(what.Undefine, draw(t, c.defined, "undefined"))
		}
	}
	return what
}

// step lets somebody try something, and returns who, and whether it was done.
func (c *crowd) step(t *rapid.T, count map[string]int) {
	by := draw(t, []authz.Principal{c.who[0], c.who[1], c.who[0], c.who[3], c.who[0], c.who[2], c.who[4]}, "by")
	g, err := c.Authorize(t.Context(), authz.Request{Principal: by, Permission: authz.MustPermission(write), Resource: draw(t, append(c.tree, c.tree[0], c.tree[0], c.tree[0]), "grant")})
	if err != nil {
		count["no grant"]++
		return
	}
	e, before, admins, revision := c.Edit(g), c.all(c.Authorizer), c.administered(), c.Revision()
	switch k := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case k < 7:
		what := c.edits(t)
		expect, refused := e.Preview(t.Context(), what)
		var r authz.Receipt
		r, err = e.Commit(t.Context(), what, "")
		require.Equal(t, refused == nil, err == nil, "preview %v, commit %v", refused, err)
		c.known = append(c.known, r.IDs...)
		if errors.Is(err, authz.ErrUnknown) {
			c.known = slices.DeleteFunc(c.known, func(id uuid.UUID) bool { return len(c.known) > 5 && slices.Contains(what.Revoke, id) })
		}
		if err == nil {
			c.compare(t, expect, before)
			count["edit"]++
		}
	case k < 8:
		to := uint64(rapid.IntRange(1, int(revision)).Draw(t, "to"))
		if err = e.Rollback(t.Context(), to, ""); err == nil {
			require.Equal(t, c.seen[to], c.all(c.Authorizer), "what was allowed at revision %d", to)
			count["rollback"]++
		}
	case k < 9:
		var id uuid.UUID
		if id, err = c.Ask(t.Context(), authz.Elevation{Principal: draw(t, []authz.Principal{c.who[2], c.who[2], c.who[4]}, "asks"), Role: authz.MustRole("role:writer"), Resource: draw(t, c.tree, "for"), For: time.Hour, Reason: "x"}); err == nil {
			c.asked, c.known = append(c.asked, id), append(c.known, id)
		}
		require.Equal(t, before, c.all(c.Authorizer), "asking gives nothing")
	case len(c.asked) > 0:
		if err = e.Approve(t.Context(), draw(t, c.asked, "approved"), ""); err == nil {
			count["approval"]++
		}
	}
	after := c.all(c.Authorizer)
	if err != nil {
		require.Equal(t, revision, c.Revision())
		require.Equal(t, before, after)
		if errors.Is(err, authz.ErrLastAdministrator) {
			count["last administrator"]++
		} else if errors.Is(err, authz.ErrSeparation) {
			count["separation"]++
		}
		return
	}
	c.seen[c.Revision()] = after
	pay, check := authz.MustPermission("money.pay"), authz.MustPermission("money.check")
	for k := range after {
		if before[k] {
			continue
		}
		count["gained"]++
		mine := before[access{by, k.perm, k.on}]
		handed := (k.perm == pay || k.perm == check) && k.who != by && before[access{by, authz.MustPermission(write), k.on}]
		require.True(t, mine || handed, "%s gained %s on %s by %s, who had no such thing", k.who, k.perm, k.on, by)
		if k.perm == pay || k.perm == check {
			both := func(in map[access]bool) bool { return in[access{k.who, pay, k.on}] && in[access{k.who, check, k.on}] }
			require.False(t, both(after) && !both(before), "%s holds both on %s", k.who, k.on)
		}
	}
	is := c.administered()
	for r := range admins {
		require.True(t, is[r], "nobody administers %s any more", r)
	}
	// Others who share the store say the same.
	_, err = c.replica.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, after, c.all(c.replica.Authorizer))
}

// compare holds a preview against what happened.
func (c *crowd) compare(t *rapid.T, i authz.Impact, before map[access]bool) {
	after := c.all(c.Authorizer)
	gained, lost := 0, 0
	for _, p := range i.Principals {
		for _, r := range i.Resources {
			for _, perm := range c.perms {
				k := access{p, perm, r}
				switch {
				case after[k] && !before[k]:
					gained++
				case before[k] && !after[k]:
					lost++
				}
			}
		}
	}
	require.Equal(t, []int{gained, lost}, []int{i.Gained, i.Lost})
	require.Len(t, i.Examples, min(20, gained+lost))
	for _, x := range i.Examples {
		k := access{x.Principal, x.Permission, x.Resource}
		require.True(t, before[k] == !x.Gained && after[k] == x.Gained)
	}
	for _, in := range []map[access]bool{before, after} {
		for k := range in {
			if before[k] != after[k] {
				require.Contains(t, i.Principals, k.who)
				require.True(t, slices.ContainsFunc(i.Resources, func(r authz.Resource) bool { return r.Contains(k.on) }))
			}
		}
	}
}

// Whoever edits whatever, in any order: nobody comes to more than their giver
// had, nobody to both of what is kept apart, no resource loses its last
// administrator, a preview is what happens, a rollback to a revision gives what
// was allowed at it, and whoever follows the store agrees.
//
// evidence: P24, P25
func TestEditorsAmongThemselves(t *testing.T) {
	count := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		c := newCrowd(t)
		for range rapid.IntRange(20, 40).Draw(rt, "steps") {
			c.step(rt, count)
		}
	})
	for _, what := range []string{"edit", "rollback", "gained", "last administrator"} {
		require.Positive(t, count[what], what)
	}
	t.Log(fmt.Sprint(count))
}
