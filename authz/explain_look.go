package authz

import (
	"cmp"
	"slices"
	"strings"
	"time"
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
		teams := w.chain(p, holder) // the same for all that the holder holds
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
	here, carries := x.Resource.Contains(w.req.Resource), w.ix.cat().sets[x.Role.name].has(w.bit)
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

// nearest says in a few lines what is nearest: misses, and the roles that carry
// the permission.
func (w why) nearest(ms []Miss) []string {
	var out []string
	for _, m := range ms[:min(len(ms), maxNearest)] {
		out = append(out, m.String())
	}
	slices.Sort(out)
	var roles []string
	for _, r := range w.ix.cat().roles {
		if w.ix.cat().sets[r].has(w.bit) {
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
