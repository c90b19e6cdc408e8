package authz

import (
	"hash/maphash"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What an index would be after a change has and knows what the index then has.
func TestWhatIsThereAfterAChange(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	old := a.ix.heldBy(req.Principal)[0]
	was, add := old, old
	was.Reason = "altered"
	add.ID = uuid.UUID{5}
	o := after(a.ix, Change{Revision: 2, Remove: []Authorization{old}, Add: []Authorization{was, add}})
	for id, want := range map[uuid.UUID]Authorization{old.ID: was, add.ID: add} {
		x, ok := o.get(id)
		require.True(t, ok)
		require.Equal(t, want, x)
	}
	o = after(a.ix, Change{Revision: 2, Remove: []Authorization{old}, Add: []Authorization{add}})
	x, ok := o.get(old.ID)
	require.False(t, ok)
	require.Zero(t, x)
	_, ok = o.get(uuid.UUID{9})
	require.False(t, ok)
	o = after(a.ix, Change{Revision: 2, Add: []Authorization{add}})
	x, ok = o.get(old.ID)
	require.True(t, ok)
	require.Equal(t, old, x)

	// Two ways to one team count it once, a role that is gone gives nothing.
	p, one, two, top := Principal{"user:i/p"}, Principal{"team:one"}, Principal{"team:two"}, Principal{"team:top"}
	o = after(a.ix, Change{Revision: 2, Join: []Membership{{p, one}, {p, two}, {one, top}, {two, top}}, Add: []Authorization{{ID: uuid.UUID{6}, Principal: p, Role: Role{"role:gone"}, Resource: Resource{"t"}, Effect: Allow}}})
	require.Equal(t, []Principal{one, two, top}, o.teamsOf(p))
	require.False(t, o.decide(p, a.cat.number[req.Permission.name], Resource{"t"}).Allowed)

	// A question by its name, of somebody else too.
	require.Equal(t, UnknownPermission, decideBy(o, Request{Principal: p, Permission: Permission{"no.such"}, Resource: Resource{"t"}}).Code)
	require.True(t, decideBy(o, req).Allowed)
	req.OnBehalfOf = req.Principal
	require.True(t, decideBy(o, req).Allowed)
	second := Principal{"user:i/second"}
	b := after(a.ix, Change{Revision: 2, Add: []Authorization{{ID: uuid.UUID{89}, Principal: second, Role: Role{"role:user"}, Resource: req.Resource, Effect: Allow}}})
	req.OnBehalfOf = second
	require.Equal(t, req.Principal, decideBy(b, req).Principal, "who acts is named")
	require.True(t, decideBy(b, req).Allowed)
	req.OnBehalfOf = p
	d := decideBy(o, req)
	require.False(t, d.Allowed)
	require.Equal(t, p, d.Principal)
	req.Principal, req.OnBehalfOf = p, req.Principal
	require.Equal(t, p, decideBy(o, req).Principal)
}

// Names whose hashes collide are not taken for one another: principals,
// resources, ids.
func TestHashesThatCollideAreTold(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	ix := a.ix
	n := ix.numberOf(req.Principal.name)
	ix.who.put(maphash.String(ix.seed, "user:idp/other"), n)
	require.Nil(t, ix.find("user:idp/other"))
	require.Zero(t, ix.numberOf("user:idp/other"))
	node := ix.tree.lookup("t")
	ix.tree.slots.put(maphash.String(ix.seed, "u"), node)
	require.Zero(t, ix.tree.lookup("u"))
	other := uuid.UUID{77}
	ix.byID.put(maphash.Bytes(ix.seed, other[:]), 1)
	_, ok := ix.get(other)
	require.False(t, ok)
	require.False(t, ix.has(other))
	require.Equal(t, UnknownPermission, a.decide(ix, Request{Principal: req.Principal, Permission: Permission{"x.y"}, Resource: req.Resource}).Code)

	// What the meaning of the policy asks for: a role that is not there, and
	// somebody who is not known.
	require.False(t, ix.holdsIn(req.Principal, "role:gone", Allow, req.Resource, Context{}))
	require.False(t, ix.holdsIn(Principal{"user:i/none"}, "role:user", Allow, req.Resource, Context{}))
	require.True(t, ix.holdsIn(req.Principal, "role:user", Allow, req.Resource, Context{}))

	// The role that has number 0 is not every role that nobody knows.
	first := Principal{"user:i/first"}
	ix.apply(Change{Revision: 1, Add: []Authorization{{ID: uuid.UUID{88}, Principal: first, Role: Role{a.cat.roleName(0)}, Resource: req.Resource, Effect: Allow}}})
	require.True(t, ix.holdsIn(first, a.cat.roleName(0), Allow, req.Resource, Context{}))
	require.False(t, ix.holdsIn(first, "role:gone", Allow, req.Resource, Context{}))

	// A second membership of the same is one, and its end is the end.
	m := Membership{Principal{"user:i/p"}, Principal{"team:one"}}
	ix.apply(Change{Revision: 2, Join: []Membership{m}})
	ix.apply(Change{Revision: 3, Join: []Membership{m}})
	require.Equal(t, []Membership{m}, ix.memberships())
	require.Equal(t, []Principal{m.Team}, ix.directTeams(m.Member))
	ix.apply(Change{Revision: 4, Leave: []Membership{m}})
	ix.apply(Change{Revision: 5, Leave: []Membership{m}})
	require.Empty(t, ix.directTeams(m.Member))
	require.Empty(t, ix.teamsOf(m.Member))
	require.Empty(t, ix.tree.path(0))
}

// An index without a clock of its own uses the one of the machine.
func TestAnIndexHasAClock(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	now := time.Now()
	x := a.ix.heldBy(req.Principal)[0]
	x.From, x.Until = now.Add(-time.Hour), now.Add(time.Hour)
	ix := newIndex(a.cat, []Authorization{x}, nil, 1, nil)
	require.True(t, ix.decide(req.Principal, a.cat.number[req.Permission.name], req.Resource).Allowed)
	x.Until = now.Add(-time.Minute)
	ix = newIndex(a.cat, []Authorization{x}, nil, 1, nil)
	require.False(t, ix.decide(req.Principal, a.cat.number[req.Permission.name], req.Resource).Allowed)
}
