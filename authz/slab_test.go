package authz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// some makes n Authorizations of a principal on resources of its own.
func some(n int, who, under string) []Authorization {
	out := make([]Authorization, n)
	for i := range out {
		out[i] = Authorization{ID: newID(), Principal: Principal{who}, Role: Role{"role:reader"}, Resource: Resource{fmt.Sprintf("%s/%d", under, i)}, Effect: Allow}
	}
	return out
}

func fewCatalogue(t testing.TB) *catalogue {
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions, "roles.csv": fewRoles}), nil)
	require.NoError(t, err)
	return a.cat
}

// A change of several principals writes runs that no block counts yet when the
// first of them is published. No block may be given back before the last is:
// this change ended in a panic with half of it published, and readers span.
func TestWhatIsPreparedIsNotGivenBack(t *testing.T) {
	cat := fewCatalogue(t)
	for _, sizes := range [][]int{{10, 70, 10}, {1, 300, 1, 2000, 1}, {60, 1, 1, 20000, 3}} {
		var as, more []Authorization
		for i, n := range sizes {
			as = append(as, some(min(n, 10), fmt.Sprint("service:", i), "t")...)
			more = append(more, some(n, fmt.Sprint("service:", i), "u")...)
		}
		ix := newIndex(cat, as, nil, 1, nil)
		ix.apply(Change{Revision: 2, Add: more})
		ix.apply(Change{Revision: 3, Remove: as})
		want := map[uuid.UUID]Authorization{}
		for _, x := range more {
			want[x.ID] = x
		}
		n := 0
		for x := range ix.each() {
			require.Equal(t, want[x.ID], x)
			n++
		}
		require.Len(t, want, n)
		requireSlab(t, ix)
	}
}

// What one principal can hold is bounded by how long a run can be. One more
// would be read as nothing, and the run after it as its own.
func TestARunIsNeverTooLong(t *testing.T) {
	a := &Authorizer{cat: fewCatalogue(t)}
	full := some(maxRun, "service:much", "t")
	one := some(1, "service:much", "u")
	ix := newIndex(a.cat, nil, nil, 0, nil)
	require.NoError(t, a.valid(ix, Change{Add: full}))
	require.ErrorContains(t, a.valid(ix, Change{Add: append(one, full...)}), "service:much would hold 65536, 65535 at most")
	ix.apply(Change{Revision: 1, Add: full})
	require.Len(t, ix.heldBy(Principal{"service:much"}), maxRun)
	require.ErrorContains(t, a.valid(ix, Change{Add: one}), "65535 at most")
	require.Error(t, a.valid(ix, Change{Add: one, Remove: some(1, "service:much", "v")}), "what is not there makes no room")
	require.NoError(t, a.valid(ix, Change{Add: one, Remove: full[:1]}))
	require.NoError(t, a.valid(ix, Change{Add: some(1, "service:other", "u")}))
	ix.apply(Change{Revision: 2, Add: one, Remove: full[:1]})
	require.Len(t, ix.heldBy(Principal{"service:much"}), maxRun)
	require.True(t, ix.decide(one[0].Principal, 0, one[0].Resource).Allowed)
	require.True(t, ix.decide(one[0].Principal, 0, full[maxRun-1].Resource).Allowed)
	require.False(t, ix.decide(one[0].Principal, 0, full[0].Resource).Allowed)
}

// requireSlab holds the books of the slab against what lies in it.
func requireSlab(t require.TestingT, ix *index) {
	live := map[int]int{}
	for n := uint32(1); n < ix.principals.size(); n++ {
		p := ix.principals.at(n)
		r := ix.slab.word(n)
		if r.length() == 0 {
			continue
		}
		b := ix.slab.get(r)
		require.NotNil(t, b, "%s lives in a block that was given back", p.name)
		require.LessOrEqual(t, r.offset()+r.length(), b.used)
		live[r.block()] += r.length()
		v := b.view(r)
		require.True(t, len(v.holdings) <= longRun || slices.IsSortedFunc(v.holdings, func(a, b holding) int { return int(a.node()) - int(b.node()) }))
	}
	for i, p := range *ix.slab.dir.Load() {
		b := p.Load()
		if b == nil {
			require.Zero(t, live[i])
			continue
		}
		require.Equal(t, live[i], b.live, "block %d", i)
		require.LessOrEqual(t, b.used, len(b.holdings))
	}
}

// blocks counts the blocks of a slab, and those that were given back.
func blocks(ix *index) (all, gone int) {
	dir := ix.slab.dir.Load()
	if dir == nil {
		return 0, 0
	}
	for _, p := range *dir {
		if p.Load() == nil {
			gone++
		}
	}
	return len(*dir), gone
}

// A slab under any changes keeps what a map keeps.
func TestSlabAgainstAMap(t *testing.T) {
	cat := fewCatalogue(t)
	gone := 0
	rapid.Check(t, func(rt *rapid.T) {
		ix := newIndex(cat, nil, nil, 0, nil)
		model := map[uuid.UUID]Authorization{}
		var order []uuid.UUID
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for rev := range rapid.IntRange(1, 25).Draw(rt, "changes") {
			c := Change{Revision: uint64(rev + 1)}
			for range rapid.SampledFrom([]int{0, 1, 3, 30, 300}).Draw(rt, "remove") {
				if len(order) > 0 {
					i := rnd.IntN(len(order))
					c.Remove = append(c.Remove, model[order[i]])
					delete(model, order[i])
					order[i] = order[len(order)-1]
					order = order[:len(order)-1]
				}
			}
			one := rnd.IntN(5) == 0
			for range rapid.SampledFrom([]int{0, 1, 1, 3, 30, 300}).Draw(rt, "add") {
				who := rnd.IntN(6)
				if one {
					who = 0
				}
				x := Authorization{ID: newID(), Principal: Principal{fmt.Sprint("service:", who)}, Role: Role{"role:reader"}, Resource: Resource{fmt.Sprint("t/", rnd.IntN(40))}, Effect: Effect(1 + rnd.IntN(2))}
				if rnd.IntN(3) == 0 {
					x.Until = time.Unix(int64(rnd.IntN(5)), 0)
				}
				c.Add = append(c.Add, x)
				model[x.ID] = x
				order = append(order, x.ID)
			}
			if len(c.Remove) > 0 && rnd.IntN(2) == 0 { // changed under its id, perhaps another's now
				x := c.Remove[0]
				x.Role, x.Principal = Role{"role:writer"}, Principal{fmt.Sprint("service:", rnd.IntN(6))}
				c.Add = append(c.Add, x)
				model[x.ID] = x
				order = append(order, x.ID)
			}
			ix.apply(c)
			n := 0
			for x := range ix.each() {
				require.Equal(rt, model[x.ID], x)
				n++
			}
			require.Equal(rt, len(model), n)
			for i := range min(5, len(order)) {
				x, ok := ix.get(order[i])
				require.True(rt, ok && x == model[order[i]])
			}
			for i := range min(5, len(c.Remove)) {
				x, ok := ix.get(c.Remove[i].ID)
				want, there := model[c.Remove[i].ID]
				require.True(rt, ok == there && x == want)
			}
			if ix.slab.dir.Load() != nil {
				requireSlab(rt, ix)
			}
		}
		_, n := blocks(ix)
		gone += n
	})
	require.Positive(t, gone, "no block was ever given back")
	t.Logf("%d blocks given back", gone)
}

// What a word says about a run is what was put in, up to its limits.
func TestRunWord(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.IntRange(0, 1<<23-1).Draw(rt, "block")
		o := rapid.IntRange(0, 1<<24-1).Draw(rt, "offset")
		n := rapid.IntRange(0, maxRun).Draw(rt, "length")
		teams := rapid.Bool().Draw(rt, "is in teams")
		r := newRun(b, o, n)
		if teams {
			r |= 1 << 63
		}
		require.True(rt, r.block() == b && r.offset() == o && r.length() == n && r.inTeams() == teams)
	})
}

// A list counts the principals while a change adds one: without the lock the
// race detector found it, and what was counted could be cut off.
func TestListsCountUnderTheLock(t *testing.T) {
	ix := newIndex(fewCatalogue(t), some(3, "service:a", "t"), nil, 1, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			ix.apply(Change{Revision: uint64(i + 2), Add: some(1, fmt.Sprint("service:b", i), "t")})
		}
	})
	for range 50 {
		n := 0
		for range ix.each() {
			n++
		}
		if n < 3 {
			t.Errorf("%d listed, 3 were there all the time", n)
		}
	}
	wg.Wait()
}
