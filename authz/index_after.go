package authz

import (
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
)

// state is what changes are judged by: the index, or what it would be.
type state interface {
	cat() *catalogue
	time() time.Time
	revision() uint64
	heldBy(Principal) []Authorization
	teamsOf(Principal) []Principal
	get(uuid.UUID) (Authorization, bool)
	each() iter.Seq[Authorization]
	directMembers(Principal) []Principal
	decide(Principal, int, Resource) Decision
	decideIn(Principal, int, Resource, Context) Decision
}

var (
	_ state = (*index)(nil)
	_ state = (*overlay)(nil)
)

func (ix *index) time() time.Time { return ix.now() }

// overlay is an index as it would be after a change. Making one costs what the
// change costs; answers take longer than the index's.
type overlay struct {
	*index
	*joined
	c         Change
	catalogue *catalogue
	gone      map[uuid.UUID]bool
	added     map[Principal][]Authorization
}

// after returns what an index would be after a valid change.
func after(ix *index, c Change) *overlay {
	o := &overlay{index: ix, joined: ix.joined(c), c: c, catalogue: ix.cat(), gone: map[uuid.UUID]bool{}, added: map[Principal][]Authorization{}}
	for _, x := range c.Remove {
		o.gone[x.ID] = true
	}
	for _, x := range c.Add {
		o.added[x.Principal] = append(o.added[x.Principal], x)
	}
	if len(c.Define)+len(c.Undefine) > 0 {
		o.catalogue = ix.cat().after(c.apply(Assignments{Roles: ix.roles()}).Roles)
	}
	return o
}

func (o *overlay) cat() *catalogue  { return o.catalogue }
func (o *overlay) revision() uint64 { return o.c.Revision }

func (o *overlay) heldBy(p Principal) []Authorization {
	out := slices.DeleteFunc(o.index.heldBy(p), func(x Authorization) bool { return o.gone[x.ID] })
	return append(out, o.added[p]...)
}

func (o *overlay) teamsOf(p Principal) []Principal {
	if len(o.c.Leave)+len(o.c.Join) == 0 {
		return o.index.teamsOf(p)
	}
	var out []Principal
	seen := map[Principal]bool{p: true}
	for level := []Principal{p}; len(level) > 0; {
		var next []Principal
		for _, q := range level {
			for _, t := range o.directTeams(q) {
				if !seen[t] {
					seen[t] = true
					next = append(next, t)
				}
			}
		}
		out = append(out, next...)
		level = next
	}
	return out
}

func (o *overlay) get(id uuid.UUID) (Authorization, bool) {
	for _, x := range o.c.Add {
		if x.ID == id {
			return x, true
		}
	}
	if o.gone[id] {
		return Authorization{}, false
	}
	return o.index.get(id)
}

func (o *overlay) each() iter.Seq[Authorization] {
	return func(yield func(Authorization) bool) {
		for x := range o.index.each() {
			if !o.gone[x.ID] && !yield(x) {
				return
			}
		}
		for _, x := range o.c.Add {
			if !yield(x) {
				return
			}
		}
	}
}

func (o *overlay) directTeams(p Principal) []Principal   { return o.joined.directTeams(p) }
func (o *overlay) directMembers(t Principal) []Principal { return o.joined.directMembers(t) }

func (o *overlay) decide(p Principal, bit int, r Resource) Decision {
	return o.decideIn(p, bit, r, Context{})
}

// decideIn says what the index's scan would, read off whole Authorizations.
func (o *overlay) decideIn(p Principal, bit int, r Resource, in Context) Decision {
	d := Decision{Revision: o.revision(), Principal: p, Code: NothingHeld}
	q := question{bit: bit, context: in}
	for _, holder := range append([]Principal{p}, o.teamsOf(p)...) {
		for _, x := range o.heldBy(holder) {
			if set := o.catalogue.sets[x.Role.name]; set == nil || !set.has(bit) || !x.Resource.Contains(r) || !o.counts(newHolding(0, 0, 0, flagged(&x)), o.detailOf(&x), &q) {
				continue
			}
			code := AllowedBy
			if x.Effect == Deny {
				code = DeniedBy
			}
			if code == DeniedBy || d.Code != AllowedBy {
				d.Code, d.Authorization, d.Role, d.On, d.Through = code, x.ID, x.Role, x.Resource, holder
			}
			if code == DeniedBy {
				return d
			}
		}
	}
	d.Allowed = d.Code == AllowedBy
	return d
}

// decideBy answers a request by a state that is not, or not yet, what counts.
func decideBy(s state, req Request) Decision {
	bit, ok := s.cat().number[req.Permission.name]
	if !ok {
		return Decision{Code: UnknownPermission, Principal: req.Principal, Revision: s.revision()}
	}
	d := s.decideIn(req.Principal, bit, req.Resource, req.Context)
	if !d.Allowed || req.OnBehalfOf.IsZero() {
		return d
	}
	if o := s.decideIn(req.OnBehalfOf, bit, req.Resource, req.Context); !o.Allowed {
		return o
	}
	return d
}
