package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
)

// Editor changes who holds what, within what its Grant covers. Every change
// goes to the store first, is recorded, and counts at the next request; live
// Grants that rest on something revoked end at their next use. A refusal is
// recorded too. Whatever the way to a change, it passes the same checks: nobody
// gives what they do not hold, nobody comes to hold what the policy keeps apart
// (ErrSeparation), and no resource loses its last administrator
// (ErrLastAdministrator). Safe for concurrent use.
type Editor struct {
	a    *Authorizer
	g    Grant
	at   *uint64        // the revision that must be the current one; nil: any
	last *atomic.Uint64 // what the last change made; shared by the copies
}

// Edit returns an Editor for the holder of a Grant of
// authz.authorizations.write. With any other Grant every change is refused.
func (a *Authorizer) Edit(g Grant) Editor { return Editor{a: a, g: g, last: new(atomic.Uint64)} }

const writeAuthorizations = "authz.authorizations.write"

// At returns an Editor whose changes are refused with ErrConflict unless the
// given revision is the current one: what was read at that revision still holds
// when the change counts.
func (e Editor) At(revision uint64) Editor {
	e.at = &revision
	return e
}

// Last returns the revision that the last change of this Editor, or of a copy
// of it, made; zero if there was none. A Request with it as AtLeast is answered
// only by who knows of the change.
func (e Editor) Last() uint64 {
	if e.last == nil {
		return 0
	}
	return e.last.Load()
}

// begin takes the pen: what is checked between begin and end still holds when
// the change counts, whoever else edits meanwhile.
func (e Editor) begin() (ix *index, end func(), err error) {
	if !e.g.of(e.a) {
		return nil, nil, fmt.Errorf("authz: zero editor: %w", ErrDenied)
	}
	if err := e.a.editable(); err != nil {
		return nil, nil, err
	}
	e.a.writing.Lock()
	ix = e.a.ix
	if e.at != nil && *e.at != ix.revision() {
		e.a.writing.Unlock()
		return nil, nil, fmt.Errorf("authz: change at revision %d, the current one is %d: %w", *e.at, ix.revision(), ErrConflict)
	}
	return ix, e.a.writing.Unlock, nil
}

func (e Editor) covers(r Resource) error { return e.g.Covers(Permission{writeAuthorizations}, r) }

// Assign gives a role. The Grant must cover the resource, and nobody can give
// what they do not hold: the giver needs every permission of the role on that
// resource, for as long as it is given, and must be denied none of them below
// it, or needs a role that the policy allows to hand this one out, which does
// not go to the giver. Of a giver that acts on behalf of another, both must be
// able to give. It returns the id.
func (e Editor) Assign(ctx context.Context, x Authorization) (uuid.UUID, error) {
	r, err := e.Commit(ctx, Edits{Assign: []Authorization{x}}, x.Reason)
	if err != nil {
		return uuid.Nil, err
	}
	return r.IDs[0], nil
}

// Revoke ends an Authorization. To end a deny is to give back what it took, and
// needs what giving needs. A break-glass that nobody has reviewed ends but stays
// listed. An id that is not known is ErrUnknown.
func (e Editor) Revoke(ctx context.Context, id uuid.UUID, reason string) error {
	_, err := e.Commit(ctx, Edits{Revoke: []uuid.UUID{id}}, reason)
	return err
}

// Join makes a principal a member of a team. Since a member holds what the team
// holds, the giver must be allowed to give each of those roles.
func (e Editor) Join(ctx context.Context, m Membership, reason string) error {
	_, err := e.Commit(ctx, Edits{Join: []Membership{m}}, reason)
	return err
}

// Leave ends a membership. What the team is denied was denied to the member
// too, so that leaving gives it back and needs what giving needs. A membership
// that is not known is ErrUnknown.
func (e Editor) Leave(ctx context.Context, m Membership, reason string) error {
	_, err := e.Commit(ctx, Edits{Leave: []Membership{m}}, reason)
	return err
}

// run is the way of every change by an Editor: with the pen in hand it is
// planned, checked, recorded, stored and made to count. What is refused is
// recorded.
func (e Editor) run(ctx context.Context, reason string, plan func(ix *index) (Change, error)) (Change, error) {
	c, err := e.locked(ctx, reason, plan)
	if err != nil {
		return Change{}, e.refused(ctx, c, err)
	}
	e.last.Store(c.Revision)
	e.a.announced(c.Revision)
	return c, nil
}

func (e Editor) locked(ctx context.Context, reason string, plan func(ix *index) (Change, error)) (Change, error) {
	ix, end, err := e.begin()
	if err != nil {
		return Change{}, err
	}
	defer end()
	c, err := plan(ix)
	if err != nil {
		return c, err
	}
	c.Reason = reason
	if _, err := e.check(ix, c); err != nil {
		return c, err
	}
	req := e.g.g.req
	req.Resource, req.Cause, req.AtLeast = e.on(c), e.g.g.d.ID, 0
	d := e.a.decide(ix, req)
	if !d.Allowed {
		return c, &DeniedError{req, d}
	}
	_, err = e.change(ctx, req, d, "", &c)
	return c, err
}

// on is the resource under which a change is recorded: the one on which all of
// it stands, or else the one that the Grant is for.
func (e Editor) on(c Change) Resource {
	on := Resource{}
	for _, x := range append(slices.Clone(c.Remove), c.Add...) {
		if !on.IsZero() && on != x.Resource {
			return e.g.g.req.Resource
		}
		on = x.Resource
	}
	if on.IsZero() || len(c.Join)+len(c.Leave)+len(c.Define)+len(c.Undefine) > 0 {
		return e.g.g.req.Resource
	}
	return on
}

// change records, stores and publishes a change, in this order, and returns the
// record. The caller has the pen and has checked everything.
func (e Editor) change(ctx context.Context, req Request, d Decision, prefix string, c *Change) (AuditRecord, error) {
	a := e.a
	if len(c.Reason) > 1024 {
		return AuditRecord{}, fmt.Errorf("authz: change: reason: %d bytes, 1024 at most", len(c.Reason))
	}
	ix, now := a.ix, a.now()
	d.ID = newID()
	c.Revision, c.Author, c.Time = ix.revision()+1, req.Principal, now
	r := record(now, req, d)
	r.Reason = prefix + r.Reason + c.summary()
	if err := a.keep(ctx, r, *c); err != nil {
		return r, err
	}
	a.publish(ix, *c)
	return r, nil
}

// keep makes a change durable, after its record or together with it.
func (a *Authorizer) keep(ctx context.Context, r AuditRecord, c Change) error {
	var err error
	if a.together {
		err = a.trail.commit(ctx, r, c)
	} else if err = a.trail.write(ctx, r); err != nil {
		return err
	} else {
		err = a.store.Apply(ctx, c)
	}
	if err == nil {
		return nil
	}
	// The store knows better: another process changed it, or it kept the
	// change although it failed. What cannot be read changes nothing.
	_ = a.catchUp(ctx)
	return fmt.Errorf("authz: change: %w", err)
}

// publish makes a change count that the store has.
func (a *Authorizer) publish(ix *index, c Change) { ix.apply(c) }

func (a *Authorizer) announced(revision uint64) {
	if a.announce != nil {
		a.announce(revision)
	}
}

// refused records a refusal and returns it. What is no refusal but a mistake is
// returned only, and so is what was refused since it could not be recorded.
func (e Editor) refused(ctx context.Context, c Change, err error) error {
	if !isRefusal(err) || !e.g.of(e.a) {
		return err
	}
	req := e.g.g.req
	req.Permission, req.Resource, req.Cause = Permission{writeAuthorizations}, e.on(c), e.g.g.d.ID
	return e.a.refusal(ctx, req, err)
}

func isRefusal(err error) bool {
	return errors.Is(err, ErrDenied) && !errors.Is(err, ErrAuditUnavailable)
}

func (a *Authorizer) refusal(ctx context.Context, req Request, err error) error {
	r := record(a.now(), req, Decision{ID: newID(), Principal: req.Principal, Revision: a.Revision()})
	r.Reason = "refused: " + strings.TrimPrefix(err.Error(), "authz: ")
	if failed := a.trail.write(ctx, r); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// summary says in the audit trail what is changed: names and ids only.
func (c Change) summary() string {
	var b strings.Builder
	was := byID(c.Remove)
	for _, x := range c.Add {
		if _, there := was[x.ID]; !there {
			fmt.Fprintf(&b, "; assigns %s %s to %s on %s as %s", x.Effect, x.Role, x.Principal, x.Resource, x.ID)
			continue
		}
		delete(was, x.ID)
		fmt.Fprintf(&b, "; alters %s %s of %s on %s, %s", x.Effect, x.Role, x.Principal, x.Resource, x.ID)
		if x.Pending {
			b.WriteString(", pending")
		}
		if !x.Until.IsZero() {
			fmt.Fprintf(&b, ", until %s", x.Until.UTC().Format("2006-01-02T15:04:05Z"))
		}
		if !x.ApprovedBy.IsZero() {
			fmt.Fprintf(&b, ", with consent of %s", x.ApprovedBy)
		}
	}
	for _, x := range c.Remove {
		if _, gone := was[x.ID]; gone {
			fmt.Fprintf(&b, "; revokes %s %s of %s on %s, %s", x.Effect, x.Role, x.Principal, x.Resource, x.ID)
		}
	}
	for _, m := range c.Join {
		fmt.Fprintf(&b, "; %s joins %s", m.Member, m.Team)
	}
	for _, m := range c.Leave {
		fmt.Fprintf(&b, "; %s leaves %s", m.Member, m.Team)
	}
	for _, d := range c.Define {
		fmt.Fprintf(&b, "; defines %s", d.Role)
	}
	for _, d := range c.Undefine {
		if !slices.ContainsFunc(c.Define, func(n RoleDefinition) bool { return n.Role == d.Role }) {
			fmt.Fprintf(&b, "; undefines %s", d.Role)
		}
	}
	return b.String()
}

func byID(xs []Authorization) map[uuid.UUID]Authorization {
	out := make(map[uuid.UUID]Authorization, len(xs))
	for _, x := range xs {
		out[x.ID] = x
	}
	return out
}

// Authorizations returns what stands on a resource, above it or below it,
// oldest first, for the holder of a Grant of authz.authorizations.read on it.
func (a *Authorizer) Authorizations(g Grant, under Resource) ([]Authorization, error) {
	if !g.of(a) {
		return nil, fmt.Errorf("authz: list: zero grant: %w", ErrDenied)
	}
	if err := a.editable(); err != nil {
		return nil, err
	}
	if err := g.Covers(Permission{readAuthorizations}, under); err != nil {
		return nil, err
	}
	var out []Authorization
	for x := range a.ix.each() {
		if under.Contains(x.Resource) || x.Resource.Contains(under) {
			out = append(out, x)
		}
	}
	oldestFirst(out)
	return out, nil
}

const readAuthorizations = "authz.authorizations.read"

func oldestFirst(xs []Authorization) {
	slices.SortFunc(xs, func(x, y Authorization) int { return slices.Compare(x.ID[:], y.ID[:]) })
}
