package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"

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

// begin takes the pen: what is checked between begin and end still holds when
// the change counts, whoever else edits meanwhile.
func (e Editor) begin() (ix *index, end func(), err error) {
	if e.a == nil || e.g.g == nil || e.g.g.a != e.a {
		return nil, nil, fmt.Errorf("authz: zero editor: %w", ErrDenied)
	}
	if err := e.a.editable(); err != nil {
		return nil, nil, err
	}
	e.a.writing.Lock()
	return e.a.ix, e.a.writing.Unlock, nil
}

func (e Editor) covers(r Resource) error { return e.g.Covers(Permission{writeAuthorizations}, r) }

// Assign gives a role. The Grant must cover the resource, and nobody can give
// what they do not hold: the giver needs every permission of the role on that
// resource and must be denied none of them below it, or a role that the policy
// allows to hand this one out, which does not go to the giver. Of a giver that
// acts on behalf of another, both must be able to give. It returns the id.
func (e Editor) Assign(ctx context.Context, x Authorization) (uuid.UUID, error) {
	ix, end, err := e.begin()
	if err != nil {
		return uuid.Nil, err
	}
	defer end()
	if err := e.covers(x.Resource); err != nil {
		return uuid.Nil, err
	}
	if err := e.a.known(x); err != nil {
		return uuid.Nil, err
	}
	if err := e.mayGive(ix, x); err != nil {
		return uuid.Nil, err
	}
	x.ID, x.GrantedBy = newID(), e.g.g.req.Principal
	if err := e.change(ctx, x.Resource, Change{Reason: x.Reason, Add: []Authorization{x}}); err != nil {
		return uuid.Nil, err
	}
	return x.ID, nil
}

// Revoke ends an Authorization. To end a deny is to give back what it took, and
// needs what giving needs. An id that is not known is ErrUnknown.
func (e Editor) Revoke(ctx context.Context, id uuid.UUID, reason string) error {
	ix, end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()
	x, ok := ix.get(id)
	if !ok {
		return fmt.Errorf("authz: revoke %s: %w", id, ErrUnknown)
	}
	if err := e.covers(x.Resource); err != nil {
		return err
	}
	if x.Effect == Deny {
		if err := e.mayGive(ix, x); err != nil {
			return err
		}
	}
	return e.change(ctx, x.Resource, Change{Reason: reason, Remove: []Authorization{x}})
}

// Join makes a principal a member of a team. Since a member holds what the team
// holds, the giver must be allowed to give each of those roles.
func (e Editor) Join(ctx context.Context, m Membership, reason string) error {
	if err := m.valid(); err != nil {
		return err
	}
	ix, end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()
	if err := nested(append(ix.memberships(), m)); err != nil {
		return err
	}
	return e.membership(ctx, ix, m, Allow, Change{Reason: reason, Join: []Membership{m}})
}

// Leave ends a membership. What the team is denied was denied to the member
// too, so that leaving gives it back and needs what giving needs. A membership
// that is not known is ErrUnknown.
func (e Editor) Leave(ctx context.Context, m Membership, reason string) error {
	ix, end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()
	if !ix.isMember(m) {
		return fmt.Errorf("authz: membership of %s in %s: %w", m.Member, m.Team, ErrUnknown)
	}
	return e.membership(ctx, ix, m, Deny, Change{Reason: reason, Leave: []Membership{m}})
}

// membership changes one when the giver may give all that comes with it: what
// the team holds with the effect named.
func (e Editor) membership(ctx context.Context, ix *index, m Membership, gives Effect, c Change) error {
	for _, t := range append([]Principal{m.Team}, ix.teamsOf(m.Team)...) {
		for _, x := range ix.heldBy(t) {
			if err := e.covers(x.Resource); err != nil {
				return err
			}
			x.Principal = m.Member
			if x.Effect == gives {
				if err := e.mayGive(ix, x); err != nil {
					return err
				}
			}
		}
	}
	on := e.g.g.req.Resource
	if err := e.covers(on); err != nil {
		return err
	}
	return e.change(ctx, on, c)
}

// mayGive asks it of everybody who gives: who acts, and for whom.
func (e Editor) mayGive(ix *index, x Authorization) error {
	for _, giver := range []Principal{e.g.g.req.Principal, e.g.g.req.OnBehalfOf} {
		if giver.IsZero() {
			continue
		}
		if why := e.a.cannotGive(ix, giver, x); why != "" {
			return fmt.Errorf("authz: %s on %s: %s %s and cannot give it: %w", x.Role, x.Resource, giver, why, ErrDenied)
		}
	}
	return nil
}

// cannotGive says why a giver cannot give a role on a resource, "" if it can.
func (a *Authorizer) cannotGive(ix *index, giver Principal, x Authorization) string {
	set := a.cat.sets[x.Role.name]
	// Whoever gives on a resource gives below it too, past every deny there,
	// and past those that begin tomorrow.
	now := ix.now()
	for _, holder := range append([]Principal{giver}, ix.teamsOf(giver)...) {
		for _, h := range ix.heldBy(holder) {
			ended := !h.Until.IsZero() && !now.Before(h.Until)
			if h.Effect != Deny || ended || !x.Resource.Contains(h.Resource) && !h.Resource.Contains(x.Resource) {
				continue
			}
			denied := a.cat.sets[h.Role.name]
			if bit, ok := a.cat.number[writeAuthorizations]; ok && denied.has(bit) {
				return fmt.Sprintf("is denied %s on %s", h.Role, h.Resource)
			}
			for i := range a.cat.permissions {
				if set.has(i) && denied.has(i) {
					return fmt.Sprintf("is denied %s on %s", h.Role, h.Resource)
				}
			}
		}
	}
	missing := ""
	for i, p := range a.cat.permissions {
		if set.has(i) && !ix.decide(giver, i, x.Resource).Allowed {
			missing = p
			break
		}
	}
	if missing == "" {
		return ""
	}
	if x.Principal != giver && !slices.Contains(ix.teamsOf(giver), x.Principal) {
		for role, may := range a.cat.mayGive {
			if slices.Contains(may, x.Role.name) && ix.holds(giver, role, Allow, x.Resource, Context{}) && !ix.holds(giver, role, Deny, x.Resource, Context{}) {
				return ""
			}
		}
	}
	return "does not hold " + missing + " there"
}

// change records, stores and publishes a change, in this order. The caller has
// the pen.
func (e Editor) change(ctx context.Context, on Resource, c Change) error {
	a := e.a
	if len(c.Reason) > 1024 {
		return fmt.Errorf("authz: change: reason: %d bytes, 1024 at most", len(c.Reason))
	}
	ix, now := a.ix, a.now()
	req := e.g.g.req
	req.Resource, req.Cause = on, e.g.g.d.ID
	d := a.decide(ix, req)
	if !d.Allowed {
		return &DeniedError{req, d}
	}
	d.ID = newID()
	c.Revision, c.Author, c.Time = ix.revision()+1, req.Principal, now
	if err := a.valid(ix, c); err != nil {
		return err
	}
	r := record(now, req, d)
	r.Reason += c.summary()
	if err := a.trail.write(ctx, r); err != nil {
		return err
	}
	if err := a.store.Apply(ctx, c); err != nil {
		// The store knows better: another process changed it, or it kept the
		// change although it failed. What cannot be loaded changes nothing.
		_ = a.load(ctx)
		return fmt.Errorf("authz: change: %w", err)
	}
	ix.apply(c)
	return nil
}

// summary says in the audit trail what is changed: names and ids only.
func (c Change) summary() string {
	var b strings.Builder
	for _, x := range c.Add {
		fmt.Fprintf(&b, "; assigns %s %s to %s on %s as %s", x.Effect, x.Role, x.Principal, x.Resource, x.ID)
	}
	for _, x := range c.Remove {
		fmt.Fprintf(&b, "; revokes %s %s of %s on %s, %s", x.Effect, x.Role, x.Principal, x.Resource, x.ID)
	}
	for _, m := range c.Join {
		fmt.Fprintf(&b, "; %s joins %s", m.Member, m.Team)
	}
	for _, m := range c.Leave {
		fmt.Fprintf(&b, "; %s leaves %s", m.Member, m.Team)
	}
	return b.String()
}

// Authorizations returns what stands on a resource, above it or below it,
// oldest first, for the holder of a Grant of authz.authorizations.read on it.
func (a *Authorizer) Authorizations(g Grant, under Resource) ([]Authorization, error) {
	if a == nil || g.g == nil || g.g.a != a {
		return nil, fmt.Errorf("authz: list: zero grant: %w", ErrDenied)
	}
	if err := a.editable(); err != nil {
		return nil, err
	}
	if err := g.Covers(Permission{"authz.authorizations.read"}, under); err != nil {
		return nil, err
	}
	var out []Authorization
	for x := range a.ix.each() {
		if under.Contains(x.Resource) || x.Resource.Contains(under) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(x, y Authorization) int { return slices.Compare(x.ID[:], y.ID[:]) })
	return out, nil
}
