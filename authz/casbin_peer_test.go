package authz

import (
	"testing"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/stretchr/testify/require"
)

// newPlainCasbin is Casbin without anything of ours: roles with domains, a
// domain being a resource, permission compared first since that is cheapest.
func newPlainCasbin(b testing.TB, w *benchWorld) (*casbin.Enforcer, [][]any) {
	m, err := model.NewModelFromString(`
[request_definition]
r = sub, act, d0, d1, d2, d3, d4
[policy_definition]
p = act, role, eft
[role_definition]
g = _, _, _
g2 = _, _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.act == p.act && (p.eft == "allow" && (g(r.sub, p.role, r.d0) || g(r.sub, p.role, r.d1) || g(r.sub, p.role, r.d2) || g(r.sub, p.role, r.d3) || g(r.sub, p.role, r.d4)) || p.eft == "deny" && (g2(r.sub, p.role, r.d0) || g2(r.sub, p.role, r.d1) || g2(r.sub, p.role, r.d2) || g2(r.sub, p.role, r.d3) || g2(r.sub, p.role, r.d4)))
`)
	require.NoError(b, err)
	e, err := casbin.NewEnforcer(m)
	require.NoError(b, err)
	var rows [][]string
	for i, r := range w.roles {
		for _, p := range w.carry[i] {
			rows = append(rows, []string{w.perms[p].name, r.name, "allow"}, []string{w.perms[p].name, r.name, "deny"})
		}
	}
	_, err = e.AddPolicies(rows)
	require.NoError(b, err)
	seen := map[[4]string]bool{}
	var allow, deny [][]string
	for _, x := range w.given {
		k := [4]string{x.Principal.name, x.Role.name, x.Resource.path, x.Effect.String()}
		if seen[k] {
			continue
		}
		seen[k] = true
		if x.Effect == Allow {
			allow = append(allow, k[:3:3])
		} else {
			deny = append(deny, k[:3:3])
		}
	}
	_, err = e.AddNamedGroupingPolicies("g", allow)
	require.NoError(b, err)
	if len(deny) > 0 {
		_, err = e.AddNamedGroupingPolicies("g2", deny)
		require.NoError(b, err)
	}
	qs := make([][]any, len(w.reqs))
	for i, r := range w.reqs {
		q := []any{r.Principal.name, r.Permission.name}
		for level := range 5 {
			q = append(q, prefix(r.Resource.path, level))
		}
		qs[i] = q
	}
	return e, qs
}
