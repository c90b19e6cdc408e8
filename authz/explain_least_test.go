package authz

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const explainPermissions = "a.do, x\na.more, x\na.look, x\nauthz.authorizations.write, x\nauthz.decisions.explain, x\n"

// explained is a house whose roles carry a.do with more and more beside it.
func explained(t *testing.T, now time.Time, members []Membership, seed ...Authorization) *Authorizer {
	for i := range seed {
		if seed[i].ID == uuid.Nil {
			seed[i].ID = uuid.UUID{byte(i + 1)}
		}
		if seed[i].Effect == 0 {
			seed[i].Effect = Allow
		}
	}
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": explainPermissions,
		"roles.csv": "p, role:a-wide, a.*\np, role:b-two, a.do\np, role:b-two, a.look\np, role:c-one, a.do\np, role:looks, a.look\np, role:admin, authz.*\n"}),
		&Options{Seed: seed, SeedMembers: members, Clock: func() time.Time { return now }})
	require.NoError(t, err)
	return a
}

func held(who, role, on string) Authorization {
	return Authorization{Principal: Principal{who}, Role: Role{role}, Resource: Resource{on}}
}

func ended(x Authorization, from, until time.Time) Authorization {
	x.From, x.Until = from, until
	return x
}

// The change that is named is the least: a role with the fewest permissions that
// somebody can give, what ended made longer only if it was just that, a deny once.
func TestTheLeastChangeIsNamed(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	const ana, boss = "user:i/ana", "user:i/boss"
	do := Request{Principal: Principal{ana}, Permission: Permission{"a.do"}, Resource: Resource{"t/a"}}
	admin := held(boss, "role:admin", "t")
	fresh := func(role string) Change {
		return Change{Add: []Authorization{{Principal: Principal{ana}, Role: Role{role}, Resource: Resource{"t/a"}, Effect: Allow}}}
	}
	gone := ended(held(ana, "role:c-one", "t/a"), now.Add(-3*time.Hour), now.Add(-time.Hour))
	longer := func(x Authorization, until time.Time) Change {
		x.ID, x.Effect = uuid.UUID{1}, Allow
		y := x
		y.Until = until
		return Change{Remove: []Authorization{x}, Add: []Authorization{y}}
	}
	open, pending, conditional, other, above := gone, gone, gone, gone, gone
	open.From = time.Time{}
	pending.Pending = true
	conditional.Condition = "true"
	other.Role = Role{"role:b-two"}
	above.Resource = Resource{"t"}
	for name, c := range map[string]struct {
		seed   []Authorization
		change Change
		givers []Principal
	}{
		"nobody can":                     {nil, fresh("role:c-one"), nil},
		"who may change, holds nothing":  {[]Authorization{admin}, fresh("role:c-one"), nil},
		"who holds the least":            {[]Authorization{admin, held(boss, "role:c-one", "t")}, fresh("role:c-one"), []Principal{{boss}}},
		"who holds all":                  {[]Authorization{admin, held(boss, "role:a-wide", "t")}, fresh("role:c-one"), []Principal{{boss}}},
		"named twice":                    {[]Authorization{admin, held(boss, "role:admin", "t/a"), held(boss, "role:a-wide", "t")}, fresh("role:c-one"), []Principal{{boss}}},
		"what ended":                     {[]Authorization{gone, admin, held(boss, "role:a-wide", "t")}, longer(gone, now.Add(2*time.Hour)), []Principal{{boss}}},
		"what ended, since ever":         {[]Authorization{open, admin, held(boss, "role:a-wide", "t")}, longer(open, now.Add(24*time.Hour)), []Principal{{boss}}},
		"what ended and waited":          {[]Authorization{pending, admin, held(boss, "role:a-wide", "t")}, fresh("role:c-one"), []Principal{{boss}}},
		"what ended and had a condition": {[]Authorization{conditional, admin, held(boss, "role:a-wide", "t")}, fresh("role:c-one"), []Principal{{boss}}},
		"what ended, of another role":    {[]Authorization{other, admin, held(boss, "role:a-wide", "t")}, fresh("role:c-one"), []Principal{{boss}}},
		"what ended above":               {[]Authorization{above, admin, held(boss, "role:a-wide", "t")}, fresh("role:c-one"), []Principal{{boss}}},
	} {
		x, err := explained(t, now, nil, c.seed...).Explain(t.Context(), do)
		require.NoError(t, err)
		require.Equal(t, c.change, x.Change, name)
		require.Equal(t, c.givers, x.Givers, name)
	}

	// Of roles that nobody can give whole the next is tried.
	deny := held(boss, "role:looks", "t")
	deny.Effect = Deny
	a := explained(t, now, nil, admin, held(boss, "role:c-one", "t"), deny)
	x, err := a.Explain(t.Context(), do)
	require.NoError(t, err)
	require.Equal(t, fresh("role:c-one"), x.Change)

	// One deny that both are under is lifted once.
	both := held("team:t", "role:a-wide", "t/a")
	both.Effect = Deny
	a = explained(t, now, []Membership{{Principal{ana}, Principal{"team:t"}}, {Principal{"service:w"}, Principal{"team:t"}}}, both, held(ana, "role:c-one", "t"), held("service:w", "role:c-one", "t"), held("service:w", "role:c-one", "t/b"))
	behalf := do
	behalf.OnBehalfOf = Principal{"service:w"}
	x, err = a.Explain(t.Context(), behalf)
	require.NoError(t, err)
	require.Len(t, x.Change.Remove, 1)
	require.Empty(t, x.Change.Add)
	require.Len(t, x.Denies, 2)
	require.Len(t, x.Misses, 3, "the deny is a miss of both, what stands beside one more")

	// Of two the one who is allowed misses nothing.
	a = explained(t, now, nil, held(ana, "role:c-one", "t"), held(ana, "role:c-one", "t/b"), held("service:w", "role:c-one", "t/b"))
	x, err = a.Explain(t.Context(), behalf)
	require.NoError(t, err)
	require.Len(t, x.Misses, 1)
	require.Equal(t, "service:w", x.Misses[0].For.name)
	require.Equal(t, "service:w", x.Change.Add[0].Principal.name)
}

// Who is named could make the change itself, by a right that is its own.
func TestWhoHoldsTheRightThroughATeamIsNotNamed(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	over := ended(held("user:i/ben", "role:admin", "t"), now.Add(-2*time.Hour), now.Add(-time.Hour))
	over.Effect = Deny
	a := explained(t, now, []Membership{{Principal{"user:i/ben"}, Principal{"team:admins"}}}, held("team:admins", "role:admin", "t"), held("team:admins", "role:a-wide", "t"), held("user:i/ben", "role:looks", "t"), over)
	x, err := a.Explain(t.Context(), Request{Principal: Principal{"user:i/ana"}, Permission: Permission{"a.do"}, Resource: Resource{"t/a"}})
	require.NoError(t, err)
	require.Equal(t, []Principal{{"team:admins"}}, x.Givers)

	// Without the permission in the policy nobody is.
	none, err := New(t.Context(), files(t, map[string]string{"permissions.csv": "a.do, x\n", "roles.csv": "p, role:does, a.do\n"}), &Options{Seed: []Authorization{{Principal: Principal{"user:i/ben"}, Role: Role{"role:does"}, Resource: Resource{"t"}, Effect: Allow}}})
	require.NoError(t, err)
	x, err = none.Explain(t.Context(), Request{Principal: Principal{"user:i/ana"}, Permission: Permission{"a.do"}, Resource: Resource{"t/a"}})
	require.NoError(t, err)
	require.Empty(t, x.Givers)
}

// Who could help from outside is counted, all of them, and not named, and what
// decided from outside is not told, but whether it allowed or denied is.
func TestHelpFromOutsideIsCounted(t *testing.T) {
	now := time.Now()
	var seed []Authorization
	for i := range 30 {
		in, out := fmt.Sprintf("user:i/a%02d", i), fmt.Sprintf("user:i/z%02d", i)
		seed = append(seed, held(out, "role:admin", "t"), held(out, "role:a-wide", "t"), held(in, "role:admin", "t/a"), held(in, "role:a-wide", "t/a"))
	}
	deny := held("user:i/denied", "role:a-wide", "t")
	deny.Effect = Deny
	for i := range seed {
		seed[i].ID = uuid.UUID{9, byte(i)}
	}
	seed = append(seed, held("user:i/auditor", "role:admin", "t"), deny, held("user:i/allowed", "role:c-one", "t"))
	for i := range seed[120:] {
		seed[120+i].ID = uuid.UUID{8, byte(i)}
	}
	a := explained(t, now, nil, seed...)
	g, err := a.Authorize(t.Context(), Request{Principal: Principal{"user:i/auditor"}, Permission: Permission{"authz.decisions.explain"}, Resource: Resource{"t/a"}})
	require.NoError(t, err)
	ask := func(who string) Explanation {
		x, err := a.ExplainFor(t.Context(), g, Request{Principal: Principal{who}, Permission: Permission{"a.do"}, Resource: Resource{"t/a"}})
		require.NoError(t, err)
		return x
	}
	x := ask("user:i/ana")
	require.Equal(t, 30, x.Hidden)
	require.True(t, x.MoreGivers)
	require.Len(t, x.Givers, maxGivers)
	for _, p := range x.Givers {
		require.Contains(t, p.name, "user:i/a")
	}
	require.Equal(t, "denied by something outside t/a", ask("user:i/denied").Reason)
	require.Equal(t, "allowed by something outside t/a", ask("user:i/allowed").Reason)
}

// fading ends after so many looks at it.
type fading struct {
	context.Context
	left int
}

func (c *fading) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// An explanation is whole or is none, whenever its context ends.
func TestAnExplanationIsWholeOrNone(t *testing.T) {
	a := explained(t, time.Now(), nil, held("user:i/boss", "role:admin", "t"), held("user:i/boss", "role:a-wide", "t"), held("user:i/two", "role:admin", "t"))
	req := Request{Principal: Principal{"user:i/ana"}, Permission: Permission{"a.do"}, Resource: Resource{"t/a"}}
	want, err := a.Explain(t.Context(), req)
	require.NoError(t, err)
	none := 0
	for n := range 20 {
		x, err := a.Explain(&fading{t.Context(), n}, req)
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			require.Zero(t, x)
			none++
			continue
		}
		require.Equal(t, want, x)
	}
	require.Greater(t, none, 3, "before, among those who may change, among those who may give")
	require.Less(t, none, 20)
}

// How an Authorization misses, by each thing that can be in the way.
func TestHowAnAuthorizationMisses(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	a := explained(t, now, nil)
	w := why{a: a, ix: a.ix, now: now, bit: a.cat.number["a.do"], req: Request{Principal: Principal{"user:i/ana"}, Permission: Permission{"a.do"}, Resource: Resource{"t/a"}}}
	type change func(x *Authorization)
	elsewhere := func(x *Authorization) { x.Resource = Resource{"t/b"} }
	role := func(x *Authorization) { x.Role = Role{"role:looks"} }
	later := func(x *Authorization) { x.From = now.Add(1) }
	over := func(x *Authorization) { x.Until = now }
	waits := func(x *Authorization) { x.Pending, x.Until = true, now.Add(1) }
	unmet := func(x *Authorization) { x.Condition = "hour == 1" }
	met := func(x *Authorization) { x.Condition = "hour == 12" }
	unknown := func(x *Authorization) { x.Condition = "device == 'x'" }
	deny := func(x *Authorization) { x.Effect = Deny }
	for _, c := range []struct {
		want MissKind
		what []change
	}{
		{0, nil}, {0, []change{met}}, {MissElsewhere, []change{elsewhere}}, {MissRole, []change{role}}, {MissNotYet, []change{later}}, {MissEnded, []change{over}}, {MissPending, []change{waits}}, {MissCondition, []change{unmet}}, {MissCondition, []change{unknown}},
		{MissElsewhere, []change{elsewhere, met}}, {MissRole, []change{role, unmet}}, {noMiss, []change{elsewhere, role}}, {noMiss, []change{elsewhere, later}}, {noMiss, []change{elsewhere, over}}, {noMiss, []change{elsewhere, waits}}, {noMiss, []change{elsewhere, unmet}},
		{noMiss, []change{role, later}}, {noMiss, []change{role, over}}, {noMiss, []change{role, waits}}, {MissEnded, []change{waits, over}}, {MissNotYet, []change{waits, later}}, {MissPending, []change{waits, unmet}},
		{MissDenied, []change{deny}}, {MissDenied, []change{deny, met}}, {MissDenied, []change{deny, unknown}}, {noMiss, []change{deny, unmet}}, {noMiss, []change{deny, elsewhere}}, {noMiss, []change{deny, role}}, {noMiss, []change{deny, later}}, {noMiss, []change{deny, over}}, {noMiss, []change{deny, waits}},
	} {
		x := held("user:i/ana", "role:c-one", "t")
		x.Effect = Allow
		for _, f := range c.what {
			f(&x)
		}
		require.Equal(t, c.want, w.kind(x), "%+v", x)
	}
}

// Of several ways through teams the first by name is told, and lists are in one
// order: the nearest misses first, by how much of the path is the same, and
// reasons by id.
func TestExplanationsHaveOneOrder(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	var seed []Authorization
	for i, on := range []string{"u/that/is/long/and/far", "t/b", "t/abc/d", "t/abc", "t/abd/x", "t"} {
		x := held("user:i/ana", "role:c-one", on)
		x.ID = uuid.UUID{byte(90 - i)}
		seed = append(seed, x)
	}
	seed[5].Role = Role{"role:looks"} // here, and carries something else
	for i := range 6 {
		x := held("user:i/ana", "role:a-wide", []string{"t/abc/d/e", "t/abc/d/e/f"}[i%2])
		x.ID, x.Effect = uuid.UUID{byte(50 - i)}, Deny
		seed = append(seed, x)
	}
	top := held("team:top", "role:looks", "t/abc/d/e")
	top.ID = uuid.UUID{99}
	var members []Membership
	for _, m := range []string{"team:d", "team:b", "team:c"} {
		members = append(members, Membership{Principal{"user:i/ana"}, Principal{m}}, Membership{Principal{m}, Principal{"team:top"}})
	}
	members = append(members, Membership{Principal{"team:b"}, Principal{"team:a"}}, Membership{Principal{"team:a"}, Principal{"team:top"}})
	a := explained(t, now, members, append(seed, top)...)
	for range 3 {
		x, err := a.Explain(t.Context(), Request{Principal: Principal{"user:i/ana"}, Permission: Permission{"a.do"}, Resource: Resource{"t/abc/d/e/f"}})
		require.NoError(t, err)
		var ids []byte
		for _, r := range x.Denies {
			ids = append(ids, r.Authorization.ID[0])
		}
		require.IsIncreasing(t, ids)
		require.Len(t, ids, 6)
		var rest []string
		for _, m := range x.Misses {
			if m.Kind != MissDenied {
				rest = append(rest, m.Authorization.Resource.path)
			}
			if m.Authorization.Principal.name == "team:top" {
				require.Equal(t, []Principal{{"team:b"}, {"team:a"}, {"team:top"}}, append([]Principal{}, m.Teams...)[:3:3])
			}
		}
		require.Equal(t, []string{"t/abc/d/e", "t", "t/abd/x", "t/b", "u/that/is/long/and/far"}, rest[:5])
	}
}

// A reason says all that narrows it.
func TestAReasonSaysWhatNarrowsIt(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	x := held("team:b", "role:c-one", "t")
	x.Effect, x.From, x.Until, x.Condition, x.GrantedBy, x.Reason = Allow, now, now.Add(time.Hour), "hour < 9", Principal{"user:i/boss"}, "project"
	r := Reason{x, Principal{"user:i/ana"}, []Principal{{"team:a"}, {"team:b"}}}
	require.Equal(t, "user:i/ana, in team:a in team:b, holds role:c-one on t from 2030-01-01 12:00 UTC until 2030-01-01 13:00 UTC if hour < 9, given by user:i/boss: project", r.String())
	require.Equal(t, "user:i/ana holds role:c-one on t", Reason{Authorization{Role: x.Role, Resource: x.Resource, Effect: Allow}, r.For, nil}.String())
}

// A handle of another house is worth nothing beside those of this one, and the
// clock is read once for a question.
func TestEachHandleMustBeOfThisHouse(t *testing.T) {
	reads := 0
	clock := func() time.Time { reads++; return time.Unix(1e9, 0) }
	var who [2]PrincipalHandle
	var do [2]PermissionHandle
	var on [2]ResourceHandle
	var houses [2]*Authorizer
	for i := range houses {
		x := Authorization{Principal: Principal{"user:i/ana"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow, Until: time.Unix(2e9, 0)}
		y := x
		y.Resource, y.From = Resource{"t/a"}, time.Unix(1, 0)
		a, err := New(t.Context(), files(t, nil), &Options{Seed: []Authorization{x, y}, Clock: clock})
		require.NoError(t, err)
		houses[i] = a
		who[i], err = a.PrincipalHandle(Principal{"user:i/ana"})
		require.NoError(t, err)
		do[i], err = a.PermissionHandle(Permission{"mailbox.items.read"})
		require.NoError(t, err)
		on[i], err = a.ResourceHandle(Resource{"t/a"})
		require.NoError(t, err)
	}
	for n := range 8 {
		reads = 0
		ans := houses[0].CheckHandles(who[n&1], do[n>>1&1], &on[n>>2])
		require.Equal(t, n == 0, ans.Allowed(), n)
		if n == 0 {
			require.Equal(t, 1, reads)
		} else {
			require.Equal(t, BadRequest, ans.Decision().Code)
		}
	}
	require.False(t, (&Authorizer{}).CheckHandles(PrincipalHandle{}, PermissionHandle{}, &ResourceHandle{}).Allowed())

	// A Grant of nothing covers nothing, not even nothing.
	g := Grant{&grant{a: houses[0], req: Request{Principal: Principal{"user:i/ana"}, Resource: Resource{"t"}}, expires: time.Unix(2e9, 0)}}
	require.ErrorContains(t, g.Covers(Permission{}, Resource{"t"}), "grant is for")
}
