package authz

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"time"
)

// maxLeastRoles is how many roles are tried for a change.
const maxLeastRoles = 8

// change finds the least change that would allow what is refused, and who could
// make it.
func (w why) change(ctx context.Context, x *Explanation, lacking []Principal) error {
	// Whoever is in a team gets what the team is given.
	lacking = slices.DeleteFunc(slices.Clone(lacking), func(p Principal) bool {
		return slices.ContainsFunc(lacking, func(q Principal) bool { return slices.Contains(w.ix.teamsOf(p), q) })
	})
	roles := w.leastRoles()
	if len(lacking) == 0 {
		roles = roles[:1]
	}
	names, err := w.editors(ctx)
	if err != nil {
		return err
	}
	for i, role := range roles {
		var c Change
		for _, p := range lacking {
			w.give(p, role, &c)
		}
		for _, r := range x.Denies {
			c.Remove = appendNew(c.Remove, r.Authorization)
		}
		if i == 0 {
			x.Change = c
		}
		givers, hidden, err := w.givers(ctx, names, c)
		if err != nil {
			return err
		}
		if len(givers)+hidden > 0 {
			x.Change, x.Givers, x.Hidden = c, givers, hidden
			return nil
		}
	}
	return nil
}

// give adds to a change what a principal lacks: a role on the resource itself.
// Where it had just that and it ended, the end is what is in the way.
func (w why) give(p Principal, role Role, c *Change) {
	x := Authorization{Principal: p, Role: role, Resource: w.req.Resource, Effect: Allow}
	for _, old := range w.ix.heldBy(p) {
		if old.Resource != x.Resource || old.Role != x.Role || w.kind(old) != MissEnded || old.Pending || old.Condition != "" {
			continue
		}
		// As long again as it lasted, or a day where nobody said since when.
		lasts := 24 * time.Hour
		if !old.From.IsZero() {
			lasts = old.Until.Sub(old.From)
		}
		longer := old
		longer.Until = w.now.Add(lasts)
		c.Remove, c.Add = append(c.Remove, old), append(c.Add, longer)
		return
	}
	c.Add = append(c.Add, x)
}

// leastRoles returns the roles that carry the permission, those with the fewest
// permissions first.
func (w why) leastRoles() []Role {
	var out []Role
	for _, name := range w.ix.cat().roles {
		if w.ix.cat().sets[name].has(w.bit) {
			out = append(out, Role{name})
		}
	}
	slices.SortStableFunc(out, func(a, b Role) int {
		return cmp.Compare(permissionsIn(w.ix.cat().sets[a.name]), permissionsIn(w.ix.cat().sets[b.name]))
	})
	return out[:min(len(out), maxLeastRoles)]
}

func permissionsIn(set bitset) int {
	n := 0
	for _, word := range set {
		n += bits.OnesCount64(word)
	}
	return n
}

func appendNew(xs []Authorization, x Authorization) []Authorization {
	if slices.ContainsFunc(xs, func(y Authorization) bool { return y.ID == x.ID }) {
		return xs
	}
	return append(xs, x)
}

// editors returns, in order, everybody who is named by an allow with the right
// to give on the resource of the request or above it.
func (w why) editors(ctx context.Context) ([]Principal, error) {
	bit, ok := w.ix.cat().number[writeAuthorizations]
	if !ok {
		return nil, nil
	}
	seen := map[Principal]bool{}
	var out []Principal
	for n, x := range w.ix.standingOver(w.req.Resource) {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if x.Effect == Allow && !seen[x.Principal] && w.ix.cat().sets[x.Role.name].has(bit) {
			seen[x.Principal] = true
			out = append(out, x.Principal)
		}
	}
	slices.SortFunc(out, func(a, b Principal) int { return cmp.Compare(a.name, b.name) })
	return out, nil
}

// givers returns those of some who could make a change, one more than an
// Explanation names so that it knows whether there are more, and how many must
// not be told.
func (w why) givers(ctx context.Context, names []Principal, c Change) (out []Principal, hidden int, err error) {
	for _, p := range names {
		switch {
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case len(out) > maxGivers && w.within.IsZero():
			return out, 0, nil
		case !w.canMake(p, c):
		case !w.within.IsZero() && !w.within.Contains(w.ix.decide(p, w.ix.cat().number[writeAuthorizations], w.req.Resource).On):
			hidden++
		default:
			out = append(out, p)
		}
	}
	return out, hidden, nil
}

// canMake says whether somebody could make each part of a change. Ending an
// allow, which making it longer needs, takes nothing but the right to change.
func (w why) canMake(p Principal, c Change) bool {
	if separated(w.ix, after(w.ix, c), c) != nil {
		return false
	}
	bit := w.ix.cat().number[writeAuthorizations]
	could := func(x Authorization, gives bool) bool {
		return w.ix.decide(p, bit, x.Resource).Allowed && (!gives || cannotGive(w.ix, after(w.ix, Change{Add: []Authorization{x}}), p, gift{x: x, set: w.ix.cat().sets[x.Role.name]}) == "")
	}
	return !slices.ContainsFunc(c.Add, func(x Authorization) bool { return !could(x, true) }) &&
		!slices.ContainsFunc(c.Remove, func(x Authorization) bool { return !could(x, x.Effect == Deny) })
}
