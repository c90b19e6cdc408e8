package authz

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing/fstest" // a map as a file system; it does not import testing

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
)

// Import is a Casbin model and policy in the terms of this package. An action
// is a permission and a role that carries just it; a p row is an Authorization
// of that role to a user or team; a Casbin role is a Team, one in every domain
// if there are domains; an object is a resource below the resource casbin and,
// with domains, below its domain there. The names are escaped, so that
// different names stay different.
//
// Hand Policy to New, with Authorizations and Members as Options.Seed and
// Options.SeedMembers, then Prove that both say the same.
type Import struct {
	Policy         fs.FS // model.conf, permissions.csv and roles.csv
	Authorizations []Authorization
	Members        []Membership

	// NotExpressed says which definition or row has no equal here, why, and
	// what to do instead. If it is not empty nothing is imported: part of a
	// policy is another policy.
	NotExpressed []string

	// Inert says which rows and definitions were left out because no
	// decision of Casbin depends on them.
	Inert []string

	e      *casbin.Enforcer
	s      shape
	roles  map[scoped]bool
	above  map[string]string // object to its group
	acts   map[string]string // permission to action
	domain [][]string        // for each field of a request, the names that the policy knows
}

// scoped is a name in a domain; without domains that is "".
type scoped struct{ dom, name string }

// most findings that are listed; what follows is counted only.
const maxFindings = 1000

// FromCasbin imports the model and policy of an Enforcer: access lists, roles,
// roles with domains, groups of objects that form a tree, with rows that allow
// or a deny that wins. It changes nothing in the Enforcer and must not run
// beside a writer of it.
//
// What cannot be expressed exactly is never approximated: the error is then
// ErrUnsupported and the Import holds nothing but the list of reasons.
func FromCasbin(e *casbin.Enforcer) (*Import, error) {
	if e == nil {
		return nil, errors.New("authz: import: no Enforcer given")
	}
	s, bad := readShape(e)
	if len(bad) > 0 {
		return notExpressed(bad)
	}
	im := &Import{e: e, s: s, roles: map[scoped]bool{}, above: map[string]string{}, acts: map[string]string{}}
	m := e.GetModel()
	for _, key := range sorted(m["g"]) {
		if key != s.grouped && key != s.nested {
			im.Inert = append(im.Inert, finding(key, "the matcher does not ask it", "nothing to do"))
		}
	}
	for i, t := range m["p"]["p"].Tokens {
		if i != s.sub.p && i != s.act.p && i != s.eft && !slices.ContainsFunc(s.path, func(x pair) bool { return x.p == i }) {
			im.Inert = append(im.Inert, finding(strings.Replace(t, "_", ".", 1), "the matcher does not ask it", "nothing to do"))
		}
	}
	bad = append(bad, im.readGroups(m)...)
	bad = append(bad, im.readRoles(m)...)
	if len(bad) == 0 {
		bad = append(bad, im.readRows(m)...)
	}
	if len(bad) == 0 {
		bad = append(bad, im.readLinks(m)...)
	}
	if len(bad) > 0 {
		return notExpressed(bad)
	}
	if n := len(im.Inert); n > maxFindings {
		im.Inert = append(im.Inert[:maxFindings:maxFindings], fmt.Sprintf("and %d more", n-maxFindings))
	}
	im.nameDomain(m)
	if _, err := readPolicy(im.Policy); err != nil {
		return nil, fmt.Errorf("authz: import: %w", err)
	}
	return im, nil
}

func notExpressed(bad []string) (*Import, error) {
	more := ""
	if len(bad) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(bad)-1)
	}
	err := fmt.Errorf("authz: import: %s%s: %w", bad[0], more, ErrUnsupported)
	if len(bad) > maxFindings {
		bad = append(bad[:maxFindings:maxFindings], fmt.Sprintf("and %d more", len(bad)-maxFindings))
	}
	return &Import{NotExpressed: bad}, err
}

// rowName names a row by its place and, as far as it can be shown, its text.
func rowName(key string, i int, row []string) string {
	return fmt.Sprintf("%s row %d (%.120q)", key, i+1, strings.Join(row, ", "))
}

const renameIt = "give it a name that can be shown, of at most 1024 bytes"

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

// readRows turns the p rows into Authorizations, and their actions into a
// policy.
func (im *Import) readRows(m model.Model) (bad []string) {
	type key struct {
		who    Principal
		role   Role
		on     Resource
		effect Effect
	}
	seen := map[key]bool{}
	roleOf := map[string]string{} // role to action
	var perms, roles strings.Builder
	for i, row := range m["p"]["p"].Policy {
		where := rowName("p", i, row)
		if len(row) != im.s.columns {
			bad = append(bad, finding(where, fmt.Sprintf("%d fields, %d are defined, so that Casbin fails at every request", len(row), im.s.columns), "complete it"))
			continue
		}
		effect := Allow
		if im.s.eft >= 0 {
			switch row[im.s.eft] {
			case "allow":
			case "deny":
				effect = Deny
			default:
				effect = 0
			}
		}
		if effect == 0 || effect == Deny && !im.s.denies {
			im.Inert = append(im.Inert, finding(where, fmt.Sprintf("e does not look at %.40q", row[im.s.eft]), "define e so that a deny wins, if that is meant"))
			continue
		}
		x := key{effect: effect}
		values := make([]string, len(im.s.request))
		values[im.s.sub.r], values[im.s.act.r] = row[im.s.sub.p], row[im.s.act.p]
		for _, p := range im.s.path {
			values[p.r] = row[p.p]
		}
		req, err := im.Request(values...)
		if err != nil {
			bad = append(bad, finding(where, strings.TrimPrefix(err.Error(), "authz: casbin: "), renameIt))
			continue
		}
		x.who, x.on = req.Principal, req.Resource
		act := values[im.s.act.r]
		perm, role, err := actNames(act)
		if err != nil {
			bad = append(bad, finding(where, err.Error(), renameIt))
			continue
		}
		x.role = Role{role}
		if known, ok := im.acts[perm]; !ok {
			im.acts[perm] = act
			fmt.Fprintf(&perms, "%s, action %s of Casbin\n", perm, escape(act))
			fmt.Fprintf(&roles, "p, %s, %s\n", role, perm)
		} else if known != act {
			bad = append(bad, finding(where, fmt.Sprintf("its action would be the same permission as %.40q", known), "rename one"))
		}
		if known, ok := roleOf[role]; !ok {
			roleOf[role] = act
		} else if known != act {
			bad = append(bad, finding(where, fmt.Sprintf("its action would be the same role as %.40q", known), "rename one"))
		}
		if seen[x] {
			continue
		}
		seen[x] = true
		reason := "imported from Casbin: p, " + strings.Join(row, ", ")
		if len(reason) > 512 {
			reason = strings.ToValidUTF8(reason[:512], "")
		}
		im.Authorizations = append(im.Authorizations, Authorization{Principal: x.who, Role: x.role, Resource: x.on, Effect: x.effect, Reason: reason})
	}
	switch {
	case len(bad) > 0:
	case len(im.acts) == 0:
		bad = append(bad, finding("p", "no row allows or denies anything", "load the policy before it is imported: Casbin takes a missing one for an empty one"))
	case len(im.acts) > min(maxPermissions, maxRoles) || perms.Len() > maxPolicyFile || roles.Len() > maxPolicyFile:
		bad = append(bad, finding("p", fmt.Sprintf("%d actions, %d at most", len(im.acts), min(maxPermissions, maxRoles)), "an action is a verb; move names into the object"))
	}
	im.Policy = fstest.MapFS{"model.conf": {Data: []byte(indexable)}, "permissions.csv": {Data: []byte(perms.String())}, "roles.csv": {Data: []byte(roles.String())}}
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

// principal returns who a name is: a team where it is a role, and else a user.
// In Casbin whoever can choose the name of a role has the role; here a user
// never is a team, whatever its name.
func (im *Import) principal(n scoped) (Principal, error) {
	if !im.roles[n] {
		return User(imported, n.name)
	}
	if im.s.domain {
		return roleTeam([]string{n.dom}, n.name)
	}
	return roleTeam(nil, n.name)
}

// Request translates the values of a Casbin request, in the order of the
// model's request definition. Values that cannot be names here are refused
// with an error; Casbin's answer to them should not be trusted either.
func (im *Import) Request(values ...string) (Request, error) {
	if im == nil || im.roles == nil {
		return Request{}, fmt.Errorf("authz: casbin: nothing was imported: %w", ErrUnsupported)
	}
	if len(values) != len(im.s.request) {
		return Request{}, fmt.Errorf("authz: casbin: %d values, want %s", len(values), strings.Join(im.s.request, ", "))
	}
	refuse := func(field int, err error) (Request, error) {
		return Request{}, fmt.Errorf("authz: casbin: %s: %w", im.s.request[field], err)
	}
	if err := checkSegment(values[im.s.sub.r]); err != nil {
		return refuse(im.s.sub.r, err)
	}
	segments := make([]string, 1, 1+len(im.s.path))
	segments[0] = imported
	for i, p := range im.s.path {
		if err := checkSegment(values[p.r]); err != nil {
			return refuse(p.r, err)
		}
		if i == len(im.s.path)-1 && im.s.nested != "" {
			at := len(segments)
			for up := im.above[values[p.r]]; up != ""; up = im.above[up] {
				segments = slices.Insert(segments, at, up)
			}
		}
		segments = append(segments, values[p.r])
	}
	on, err := NewResource(segments...)
	if err != nil {
		return Request{}, fmt.Errorf("authz: casbin: %w", err)
	}
	who := scoped{name: values[im.s.sub.r]}
	if im.s.domain {
		who.dom = values[im.s.path[0].r]
	}
	p, err := im.principal(who)
	if err != nil {
		return refuse(im.s.sub.r, err)
	}
	perm, _, err := actNames(values[im.s.act.r])
	if err != nil {
		return refuse(im.s.act.r, err)
	}
	return Request{Principal: p, Permission: Permission{perm}, Resource: on}, nil
}

// Values is the inverse of Request, as NewShadow wants it: the request that
// Casbin knows, false if there is none. Fields that the matcher does not look
// at are empty.
func (im *Import) Values(req Request) ([]any, bool) {
	if im == nil || im.roles == nil || !req.OnBehalfOf.IsZero() {
		return nil, false
	}
	values := make([]string, len(im.s.request))
	act, ok := im.acts[req.Permission.name]
	segments := req.Resource.Segments()
	if !ok || len(segments) < 1+len(im.s.path) {
		return nil, false
	}
	values[im.s.act.r] = act
	for i, p := range im.s.path {
		values[p.r] = segments[i+1]
		if i == len(im.s.path)-1 {
			values[p.r] = segments[len(segments)-1]
		}
	}
	_, name, _ := strings.Cut(req.Principal.name, ":")
	parts := strings.Split(name, "/")
	if req.Principal.IsTeam() {
		whole, err := unescape(parts[0])
		if err != nil {
			return nil, false
		}
		parts = strings.Split(whole, "/")
	}
	sub, err := unescape(parts[len(parts)-1])
	if err != nil {
		return nil, false
	}
	values[im.s.sub.r] = sub
	if back, err := im.Request(values...); err != nil || back.Principal != req.Principal || back.Permission != req.Permission || back.Resource != req.Resource {
		return nil, false
	}
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out, true
}
