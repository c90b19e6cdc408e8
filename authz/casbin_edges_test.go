package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/casbin/casbin/v2/model"
	"github.com/stretchr/testify/require"
)

const plainOwnModel = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"

// By a model of the policy's own, too, whoever acts for another needs both to be
// allowed, and of two who are refused the one who acts is named.
func TestAnOwnModelAsksBoth(t *testing.T) {
	a, err := New(t.Context(), ownModel(plainOwnModel, "p, user:i/a, t, x.read\np, user:i/b, t, x.read\np, user:i/b, t, x.write\n"), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		acts, behalf, perm string
		ok                 bool
		named              string
	}{
		{"user:i/a", "user:i/b", "x.read", true, "user:i/a"}, {"user:i/a", "user:i/b", "x.write", false, "user:i/a"}, {"user:i/b", "user:i/a", "x.write", false, "user:i/a"},
		{"user:i/c", "user:i/d", "x.read", false, "user:i/c"}, {"user:i/c", "user:i/a", "x.read", false, "user:i/c"}, {"user:i/b", "user:i/b", "x.write", true, "user:i/b"},
	} {
		req := Request{Principal: Principal{c.acts}, OnBehalfOf: Principal{c.behalf}, Permission: Permission{c.perm}, Resource: Resource{"t"}}
		d, err := a.Check(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, c.ok, d.Allowed, "%+v", c)
		require.Equal(t, c.named, d.Principal.name, "%+v", c)
		_, err = a.Authorize(t.Context(), req)
		require.Equal(t, c.ok, err == nil)
	}

	// What goes wrong inside is a refusal that says so, shortly.
	a.foreign.e = nil
	d, err := a.Check(t.Context(), Request{Principal: Principal{"user:i/a"}, Permission: Permission{"x.read"}, Resource: Resource{"t"}})
	require.NoError(t, err)
	require.Equal(t, ModelFailed, d.Code)
	require.Contains(t, d.Rule, "panic")
	long := strings.Repeat("é", maxRule)
	a, err = New(t.Context(), ownModel(plainOwnModel, "p, user:i/a, t, x.read\np, "+long+", t, x.read\n"), nil)
	require.NoError(t, err)
	d = a.foreign.one(Request{Principal: Principal{long}, Permission: Permission{"x.read"}, Resource: Resource{"t"}})
	require.True(t, d.Allowed)
	require.LessOrEqual(t, len(d.Rule), maxRule)
	require.NotContains(t, d.Rule, "\ufffd")
	require.Equal(t, 300, len(firstLine(errors.New(strings.Repeat("x", 400)+"\nstack"))))
	require.Equal(t, "x", firstLine(errors.New("x\nstack")))
}

// What is wrong with a model of the policy's own, or with what it is opened with,
// is said when it is opened.
func TestAnOwnModelIsOpenedWholeOrNot(t *testing.T) {
	failed := errors.New("no")
	rows := "p, user:i/a, t, x.read\n"
	for says, c := range map[string]struct {
		model, rows string
		o           Options
	}{
		"model.conf: ":       {model: "[request_definition\n", rows: rows},
		"request_definition": {model: strings.Replace(plainOwnModel, "r = sub", "r2 = sub", 1), rows: rows},
		"policy_definition":  {model: strings.Replace(plainOwnModel, "p = sub", "p2 = sub", 1), rows: strings.Replace(rows, "p,", "p2,", 1)},
		"no p row":           {model: plainOwnModel, rows: "# nothing\n"},
		"shorten the line":   {model: plainOwnModel, rows: rows + "p, " + strings.Repeat("x", maxPolicyFile) + ", t, x.read\n"},
		"first field":        {model: plainOwnModel, rows: rows + "q, a, b, c\n"},
		"no$":                {model: plainOwnModel, rows: rows, o: Options{Audit: &tap{Memory: NewMemory(0), head: func() error { return failed }}}},
		"sample: permission": {model: plainOwnModel, rows: rows, o: Options{SampleAllowed: map[Permission]float64{{"x.read"}: 1}}},
		"seed: ":             {model: plainOwnModel, rows: rows, o: Options{SeedMembers: make([]Membership, 1)}},
	} {
		_, err := New(t.Context(), ownModel(c.model, c.rows), &c.o)
		require.Error(t, err, says)
		require.Regexp(t, says, err.Error())
	}
	_, err := New(t.Context(), ownModel(plainOwnModel, rows+"p, "+strings.Repeat("x", 70_000)+", t, x.read\n"), nil)
	require.NoError(t, err, "longer than a Scanner reads by itself")
}

// A model that is not the one the index answers is not taken for it, whichever
// part of it is missing, and what Casbin cannot answer is no.
func TestOnlyTheSameMeaningIsTheSame(t *testing.T) {
	require.Error(t, sameMeaning(model.NewModel()))
	m, err := model.NewModelFromString(indexable)
	require.NoError(t, err)
	require.NoError(t, sameMeaning(m))
	for _, sec := range []string{"r", "p", "e", "m"} {
		x := m.Copy()
		delete(x, sec)
		require.Error(t, sameMeaning(x), sec)
		x = m.Copy()
		delete(x[sec], sec)
		require.Error(t, sameMeaning(x), sec)
		x = m.Copy()
		x[sec][sec+"2"] = x[sec][sec]
		require.Error(t, sameMeaning(x), sec)
	}
	_, err = newMeaning(&catalogue{model: "[request_definition"})
	require.ErrorContains(t, err, "model.conf")

	a, req := audited(t, NewMemory(0), 0)
	ok, err := a.meaning.enforce(a.ix, req.Principal, req.Permission.name, req.Resource)
	require.NoError(t, err)
	require.True(t, ok)
	for _, broken := range []string{"holds(r.sub, p.role, p.eft)", "holds(r.sub, p.role, p.eft, 1)", "unknown(r.sub)", "r.sub"} {
		require.True(t, a.meaning.e.GetModel().AddDef("m", "m", broken))
		a.meaning.e.ClearPolicy()
		_, err = a.meaning.e.AddPolicy("role:user", req.Permission.name, "allow")
		require.NoError(t, err)
		ok, err = a.meaning.enforce(nil, req.Principal, req.Permission.name, req.Resource)
		require.Error(t, err, broken)
		require.False(t, ok, broken)
	}
}

// The names that a proof asks about are all that the policy has, in each field,
// and a stranger whom it does not have.
func TestAProofAsksAboutEveryName(t *testing.T) {
	const conf = "[request_definition]\nr = sub, dom, obj, act\n[policy_definition]\np = sub, dom, obj, act\n[role_definition]\ng = _, _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act\n"
	e := enforcer(t, conf, []string{"p", "role", "d1", "o1", "read"}, []string{"p", "direct", "d2", "stranger", "write"}, []string{"g", "ana", "role", "d1"}, []string{"g", "ben", "other", "d3"})
	im, err := FromCasbin(e)
	require.NoError(t, err)
	require.Equal(t, [][]string{{"ana", "ben", "direct", "other", "role", "stranger"}, {"d1", "d2", "d3", "stranger"}, {"o1", "stranger", "stranger~"}, {"read", "write", "stranger"}}, im.domain)
	a, err := im.authorizer(t.Context())
	require.NoError(t, err)
	total := 6 * 4 * 3 * 3
	for limit, want := range map[int]int{total: total, total + 1: total, total - 1: total - 1, 1: 1} {
		asked, differ, err := im.Prove(t.Context(), a, limit)
		require.NoError(t, err)
		require.Empty(t, differ)
		require.Equal(t, want, asked)
	}

	// More combinations than can be counted are drawn from too.
	big := *im
	big.domain = make([][]string, 4)
	for i := range big.domain {
		big.domain[i] = make([]string, 1<<16)
		for k := range big.domain[i] {
			big.domain[i][k] = fmt.Sprint("n", k)
		}
	}
	asked, differ, err := big.Prove(t.Context(), a, 5)
	require.NoError(t, err)
	require.Empty(t, differ)
	require.Equal(t, 5, asked)

	// It ends with its context, before a question and within one.
	for n := range 3 {
		asked, _, err := im.Prove(&fading{t.Context(), n}, a, 9)
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, asked, 3)
	}

	const nested = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[role_definition]\ng = _, _\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && g(r.obj, p.obj) && r.act == p.act\n"
	e = enforcer(t, nested, []string{"p", "ana", "house", "read"}, []string{"p", "ana", "shed", "read"}, []string{"g", "room", "house"}, []string{"g", "desk", "room"})
	im, err = FromCasbin(e)
	require.NoError(t, err)
	require.Equal(t, [][]string{{"ana", "stranger"}, {"desk", "house", "room", "shed", "stranger"}, {"read", "stranger"}}, im.domain)
	req, err := im.Request("ana", "desk", "read")
	require.NoError(t, err)
	require.Equal(t, imported+"/house/room/desk", req.Resource.String())
	values, ok := im.Values(req)
	require.True(t, ok)
	require.Equal(t, []any{"ana", "desk", "read"}, values)
	req.Resource = Resource{imported + "/desk"}
	_, ok = im.Values(req)
	require.False(t, ok, "it stands elsewhere")
	req.Resource = Resource{imported}
	_, ok = im.Values(req)
	require.False(t, ok)
	for _, bad := range []string{"other.perm", ""} {
		r := req
		r.Resource, r.Permission = Resource{imported + "/house"}, Permission{bad}
		_, ok = im.Values(r)
		require.False(t, ok)
	}

	// A field that the matcher does not look at has no names.
	const three = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, act\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && r.act == p.act\n"
	im, err = FromCasbin(enforcer(t, three, []string{"p", "ana", "read"}))
	require.NoError(t, err)
	require.Equal(t, []string{""}, im.domain[1])
}

// Nothing that was not imported is asked.
func TestAnEmptyImportAnswersNothing(t *testing.T) {
	a, req := audited(t, NewMemory(0), time.Minute)
	for _, im := range []*Import{nil, {}} {
		_, err := im.Request("a", "b", "c")
		require.ErrorIs(t, err, ErrUnsupported)
		_, ok := im.Values(req)
		require.False(t, ok)
		_, _, err = im.Prove(t.Context(), a, 1)
		require.ErrorIs(t, err, ErrUnsupported)
	}
	im, err := FromCasbin(enforcer(t, plainOwnModel, []string{"p", "ana", "box", "read"}))
	require.NoError(t, err)
	_, _, err = im.Prove(t.Context(), nil, 1)
	require.ErrorContains(t, err, "want an Authorizer")
	_, _, err = im.Prove(t.Context(), a, 0)
	require.ErrorContains(t, err, "and a limit")
	on, err := im.Request("ana", "box", "read")
	require.NoError(t, err)
	on.OnBehalfOf = on.Principal
	_, ok := im.Values(on)
	require.False(t, ok)
	for _, values := range [][]string{{"", "box", "read"}, {"ana", "", "read"}, {"ana", "box", ""}, {"ana", "box"}, {strings.Repeat("/", MaxSegment), strings.Repeat("/", MaxSegment), "read"}} {
		_, err = im.Request(values...)
		require.Equal(t, len(values) == 3 && len(values[0]) > 9, err == nil, "%.20q: %v", values, err)
	}
}
