package authz

import (
	"errors"
	"fmt"
	"slices"

	"github.com/casbin/casbin/v2/model"
)

// readGroups reads the relation that puts objects into groups. A group is the
// parent of its objects in the tree, so that an object can be in one only.
func (im *Import) readGroups(m model.Model) (bad []string) {
	if im.s.nested == "" {
		return nil
	}
	for i, row := range m["g"][im.s.nested].Policy {
		where := rowName(im.s.nested, i, row)
		switch {
		case len(row) != 2:
			bad = append(bad, finding(where, fmt.Sprintf("%d fields, 2 are asked", len(row)), "write what is meant"))
		case checkSegment(row[0]) != nil || checkSegment(row[1]) != nil:
			bad = append(bad, finding(where, fmt.Sprintf("no names: %v", errors.Join(checkSegment(row[0]), checkSegment(row[1]))), renameIt))
		case row[0] == row[1]:
			im.Inert = append(im.Inert, finding(where, "everything is itself", "nothing to do"))
		case im.above[row[0]] != "" && im.above[row[0]] != row[1]:
			bad = append(bad, finding(where, fmt.Sprintf("%.40q is in another group already, a resource has one parent", row[0]), "write rows for the objects"))
		default:
			im.above[row[0]] = row[1]
		}
	}
	for _, name := range sorted(im.above) {
		n := 0
		for at := name; im.above[at] != "" && n <= im.s.levels; at = im.above[at] {
			n++
		}
		if n > im.s.levels {
			return append(bad, finding(im.s.nested, fmt.Sprintf("groups in a circle or nested deeper than %d, where Casbin stops looking, at %.40q", im.s.levels, name), "nest them less deeply"))
		}
	}
	return bad
}

// readRoles turns the rows of g into memberships.
func (im *Import) readRoles(m model.Model) (bad []string) {
	if im.s.grouped == "" {
		return nil
	}
	type link struct{ from, to scoped }
	var links []link
	want := 2
	if im.s.domain {
		want = 3
	}
	for i, row := range m["g"][im.s.grouped].Policy {
		where := rowName(im.s.grouped, i, row)
		if len(row) != want {
			bad = append(bad, finding(where, fmt.Sprintf("%d fields, %d are asked", len(row), want), "write what is meant"))
			continue
		}
		ok := true
		for j, f := range row {
			if err := checkSegment(f); err != nil {
				bad, ok = append(bad, finding(where, fmt.Sprintf("field %d: %v", j+1, err), renameIt)), false
			}
		}
		dom := ""
		if im.s.domain {
			dom = row[2]
		}
		switch {
		case !ok:
		case row[0] == row[1]:
			im.Inert = append(im.Inert, finding(where, "everybody is themselves", "nothing to do"))
		default:
			links = append(links, link{scoped{dom, row[0]}, scoped{dom, row[1]}})
			im.roles[scoped{dom, row[1]}] = true
		}
	}
	if len(bad) > 0 {
		return bad
	}
	direct := map[scoped][]scoped{}
	for _, l := range links {
		direct[l.from] = append(direct[l.from], l.to)
	}
	above := make(map[scoped]int, len(direct)) // levels above, once known
	var height func(n scoped, below int) (levels int, ends bool)
	height = func(n scoped, below int) (int, bool) {
		if h, ok := above[n]; ok {
			return h, true
		}
		if below > im.s.levels {
			return 0, false
		}
		h := 0
		for _, to := range direct[n] {
			up, ends := height(to, below+1)
			if !ends {
				return 0, false
			}
			h = max(h, up+1)
		}
		above[n] = h
		return h, true
	}
	for _, l := range links {
		if h, ends := height(l.from, 0); !ends || h > im.s.levels {
			return []string{finding(im.s.grouped, fmt.Sprintf("roles in a circle or nested deeper than %d, where Casbin stops looking, above %.40q", im.s.levels, l.from.name), "nest them less deeply")}
		}
	}
	seen := map[Membership]bool{}
	for _, l := range links {
		var x Membership
		var err1, err2 error
		x.Member, err1 = im.principal(l.from)
		x.Team, err2 = im.principal(l.to)
		if err := errors.Join(err1, err2); err != nil {
			bad = append(bad, finding(im.s.grouped, fmt.Sprintf("%.40q in %.40q: %v", l.from.name, l.to.name, err), renameIt))
		} else if !seen[x] {
			seen[x] = true
			im.Members = append(im.Members, x)
		}
	}
	return bad
}

// readLinks compares the links that Casbin follows with the rows that they are
// made of. Code can make others, and forget to make them anew.
func (im *Import) readLinks(m model.Model) (bad []string) {
	want := map[string]map[scoped]map[string]bool{im.s.grouped: {}, im.s.nested: {}}
	at := func(key string, n scoped) map[string]bool {
		if want[key][n] == nil {
			want[key][n] = map[string]bool{}
		}
		return want[key][n]
	}
	dom := func(row []string, field int) string {
		if im.s.domain {
			return row[field]
		}
		return ""
	}
	for _, row := range m["p"]["p"].Policy {
		if im.s.grouped != "" {
			field := 0
			if im.s.domain {
				field = im.s.path[0].p
			}
			at(im.s.grouped, scoped{dom(row, field), row[im.s.sub.p]})
		}
		if im.s.nested != "" {
			at(im.s.nested, scoped{"", row[im.s.path[len(im.s.path)-1].p]})
		}
	}
	for _, key := range []string{im.s.grouped, im.s.nested} {
		if key == "" {
			continue
		}
		for _, row := range m["g"][key].Policy {
			in := dom(row, len(row)-1)
			at(key, scoped{in, row[0]})
			at(key, scoped{in, row[1]})[row[0]] = true
		}
		for n, users := range want[key] {
			var args []string
			if im.s.domain {
				args = []string{n.dom}
			}
			got, err := m["g"][key].RM.GetUsers(n.name, args...)
			if err != nil || len(got) != len(users) || slices.ContainsFunc(got, func(u string) bool { return !users[u] }) {
				return append(bad, finding(key, fmt.Sprintf("its links are not those of its rows, at %.40q", n.name), "call BuildRoleLinks before, or write the rows"))
			}
		}
		if key == im.s.nested && key == im.s.grouped {
			break
		}
	}
	return bad
}
