package authz

import (
	"fmt"
	"slices"
)

// conflict is a pair of Authorizations that bring together what a row of the
// policy keeps apart. The first carries the first permission of the row.
type conflict struct {
	row  [2]int
	x, y Authorization
}

func (c conflict) same(o conflict) bool {
	return c.row == o.row && c.x.ID == o.x.ID && c.y.ID == o.y.ID
}

// separated: nobody comes to hold both of two permissions that the policy keeps
// apart, on one resource, at one time. Denies and conditions do not help: they
// can go away. Who held both before is not touched.
func separated(ix, next state, c Change) error {
	cat := next.cat()
	if len(cat.exclusive) == 0 {
		return nil
	}
	for _, name := range redefined(ix, next) {
		for _, row := range cat.exclusive {
			if cat.sets[name].has(row[0]) && cat.sets[name].has(row[1]) {
				return fmt.Errorf("authz: define %s: carries both of x, %s, %s: %w", name, cat.permissions[row[0]], cat.permissions[row[1]], ErrSeparation)
			}
		}
	}
	for _, p := range inOrder(touched(ix, next, c)) {
		after := conflicts(next, p)
		if len(after) == 0 {
			continue
		}
		before := conflicts(ix, p)
		for _, k := range after {
			if slices.ContainsFunc(before, k.same) {
				continue
			}
			there := k.x // the one that was there; the other is what is given
			if _, ok := ix.get(there.ID); !ok {
				there = k.y
			}
			on := k.x.Resource
			if on.Contains(k.y.Resource) {
				on = k.y.Resource
			}
			return fmt.Errorf("authz: %s would hold both of x, %s, %s on %s: conflicts with %s, %s on %s: %w",
				p, cat.permissions[k.row[0]], cat.permissions[k.row[1]], on, there.ID, there.Role, there.Resource, ErrSeparation)
		}
	}
	return nil
}

// conflicts returns what a principal holds, or will hold, of what is kept apart.
func conflicts(ix state, p Principal) (out []conflict) {
	now := ix.time()
	for _, row := range ix.cat().exclusive {
		var side [2][]Authorization
		for h := range holdings(ix, p) {
			if h.Effect != Allow || h.Pending || !now.Before(ends(h)) {
				continue
			}
			for i, bit := range row {
				if ix.cat().sets[h.Role.name].has(bit) {
					side[i] = append(side[i], h)
				}
			}
		}
		for _, x := range side[0] {
			for _, y := range side[1] {
				if (x.Resource.Contains(y.Resource) || y.Resource.Contains(x.Resource)) && x.From.Before(ends(y)) && y.From.Before(ends(x)) {
					out = append(out, conflict{row, x, y})
				}
			}
		}
	}
	return out
}
