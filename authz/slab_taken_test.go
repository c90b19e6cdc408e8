package authz

import (
	"hash/maphash"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What is taken of a short run is marked there and nothing is copied, until half
// of the run is gone; a run of which all is gone is none.
func TestWhatIsTakenIsMarked(t *testing.T) {
	who := Principal{"service:a"}
	as := some(10, who.name, "t")
	ix := newIndex(fewCatalogue(t), as, nil, 1, nil)
	ix.apply(Change{Revision: 2, Add: some(1, "service:b", "t")}) // somebody else, who counts for nothing here
	n := ix.numberOf(who.name)
	first := ix.slab.word(n)
	rev, left := uint64(2), slices.Clone(as)
	take := func(i int) {
		rev++
		ix.apply(Change{Revision: rev, Remove: left[i : i+1]})
		gone := left[i]
		left = slices.Delete(slices.Clone(left), i, i+1)
		require.ElementsMatch(t, left, ix.heldBy(who))
		require.False(t, ix.has(gone.ID))
		require.False(t, ix.decide(who, 0, gone.Resource).Allowed)
		count := 0
		for x := range ix.each() {
			require.NotEqual(t, gone.ID, x.ID)
			if x.Principal == who {
				count++
			}
		}
		require.Equal(t, len(left), count)
		for _, x := range left {
			require.True(t, ix.decide(who, 0, x.Resource).Allowed)
			y, ok := ix.get(x.ID)
			require.True(t, ok)
			require.Equal(t, x, y)
		}
		requireSlab(t, ix)
	}
	for range 5 {
		take(len(left) / 2)
		require.Equal(t, first, ix.slab.word(n), "nothing was written anew")
	}
	take(0) // leaves four of ten
	second := ix.slab.word(n)
	require.Equal(t, 4, second.length())
	take(3)
	take(0)
	require.Equal(t, second, ix.slab.word(n))
	rev++
	ix.apply(Change{Revision: rev, Remove: as[:1]}) // long gone
	require.Equal(t, second, ix.slab.word(n))
	take(1)
	require.Equal(t, 1, ix.slab.word(n).length())
	take(0)
	require.Zero(t, ix.slab.word(n))
}

// A run of which something is gone keeps only what lives when it is written
// anew, for one more or for many.
func TestWhatIsGoneIsNotWrittenAgain(t *testing.T) {
	who := Principal{"service:a"}
	for _, more := range []int{1, 2, 40} {
		as := some(9, who.name, "t")
		ix := newIndex(fewCatalogue(t), as, nil, 1, nil)
		ix.apply(Change{Revision: 2, Remove: as[:1]})
		ix.apply(Change{Revision: 3, Remove: as[4:5]})
		ix.apply(Change{Revision: 4, Remove: as[8:]})
		add := some(more, who.name, "u")
		ix.apply(Change{Revision: 5, Add: add})
		require.Equal(t, 6+more, ix.slab.word(ix.numberOf(who.name)).length())
		require.ElementsMatch(t, slices.Concat(as[1:4], as[5:8], add), ix.heldBy(who))
		requireSlab(t, ix)
	}
	// Nor in a block that is given back, nor counted against what one may hold.
	as := some(9, who.name, "t")
	ix := newIndex(fewCatalogue(t), as, nil, 1, nil)
	ix.apply(Change{Revision: 2, Remove: as[:1]})
	require.NoError(t, ix.fits(Change{Add: some(maxRun-8, who.name, "u")}))
	require.ErrorContains(t, ix.fits(Change{Add: some(maxRun-7, who.name, "u")}), "would hold 65536")
	require.ErrorContains(t, ix.fits(Change{Add: some(maxRun-7, who.name, "u"), Remove: as[:1]}), "would hold 65536", "what is gone makes no room again")
	require.NoError(t, ix.fits(Change{Add: some(maxRun-7, who.name, "u"), Remove: as[1:2]}))
}

// The number of what was taken is another's soon, on the same resource perhaps,
// and an id may come again. What is gone is neither of them.
func TestWhatIsGoneIsNotMistaken(t *testing.T) {
	who := Principal{"service:a"}
	as := some(4, who.name, "t")
	ix := newIndex(fewCatalogue(t), as, nil, 1, nil)
	gone, next := as[1], as[1]
	next.ID, next.Role = newID(), Role{"role:writer"}
	ix.apply(Change{Revision: 2, Remove: []Authorization{gone}})
	ix.apply(Change{Revision: 3, Add: []Authorization{next}})
	ix.byID.put(maphash.Bytes(ix.seed, gone.ID[:]), ix.number(next.ID)) // as if their hashes collided
	require.False(t, ix.has(gone.ID))
	_, ok := ix.get(gone.ID)
	require.False(t, ok)
	require.Contains(t, ix.standingOver(next.Resource), next)
	require.NotContains(t, ix.standingOver(next.Resource), gone)
	back := gone
	back.Role = Role{"role:writer"}
	ix.apply(Change{Revision: 4, Remove: []Authorization{next}})
	ix.apply(Change{Revision: 5, Add: []Authorization{back}})
	got, ok := ix.get(gone.ID)
	require.True(t, ok)
	require.Equal(t, back, got)
}

// What somebody holds is told as it was at one revision: of two that take turns
// one is always there.
func TestWhatIsHeldIsOfOneRevision(t *testing.T) {
	who := Principal{"service:a"}
	turns := some(2, who.name, "t")
	ix := newIndex(fewCatalogue(t), append(some(3, who.name, "u"), turns[0]), nil, 1, nil)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for i := range 20_000 {
			ix.apply(Change{Revision: uint64(2*i + 2), Add: turns[(i+1)%2:][:1]})
			ix.apply(Change{Revision: uint64(2*i + 3), Remove: turns[i%2:][:1]})
		}
	})
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		seen := map[uuid.UUID]bool{}
		for _, x := range ix.heldBy(who) {
			if seen[x.ID] {
				t.Fatalf("%s twice", x.ID)
			}
			seen[x.ID] = true
		}
		if len(seen) < 4 || len(seen) > 5 {
			t.Fatalf("%d held, at no revision", len(seen))
		}
	}
	wg.Wait()
}
