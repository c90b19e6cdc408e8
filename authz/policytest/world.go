package policytest

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lockkeeper/lockkeeper/authz"
)

// World is who there is and what they hold.
type World struct {
	At         time.Time
	Principals []authz.Principal // sorted; those that hold something too
	Members    []authz.Membership
	Grants     []Grant
}

// Grant is an Authorization and the line that gives it.
type Grant struct {
	Line int
	authz.Authorization
}

// defaultTime is when a world is that does not say when.
func defaultTime() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// Authorizer makes an Authorizer of the world over a policy. A nil clock stands
// still when the world is.
func (w World) Authorizer(ctx context.Context, policy fs.FS, clock func() time.Time) (*authz.Authorizer, error) {
	if clock == nil {
		clock = func() time.Time { return w.At }
	}
	o := &authz.Options{Audit: authz.NewMemory(1), Clock: clock, SeedMembers: w.Members}
	for _, g := range w.Grants {
		o.Seed = append(o.Seed, g.Authorization)
	}
	return authz.New(ctx, policy, o)
}

func (r *reader) world(n *yaml.Node) World {
	w := World{At: defaultTime()}
	m := r.fields(n, "world", "at", "principals", "grants")
	if m["at"] != nil {
		w.At = read(r, m["at"], "at", parseTime)
	}
	add := func(p authz.Principal) {
		if !p.IsZero() && !slices.Contains(w.Principals, p) {
			w.Principals = append(w.Principals, p)
		}
	}
	if ps := m["principals"]; ps != nil {
		list := r.pairs(ps, "principals")
		if len(list) > maxPrincipals {
			r.errorf(ps.Line, "principals: %d, %d at most: a world is small", len(list), maxPrincipals)
			list = nil
		}
		for _, p := range list {
			who, err := authz.ParsePrincipal(p.key)
			if err != nil {
				r.errorf(p.line, "principals: %.60q: %s", p.key, strings.TrimPrefix(err.Error(), "authz: "))
				continue
			}
			add(who)
			if p.value.Kind == yaml.ScalarNode && p.value.Tag == "!!null" {
				continue
			}
			if n := r.fields(p.value, who.String(), "team")["team"]; n != nil {
				for _, t := range many(r, n, "team", authz.ParsePrincipal) {
					if !t.IsZero() && !t.IsTeam() {
						r.errorf(n.Line, "team: %s is no team", t)
						continue
					}
					add(t)
					w.Members = append(w.Members, authz.Membership{Member: who, Team: t})
				}
			}
		}
	}
	for _, n := range r.items(m["grants"], "grants") {
		g := r.grant(n)
		add(g.Principal)
		w.Grants = append(w.Grants, g)
	}
	if len(w.Grants) > maxGrants {
		r.errorf(n.Line, "grants: %d, %d at most: a world is small", len(w.Grants), maxGrants)
	}
	slices.SortFunc(w.Principals, func(a, b authz.Principal) int { return strings.Compare(a.String(), b.String()) })
	return w
}

// Limits on a world.
const (
	maxPrincipals = 1000
	maxGrants     = 1000
)

func (r *reader) grant(n *yaml.Node) Grant {
	m := r.fields(n, "grant", "principal", "role", "resource", "effect", "from", "until", "reason")
	if len(m) == 0 {
		return Grant{Line: n.Line}
	}
	g := Grant{n.Line, authz.Authorization{
		Principal: need(r, n.Line, m, "principal", authz.ParsePrincipal),
		Role:      need(r, n.Line, m, "role", authz.ParseRole),
		Resource:  need(r, n.Line, m, "resource", authz.ParseResource),
		Effect:    authz.Allow,
		From:      may(r, m, "from", parseTime),
		Until:     may(r, m, "until", parseTime),
		Reason:    may(r, m, "reason", parseText),
	}}
	if allow := m["effect"]; allow != nil && !read(r, allow, "effect", parseExpect) {
		g.Effect = authz.Deny
	}
	if !g.Until.IsZero() && !g.From.Before(g.Until) {
		r.errorf(n.Line, "until: %s is not after from", g.Until.Format(time.RFC3339))
	}
	return g
}

// teams returns a principal and every team it is in.
func (w World) teams(p authz.Principal) []authz.Principal {
	out := []authz.Principal{p}
	for i := 0; i < len(out); i++ {
		for _, m := range w.Members {
			if m.Member == out[i] && !slices.Contains(out, m.Team) {
				out = append(out, m.Team)
			}
		}
	}
	return out
}

// places returns every resource on which something is held, sorted.
func (w World) places() []authz.Resource {
	var out []authz.Resource
	for _, g := range w.Grants {
		if !slices.Contains(out, g.Resource) {
			out = append(out, g.Resource)
		}
	}
	slices.SortFunc(out, func(a, b authz.Resource) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// moments returns when the world is and every time at which something in it
// begins or ends.
func (w World) moments() []time.Time {
	out := []time.Time{w.At}
	for _, g := range w.Grants {
		for _, t := range []time.Time{g.From, g.Until} {
			if !t.IsZero() && !slices.ContainsFunc(out, t.Equal) && len(out) < maxMoments {
				out = append(out, t)
			}
		}
	}
	return out
}

const maxMoments = 64
