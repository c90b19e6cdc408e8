package authz

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A table under any puts and removes finds what a map finds. Hashes are few, or
// all one, so that most of them collide, also at the end of the slots, where
// the search goes on at the beginning.
func TestTableAgainstAMap(t *testing.T) {
	grown, buried := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		hashes := rapid.SampledFrom([][]uint64{
			{0}, {^uint64(0)}, {1 << 63}, // constant: first, last and middle slot
			{0, ^uint64(0)},
			{1 << 32, 1, 2}, // equal but for what the table does not keep
			{3 << 60, 5 << 60, 7 << 60, 9 << 60, 11 << 60, 13 << 60},
		}).Draw(rt, "hashes")
		var x table
		model := map[uint32]uint64{} // number to hash
		next, slots := uint32(1), 0
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			if k := rapid.IntRange(0, 9).Draw(rt, "step"); k < 6 || len(model) == 0 {
				h := rapid.SampledFrom(hashes).Draw(rt, "hash")
				n := next
				next++
				for m := uint32(1); k == 0 && m < n; m++ { // a number is used again
					if _, taken := model[m]; !taken {
						n = m
					}
				}
				x.put(h, n)
				model[n] = h
			} else {
				ns := slices.Sorted(maps.Keys(model))
				n := ns[rapid.IntRange(0, len(ns)-1).Draw(rt, "which")]
				x.remove(model[n], n)
				if k == 9 {
					x.remove(model[n], n) // twice is once
				}
				delete(model, n)
			}
			if now := len(*x.slots.Load()); now != slots {
				slots = now
				grown++
			}
			require.Equal(rt, len(model), x.live)
			buried += x.used - x.live
			require.Less(rt, x.used, slots, "a full table would be searched for ever")
			for _, h := range append(hashes, 42, 1<<62) {
				var want, got []uint32
				for n, of := range model {
					if of>>32 == h>>32 {
						want = append(want, n)
					}
				}
				for pr := x.probe(h); ; {
					n := pr.next()
					if n == 0 {
						break
					}
					got = append(got, n)
				}
				if len(got) > 0 {
					require.Equal(rt, got[0], x.guess(h))
				} else {
					require.Zero(rt, x.guess(h))
				}
				slices.Sort(got)
				slices.Sort(want)
				require.Equal(rt, want, got)
			}
		}
	})
	require.Positive(t, grown)
	require.Positive(t, buried)
	t.Logf("resized %d times", grown)
}

// The zero table has nothing, and nothing is taken out of it.
func TestZeroTable(t *testing.T) {
	var x table
	pr := x.probe(7)
	require.Zero(t, pr.next())
	require.Zero(t, x.guess(7))
	require.Zero(t, x.touch(7))
	x.remove(7, 7)
	require.Zero(t, x.live)
}

// Puts and removes that balance neither fill a table up nor make it grow.
func TestTableStaysSmall(t *testing.T) {
	var x table
	for i := range uint32(100_000) {
		x.put(uint64(i*2654435761)<<32, i+1)
		if i >= 20 {
			x.remove(uint64((i-20)*2654435761)<<32, i-19)
		}
	}
	require.LessOrEqual(t, len(*x.slots.Load()), 64)
	require.Equal(t, 20, x.live)
}

// Whoever searches while a table grows finds what was there when it began.
func TestTableBesideItsWriter(t *testing.T) {
	var x table
	hash := func(n uint32) uint64 { return uint64(n%7) << 61 } // eight chains
	x.put(hash(1), 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				found := false
				for pr := x.probe(hash(1)); ; {
					n := pr.next()
					if n == 0 {
						break
					}
					found = found || n == 1
				}
				if !found {
					t.Error("lost while growing")
					return
				}
			}
		})
	}
	for n := uint32(2); n < 400; n++ {
		x.put(hash(n), n)
		if n%3 == 0 {
			x.remove(hash(n), n)
		}
	}
	close(stop)
	wg.Wait()
}

// An array in chunks keeps every element where it was.
func TestChunkedKeepsPlaces(t *testing.T) {
	var c chunked[int]
	var where []*int
	for i := range 3*chunkSize + 1 {
		n, p := c.next()
		require.Equal(t, i, int(n))
		*p = i
		where = append(where, p)
	}
	require.Equal(t, uint32(len(where)), c.size())
	for i, p := range where {
		require.Same(t, p, c.at(uint32(i)))
		require.Equal(t, i, *p)
	}
}

// Texts of any length up to the longest escaped segment come back as they were
// put in, also those that would have crossed a chunk.
func TestTextAgainstAList(t *testing.T) {
	crossed := 0
	rapid.Check(t, func(rt *rapid.T) {
		var x text
		var want []string
		var at []uint32
		sizes := rapid.SampledFrom([][]int{{1, 2, 3}, {3 * MaxSegment}, {1, 3 * MaxSegment}, {textChunk - 1, 1}, {textChunk}, {1024}, {1, 100, 3000, 3072}}).Draw(rt, "sizes")
		for i := range rapid.IntRange(1, 40).Draw(rt, "texts") {
			s := strings.Repeat(string(rune('a'+i%26)), rapid.SampledFrom(sizes).Draw(rt, "size"))
			before := x.used
			at = append(at, x.add(s))
			want = append(want, s)
			if before%textChunk != 0 && int(at[i]) != before {
				crossed++
			}
			for j, a := range at {
				require.Equal(rt, want[j], string(x.get(a, uint16(len(want[j])))))
				require.LessOrEqual(rt, int(a)%textChunk+len(want[j]), textChunk)
			}
		}
	})
	require.Positive(t, crossed)
}
