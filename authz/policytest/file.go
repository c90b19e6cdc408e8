package policytest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lockkeeper/lockkeeper/authz"
)

// File is a test file as read.
type File struct {
	Name       string
	Policy     string // folder of the policy, "." unless the file says another
	World      World
	Checks     []Check
	Lists      []List
	Gifts      []Gift
	Invariants []Invariant
}

// Check asks whether somebody can do something somewhere. Each combination of
// its names is one question.
type Check struct {
	Line       int
	Who        []authz.Principal
	Can        []string // permissions and patterns
	On         []Place
	OnBehalfOf authz.Principal
	At         time.Time // zero: when the world is
	Allow      bool      // what is expected
	Because    string    // ROLE[@RESOURCE][ via TEAM] or "nothing"; "" asks for no reason
}

// Place is a resource, perhaps with everything below it.
type Place struct {
	Resource authz.Resource
	Below    bool
}

// String writes the place as a test file does.
func (p Place) String() string {
	if p.Below {
		return p.Resource.String() + "/**"
	}
	return p.Resource.String()
}

func parsePlace(s string) (Place, error) {
	s, below := strings.CutSuffix(s, "/**")
	r, err := authz.ParseResource(s)
	return Place{r, below}, err
}

// List asks for everybody who can do something, for everything that somebody
// can do, or for all roles that carry a permission. One of WhoCan, WhatCan,
// Role and RolesWith is set.
type List struct {
	Line      int
	WhoCan    string
	WhatCan   authz.Principal
	Role      authz.Role
	RolesWith string
	On        authz.Resource // for WhoCan and WhatCan
	At        time.Time      // zero: when the world is
	Expect    []string
}

// Gift asks whether somebody may give a role.
type Gift struct {
	Line       int
	Who        authz.Principal
	OnBehalfOf authz.Principal
	Give       authz.Role
	To         authz.Principal
	On         authz.Resource
	Permitted  bool
	Because    string // what the refusal must say; "" asks for nothing
}

// Read reads a test file. The error joins one for each mistake, with file, line
// and fix.
func Read(name string, text []byte) (*File, error) {
	r := &reader{file: name}
	f := &File{Name: name, Policy: ".", World: World{At: defaultTime()}}
	doc := r.parse(text)
	if doc == nil {
		return nil, r.err()
	}
	m := r.fields(doc, "file", "policy", "world", "checks", "lists", "permitted", "forbidden", "invariants")
	if n := m["policy"]; n != nil {
		f.Policy = read(r, n, "policy", func(s string) (string, error) {
			if !fs.ValidPath(path.Clean(s)) {
				return ".", errors.New("want a folder within the one that is tested, without ..")
			}
			return path.Clean(s), nil
		})
	}
	if n := m["world"]; n != nil {
		f.World = r.world(n)
	}
	for _, n := range r.items(m["checks"], "checks") {
		f.Checks = append(f.Checks, r.check(n))
	}
	for _, n := range r.items(m["lists"], "lists") {
		f.Lists = append(f.Lists, r.list(n))
	}
	for _, n := range r.items(m["permitted"], "permitted") {
		f.Gifts = append(f.Gifts, r.gift(n, true))
	}
	for _, n := range r.items(m["forbidden"], "forbidden") {
		f.Gifts = append(f.Gifts, r.gift(n, false))
	}
	for _, n := range r.items(m["invariants"], "invariants") {
		f.Invariants = append(f.Invariants, r.invariant(n))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return f, nil
}

func parseText(s string) (string, error) { return s, nil }

// parsePattern reads a permission, a pattern of permissions, or "*".
func parsePattern(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	stem, _ := strings.CutSuffix(s, ".*")
	if stem != s && !strings.Contains(stem, ".") {
		stem += ".x" // one word is enough before a star
	}
	if _, err := authz.ParsePermission(stem); err != nil {
		return "", errors.New(`want a permission as in secrets.use, a pattern as in secrets.* or "*"`)
	}
	return s, nil
}

func parseExpect(s string) (bool, error) {
	switch s {
	case "allow":
		return true, nil
	case "deny":
		return false, nil
	}
	return false, errors.New("want allow or deny")
}

func (r *reader) check(n *yaml.Node) Check {
	m := r.fields(n, "check", "who", "can", "on", "onBehalfOf", "at", "expect", "because")
	if len(m) == 0 {
		return Check{}
	}
	return Check{
		Line:       n.Line,
		Who:        needMany(r, n.Line, m, "who", authz.ParsePrincipal),
		Can:        needMany(r, n.Line, m, "can", parsePattern),
		On:         needMany(r, n.Line, m, "on", parsePlace),
		Allow:      need(r, n.Line, m, "expect", parseExpect),
		OnBehalfOf: may(r, m, "onBehalfOf", authz.ParsePrincipal),
		At:         may(r, m, "at", parseTime),
		Because:    may(r, m, "because", parseBecause),
	}
}

// parseBecause reads ROLE[@RESOURCE][ via TEAM] or nothing.
func parseBecause(s string) (string, error) {
	if s == "nothing" {
		return s, nil
	}
	rest, team, via := strings.Cut(s, " via ")
	role, on, at := strings.Cut(rest, "@")
	_, err := authz.ParseRole(role)
	if err == nil && at {
		_, err = authz.ParseResource(on)
	}
	if err == nil && via {
		_, err = authz.ParsePrincipal(team)
	}
	if err != nil {
		return "", errors.New("want role:NAME, role:NAME@RESOURCE, either with via team:NAME, or nothing")
	}
	return s, nil
}

func (r *reader) list(n *yaml.Node) List {
	m := r.fields(n, "list", "who-can", "what-can", "roles-with", "on", "at", "expect")
	l := List{Line: n.Line, At: may(r, m, "at", parseTime)}
	if len(m) == 0 {
		return l
	}
	kinds := 0
	for _, k := range []string{"who-can", "what-can", "roles-with"} {
		if m[k] != nil {
			kinds++
		}
	}
	if kinds != 1 {
		r.errorf(n.Line, "want one of who-can, what-can and roles-with")
		return l
	}
	expect, place := func(s string) (string, error) { return parsePattern(s) }, true
	switch {
	case m["who-can"] != nil:
		l.WhoCan = read(r, m["who-can"], "who-can", parsePattern)
		expect = func(s string) (string, error) { _, err := authz.ParsePrincipal(s); return s, err }
	case m["roles-with"] != nil:
		l.RolesWith, place = read(r, m["roles-with"], "roles-with", parsePattern), false
		expect = func(s string) (string, error) { _, err := authz.ParseRole(s); return s, err }
	default:
		if strings.HasPrefix(m["what-can"].Value, "role:") {
			l.Role, place = read(r, m["what-can"], "what-can", authz.ParseRole), false
		} else {
			l.WhatCan = read(r, m["what-can"], "what-can", authz.ParsePrincipal)
		}
	}
	switch {
	case place:
		l.On = need(r, n.Line, m, "on", authz.ParseResource)
	case m["on"] != nil || m["at"] != nil:
		r.errorf(n.Line, "on and at have no meaning for roles: remove them")
	}
	if m["expect"] == nil {
		r.errorf(n.Line, "expect is missing: [] expects nobody and nothing")
		return l
	}
	l.Expect = many(r, m["expect"], "expect", expect)
	slices.Sort(l.Expect)
	return l
}

func (r *reader) gift(n *yaml.Node, permitted bool) Gift {
	m := r.fields(n, "gift", "who", "onBehalfOf", "give", "to", "on", "because")
	if len(m) == 0 {
		return Gift{}
	}
	if permitted && m["because"] != nil {
		r.errorf(n.Line, "because is for what is forbidden: remove it")
	}
	return Gift{
		Line:       n.Line,
		Who:        need(r, n.Line, m, "who", authz.ParsePrincipal),
		OnBehalfOf: may(r, m, "onBehalfOf", authz.ParsePrincipal),
		Give:       need(r, n.Line, m, "give", authz.ParseRole),
		To:         need(r, n.Line, m, "to", authz.ParsePrincipal),
		On:         need(r, n.Line, m, "on", authz.ParseResource),
		Because:    may(r, m, "because", parseText),
		Permitted:  permitted,
	}
}

// Load reads every *_test.yaml of a file system, in folders too. No file is an
// error: a test of nothing passes.
func Load(fsys fs.FS) ([]*File, error) {
	var out []*File
	var errs []error
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, "_test.yaml"):
			return nil
		case len(out)+len(errs) >= maxFiles:
			return fmt.Errorf("more than %d test files: name a smaller folder", maxFiles)
		}
		if st, err := d.Info(); err == nil && st.Size() > maxFile {
			errs = append(errs, fmt.Errorf("%s:1: %d bytes, %d at most: split the file", p, st.Size(), maxFile))
			return nil
		}
		b, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		f, err := Read(p, b)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("policytest: %w", err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("policytest: %w", err)
	}
	if len(out) == 0 {
		return nil, errors.New("policytest: no file *_test.yaml: a test of nothing would pass")
	}
	return out, nil
}

const maxFiles = 1000
