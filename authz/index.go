package authz

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// index is an immutable snapshot of all assignments, made for reading: what a
// principal holds, itself and through its teams, in one run.
type index struct {
	cat      *catalogue
	held     map[Principal][]Authorization // by the principal that the Authorization names
	teams    map[Principal][]Principal     // every team a principal is in, through teams too
	all      map[uuid.UUID]Authorization
	members  map[Membership]bool
	when     map[string]*condition // by the text of a Condition; nil for one that cannot be evaluated
	revision uint64
	now      func() time.Time
}

const maxTeamDepth = 10

func newIndex(c *catalogue, as []Authorization, ms []Membership, revision uint64, now func() time.Time) *index {
	if now == nil {
		now = time.Now
	}
	ix := &index{cat: c, held: map[Principal][]Authorization{}, teams: map[Principal][]Principal{},
		all: make(map[uuid.UUID]Authorization, len(as)), members: make(map[Membership]bool, len(ms)), when: map[string]*condition{}, revision: revision, now: now}
	for _, a := range as {
		ix.held[a.Principal] = append(ix.held[a.Principal], a)
		ix.all[a.ID] = a
		if _, done := ix.when[a.Condition]; !done && a.Condition != "" {
			ix.when[a.Condition], _ = compileCondition(a.Condition)
		}
	}
	direct := map[Principal][]Principal{}
	for _, m := range ms {
		ix.members[m] = true
		direct[m.Member] = append(direct[m.Member], m.Team)
	}
	for p := range direct {
		seen := map[Principal]bool{p: true}
		var out []Principal
		level := direct[p]
		for range maxTeamDepth {
			var next []Principal
			for _, t := range level {
				if !seen[t] {
					seen[t] = true
					out = append(out, t)
					next = append(next, direct[t]...)
				}
			}
			level = next
		}
		ix.teams[p] = out
	}
	return ix
}

// heldBy returns what stands under a principal's own name, not its teams'.
func (ix *index) heldBy(p Principal) []Authorization { return ix.held[p] }

// teamsOf returns every team that a principal is in, through teams too.
func (ix *index) teamsOf(p Principal) []Principal { return ix.teams[p] }

// get returns an Authorization by its id.
func (ix *index) get(id uuid.UUID) (Authorization, bool) { a, ok := ix.all[id]; return a, ok }

// each returns all Authorizations, in any order.
func (ix *index) each() iter.Seq[Authorization] { return maps.Values(ix.all) }

// isMember says whether somebody was made a member of a team, itself.
func (ix *index) isMember(m Membership) bool { return ix.members[m] }

// memberships returns all of them, in any order.
func (ix *index) memberships() []Membership { return slices.Collect(maps.Keys(ix.members)) }

// roles returns the roles that were defined while running.
func (ix *index) roles() []RoleDefinition { return nil }

// apply returns the index after a change.
func (ix *index) apply(c Change) *index {
	all := maps.Clone(ix.all)
	for _, a := range c.Remove {
		delete(all, a.ID)
	}
	for _, a := range c.Add {
		all[a.ID] = a
	}
	return newIndex(ix.cat, slices.Collect(maps.Values(all)), c.apply(Assignments{Memberships: ix.memberships()}).Memberships, c.Revision, ix.now)
}

// nested refuses what newIndex would cut off or never end: teams in a circle
// and teams nested too deeply.
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

// decide answers for one principal of whose circumstances nothing is known.
func (ix *index) decide(p Principal, bit int, r Resource) Decision {
	return ix.decideIn(p, bit, r, Context{})
}

// decideIn answers for one principal. It allocates nothing unless a Condition
// has to be asked.
func (ix *index) decideIn(p Principal, bit int, r Resource, ctx Context) Decision {
	d := Decision{Revision: ix.revision, Code: NothingHeld, Principal: p}
	now := ix.now()
	ix.scan(p, p, bit, r, ctx, now, &d)
	for _, t := range ix.teams[p] {
		if d.Code == DeniedBy {
			break
		}
		ix.scan(p, t, bit, r, ctx, now, &d)
	}
	d.Allowed = d.Code == AllowedBy
	return d
}

func (ix *index) scan(p, holder Principal, bit int, r Resource, ctx Context, now time.Time, d *Decision) {
	as := ix.held[holder]
	for i := range as {
		a := &as[i]
		if !a.Resource.Contains(r) || !ix.cat.sets[a.Role.name].has(bit) || !a.active(now) || a.Pending { // the cheapest question first
			continue
		}
		if a.Condition != "" && !ix.when[a.Condition].counts(a.Effect, ctx, now) {
			continue
		}
		if a.Effect == Deny {
			d.Code, d.Authorization, d.Role, d.On, d.Through = DeniedBy, a.ID, a.Role, a.Resource, holder
			return
		}
		if d.Code != AllowedBy {
			d.Code, d.Authorization, d.Role, d.On, d.Through = AllowedBy, a.ID, a.Role, a.Resource, holder
		}
	}
}

// holds is holdsIn where nothing is known of the circumstances.
func (ix *index) holds(p Principal, role string, e Effect, r Resource) bool {
	return ix.holdsIn(p, role, e, r, Context{})
}

// holdsIn is the question that Casbin's matcher asks.
func (ix *index) holdsIn(p Principal, role string, e Effect, r Resource, ctx Context) bool {
	now := ix.now()
	match := func(holder Principal) bool {
		for _, a := range ix.held[holder] {
			if a.Role.name == role && a.Effect == e && a.Resource.Contains(r) && a.active(now) && !a.Pending && (a.Condition == "" || ix.when[a.Condition].counts(e, ctx, now)) {
				return true
			}
		}
		return false
	}
	if match(p) {
		return true
	}
	for _, t := range ix.teams[p] {
		if match(t) {
			return true
		}
	}
	return false
}
