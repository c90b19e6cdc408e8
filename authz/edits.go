package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Edits are made together or not at all, and are one revision. What is given is
// judged by what the giver held before, so that no edit paves the way for
// another.
type Edits struct {
	Assign   []Authorization // ids are made, not taken
	Revoke   []uuid.UUID
	Expire   []Expiry
	Join     []Membership
	Leave    []Membership
	Define   []RoleDefinition
	Undefine []Role
}

// Expiry is a new end of an Authorization; the zero Until is none.
type Expiry struct {
	ID    uuid.UUID
	Until time.Time
}

// Receipt says what a change made.
type Receipt struct {
	Revision uint64      // to be demanded by Request.AtLeast
	IDs      []uuid.UUID // of what was assigned, in that order
}

// maxEdits bounds what is checked and stored at once.
const maxEdits = 10_000

// Commit makes edits, all or none, as one revision. The errors are those of the
// edits when they are made one by one: ErrDenied, ErrUnknown, ErrConflict,
// ErrSeparation, ErrLastAdministrator, ErrAuditUnavailable.
func (e Editor) Commit(ctx context.Context, what Edits, reason string) (Receipt, error) {
	c, err := e.run(ctx, reason, func(ix *index) (Change, error) { return e.plan(ix, what) })
	if err != nil {
		return Receipt{}, err
	}
	out := Receipt{Revision: c.Revision}
	for _, x := range c.Add[:len(what.Assign)] {
		out.IDs = append(out.IDs, x.ID)
	}
	return out, nil
}

// Expire changes when an Authorization ends; the zero time is never, a time that
// has passed is now. To shorten an allow is to take, to lengthen it is to give
// and needs what giving needs; with a deny it is the other way round, and either
// way needs what giving needs. A break-glass is never lengthened.
func (e Editor) Expire(ctx context.Context, id uuid.UUID, until time.Time, reason string) error {
	_, err := e.Commit(ctx, Edits{Expire: []Expiry{{id, until}}}, reason)
	return err
}

// plan turns edits into the change that they are: whole Authorizations for ids,
// nothing that is so already.
func (e Editor) plan(ix *index, what Edits) (Change, error) {
	var c Change
	if n := len(what.Assign) + len(what.Revoke) + len(what.Expire) + len(what.Join) + len(what.Leave) + len(what.Define) + len(what.Undefine); n > maxEdits {
		return c, fmt.Errorf("authz: change: %d edits, %d at most", n, maxEdits)
	}
	for _, x := range what.Assign {
		if x.Pending || !x.ApprovedBy.IsZero() || strings.HasPrefix(x.Reason, breakGlassReason) {
			return c, fmt.Errorf("authz: assign: pending, approved or break-glass: only who asks for a role makes it that: %w", ErrDenied)
		}
		x.ID, x.GrantedBy = newID(), e.g.g.req.Principal
		c.Add = append(c.Add, x)
	}
	now, seen := ix.now(), make(map[uuid.UUID]bool)
	known := func(verb string, id uuid.UUID) (Authorization, error) {
		x, ok := ix.get(id)
		switch {
		case !ok:
			return x, fmt.Errorf("authz: %s %s: %w", verb, id, ErrUnknown)
		case seen[id]:
			return x, fmt.Errorf("authz: %s %s: named twice", verb, id)
		}
		seen[id] = true
		c.Remove = append(c.Remove, x)
		return x, nil
	}
	for _, id := range what.Revoke {
		x, err := known("revoke", id)
		if err != nil {
			return c, err
		}
		if x.unreviewed() && !x.active(now) {
			return c, fmt.Errorf("authz: revoke %s: it has ended and waits for its review: %w", id, ErrDenied)
		}
		c.Add = append(c.Add, remains(x, now)...)
	}
	for _, to := range what.Expire {
		x, err := known("expire", to.ID)
		if err != nil {
			return c, err
		}
		if x.Pending {
			return c, fmt.Errorf("authz: expire %s: it is pending: approve or reject it", x.ID)
		}
		x.Until = to.Until
		c.Add = append(c.Add, x)
	}
	for _, m := range what.Join {
		if !ix.isMember(m) && !slices.Contains(c.Join, m) {
			c.Join = append(c.Join, m)
		}
	}
	for _, m := range what.Leave {
		if !ix.isMember(m) {
			return c, fmt.Errorf("authz: membership of %s in %s: %w", m.Member, m.Team, ErrUnknown)
		}
		c.Leave = append(c.Leave, m)
	}
	return c, planRoles(ix, what, &c)
}
