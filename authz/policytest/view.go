package policytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// view is what somebody can do on a resource at a moment.
type view struct {
	where string // which world and when, "" for the file's, when it is
	who   authz.Principal
	in    []authz.Principal // itself and its teams
	on    authz.Resource
	can   map[authz.Permission]authz.Decision // what is allowed
}

// maxViews of a file's world.
const maxViews = 100_000

// seen returns the views of the file's world at all of its moments.
func (s *scene) seen(ctx context.Context, r *Result) []view {
	now := s.now
	defer func() { s.now = now }()
	w := s.f.World
	if n := len(w.Principals) * len(w.places()) * len(w.moments()); n > maxViews {
		r.fail("the world is too big to look at from all sides, %d views, %d at most: split the file", n, maxViews)
		return nil
	}
	var out []view
	for _, t := range s.f.World.moments() {
		s.now = t
		where := ""
		if !t.Equal(s.f.World.At) {
			where = " at " + t.Format(time.RFC3339)
		}
		vs, err := s.look(ctx, s.a, s.f.World, where)
		if err != nil {
			r.fail("%v", err)
			return nil
		}
		out = append(out, vs...)
	}
	return out
}

// views returns those of the file's world and of generated ones.
func (s *scene) views(ctx context.Context, r *Result) []view {
	out := s.seen(ctx, r)
	if s.gen == nil && len(r.Failures) == 0 {
		s.gen = []view{}
		for n := range s.o.Worlds {
			w := s.f.World.vary(rand.New(rand.NewPCG(s.o.Seed, uint64(n))))
			a, err := w.Authorizer(ctx, s.files, nil)
			if err == nil {
				var vs []view
				vs, err = s.look(ctx, a, w, fmt.Sprintf(" in generated world %d of seed %d", n, s.o.Seed))
				s.gen = append(s.gen, vs...)
			}
			if err != nil {
				r.fail("generated world %d of seed %d: %v", n, s.o.Seed, err)
				return out
			}
		}
	}
	return append(out, s.gen...)
}

// look asks everything about a world. Where nothing is held nothing differs
// from the place above, so that the places where something is held will do.
func (s *scene) look(ctx context.Context, a *authz.Authorizer, w World, where string) ([]view, error) {
	var out []view
	for _, who := range w.Principals {
		in := w.teams(who)
		for _, on := range w.places() {
			v := view{where: where, who: who, in: in, on: on, can: map[authz.Permission]authz.Decision{}}
			for _, p := range s.perms {
				d, err := a.Check(ctx, authz.Request{Principal: who, Permission: p, Resource: on})
				if err != nil {
					return nil, err
				}
				if d.Allowed {
					v.can[p] = d
				}
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// vary makes another world of the same kind: each team has new members, one of
// them through a team in the team, and everything that is allowed is allowed at
// once and without end, in another place. What is denied stays where it is.
func (w World) vary(rnd *rand.Rand) World {
	out := World{At: w.At, Principals: slices.Clone(w.Principals), Members: slices.Clone(w.Members)}
	for i, p := range w.Principals {
		if !p.IsTeam() {
			continue
		}
		one, err1 := authz.User("generated", fmt.Sprintf("member%d", i))
		two, err2 := authz.User("generated", fmt.Sprintf("inner%d", i))
		inner, err3 := authz.Team(fmt.Sprintf("generated%d", i))
		if err1 != nil || err2 != nil || err3 != nil {
			continue // constants
		}
		out.Principals = append(out.Principals, one, two, inner)
		out.Members = append(out.Members, authz.Membership{Member: one, Team: p}, authz.Membership{Member: inner, Team: p}, authz.Membership{Member: two, Team: inner})
	}
	places := w.places()
	for _, g := range w.Grants {
		if g.Effect == authz.Allow {
			g.From, g.Until = time.Time{}, time.Time{}
			g.Resource = places[rnd.IntN(len(places))]
			for rnd.IntN(3) == 0 {
				up, ok := g.Resource.Parent()
				if !ok {
					break
				}
				g.Resource = up
			}
		}
		out.Grants = append(out.Grants, g)
	}
	return out
}
