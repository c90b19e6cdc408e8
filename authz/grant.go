package authz

import (
	"context"
	"fmt"
	"time"
)

// Grant proves that a Request was allowed and recorded, or was left out of the
// record by Options.SampleAllowed and counted. Only Authorize makes
// one; the zero Grant covers nothing. A Grant may be copied and used by several
// goroutines, and is good for nothing in another process.
type Grant struct{ g *grant }

type grant struct {
	a       *Authorizer
	req     Request
	d       Decision
	expires time.Time
}

func (a *Authorizer) mint(req Request, d Decision, now time.Time) Grant {
	return Grant{&grant{a: a, req: req, d: d, expires: now.Add(a.ttl)}}
}

// Covers is nil while the Grant allows a permission on a resource, which must
// be the one granted or below it. Otherwise it says why not with an error that
// is ErrDenied. The decision is made anew at every use, so that a revocation,
// the end of what was held or the beginning of a deny ends a live Grant at its
// next use.
func (g Grant) Covers(p Permission, r Resource) error {
	req, d, err := g.again(p, r)
	if err == nil && !d.Allowed {
		return &DeniedError{req, d}
	}
	return err
}

// Use is Covers for something that is about to be done, and a record of it that
// is durable before Use returns: who, for whom, on which resource and, as its
// reason begins, what. That is one short word for the doing, of letters, digits,
// colon, dot and hyphen; never content. No share of Options.SampleAllowed leaves
// it out. What was refused is recorded too, unless the Grant is for something
// else or has ended. Without a record nothing may be done: an error is
// ErrDenied, or ErrAuditUnavailable after Options.AuditTimeout at most.
func (g Grant) Use(ctx context.Context, p Permission, r Resource, what string) error {
	if !short(what) {
		return fmt.Errorf("authz: use: what: want 1 to 64 letters, digits, colons, dots or hyphens: %w", ErrDenied)
	}
	req, d, err := g.again(p, r)
	if err != nil {
		return err
	}
	req.Cause, d.ID = g.g.d.ID, newID()
	rec := record(g.g.a.now(), req, d)
	rec.Reason = what + ": " + rec.Reason
	if err := g.g.a.trail.write(ctx, rec); err != nil {
		return err
	}
	if !d.Allowed {
		return &DeniedError{req, d}
	}
	return nil
}

func short(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ':' || c == '.' || c == '-') {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// again decides anew on what the Grant is for.
func (g Grant) again(p Permission, r Resource) (Request, Decision, error) {
	fail := func(err error) (Request, Decision, error) { return Request{}, Decision{}, err }
	switch {
	case g.g == nil:
		return fail(fmt.Errorf("authz: zero grant: %w", ErrDenied))
	case p != g.g.req.Permission || p.name == "":
		return fail(fmt.Errorf("authz: grant is for %s, not for %s: %w", g.g.req.Permission, p, ErrDenied))
	case !g.g.req.Resource.Contains(r):
		return fail(fmt.Errorf("authz: grant is for %s, not for %s: %w", g.g.req.Resource, r, ErrDenied))
	case !g.g.a.now().Before(g.g.expires):
		return fail(fmt.Errorf("authz: grant for %s on %s has ended: %w", p, g.g.req.Resource, ErrDenied))
	}
	// A deny may stand below the resource that was granted, so a narrower
	// use is a question of its own.
	req := g.g.req
	req.Resource = r
	return req, g.g.a.decide(g.g.a.ix, req), nil
}

// Decision returns what was decided; the zero Decision for the zero Grant.
func (g Grant) Decision() Decision {
	if g.g == nil {
		return Decision{}
	}
	return g.g.d
}

// Principal returns who was allowed to act, nobody for the zero Grant.
func (g Grant) Principal() Principal {
	if g.g == nil {
		return Principal{}
	}
	return g.g.req.Principal
}

// String names permission and resource.
func (g Grant) String() string {
	if g.g == nil {
		return "no grant"
	}
	return fmt.Sprintf("grant of %s on %s", g.g.req.Permission, g.g.req.Resource)
}
