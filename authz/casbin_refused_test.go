package authz

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/effector"
	"github.com/casbin/casbin/v2/rbac"
	defaultrolemanager "github.com/casbin/casbin/v2/rbac/default-role-manager"
	"github.com/casbin/casbin/v2/util"
	"github.com/stretchr/testify/require"
)

// What an Enforcer was told in code is not in its files, and counts.
func TestImportSeesWhatCodeSet(t *testing.T) {
	rows := [][]string{{"p", "admin", "data", "read"}, {"g", "alice", "admin"}}
	for _, c := range []struct {
		name string
		set  func(e *casbin.Enforcer)
		want string
	}{
		{"nothing", func(*casbin.Enforcer) {}, ""},
		{"switched off", func(e *casbin.Enforcer) {
			reflect.ValueOf(e).MethodByName("Enable" + "Enforce").Call([]reflect.Value{reflect.ValueOf(false)})
		}, "switched off"},
		{"JSON", func(e *casbin.Enforcer) { e.EnableAcceptJsonRequest(true) }, "as JSON"},
		{"an effector", func(e *casbin.Enforcer) { e.SetEffector(struct{ effector.Effector }{}) }, "an Effector of its own"},
		{"a matching function", func(e *casbin.Enforcer) { e.AddNamedMatchingFunc("g", "k", util.KeyMatch) }, "by a matching function"},
		{"a role manager", func(e *casbin.Enforcer) {
			e.SetRoleManager(struct{ rbac.RoleManager }{e.GetRoleManager()})
			require.NoError(t, e.BuildRoleLinks())
		}, "a role manager of its own"},
		{"fewer levels", func(e *casbin.Enforcer) {
			e.SetRoleManager(defaultrolemanager.NewRoleManagerImpl(0))
			require.NoError(t, e.BuildRoleLinks())
		}, "nested deeper than 0"},
		{"a link that no row has", func(e *casbin.Enforcer) {
			require.NoError(t, e.GetRoleManager().AddLink("mallory", "admin"))
		}, `its links are not those of its rows, at "admin"`},
		{"a link that is gone", func(e *casbin.Enforcer) {
			require.NoError(t, e.GetRoleManager().DeleteLink("alice", "admin"))
		}, `its links are not those of its rows, at "admin"`},
		{"a link over somebody whom no row names", func(e *casbin.Enforcer) {
			require.NoError(t, e.GetRoleManager().AddLink("mallory", "nobody"))
			require.NoError(t, e.GetRoleManager().AddLink("nobody", "alice"))
		}, `its links are not those of its rows, at "alice"`},
		{"a function nobody calls", func(e *casbin.Enforcer) {
			e.AddFunction("myOwn", func(...any) (any, error) { return true, nil })
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := enforcer(t, casbinModel(false, false, ""), rows...)
			c.set(e)
			im, err := FromCasbin(e)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrUnsupported)
			require.ErrorContains(t, err, c.want)
			require.NotEmpty(t, im.NotExpressed)
		})
	}
	e := enforcer(t, casbinModel(true, false, ""), []string{"p", "admin", "acme", "data", "read"}, []string{"g", "alice", "admin", "acme"})
	require.NoError(t, e.GetRoleManager().AddLink("alice", "admin", "globex"))
	_, err := FromCasbin(e)
	require.NoError(t, err, "no row is about that domain")
	require.NoError(t, e.GetRoleManager().AddLink("bob", "admin", "acme"))
	_, err = FromCasbin(e)
	require.ErrorContains(t, err, "its links are not those of its rows")
	_, err = FromCasbin(nil)
	require.Error(t, err)
	empty, err := casbin.NewEnforcer()
	require.NoError(t, err)
	_, err = FromCasbin(empty)
	require.ErrorIs(t, err, ErrUnsupported)
}

// A field that stands twice: Casbin reads the last, whoever reads the file the
// first.
func TestImportRefusesFieldsThatStandTwice(t *testing.T) {
	conf := strings.Replace(aclModel, "p = sub, obj, act", "p = sub, obj, act, sub", 1)
	e := enforcer(t, conf, []string{"p", "alice", "data", "read", "eve"})
	require.True(t, enforces(t, e, "eve", "data", "read"))
	_, err := FromCasbin(e)
	require.ErrorContains(t, err, `p: the field "sub" stands twice`)
	_, err = FromCasbin(enforcer(t, strings.Replace(aclModel, "r = sub, obj, act", "r = sub, obj, act, act", 1), []string{"p", "alice", "data", "read"}))
	require.ErrorContains(t, err, `r: the field "act" stands twice`)
}

// Rows that mean something else in Casbin than they say, and names that nobody
// can tell apart, are refused by their row.
func TestImportRefusesRows(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	good := []string{"p", "admin", "data", "read"}
	for _, c := range []struct {
		name string
		rows [][]string
		want string
	}{
		{"too few fields", [][]string{{"p", "admin", "data"}}, `p row 2 ("admin, data"): 2 fields, 3 are defined`},
		{"too many fields", [][]string{{"p", "admin", "data", "read", ""}}, "4 fields, 3 are defined"},
		{"a role with a domain that is cut", [][]string{{"g", "alice", "admin", "acme"}}, `g row 1 ("alice, admin, acme"): 3 fields, 2 are asked`},
		{"empty subject", [][]string{{"p", "", "data", "read"}}, "p row 2 (\", data, read\"): sub: empty"},
		{"empty object", [][]string{{"p", "admin", "", "read"}}, "obj: empty"},
		{"empty action", [][]string{{"p", "admin", "data", ""}}, "act: empty"},
		{"newline", [][]string{{"p", "admin", "da\nta", "read"}}, "obj: control or invisible character U+000A"},
		{"NUL", [][]string{{"p", "ad\x00min", "data", "read"}}, "control or invisible character U+0000"},
		{"a character that turns the text around", [][]string{{"p", "admin", "data", "re\u202ead"}}, "act: control or invisible character U+202E"},
		{"bytes that are no text", [][]string{{"p", "admin", "da\xffta", "read"}}, "obj: not valid UTF-8"},
		{"64 KiB", [][]string{{"p", long, "data", "read"}}, "65536 bytes, 1024 at most"},
		{"the folder above", [][]string{{"p", "admin", "..", "read"}}, "obj: .. means another place"},
		{"a role without a name", [][]string{{"g", "alice", ""}}, "field 2: empty"},
		{"a member that is NUL", [][]string{{"g", "\x00", "admin"}}, "field 1: control or invisible character U+0000"},
		{"roles in a circle", [][]string{{"g", "a", "b"}, {"g", "b", "c"}, {"g", "c", "a"}}, "roles in a circle"},
		{"roles nested 11 deep", roleChain(11), "nested deeper than 10"},
		{"roles nested 40 deep", roleChain(40), "nested deeper than 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := enforcer(t, casbinModel(false, false, ""), append([][]string{good}, c.rows...)...)
			im, err := FromCasbin(e)
			require.ErrorIs(t, err, ErrUnsupported)
			require.ErrorContains(t, err, c.want)
			require.Len(t, im.NotExpressed, 1)
			require.Less(t, len(im.NotExpressed[0]), 600)
			require.Nil(t, im.Policy)
		})
	}
	got := outcome(t, enforcer(t, casbinModel(false, false, ""), append([][]string{good}, roleChain(10)...)...), 1<<20)
	require.Contains(t, got, "0 differences")

	var many [][]string
	for i := range 3 * maxFindings {
		many = append(many, []string{"p", "", fmt.Sprint(i), "read"})
	}
	im, err := FromCasbin(enforcer(t, casbinModel(false, false, ""), many...))
	require.ErrorContains(t, err, "(and 2999 more)")
	require.Len(t, im.NotExpressed, maxFindings+1)
	require.Equal(t, "and 2000 more", im.NotExpressed[maxFindings])

	many = many[:0]
	for i := range maxRoles + 1 {
		many = append(many, []string{"p", "admin", "data", fmt.Sprint("act", i)})
	}
	_, err = FromCasbin(enforcer(t, casbinModel(false, false, ""), many...))
	require.ErrorContains(t, err, "4097 actions, 4096 at most")
}

// roleChain nests n roles above alice.
func roleChain(n int) [][]string {
	rows := [][]string{{"g", "alice", "r1"}}
	for i := 1; i < n; i++ {
		rows = append(rows, []string{"g", fmt.Sprint("r", i), fmt.Sprint("r", i+1)})
	}
	return rows
}

// A wide knot of roles must not take for ever to be refused.
func TestImportOfAKnotEnds(t *testing.T) {
	rows := [][]string{{"p", "admin", "data", "read"}}
	for i := range 60 {
		for j := range 60 {
			rows = append(rows, []string{"g", fmt.Sprint("r", i), fmt.Sprint("r", j)})
		}
	}
	_, err := FromCasbin(enforcer(t, casbinModel(false, false, ""), rows...))
	require.ErrorContains(t, err, "roles in a circle")
}

func TestImportGroupsOfObjects(t *testing.T) {
	conf := strings.Replace(casbinModel(false, false, "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act"), "g = _, _\n", "g = _, _\ng2 = _, _\n", 1)
	p := []string{"p", "alice", "top", "read"}
	for _, c := range []struct {
		name string
		rows [][]string
		want string
	}{
		{"two parents", [][]string{{"g2", "a", "top"}, {"g2", "a", "other"}}, "is in another group already"},
		{"a circle", [][]string{{"g2", "a", "b"}, {"g2", "b", "a"}}, "groups in a circle"},
		{"no name", [][]string{{"g2", "a", ""}}, "no names: empty"},
		{"too many fields", [][]string{{"g2", "a", "b", "c"}}, "3 fields, 2 are asked"},
	} {
		_, err := FromCasbin(enforcer(t, conf, append([][]string{p}, c.rows...)...))
		require.ErrorIs(t, err, ErrUnsupported, c.name)
		require.ErrorContains(t, err, c.want, c.name)
	}
	im, err := FromCasbin(enforcer(t, conf, p, []string{"g2", "a", "b"}, []string{"g2", "b", "top"}, []string{"g2", "b", "b"}))
	require.NoError(t, err)
	require.Len(t, im.Inert, 1)
	req, err := im.Request("alice", "a", "read")
	require.NoError(t, err)
	require.Equal(t, "casbin/top/b/a", req.Resource.String())
	values, ok := im.Values(req)
	require.True(t, ok)
	require.Equal(t, []any{"alice", "a", "read"}, values)
	req.Resource = Resource{"casbin/a"} // the same object elsewhere is none
	_, ok = im.Values(req)
	require.False(t, ok)
}

// What no decision depends on is left out, and said.
func TestImportSaysWhatIsInert(t *testing.T) {
	im, err := FromCasbin(enforcer(t, strings.Replace(casbinModel(false, false, ""), "p = sub, obj, act", "p = sub, obj, act, eft, note", 1),
		[]string{"p", "admin", "data", "read", "allow", "x"}, []string{"p", "admin", "data", "read", "allow", "y"}, []string{"p", "eve", "data", "read", "deny", ""}, []string{"g", "a", "a"}))
	require.NoError(t, err)
	require.Len(t, im.Authorizations, 1)
	require.Equal(t, []string{
		"p.note: the matcher does not ask it: nothing to do",
		`g row 1 ("a, a"): everybody is themselves: nothing to do`,
		`p row 3 ("eve, data, read, deny, "): e does not look at "deny": define e so that a deny wins, if that is meant`,
	}, im.Inert)
	im, err = FromCasbin(enforcer(t, casbinModel(false, true, ""), []string{"p", "a", "b", "c", "allow"}, []string{"p", "a", "b", "c", "DENY"}))
	require.NoError(t, err)
	require.Contains(t, im.Inert[0], `e does not look at "DENY"`)
}

// A proof that cannot fail proves nothing.
func TestProveFindsDifferences(t *testing.T) {
	e := enforcer(t, casbinModel(true, true, ""), []string{"p", "admin", "acme", "data", "read", "allow"}, []string{"p", "eve", "acme", "data", "read", "deny"},
		[]string{"g", "alice", "admin", "acme"}, []string{"g", "eve", "admin", "acme"})
	im, err := FromCasbin(e)
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		change func(as []Authorization, ms []Membership) ([]Authorization, []Membership)
		want   []string
	}{
		{"nothing", func(as []Authorization, ms []Membership) ([]Authorization, []Membership) { return as, ms }, nil},
		{"no deny", func(as []Authorization, ms []Membership) ([]Authorization, []Membership) { return as[:1], ms }, []string{
			`"eve, acme, data, read": Casbin says false, here it is true: user:casbin/eve, through team:casbin%2Facme%2Fadmin, holds role:casbin-read on casbin/acme/data`}},
		{"no membership", func(as []Authorization, ms []Membership) ([]Authorization, []Membership) { return as, ms[1:] }, []string{
			`"alice, acme, data, read": Casbin says true, here it is false: user:casbin/alice holds no role with this permission here or above`}},
	} {
		as, ms := c.change(im.Authorizations, im.Members)
		a, err := New(t.Context(), im.Policy, &Options{Seed: as, SeedMembers: ms})
		require.NoError(t, err)
		asked, differ, err := im.Prove(t.Context(), a, 1000)
		require.NoError(t, err)
		require.Equal(t, 4*2*2*2, asked)
		require.Equal(t, c.want, differ, c.name)
		asked, differ, err = im.Prove(t.Context(), a, 31) // drawn, for want of one
		require.NoError(t, err)
		require.Equal(t, 31, asked)
		require.LessOrEqual(t, len(differ), 5)
		_, again, err := im.Prove(t.Context(), a, 31)
		require.NoError(t, err)
		require.Equal(t, differ, again)
	}
	a, err := im.authorizer(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = im.Prove(ctx, a, 10)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = im.Prove(t.Context(), nil, 10)
	require.Error(t, err)
	_, _, err = im.Prove(t.Context(), a, 0)
	require.Error(t, err)
	_, _, err = (&Import{}).Prove(t.Context(), a, 10)
	require.ErrorIs(t, err, ErrUnsupported)

	// Casbin was changed meanwhile, or cannot answer: that is a difference.
	_, err = e.AddPolicy("bob", "acme", "data", "read", "allow")
	require.NoError(t, err)
	_, err = e.AddGroupingPolicy("stranger", "admin", "acme")
	require.NoError(t, err)
	_, differ, err := im.Prove(t.Context(), a, 1000)
	require.NoError(t, err)
	require.Len(t, differ, 1)
	_, err = e.AddPolicy("bob")
	require.NoError(t, err)
	asked, differ, err := im.Prove(t.Context(), a, 1000)
	require.NoError(t, err)
	require.NotEmpty(t, differ)
	require.LessOrEqual(t, len(differ), asked)
	require.Contains(t, strings.Join(differ, "\n"), "Casbin fails: invalid policy size")
}

// What was imported can be saved, and read from there.
func TestImportCanBeSaved(t *testing.T) {
	im, err := FromCasbin(enforcer(t, aclModel, []string{"p", "alice", "data", "read"}))
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, im.Policy))
	a, err := New(t.Context(), os.DirFS(dir), &Options{Seed: im.Authorizations})
	require.NoError(t, err)
	_, differ, err := im.Prove(t.Context(), a, 100)
	require.NoError(t, err)
	require.Empty(t, differ)
}

// Relations and fields that the matcher uses in another way than as defined.
func TestImportRefusesMatchers(t *testing.T) {
	dom, flat := casbinModel(true, false, ""), casbinModel(false, false, "")
	with := func(conf, old, new string) string { return strings.Replace(conf, old, new, 1) }
	for _, c := range []struct{ name, conf, want string }{
		{"a field compared twice", with(flat, "r.obj == p.obj", "r.obj == p.obj && r.obj == p.act"), "compares a field that is compared already"},
		{"a policy field compared twice", with(flat, "r.act == p.act", "r.act == p.obj"), "compares a field that is compared already"},
		{"two fields of the request", with(flat, "r.act == p.act", "r.act == r.obj"), "does not compare a field of the request with one of the policy"},
		{"not equal", with(flat, "r.act == p.act", "r.act != p.act"), "is more than a comparison or a role"},
		{"not", with(flat, "r.act == p.act", "!(r.act == p.act)"), "does not compare"},
		{"a relation nobody defined", with(flat, "g(r.sub, p.sub)", "g7(r.sub, p.sub)"), "is more than a comparison or a role"},
		{"a domain that is not defined", with(dom, "g = _, _, _", "g = _, _"), "defined with 2 fields and asked with 3"},
		{"a domain that is not asked", with(flat, "g = _, _", "g = _, _, _"), "defined with 3 fields and asked with 2"},
		{"a domain that is not compared", with(dom, " && r.dom == p.dom", ""), "the domain r.dom of g is not compared"},
		{"a constant domain", with(dom, "g(r.sub, p.sub, r.dom)", "g(r.sub, p.sub, 'acme')"), "is not compared with one of the policy"},
		{"a role that is the act", with(flat, "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", "r.sub == p.sub && r.obj == p.obj && g(r.act, p.act)"), "actions are in groups by g"},
		{"objects in groups before another field", with(flat, "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", "r.sub == p.act && g(r.obj, p.obj) && r.act == p.sub && r.note == p.note"), ""},
		{"nothing is asked for", with(flat, "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", "g(r.sub, p.sub)"), "nothing is asked for"},
		{"anything", with(flat, "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", "true"), "is more than a comparison or a role"},
	} {
		conf, row := c.conf, []string{"p", "admin", "data", "read"}
		if strings.Contains(conf, "r = sub, dom") {
			row = []string{"p", "admin", "acme", "data", "read"}
		}
		if c.want == "" {
			conf = strings.NewReplacer("r = sub, obj, act", "r = sub, obj, act, note", "p = sub, obj, act", "p = sub, obj, act, note").Replace(conf)
			row, c.want = append(row, "x"), "objects are in groups by g"
		}
		im, err := FromCasbin(enforcer(t, conf, row))
		require.ErrorIs(t, err, ErrUnsupported, c.name)
		require.Contains(t, strings.Join(im.NotExpressed, "\n"), c.want, c.name)
	}
}

func TestImportTranslates(t *testing.T) {
	im, err := FromCasbin(enforcer(t, casbinModel(true, false, ""), []string{"p", "admin", "acme", "a/b", "GET /x"}, []string{"g", "alice", "admin", "acme"}))
	require.NoError(t, err)
	req, err := im.Request("alice", "acme", "a/b", "GET /x")
	require.NoError(t, err)
	require.Equal(t, "user:casbin/alice casbin.act.x_47_45_54_20_2fx casbin/acme/a%2Fb", req.Principal.String()+" "+req.Permission.String()+" "+req.Resource.String())
	role, err := im.Request("admin", "acme", "a/b", "GET /x")
	require.NoError(t, err)
	require.Equal(t, "team:casbin%2Facme%2Fadmin", role.Principal.String(), "a role that asks is the team")
	elsewhere, err := im.Request("admin", "globex", "a/b", "GET /x")
	require.NoError(t, err)
	require.Equal(t, "user:casbin/admin", elsewhere.Principal.String(), "where it is no role it is a user")
	for _, r := range []Request{req, role, elsewhere} {
		values, ok := im.Values(r)
		require.True(t, ok)
		back, err := im.Request(values[0].(string), values[1].(string), values[2].(string), values[3].(string))
		require.NoError(t, err)
		require.Equal(t, r, back)
	}
	for name, r := range map[string]Request{
		"for somebody":                 {Principal: req.Principal, OnBehalfOf: req.Principal, Permission: req.Permission, Resource: req.Resource},
		"another issuer":               {Principal: Principal{"user:idp/alice"}, Permission: req.Permission, Resource: req.Resource},
		"a service":                    {Principal: Principal{"service:alice"}, Permission: req.Permission, Resource: req.Resource},
		"a user by the name of a role": {Principal: Principal{"user:casbin/admin"}, Permission: req.Permission, Resource: req.Resource},
		"another team":                 {Principal: Principal{"team:admin"}, Permission: req.Permission, Resource: req.Resource},
		"a team of another domain":     {Principal: Principal{"team:casbin%2Fglobex%2Fadmin"}, Permission: req.Permission, Resource: req.Resource},
		"nobody":                       {Permission: req.Permission, Resource: req.Resource},
		"a permission of another kind": {Principal: req.Principal, Permission: Permission{"secrets.use"}, Resource: req.Resource},
		"a resource of another kind":   {Principal: req.Principal, Permission: req.Permission, Resource: Resource{"tenants/acme/a%2Fb"}},
		"a resource above":             {Principal: req.Principal, Permission: req.Permission, Resource: Resource{"casbin/acme"}},
		"a resource below":             {Principal: req.Principal, Permission: req.Permission, Resource: Resource{"casbin/acme/a%2Fb/c"}},
		"no resource":                  {Principal: req.Principal, Permission: req.Permission},
	} {
		_, ok := im.Values(r)
		require.False(t, ok, name)
	}
	for _, values := range [][]string{nil, {"alice"}, {"alice", "acme", "a", "b", "c"}, {"", "acme", "a", "b"}, {"alice", "", "a", "b"}, {"alice", "acme", "", "b"}, {"alice", "acme", "a", ""}, {"alice", "acme", "a\nb", "b"}} {
		_, err := im.Request(values...)
		require.Error(t, err, "%q", values)
	}
	var none *Import
	_, err = none.Request("a")
	require.ErrorIs(t, err, ErrUnsupported)
	_, ok := none.Values(req)
	require.False(t, ok)
}

// Different actions have different permissions and roles, whatever they are.
func TestActNamesAreInjective(t *testing.T) {
	perms, roles := map[string]string{}, map[string]string{}
	acts := hostileNames()
	for a := range 256 {
		acts = append(acts, string(rune(a)), "x"+string(rune(a)), "_"+fmt.Sprintf("%02x", a), fmt.Sprintf("x_%02x", a), fmt.Sprintf("-%02x", a), strings.Repeat("q", a+1))
	}
	seen := map[string]bool{}
	for _, act := range acts {
		perm, role, err := actNames(act)
		if err != nil || seen[act] {
			continue
		}
		seen[act] = true
		_, err = ParsePermission(perm)
		require.NoError(t, err, "%q", act)
		_, err = ParseRole(role)
		require.NoError(t, err, "%q", act)
		require.Empty(t, perms[perm], "%q", act)
		require.Empty(t, roles[role], "%q", act)
		perms[perm], roles[role] = act, act
	}
	require.Greater(t, len(perms), 1000)
}
