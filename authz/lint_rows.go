package authz

import (
	"maps"
	"slices"
	"strings"
)

// circles finds roles that include each other and roles nested too deeply.
func (l *linter) circles() {
	reported := map[string]bool{}
	for _, role := range l.roles {
		l.walk([]string{role}, reported, map[string]int{})
	}
}

// walk follows inclusions once by role and depth, so that a policy with many
// ways from one role to another takes no time to speak of.
func (l *linter) walk(path []string, reported map[string]bool, done map[string]int) {
	role := path[len(path)-1]
	if done[role] >= len(path) {
		return
	}
	done[role] = len(path)
	for _, r := range l.include[role] {
		next := r.fields[2]
		at := slices.Index(path, next)
		switch {
		case at >= 0:
			key := strings.Join(slices.Sorted(slices.Values(path[at:])), " ")
			if !reported[key] {
				reported[key] = true
				l.add(Error, "circle", r, "roles include each other in a circle, %s > %s: remove one of these g rows", strings.Join(path[at:], " > "), next)
			}
		case len(path) >= maxRoleDepth:
			if !reported[next+" depth"] {
				reported[next+" depth"] = true
				l.add(Error, "depth", r, "roles nested deeper than %d, %s > %s: include %s directly", maxRoleDepth, strings.Join(path, " > "), next, next)
			}
		default:
			l.walk(append(slices.Clone(path), next), reported, done)
		}
	}
}

// unusedPermissions finds permissions that nobody can ever have.
func (l *linter) unusedPermissions() {
	for i, p := range l.cat.permissions {
		if !slices.ContainsFunc(l.roles, func(r string) bool { return l.sets[r].has(i) }) {
			l.add(Error, "unused-permission", l.where[p], "permission %s is in no role: add it to one or remove it", p)
		}
	}
}

// shadowed finds rows that can go and nothing changes.
func (l *linter) shadowed() {
	for _, role := range l.roles {
		for i, r := range l.carry[role] {
			set := l.empty()
			if !l.cat.add(set, r.fields[2]) {
				continue
			}
			if by, ok := l.shadow(role, i, set); ok {
				l.add(Warning, "shadowed-row", r, "%s has %s already by line %d (%s): remove this row", role, r.fields[2], by.line, strings.Join(by.fields, ", "))
			}
		}
		for i, r := range l.include[role] {
			for j, other := range l.include[role] {
				if i != j && slices.Contains(l.included[other.fields[2]], r.fields[2]) && !slices.Contains(l.included[r.fields[2]], other.fields[2]) {
					l.add(Warning, "shadowed-row", r, "%s includes %s already by line %d (%s): remove this row", role, r.fields[2], other.line, strings.Join(other.fields, ", "))
					break
				}
			}
		}
	}
	l.shadowedApart()
}

// shadow finds the row that gives the permissions of a role's i-th p row too.
func (l *linter) shadow(role string, i int, set bitset) (row, bool) {
	for j, other := range l.carry[role] {
		wide := l.empty()
		if i == j || !l.cat.add(wide, other.fields[2]) || !set.within(wide) {
			continue
		}
		// Of two rows that give the same, the plain one stays.
		mine, its := strings.HasSuffix(l.carry[role][i].fields[2], "*"), strings.HasSuffix(other.fields[2], "*")
		if wide.within(set) && (!mine && its || mine == its && j > i) {
			continue
		}
		return other, true
	}
	for _, r := range l.include[role] {
		// An inclusion that leads back here gives only what is here.
		if next := l.sets[r.fields[2]]; next != nil && !slices.Contains(l.included[r.fields[2]], role) && r.fields[2] != role && set.within(next) {
			return r, true
		}
	}
	return row{}, false
}

// shadowedApart finds x rows that say what another says.
func (l *linter) shadowedApart() {
	said := map[[2]int]row{}
	for _, r := range l.exclude {
		ps, err := l.cat.pairs(r)
		if err != nil {
			continue
		}
		var by row
		fresh := false
		for _, p := range ps {
			if old, ok := said[p]; ok {
				by = old
			} else {
				said[p], fresh = r, true
			}
		}
		if !fresh && by.line > 0 {
			l.add(Warning, "shadowed-row", r, "what this row keeps apart is kept apart already by line %d (%s): remove this row", by.line, strings.Join(by.fields, ", "))
		}
	}
}

// sameRoles finds roles that carry the same and may hand out the same.
func (l *linter) sameRoles() {
	gives := func(role string) string {
		var out []string
		for _, r := range l.handOut[role] {
			out = append(out, r.fields[2])
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	first := map[string]string{}
	for _, role := range l.roles {
		if !slices.ContainsFunc(l.sets[role], func(w uint64) bool { return w != 0 }) {
			continue
		}
		key := gives(role)
		for i := range l.cat.permissions {
			if l.sets[role].has(i) {
				key += "," + l.cat.permissions[i]
			}
		}
		if old, ok := first[key]; ok {
			l.add(Warning, "same-roles", l.first(role), "%s carries just what %s carries: keep one of them", role, old)
		} else {
			first[key] = role
		}
	}
}

// first is the row that a role begins with.
func (l *linter) first(role string) row {
	var at row
	for _, r := range slices.Concat(l.carry[role], l.include[role]) {
		if at.line == 0 || r.line < at.line {
			at = r
		}
	}
	return at
}

// reach finds roles that nobody can be given after the installation: none hands
// them out and no giver of roles holds all of their permissions.
func (l *linter) reach() {
	write, ok := l.cat.number[writeAuthorizations]
	given := map[string]bool{}
	for _, rows := range l.elevate {
		for _, r := range rows {
			given[r.fields[2]] = true
		}
	}
	for _, role := range slices.Sorted(maps.Keys(l.handOut)) {
		for _, r := range l.handOut[role] {
			given[r.fields[2]] = true
			if set := l.sets[role]; set != nil && !(ok && set.has(write)) {
				l.add(Warning, "idle-row", r, "%s lacks %s and can give nobody anything: add the permission or remove this row", role, writeAuthorizations)
			} else if to := l.sets[r.fields[2]]; set != nil && to != nil && to.within(set) && role != r.fields[2] {
				l.add(Warning, "idle-row", r, "%s holds all of %s and can give it without this row: remove it", role, r.fields[2])
			}
		}
	}
	if !slices.ContainsFunc(l.roles, func(role string) bool { return ok && l.sets[role].has(write) }) {
		return // roles are given elsewhere, if at all
	}
	for _, role := range l.roles {
		held := slices.ContainsFunc(l.roles, func(giver string) bool { return ok && l.sets[giver].has(write) && l.sets[role].within(l.sets[giver]) })
		part := slices.ContainsFunc(l.roles, func(other string) bool { return slices.Contains(l.included[other], role) })
		if !given[role] && !held && !part {
			l.add(Note, "unreachable-role", l.first(role), "%s can be given at installation only, since no role hands it out: add a d row if somebody should", role)
		}
	}
}
