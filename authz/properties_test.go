package authz

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// lawful is a random world with everything that its events add, and what can be
// asked there. The laws hold of the product alone: no reference is asked.
type lawful struct {
	*play
	rows []Authorization
	ms   []Membership
}

func newLawful(t *rapid.T) *lawful {
	s := generateSmall(rapid.Uint64().Draw(t, "seed"), 0)
	for i := range s.rows { // who holds more is more often asked
		s.rows[i].place %= max(1, len(s.places)/2)
	}
	p := &play{s: s, now: beginning}
	require.NoError(t, p.begin())
	w := &lawful{play: p}
	for i := range s.rows {
		w.rows = append(w.rows, p.row(i))
	}
	for _, e := range s.events {
		require.NoError(t, p.happen(event{join: e.join}))
	}
	for _, m := range p.members {
		w.ms = append(w.ms, Membership{p.who[m[0]], p.who[m[1]]})
	}
	return w
}

// with returns the answers where these rows and no others stand.
func (w *lawful) with(rows []Authorization) func(i, j, k int) Decision {
	ix := newIndex(w.a.cat, rows, w.ms, 1, w.a.now)
	return func(i, j, k int) Decision {
		return ix.decide(w.who[i], w.a.cat.number[w.do[j].name], w.on[k])
	}
}

// all asks everything.
func (w *lawful) all(visit func(i, j, k int)) {
	for i := range w.who {
		for j := range w.do {
			for k := range w.on {
				visit(i, j, k)
			}
		}
	}
}

// evidence: P20, I1
func TestNothingIsAllowedByDefault(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		var denies []Authorization
		for _, x := range w.rows {
			if x.Effect == Deny {
				denies = append(denies, x)
			}
		}
		for _, rows := range [][]Authorization{nil, denies} {
			ask := w.with(rows)
			w.all(func(i, j, k int) { require.False(rt, ask(i, j, k).Allowed) })
		}
	})
}

// A deny takes whatever allows stand beside it, and takes nothing but what its
// role carries, where it stands and below.
func TestDeniesTakeWhatTheySayAndNoMore(t *testing.T) {
	took := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		before := w.with(w.rows)
		r := w.s.rows[rapid.IntRange(0, len(w.rows)-1).Draw(rt, "like")]
		x := Authorization{ID: newID(), Principal: w.who[r.who], Role: Role{w.s.roles[r.role].name}, Resource: w.on[r.place], Effect: Deny}
		after := w.with(append(slices.Clone(w.rows), x))
		w.all(func(i, j, k int) {
			was, is := before(i, j, k), after(i, j, k)
			if w.a.cat.sets[x.Role.name].has(w.a.cat.number[w.do[j].name]) && x.Resource.Contains(w.on[k]) && w.ref.is(w.keys[i], w.keys[r.who]) {
				require.Equal(rt, DeniedBy, is.Code)
				if was.Allowed {
					took++
				}
			} else {
				require.Equal(rt, was.Allowed, is.Allowed)
			}
		})
	})
	require.Positive(t, took)
}

// More allows never take anything, and fewer never give.
func TestAllowsOnlyGive(t *testing.T) {
	gave := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		less, more := w.rows[:0:0], w.rows
		for _, x := range w.rows {
			if x.Effect == Deny || rapid.Bool().Draw(rt, "stays") {
				less = append(less, x)
			}
		}
		a, b := w.with(less), w.with(more)
		w.all(func(i, j, k int) {
			was, is := a(i, j, k).Allowed, b(i, j, k).Allowed
			require.True(rt, is || !was)
			if is != was {
				gave++
			}
		})
	})
	require.Positive(t, gave)
}

// What is given on a resource is given there and below, and nowhere else: not
// beside it, not above it, to nobody who is not the one it is given to.
//
// evidence: P23
func TestAnAllowGivesNothingBesideOrAbove(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		x := w.rows[rapid.IntRange(0, len(w.rows)-1).Draw(rt, "row")]
		x.Effect = Allow
		r := w.s.rows[w.byID[x.ID]]
		ask := w.with([]Authorization{x})
		w.all(func(i, j, k int) {
			at, top := w.s.places[k], w.s.places[r.place]
			d := ask(i, j, k)
			if !(len(at) >= len(top) && slices.Equal(at[:len(top)], top)) || !w.ref.is(w.keys[i], w.keys[r.who]) {
				require.Equal(rt, NothingHeld, d.Code)
			} else if x.active(w.now) {
				require.Equal(rt, w.a.cat.sets[x.Role.name].has(w.a.cat.number[w.do[j].name]), d.Allowed)
			}
		})
	})
}

// The order in which things were assigned means nothing, and neither does how
// many changes that took.
func TestOrderMeansNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		other := slices.Clone(w.rows)
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 0))
		rnd.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		ix := newIndex(w.a.cat, nil, nil, 0, w.a.now)
		ms := slices.Clone(w.ms)
		rnd.Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
		for i, x := range other {
			c := Change{Revision: uint64(i + 1), Add: []Authorization{x}}
			if i < len(ms) {
				c.Join = ms[i : i+1]
			}
			ix.apply(c)
		}
		if len(ms) > len(other) {
			ix.apply(Change{Revision: 99, Join: ms[len(other):]})
		}
		ask := w.with(w.rows)
		w.all(func(i, j, k int) {
			got := ix.decide(w.who[i], w.a.cat.number[w.do[j].name], w.on[k])
			require.Equal(rt, ask(i, j, k).Code, got.Code)
		})
	})
}

// Whoever is allowed is shown a reason. Reasons taken away one after another, as
// they are shown, come to an end, and at the end is a refusal; before it, no
// reason is shown twice and none that had nothing to do with it. A reason that
// is the last one matters: without it the answer is another. So it is with
// denies.
func TestReasonsMatter(t *testing.T) {
	single, several := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		i := rapid.IntRange(0, len(w.who)-1).Draw(rt, "who")
		ix := newIndex(w.a.cat, w.rows, w.ms, 1, w.a.now)
		for j := range w.do {
			for k := range w.on {
				d := ix.decide(w.who[i], w.a.cat.number[w.do[j].name], w.on[k])
				if d.Code != AllowedBy && d.Code != DeniedBy {
					continue
				}
				var gone []Authorization
				last := d
				for rev := ix.revision(); last.Code == d.Code; {
					x, ok := ix.get(last.Authorization)
					require.True(rt, ok, "a reason that is not there")
					gone = append(gone, x)
					rev++
					ix.apply(Change{Revision: rev, Remove: []Authorization{x}})
					last = ix.decide(w.who[i], w.a.cat.number[w.do[j].name], w.on[k])
					require.LessOrEqual(rt, len(gone), len(w.rows))
				}
				if d.Code == AllowedBy {
					require.Equal(rt, NothingHeld, last.Code, "without its reasons nothing is allowed")
				} else {
					require.NotEqual(rt, DeniedBy, last.Code)
				}
				// With the last one alone it is as it was: that is what a minimal
				// reason is.
				ix.apply(Change{Revision: ix.revision() + 1, Add: gone[len(gone)-1:]})
				again := ix.decide(w.who[i], w.a.cat.number[w.do[j].name], w.on[k])
				require.Equal(rt, d.Code, again.Code)
				require.Equal(rt, gone[len(gone)-1].ID, again.Authorization)
				ix.apply(Change{Revision: ix.revision() + 1, Add: gone[:len(gone)-1]})
				if len(gone) == 1 {
					single++
				} else {
					several++
				}
			}
		}
	})
	require.Positive(t, single)
	require.Positive(t, several)
}

// Explain, the lists and the checks say the same: who is allowed through a row
// has that row listed under a name of theirs, and Explain names the Decision of
// Check.
func TestChecksListsAndExplanationsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawful(rt)
		w.a.ix = newIndex(w.a.cat, w.rows, w.ms, 1, w.a.now)
		listed := map[uuid.UUID]bool{}
		for x := range w.a.ix.each() {
			require.False(rt, listed[x.ID], "listed twice")
			listed[x.ID] = true
		}
		require.Len(rt, listed, len(w.rows))
		i := rapid.IntRange(0, len(w.who)-1).Draw(rt, "who")
		held := map[uuid.UUID]bool{}
		for _, h := range append(w.a.ix.teamsOf(w.who[i]), w.who[i]) {
			for _, x := range w.a.ix.heldBy(h) {
				held[x.ID] = true
			}
		}
		for j := range w.do {
			for k := range w.on {
				req := Request{Principal: w.who[i], Permission: w.do[j], Resource: w.on[k]}
				d, err := w.a.Check(t.Context(), req)
				require.NoError(rt, err)
				x, err := w.a.Explain(t.Context(), req)
				require.NoError(rt, err)
				require.Equal(rt, d, x.Decision)
				require.NotEmpty(rt, x.Reason)
				require.Equal(rt, d.Authorization != uuid.Nil, held[d.Authorization])
			}
		}
	})
}
