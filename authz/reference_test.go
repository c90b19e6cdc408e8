package authz

import (
	"slices"
	"strings"
	"time"
)

// refWorld says what the package comment says, as plainly as possible and with
// none of the code it judges: text in, yes or no out, no index, no escapes.
type refWorld struct {
	carries  map[string][]string // role to permissions and patterns
	includes map[string][]string // role to roles
	members  [][2]string         // member, team
	rows     []refRow
}

type refRow struct {
	id, who, role string
	on            []string
	deny          bool
	from, until   time.Time // zero: open
}

// has: a role has what it carries and what the roles it includes have.
func (w *refWorld) has(role, permission string) bool {
	for _, c := range w.carries[role] {
		if c == permission || strings.HasSuffix(c, ".*") && strings.HasPrefix(permission, c[:len(c)-1]) {
			return true
		}
	}
	return slices.ContainsFunc(w.includes[role], func(r string) bool { return w.has(r, permission) })
}

// is: everybody is themselves, and a member is what its team is.
func (w *refWorld) is(who, holder string) bool {
	if who == holder {
		return true
	}
	return slices.ContainsFunc(w.members, func(m [2]string) bool { return m[0] == who && w.is(m[1], holder) })
}

// below: a resource contains itself and what begins with it, segment by segment.
func below(on, top []string) bool {
	for i := range top {
		if i >= len(on) || on[i] != top[i] {
			return false
		}
	}
	return true
}

// allowed: some row allows, and no row denies.
func (w *refWorld) allowed(who, permission string, on []string, now time.Time) bool {
	allow, deny := false, false
	for _, r := range w.rows {
		if r.counts(now) && below(on, r.on) && w.is(who, r.who) && w.has(r.role, permission) {
			allow, deny = allow || !r.deny, deny || r.deny
		}
	}
	return allow && !deny
}

// both: whoever acts for another can do what both can do.
func (w *refWorld) both(who, behalf, permission string, on []string, now time.Time) bool {
	return w.allowed(who, permission, on, now) && (behalf == "" || w.allowed(behalf, permission, on, now))
}

// counts: a row counts from its from on and until its until.
func (r refRow) counts(now time.Time) bool {
	return (r.from.IsZero() || !now.Before(r.from)) && (r.until.IsZero() || now.Before(r.until))
}

// matrix is allowed() for everything at once, row by row: for each who and, within
// it, each place, a word with one bit for each permission.
func (w *refWorld) matrix(who, permissions []string, on [][]string, now time.Time) []uint64 {
	allow, deny := make([]uint64, len(who)*len(on)), make([]uint64, len(who)*len(on))
	masks, holders := map[string]uint64{}, map[string][]int{}
	for _, r := range w.rows {
		if !r.counts(now) {
			continue
		}
		mask, known := masks[r.role]
		for b := 0; !known && b < len(permissions); b++ {
			if w.has(r.role, permissions[b]) {
				mask |= 1 << b
			}
		}
		masks[r.role] = mask
		are, known := holders[r.who]
		for i := 0; !known && i < len(who); i++ {
			if w.is(who[i], r.who) {
				are = append(are, i)
			}
		}
		holders[r.who] = are
		for k := range on {
			if below(on[k], r.on) {
				for _, i := range are {
					if r.deny {
						deny[i*len(on)+k] |= mask
					} else {
						allow[i*len(on)+k] |= mask
					}
				}
			}
		}
	}
	for i := range allow {
		allow[i] &^= deny[i]
	}
	return allow
}
