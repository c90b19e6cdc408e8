package authz

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Limits on what an Explanation lists.
const (
	maxMisses  = 20
	maxGivers  = 20
	maxNearest = 5
)

// why looks for what an Explanation says, in one snapshot and at one time.
type why struct {
	a      *Authorizer
	ix     *index
	now    time.Time
	bit    int
	req    Request
	within Resource // zero: everything may be told
}

// actors are those who must all be allowed.
func (w why) actors() []Principal {
	if w.req.OnBehalfOf.IsZero() || w.req.OnBehalfOf == w.req.Principal {
		return []Principal{w.req.Principal}
	}
	return []Principal{w.req.Principal, w.req.OnBehalfOf}
}

// look sorts what a principal holds into what counts and what misses.
func (w why) look(p Principal) (allows, denies []Reason, misses []Miss) {
	for _, holder := range append([]Principal{p}, w.ix.teamsOf(p)...) {
		var teams []Principal // the same for all that the holder holds
		if holder != p {
			teams = w.chain(p, holder)
		}
		for _, x := range w.ix.heldBy(holder) {
			r := Reason{x, p, teams}
			switch kind := w.kind(x); kind {
			case 0:
				allows = append(allows, r)
			case MissDenied:
				denies = append(denies, r)
				misses = append(misses, Miss{r, kind})
			case noMiss:
			default:
				misses = append(misses, Miss{r, kind})
			}
		}
	}
	byID := func(r, s Reason) int { return slices.Compare(r.Authorization.ID[:], s.Authorization.ID[:]) }
	slices.SortFunc(allows, byID)
	slices.SortFunc(denies, byID)
	return allows, denies, misses
}

const noMiss = MissKind(255) // nothing to do with the request

// kind says how an Authorization misses the request; 0 is that it allows it.
func (w why) kind(x Authorization) MissKind {
	here, carries := x.Resource.Contains(w.req.Resource), w.ix.cat.sets[x.Role.name].has(w.bit)
	counts := true
	if x.Condition != "" {
		c, _ := compileCondition(x.Condition)
		counts = c.counts(x.Effect, w.req.Context, w.now)
	}
	switch active := x.active(w.now) && !x.Pending; {
	case x.Effect == Deny:
		if here && carries && active && counts {
			return MissDenied
		}
		return noMiss
	case !here && !(carries && active && counts), !carries && !active:
		return noMiss
	case !here:
		return MissElsewhere
	case !carries:
		return MissRole
	case w.now.Before(x.From):
		return MissNotYet
	case !x.active(w.now):
		return MissEnded
	case x.Pending:
		return MissPending
	case !counts:
		return MissCondition
	}
	return 0
}

// chain returns the teams from a principal to one that it is in, directly or
// through others. Of all teams on the way, the next is one that no other of them
// leads to: that membership is there itself.
func (w why) chain(p, to Principal) []Principal {
	var out []Principal
	for at := p; at != to; {
		var way []Principal
		for _, t := range w.ix.teamsOf(at) {
			if t == to || slices.Contains(w.ix.teamsOf(t), to) {
				way = append(way, t)
			}
		}
		slices.SortFunc(way, func(a, b Principal) int { return cmp.Compare(a.name, b.name) })
		next := slices.IndexFunc(way, func(t Principal) bool {
			return !slices.ContainsFunc(way, func(u Principal) bool { return slices.Contains(w.ix.teamsOf(u), t) })
		})
		if next < 0 {
			return append(out, to)
		}
		at = way[next]
		out = append(out, at)
	}
	return out
}

// give adds to a change what a principal lacks: the role with the fewest
// permissions that carries the one asked for, on the resource itself. Where it
// has just that and it ended, the end is what is in the way.
func (w why) give(p Principal, c *Change) {
	x := Authorization{Principal: p, Role: w.leastRole(), Resource: w.req.Resource, Effect: Allow}
	if x.Role == (Role{}) {
		return
	}
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

// leastRole returns the role with the fewest permissions that carries the one
// asked for, the first by name of several.
func (w why) leastRole() Role {
	best, least := "", 0
	for _, name := range w.ix.cat.roles {
		if set := w.ix.cat.sets[name]; set.has(w.bit) {
			if n := permissionsIn(set); best == "" || n < least {
				best, least = name, n
			}
		}
	}
	return Role{best}
}

func permissionsIn(set bitset) int {
	n := 0
	for _, word := range set {
		n += bits.OnesCount64(word)
	}
	return n
}

func appendNew(xs []Authorization, x Authorization) []Authorization {
	if slices.ContainsFunc(xs, func(y Authorization) bool { return x.ID != uuid.Nil && y.ID == x.ID }) {
		return xs
	}
	return append(xs, x)
}

// givers returns one more than an Explanation names, so that it knows whether
// there are more, and how many must not be told.
func (w why) givers(ctx context.Context, c Change) (out []Principal, hidden int, err error) {
	parts := append(slices.Clone(c.Add), c.Remove...)
	bit, ok := w.ix.cat.number[writeAuthorizations]
	if !ok || len(parts) == 0 {
		return nil, 0, nil
	}
	seen := map[Principal]bool{}
	var names []Principal
	n := 0
	for x := range w.ix.each() {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if x.Effect == Allow && !seen[x.Principal] && w.ix.cat.sets[x.Role.name].has(bit) && x.Resource.Contains(parts[0].Resource) {
			seen[x.Principal] = true
			names = append(names, x.Principal)
		}
	}
	slices.SortFunc(names, func(a, b Principal) int { return cmp.Compare(a.name, b.name) })
	for _, p := range names {
		switch {
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case len(out) > maxGivers && w.within.IsZero():
			return out, 0, nil
		case !w.canMake(p, bit, c):
		case !w.within.IsZero() && !w.within.Contains(w.ix.decide(p, bit, parts[0].Resource).On):
			hidden++
		default:
			out = append(out, p)
		}
	}
	return out, hidden, nil
}

// canMake says whether somebody could make each part of a change. Ending an
// allow, which making it longer needs, takes nothing but the right to change.
func (w why) canMake(p Principal, bit int, c Change) bool {
	for _, x := range append(slices.Clone(c.Add), c.Remove...) {
		if !w.ix.decide(p, bit, x.Resource).Allowed {
			return false
		}
		if !slices.ContainsFunc(c.Remove, func(y Authorization) bool { return x == y }) || x.Effect == Deny {
			if w.a.cannotGive(w.ix, p, x) != "" {
				return false
			}
		}
	}
	return true
}

// nearest says in a few lines what is nearest: misses, and the roles that carry
// the permission.
func (w why) nearest(ms []Miss) []string {
	var out []string
	for _, m := range ms[:min(len(ms), maxNearest)] {
		out = append(out, m.String())
	}
	slices.Sort(out)
	var roles []string
	for _, r := range w.ix.cat.roles {
		if w.ix.cat.sets[r].has(w.bit) {
			roles = append(roles, r)
		}
	}
	return append(slices.Compact(out), "carried by "+strings.Join(roles, ", "))
}

// closeness orders misses: by kind, then by how much of the path is the same.
func (w why) closeness(m, n Miss) int {
	shared := func(x Resource) int {
		k := 0
		for a, b := x.path, w.req.Resource.path; k < len(a) && k < len(b) && a[k] == b[k]; k++ {
		}
		return -k
	}
	return cmp.Or(cmp.Compare(m.Kind, n.Kind), cmp.Compare(shared(m.Authorization.Resource), shared(n.Authorization.Resource)),
		cmp.Compare(m.String(), n.String()), slices.Compare(m.Authorization.ID[:], n.Authorization.ID[:]))
}
