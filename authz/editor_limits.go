package authz

import (
	"fmt"
	"slices"
	"time"
)

// check says why a change must not be, and returns the index after it. It looks
// at what the change does and not at how it came about, so that no way to a
// change has fewer checks than another.
func (e Editor) check(ix *index, c Change) (state, error) {
	for _, x := range append(slices.Clone(c.Remove), c.Add...) {
		if err := e.covers(x.Resource); err != nil {
			return nil, err
		}
	}
	if err := e.covers(e.on(c)); err != nil {
		return nil, err
	}
	if err := e.a.valid(ix, c); err != nil {
		return nil, err
	}
	next := after(ix, c)
	for _, limit := range []func(ix, next state, c Change) error{e.authorizations, e.memberships, e.roles, separated, administered} {
		if err := limit(ix, next, c); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// authorizations: who gives may give, whether it is by an allow that begins or
// grows or by a deny that ends or changes.
func (e Editor) authorizations(ix, next state, c Change) error {
	was, is := byID(c.Remove), byID(c.Add)
	for _, x := range c.Remove {
		y, stays := is[x.ID]
		switch {
		case stays && (x.Principal != y.Principal || x.Role != y.Role || x.Resource != y.Resource || x.Effect != y.Effect):
			return fmt.Errorf("authz: %s: becomes another: revoke it and assign anew: %w", x.ID, ErrDenied)
		case !stays && x.unreviewed():
			return fmt.Errorf("authz: %s: was taken in an emergency and waits for its review: %w", x.ID, ErrDenied)
		case x.Effect == Deny:
			if err := e.mayGive(ix, next, gift{x: x, set: ix.cat().sets[x.Role.name]}); err != nil {
				return err
			}
		}
	}
	for _, y := range c.Add {
		set := next.cat().sets[y.Role.name]
		x, there := was[y.ID]
		var err error
		switch {
		case y.Pending: // gives nothing
		case y.Effect == Deny || !there:
			err = e.mayGive(ix, next, gift{y, set, y.Effect == Deny})
		case x.Pending:
			err = e.mayApprove(ix, next, x, gift{x: y, set: set})
		default:
			if err = e.mayReview(x, y); err == nil && y.wider(x) {
				err = e.mayGive(ix, next, gift{x: y, set: set})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wider says that an Authorization may give what the same one before did not.
func (a Authorization) wider(was Authorization) bool {
	return a.From.Before(was.From) || ends(was).Before(ends(a)) || a.Condition != was.Condition
}

// ends returns when an Authorization ends, far away if never.
func ends(a Authorization) time.Time {
	if a.Until.IsZero() {
		return time.Unix(1<<40, 0)
	}
	return a.Until
}

// memberships: whoever makes a member may give what the team holds, and whoever
// ends a membership may give back what the team is denied.
func (e Editor) memberships(ix, next state, c Change) error {
	through := func(of state, m Membership, gives Effect) error {
		for _, t := range append([]Principal{m.Team}, of.teamsOf(m.Team)...) {
			for _, x := range of.heldBy(t) {
				if err := e.covers(x.Resource); err != nil {
					return err
				}
				x.Principal = m.Member
				if x.Effect == gives && !x.Pending {
					if err := e.mayGive(ix, next, gift{x: x, set: of.cat().sets[x.Role.name]}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	for _, m := range c.Join {
		if err := through(next, m, Allow); err != nil {
			return err
		}
	}
	for _, m := range c.Leave {
		if err := through(ix, m, Deny); err != nil {
			return err
		}
	}
	return nil
}

// roles: whoever makes or changes a role may give it, as it was and as it will
// be, where the Grant is. That is for good and past every deny below, so it is
// wherever the Grant covers somebody who holds it.
func (e Editor) roles(ix, next state, c Change) error {
	on, names := e.g.g.req.Resource, redefined(ix, next)
	for _, d := range append(slices.Clone(c.Undefine), c.Define...) {
		names = append(names, d.Role.name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	inUse := false
	for _, name := range names {
		old, now := ix.cat().sets[name], next.cat().sets[name]
		for _, set := range []bitset{old, now} {
			if set == nil {
				continue
			}
			if err := e.mayGive(ix, next, gift{x: Authorization{Role: Role{name}, Resource: on, Effect: Allow}, set: set}); err != nil {
				return err
			}
		}
		inUse = inUse || old != nil && now != nil
	}
	if !inUse {
		return nil
	}
	now := ix.time()
	for x := range next.each() {
		set, old := next.cat().sets[x.Role.name], ix.cat().sets[x.Role.name]
		if _, changes := slices.BinarySearch(names, x.Role.name); !changes || old == nil || !now.Before(ends(x)) {
			continue
		}
		if err := e.covers(x.Resource); err != nil {
			return err
		}
		for _, giver := range e.givers() {
			if !set.within(old) && isOneOf(x.Principal, giver, ix, next) {
				return fmt.Errorf("authz: define %s: %s holds it on %s and cannot extend it: %w", x.Role, giver, x.Resource, ErrDenied)
			}
		}
	}
	return nil
}

// gift is an Authorization with what its role carries.
type gift struct {
	x      Authorization
	set    bitset
	taking bool // it takes away: for longer than the giver holds it is fine
}

// givers returns who gives: who acts, and for whom.
func (e Editor) givers() []Principal {
	out := []Principal{e.g.g.req.Principal}
	if b := e.g.g.req.OnBehalfOf; !b.IsZero() {
		out = append(out, b)
	}
	return out
}

// mayGive asks it of everybody who gives.
func (e Editor) mayGive(ix, next state, g gift) error {
	for _, giver := range e.givers() {
		if why := cannotGive(ix, next, giver, g); why != "" {
			return fmt.Errorf("authz: %s on %s: %s %s and cannot give it: %w", g.x.Role, g.x.Resource, giver, why, ErrDenied)
		}
	}
	return nil
}

// isOneOf says whether a principal, or a team of it before or after a change, is
// the one that is named.
func isOneOf(named, p Principal, ix, next state) bool {
	return named == p || slices.Contains(ix.teamsOf(p), named) || slices.Contains(next.teamsOf(p), named)
}

// cannotGive says why a giver cannot give a role on a resource, "" if it can. It
// counts what the giver holds before the change, and who the giver is after it.
func cannotGive(ix, next state, giver Principal, g gift) string {
	// Whoever gives on a resource gives below it too, past every deny there,
	// and past those that begin tomorrow.
	now := ix.time()
	write := ix.cat().number[writeAuthorizations] // which is there: a Grant of it makes the change
	for h := range holdings(ix, giver) {
		if h.Effect != Deny || !now.Before(ends(h)) || !g.x.Resource.Contains(h.Resource) && !h.Resource.Contains(g.x.Resource) {
			continue
		}
		if denied := ix.cat().sets[h.Role.name]; denied.has(write) || denied.meets(g.set) {
			return fmt.Sprintf("is denied %s on %s", h.Role, h.Resource)
		}
	}
	missing := ""
	for i, p := range ix.cat().permissions {
		if !g.set.has(i) {
			continue
		}
		carries := func(h Authorization) bool { return ix.cat().sets[h.Role.name].has(i) }
		if !ix.decide(giver, i, g.x.Resource).Allowed {
			missing = "does not hold " + p + " there"
			break
		}
		if !g.taking && !holdsAsLong(ix, giver, g.x, now, carries) {
			missing = "does not hold " + p + " there as long and as freely"
			break
		}
	}
	if missing == "" || isOneOf(g.x.Principal, giver, ix, next) {
		return missing
	}
	for role, may := range ix.cat().mayGive {
		hands := func(h Authorization) bool { return h.Role.name == role }
		if slices.Contains(may, g.x.Role.name) && holdsRole(ix, giver, role, Allow, g.x.Resource) && !holdsRole(ix, giver, role, Deny, g.x.Resource) && (g.taking || holdsAsLong(ix, giver, g.x, now, hands)) {
			return ""
		}
	}
	return missing
}

// holdsAsLong says whether a giver holds something, on the resource of a gift,
// until the gift ends and under no condition that the gift is not under: what
// one has for an hour one does not give for ever.
func holdsAsLong(ix state, giver Principal, x Authorization, now time.Time, what func(Authorization) bool) bool {
	for h := range holdings(ix, giver) {
		if h.Effect == Allow && !h.Pending && h.active(now) && h.Resource.Contains(x.Resource) && what(h) &&
			!ends(h).Before(ends(x)) && (h.Condition == "" || h.Condition == x.Condition) {
			return true
		}
	}
	return false
}

// holdsRole says whether a principal holds a role with an effect on a resource,
// now: an allow under any circumstances, a deny under some.
func holdsRole(ix state, p Principal, role string, e Effect, r Resource) bool {
	now := ix.time()
	for h := range holdings(ix, p) {
		if h.Role.name == role && h.Effect == e && !h.Pending && h.active(now) && h.Resource.Contains(r) && (e == Deny || h.Condition == "") {
			return true
		}
	}
	return false
}

// holdings returns what a principal holds, itself and through its teams.
func holdings(ix state, p Principal) func(yield func(Authorization) bool) {
	return func(yield func(Authorization) bool) {
		for _, holder := range append([]Principal{p}, ix.teamsOf(p)...) {
			for _, h := range ix.heldBy(holder) {
				if !yield(h) {
					return
				}
			}
		}
	}
}
