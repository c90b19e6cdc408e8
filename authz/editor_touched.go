package authz

import (
	"slices"
	"strings"
)

// reach adds a principal, and of a team everybody in it, through teams too, to
// a set.
func reach(of state, p Principal, into map[Principal]bool) {
	if into[p] {
		return
	}
	into[p] = true
	if p.IsTeam() {
		for _, m := range of.directMembers(p) {
			reach(of, m, into)
		}
	}
}

// touched returns who may gain or lose by a change.
func touched(ix, next state, c Change) map[Principal]bool {
	out := map[Principal]bool{}
	both := func(p Principal) {
		if !p.IsTeam() {
			out[p] = true
			return
		}
		// A set for each: who is in both may lead to others in either.
		for _, of := range []state{ix, next} {
			set := map[Principal]bool{}
			reach(of, p, set)
			for q := range set {
				out[q] = true
			}
		}
	}
	for _, x := range append(slices.Clone(c.Remove), c.Add...) {
		both(x.Principal)
	}
	for _, m := range append(slices.Clone(c.Leave), c.Join...) {
		both(m.Member)
	}
	if names := redefined(ix, next); len(names) > 0 {
		for x := range next.each() {
			if slices.Contains(names, x.Role.name) {
				both(x.Principal)
			}
		}
	}
	return out
}

func inOrder(ps map[Principal]bool) []Principal {
	out := make([]Principal, 0, len(ps))
	for p := range ps {
		out = append(out, p)
	}
	slices.SortFunc(out, func(p, q Principal) int { return strings.Compare(p.name, q.name) })
	return out
}
