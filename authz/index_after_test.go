package authz

import (
	"fmt"
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

// nested says whether memberships, all there are, are teams in a circle or
// nested too deeply.
func nested(ms []Membership) error {
	direct := make(map[Principal][]Principal)
	for _, m := range ms {
		direct[m.Member] = append(direct[m.Member], m.Team)
	}
	above := make(map[Principal]int, len(direct)) // teams above, once known
	var measure func(p Principal, below int) (int, error)
	measure = func(p Principal, below int) (int, error) {
		if n, ok := above[p]; ok {
			return n, nil
		}
		if below > maxTeamDepth {
			return 0, fmt.Errorf("authz: membership: teams in a circle or nested deeper than %d, at %s", maxTeamDepth, p)
		}
		best := 0
		for _, t := range direct[p] {
			n, err := measure(t, below+1)
			if err != nil {
				return 0, err
			}
			best = max(best, n+1)
		}
		above[p] = best
		return best, nil
	}
	for p := range direct {
		n, err := measure(p, 0)
		if err != nil {
			return err
		}
		if n > maxTeamDepth {
			return fmt.Errorf("authz: membership: teams nested deeper than %d above %s", maxTeamDepth, p)
		}
	}
	return nil
}

// What a change makes of teams is judged by the change as by all memberships.
func TestTeamsAreJudgedByWhatChanges(t *testing.T) {
	cat := fewCatalogue(t)
	refused, made := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		ix := newIndex(cat, nil, nil, 0, nil)
		who := make([]Principal, 14)
		for i := range who {
			who[i] = Principal{fmt.Sprint("team:", i)}
		}
		var all []Membership
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			c := Change{Revision: ix.revision() + 1}
			draw := func() Membership {
				i := rapid.IntRange(0, len(who)-2).Draw(rt, "i")
				m := Membership{who[i], who[rapid.IntRange(i+1, min(len(who)-1, i+3)).Draw(rt, "j")]}
				if rapid.IntRange(0, 20).Draw(rt, "turned") == 0 {
					m.Member, m.Team = m.Team, m.Member
				}
				return m
			}
			for range rapid.IntRange(0, 12).Draw(rt, "joins") {
				c.Join = append(c.Join, draw())
			}
			for _, m := range append(slices.Clone(all), c.Join...) {
				if rapid.IntRange(0, 8).Draw(rt, "leaves") == 0 {
					c.Leave = append(c.Leave, m)
				}
			}
			after := c.apply(Assignments{Memberships: all}).Memberships
			want := nested(after)
			require.Equal(rt, want == nil, ix.nested(c) == nil, "%v", want)
			if want != nil {
				refused++
				continue
			}
			made++
			ix.apply(c)
			all = after
			members := map[Membership]bool{}
			for _, m := range all {
				members[m] = true
			}
			for _, m := range ix.memberships() {
				require.True(rt, members[m])
			}
			require.Len(rt, ix.memberships(), len(members))
		}
	})
	require.Positive(t, refused)
	require.Positive(t, made)
}

// Whatever could change an answer while it is read makes it be read again: what
// stands under the name or under a team of it, who is in a team, what a role is.
func TestReadingWatchesAllItReads(t *testing.T) {
	ana, ben, crew := Principal{"user:i/ana"}, Principal{"user:i/ben"}, Principal{"team:crew"}
	give := func(who Principal) Authorization {
		return Authorization{ID: newID(), Principal: who, Role: Role{"role:reader"}, Resource: Resource{"t"}, Effect: Allow}
	}
	define := []RoleDefinition{{Role: Role{"role:more"}, Permissions: []Permission{{"a.read"}}}}
	for name, c := range map[string]struct {
		change Change
		read   map[Principal]bool // who is read again
	}{
		"what one holds":      {Change{Add: []Authorization{give(ben)}}, map[Principal]bool{ana: true, ben: true, {"user:i/new"}: true}},
		"what a team holds":   {Change{Add: []Authorization{give(crew)}}, map[Principal]bool{ana: true, ben: false}},
		"what two hold":       {Change{Add: []Authorization{give(ben), give(crew)}}, map[Principal]bool{ana: true, ben: true}},
		"who is in a team":    {Change{Join: []Membership{{ben, crew}}}, map[Principal]bool{ana: true, ben: true}},
		"who leaves it":       {Change{Leave: []Membership{{ana, crew}}}, map[Principal]bool{ana: true}},
		"what a role is":      {Change{Define: define}, map[Principal]bool{ana: true, ben: true}},
		"who is new to it":    {Change{Add: []Authorization{give(Principal{"user:i/new"})}}, map[Principal]bool{ana: true, ben: false, {"user:i/new"}: true}},
		"what stands nowhere": {Change{Remove: []Authorization{give(ben)}}, map[Principal]bool{ana: true, ben: true}},
	} {
		ix := newIndex(fewCatalogue(t), []Authorization{give(ana), give(ben), give(crew)}, []Membership{{ana, crew}}, 1, nil)
		type reading struct {
			part *turns
			turn uint64
		}
		begun := map[Principal]reading{}
		for who := range c.read {
			part := ix.partOf(ix.numberOf(who.name))
			turn, rev := ix.begin(part)
			require.Equal(t, uint64(1), rev)
			require.True(t, part.end(turn))
			begun[who] = reading{part, turn}
		}
		c.change.Revision = 2
		ix.apply(c.change)
		for who, again := range c.read {
			require.Equal(t, again, !begun[who].part.end(begun[who].turn), "%s: %s", name, who)
		}
		part := ix.partOf(ix.numberOf(ana.name))
		_, rev := ix.begin(part)
		require.Equal(t, uint64(2), rev)
	}
}
