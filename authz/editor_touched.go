package authz

import (
	"slices"
	"strings"
	"sync"
)

// members returns who is in a team, through teams too.
type members map[Principal][]Principal

func membersOf(ix state) members {
	out := members{}
	for _, m := range ix.memberships() {
		out[m.Team] = append(out[m.Team], m.Member)
	}
	return out
}

// reach adds a principal, and of a team everybody in it, to a set.
func (ms members) reach(p Principal, into map[Principal]bool) {
	if into[p] {
		return
	}
	into[p] = true
	for _, m := range ms[p] {
		ms.reach(m, into)
	}
}

// touched returns who may gain or lose by a change.
func touched(ix, next state, c Change) map[Principal]bool {
	out := map[Principal]bool{}
	before, after := sync.OnceValue(func() members { return membersOf(ix) }), sync.OnceValue(func() members { return membersOf(next) })
	both := func(p Principal) {
		if !p.IsTeam() {
			out[p] = true
			return
		}
		// A set for each: who is in both may lead to others in either.
		for _, ms := range []func() members{before, after} {
			set := map[Principal]bool{}
			ms().reach(p, set)
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
