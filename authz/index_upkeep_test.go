package authz

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// However often something is assigned and revoked, what is kept for it stays the
// same: numbers, places in tables and room for runs are used again, and what
// Authorizations have in common is kept once.
func TestComingAndGoingLeavesNothingBehind(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	ix := a.ix
	x := Authorization{Principal: Principal{"user:i/x"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow}
	m := []Membership{{x.Principal, Principal{"team:a"}}, {x.Principal, Principal{"team:b"}}, {Principal{"team:a"}, Principal{"team:c"}}, {Principal{"team:b"}, Principal{"team:c"}}}
	round := func(n int) {
		for range n {
			var xs []Authorization
			for range 20 {
				x.ID = newID()
				xs = append(xs, x)
			}
			ix.apply(Change{Revision: ix.revision() + 1, Add: xs, Join: m})
			require.ElementsMatch(t, []Principal{{"team:a"}, {"team:b"}, {"team:c"}}, ix.teamsOf(x.Principal), "each once")
			ix.apply(Change{Revision: ix.revision() + 1, Remove: xs, Leave: m})
		}
	}
	size := func() (out []int) {
		room := 0
		for i := range *ix.slab.dir.Load() {
			if b := (*ix.slab.dir.Load())[i].Load(); b != nil {
				room += len(b.holdings)
			}
		}
		return []int{len(ix.auths), ix.byID.live, len(ix.members), len(ix.inside), len(ix.above), room, len(*ix.byID.slots.Load())}
	}
	round(2)
	before := size()
	require.Equal(t, []int{0, 0, 0}, before[2:5])
	round(300)
	after := size()
	require.Equal(t, before[:5], after[:5])
	require.LessOrEqual(t, after[5], before[5]+2*blockSize)
	require.LessOrEqual(t, after[6], 2*before[6], "a table is as large as when it last grew, which is when ids happen to fill it")
	require.True(t, ix.decide(req.Principal, a.cat.number[req.Permission.name], req.Resource).Allowed)
}

// Authorizations that agree in what few checks read share it, whatever came in
// between.
func TestWhatIsAlikeIsKeptOnce(t *testing.T) {
	fewest := math.MaxInt
	for range 4 { // where two of the three fall on one place, which a seed decides, each drives the other out
		a, _ := audited(t, NewMemory(0), 0)
		x := Authorization{Principal: Principal{"user:i/x"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow}
		var c Change
		for i := range 30 {
			x.ID, x.Reason, x.Condition = uuid.UUID{1, byte(i)}, fmt.Sprint(i%3), []string{"", "hour == 1", "hour == 2"}[i%3]
			c.Add = append(c.Add, x)
		}
		c.Revision = 2
		a.ix.apply(c)
		details, conditions := map[*detail]bool{}, map[*condition]bool{}
		for _, x := range a.ix.runOf(a.ix.find("user:i/x")).asides {
			details[x.detail] = true
			conditions[x.detail.when] = true
		}
		fewest = min(fewest, len(details))
		require.Len(t, conditions, 3)
	}
	require.Equal(t, 3, fewest)
}

// A change that alters many at once, of many, leaves each as it was altered.
func TestManyAreAlteredAtOnce(t *testing.T) {
	a, _ := audited(t, NewMemory(0), 0)
	var all Change
	for i := range 60 {
		all.Add = append(all.Add, Authorization{ID: uuid.UUID{2, byte(i)}, Principal: Principal{fmt.Sprintf("user:i/%d", i%3)}, Role: Role{"role:user"}, Resource: Resource{fmt.Sprintf("t/%d", i%4)}, Effect: Allow})
	}
	all.Revision = 2
	a.ix.apply(all)
	alter := Change{Revision: 3}
	for _, x := range all.Add {
		alter.Remove = append(alter.Remove, x)
		x.Reason, x.Resource = "altered", Resource{"t/z"}
		alter.Add = append(alter.Add, x)
	}
	slices.Reverse(alter.Add)
	a.ix.apply(alter)
	n := 0
	for x := range a.ix.each() {
		if x.ID[0] == 2 {
			require.Equal(t, "altered", x.Reason)
			require.Equal(t, "t/z", x.Resource.path)
			n++
		}
	}
	require.Equal(t, 60, n)
	for _, x := range alter.Add {
		y, ok := a.ix.get(x.ID)
		require.True(t, ok)
		require.Equal(t, x, y)
	}
	require.Len(t, a.ix.standingOver(Resource{"t/z"}), 61)
}

// Whoever is taken out of those who stand on a resource, first, last or between,
// the others stay.
func TestOthersStayWhereOneIsTaken(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 0, 3}, {2, 1, 3, 0}, {1, 3, 0, 2}} {
		a, _ := audited(t, NewMemory(0), 0)
		var xs []Authorization
		for i := range 4 {
			xs = append(xs, Authorization{ID: uuid.UUID{3, byte(i)}, Principal: Principal{fmt.Sprintf("user:i/%d", i)}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow})
			a.ix.apply(Change{Revision: uint64(2 + i), Add: xs[i:]})
		}
		left := map[uuid.UUID]bool{{3, 0}: true, {3, 1}: true, {3, 2}: true, {3, 3}: true}
		for _, i := range order {
			a.ix.apply(Change{Revision: a.Revision() + 1, Remove: xs[i : i+1]})
			delete(left, xs[i].ID)
			got := map[uuid.UUID]bool{}
			for _, x := range a.ix.standingOver(Resource{"t/a/b"}) {
				if x.ID[0] == 3 {
					got[x.ID] = true
				}
			}
			require.Equal(t, left, got)
			n := 0
			for _, err := range a.Principals(t.Context(), Permission{"mailbox.items.read"}, Resource{"t/a"}) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, len(left)+1, n)
		}
	}
}

// A list of what is no question is one error and nothing else, and a list holds
// up nobody afterwards.
func TestAListOfNothingIsOneError(t *testing.T) {
	a, req := audited(t, NewMemory(0), time.Minute)
	lists := func(p Principal, perm Permission, on, after Resource) (errs []error) {
		for r, err := range a.ResourcesAfter(t.Context(), p, perm, on, after) {
			require.True(t, r.IsZero())
			errs = append(errs, err)
		}
		return errs
	}
	who := func(perm Permission, on Resource) (errs []error) {
		for d, err := range a.Principals(t.Context(), perm, on) {
			require.Equal(t, Decision{}, d)
			errs = append(errs, err)
		}
		return errs
	}
	for _, c := range []struct {
		errs []error
		want error
	}{
		{lists(Principal{}, req.Permission, req.Resource, Resource{}), ErrDenied}, {lists(req.Principal, req.Permission, Resource{}, Resource{}), ErrDenied},
		{lists(req.Principal, Permission{"no.such"}, req.Resource, Resource{}), ErrUnknown}, {lists(req.Principal, Permission{}, req.Resource, Resource{}), ErrUnknown},
		{lists(req.Principal, req.Permission, req.Resource, Resource{"u"}), ErrConflict},
		{who(req.Permission, Resource{}), ErrDenied}, {who(Permission{"no.such"}, req.Resource), ErrUnknown}, {who(Permission{}, req.Resource), ErrUnknown},
	} {
		require.Len(t, c.errs, 1)
		require.ErrorIs(t, c.errs[0], c.want)
	}
	for range a.Principals(t.Context(), req.Permission, req.Resource) {
		continue
	}
	_ = a.ix.standingOver(req.Resource)
	a.ix.apply(Change{Revision: 2})
	_, err := a.ResourceHandle(Resource{"t/q"})
	require.NoError(t, err)
}
