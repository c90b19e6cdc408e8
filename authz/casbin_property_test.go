package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// casbinModel writes a model with roles, with or without domains and deny.
func casbinModel(domain, deny bool, matcher string) string {
	r, p, g, e := "sub, obj, act", "sub, obj, act", "_, _", "some(where (p.eft == allow))"
	if domain {
		r, p, g = "sub, dom, obj, act", "sub, dom, obj, act", "_, _, _"
	}
	if deny {
		p, e = p+", eft", e+" && !some(where (p.eft == deny))"
	}
	if matcher == "" {
		matcher = "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act"
		if domain {
			matcher = "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act"
		}
	}
	return fmt.Sprintf("[request_definition]\nr = %s\n[policy_definition]\np = %s\n[role_definition]\ng = %s\n[policy_effect]\ne = %s\n[matchers]\nm = %s\n", r, p, g, e, matcher)
}

// hostileNames are legal names that another notation would trip over.
func hostileNames() []string {
	return []string{
		"alice", "Alice", "admin", "role:admin", "user:casbin/alice", "team:casbin%2Fadmin", "casbin", "casbin/admin",
		"a,b", "b", "a", `"quoted"`, `'`, `\`, `\n`, "$$", "$1", "*", "%", "%2F", "%252F", "a/b", "/", "//", "/a", "a/",
		"_", "-", "..a", "...", "~", " ", " alice", "alice ", "#", "# alice", "p", "g", "r.sub", "p_sub", "allow", "deny", "true", "''",
		"stranger", "stranger~", "é", "e\u0301", "аlice", "ɑlice", "ａlice", "管理者", "x1", "x_2b", "act", "act.x", "digest", "0", "00", "2bc", "x+c",
		strings.Repeat("long/", 40), strings.Repeat("w", 200), strings.Repeat("w", 201), strings.Repeat("é", 40),
	}
}

// Small policies of random shape over hostile names: what is imported answers
// every question as Casbin does, and only circles and depth are refused.
func TestImportedPoliciesAreEqual(t *testing.T) {
	pool := hostileNames()
	imported, refused, questions := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		domain, deny := rapid.Bool().Draw(rt, "domains"), rapid.Bool().Draw(rt, "deny")
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 2, 7, rapid.ID[string]).Draw(rt, "names")
		name := rapid.SampledFrom(names)
		var rows [][]string
		for range rapid.IntRange(1, 9).Draw(rt, "p rows") {
			row := []string{"p", name.Draw(rt, "sub")}
			if domain {
				row = append(row, name.Draw(rt, "dom"))
			}
			row = append(row, name.Draw(rt, "obj"), name.Draw(rt, "act"))
			if deny {
				row = append(row, rapid.SampledFrom([]string{"allow", "allow", "deny", "maybe"}).Draw(rt, "eft"))
			}
			rows = append(rows, row)
		}
		if deny { // or there may be nothing to import
			rows = append(rows, append(append([]string{}, rows[0][:len(rows[0])-1]...), "allow"))
		}
		forward := rapid.Bool().Draw(rt, "no circles")
		for range rapid.IntRange(0, 9).Draw(rt, "g rows") {
			i, j := rapid.IntRange(0, len(names)-1).Draw(rt, "member"), rapid.IntRange(0, len(names)-1).Draw(rt, "role")
			if forward && i > j {
				i, j = j, i
			}
			row := []string{"g", names[i], names[j]}
			if domain {
				row = append(row, name.Draw(rt, "in"))
			}
			rows = append(rows, row)
		}
		e := enforcer(t, casbinModel(domain, deny, ""), rows...)
		im, err := FromCasbin(e)
		if err != nil {
			require.ErrorIs(rt, err, ErrUnsupported)
			require.Len(rt, im.NotExpressed, 1)
			require.Contains(rt, im.NotExpressed[0], "roles in a circle or nested deeper")
			require.False(rt, forward, "%q", rows)
			refused++
			return
		}
		a, err := im.authorizer(t.Context())
		require.NoError(rt, err)
		asked, differ, err := im.Prove(t.Context(), a, 1<<20)
		require.NoError(rt, err)
		require.Empty(rt, differ)
		imported, questions = imported+1, questions+asked
		for _, x := range im.Authorizations { // every name comes back whole
			req := Request{Principal: x.Principal, Permission: onlyPermission(a, x.Role), Resource: x.Resource}
			values, ok := im.Values(req)
			require.True(rt, ok)
			said, err := e.Enforce(values...)
			require.NoError(rt, err)
			d, err := a.Check(t.Context(), req)
			require.NoError(rt, err)
			require.Equal(rt, said, d.Allowed)
		}
	})
	t.Logf("%d imported, %d refused, %d questions", imported, refused, questions)
	require.Greater(t, imported, refused)
}

// onlyPermission returns the one permission that an imported role carries.
func onlyPermission(a *Authorizer, r Role) Permission {
	for role, ps := range a.Roles() {
		if role == r {
			return ps[0]
		}
	}
	return Permission{}
}

// Objects in groups: what is imported answers as Casbin does wherever the
// groups form a tree.
func TestImportedGroupsAreEqual(t *testing.T) {
	pool := hostileNames()
	conf := `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act
`
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 3, 8, rapid.ID[string]).Draw(rt, "names")
		name := rapid.SampledFrom(names)
		var rows [][]string
		for range rapid.IntRange(1, 6).Draw(rt, "p rows") {
			rows = append(rows, []string{"p", name.Draw(rt, "sub"), name.Draw(rt, "obj"), name.Draw(rt, "act")})
		}
		for i := range len(names) - 1 {
			if rapid.Bool().Draw(rt, "grouped") {
				rows = append(rows, []string{"g2", names[i], names[rapid.IntRange(i, len(names)-1).Draw(rt, "group")]})
			}
		}
		im, err := FromCasbin(enforcer(t, conf, rows...))
		require.NoError(rt, err)
		a, err := im.authorizer(t.Context())
		require.NoError(rt, err)
		_, differ, err := im.Prove(t.Context(), a, 1<<20)
		require.NoError(rt, err)
		require.Empty(rt, differ)
	})
}

// FuzzFromCasbin imports hostile policies under hostile matchers. Whatever is
// imported must be equal; everything else must be refused with a reason.
func FuzzFromCasbin(f *testing.F) {
	row := func(fields ...string) string { return strings.Join(fields, "\x1f") }
	policy := func(rows ...string) string { return strings.Join(rows, "\x1e") }
	f.Add(false, false, "", policy(row("p", "admin", "data", "read"), row("g", "alice", "admin")))
	f.Add(true, true, "", policy(row("p", "admin", "d1", "data", "read", "allow"), row("p", "alice", "d1", "data", "read", "deny"), row("g", "alice", "admin", "d1")))
	f.Add(false, false, "r.sub == p.sub && p.obj == r.obj && r.act == p.act", policy(row("p", "a,b", "\"", "$$")))
	f.Add(false, false, "r.sub == p.sub || r.act == p.act", policy(row("p", "a", "b", "c")))
	f.Add(false, false, "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act && r.sub != 'eve'", policy(row("p", "a", "b", "c")))
	f.Add(true, false, "g(r.sub, p.sub, p.dom) && p.dom == r.dom && r.obj == p.obj && r.act == p.act", policy(row("p", "a", "b", "c", "d"), row("g", "x", "a", "b")))
	f.Add(true, false, "g(r.sub, p.sub, r.dom) && r.obj == p.obj && r.act == p.act", policy(row("p", "a", "b", "c", "d"), row("g", "x", "a", "b")))
	f.Add(false, false, "r.sub == p.obj && r.obj == p.sub && r.act == p.act", policy(row("p", "a", "b", "c")))
	f.Add(false, true, "", policy(row("p", "a\x00b", "\n", "..", "allow"), row("p", "", "b", "c", "allow"), row("p", strings.Repeat("x", 65536), "b", "c", "allow")))
	f.Add(false, false, "", policy(row("p", "a", "b"), row("p", "a", "b", "c", "d"), row("g", "a", "b"), row("g", "b", "a")))
	f.Fuzz(func(t *testing.T, domain, deny bool, matcher, text string) {
		if len(text) > 1<<17 || len(matcher) > 1<<10 || strings.ContainsAny(matcher, "\n\r") {
			return
		}
		m, err := model.NewModelFromString(casbinModel(domain, deny, matcher))
		if err != nil {
			return
		}
		var rows [][]string
		for r := range strings.SplitSeq(text, "\x1e") {
			fields := strings.Split(r, "\x1f")
			if len(fields) > 1 && (fields[0] == "p" || fields[0] == "g") && len(rows) < 12 {
				rows = append(rows, fields)
			}
		}
		e, err := newEnforcerSafely(m, rows)
		if err != nil {
			return
		}
		im, err := FromCasbin(e)
		if err != nil {
			require.ErrorIs(t, err, ErrUnsupported)
			require.NotEmpty(t, im.NotExpressed)
			require.Nil(t, im.Policy)
			return
		}
		a, err := im.authorizer(context.Background())
		require.NoError(t, err)
		_, differ, err := im.Prove(context.Background(), a, 1500)
		require.NoError(t, err)
		require.Empty(t, differ)
	})
}

// newEnforcerSafely: Casbin panics at some models and policies when it loads
// them, which is none of the import's business.
func newEnforcerSafely(m model.Model, rows [][]string) (e *casbin.Enforcer, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("panics")
		}
	}()
	return casbin.NewEnforcer(m, &foreignLoader{rows})
}
