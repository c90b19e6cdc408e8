package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// isContent reports whether a permission shows or changes what is in
// somebody's mailbox or CRM.
func isContent(p string) bool {
	return strings.Contains(p, ".items.") || strings.Contains(p, ".names.")
}

// isVendor reports whether a role is, by its name, one of the vendor's teams.
func isVendor(role string) bool {
	for _, team := range []string{"administration", "support", "sales", "customer-success"} {
		if role == "role:"+team || strings.HasPrefix(role, "role:"+team+"-") {
			return true
		}
	}
	return false
}

// wide finds patterns that reach credentials, and giving joined with content.
func (l *linter) wide() {
	for _, role := range l.roles {
		for _, r := range l.carry[role] {
			if !strings.HasSuffix(r.fields[2], "*") {
				continue
			}
			set := l.empty()
			l.cat.add(set, r.fields[2])
			for i, p := range l.cat.permissions {
				if set.has(i) && strings.HasPrefix(p, "secrets.") {
					l.add(Warning, "too-wide", r, "%s reaches %s, and every permission for credentials that is added later: name each one", r.fields[2], p)
					break
				}
			}
		}
		content := l.only(role, isContent)
		if write, ok := l.cat.number[writeAuthorizations]; ok && l.sets[role].has(write) && content != nil {
			l.add(Warning, "too-wide", l.first(role), "%s gives roles and reaches content (%s): make two roles of it", role, l.names(content))
		}
	}
}

// only returns what a role carries of a kind of permissions, nil if nothing.
func (l *linter) only(role string, kind func(string) bool) bitset {
	out, some := l.empty(), false
	for i, p := range l.cat.permissions {
		if l.sets[role].has(i) && kind(p) {
			out.set(i)
			some = true
		}
	}
	if !some {
		return nil
	}
	return out
}

// internalContent finds staff that can see or use what is a customer's own.
func (l *linter) internalContent() {
	for _, role := range l.roles {
		if !isVendor(role) {
			continue
		}
		for _, r := range l.carry[role] {
			set := l.empty()
			l.cat.add(set, r.fields[2])
			for i, p := range l.cat.permissions {
				if set.has(i) && (isContent(p) || p == "secrets.use" || p == "secrets.write") {
					l.add(Error, "internal-content", r, "%s is staff and reaches %s: take it away", role, p)
				}
			}
		}
		for _, r := range l.include[role] {
			next := r.fields[2]
			if l.sets[next] == nil || isVendor(next) {
				continue
			}
			if bad := l.only(next, func(p string) bool { return isContent(p) || p == "secrets.use" || p == "secrets.write" }); bad != nil {
				l.add(Error, "internal-content", r, "%s is staff and reaches %s through %s: name the permissions it needs instead", role, l.names(bad), next)
			}
		}
	}
}

// extensions finds handing out that leads back to where it began.
func (l *linter) extensions() {
	reported := map[string]bool{}
	var walk func(path []string)
	done := map[string]bool{}
	walk = func(path []string) {
		role := path[len(path)-1]
		for _, r := range l.handOut[role] {
			next := r.fields[2]
			if at := slices.Index(path, next); at >= 0 {
				key := strings.Join(slices.Sorted(slices.Values(path[at:])), " ")
				if !reported[key] {
					reported[key] = true
					l.add(Error, "own-extension", r, "what is handed out comes back to its giver, %s > %s: remove one of these d rows", strings.Join(path[at:], " > "), next)
				}
				continue
			}
			if slices.Contains(l.included[next], path[0]) {
				l.add(Error, "own-extension", r, "%s hands out %s, which includes %s: whoever gets it can pass it back: remove this row", path[0], next, path[0])
			}
			if !done[next] {
				walk(append(slices.Clone(path), next))
			}
		}
		done[role] = true
	}
	for _, role := range slices.Sorted(maps.Keys(l.handOut)) {
		walk([]string{role})
	}
}

// apart finds x rows that are broken, by one role or by two that the same role
// hands out to one person.
func (l *linter) apart() {
	for _, r := range l.exclude {
		ps, err := l.cat.pairs(r)
		if err != nil {
			text := err.Error()
			_, text, _ = strings.Cut(text, fmt.Sprintf("%s:%d: ", r.file, r.line))
			l.add(Error, "separation", r, "%s", text)
			continue
		}
		for _, p := range ps {
			a, b := l.cat.permissions[p[0]], l.cat.permissions[p[1]]
			for _, role := range l.roles {
				if l.sets[role].has(p[0]) && l.sets[role].has(p[1]) {
					l.add(Error, "separation", r, "%s carries both %s and %s, which this row keeps apart: take one from the role or remove the row", role, a, b)
				}
			}
			for _, giver := range slices.Sorted(maps.Keys(l.handOut)) {
				l.apartHandedOut(r, giver, p, a, b)
			}
		}
	}
}

// apartHandedOut finds a role whose holders meet two others in one person: the
// Editor refuses the second, so that the policy promises what it does not keep.
func (l *linter) apartHandedOut(r row, giver string, p [2]int, a, b string) {
	for i, one := range l.handOut[giver] {
		for _, two := range l.handOut[giver][i+1:] {
			x, y := l.sets[one.fields[2]], l.sets[two.fields[2]]
			if x != nil && y != nil && (x.has(p[0]) && y.has(p[1]) || x.has(p[1]) && y.has(p[0])) {
				l.add(Note, "separation", two, "%s hands out %s and %s, which nobody can hold together, by line %d (%s and %s)", giver, one.fields[2], two.fields[2], r.line, a, b)
			}
		}
	}
}
