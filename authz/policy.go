package authz

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Limits on a policy.
const (
	maxPolicyFile  = 1 << 20 // bytes of one file
	maxPermissions = 4096
	maxRoles       = 4096
	maxRoleDepth   = 10
	maxRoleNumber  = 1<<16 - 1 // of all that there ever were in one process
	maxExclusive   = 4096      // pairs, after wildcards were expanded
)

// catalogue is a policy as read: permissions, and roles with their permissions
// after every wildcard and inclusion was expanded.
type catalogue struct {
	permissions []string // sorted
	about       map[string]string
	personal    map[string]bool // permissions that touch personal data
	number      map[string]int  // permission to its bit
	roles       []string        // sorted
	sets        map[string]bitset
	mayGive     map[string][]string
	exclusive   [][2]int            // permissions that nobody may hold both of on one resource
	elevate     map[string][]string // role to roles that its holders may ask for
	breakGlass  map[string][]string // role to roles that its holders may take in an emergency
	defined     map[string]RoleDefinition
	base        *catalogue // the policy's own, if roles were defined beside it
	model       string

	// The roles again as the index reads them. A number stays with its role
	// for good, even after the role is gone.
	number16 map[string]uint16
	named    []string // by number
	words    int      // of one role's set in bits
	bits     []uint64
}

// carries says whether a role carries a permission. One that was defined later
// than the catalogue carries nothing.
func (c *catalogue) carries(role uint16, bit int) bool {
	i := int(role)*c.words + bit>>6
	return i < len(c.bits) && c.bits[i]>>(bit&63)&1 == 1
}

func (c *catalogue) roleName(n uint16) string { return c.named[n] }

// compile numbers roles, those numbered before first, and lays out their sets.
func (c *catalogue) compile(before []string) {
	c.named, c.number16 = slices.Clone(before), map[string]uint16{}
	for n, r := range c.named {
		c.number16[r] = uint16(n)
	}
	for _, r := range c.roles {
		if _, ok := c.number16[r]; !ok {
			c.number16[r] = uint16(len(c.named))
			c.named = append(c.named, r)
		}
	}
	c.words = (len(c.permissions) + 63) / 64
	c.bits = make([]uint64, len(c.named)*c.words)
	for _, r := range c.roles {
		copy(c.bits[int(c.number16[r])*c.words:], c.sets[r])
	}
}

type bitset []uint64

func (b bitset) has(i int) bool { return b[i>>6]>>(i&63)&1 == 1 }
func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }

// row is a line of a policy file.
type row struct {
	file   string
	line   int
	fields []string
}

func (r row) errorf(format string, args ...any) error {
	return fmt.Errorf("authz: policy: %s:%d: %s", r.file, r.line, fmt.Sprintf(format, args...))
}

func rows(fsys fs.FS, name string) ([]row, error) {
	text, err := readPolicyFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var out []row
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		r := row{file: name, line: n, fields: strings.Split(line, ",")}
		for i := range r.fields {
			r.fields[i] = strings.TrimSpace(r.fields[i])
		}
		out = append(out, r)
	}
	if err := sc.Err(); err != nil {
		n := 1
		if len(out) > 0 {
			n = out[len(out)-1].line + 1
		}
		return nil, row{file: name, line: n}.errorf("here or after: %v: shorten the line", err)
	}
	return out, nil
}

func readPolicyFile(fsys fs.FS, name string) (string, error) {
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", fmt.Errorf("authz: policy: %w", err)
	}
	if len(b) > maxPolicyFile {
		return "", fmt.Errorf("authz: policy: %s: %d bytes, %d at most", name, len(b), maxPolicyFile)
	}
	return string(b), nil
}

// readPolicy reads and validates a policy. It refuses whatever could mean
// something else than its author thought, naming file, line and fix.
func readPolicy(fsys fs.FS) (*catalogue, error) {
	if fsys == nil {
		return nil, errors.New("authz: policy: none given; policy.Files() is the one that ships")
	}
	c := &catalogue{about: map[string]string{}, personal: map[string]bool{}, number: map[string]int{}, sets: map[string]bitset{}, mayGive: map[string][]string{},
		elevate: map[string][]string{}, breakGlass: map[string][]string{}}
	var err error
	if c.model, err = readPolicyFile(fsys, "model.conf"); err != nil {
		return nil, err
	}
	perms, err := rows(fsys, "permissions.csv")
	if err != nil {
		return nil, err
	}
	where := map[string]row{}
	for _, r := range perms {
		personal := len(r.fields) == 3 && r.fields[2] == "personal"
		if len(r.fields) != 2 && !personal || r.fields[1] == "" {
			return nil, r.errorf("want a permission and one description without commas, then personal if it touches personal data")
		}
		name := r.fields[0]
		if _, err := ParsePermission(name); err != nil {
			return nil, r.errorf("%v", err)
		}
		if old, dup := where[name]; dup {
			return nil, r.errorf("permission %s stands in line %d already: remove one", name, old.line)
		}
		where[name], c.about[name], c.personal[name] = r, r.fields[1], personal
		c.permissions = append(c.permissions, name)
	}
	slices.Sort(c.permissions)
	if len(c.permissions) == 0 || len(c.permissions) > maxPermissions {
		return nil, fmt.Errorf("authz: policy: permissions.csv: %d permissions, want 1 to %d", len(c.permissions), maxPermissions)
	}
	for i, p := range c.permissions {
		c.number[p] = i
	}
	if err := c.readRoles(fsys); err != nil {
		return nil, err
	}
	for _, p := range c.permissions {
		if !slices.ContainsFunc(c.roles, func(r string) bool { return c.sets[r].has(c.number[p]) }) {
			return nil, where[p].errorf("permission %s is in no role: add it to one or remove it", p)
		}
	}
	c.compile(nil)
	return c, nil
}

func (c *catalogue) readRoles(fsys fs.FS) error {
	rs, err := rows(fsys, "roles.csv")
	if err != nil {
		return err
	}
	direct := map[string]bitset{}
	includes := map[string][]row{}
	var links, apart []row
	seen := map[string]row{}
	for _, r := range rs {
		if old, dup := seen[strings.Join(r.fields, ",")]; dup {
			return r.errorf("the same stands in line %d already: remove one", old.line)
		}
		seen[strings.Join(r.fields, ",")] = r
		if len(r.fields) != 3 {
			return r.errorf("want three fields: p, role, permission or g, role, role or d, role, role or x, permission, permission")
		}
		if r.fields[0] == "x" {
			apart = append(apart, r)
			continue
		}
		if limit, err := c.readLimit(r); err != nil {
			return err
		} else if limit {
			links = append(links, r)
			continue
		}
		role := r.fields[1]
		if _, err := ParseRole(role); err != nil {
			return r.errorf("%v", err)
		}
		switch r.fields[0] {
		case "p":
			if direct[role] == nil {
				direct[role] = make(bitset, (len(c.permissions)+63)/64)
			}
			if !c.add(direct[role], r.fields[2]) {
				return r.errorf("permission %.64q is not in permissions.csv: add it there or correct it", r.fields[2])
			}
		case "g", "d":
			links = append(links, r)
			if r.fields[0] == "g" {
				includes[role] = append(includes[role], r)
			} else {
				c.mayGive[role] = append(c.mayGive[role], r.fields[2])
			}
		default:
			return r.errorf("first field %.16q: want p, g, d or x", r.fields[0])
		}
	}
	for role := range direct {
		c.roles = append(c.roles, role)
	}
	for role := range includes {
		if direct[role] == nil {
			direct[role] = make(bitset, (len(c.permissions)+63)/64)
			c.roles = append(c.roles, role)
		}
	}
	slices.Sort(c.roles)
	if len(c.roles) == 0 || len(c.roles) > maxRoles {
		return fmt.Errorf("authz: policy: roles.csv: %d roles, want 1 to %d", len(c.roles), maxRoles)
	}
	for _, r := range links {
		for _, name := range r.fields[1:] {
			if direct[name] == nil {
				return r.errorf("role %.64q carries nothing: give it a permission or correct the name", name)
			}
		}
	}
	x := expansion{direct: direct, includes: includes, sets: c.sets, height: map[string]int{}}
	for _, role := range c.roles {
		if err := x.expand(role, nil); err != nil {
			return err
		}
	}
	return c.readExclusive(apart)
}

// readExclusive reads the x rows: each names two permissions, or patterns of
// them, that are kept apart. A role that carries both could never be given.
func (c *catalogue) readExclusive(apart []row) error {
	for _, r := range apart {
		pairs, err := c.pairs(r)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if i := slices.IndexFunc(c.roles, func(role string) bool { return c.sets[role].has(p[0]) && c.sets[role].has(p[1]) }); i >= 0 {
				return r.errorf("%s carries both %s and %s, which this row keeps apart: take one from the role or remove the row", c.roles[i], c.permissions[p[0]], c.permissions[p[1]])
			}
			if old := slices.IndexFunc(c.exclusive, func(q [2]int) bool { return q == p }); old < 0 {
				c.exclusive = append(c.exclusive, p)
			}
			if len(c.exclusive) > maxExclusive {
				return r.errorf("more than %d pairs are kept apart: name fewer permissions", maxExclusive)
			}
		}
	}
	return nil
}

// pairs returns what an x row keeps apart, the smaller number first.
func (c *catalogue) pairs(r row) ([][2]int, error) {
	var side [2]bitset
	for i := range side {
		side[i] = make(bitset, (len(c.permissions)+63)/64)
		if !c.add(side[i], r.fields[i+1]) {
			return nil, r.errorf("permission %.64q is not in permissions.csv: add it there or correct it", r.fields[i+1])
		}
	}
	var out [][2]int
	for i := range c.permissions {
		for j := range c.permissions {
			if !side[0].has(i) || !side[1].has(j) {
				continue
			}
			if i == j {
				return nil, r.errorf("%s stands on both sides and cannot be kept apart from itself: name two permissions", c.permissions[i])
			}
			if len(out) >= maxExclusive {
				return nil, r.errorf("more than %d pairs are kept apart: name fewer permissions", maxExclusive)
			}
			out = append(out, [2]int{min(i, j), max(i, j)})
		}
	}
	return out, nil
}

// add sets the bits of a permission or of a pattern that ends in ".*".
func (c *catalogue) add(set bitset, name string) bool {
	prefix, all := strings.CutSuffix(name, "*")
	if !all {
		i, ok := c.number[name]
		if ok {
			set.set(i)
		}
		return ok
	}
	found := false
	for i, p := range c.permissions {
		if strings.HasSuffix(prefix, ".") && strings.HasPrefix(p, prefix) {
			set.set(i)
			found = true
		}
	}
	return found
}

// expansion gives each role what the roles have that it includes. Each role is
// worked out once, however many ways lead to it.
type expansion struct {
	direct   map[string]bitset
	includes map[string][]row
	sets     map[string]bitset // what is worked out
	height   map[string]int    // of those: how many inclusions deep they are
}

func (x expansion) expand(role string, path []string) error {
	set, height := slices.Clone(x.direct[role]), 0
	path = append(path, role)
	for _, r := range x.includes[role] {
		next := r.fields[2]
		if slices.Contains(path, next) {
			return r.errorf("roles include each other in a circle, %s: remove one of these g rows", strings.Join(append(path, next), " > "))
		}
		if len(path)+x.height[next] >= maxRoleDepth {
			return r.errorf("roles nested deeper than %d, %s: include %s directly", maxRoleDepth, strings.Join(append(path, next), " > "), next)
		}
		if x.sets[next] == nil {
			if err := x.expand(next, path); err != nil {
				return err
			}
		}
		for i, w := range x.sets[next] {
			set[i] |= w
		}
		height = max(height, x.height[next]+1)
	}
	x.sets[role], x.height[role] = set, height
	return nil
}

// readLimit reads the rows that say what may be asked for (e) and what may be taken
// in an emergency (b), false for any other row.
func (c *catalogue) readLimit(r row) (bool, error) {
	switch first, second := r.fields[1], r.fields[2]; r.fields[0] {
	case "e":
		c.elevate[first] = append(c.elevate[first], second)
	case "b":
		c.breakGlass[first] = append(c.breakGlass[first], second)
	default:
		return false, nil
	}
	return true, nil
}
