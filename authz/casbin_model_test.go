package authz

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/casbin/casbin/v2/rbac"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// patternModel means what the index cannot compute.
const patternModel = `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.dom == p.dom && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)
`

const patternPolicy = `# who reads what
p, reader, acme, tenants/acme/*, ^mailbox\.items\.(read|list)$, allow
p, user:idp/eve, acme, tenants/acme/*, .*, deny

g, user:idp/ana, reader
g, user:idp/eve, reader
g, service:worker, reader
`

func ownModel(model, policy string) fs.FS {
	m := fstest.MapFS{"model.conf": {Data: []byte(model)}}
	if policy != "" {
		m["policy.csv"] = &fstest.MapFile{Data: []byte(policy)}
	}
	return m
}

func TestOwnModelDecides(t *testing.T) {
	sink := NewMemory(0)
	a, err := New(t.Context(), ownModel(patternModel, patternPolicy), &Options{Audit: sink})
	require.NoError(t, err)
	ana, eve, worker, nobody := Principal{"user:idp/ana"}, Principal{"user:idp/eve"}, Principal{"service:worker"}, Principal{"user:idp/nobody"}
	read, write := MustPermission("mailbox.items.read"), MustPermission("mailbox.items.write")
	box, other := Resource{"tenants/acme/box"}, Resource{"tenants/globex/box"}
	for _, c := range []struct {
		req  Request
		want bool
		code Code
		why  string
	}{
		{Request{Principal: ana, Permission: read, Resource: box}, true, AllowedBy, `the model allows it by reader, acme, tenants/acme/*, ^mailbox\.items\.(read|list)$, allow`},
		{Request{Principal: ana, Permission: write, Resource: box}, false, NothingHeld, "no row of the model allows it to user:idp/ana"},
		{Request{Principal: ana, Permission: read, Resource: other}, false, NothingHeld, "no row of the model allows it to user:idp/ana"},
		{Request{Principal: eve, Permission: read, Resource: box}, false, DeniedBy, "the model denies it by user:idp/eve, acme, tenants/acme/*, .*, deny"},
		{Request{Principal: worker, OnBehalfOf: ana, Permission: read, Resource: box}, true, AllowedBy, `the model allows it by reader, acme, tenants/acme/*, ^mailbox\.items\.(read|list)$, allow`},
		{Request{Principal: worker, OnBehalfOf: eve, Permission: read, Resource: box}, false, DeniedBy, "the model denies it by user:idp/eve, acme, tenants/acme/*, .*, deny"},
		{Request{Principal: worker, OnBehalfOf: nobody, Permission: read, Resource: box}, false, NothingHeld, "no row of the model allows it to user:idp/nobody"},
		{Request{Principal: nobody, OnBehalfOf: ana, Permission: read, Resource: box}, false, NothingHeld, "no row of the model allows it to user:idp/nobody"},
		{Request{Principal: ana, Permission: read, Resource: Resource{"tenants"}}, false, ModelFailed, "the model failed: the model asks for a domain, which is the second segment of a resource, and there is none"},
	} {
		d, err := a.Check(t.Context(), c.req)
		require.NoError(t, err)
		require.Equal(t, c.want, d.Allowed, "%v", c.req)
		require.Equal(t, c.code, d.Code, "%v", c.req)
		require.Equal(t, c.why, d.Reason())
	}
	for _, req := range []Request{{}, {Principal: ana, Permission: read}, {Principal: ana, Resource: box}, {Permission: read, Resource: box}} {
		d, err := a.Check(t.Context(), req)
		require.ErrorIs(t, err, ErrDenied)
		require.False(t, d.Allowed)
	}

	g, err := a.Authorize(t.Context(), Request{Principal: ana, Permission: read, Resource: box})
	require.NoError(t, err)
	require.NoError(t, g.Covers(read, box))
	require.ErrorIs(t, g.Covers(write, box), ErrDenied)
	_, err = a.Authorize(t.Context(), Request{Principal: eve, Permission: read, Resource: box})
	require.ErrorIs(t, err, ErrDenied)
	x, err := a.Explain(t.Context(), Request{Principal: eve, Permission: read, Resource: box})
	require.NoError(t, err)
	require.Equal(t, "the model denies it by user:idp/eve, acme, tenants/acme/*, .*, deny", x.Reason)

	// Nothing is assigned, so nothing can be listed or changed.
	_, err = a.Authorizations(g, box)
	require.ErrorIs(t, err, ErrUnsupported)
	ed := a.Edit(g)
	_, err = ed.Assign(t.Context(), Authorization{Principal: eve, Role: Role{"role:r"}, Resource: box, Effect: Allow})
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorIs(t, ed.Revoke(t.Context(), uuid.New(), ""), ErrUnsupported)
	require.ErrorIs(t, ed.Join(t.Context(), Membership{eve, Principal{"team:t"}}, ""), ErrUnsupported)
	require.ErrorIs(t, ed.Leave(t.Context(), Membership{eve, Principal{"team:t"}}, ""), ErrUnsupported)
	for range a.Permissions() {
		t.Fatal("a foreign model has no list of permissions")
	}
}

func TestOwnModelIsRefused(t *testing.T) {
	basic := "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"
	one := "p, user:idp/ana, a, a.read\n"
	with := func(old, new string) string { return strings.Replace(basic, old, new, 1) }
	for _, c := range []struct{ name, model, policy, want string }{
		{"no rows and no file", basic, "", "permissions.csv"},
		{"our meaning with rows nobody reads", indexable, one, "model.conf reads roles.csv and no other rows"},
		{"a token that no request has", with("r = sub, obj, act", "r = sub, obj, act, age"), one, `token "age": want sub, dom, obj and act`},
		{"a subject by another name", strings.ReplaceAll(with("r = sub, obj, act", "r = who, obj, act"), "r.sub", "r.who"), one, `token "who"`},
		{"an empty file", basic, "\n# nothing\n", "no p row: Casbin would start with an empty policy"},
		{"only roles", with("[policy_effect]", "[role_definition]\ng = _, _\n[policy_effect]"), "g, a, b\n", "no p row"},
		{"too few fields", basic, "p, user:idp/ana, a\n", "policy.csv:1: 2 fields after p, model.conf defines 3"},
		{"a trailing empty field too many", basic, one + "p, user:idp/ana, a, a.read,\n", "policy.csv:2: 4 fields after p, model.conf defines 3"},
		{"a definition that is not there", basic, one + "g, a, b\n", `policy.csv:2: first field "g": model.conf does not define it`},
		{"the request as a row", basic, "r, a, b, c\n", `first field "r"`},
		{"the matcher as a row", basic, "m, a, b, c\n", `first field "m"`},
		{"no definition", basic, ", a, b, c\n", "first field: empty"},
		{"a quote that does not end", basic, "p, \"a, b, c\n", "policy.csv:1"},
		{"an effect that is misspelt", patternModel, "p, a, b, c, d, Deny\n", `policy.csv:1: effect "Deny": want allow, deny or indeterminate`},
		{"a row twice", basic, one + one, "policy.csv:2: Casbin takes it for line 1"},
		{"two rows that Casbin takes for one", basic, "p, \"a,b\", c, d\np, a, \"b,c\", d\n", "policy.csv:2: Casbin takes it for line 1"},
		{"a NUL in a name", basic, "p, a\x00b, c, d\n", "policy.csv:1: field 2: control or invisible character"},
		{"bytes that are no text", basic, "p, a\xffb, c, d\n", "not valid UTF-8"},
		{"a matcher that cannot be read", with("r.act == p.act", "r.act === p.act"), one, "model.conf: asked once"},
		{"a function that nobody has", with("r.act == p.act", "myOwn(r.act, p.act)"), one, "model.conf: asked once"},
		{"an attribute that text does not have", with("r.sub == p.sub", "r.sub.Age == p.sub"), one, "model.conf: asked once"},
		{"an effect of one's own", with("some(where (p.eft == allow))", "some(where (p.eft == maybe))"), one, "model.conf: asked once"},
		{"no matcher", "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[policy_effect]\ne = some(where (p.eft == allow))\n", one, "model.conf"},
		{"no model", "no model", one, "model.conf"},
		{"a line without end", basic, "p, " + strings.Repeat("a", maxPolicyFile+1) + ", b, c\n", "shorten the line"},
		{"a file without end", basic, strings.Repeat(one, maxForeignFile/len(one)+1), "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(t.Context(), ownModel(c.model, c.policy), nil)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := newForeign(ownModel(basic, ""))
	require.ErrorIs(t, err, fs.ErrNotExist, "Casbin takes a missing file for an empty policy")
	_, err = New(t.Context(), ownModel(basic, one), &Options{Seed: []Authorization{{}}})
	require.ErrorIs(t, err, ErrUnsupported)
	a, err := New(t.Context(), ownModel(basic, one), nil)
	require.NoError(t, err)
	d, err := a.Check(t.Context(), Request{Principal: Principal{"user:idp/ana"}, Permission: Permission{"a.read"}, Resource: Resource{"a"}})
	require.NoError(t, err)
	require.True(t, d.Allowed)
}

// A policy that differs and brings no rows is refused as before.
func TestOtherMeaningWithoutRowsStaysRefused(t *testing.T) {
	_, err := New(t.Context(), files(t, map[string]string{"model.conf": patternModel}), nil)
	require.ErrorContains(t, err, "other meanings cannot be answered")
}

// Casbin keeps every answer of g as long as the rows stay; here it forgets them
// now and then, and a link that cannot be restored ends everything.
func TestOwnModelForgets(t *testing.T) {
	f, err := newForeign(ownModel(patternModel, patternPolicy))
	require.NoError(t, err)
	req := Request{Principal: Principal{"user:idp/ana"}, Permission: Permission{"mailbox.items.read"}, Resource: Resource{"tenants/acme/box"}}
	for range 3 {
		f.asked = forgetAfter - 1
		require.True(t, f.decide(req).Allowed)
		require.Zero(t, f.asked)
	}
	f.e.SetNamedRoleManager("g", stuck{f.e.GetRoleManager()})
	require.True(t, f.decide(req).Allowed)
	f.asked = forgetAfter - 1
	for range 2 {
		d := f.decide(req)
		require.Equal(t, ModelFailed, d.Code)
		require.Equal(t, "the model failed: stuck", d.Reason())
		require.False(t, d.Allowed)
	}
}

// stuck cannot be cleared.
type stuck struct{ rbac.RoleManager }

func (stuck) Clear() error { return errors.New("stuck") }

// Many ask at once; there is one Enforcer behind them.
func TestOwnModelIsSafeForConcurrentUse(t *testing.T) {
	a, err := New(t.Context(), ownModel(patternModel, patternPolicy), nil)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for _, who := range []string{"user:idp/ana", "user:idp/eve", "service:worker", "user:idp/nobody"} {
		want := who == "user:idp/ana" || who == "service:worker"
		wg.Go(func() {
			for range 200 {
				d, err := a.Check(t.Context(), Request{Principal: Principal{who}, Permission: Permission{"mailbox.items.read"}, Resource: Resource{"tenants/acme/box"}})
				if err != nil || d.Allowed != want {
					t.Errorf("%s: %v %v", who, d, err)
				}
			}
		})
	}
	wg.Wait()
}

// Priority, first row wins: the order of the file is the meaning, and stays.
func TestOwnModelKeepsPriority(t *testing.T) {
	conf := "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = priority, sub, obj, act, eft\n[policy_effect]\ne = priority(p.eft) || deny\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"
	a, err := New(t.Context(), ownModel(conf, "p, 10, service:w, a, a.read, deny\np, 1, service:w, a, a.read, allow\np, 2, service:v, a, a.read, deny\np, 9, service:v, a, a.read, allow\n"), nil)
	require.NoError(t, err)
	for who, want := range map[string]bool{"service:w": true, "service:v": false} {
		d, err := a.Check(t.Context(), Request{Principal: Principal{who}, Permission: Permission{"a.read"}, Resource: Resource{"a"}})
		require.NoError(t, err)
		require.Equal(t, want, d.Allowed, who)
	}
}
