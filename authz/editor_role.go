package authz

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// after returns the catalogue after a change that leaves these defined roles.
// The change was found valid before; one that was not changes no role.
func (c *catalogue) after(defs []RoleDefinition) *catalogue {
	other, err := c.with(defs)
	if err != nil {
		return c
	}
	next := *other
	next.compile(c.named)
	return &next
}

// with returns the policy's catalogue with these roles beside its own, and no
// other. It refuses whatever could mean something else than its author thought.
func (c *catalogue) with(defs []RoleDefinition) (*catalogue, error) {
	if c.base != nil {
		c = c.base
	}
	if len(defs) == 0 {
		return c, nil
	}
	next := *c
	next.base, next.roles, next.sets = c, slices.Clone(c.roles), maps.Clone(c.sets)
	next.defined = make(map[string]RoleDefinition, len(defs))
	if len(c.roles)+len(defs) > maxRoles {
		return nil, fmt.Errorf("authz: %d roles with those of the policy, %d at most", len(c.roles)+len(defs), maxRoles)
	}
	for _, d := range defs {
		name := d.Role.name
		switch {
		case name == "":
			return nil, fmt.Errorf("authz: define: role: missing")
		case c.sets[name] != nil:
			return nil, fmt.Errorf("authz: define %s: the policy has a role of this name: choose another", d.Role)
		case len(d.Permissions)+len(d.Includes) == 0:
			return nil, fmt.Errorf("authz: define %s: carries nothing", d.Role)
		}
		if _, twice := next.defined[name]; twice {
			return nil, fmt.Errorf("authz: define %s: defined twice", d.Role)
		}
		next.defined[name] = d
		next.roles = append(next.roles, name)
	}
	slices.Sort(next.roles)
	depth := make(map[string]int, len(defs))
	for _, d := range defs {
		if _, err := next.define(d.Role.name, depth, nil); err != nil {
			return nil, err
		}
	}
	return &next, nil
}

// define computes what a defined role carries, after that of the roles it
// includes, and returns how deep it nests. The path leads here.
func (c *catalogue) define(name string, depth map[string]int, path []string) (int, error) {
	if n := depth[name]; n > 0 {
		return n, nil
	}
	path = append(path, name)
	d, deepest := c.defined[name], 0
	set := make(bitset, (len(c.permissions)+63)/64)
	for _, p := range d.Permissions {
		i, known := c.number[p.name]
		if !known {
			return 0, fmt.Errorf("authz: define %s: permission %s: %w to the policy", d.Role, p, ErrUnknown)
		}
		set.set(i)
	}
	for _, r := range d.Includes {
		if slices.Contains(path, r.name) {
			return 0, fmt.Errorf("authz: define %s: roles include each other in a circle, %s", path[0], strings.Join(append(path, r.name), " > "))
		}
		if _, too := c.defined[r.name]; too {
			n, err := c.define(r.name, depth, path)
			if err != nil {
				return 0, err
			}
			deepest = max(deepest, n)
		}
		other := c.sets[r.name]
		if other == nil {
			return 0, fmt.Errorf("authz: define %s: includes %s: role %w", d.Role, r, ErrUnknown)
		}
		for i, w := range other {
			set[i] |= w
		}
	}
	if deepest >= maxRoleDepth {
		return 0, fmt.Errorf("authz: define %s: includes roles nested deeper than %d", d.Role, maxRoleDepth)
	}
	c.sets[name], depth[name] = set, deepest+1
	return deepest + 1, nil
}

// within says that everything in a set is in another.
func (b bitset) within(o bitset) bool {
	for i, w := range b {
		if o == nil && w != 0 || o != nil && w&^o[i] != 0 {
			return false
		}
	}
	return true
}

// meets says that two sets have a permission in common.
func (b bitset) meets(o bitset) bool {
	for i := range min(len(b), len(o)) {
		if b[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// redefined returns the defined roles that carry something else after a change,
// by name, those that include a changed one too.
func redefined(ix, next state) []string {
	var out []string
	for name := range next.cat().defined {
		old, now := ix.cat().sets[name], next.cat().sets[name]
		if !old.within(now) || !now.within(old) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// validRoles returns the catalogue after a change, if its roles can be.
func validRoles(ix *index, c Change) (*catalogue, error) {
	if len(c.Define)+len(c.Undefine) == 0 {
		return ix.cat(), nil
	}
	if len(ix.cat().named)+len(c.Define) > maxRoleNumber {
		return nil, fmt.Errorf("authz: define: too many roles came and went since this process began: start it anew")
	}
	cat, err := ix.cat().with(c.apply(Assignments{Roles: ix.roles()}).Roles)
	if err != nil {
		return nil, err
	}
	var lost []string
	for _, d := range c.Undefine {
		if cat.sets[d.Role.name] == nil {
			lost = append(lost, d.Role.name)
		}
	}
	if len(lost) == 0 {
		return cat, nil
	}
	for x := range ix.each() {
		gone := func(y Authorization) bool { return y.ID == x.ID }
		if slices.Contains(lost, x.Role.name) && !slices.ContainsFunc(c.Remove, gone) {
			return nil, fmt.Errorf("authz: undefine %s: %s holds it on %s by %s: revoke that first", x.Role, x.Principal, x.Resource, x.ID)
		}
	}
	return cat, nil
}

// Define makes a role beside those of the policy, or changes one that was made
// so. Roles are shared by the whole installation. It may name permissions of the
// policy and include roles that are there (ErrUnknown), neither in a circle nor
// nested deeper than ten. The definer must hold all that the role carries, and
// carried before, on the resource of its Grant, and must be able to give it
// wherever it is held already, all of it within the Grant; a role that somebody
// holds is not extended by themselves.
func (e Editor) Define(ctx context.Context, d RoleDefinition, reason string) error {
	_, err := e.Commit(ctx, Edits{Define: []RoleDefinition{d}}, reason)
	return err
}

// Undefine removes a role that was defined, and needs what defining it needs. It
// is refused while anybody holds the role or another role includes it. A role
// that is not known, or is the policy's, is ErrUnknown.
func (e Editor) Undefine(ctx context.Context, r Role, reason string) error {
	_, err := e.Commit(ctx, Edits{Undefine: []Role{r}}, reason)
	return err
}

// planRoles adds to a change what edits do to roles. One that changes is in it
// twice, as it was and as it will be.
func planRoles(ix *index, what Edits, c *Change) error {
	for _, d := range what.Define {
		d.Permissions, d.Includes = slices.Clone(d.Permissions), slices.Clone(d.Includes)
		if old, there := ix.cat().defined[d.Role.name]; there {
			if slices.Equal(old.Permissions, d.Permissions) && slices.Equal(old.Includes, d.Includes) {
				continue
			}
			c.Undefine = append(c.Undefine, old)
		}
		c.Define = append(c.Define, d)
	}
	for _, r := range what.Undefine {
		old, there := ix.cat().defined[r.name]
		if !there {
			return fmt.Errorf("authz: undefine %s: %w", r, ErrUnknown)
		}
		if slices.ContainsFunc(c.Undefine, func(d RoleDefinition) bool { return d.Role == r }) {
			return fmt.Errorf("authz: undefine %s: named twice", r)
		}
		c.Undefine = append(c.Undefine, old)
	}
	return nil
}
