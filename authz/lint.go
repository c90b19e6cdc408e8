package authz

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// Lint reads a policy as New does but goes on after what New refuses, and looks
// for rows that are allowed and yet probably wrong. It returns everything it
// finds, sorted by file and line; nothing means that there is nothing to say.
//
// The rules:
//
//	unreadable          a file or row that cannot be read
//	duplicate           a row that stands twice
//	unknown             a permission or role that does not exist
//	unused-permission   a permission that no role carries
//	circle, depth       roles that include each other, or too deeply
//	shadowed-row        a row whose effect another row has already
//	same-roles          two roles that carry the same
//	unreachable-role    a role that nobody can be given but at installation
//	too-wide            a pattern that reaches secrets; more than a role should join
//	internal-content    a role of the vendor's staff that reaches a customer's content
//	own-extension       handing out that leads back to the giver
//	idle-row            a row that can have no effect
//	separation          a role, or two that one role hands out, against an x row
//	look-alike          names that are easily taken for one another
func Lint(policy fs.FS) []Finding {
	if policy == nil {
		return []Finding{{File: "roles.csv", Rule: "unreadable", Severity: Error, Text: "no policy is given: policy.Files() is the one that ships"}}
	}
	l := newLinter()
	l.readPermissions(policy)
	l.readRoles(policy)
	for _, check := range []func(){
		l.circles, l.unusedPermissions, l.shadowed, l.sameRoles, l.reach, l.wide,
		l.internalContent, l.extensions, l.apart, l.lookAlikes,
	} {
		check()
	}
	// Whatever else New has against it.
	if !slices.ContainsFunc(l.found, func(f Finding) bool { return f.Severity == Error }) {
		c, err := readPolicy(policy)
		if err == nil {
			_, err = newMeaning(c)
		}
		if err != nil {
			l.refused(err)
		}
	}
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(l.found)
}

// linter is a policy read with patience.
type linter struct {
	cat      *catalogue          // its permissions only
	where    map[string]row      // permission to its row
	carry    map[string][]row    // role to its p rows
	include  map[string][]row    // role to its g rows
	handOut  map[string][]row    // role to its d rows
	elevate  map[string][]row    // role to its e and b rows
	exclude  []row               // x rows
	roles    []string            // with p or g rows, sorted
	direct   map[string]bitset   // role to what its own p rows give
	sets     map[string]bitset   // role to all it carries
	included map[string][]string // role to all roles it includes, itself not
	found    []Finding
}

func newLinter() *linter {
	return &linter{cat: &catalogue{number: map[string]int{}}, where: map[string]row{}, carry: map[string][]row{}, include: map[string][]row{},
		handOut: map[string][]row{}, elevate: map[string][]row{}, direct: map[string]bitset{}, sets: map[string]bitset{}, included: map[string][]string{}}
}

func (l *linter) add(s Severity, rule string, r row, format string, args ...any) {
	l.found = append(l.found, Finding{r.file, r.line, rule, s, fmt.Sprintf(format, args...)})
}

// refused turns an error of New into a finding; its text begins with the place.
func (l *linter) refused(err error) {
	text := strings.TrimPrefix(err.Error(), "authz: policy: ")
	at := row{file: "roles.csv"}
	for _, file := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		if rest, ok := strings.CutPrefix(text, file+":"); ok {
			at.file, text = file, strings.TrimSpace(rest)
			if n, after, ok := strings.Cut(text, ": "); ok {
				if _, err := fmt.Sscanf(n, "%d", &at.line); err == nil {
					text = after
				}
			}
		}
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		at = row{file: pe.Path}
	}
	l.add(Error, "unreadable", at, "%s", text)
}

func (l *linter) readPermissions(policy fs.FS) {
	if _, err := readPolicyFile(policy, "model.conf"); err != nil {
		l.refused(err)
	}
	rs, err := rows(policy, "permissions.csv")
	if err != nil {
		l.refused(err)
		return
	}
	for _, r := range rs {
		name := r.fields[0]
		if _, err := ParsePermission(name); err != nil {
			l.add(Error, "unreadable", r, "%s", strings.TrimPrefix(err.Error(), "authz: "))
			continue
		}
		if personal := len(r.fields) == 3 && r.fields[2] == "personal"; len(r.fields) != 2 && !personal || r.fields[1] == "" {
			l.add(Error, "unreadable", r, "want a permission and one description without commas, then personal if it touches personal data")
		}
		if old, dup := l.where[name]; dup {
			l.add(Error, "duplicate", r, "permission %s stands in line %d already: remove one", name, old.line)
			continue
		}
		l.where[name] = r
		l.cat.permissions = append(l.cat.permissions, name)
	}
	slices.Sort(l.cat.permissions)
	if len(l.cat.permissions) > maxPermissions {
		l.add(Error, "unreadable", row{file: "permissions.csv"}, "%d permissions, want 1 to %d", len(l.cat.permissions), maxPermissions)
		l.cat.permissions = l.cat.permissions[:maxPermissions]
	}
	for i, p := range l.cat.permissions {
		l.cat.number[p] = i
	}
}

func (l *linter) empty() bitset { return make(bitset, (len(l.cat.permissions)+63)/64) }

func (l *linter) readRoles(policy fs.FS) {
	rs, err := rows(policy, "roles.csv")
	if err != nil {
		l.refused(err)
		return
	}
	seen := map[string]row{}
	for _, r := range rs {
		if len(r.fields) != 3 || !slices.Contains([]string{"p", "g", "d", "x", "e", "b"}, r.fields[0]) {
			l.add(Error, "unreadable", r, "want p, role, permission or g, d, e or b, role, role or x, permission, permission")
			continue
		}
		key := strings.Join(r.fields, ",")
		if old, dup := seen[key]; dup {
			l.add(Error, "duplicate", r, "the same stands in line %d already: remove one", old.line)
			continue
		}
		seen[key] = r
		if r.fields[0] == "x" {
			l.exclude = append(l.exclude, r)
			continue
		}
		role := r.fields[1]
		if _, err := ParseRole(role); err != nil {
			l.add(Error, "unreadable", r, "%s", strings.TrimPrefix(err.Error(), "authz: "))
			continue
		}
		switch r.fields[0] {
		case "p":
			l.carry[role] = append(l.carry[role], r)
		case "g":
			l.include[role] = append(l.include[role], r)
		case "d":
			l.handOut[role] = append(l.handOut[role], r)
		case "e", "b":
			l.elevate[role] = append(l.elevate[role], r)
		}
		if slices.Contains([]string{"d", "e", "b"}, r.fields[0]) || slices.Contains(l.roles, role) {
			continue
		}
		if len(l.roles) >= maxRoles {
			l.add(Error, "unreadable", r, "more than %d roles", maxRoles)
			break // with what there is: the sets of these roles are wanted below
		}
		l.roles = append(l.roles, role)
	}
	slices.Sort(l.roles)
	for _, role := range l.roles {
		l.direct[role] = l.empty()
		for _, r := range l.carry[role] {
			if !l.cat.add(l.direct[role], r.fields[2]) {
				l.add(Error, "unknown", r, "permission %.64q is not in permissions.csv: add it there or correct it%s", r.fields[2], nearestOf(r.fields[2], l.cat.permissions))
			}
		}
	}
	for _, rows := range []map[string][]row{l.handOut, l.elevate} {
		for _, role := range slices.Sorted(maps.Keys(rows)) {
			l.knownRoles(rows[role])
		}
	}
	for _, role := range l.roles {
		l.knownRoles(l.include[role])
	}
	for _, role := range l.roles {
		l.sets[role] = l.empty()
		l.collect(role, role, map[string]bool{})
	}
}

func (l *linter) knownRoles(rs []row) {
	for _, r := range rs {
		for _, name := range r.fields[1:] {
			if !slices.Contains(l.roles, name) {
				l.add(Error, "unknown", r, "role %.64q carries nothing: give it a permission or correct the name%s", name, nearestOf(name, l.roles))
			}
		}
	}
}

// collect adds to a role what another carries, whatever circles there are.
func (l *linter) collect(role, from string, seen map[string]bool) {
	if seen[from] {
		return
	}
	seen[from] = true
	if from != role {
		l.included[role] = append(l.included[role], from)
	}
	for i, w := range l.direct[from] {
		l.sets[role][i] |= w
	}
	for _, r := range l.include[from] {
		l.collect(role, r.fields[2], seen)
	}
}

// names writes the permissions of a set, a few of them.
func (l *linter) names(set bitset) string {
	var out []string
	for i, p := range l.cat.permissions {
		if set.has(i) {
			out = append(out, p)
		}
	}
	if len(out) > 5 {
		out = append(out[:4], fmt.Sprintf("%d more", len(out)-4))
	}
	return strings.Join(out, ", ")
}
