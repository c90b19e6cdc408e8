package authz

import "fmt"

// A handle stands for a name that was looked up once. Checks by handles need no
// look-ups and are several times faster than by names: hold a principal's
// handle as long as it is signed in, a resource's as long as it is worked on.
// Handles never go stale, follow every change, prove nothing, and are denied by
// every Authorizer but the one that made them. The zero handle is denied.

// PrincipalHandle stands for a Principal.
type PrincipalHandle struct {
	ix *index
	n  uint32
}

// PermissionHandle stands for a Permission.
type PermissionHandle struct {
	ix  *index
	bit int
}

// ResourceHandle stands for a Resource.
type ResourceHandle struct {
	ix *index
	at place
}

// PrincipalHandle looks a principal up. One that nobody has assigned anything
// is remembered for good, some hundred bytes, so that what is assigned to it
// later counts: make handles of principals that you know, not of whatever a
// stranger names.
func (a *Authorizer) PrincipalHandle(p Principal) (PrincipalHandle, error) {
	if a == nil || a.ix == nil || p.IsZero() {
		return PrincipalHandle{}, fmt.Errorf("authz: principal handle: missing: %w", ErrDenied)
	}
	a.ix.mu.Lock()
	defer a.ix.mu.Unlock()
	return PrincipalHandle{a.ix, a.ix.know(p.name).number}, nil
}

// PermissionHandle looks a permission up. One that the policy does not know is
// ErrUnknown.
func (a *Authorizer) PermissionHandle(p Permission) (PermissionHandle, error) {
	if a == nil || a.ix == nil {
		return PermissionHandle{}, fmt.Errorf("authz: permission handle: zero authorizer: %w", ErrDenied)
	}
	if err := a.editable(); err != nil {
		return PermissionHandle{}, err
	}
	bit, ok := a.cat.number[p.name]
	if !ok {
		return PermissionHandle{}, fmt.Errorf("authz: permission %s: %w to the policy", p, ErrUnknown)
	}
	return PermissionHandle{a.ix, bit}, nil
}

// ResourceHandle looks a resource up. Like a principal, one that is new is
// remembered for good, with its ancestors.
func (a *Authorizer) ResourceHandle(r Resource) (ResourceHandle, error) {
	if a == nil || a.ix == nil || r.IsZero() {
		return ResourceHandle{}, fmt.Errorf("authz: resource handle: missing: %w", ErrDenied)
	}
	a.ix.mu.Lock()
	defer a.ix.mu.Unlock()
	if a.ix.tree.names.used > maxText {
		return ResourceHandle{}, fmt.Errorf("authz: resource handle: names of resources take more than %d bytes", maxText)
	}
	h := ResourceHandle{ix: a.ix}
	h.at.fill(a.ix.tree, a.ix.tree.add(r.path))
	return h, nil
}

// Answer is a Decision that is not spelled out. It proves nothing.
type Answer struct {
	ix       *index
	f        found
	who      uint32
	on       uint32
	revision uint64
}

// Allowed says whether the request would be allowed.
func (a Answer) Allowed() bool { return a.f.code == AllowedBy }

// Decision spells the answer out.
func (a Answer) Decision() Decision {
	if a.ix == nil {
		return Decision{Code: BadRequest}
	}
	d := Decision{Revision: a.revision, Principal: Principal{a.ix.principals.at(a.who).name}}
	a.ix.spell(a.f, a.ix.tree.path(a.on), &d)
	return d
}

// CheckHandles answers as Check does, for a request without OnBehalfOf and
// Context. It does not allocate. Handles of another Authorizer, and zero ones,
// are denied.
func (a *Authorizer) CheckHandles(who PrincipalHandle, do PermissionHandle, on *ResourceHandle) Answer {
	if a == nil || a.ix == nil || who.ix != a.ix || do.ix != a.ix || on == nil || on.ix != a.ix {
		return Answer{f: found{code: BadRequest}}
	}
	ans := Answer{ix: a.ix, who: who.n, on: on.at.at[on.at.known-1]}
	q := question{bit: do.bit}
	for {
		part := a.ix.partOf(who.n)
		turn, rev := a.ix.begin(part)
		ans.f, ans.revision = a.ix.ask(who.n, &on.at, &q), rev
		if part.end(turn) {
			return ans
		}
	}
}
