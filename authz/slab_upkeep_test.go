package authz

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A block knows how much in it is in use, and gives its room back by that alone;
// arrays and texts take no more room than what is in them.
func TestRoomIsTakenForWhatIsThere(t *testing.T) {
	a, _ := audited(t, NewMemory(0), 0)
	s := &a.ix.slab
	var last Change
	for i := range 200 {
		c := Change{Revision: uint64(i + 2), Remove: last.Add}
		for k := range i%7 + 1 {
			c.Add = append(c.Add, Authorization{ID: newID(), Principal: Principal{fmt.Sprintf("user:i/%d", (i+k)%5)}, Role: Role{"role:user"}, Resource: Resource{fmt.Sprintf("t/%d", i)}, Effect: Allow})
		}
		a.ix.apply(c)
		last = c
		live := map[int]int{}
		for n := range a.ix.principals.size() {
			if r := s.word(n); r.length() > 0 {
				live[r.block()] += r.length()
			}
		}
		for i := range *s.dir.Load() {
			if b := (*s.dir.Load())[i].Load(); b != nil {
				require.Equal(t, live[i], b.live, "block %d", i)
				if i != s.top && b.live > 0 {
					require.GreaterOrEqual(t, b.live*2, len(b.holdings)/2, "half empty at most, but for what was written last")
				}
			}
		}
	}
	var c chunked[int]
	for range 3*chunkSize + 1 {
		c.next()
	}
	require.Len(t, *c.dir.Load(), 4)
	var x text
	for range 100 {
		x.add("0123456789")
	}
	require.Equal(t, 1000, x.used)
	var tb table
	for n := range uint32(1000) {
		tb.put(uint64(n)<<40, n+1)
	}
	slots := len(*tb.slots.Load())
	for n := range uint32(100_000) { // what goes makes room for what comes
		tb.put(uint64(n)<<40|1<<39, 5000)
		tb.remove(uint64(n)<<40|1<<39, 5000)
	}
	require.LessOrEqual(t, len(*tb.slots.Load()), 2*slots)
	require.Equal(t, 1000, tb.live)
}

// The whole of a name has a bound too, beside that of its parts.
func TestALongNameOfShortPartsIsRefused(t *testing.T) {
	part := strings.Repeat("a", 1000)
	long := strings.Repeat(part+"/", 8) + part
	require.Greater(t, len(long), MaxName)
	_, err := ParseResource(long)
	require.Error(t, err)
	_, err = ParseResource(long[:8*1001-1])
	require.NoError(t, err)
}
