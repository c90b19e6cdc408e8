package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Impact is what edits would do to access, now. It is counted over every
// permission, every principal that the edits reach, members of teams too, and
// every resource on which they or something that those principals hold stand.
type Impact struct {
	Principals []Principal
	Resources  []Resource
	Gained     int
	Lost       int
	Examples   []Access // some of them, 20 at most
	Flips      []Flip   // of the requests that were given, those whose answer changes
}

// Access is one permission of a principal on a resource, gained or lost.
type Access struct {
	Principal  Principal
	Permission Permission
	Resource   Resource
	Gained     bool
}

// Flip is a request that would be answered otherwise.
type Flip struct {
	Request       Request
	Before, After Decision
}

const maxExamples = 20

// Preview says what edits would do, and changes and records nothing. It is
// refused as Commit would be. Requests given, recorded ones perhaps, are answered
// before and after; they must be on resources that the Grant covers.
func (e Editor) Preview(ctx context.Context, what Edits, replay ...Request) (Impact, error) {
	if err := ctx.Err(); err != nil {
		return Impact{}, err
	}
	ix, end, err := e.begin()
	if err != nil {
		return Impact{}, err
	}
	defer end()
	c, err := e.plan(ix, what)
	if err != nil {
		return Impact{}, err
	}
	for _, r := range replay {
		if err := e.covers(r.Resource); err != nil {
			return Impact{}, fmt.Errorf("authz: preview: replay: %w", err)
		}
	}
	next, err := e.check(ix, c)
	if err != nil {
		return Impact{}, err
	}
	out := impact(ix, next, c)
	for _, r := range replay {
		if b, a := decideBy(ix, r), decideBy(next, r); b.Allowed != a.Allowed {
			out.Flips = append(out.Flips, Flip{r, b, a})
		}
	}
	return out, nil
}

func impact(ix, next state, c Change) Impact {
	reached := touched(ix, next, c)
	out := Impact{Principals: inOrder(reached), Resources: places(ix, next, c, reached)}
	for _, p := range out.Principals {
		for _, r := range out.Resources {
			for bit, name := range ix.cat().permissions {
				before, after := ix.decide(p, bit, r).Allowed, next.decide(p, bit, r).Allowed
				switch {
				case before == after:
					continue
				case after:
					out.Gained++
				default:
					out.Lost++
				}
				if len(out.Examples) < maxExamples {
					out.Examples = append(out.Examples, Access{p, Permission{name}, r, after})
				}
			}
		}
	}
	return out
}

// places returns where a change shows: where it stands, where the teams and roles
// in it stand, and where below these something of those it reaches stands.
func places(ix, next state, c Change, reached map[Principal]bool) []Resource {
	top := map[Resource]bool{}
	for _, x := range append(slices.Clone(c.Remove), c.Add...) {
		top[x.Resource] = true
	}
	for _, of := range []state{ix, next} {
		for _, m := range append(slices.Clone(c.Leave), c.Join...) {
			for x := range holdings(of, m.Team) {
				top[x.Resource] = true
			}
		}
		if names := redefined(ix, next); len(names) > 0 {
			for x := range of.each() {
				if slices.Contains(names, x.Role.name) {
					top[x.Resource] = true
				}
			}
		}
	}
	below := func(r Resource) bool {
		for up, ok := r, true; ok; up, ok = up.Parent() {
			if top[up] {
				return true
			}
		}
		return false
	}
	all := map[Resource]bool{}
	for r := range top {
		all[r] = true
	}
	for p := range reached {
		for _, of := range []state{ix, next} {
			for x := range holdings(of, p) {
				if below(x.Resource) {
					all[x.Resource] = true
				}
			}
		}
	}
	out := make([]Resource, 0, len(all))
	for r := range all {
		out = append(out, r)
	}
	slices.SortFunc(out, func(r, s Resource) int { return strings.Compare(r.path, s.path) })
	return out
}
