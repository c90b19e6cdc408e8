package authz

import (
	"hash/maphash"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// genSegments makes paths out of few segments that resemble each other: one the
// beginning of another byte by byte but not segment by segment, ones that hold
// the separator or its escape, and the longest ones there are.
func genSegments() *rapid.Generator[[]string] {
	long := strings.Repeat("/", MaxSegment)
	segment := rapid.SampledFrom([]string{"a", "ab", "b", "abc", "a/b", "a%2Fb", "\u00e9", "e\u0301", "\u0430", "%", "a%", long[:MaxSegment-1] + "a"})
	return rapid.Custom(func(t *rapid.T) []string {
		switch rapid.IntRange(0, 9).Draw(t, "shape") {
		case 0: // as deep as can be
			return rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), MaxDepth-1, MaxDepth).Draw(t, "deep")
		case 1:
			return append(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "top"), long)
		}
		s := rapid.SliceOfN(segment, 1, 6).Draw(t, "segments")
		for i, x := range s { // a path has room for two of the longest
			if len(x) > 1000 && slices.ContainsFunc(s[:i], func(x string) bool { return len(x) > 1000 }) {
				s[i] = "a"
			}
		}
		return s
	})
}

// A tree finds of every path the deepest part that it knows, and spells every
// node as it was put in.
func TestTreeAgainstAMap(t *testing.T) {
	partial, deepest := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		tr := newTree(maphash.MakeSeed())
		numbers := map[string]uint32{} // segments, joined by what no name holds
		key := func(segs []string) string { return strings.Join(segs, "\x00") }
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			segs := genSegments().Draw(rt, "segments")
			r, err := NewResource(segs...)
			require.NoError(rt, err)
			if rapid.Bool().Draw(rt, "add") {
				n := tr.add(r.path)
				require.Equal(rt, n, tr.add(r.path))
				numbers[key(segs)] = n
				up := n
				for i := len(segs) - 1; i >= 0; i-- {
					if old, ok := numbers[key(segs[:i+1])]; ok {
						require.Equal(rt, old, up)
					}
					numbers[key(segs[:i+1])] = up
					require.Equal(rt, i, int(tr.nodes.at(up).depth))
					up = tr.nodes.at(up).parent
				}
				require.Zero(rt, up)
			}
			var to place
			to.known = 3 // what was there before does not matter
			tr.find(r.path, &to)
			known := 0
			for i := range segs {
				n, ok := numbers[key(segs[:i+1])]
				if !ok {
					break
				}
				require.Less(rt, i, int(to.known))
				require.Equal(rt, n, to.at[i])
				known = i + 1
			}
			require.Equal(rt, known, int(to.known))
			if known > 0 && known < len(segs) {
				partial++
			}
			deepest = max(deepest, known)
		}
		// Numbers and paths are one to one, and each node hangs below its parent once.
		seen := map[uint32]bool{}
		for k, n := range numbers {
			require.False(rt, seen[n], "two paths, one number")
			seen[n] = true
			r, err := NewResource(strings.Split(k, "\x00")...)
			require.NoError(rt, err)
			require.Equal(rt, r.path, tr.path(n))
			require.Equal(rt, n, tr.lookup(r.path))
		}
		require.Equal(rt, len(numbers)+1, int(tr.nodes.size()))
		reached := 0
		var walk func(n uint32)
		walk = func(n uint32) {
			for c := tr.below[n].first; c != 0; c = tr.below[c].next {
				require.Equal(rt, n, tr.nodes.at(c).parent)
				reached++
				walk(c)
			}
		}
		walk(0)
		require.Equal(rt, len(numbers), reached)
	})
	require.Positive(t, partial)
	require.Equal(t, MaxDepth, deepest)
}

// A node is told apart from those whose hash is the same by its whole path.
// What is compared here is what a colliding hash would offer.
func TestTreeTellsCollidingPathsApart(t *testing.T) {
	tr := newTree(maphash.MakeSeed())
	paths := []string{"a", "ab", "b", "a/b", "a/b/c", "a%2Fb", "ab/c", "b/c", "a/bc", "xa/b", "x/a/b", "aa/b", "a/a/b"}
	for _, p := range paths {
		tr.add(p)
	}
	for _, p := range paths {
		n := tr.lookup(p)
		for _, q := range append(paths, "", "/", "a/", "/a", "c", "bc", "axb", "a/bxc", "ab-c", "axb/c") {
			require.Equal(t, p == q, tr.is(n, q), "%s %s", p, q)
		}
	}
}

// Names that meet in one slot chain are still told apart, in every table of the
// index.
func TestPrincipalsWithOneHashAreToldApart(t *testing.T) {
	ix := newIndex(fewCatalogue(t), nil, nil, 0, nil)
	// Every number under every hash: the worst that hashes can do.
	names := []string{"user:i/a", "user:i/ab", "user:i%2Fa/b", "service:a", "team:a"}
	for _, n := range names {
		ix.know(n)
	}
	for _, n := range names {
		h := maphash.String(ix.seed, n)
		for _, other := range names {
			if p := ix.find(other); other != n {
				ix.who.put(h, p.number)
			}
		}
	}
	for _, n := range names {
		require.Equal(t, n, ix.find(n).name)
	}
	require.Nil(t, ix.find("user:i/b"))

	as := some(3, "service:a", "t")
	ix.apply(Change{Revision: 1, Add: as})
	for _, x := range as {
		for _, y := range as {
			if x.ID != y.ID {
				ix.byID.put(maphash.Bytes(ix.seed, x.ID[:]), ix.number(y.ID))
			}
		}
	}
	for _, x := range as {
		got, ok := ix.get(x.ID)
		require.True(t, ok && got == x)
	}
}
