package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Limits on roles for a limited time.
const (
	maxElevation  = 24 * time.Hour // that is asked for
	maxBreakGlass = time.Hour
	maxWait       = 24 * time.Hour // for a second person
	maxOpen       = 10             // of one principal, pending or not reviewed
)

const (
	breakGlassReason  = "break-glass: "
	approveElevations = "authz.elevations.approve" // a policy may have it
)

// Elevation asks for a role for a limited time.
type Elevation struct {
	Principal Principal // a user or a service
	Role      Role
	Resource  Resource
	For       time.Duration // at most 24 hours; BreakGlass: at most one hour, zero is one hour
	Reason    string        // must not be empty
}

// Ask makes a pending Authorization, which gives nothing until another person
// approves it within a day. The policy must say, in an e row, that a role which
// the principal holds on the resource may ask for this one; otherwise it is
// ErrDenied. It is recorded either way. At most ten of a principal may wait.
func (a *Authorizer) Ask(ctx context.Context, el Elevation) (uuid.UUID, error) {
	if el.For <= 0 || el.For > maxElevation {
		return uuid.Nil, fmt.Errorf("authz: ask: for %v: want more than nothing and %v at most", el.For, maxElevation)
	}
	id, _, err := a.elevate(ctx, el, false)
	return id, err
}

// BreakGlass gives a role at once, for an hour at most, without a second person.
// The policy must say, in a b row, that a role which the principal holds on the
// resource may take this one; otherwise it is ErrDenied. It is recorded before it
// counts, with a reason that begins with "break-glass: ", Options.Alarm is called
// when it counts, and it stays listed by Elevations until another person has
// reviewed it. A deny and what the policy keeps apart still hold.
func (a *Authorizer) BreakGlass(ctx context.Context, el Elevation) (uuid.UUID, error) {
	if el.For == 0 {
		el.For = maxBreakGlass
	}
	if el.For < 0 || el.For > maxBreakGlass {
		return uuid.Nil, fmt.Errorf("authz: break-glass: for %v: %v at most", el.For, maxBreakGlass)
	}
	id, r, err := a.elevate(ctx, el, true)
	if err == nil && a.alarm != nil {
		go func() {
			defer func() { _ = recover() }() // an alarm that fails must not end the process
			a.alarm(r)
		}()
	}
	return id, err
}

func (a *Authorizer) elevate(ctx context.Context, el Elevation, emergency bool) (uuid.UUID, AuditRecord, error) {
	if a == nil || a.ix == nil {
		return uuid.Nil, AuditRecord{}, fmt.Errorf("authz: zero authorizer: %w", ErrDenied)
	}
	if el.Principal.IsTeam() || strings.TrimSpace(el.Reason) == "" {
		return uuid.Nil, AuditRecord{}, fmt.Errorf("authz: elevation: want a user or a service, and a reason")
	}
	req := Request{Principal: el.Principal, Permission: Permission{writeAuthorizations}, Resource: el.Resource}
	x := Authorization{ID: newID(), Principal: el.Principal, Role: el.Role, Resource: el.Resource, Effect: Allow, GrantedBy: el.Principal, Reason: el.Reason}
	c := Change{Reason: el.Reason}
	prefix := ""
	if emergency {
		prefix = breakGlassReason
		x.Reason, c.Reason = prefix+x.Reason, prefix+c.Reason
	}
	r, err := a.elevated(ctx, req, x, &c, el.For, prefix)
	if err != nil {
		if isRefusal(err) {
			err = a.refusal(ctx, req, err)
		}
		return uuid.Nil, r, err
	}
	a.announced(c.Revision)
	return x.ID, r, nil
}

func (a *Authorizer) elevated(ctx context.Context, req Request, x Authorization, c *Change, length time.Duration, prefix string) (AuditRecord, error) {
	a.writing.Lock()
	defer a.writing.Unlock()
	ix, now := a.ix, a.now()
	x.Until = now.Add(length)
	rows := ix.cat().breakGlass
	if prefix == "" {
		x.Pending, x.From, rows = true, now, ix.cat().elevate
	}
	c.Add = []Authorization{x}
	if err := a.valid(ix, *c); err != nil {
		return AuditRecord{}, err
	}
	d, ok := entitled(ix, x, rows)
	if !ok {
		return AuditRecord{}, fmt.Errorf("authz: %s on %s: %s holds no role that leads to it: %w", x.Role, x.Resource, x.Principal, ErrDenied)
	}
	n := 0
	for _, h := range ix.heldBy(x.Principal) {
		if h.waits(now) || h.unreviewed() {
			n++
		}
	}
	if n >= maxOpen {
		return AuditRecord{}, fmt.Errorf("authz: %s: %d elevations wait for approval or review, %d at most: %w", x.Principal, n, maxOpen, ErrDenied)
	}
	if err := separated(ix, after(ix, *c), *c); err != nil {
		return AuditRecord{}, err
	}
	return Editor{a: a}.change(ctx, req, d, prefix, c)
}

// entitled returns by what a principal may ask for a role, or take it.
func entitled(ix state, x Authorization, rows map[string][]string) (Decision, bool) {
	now := ix.time()
	for h := range holdings(ix, x.Principal) {
		if h.Effect == Allow && !h.Pending && h.active(now) && h.Condition == "" && h.Resource.Contains(x.Resource) &&
			slices.Contains(rows[h.Role.name], x.Role.name) && !holdsRole(ix, x.Principal, h.Role.name, Deny, x.Resource) {
			return Decision{Allowed: true, Code: AllowedBy, Principal: x.Principal, Through: h.Principal, Authorization: h.ID, Role: h.Role, On: h.Resource, Revision: ix.revision()}, true
		}
	}
	return Decision{}, false
}

// waits says that a second person can approve it still.
func (a Authorization) waits(now time.Time) bool { return a.Pending && now.Before(a.From.Add(maxWait)) }

// emergency says that it was taken and not given.
func (a Authorization) emergency() bool {
	return a.GrantedBy == a.Principal && !a.Pending && strings.HasPrefix(a.Reason, breakGlassReason)
}

func (a Authorization) unreviewed() bool { return a.emergency() && a.ApprovedBy.IsZero() }

// remains returns what is left of an Authorization when it is revoked: nothing,
// or what has to be reviewed, ended.
func remains(x Authorization, now time.Time) []Authorization {
	if !x.unreviewed() {
		return nil
	}
	if x.active(now) {
		x.Until = now
	}
	return []Authorization{x}
}

// Approve lets a pending Authorization begin: from now for as long as was asked.
// It takes another person than the one who asked, who may give the role or holds
// authz.elevations.approve there, if the policy has that permission; and who
// asked must still hold what entitled them. The reason is the approver's.
func (e Editor) Approve(ctx context.Context, id uuid.UUID, reason string) error {
	_, err := e.run(ctx, reason, func(ix *index) (Change, error) {
		x, err := pending(ix, "approve", id)
		if err != nil {
			return Change{}, err
		}
		now := ix.time()
		if !x.waits(now) {
			return Change{Remove: []Authorization{x}}, fmt.Errorf("authz: approve %s: it has waited for more than %v: ask anew: %w", id, maxWait, ErrDenied)
		}
		y := x
		y.Pending, y.From, y.Until, y.ApprovedBy = false, now, now.Add(x.Until.Sub(x.From)), e.g.g.req.Principal
		return Change{Remove: []Authorization{x}, Add: []Authorization{y}}, nil
	})
	return err
}

// Reject removes a pending Authorization.
func (e Editor) Reject(ctx context.Context, id uuid.UUID, reason string) error {
	_, err := e.run(ctx, reason, func(ix *index) (Change, error) {
		x, err := pending(ix, "reject", id)
		return Change{Remove: []Authorization{x}}, err
	})
	return err
}

func pending(ix *index, verb string, id uuid.UUID) (Authorization, error) {
	x, _ := ix.get(id)
	if !x.Pending {
		return x, fmt.Errorf("authz: %s %s: nothing pending: %w", verb, id, ErrUnknown)
	}
	return x, nil
}

// Review says that another person than the one who took a role in an emergency
// has looked at it. It does not end it. What waits for no review is ErrUnknown.
func (e Editor) Review(ctx context.Context, id uuid.UUID, reason string) error {
	_, err := e.run(ctx, reason, func(ix *index) (Change, error) {
		x, _ := ix.get(id)
		if !x.unreviewed() {
			return Change{}, fmt.Errorf("authz: review %s: nothing to review: %w", id, ErrUnknown)
		}
		y := x
		y.ApprovedBy = e.g.g.req.Principal
		return Change{Remove: []Authorization{x}, Add: []Authorization{y}}, nil
	})
	return err
}

// mayApprove: a second person, who may give the role or may approve, and an
// asker who is still entitled.
func (e Editor) mayApprove(ix, next state, x Authorization, g gift) error {
	if slices.Contains(e.givers(), x.Principal) {
		return fmt.Errorf("authz: approve %s: %s has asked for it: it takes a second person: %w", x.ID, x.Principal, ErrDenied)
	}
	if _, ok := entitled(ix, x, ix.cat().elevate); !ok {
		return fmt.Errorf("authz: approve %s: %s holds no role that leads to it any more: %w", x.ID, x.Principal, ErrDenied)
	}
	if bit, there := ix.cat().number[approveElevations]; there {
		may := func(p Principal) bool { return ix.decide(p, bit, x.Resource).Allowed }
		if !slices.ContainsFunc(e.givers(), func(p Principal) bool { return !may(p) }) {
			return nil
		}
	}
	return e.mayGive(ix, next, g)
}

// mayReview: what was taken in an emergency grows no longer, and is reviewed by
// a second person.
func (e Editor) mayReview(x, y Authorization) error {
	switch {
	case x.emergency() && y.wider(x):
		return fmt.Errorf("authz: %s: was taken in an emergency and does not grow: %w", x.ID, ErrDenied)
	case x.unreviewed() && !y.unreviewed() && slices.Contains(e.givers(), x.Principal):
		return fmt.Errorf("authz: review %s: %s has taken it: it takes a second person: %w", x.ID, x.Principal, ErrDenied)
	}
	return nil
}

// Elevations returns what waits for a second person, pending or to be reviewed,
// oldest first, on what a Grant of authz.authorizations.read covers.
func (a *Authorizer) Elevations(g Grant) ([]Authorization, error) {
	if !g.of(a) {
		return nil, fmt.Errorf("authz: elevations: zero grant: %w", ErrDenied)
	}
	read := Permission{readAuthorizations}
	if err := g.Covers(read, g.g.req.Resource); err != nil {
		return nil, err
	}
	var out []Authorization
	now := a.now()
	for x := range a.ix.each() {
		if (x.waits(now) || x.unreviewed()) && g.Covers(read, x.Resource) == nil {
			out = append(out, x)
		}
	}
	oldestFirst(out)
	return out, nil
}
