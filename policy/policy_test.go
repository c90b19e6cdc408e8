package policy_test

import (
	"bufio"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/authz/policytest"
	"github.com/lockkeeper/lockkeeper/policy"
)

var update = flag.Bool("update", false, "write testdata/matrix.golden anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const top = "tenants/acme"

// internal are the roles of the vendor's own people.
func internal() []string {
	return []string{"role:administration", "role:support", "role:customer-success", "role:sales"}
}

type shipped struct {
	roles []string
	perms []string
}

func load(t testing.TB) shipped {
	a, err := authz.New(t.Context(), policy.Files(), nil)
	require.NoError(t, err)
	var s shipped
	for r := range a.Roles() {
		s.roles = append(s.roles, r.String())
	}
	for p, about := range a.Permissions() {
		s.perms = append(s.perms, p.String())
		require.NotEmpty(t, about, "what %s is for", p)
	}
	return s
}

// can probes every permission for somebody who holds the roles of a world.
func can(t testing.TB, w *authz.Authorizer, perms []string, who, on string) []string {
	var out []string
	for _, p := range perms {
		d, err := w.Check(t.Context(), authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(p), Resource: authztest.Resource(t, on)})
		require.NoError(t, err)
		if d.Allowed {
			out = append(out, p)
		}
	}
	return out
}

// The whole meaning of the shipped policy on one page: who with which role may
// do what. It is probed, not read from the files, so that the page says what
// holds. A change of the policy is a change of the page.
//
// evidence: P22, P24
func TestMatrix(t *testing.T) {
	s := load(t)
	var b strings.Builder
	for _, role := range s.roles {
		w := authztest.New(t, "allow user:idp/x "+role+" "+top)
		held := can(t, w.Authorizer, s.perms, "user:idp/x", top)
		require.Equal(t, held, can(t, w.Authorizer, s.perms, "user:idp/x", top+"/users/y/mailbox"), "%s counts below", role)
		require.Empty(t, can(t, w.Authorizer, s.perms, "user:idp/x", "tenants/beta"), "%s counts beside", role)
		require.Empty(t, can(t, w.Authorizer, s.perms, "user:idp/x", "tenants"), "%s counts above", role)
		require.Empty(t, can(t, w.Authorizer, s.perms, "user:idp/other", top), "%s counts for others", role)
		for r, ps := range w.Roles() {
			if r.String() == role {
				require.Len(t, held, len(ps), "what a role is said to carry is what it allows")
			}
		}
		for _, p := range s.perms {
			mark := "-"
			if slices.Contains(held, p) {
				mark = "x"
			}
			fmt.Fprintf(&b, "%s %-24s %s\n", mark, role, p)
		}
		// The same role as a deny takes exactly that.
		all := []string{"deny user:idp/x " + role + " " + top}
		for _, r := range s.roles {
			all = append(all, "allow user:idp/x "+r+" "+top)
		}
		left := can(t, authztest.New(t, all...).Authorizer, s.perms, "user:idp/x", top)
		require.Len(t, left, len(s.perms)-len(held))
		for _, p := range left {
			require.NotContains(t, held, p)
		}
	}
	const golden = "testdata/matrix.golden"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "after a look at the difference: go test ./policy -update")
}

// content says what is in somebody's mailbox or CRM, or leads to it.
func content(p string) bool {
	return p == "secrets.use" || p == "connections.open" || strings.Contains(p, ".items.") || strings.Contains(p, ".attachments.") || strings.Contains(p, ".names.")
}

// The vendor's people see that a customer's synchronisation works, and nothing
// of what is synchronised.
//
// evidence: P24
func TestInternalTeamsReachNoContent(t *testing.T) {
	s := load(t)
	lines := []string{}
	for _, role := range internal() {
		require.Contains(t, s.roles, role)
		lines = append(lines, "allow user:staff/x "+role+" tenants")
		w := authztest.New(t, "allow user:staff/x "+role+" tenants")
		for _, p := range can(t, w.Authorizer, s.perms, "user:staff/x", top+"/users/ana/mailbox") {
			require.False(t, content(p), "%s has %s", role, p)
			require.NotEqual(t, "secrets.write", p, "%s could put a credential of its own", role)
		}
	}
	// Nor one person in all four teams.
	w := authztest.New(t, lines...)
	for _, p := range can(t, w.Authorizer, s.perms, "user:staff/x", top) {
		require.False(t, content(p), p)
	}
	require.True(t, slices.ContainsFunc(s.perms, content), "a test of nothing")
}

// A credential is used by connections and by nobody else, and a connection can
// do nothing else.
func TestCredentialsAreUsedByConnectionsOnly(t *testing.T) {
	s := load(t)
	for _, role := range s.roles {
		w := authztest.New(t, "allow user:idp/x "+role+" "+top)
		held := can(t, w.Authorizer, s.perms, "user:idp/x", top)
		if role == "role:connection" {
			require.Equal(t, []string{"secrets.use"}, held)
		} else {
			require.NotContains(t, held, "secrets.use", role)
		}
		if slices.Contains(held, "secrets.write") {
			require.False(t, slices.ContainsFunc(held, func(p string) bool { return strings.Contains(p, ".items.") }), "%s puts credentials and reads content", role)
		}
	}
}

// gifts are the d rows: which role may hand out which.
func gifts(t testing.TB) map[string][]string {
	f, err := policy.Files().Open("roles.csv")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	out := map[string][]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if p := strings.Split(sc.Text(), ","); p[0] == "d" {
			out[strings.TrimSpace(p[1])] = append(out[strings.TrimSpace(p[1])], strings.TrimSpace(p[2]))
		}
	}
	return out
}

// Nobody reaches its own extension: whoever holds a role, whatever it tries,
// alone, to give itself or a team of its own another one, can do afterwards
// what it could do before, and can lift no deny that stands on it.
func TestNobodyReachesItsOwnExtension(t *testing.T) {
	s := load(t)
	const me = "user:idp/me"
	tried := 0
	for _, mine := range s.roles {
		for _, wanted := range s.roles {
			w := authztest.New(t, "allow "+me+" "+mine+" "+top, "member "+me+" team:mine", "deny "+me+" "+wanted+" "+top+"/walled")
			before, walled := can(t, w.Authorizer, s.perms, me, top), can(t, w.Authorizer, s.perms, me, top+"/walled")
			g, err := w.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, me), Permission: authz.MustPermission("authz.authorizations.write"), Resource: authztest.Resource(t, top)})
			if err != nil {
				require.ErrorIs(t, err, authz.ErrDenied)
				continue
			}
			tried++
			e := w.Edit(g)
			give := func(to string) {
				_, _ = e.Assign(t.Context(), authz.Authorization{Principal: authztest.Principal(t, to), Role: authztest.Role(t, wanted), Resource: authztest.Resource(t, top), Effect: authz.Allow})
				_, _ = e.Assign(t.Context(), authz.Authorization{Principal: authztest.Principal(t, to), Role: authztest.Role(t, wanted), Resource: authztest.Resource(t, top+"/walled/x"), Effect: authz.Allow})
			}
			join := func(who, team string) {
				_ = e.Join(t.Context(), authz.Membership{Member: authztest.Principal(t, who), Team: authztest.Principal(t, team)}, "")
			}
			give(me)
			give("team:mine")
			give("team:new")
			join(me, "team:new")
			join("team:mine", "team:new")
			join(me, "team:later")
			give("team:later")
			join("team:mine", "team:last")
			give("team:last")
			if r, err := w.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, me), Permission: authz.MustPermission("authz.authorizations.read"), Resource: authztest.Resource(t, top)}); err == nil {
				list, err := w.Authorizations(r, authztest.Resource(t, top))
				require.NoError(t, err)
				for _, x := range list {
					if x.Effect == authz.Deny {
						_ = e.Revoke(t.Context(), x.ID, "")
					}
				}
			}
			require.Equal(t, before, can(t, w.Authorizer, s.perms, me, top), "%s, wanting %s", mine, wanted)
			require.Equal(t, walled, can(t, w.Authorizer, s.perms, me, top+"/walled"), "%s, wanting %s behind a deny", mine, wanted)
		}
	}
	require.Positive(t, tried)

	// And no chain of people who hand roles out leads back to a role that
	// hands out the first.
	given := gifts(t)
	require.NotEmpty(t, given)
	var walk func(role string, path []string)
	walk = func(role string, path []string) {
		require.NotContains(t, path, role, "handed out in a circle")
		for _, next := range given[role] {
			walk(next, append(path, role))
		}
	}
	for role := range given {
		walk(role, nil)
	}
	require.Equal(t, map[string][]string{"role:administration": {"role:tenant-admin"}, "role:tenant-admin": {"role:user", "role:crm-user"}}, given, "who may hand out what is changed with care")
}

// What may be handed out can be handed out, to others.
func TestHandingOut(t *testing.T) {
	for role, may := range gifts(t) {
		for _, to := range may {
			w := authztest.New(t, "allow user:idp/me "+role+" "+top)
			g, err := w.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "user:idp/me"), Permission: authz.MustPermission("authz.authorizations.write"), Resource: authztest.Resource(t, top)})
			require.NoError(t, err)
			_, err = w.Edit(g).Assign(t.Context(), authz.Authorization{Principal: authztest.Principal(t, "user:idp/x"), Role: authztest.Role(t, to), Resource: authztest.Resource(t, top+"/users/x"), Effect: authz.Allow})
			require.NoError(t, err, "%s to %s", role, to)
		}
	}
}

// Each permission is one line in the catalogue, whose text a page can show.
func TestFilesAreReadable(t *testing.T) {
	for _, n := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		b, err := fs.ReadFile(policy.Files(), n)
		require.NoError(t, err)
		require.NotContains(t, string(b), "\t")
		require.NotContains(t, string(b), "\r")
		require.True(t, strings.HasSuffix(string(b), "\n"))
		require.NotEmpty(t, strings.TrimSpace(string(b)))
	}
}

// There are tests of every row, every permission, every role and every team,
// and not just a few.
//
// evidence: P22, P24
func TestPolicyTestsAreEnough(t *testing.T) {
	files, err := policytest.Load(policy.Files())
	require.NoError(t, err)
	rep, err := policytest.RunFiles(t.Context(), policy.Files(), files, nil)
	require.NoError(t, err)
	require.True(t, rep.Passed())
	checks, _ := rep.Count(policytest.OfCheck)
	invariants, _ := rep.Count(policytest.OfInvariant)
	require.GreaterOrEqual(t, checks, 200)
	require.GreaterOrEqual(t, invariants, 20)
	require.Equal(t, len(rep.Coverage.Rules), rep.Coverage.Used(), "rows that nothing rests on")
	require.Empty(t, rep.Coverage.Permissions)
	require.Empty(t, rep.Coverage.Roles)
	byTeam := map[string]int{}
	for _, f := range files {
		for _, m := range f.World.Members {
			for _, c := range f.Checks {
				if slices.Contains(c.Who, m.Member) {
					byTeam[m.Team.String()]++
				}
			}
		}
	}
	for _, team := range []string{"team:administration", "team:support", "team:customer-success", "team:sales"} {
		require.GreaterOrEqual(t, byTeam[team], 26, "one for each permission: %s", team)
	}
	t.Logf("%d checks, %d invariants, %d results, %d rows", checks, invariants, len(rep.Results), len(rep.Coverage.Rules))
}
