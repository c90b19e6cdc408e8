package authz

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// scene is a world that can be put back to how it was.
type scene struct {
	a   *Authorizer
	as  []Authorization
	ms  []Membership
	now time.Time
}

func (s *scene) reset(drop func(Authorization) bool, add ...Authorization) {
	as := slices.DeleteFunc(slices.Clone(s.as), drop)
	for i := range add {
		add[i].ID = newID()
	}
	as = append(as, add...)
	all := map[uuid.UUID]Authorization{}
	for _, x := range as {
		all[x.ID] = x
	}
	s.a.store = &memoryStore{all: all, rest: Assignments{Revision: 1, Memberships: s.ms}}
	s.a.ix = newIndex(s.a.cat, as, s.ms, 1, s.a.now)
}

func nothing(Authorization) bool { return false }

func (s *scene) allowed(t *rapid.T, req Request) bool {
	d, err := s.a.Check(t.Context(), req)
	require.NoError(t, err)
	return d.Allowed
}

var sceneWho = []string{"user:i/a", "user:i/b", "service:w", "team:s", "team:t", "team:u"}

// drawScene makes a world of a few holders, with teams in teams, denies,
// conditions, times and waiting Authorizations.
func drawScene(t *rapid.T, a *Authorizer) *scene {
	s := &scene{a: a, now: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
	a.now = func() time.Time { return s.now }
	roles := []string{"role:user", "role:user", "role:crm-user", "role:tenant-admin", "role:tenant-admin", "role:administration", "role:sync-worker", "role:support"}
	for range rapid.IntRange(2, 12).Draw(t, "rows") {
		x := Authorization{ID: newID(), Principal: Principal{rapid.SampledFrom(sceneWho).Draw(t, "who")}, Role: Role{rapid.SampledFrom(roles).Draw(t, "role")},
			Resource: Resource{rapid.SampledFrom([]string{"t", "t/a", "t/a/x", "t/ab"}).Draw(t, "on")}, Effect: Allow}
		switch rapid.IntRange(0, 11).Draw(t, "kind") {
		case 0, 1:
			x.Effect = Deny
		case 2:
			x.From = s.now.Add(time.Hour)
		case 3:
			x.From, x.Until = s.now.Add(-2*time.Hour), s.now.Add(-time.Hour)
		case 4:
			x.Until = s.now
		case 5:
			x.Pending, x.Until = true, s.now.Add(time.Hour)
		case 6:
			x.Condition = "hour >= 12 && device == 'd'"
		case 7:
			x.Condition = "hour < 12"
		case 8:
			x.Effect, x.Condition = Deny, "ipMatch(network, '10.0.0.0/8')"
		}
		require.NoError(t, a.cat.known(x))
		s.as = append(s.as, x)
	}
	for i := range sceneWho {
		for j := max(i+1, 3); j < len(sceneWho); j++ {
			if rapid.IntRange(0, 3).Draw(t, "joins") == 0 {
				s.ms = append(s.ms, Membership{Principal{sceneWho[i]}, Principal{sceneWho[j]}})
			}
		}
	}
	s.reset(nothing)
	return s
}

func drawQuestion(t *rapid.T) Request {
	req := Request{Principal: Principal{rapid.SampledFrom(sceneWho).Draw(t, "asks")}, Resource: Resource{rapid.SampledFrom([]string{"t/a", "t/a/x", "t/ab"}).Draw(t, "at")},
		Permission: Permission{rapid.SampledFrom([]string{"mailbox.items.read", "crm.items.read", "sync.run", "tenants.read", "users.write"}).Draw(t, "permission")}}
	if rapid.IntRange(0, 2).Draw(t, "behalf") == 0 {
		req.OnBehalfOf = Principal{rapid.SampledFrom(sceneWho).Draw(t, "of")}
	}
	if rapid.Bool().Draw(t, "known") {
		req.Context = Context{Network: netip.MustParseAddr(rapid.SampledFrom([]string{"10.0.0.1", "192.168.0.1"}).Draw(t, "from")), Device: "d"}
	}
	return req
}

// tryChange makes a part of a change by the doors that users use.
func tryChange(ctx context.Context, a *Authorizer, giver Principal, add, remove *Authorization) error {
	on := add
	if on == nil {
		on = remove
	}
	g, err := a.Authorize(ctx, Request{Principal: giver, Permission: Permission{writeAuthorizations}, Resource: on.Resource})
	if err != nil {
		return err
	}
	if add != nil {
		_, err := a.Edit(g).Assign(ctx, *add)
		return err
	}
	return a.Edit(g).Revoke(ctx, remove.ID, "")
}

// What an Explanation says is so: each reason is one, all of them are all, the
// change changes the answer and nothing in it is too much, and those and only
// those who are named could make it.
func TestAnExplanationIsTrue(t *testing.T) {
	a, err := New(t.Context(), files(t, nil), nil)
	require.NoError(t, err)
	var allowed, refused, longer, givers, chains int
	check := func(t *rapid.T, s *scene, req Request) {
		x, err := a.Explain(t.Context(), req)
		require.NoError(t, err)
		d, err := a.Check(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, d, x.Decision)
		require.Equal(t, d.Reason(), x.Reason)
		listed := func(rs []Reason) func(Authorization) bool {
			return func(y Authorization) bool {
				return slices.ContainsFunc(rs, func(r Reason) bool { return r.Authorization.ID == y.ID })
			}
		}
		for _, r := range append(slices.Clone(x.Allows), x.Denies...) {
			require.NotEmpty(t, r.String())
			at := r.For
			for _, team := range r.Teams {
				require.Contains(t, s.ms, Membership{at, team}, "a membership that is there")
				at = team
			}
			require.Equal(t, r.Authorization.Principal, at)
			if len(r.Teams) > 1 {
				chains++
			}
		}
		if d.Allowed {
			allowed++
			require.True(t, len(x.Allows) > 0 && len(x.Denies) == 0 && len(x.Misses) == 0 && len(x.Givers) == 0 && len(x.Change.Add)+len(x.Change.Remove) == 0)
			s.reset(listed(x.Allows))
			require.False(t, s.allowed(t, req), "without any of them")
			for _, keep := range x.Allows {
				// One of its principal's reasons is enough.
				s.reset(func(y Authorization) bool {
					return y.ID != keep.Authorization.ID && slices.ContainsFunc(x.Allows, func(r Reason) bool { return r.For == keep.For && r.Authorization.ID == y.ID }) &&
						!slices.ContainsFunc(x.Allows, func(r Reason) bool { return r.For != keep.For && r.Authorization.ID == y.ID })
				})
				require.True(t, s.allowed(t, req), "with %s", keep)
			}
			return
		}
		refused++
		require.NotEmpty(t, x.Nearest)
		gone := func(y Authorization) bool {
			return slices.ContainsFunc(x.Change.Remove, func(z Authorization) bool { return z.ID == y.ID })
		}
		s.reset(gone, slices.Clone(x.Change.Add)...)
		require.True(t, s.allowed(t, req), "%+v", x.Change)
		replaces := func(y Authorization) bool {
			return slices.ContainsFunc(x.Change.Add, func(z Authorization) bool { return z.ID == y.ID && y.ID != uuid.Nil })
		}
		for i, y := range x.Change.Add {
			if replaces(y) {
				longer++
			}
			s.reset(gone, slices.Delete(slices.Clone(x.Change.Add), i, i+1)...)
			require.False(t, s.allowed(t, req), "too much: %+v", y)
		}
		for _, y := range x.Change.Remove {
			if !replaces(y) {
				s.reset(func(z Authorization) bool { return z.ID != y.ID && gone(z) }, slices.Clone(x.Change.Add)...)
				require.False(t, s.allowed(t, req), "too much: %+v", y)
			}
		}

		// Those who are named can, those who are not cannot.
		require.False(t, x.MoreGivers)
		for _, name := range sceneWho {
			who := Principal{name}
			if !slices.ContainsFunc(s.as, func(y Authorization) bool { return y.Principal == who }) {
				require.NotContains(t, x.Givers, who)
				continue
			}
			var failed error
			for _, y := range x.Change.Add {
				s.reset(nothing)
				if err := tryChange(t.Context(), a, who, &y, nil); err != nil {
					failed = err
				}
			}
			for _, y := range x.Change.Remove {
				s.reset(nothing)
				if err := tryChange(t.Context(), a, who, nil, &y); err != nil {
					failed = err
				}
			}
			if holds := slices.Contains(x.Givers, who); holds || failed == nil {
				named := holds || !slices.ContainsFunc(s.as, func(y Authorization) bool {
					return y.Principal == who && y.Effect == Allow && y.Resource.Contains(req.Resource) && a.cat.sets[y.Role.name].has(a.cat.number[writeAuthorizations])
				})
				require.NoError(t, failed, "%s is named", who)
				require.True(t, named, "%s is not named", who)
			}
			if !slices.Contains(x.Givers, who) {
				continue
			}
			givers++
			s.reset(nothing)
			for _, y := range x.Change.Remove {
				if !replaces(y) {
					require.NoError(t, tryChange(t.Context(), a, who, nil, &y))
				}
			}
			for _, y := range x.Change.Add {
				require.NoError(t, tryChange(t.Context(), a, who, &y, nil))
			}
			require.True(t, s.allowed(t, req), "made by %s", who)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t, a)
		for range 10 {
			s.reset(nothing)
			check(t, s, drawQuestion(t))
		}
	})
	t.Logf("%d allowed, %d refused, %d by making one longer, %d changes made by those named, %d teams in teams", allowed, refused, longer, givers, chains)
	for _, n := range []int{allowed, refused, givers, chains} {
		require.Positive(t, n, "worlds in which it does not happen prove nothing")
	}
}

// What stands outside the Grant of whoever asks is counted and not told.
func TestExplainForTellsNothingFromOutside(t *testing.T) {
	a, err := New(t.Context(), files(t, nil), nil)
	require.NoError(t, err)
	told, hidden := 0, 0
	ask := func(t *rapid.T, s *scene, g Grant, top Resource, req Request) {
		x, err := a.ExplainFor(t.Context(), g, req)
		if !top.Contains(req.Resource) {
			require.ErrorIs(t, err, ErrDenied)
			require.Equal(t, Explanation{}, x)
			return
		}
		require.NoError(t, err)
		full, err := a.Explain(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, full.Decision.Allowed, x.Decision.Allowed)
		require.Equal(t, full.Decision.Code, x.Decision.Code)
		if top.path == "t" {
			require.Equal(t, full, x, "who may see all is told all")
		}
		// Nothing of what stands outside is in the answer, whatever its field.
		text := fmt.Sprintf("%+v", x)
		for _, y := range s.as {
			if !top.Contains(y.Resource) {
				require.NotContains(t, text, y.ID.String())
				require.NotContains(t, text, fmt.Sprintf("%v", y.ID))
				require.NotContains(t, text, " on "+y.Resource.path+" ")
			}
		}
		for _, r := range append(slices.Clone(x.Allows), x.Denies...) {
			require.True(t, top.Contains(r.Authorization.Resource))
			told++
		}
		missed := func(y Explanation) int { // denies are among the misses too
			n := len(y.Misses) + y.MoreMisses
			for _, m := range y.Misses {
				if m.Kind == MissDenied {
					n--
				}
			}
			return n
		}
		require.Equal(t, len(full.Allows)+len(full.Denies)+missed(full)+len(full.Givers), len(x.Allows)+len(x.Denies)+missed(x)+len(x.Givers)+x.Hidden)
		hidden += x.Hidden
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t, a)
		auditor := Principal{"user:i/auditor"}
		top := Resource{rapid.SampledFrom([]string{"t", "t/a", "t/a/x"}).Draw(t, "top")}
		s.as = append(s.as, Authorization{ID: newID(), Principal: auditor, Role: Role{"role:support"}, Resource: Resource{"t"}, Effect: Allow})
		s.reset(nothing)
		g, err := a.Authorize(t.Context(), Request{Principal: auditor, Permission: Permission{"authz.decisions.explain"}, Resource: top})
		require.NoError(t, err)
		for range 6 {
			ask(t, s, g, top, drawQuestion(t))
		}
	})
	require.Positive(t, told)
	require.Positive(t, hidden)

	other, err := New(t.Context(), files(t, nil), &Options{Seed: []Authorization{{Principal: Principal{"user:i/a"}, Role: Role{"role:support"}, Resource: Resource{"t"}, Effect: Allow}}})
	require.NoError(t, err)
	foreign, err := other.Authorize(t.Context(), Request{Principal: Principal{"user:i/a"}, Permission: Permission{"authz.decisions.explain"}, Resource: Resource{"t"}})
	require.NoError(t, err)
	wrong, err := other.Authorize(t.Context(), Request{Principal: Principal{"user:i/a"}, Permission: Permission{"tenants.read"}, Resource: Resource{"t"}})
	require.NoError(t, err)
	req := Request{Principal: Principal{"user:i/a"}, Permission: Permission{"tenants.read"}, Resource: Resource{"t"}}
	for _, refused := range []func() (Explanation, error){
		func() (Explanation, error) { return a.ExplainFor(t.Context(), foreign, req) },
		func() (Explanation, error) { return other.ExplainFor(t.Context(), wrong, req) },
		func() (Explanation, error) { return other.ExplainFor(t.Context(), Grant{}, req) },
		func() (Explanation, error) { return (*Authorizer)(nil).ExplainFor(t.Context(), foreign, req) },
	} {
		x, err := refused()
		require.ErrorIs(t, err, ErrDenied)
		require.Equal(t, Explanation{}, x)
	}
	_, err = other.ExplainFor(t.Context(), foreign, req)
	require.NoError(t, err)
}

func TestExplainSaysHowItIsMissed(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	ana, at := Principal{"user:i/ana"}, Resource{"t/a"}
	give := func(role, on string, f func(x *Authorization)) Authorization {
		x := Authorization{Principal: ana, Role: Role{role}, Resource: Resource{on}, Effect: Allow, GrantedBy: Principal{"user:i/boss"}, Reason: "project"}
		f(&x)
		return x
	}
	a, err := New(t.Context(), files(t, nil), &Options{Clock: func() time.Time { return now }, Seed: []Authorization{
		give("role:user", "t", func(x *Authorization) { x.Effect, x.Until = Deny, now.Add(time.Hour) }),
		give("role:user", "t/a", func(x *Authorization) { x.Condition = "device == 'laptop'" }),
		give("role:user", "t/a", func(x *Authorization) { x.Pending, x.Until = true, now.Add(time.Hour) }),
		give("role:user", "t/a", func(x *Authorization) { x.From = now.Add(time.Hour) }),
		give("role:user", "t/a", func(x *Authorization) { x.From, x.Until = now.Add(-2*time.Hour), now.Add(-time.Hour) }),
		give("role:sales", "t/a", func(x *Authorization) {}),
		give("role:user", "t/b", func(x *Authorization) {}),
		give("role:sales", "t/b", func(x *Authorization) {}), // neither here nor this
		{Principal: Principal{"user:i/boss"}, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow},
	}})
	require.NoError(t, err)
	x, err := a.Explain(t.Context(), Request{Principal: ana, Permission: Permission{"mailbox.items.read"}, Resource: at})
	require.NoError(t, err)
	var kinds []MissKind
	var says []string
	for _, m := range x.Misses {
		kinds, says = append(kinds, m.Kind), append(says, m.String())
	}
	require.Equal(t, []MissKind{MissDenied, MissCondition, MissPending, MissNotYet, MissEnded, MissRole, MissElsewhere}, kinds)
	require.Equal(t, []string{"role:user is denied on t", "role:user on t/a counts only if device == 'laptop'", "role:user on t/a waits for a second person",
		"role:user on t/a begins at 2030-01-01 13:00 UTC", "role:user on t/a ended at 2030-01-01 11:00 UTC", "role:sales on t/a does not carry it", "role:user is held on t/b, not here"}, says)
	require.Equal(t, "user:i/ana is denied role:user on t until 2030-01-01 13:00 UTC, given by user:i/boss: project", x.Denies[0].String())
	require.Equal(t, "role:user on t/a", Miss{Reason: x.Misses[1].Reason}.String(), "no kind")
	// The least is to make longer what has ended, and to lift the deny.
	require.Len(t, x.Change.Add, 1)
	require.Equal(t, now.Add(time.Hour), x.Change.Add[0].Until, "as long again as it lasted")
	require.Len(t, x.Change.Remove, 2)
	require.Equal(t, []Principal{{"user:i/boss"}}, x.Givers)

	x, err = a.Explain(t.Context(), Request{Principal: ana, Permission: Permission{"no.such"}, Resource: at})
	require.NoError(t, err)
	require.Empty(t, x.Change.Add)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = a.Explain(ctx, Request{})
	require.ErrorIs(t, err, context.Canceled)
}

// Lists are for people and say when they are cut.
func TestExplainIsBounded(t *testing.T) {
	var seed []Authorization
	for i := range 30 {
		seed = append(seed, Authorization{Principal: Principal{fmt.Sprintf("user:i/admin%02d", i)}, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow},
			Authorization{Principal: Principal{"user:i/ana"}, Role: Role{"role:user"}, Resource: Resource{fmt.Sprintf("u/%d", i)}, Effect: Allow})
	}
	a, err := New(t.Context(), files(t, nil), &Options{Seed: seed})
	require.NoError(t, err)
	x, err := a.Explain(t.Context(), Request{Principal: Principal{"user:i/ana"}, Permission: Permission{"mailbox.items.read"}, Resource: Resource{"t/a"}})
	require.NoError(t, err)
	require.Len(t, x.Givers, maxGivers)
	require.True(t, x.MoreGivers)
	require.Equal(t, "user:i/admin00", x.Givers[0].name)
	require.Len(t, x.Misses, maxMisses)
	require.Equal(t, 10, x.MoreMisses)
	require.Len(t, x.Nearest, maxNearest+1)
}
