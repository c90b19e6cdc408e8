package authz

import (
	"fmt"
	"slices"
)

// administered: no resource is left without somebody who can give and take
// roles on it, if it had somebody. Only users and services count, and only what
// they hold now, without end and condition, and are not denied at any time.
func administered(ix, next state, c Change) error {
	bit := ix.cat().number[writeAuthorizations] // which is there: a Grant of it makes the change
	carries := func(of state, role Role) bool { set := of.cat().sets[role.name]; return set != nil && set.has(bit) }
	// Where the change may take the right away.
	var from []Resource
	for _, x := range c.Remove {
		if carries(ix, x.Role) && x.Effect == Allow {
			from = append(from, x.Resource)
		}
	}
	for _, x := range c.Add {
		if carries(next, x.Role) && x.Effect == Deny {
			from = append(from, x.Resource)
		}
	}
	for _, m := range c.Leave {
		for x := range holdings(ix, m.Team) {
			if carries(ix, x.Role) && x.Effect == Allow {
				from = append(from, x.Resource)
			}
		}
	}
	for _, m := range c.Join {
		for x := range holdings(next, m.Team) {
			if carries(next, x.Role) && x.Effect == Deny {
				from = append(from, x.Resource)
			}
		}
	}
	changed := slices.DeleteFunc(redefined(ix, next), func(name string) bool {
		return carries(ix, Role{name}) == carries(next, Role{name})
	})
	if len(from)+len(changed) == 0 {
		return nil
	}
	// Who holds it where: the answer changes only where one of these stands.
	stand := func(of state) (out []Authorization) {
		for x := range of.each() {
			if carries(of, x.Role) { // what is pending has an end and is nobody's for good
				out = append(out, x)
			}
		}
		return out
	}
	before, after := stand(ix), stand(next)
	places := map[Resource]bool{}
	for _, x := range append(slices.Clone(before), after...) {
		if slices.Contains(changed, x.Role.name) {
			from = append(from, x.Resource)
		}
	}
	for _, x := range append(slices.Clone(before), after...) {
		if slices.ContainsFunc(from, func(r Resource) bool { return r.Contains(x.Resource) }) {
			places[x.Resource] = true
		}
	}
	was, is := administrators{ix, before}, administrators{next, after}
	for r := range places {
		if is.some(r) || !was.some(r) {
			continue
		}
		return fmt.Errorf("authz: nobody would hold %s on %s without end: %w", writeAuthorizations, r, ErrLastAdministrator)
	}
	return nil
}

// administrators are all Authorizations that carry the right to change them.
type administrators struct {
	ix  state
	all []Authorization
}

// some says whether somebody administers a resource for good.
func (a administrators) some(r Resource) bool {
	now := a.ix.time()
	who, denied := map[Principal]bool{}, map[Principal]bool{}
	for _, x := range a.all {
		switch {
		case !x.Resource.Contains(r) || !now.Before(ends(x)):
		case x.Effect == Deny:
			reach(a.ix, x.Principal, denied)
		case x.active(now) && x.Until.IsZero() && x.Condition == "":
			reach(a.ix, x.Principal, who)
		}
	}
	for p := range who {
		if !denied[p] && !p.IsTeam() {
			return true
		}
	}
	return false
}
