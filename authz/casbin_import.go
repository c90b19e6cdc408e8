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
