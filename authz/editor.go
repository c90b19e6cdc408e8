package authz

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// Editor changes who holds what, within what its Grant covers. Every change
// goes to the store first, is recorded, and counts at the next request; live
// Grants that rest on something revoked end at their next use.
type Editor struct {
	a *Authorizer
	g Grant
}

// Edit returns an Editor for the holder of a Grant of
// authz.authorizations.write. With any other Grant every change is refused.
func (a *Authorizer) Edit(g Grant) Editor { return Editor{a, g} }

const writeAuthorizations = "authz.authorizations.write"

// Assign gives a role. The Grant must cover the resource, and nobody can give
// what they do not hold: the giver needs every permission of the role on that
// resource, or a role that the policy allows to hand this one out, which does
// not go to the giver. It returns the id.
func (e Editor) Assign(ctx context.Context, x Authorization) (uuid.UUID, error) {
	if err := e.covers(x.Resource); err != nil {
		return uuid.Nil, err
	}
	if err := e.a.known(x); err != nil {
		return uuid.Nil, err
	}
	if err := e.mayGive(x); err != nil {
		return uuid.Nil, err
	}
	x.ID, x.GrantedBy = newID(), e.g.g.req.Principal
	return x.ID, e.change(ctx, x.Resource, Change{Reason: x.Reason, Add: []Authorization{x}})
}

// Revoke ends an Authorization. An id that is not known is ErrUnknown.
func (e Editor) Revoke(ctx context.Context, id uuid.UUID, reason string) error {
	if e.a == nil || e.g.g == nil {
		return fmt.Errorf("authz: zero editor: %w", ErrDenied)
	}
	x, ok := e.a.ix.Load().all[id]
	if !ok {
		return fmt.Errorf("authz: revoke %s: %w", id, ErrUnknown)
	}
	if err := e.covers(x.Resource); err != nil {
		return err
	}
	return e.change(ctx, x.Resource, Change{Reason: reason, Remove: []uuid.UUID{id}})
}

// Join makes a principal a member of a team. Since a member holds what the team
// holds, the giver must be allowed to give each of those roles.
func (e Editor) Join(ctx context.Context, m Membership, reason string) error {
	if m.Member.IsZero() || !m.Team.IsTeam() || m.Member == m.Team {
		return fmt.Errorf("authz: membership: want a member and another team")
	}
	return e.membership(ctx, m, Change{Reason: reason, Join: []Membership{m}})
}

// Leave ends a membership.
func (e Editor) Leave(ctx context.Context, m Membership, reason string) error {
	return e.membership(ctx, m, Change{Reason: reason, Leave: []Membership{m}})
}

func (e Editor) membership(ctx context.Context, m Membership, c Change) error {
	if e.a == nil || e.g.g == nil {
		return fmt.Errorf("authz: zero editor: %w", ErrDenied)
	}
	ix := e.a.ix.Load()
	ms := make([]Membership, 0, len(ix.members)+1)
	for x := range ix.members {
		ms = append(ms, x)
	}
	if len(c.Join) > 0 {
		ms = append(ms, m)
		if reaches(ms, m.Team, m.Member, 0) {
			return fmt.Errorf("authz: membership: %s would be a member of itself", m.Team)
		}
		for _, x := range ms {
			if deepest(ms, x.Member, 0) > maxTeamDepth {
				return fmt.Errorf("authz: membership: teams nested deeper than %d", maxTeamDepth)
			}
		}
	}
	on := e.g.g.req.Resource
	for _, t := range append([]Principal{m.Team}, ix.teams[m.Team]...) {
		for _, x := range ix.held[t] {
			if err := e.covers(x.Resource); err != nil {
				return err
			}
			x.Principal = m.Member
			if len(c.Join) > 0 && x.Effect == Allow {
				if err := e.mayGive(x); err != nil {
					return err
				}
			}
		}
	}
	if err := e.covers(on); err != nil {
		return err
	}
	return e.change(ctx, on, c)
}

// reaches reports whether a member is, through teams, in a team.
func reaches(ms []Membership, member, team Principal, depth int) bool {
	if member == team || depth > maxTeamDepth {
		return true
	}
	for _, m := range ms {
		if m.Member == member && reaches(ms, m.Team, team, depth+1) {
			return true
		}
	}
	return false
}

func (e Editor) covers(r Resource) error {
	if e.a == nil || e.g.g == nil || e.g.g.a != e.a {
		return fmt.Errorf("authz: zero editor: %w", ErrDenied)
	}
	return e.g.Covers(Permission{writeAuthorizations}, r)
}

func (e Editor) mayGive(x Authorization) error {
	ix, giver := e.a.ix.Load(), e.g.g.req.Principal
	missing := ""
	for i, p := range e.a.cat.permissions {
		if e.a.cat.sets[x.Role.name].has(i) && !ix.decide(giver, i, x.Resource).Allowed {
			missing = p
			break
		}
	}
	if missing == "" {
		return nil
	}
	if x.Principal != giver && !slices.Contains(ix.teams[giver], x.Principal) {
		for role, may := range e.a.cat.mayGive {
			if slices.Contains(may, x.Role.name) && ix.holds(giver, role, Allow, x.Resource) && !ix.holds(giver, role, Deny, x.Resource) {
				return nil
			}
		}
	}
	return fmt.Errorf("authz: assign %s on %s: %s does not hold %s there and cannot give it: %w", x.Role, x.Resource, giver, missing, ErrDenied)
}

func (e Editor) change(ctx context.Context, on Resource, c Change) error {
	a := e.a
	a.writing.Lock()
	defer a.writing.Unlock()
	// The recorded decision is the Grant's, applied now; recorded before it counts.
	now := a.now()
	req := e.g.g.req
	req.Resource, req.Cause = on, e.g.g.d.ID
	d := e.g.g.d
	d.ID = newID()
	c.Author, c.Time = req.Principal, now
	if err := a.trail.write(ctx, record(now, req, d)); err != nil {
		return err
	}
	ix := a.ix.Load()
	s := Assignments{Revision: ix.revision}
	for _, x := range ix.all {
		s.Authorizations = append(s.Authorizations, x)
	}
	for m := range ix.members {
		s.Memberships = append(s.Memberships, m)
	}
	c.Revision = s.Revision + 1
	s, err := a.apply(ctx, s, c)
	if err != nil {
		return err
	}
	a.ix.Store(newIndex(a.cat, s.Authorizations, s.Memberships, s.Revision, a.now))
	return nil
}

// apply validates a change, makes it durable and returns what it leads to.
func (a *Authorizer) apply(ctx context.Context, s Assignments, c Change) (Assignments, error) {
	for _, x := range c.Add {
		if err := a.known(x); err != nil {
			return s, err
		}
	}
	if len(c.Reason) > 1024 {
		return s, fmt.Errorf("authz: change: reason: %d bytes, 1024 at most", len(c.Reason))
	}
	if err := a.store.Apply(ctx, c); err != nil {
		return s, fmt.Errorf("authz: change: %w", err)
	}
	return c.apply(s), nil
}

// Authorizations returns what stands on a resource, above it or below it,
// oldest first, for the holder of a Grant of authz.authorizations.read on it.
func (a *Authorizer) Authorizations(g Grant, under Resource) ([]Authorization, error) {
	if a == nil || g.g == nil || g.g.a != a {
		return nil, fmt.Errorf("authz: list: zero grant: %w", ErrDenied)
	}
	if err := g.Covers(Permission{"authz.authorizations.read"}, under); err != nil {
		return nil, err
	}
	var out []Authorization
	for _, x := range a.ix.Load().all {
		if under.Contains(x.Resource) || x.Resource.Contains(under) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(x, y Authorization) int { return slices.Compare(x.ID[:], y.ID[:]) })
	return out, nil
}
