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
	Audit        Sink             // where decisions are recorded; nil: the Store if it is a Committer, else in memory, the newest 100,000
	Clock        func() time.Time // nil: time.Now
	GrantTTL     time.Duration    // how long a Grant lasts at most; zero: 10 minutes
	AuditTimeout time.Duration    // how long recording a decision may take before it is refused; zero: 2 seconds

	// Announce is called with the new revision after each change that was
	// made here and is durable, so that other processes can be woken. It
	// must not block. Nil: nobody is told.
	Announce func(revision uint64)
	// Alarm is called with the record of each break-glass, in a goroutine of
	// its own: nothing waits for it. The record is the one that was written,
	// without its place in the chain. Nil: no alarm.
	Alarm func(AuditRecord)
	// SampleAllowed is, for a permission that is used very often, the share of
	// its allowed decisions that is recorded, more than 0 and at most 1; nil,
	// and a permission that is not named: all. Refusals and changes of who may
	// do what are always recorded, and a permission that the policy marks as
	// personal cannot be named. A decision that is left out has no ID, asks
	// nothing of the Sink, even one that fails, and is counted: the next record
	// of its permission that is written says how many. What a process has left
	// out since its last one is not told when it ends.
	SampleAllowed map[Permission]float64

	// Seed is what an empty Store begins with: the first administrator and
	// the workers of a new installation. Whoever owns the process decides
	// it; a Store that holds anything is left alone.
	Seed        []Authorization
	SeedMembers []Membership
}

// Authorizer answers requests. Safe for concurrent use; reading never waits for
// writing.
type Authorizer struct {
	cat      *catalogue
	meaning  *meaning
	ix       *index
	foreign  *foreignModel // nil unless the policy brings a model of its own
	store    Store
	trail    *trail
	together bool // the Store is the Sink too
	sample   *sampler
	now      func() time.Time
	ttl      time.Duration

	announce func(uint64)
	alarm    func(AuditRecord)

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
	both, together := o.Store.(Committer)
	if together = together && (o.Audit == nil || o.Audit == Sink(both)); together {
		o.Audit = both
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
	if f, err := foreignPolicy(policy); err != nil {
		return nil, err
	} else if f != nil {
		return newForeignAuthorizer(ctx, f, o)
	}
	cat, err := readPolicy(policy)
	if err != nil {
		return nil, err
	}
	sample, err := newSampler(cat, o.SampleAllowed)
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
	a := &Authorizer{cat: cat, meaning: m, store: o.Store, trail: t, together: together, sample: sample, now: o.Clock, ttl: o.GrantTTL, announce: o.Announce, alarm: o.Alarm}
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

// load makes what the store keeps what counts. What cannot be written must not
// be loaded either, since the index would cut it off or confuse it.
func (a *Authorizer) load(ctx context.Context) error {
	if a.ix == nil {
		return a.fill(ctx)
	}
	var c Change
	here := make(map[uuid.UUID]bool)
	s, err := a.store.Load(ctx, func(x Authorization) error {
		old, ok := a.ix.get(x.ID)
		if here[x.ID] = true; ok && old == x {
			return nil
		}
		if ok {
			c.Remove = append(c.Remove, old)
		}
		c.Add = append(c.Add, x)
		return nil
	})
	if err != nil {
		return err
	}
	for x := range a.ix.each() {
		if !here[x.ID] {
			c.Remove = append(c.Remove, x)
		}
	}
	c.Revision, c.Join, c.Define = s.Revision, s.Memberships, s.Roles
	stay := make(map[Membership]bool, len(s.Memberships))
	for _, m := range s.Memberships {
		stay[m] = true
	}
	for _, m := range a.ix.memberships() {
		if !stay[m] {
			c.Leave = append(c.Leave, m)
		}
	}
	for _, d := range a.ix.roles() {
		if !slices.ContainsFunc(s.Roles, func(n RoleDefinition) bool { return n.Role == d.Role }) {
			c.Undefine = append(c.Undefine, d)
		}
	}
	if err := a.valid(a.ix, c); err != nil {
		return err
	}
	a.ix.apply(c)
	return nil
}

// fill loads into a new index.
func (a *Authorizer) fill(ctx context.Context) error {
	ix := newIndex(a.cat, nil, nil, 0, a.now)
	f := &filling{ix: ix, c: a.cat}
	var later []Authorization // of roles that the policy does not have
	s, err := a.store.Load(ctx, func(x Authorization) error {
		known, err := f.take(&x)
		if err == nil && !known {
			later = append(later, x)
		}
		return err
	})
	if err != nil {
		return err
	}
	c := Change{Revision: s.Revision, Join: s.Memberships, Define: s.Roles}
	if err := a.valid(ix, c); err != nil {
		return err
	}
	ix.apply(c)
	f.c = ix.cat()
	for i := range later {
		if err := f.add(&later[i]); err != nil {
			return err
		}
	}
	if err := f.done(); err != nil {
		return err
	}
	a.ix = ix
	return nil
}

// valid checks a change against what it is made to.
func (a *Authorizer) valid(ix *index, c Change) error {
	cat, err := validRoles(ix, c)
	if err != nil {
		return err
	}
	gone := make(map[uuid.UUID]bool, len(c.Remove))
	for _, x := range c.Remove {
		gone[x.ID] = true
	}
	ids := make(map[uuid.UUID]bool, len(c.Add))
	for _, x := range c.Add {
		if err := cat.known(x); err != nil {
			return fmt.Errorf("%s: %w", x.ID, err)
		}
		if x.ID == uuid.Nil || ids[x.ID] || ix.has(x.ID) && !gone[x.ID] {
			return usedTwice(x.ID)
		}
		ids[x.ID] = true
	}
	if err := ix.fits(c); err != nil {
		return err
	}
	for _, m := range c.Join {
		if err := m.valid(); err != nil {
			return err
		}
	}
	return ix.nested(c)
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// known checks an Authorization against the roles there are.
func (c *catalogue) known(x Authorization) error {
	if err := x.valid(); err != nil {
		return err
	}
	if c.sets[x.Role.name] == nil {
		return fmt.Errorf("authz: authorization: role %s: %w to the policy", x.Role, ErrUnknown)
	}
	if x.Condition == "" {
		return nil
	}
	_, err := compileCondition(x.Condition)
	return err
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
	d := a.decide(a.fresh(ctx, req), req)
	switch d.Code {
	case BadRequest:
		return d, errIncomplete
	case Stale:
		return d, errStale
	}
	return d, nil
}

var errStale = fmt.Errorf("authz: check: %w", ErrStale)

var errIncomplete = fmt.Errorf("authz: check: principal, permission or resource is missing: %w", ErrDenied)

func (a *Authorizer) decide(ix *index, req Request) Decision {
	if a.foreign != nil {
		return a.foreign.decide(req)
	}
	if req.Principal.name == "" || req.Permission.name == "" || req.Resource.path == "" {
		return Decision{Code: BadRequest, Revision: ix.revision()}
	}
	if req.AtLeast > ix.revision() {
		return Decision{Code: Stale, Principal: req.Principal, Revision: ix.revision()}
	}
	bit, ok := ix.cat().number[req.Permission.name]
	if !ok {
		return Decision{Code: UnknownPermission, Principal: req.Principal, Revision: ix.revision()}
	}
	for {
		d := ix.decideIn(req.Principal, bit, req.Resource, req.Context)
		if !d.Allowed || req.OnBehalfOf.name == "" {
			return d
		}
		o := ix.decideIn(req.OnBehalfOf, bit, req.Resource, req.Context)
		switch {
		case o.Revision != d.Revision: // changed in between: both from one revision
		case o.Allowed:
			return d
		default:
			return o
		}
	}
}

// Authorize decides, records the decision, and returns a Grant if it was
// allowed. A refusal is recorded too and is a *DeniedError. If the record
// cannot be written in time the error is ErrAuditUnavailable and there is no
// Grant, whatever the decision was. Options.SampleAllowed can leave allowed
// decisions out of the record.
func (a *Authorizer) Authorize(ctx context.Context, req Request) (Grant, error) {
	if a == nil || a.ix == nil {
		return Grant{}, fmt.Errorf("authz: zero authorizer: %w", ErrDenied)
	}
	d := a.decide(a.fresh(ctx, req), req)
	now := a.now()
	if a.sample.skip(d, req.Permission) {
		return a.mint(req, d, now), nil
	}
	d.ID = newID()
	r := record(now, req, d)
	settle := a.sample.note(&r)
	err := a.trail.write(ctx, r)
	settle(err)
	if err != nil {
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

// Roles returns the roles of the policy and those that were defined beside them,
// each with the permissions it carries.
func (a *Authorizer) Roles() iter.Seq2[Role, []Permission] {
	return func(yield func(Role, []Permission) bool) {
		if a == nil || a.ix == nil {
			return
		}
		cat := a.ix.cat()
		for _, r := range cat.roles {
			var ps []Permission
			for i, p := range cat.permissions {
				if cat.sets[r].has(i) {
					ps = append(ps, Permission{p})
				}
			}
			if !yield(Role{r}, ps) {
				return
			}
		}
	}
}
