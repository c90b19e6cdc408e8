package authz

import (
	"context"
	"fmt"
	"slices"
)

// Explanation says why a request is allowed, or why not and what would change
// that.
type Explanation struct {
	Decision Decision
	Reason   string   // one sentence
	Nearest  []string // for a refusal, for people: a few of the Misses, and the roles that carry the permission

	// Allows and Denies are all Authorizations that count for the request, of
	// whoever acts and of whom it acts for. Any one of Allows suffices for
	// its principal when there are no Denies; one of Denies refuses.
	Allows []Reason
	Denies []Reason

	Misses     []Miss // for a refusal: what is nearest to allowing it, at most 20
	MoreMisses int    // how many there are beside

	// Change is, for a refusal, the least that would allow the request: an
	// Authorization to add, on the resource itself, of the role with the
	// fewest permissions among those that carry this one and that somebody
	// could give, or among all if nobody could; one to replace by the same
	// with a later end; Denies to revoke. With OnBehalfOf it may hold one
	// for each principal. It is empty where nothing would do.
	Change Change
	// Givers are those who could make that Change now, each alone, at most
	// 20, in the order of their names. A team stands for its members, of
	// whom some may be denied it. Those who hold the right to give through
	// a team only are not named beside it, nor those whose right depends on
	// circumstances, of which nothing is known here.
	Givers     []Principal
	MoreGivers bool // there are more than these

	// Hidden counts what ExplainFor left out.
	Hidden int
}

// Explain answers as Check does, and says why. For a refusal it looks through
// what stands on the resource and above it for those who could change it, which
// takes time that grows with their number; it is for people, not for every
// request.
//
// It tells who holds what anywhere. Never pass the answer on to people who may
// not see that: ExplainFor is for them.
func (a *Authorizer) Explain(ctx context.Context, req Request) (Explanation, error) {
	return a.explain(ctx, req, Resource{})
}

// ExplainFor is Explain for the holder of a Grant of authz.decisions.explain
// that covers the resource of the request. What stands outside the resource of
// that Grant, above it first of all, is left out and counted in Hidden: the
// answer then says that something there allows or denies, and not what, whose or
// through whom. Any other Grant is refused with ErrDenied.
func (a *Authorizer) ExplainFor(ctx context.Context, g Grant, req Request) (Explanation, error) {
	if !g.of(a) {
		return Explanation{}, fmt.Errorf("authz: explain: zero grant: %w", ErrDenied)
	}
	if err := g.Covers(Permission{"authz.decisions.explain"}, req.Resource); err != nil {
		return Explanation{}, err
	}
	return a.explain(ctx, req, g.g.req.Resource)
}

// explain explains with what stands within a resource, with everything for the
// zero Resource.
func (a *Authorizer) explain(ctx context.Context, req Request, within Resource) (Explanation, error) {
	if a == nil || a.ix == nil {
		return Explanation{Reason: "zero authorizer"}, ErrDenied
	}
	if err := ctx.Err(); err != nil {
		return Explanation{}, err
	}
	ix := a.ix
	d := a.decide(ix, req)
	x := Explanation{Decision: d, Reason: d.Reason()}
	if d.Code == BadRequest {
		return x, errIncomplete
	}
	bit, known := ix.cat().number[req.Permission.name]
	if !known { // or a model of the policy's own decides, which knows none
		return x, nil
	}
	w := why{a: a, ix: ix, now: a.now(), bit: bit, req: req, within: within}
	var lacking []Principal
	for _, p := range w.actors() {
		allows, denies, misses := w.look(p)
		x.Allows, x.Denies = append(x.Allows, allows...), append(x.Denies, denies...)
		if len(allows) == 0 || len(denies) > 0 {
			x.Misses = append(x.Misses, misses...)
		}
		if len(allows) == 0 {
			lacking = append(lacking, p)
		}
	}
	if d.Allowed {
		x.Misses = nil
	} else if err := w.change(ctx, &x, lacking); err != nil {
		return Explanation{}, err
	}
	if !within.IsZero() {
		x.hide(within)
	}
	if !d.Allowed {
		w.shorten(&x)
	}
	return x, nil
}

// hide leaves out what does not stand within a resource.
func (x *Explanation) hide(within Resource) {
	out := func(r Reason) bool { return !within.Contains(r.Authorization.Resource) }
	before := len(x.Allows) + len(x.Denies) + len(x.Misses)
	twice := 0 // a deny is among the misses too
	for _, m := range x.Misses {
		if m.Kind == MissDenied && out(m.Reason) {
			twice++
		}
	}
	x.Allows, x.Denies = slices.DeleteFunc(x.Allows, out), slices.DeleteFunc(x.Denies, out)
	x.Misses = slices.DeleteFunc(x.Misses, func(m Miss) bool { return out(m.Reason) })
	x.Hidden += before - len(x.Allows) - len(x.Denies) - len(x.Misses) - twice
	x.Change.Remove = slices.DeleteFunc(x.Change.Remove, func(y Authorization) bool { return !within.Contains(y.Resource) })
	if d := &x.Decision; !d.On.IsZero() && !within.Contains(d.On) {
		*d = Decision{Allowed: d.Allowed, Code: d.Code, Principal: d.Principal, Revision: d.Revision}
		x.Reason = "denied by something outside " + within.String()
		if d.Allowed {
			x.Reason = "allowed by something outside " + within.String()
		}
	}
}

// shorten orders and cuts the lists for people.
func (w why) shorten(x *Explanation) {
	slices.SortFunc(x.Misses, w.closeness)
	x.Nearest = w.nearest(x.Misses)
	if n := len(x.Misses) - maxMisses; n > 0 {
		x.Misses, x.MoreMisses = x.Misses[:maxMisses], n
	}
	if len(x.Givers) > maxGivers {
		x.Givers, x.MoreGivers = x.Givers[:maxGivers], true
	}
}
