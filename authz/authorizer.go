package authz

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Options of an Authorizer. The nil Options work: assignments and audit records
// are kept in memory.
type Options struct {
	Store        Store            // where Authorizations are kept; nil: in memory
	Audit        Sink             // where decisions are recorded; nil: in memory, the newest 100,000
	Clock        func() time.Time // nil: time.Now
	GrantTTL     time.Duration    // how long a Grant lasts at most; zero: 10 minutes
	AuditTimeout time.Duration    // how long recording a decision may take before it is refused; zero: 2 seconds

	// Seed is what an empty Store begins with: the first administrator and
	// the workers of a new installation. Whoever owns the process decides
	// it; a Store that holds anything is left alone.
	Seed        []Authorization
	SeedMembers []Membership
}

// Authorizer answers requests. Safe for concurrent use; reading never waits for
// writing.
type Authorizer struct {
	cat     *catalogue
	meaning *meaning
	ix      *index
	store   Store
	trail   *trail
	now     func() time.Time
	ttl     time.Duration

	writing sync.Mutex // one change at a time
}

// New makes an Authorizer from a policy: model.conf, permissions.csv and
// roles.csv in the given file system, as package policy ships them. A policy
// that could be misread is refused with file, line and fix.
func New(ctx context.Context, policy fs.FS, opts *Options) (*Authorizer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Store == nil {
		o.Store = &memoryStore{}
	}
	if o.Audit == nil {
		o.Audit = NewMemory(0)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.GrantTTL <= 0 {
		o.GrantTTL = 10 * time.Minute
	}
	if o.AuditTimeout <= 0 {
		o.AuditTimeout = 2 * time.Second
	}
	cat, err := readPolicy(policy)
	if err != nil {
		return nil, err
	}
	m, err := newMeaning(cat)
	if err != nil {
		return nil, err
	}
	t, err := newTrail(ctx, o.Audit, o.AuditTimeout)
	if err != nil {
		return nil, err
	}
	a := &Authorizer{cat: cat, meaning: m, store: o.Store, trail: t, now: o.Clock, ttl: o.GrantTTL}
	if err := a.load(ctx); err != nil {
		return nil, fmt.Errorf("authz: load assignments: %w", err)
	}
	if ix := a.ix; ix.revision() == 0 && len(o.Seed)+len(o.SeedMembers) > 0 {
		c := Change{Revision: 1, Reason: "seed", Time: o.Clock(), Add: slices.Clone(o.Seed), Join: o.SeedMembers}
		for i := range c.Add {
			if c.Add[i].ID == uuid.Nil {
				c.Add[i].ID = newID()
			}
		}
		if err := a.valid(ix, c); err != nil {
			return nil, err
		}
		if err := a.store.Apply(ctx, c); err != nil {
			return nil, fmt.Errorf("authz: seed: %w", err)
		}
		ix.apply(c)
	}
	return a, nil
}

// load reads everything from the store and makes it what counts. What cannot be
// written must not be loaded either, since the index would cut it off or
// confuse it.
func (a *Authorizer) load(ctx context.Context) error {
	var all []Authorization
	s, err := a.store.Load(ctx, func(x Authorization) error { all = append(all, x); return nil })
	if err != nil {
		return err
	}
	empty := newIndex(a.cat, nil, nil, 0, a.now)
	c := Change{Revision: s.Revision, Add: all, Join: s.Memberships, Define: s.Roles}
	if err := a.valid(empty, c); err != nil {
		return err
	}
	a.ix = empty.apply(c)
	return nil
}

// valid checks a change against what it is made to.
func (a *Authorizer) valid(ix *index, c Change) error {
	gone := make(map[uuid.UUID]bool, len(c.Remove))
	for _, x := range c.Remove {
		gone[x.ID] = true
	}
	ids := make(map[uuid.UUID]bool, len(c.Add))
	for _, x := range c.Add {
		if err := a.known(x); err != nil {
			return fmt.Errorf("%s: %w", x.ID, err)
		}
		if _, there := ix.get(x.ID); x.ID == uuid.Nil || ids[x.ID] || there && !gone[x.ID] {
			return fmt.Errorf("authz: authorization: id %s: missing or used twice", x.ID)
		}
		ids[x.ID] = true
	}
	if err := ix.fits(c); err != nil {
		return err
	}
	if len(c.Join) == 0 {
		return nil
	}
	for _, m := range c.Join {
		if err := m.valid(); err != nil {
			return err
		}
	}
	return nested(c.apply(Assignments{Memberships: ix.memberships()}).Memberships)
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// known checks an Authorization against the policy.
func (a *Authorizer) known(x Authorization) error {
	if err := x.valid(); err != nil {
		return err
	}
	if a.cat.sets[x.Role.name] == nil {
		return fmt.Errorf("authz: authorization: role %s: %w to the policy", x.Role, ErrUnknown)
	}
	return nil
}

// Check says whether a request would be allowed. It records nothing, hands over
// nothing and does not allocate. The error is for requests that are no
// questions at all, and is then ErrDenied as the Decision is a refusal.
func (a *Authorizer) Check(ctx context.Context, req Request) (Decision, error) {
	if a == nil || a.ix == nil {
		return Decision{}, ErrDenied
	}
	if err := ctx.Err(); err != nil {
		return Decision{}, err
	}
	d := a.decide(a.ix, req)
	if d.Code == BadRequest {
		return d, errIncomplete
	}
	return d, nil
}

var errIncomplete = fmt.Errorf("authz: check: principal, permission or resource is missing: %w", ErrDenied)

func (a *Authorizer) decide(ix *index, req Request) Decision {
	if req.Principal.name == "" || req.Permission.name == "" || req.Resource.path == "" {
		return Decision{Code: BadRequest, Revision: ix.revision()}
	}
	bit, ok := a.cat.number[req.Permission.name]
	if !ok {
		return Decision{Code: UnknownPermission, Principal: req.Principal, Revision: ix.revision()}
	}
	d := ix.decide(req.Principal, bit, req.Resource)
	if !d.Allowed || req.OnBehalfOf.name == "" {
		return d
	}
	if o := ix.decide(req.OnBehalfOf, bit, req.Resource); !o.Allowed {
		return o
	}
	return d
}

// Authorize decides, records the decision, and returns a Grant if it was
// allowed. A refusal is recorded too and is a *DeniedError. If the record
// cannot be written in time the error is ErrAuditUnavailable and there is no
// Grant, whatever the decision was.
func (a *Authorizer) Authorize(ctx context.Context, req Request) (Grant, error) {
	if a == nil || a.ix == nil {
		return Grant{}, fmt.Errorf("authz: zero authorizer: %w", ErrDenied)
	}
	ix := a.ix
	d := a.decide(ix, req)
	d.ID = newID()
	now := a.now()
	if err := a.trail.write(ctx, record(now, req, d)); err != nil {
		return Grant{}, err
	}
	if !d.Allowed {
		return Grant{}, &DeniedError{req, d}
	}
	return a.mint(req, d, now), nil
}

// Permissions returns what the policy knows, with a line of description each.
func (a *Authorizer) Permissions() iter.Seq2[Permission, string] {
	return func(yield func(Permission, string) bool) {
		if a == nil || a.cat == nil {
			return
		}
		for _, p := range a.cat.permissions {
			if !yield(Permission{p}, a.cat.about[p]) {
				return
			}
		}
	}
}

// Roles returns the roles of the policy, each with the permissions it carries.
func (a *Authorizer) Roles() iter.Seq2[Role, []Permission] {
	return func(yield func(Role, []Permission) bool) {
		if a == nil || a.cat == nil {
			return
		}
		for _, r := range a.cat.roles {
			var ps []Permission
			for i, p := range a.cat.permissions {
				if a.cat.sets[r].has(i) {
					ps = append(ps, Permission{p})
				}
			}
			if !yield(Role{r}, ps) {
				return
			}
		}
	}
}
