package policytest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/internal/spelling"
)

// book is a policy as tests look at it: its rows, and what they come to.
type book struct {
	files fs.FS
	rules []authz.Rule
	perms []authz.Permission
	roles []authz.Role
	carry map[authz.Role][]authz.Permission

	used      map[int]bool // index of rules
	usedPerms map[authz.Permission]bool
	usedRoles map[authz.Role]bool
}

func open(ctx context.Context, files fs.FS) (*book, error) {
	rules, err := authz.Rules(files)
	if err != nil {
		return nil, err
	}
	a, err := authz.New(ctx, files, nil)
	if err != nil {
		return nil, err
	}
	b := &book{files: files, rules: rules, carry: map[authz.Role][]authz.Permission{}, used: map[int]bool{},
		usedPerms: map[authz.Permission]bool{}, usedRoles: map[authz.Role]bool{}}
	for p := range a.Permissions() {
		b.perms = append(b.perms, p)
	}
	for r, ps := range a.Roles() {
		b.roles = append(b.roles, r)
		b.carry[r] = ps
	}
	return b, nil
}

func (b *book) has(r authz.Role) bool { return b.carry[r] != nil }

// matching returns the permissions that a pattern stands for.
func (b *book) matching(pattern string) ([]authz.Permission, error) {
	if pattern == "*" {
		return b.perms, nil
	}
	var out []authz.Permission
	var names []string
	for _, p := range b.perms {
		names = append(names, p.String())
		if p.Matches(pattern) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the policy has no permission %s%s", pattern, hint(pattern, names))
	}
	return out, nil
}

// matchingAny returns the permissions that any of several patterns stands for.
func (b *book) matchingAny(patterns []string) ([]authz.Permission, error) {
	var out []authz.Permission
	for _, s := range patterns {
		ps, err := b.matching(s)
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// known refuses a role that the policy does not have.
func (b *book) known(rs ...authz.Role) error {
	for _, r := range rs {
		if !b.has(r) {
			var names []string
			for _, x := range b.roles {
				names = append(names, x.String())
			}
			return fmt.Errorf("the policy has no %s%s", r, hint(r.String(), names))
		}
	}
	return nil
}

func hint(name string, names []string) string {
	if near := spelling.Nearest(name, names); near != "" {
		return ", perhaps " + near
	}
	return ""
}

// givers returns the rows by which a role carries a permission: its own, those
// of roles that it includes, and the rows that include them.
func (b *book) givers(role authz.Role, p authz.Permission) []int {
	var out []int
	var from func(name string, path []string) bool
	from = func(name string, path []string) bool {
		found := false
		for i, r := range b.rules {
			switch {
			case r.Left != name:
			case r.Kind == authz.Carry && p.Matches(r.Right):
				out, found = append(out, i), true
			case r.Kind == authz.Include && !slices.Contains(path, r.Right) && from(r.Right, append(path, r.Right)):
				out, found = append(out, i), true
			}
		}
		return found
	}
	from(role.String(), []string{role.String()})
	slices.Sort(out)
	return slices.Compact(out)
}

// by writes the rows behind a role's permission.
func (b *book) by(role authz.Role, p authz.Permission) string {
	var out []string
	for _, i := range b.givers(role, p) {
		r := b.rules[i]
		out = append(out, fmt.Sprintf("%s:%d (%s)", r.File, r.Line, r))
	}
	return strings.Join(out, ", ")
}

// rested notes what an expected allow came from.
func (b *book) rested(role authz.Role, p authz.Permission) {
	for _, i := range b.givers(role, p) {
		b.used[i] = true
		if r := b.rules[i]; r.Kind == authz.Carry {
			if owner, err := authz.ParseRole(r.Left); err == nil {
				b.usedRoles[owner] = true
			}
		}
	}
	b.usedPerms[p], b.usedRoles[role] = true, true
}

// apart returns the x row that keeps two permissions apart.
func (b *book) apart(p, q authz.Permission) (int, bool) {
	for i, r := range b.rules {
		if r.Kind == authz.Exclude && (p.Matches(r.Left) && q.Matches(r.Right) || q.Matches(r.Left) && p.Matches(r.Right)) {
			return i, true
		}
	}
	return 0, false
}

func (b *book) coverage() Coverage {
	var c Coverage
	for i, r := range b.rules {
		c.Rules = append(c.Rules, RuleCoverage{r, b.used[i]})
	}
	for _, p := range b.perms {
		if !b.usedPerms[p] {
			c.Permissions = append(c.Permissions, p.String())
		}
	}
	for _, r := range b.roles {
		if !b.usedRoles[r] {
			c.Roles = append(c.Roles, r.String())
		}
	}
	return c
}
