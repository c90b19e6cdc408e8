package authz

import (
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

// of says that the Grant is one, and of this Authorizer.
func (g Grant) of(a *Authorizer) bool { return g.g != nil && g.g.a == a }

func (a *Authorizer) mint(req Request, d Decision, now time.Time) Grant {
	return Grant{&grant{a: a, req: req, d: d, expires: now.Add(a.ttl)}}
}

// Covers is nil while the Grant allows a permission on a resource, which must
// be the one granted or below it. Otherwise it says why not with an error that
// is ErrDenied. The decision is made anew at every use, so that a revocation,
// the end of what was held or the beginning of a deny ends a live Grant at its
// next use.
func (g Grant) Covers(p Permission, r Resource) error {
	switch {
	case g.g == nil:
		return fmt.Errorf("authz: zero grant: %w", ErrDenied)
	case p != g.g.req.Permission || p.name == "":
		return fmt.Errorf("authz: grant is for %s, not for %s: %w", g.g.req.Permission, p, ErrDenied)
	case !g.g.req.Resource.Contains(r):
		return fmt.Errorf("authz: grant is for %s, not for %s: %w", g.g.req.Resource, r, ErrDenied)
	case !g.g.a.now().Before(g.g.expires):
		return fmt.Errorf("authz: grant for %s on %s has ended: %w", p, g.g.req.Resource, ErrDenied)
	}
	// A deny may stand below the resource that was granted, so a narrower
	// use is a question of its own.
	req := g.g.req
	req.Resource = r
	if d := g.g.a.decide(g.g.a.ix, req); !d.Allowed {
		return &DeniedError{req, d}
	}
	return nil
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
