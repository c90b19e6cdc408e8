package authz

import (
	"fmt"
	"slices"
)

// joined is who is in which team after a change. Making one costs what the
// change costs, asking what the answer is long.
type joined struct {
	ix   *index
	left map[Membership]bool
	up   map[Principal][]Principal // the teams that somebody joins
	down map[Principal][]Principal // who joins a team
}

func (ix *index) joined(c Change) *joined {
	j := &joined{ix, make(map[Membership]bool, len(c.Leave)), map[Principal][]Principal{}, map[Principal][]Principal{}}
	for _, m := range c.Leave {
		j.left[m] = true
	}
	seen := make(map[Membership]bool, len(c.Join))
	for _, m := range c.Join {
		if seen[m] || ix.isMember(m) && !j.left[m] {
			continue
		}
		seen[m] = true
		j.up[m.Member] = append(j.up[m.Member], m.Team)
		j.down[m.Team] = append(j.down[m.Team], m.Member)
	}
	return j
}

// directTeams returns of which teams a principal was made a member itself.
func (j *joined) directTeams(p Principal) []Principal {
	stay := slices.DeleteFunc(j.ix.directTeams(p), func(t Principal) bool { return j.left[Membership{p, t}] })
	return append(stay, j.up[p]...)
}

// directMembers returns who was made a member of a team itself.
func (j *joined) directMembers(t Principal) []Principal {
	stay := slices.DeleteFunc(j.ix.directMembers(t), func(p Principal) bool { return j.left[Membership{p, t}] })
	return append(stay, j.down[t]...)
}

// directTeams returns of which teams a principal was made a member itself.
func (ix *index) directTeams(p Principal) []Principal { return ix.beside(ix.above, p) }

// directMembers returns who was made a member of a team itself.
func (ix *index) directMembers(t Principal) []Principal { return ix.beside(ix.inside, t) }

func (ix *index) beside(of map[*holder][]*holder, p Principal) []Principal {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	var out []Principal
	if who := ix.find(p.name); who != nil {
		for _, t := range of[who] {
			out = append(out, Principal{t.name})
		}
	}
	return out
}

const maxTeamDepth = 10

// nested refuses a change after which teams would be in a circle, or nested too
// deeply: join would not end, or cut it off. Whoever joins nothing makes neither.
func (ix *index) nested(c Change) error {
	if len(c.Join) == 0 {
		return nil
	}
	j := ix.joined(c)
	above, below := map[Principal]int{}, map[Principal]int{}
	for _, m := range c.Join {
		up, ok := reaches(m.Team, j.directTeams, above, 0)
		down, ok2 := reaches(m.Member, j.directMembers, below, 0)
		if !ok || !ok2 || down+1+up > maxTeamDepth {
			return fmt.Errorf("authz: membership: %s in %s: teams in a circle or nested deeper than %d", m.Member, m.Team, maxTeamDepth)
		}
	}
	return nil
}

// reaches says how many steps lead on from a principal at most, if they are not
// too many. It remembers what is known.
func reaches(p Principal, next func(Principal) []Principal, known map[Principal]int, steps int) (most int, ok bool) {
	if n, there := known[p]; there {
		return n, true
	}
	if steps > maxTeamDepth {
		return 0, false
	}
	for _, q := range next(p) {
		n, ok := reaches(q, next, known, steps+1)
		if !ok {
			return 0, false
		}
		most = max(most, n+1)
	}
	known[p] = most
	return most, true
}
