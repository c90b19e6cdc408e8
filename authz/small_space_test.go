package authz

import (
	"math/bits"
	"slices"
)

// What follows is the space of small worlds: three principals, three roles,
// three resources, three permissions.
//
// A frame is what stands still: who is in which team, how the resources hang
// together, what the roles carry. All frames up to a change of names are gone
// through. In a frame there are 54 rows, one for each principal, role, resource
// and effect; a world is a set of rows. All worlds of so many rows at most are
// gone through, again up to a change of names.

// teamings are all ways for three principals to be in one another, no circles.
var teamings = [][][2]int{
	{}, {{0, 2}}, {{0, 2}, {1, 2}}, {{0, 1}, {0, 2}}, {{0, 1}, {1, 2}}, {{0, 1}, {1, 2}, {0, 2}},
}

// forests are all ways for three resources to be in one another. Those that are
// not begin with one another where they can, byte by byte.
var forests = [][][]string{
	{{"t"}, {"t", "x"}, {"t", "x", "x"}}, {{"t"}, {"t", "x"}, {"t", "xy"}}, {{"t"}, {"t", "x"}, {"tx"}}, {{"t"}, {"tx"}, {"txy"}},
}

// up are, for each forest, the parents.
var up = [][3]int{{-1, 0, 1}, {-1, 0, 0}, {-1, 0, -1}, {-1, -1, -1}}

var orders = [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// mapped renames the permissions in a set.
func mapped(set int, o [3]int) int {
	out := 0
	for b := range 3 {
		out |= set >> b & 1 << o[b]
	}
	return out
}

// carried are all that three roles can carry, after inclusion, up to a change of
// names: no role nothing, no permission in none.
func carried() [][3]int {
	var out [][3]int
	for a := 1; a < 8; a++ {
		for b := a; b < 8; b++ {
			for c := b; c < 8; c++ {
				least := true
				for _, o := range orders {
					m := []int{mapped(a, o), mapped(b, o), mapped(c, o)}
					slices.Sort(m)
					least = least && slices.Compare(m, []int{a, b, c}) >= 0
				}
				if least && a|b|c == 7 {
					out = append(out, [3]int{a, b, c})
				}
			}
		}
	}
	return out
}

// smallPolicy is what roles carry themselves, and which others they include.
type smallPolicy struct{ carries, includes [3]int }

// effective is what the roles carry after inclusion, false where one includes
// itself.
func (p smallPolicy) effective() (out [3]int, ok bool) {
	var reach [3]int
	for r := range 3 {
		reach[r] = p.includes[r]
	}
	for range 3 {
		for r := range 3 {
			for o := range 3 {
				if reach[r]>>o&1 == 1 {
					reach[r] |= reach[o]
				}
			}
		}
	}
	for r := range 3 {
		if reach[r]>>r&1 == 1 {
			return out, false
		}
		out[r] = p.carries[r]
		for o := range 3 {
			if reach[r]>>o&1 == 1 {
				out[r] |= p.carries[o]
			}
		}
	}
	return out, true
}

// policies are all policies up to a change of names, that is the ways to come to
// what is carried.
func policies() []smallPolicy {
	var out []smallPolicy
	for n := range 1 << 18 {
		p := smallPolicy{[3]int{n & 7, n >> 3 & 7, n >> 6 & 7}, [3]int{n >> 9 & 7, n >> 12 & 7, n >> 15 & 7}}
		e, ok := p.effective()
		if !ok || e[0] == 0 || e[1] == 0 || e[2] == 0 || e[0]|e[1]|e[2] != 7 {
			continue
		}
		least := true
		for _, ro := range orders {
			for _, po := range orders {
				var q smallPolicy
				for r := range 3 {
					q.carries[ro[r]], q.includes[ro[r]] = mapped(p.carries[r], po), mapped(p.includes[r], ro)
				}
				m := q.carries[0] | q.carries[1]<<3 | q.carries[2]<<6 | q.includes[0]<<9 | q.includes[1]<<12 | q.includes[2]<<15
				least = least && m >= n
			}
		}
		if least {
			out = append(out, p)
		}
	}
	return out
}

// rowOf numbers rows.
func rowOf(who, role, on, deny int) int { return ((who*3+role)*3+on)*2 + deny }

const rowCount = 54

// frame is what stands still in a world.
type frame struct {
	carries        [3]int
	teaming, shape int
}

// symmetries are the changes of names that leave a frame as it is, as what they
// make of each row.
func (f frame) symmetries() [][rowCount]int {
	seen := map[[rowCount]int]bool{}
	var out [][rowCount]int
	for _, who := range orders {
		if !keeps(teamings[f.teaming], who) {
			continue
		}
		for _, on := range orders {
			var links [][2]int
			for r, parent := range up[f.shape] {
				if parent >= 0 {
					links = append(links, [2]int{r, parent})
				}
			}
			if !keeps(links, on) {
				continue
			}
			for _, role := range orders {
				same := slices.ContainsFunc(orders, func(p [3]int) bool {
					return mapped(f.carries[0], p) == f.carries[role[0]] && mapped(f.carries[1], p) == f.carries[role[1]] && mapped(f.carries[2], p) == f.carries[role[2]]
				})
				if !same {
					continue
				}
				var to [rowCount]int
				for w := range 3 {
					for r := range 3 {
						for o := range 3 {
							for d := range 2 {
								to[rowOf(w, r, o, d)] = rowOf(who[w], role[r], on[o], d)
							}
						}
					}
				}
				if !seen[to] {
					seen[to] = true
					out = append(out, to)
				}
			}
		}
	}
	return out
}

func keeps(links [][2]int, o [3]int) bool {
	for _, l := range links {
		if !slices.Contains(links, [2]int{o[l[0]], o[l[1]]}) {
			return false
		}
	}
	return true
}

// worlds goes through the worlds of n rows at most up to symmetry. Of those that
// are alike it takes the one whose rows, as a number, are least.
func (f frame) worlds(n int, each func(rows []int)) {
	group := f.symmetries()
	var at [8]int
	var grow func(depth, from int, set uint64)
	grow = func(depth, from int, set uint64) {
		least := true
		for _, g := range group {
			var image uint64
			for _, r := range at[:depth] {
				image |= 1 << g[r]
			}
			if image < set {
				least = false
				break
			}
		}
		if least {
			each(at[:depth])
		}
		if depth < n {
			for r := from; r < rowCount; r++ {
				at[depth] = r
				grow(depth+1, r+1, set|1<<r)
			}
		}
	}
	grow(0, 0, 0)
}

// count is how many worlds there are, by counting for each symmetry the worlds
// that it leaves as they are: another way than going through them.
func (f frame) count(n int) int {
	group := f.symmetries()
	sum := 0
	for _, g := range group {
		ways := make([]int, n+1) // to choose whole cycles of so many rows
		ways[0] = 1
		var seen uint64
		for r := range rowCount {
			size := 0
			for x := r; seen>>x&1 == 0; x = g[x] {
				seen |= 1 << x
				size++
			}
			for k := n; size > 0 && k >= size; k-- {
				ways[k] += ways[k-size]
			}
		}
		for _, w := range ways {
			sum += w
		}
	}
	return sum / len(group)
}

// questions turns what a role carries into the questions of one principal and
// resource.
func questions(who, on, set int) uint32 { return uint32(set) << ((who*3 + on) * 3) }

func ones(x uint32) int { return bits.OnesCount32(x) }
