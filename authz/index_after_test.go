package authz

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What an index would be after a change is what it is after it.
func TestAfterIsWhatApplyMakes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, func(m map[string]string) *Authorizer {
			a, err := New(t.Context(), files(t, m), nil)
			require.NoError(t, err)
			return a
		})
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			w.step(rt)
		}
		pick := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(rt, what) }
		c := Change{Revision: w.a.ix.revision() + 1}
		for x := range w.a.ix.each() {
			if x.Principal != w.root && pick(3, "remove") == 0 {
				c.Remove = append(c.Remove, x)
			}
		}
		for range pick(6, "adds") {
			x := Authorization{ID: newID(), Principal: w.who[pick(len(w.who), "who")], Role: Role{w.roles[pick(len(w.roles), "role")]}, Resource: w.tree[pick(len(w.tree), "on")],
				Effect: Effect(1 + pick(2, "effect"))}
			if pick(3, "ends") == 0 {
				x.Until = w.now.Add(time.Duration(pick(9, "minutes")-3) * time.Minute)
			}
			x.Pending = x.Effect == Allow && !x.Until.IsZero() && pick(2, "pending") == 0
			c.Add = append(c.Add, x)
		}
		for _, m := range w.a.ix.memberships() {
			if pick(3, "leave") == 0 {
				c.Leave = append(c.Leave, m)
			}
		}
		for range pick(3, "joins") {
			m := Membership{w.who[pick(len(w.who), "member")], w.teams[pick(len(w.teams), "team")]}
			d := Change{Leave: c.Leave, Join: append(slices.Clone(c.Join), m)}
			if m.valid() == nil && !slices.Contains(c.Leave, m) && nested(d.apply(Assignments{Memberships: w.a.ix.memberships()}).Memberships) == nil {
				c.Join = append(c.Join, m)
			}
		}
		would := after(w.a.ix, c)
		type answers struct {
			d     []Decision
			held  [][]Authorization
			teams [][]Principal
		}
		ask := func(s state) (out answers) {
			for _, p := range w.who {
				for bit := range w.perms {
					for _, r := range w.tree {
						d := s.decide(p, bit, r)
						d.Authorization, d.Role, d.On, d.Through = [16]byte{}, Role{}, Resource{}, Principal{} // any of several
						out.d = append(out.d, d)
					}
				}
				held := s.heldBy(p)
				slices.SortFunc(held, func(x, y Authorization) int { return slices.Compare(x.ID[:], y.ID[:]) })
				if len(held) == 0 {
					held = nil
				}
				teams := s.teamsOf(p)
				slices.SortFunc(teams, func(x, y Principal) int { return slices.Compare([]byte(x.name), []byte(y.name)) })
				out.held, out.teams = append(out.held, held), append(out.teams, teams)
			}
			return out
		}
		before := ask(w.a.ix)
		want := ask(would)
		require.Equal(rt, before, ask(w.a.ix), "asking changed something")
		w.a.ix.apply(c)
		require.Equal(rt, want, ask(w.a.ix))
	})
}
