package authz

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func files(t testing.TB, replace map[string]string) fs.FS {
	m := fstest.MapFS{}
	for _, n := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		b, err := os.ReadFile("../policy/" + n)
		require.NoError(t, err)
		m[n] = &fstest.MapFile{Data: b}
	}
	for n, s := range replace {
		if s == "" {
			delete(m, n)
		} else {
			m[n] = &fstest.MapFile{Data: []byte(s)}
		}
	}
	return m
}

const (
	fewPermissions = "a.read, look\na.write, change\n\n# comment\nb.read, look there\n"
	fewRoles       = "p, role:reader, a.read\np, role:writer, a.write\ng, role:writer, role:reader\np, role:all, b.*\n"
)

func TestPolicyExpandsInclusionsAndWildcards(t *testing.T) {
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions, "roles.csv": fewRoles + "g, role:boss, role:writer\ng, role:boss, role:all\nd, role:boss, role:reader\n"}), nil)
	require.NoError(t, err)
	got := map[string]string{}
	for r, ps := range a.Roles() {
		got[r.String()] = fmt.Sprint(ps)
	}
	require.Equal(t, map[string]string{"role:reader": "[a.read]", "role:writer": "[a.read a.write]", "role:all": "[b.read]", "role:boss": "[a.read a.write b.read]"}, got)
	about := map[string]string{}
	for p, s := range a.Permissions() {
		about[p.String()] = s
	}
	require.Equal(t, map[string]string{"a.read": "look", "a.write": "change", "b.read": "look there"}, about)
	for range a.Roles() {
		break
	}
	for range a.Permissions() {
		break
	}
}

func TestBadPoliciesAreRefusedWithPlaceAndFix(t *testing.T) {
	deep := fewRoles
	for i := range maxRoleDepth {
		deep += fmt.Sprintf("g, role:d%d, role:d%d\n", i, i+1)
	}
	deep += fmt.Sprintf("p, role:d%d, a.read\n", maxRoleDepth)
	model := func(old, new string) string {
		b, err := os.ReadFile("../policy/model.conf")
		require.NoError(t, err)
		require.Contains(t, string(b), old)
		return strings.Replace(string(b), old, new, 1)
	}
	for name, c := range map[string]struct {
		file, text string
		want       []string // place and fix
	}{
		"permission without description": {"permissions.csv", "a.read\n", []string{"permissions.csv:1", "want a permission and one description"}},
		"description with a comma":       {"permissions.csv", "a.read, look, see\n", []string{"permissions.csv:1", "without commas"}},
		"empty description":              {"permissions.csv", "a.read,\n", []string{"permissions.csv:1", "one description"}},
		"bad permission":                 {"permissions.csv", "# c\n\nA.Read, look\n", []string{"permissions.csv:3", "want two to five dotted lower-case words"}},
		"wildcard in the catalogue":      {"permissions.csv", "a.*, all\n", []string{"permissions.csv:1", "want two to five"}},
		"permission twice":               {"permissions.csv", fewPermissions + "a.read, again\n", []string{"permissions.csv:6", "line 1 already: remove one"}},
		"permission in no role":          {"permissions.csv", fewPermissions + "c.read, nobody\n", []string{"permissions.csv:6", "is in no role: add it to one or remove it"}},
		"no permissions":                 {"permissions.csv", "# none\n", []string{"permissions.csv", "0 permissions, want 1"}},
		"a very long line":               {"permissions.csv", fewPermissions + "c.read, " + strings.Repeat("x", 70_000) + "\n", []string{"permissions.csv:6", "shorten the line"}},
		"a very big file":                {"roles.csv", strings.Repeat("#", maxPolicyFile+1), []string{"roles.csv", "1048576 at most"}},
		"no file":                        {"roles.csv", "", []string{"roles.csv"}},
		"no roles":                       {"roles.csv", "# none\n", []string{"roles.csv", "0 roles, want 1"}},
		"unknown permission":             {"roles.csv", fewRoles + "p, role:x, a.raed\n", []string{"roles.csv:5", `"a.raed" is not in permissions.csv: add it there or correct it`}},
		"wildcard for nothing":           {"roles.csv", fewRoles + "p, role:x, c.*\n", []string{"roles.csv:5", "not in permissions.csv"}},
		"wildcard for all":               {"roles.csv", fewRoles + "p, role:x, *\n", []string{"roles.csv:5", "not in permissions.csv"}},
		"wildcard within a word":         {"roles.csv", fewRoles + "p, role:x, a.re*\n", []string{"roles.csv:5", "not in permissions.csv"}},
		"bad role":                       {"roles.csv", fewRoles + "p, role:X, a.read\n", []string{"roles.csv:5", "want role: and lower-case"}},
		"principal as a role":            {"roles.csv", fewRoles + "g, user:idp/ana, role:reader\n", []string{"roles.csv:5", "want role:"}},
		"too few fields":                 {"roles.csv", fewRoles + "p, role:x\n", []string{"roles.csv:5", "want three fields"}},
		"too many fields":                {"roles.csv", fewRoles + "p, role:x, a.read, allow\n", []string{"roles.csv:5", "want three fields"}},
		"another first field":            {"roles.csv", fewRoles + "p2, role:x, a.read\n", []string{"roles.csv:5", "want p, g, d or x"}},
		"a line twice":                   {"roles.csv", fewRoles + "p,role:reader,a.read\n", []string{"roles.csv:5", "line 1 already: remove one"}},
		"inclusion of nothing":           {"roles.csv", fewRoles + "g, role:reader, role:nobody\n", []string{"roles.csv:5", `"role:nobody" carries nothing: give it a permission or correct the name`}},
		"gift of nothing":                {"roles.csv", fewRoles + "d, role:reader, role:nobody\n", []string{"roles.csv:5", "carries nothing"}},
		"gift by nobody":                 {"roles.csv", fewRoles + "d, role:nobody, role:reader\n", []string{"roles.csv:5", "carries nothing"}},
		"kept apart from itself":         {"roles.csv", fewRoles + "x, a.read, a.read\n", []string{"roles.csv:5", "a.read stands on both sides", "name two permissions"}},
		"kept apart from its pattern":    {"roles.csv", fewRoles + "x, a.*, a.read\n", []string{"roles.csv:5", "a.read stands on both sides"}},
		"kept apart from nothing":        {"roles.csv", fewRoles + "x, a.read, a.raed\n", []string{"roles.csv:5", `"a.raed" is not in permissions.csv`}},
		"a role kept apart":              {"roles.csv", fewRoles + "x, role:reader, a.read\n", []string{"roles.csv:5", `"role:reader" is not in permissions.csv`}},
		"a role with both":               {"roles.csv", fewRoles + "x, a.write, a.read\n", []string{"roles.csv:5", "role:writer carries both a.read and a.write", "take one from the role or remove the row"}},
		"too few kept apart":             {"roles.csv", fewRoles + "x, a.read\n", []string{"roles.csv:5", "or x, permission, permission"}},
		"circle":                         {"roles.csv", fewRoles + "g, role:reader, role:writer\n", []string{"roles.csv:", "in a circle", "role:reader > role:writer > role:reader: remove one of these g rows"}},
		"a role in itself":               {"roles.csv", fewRoles + "g, role:reader, role:reader\n", []string{"roles.csv:5", "role:reader > role:reader"}},
		"too deep":                       {"roles.csv", deep, []string{"roles.csv:14", "nested deeper than 10", "include role:d10 directly"}},
		"no model":                       {"model.conf", "", []string{"model.conf"}},
		"model is nothing":               {"model.conf", "hello", []string{"model.conf"}},
		"model without deny":             {"model.conf", model("&& !some(where (p.eft == deny))", ""), []string{"model.conf: e: want some(where (p.eft == allow)) && !some"}},
		"model that allows all":          {"model.conf", model("r.act == p.act &&", "true ||"), []string{"model.conf: m: want r.act == p.act"}},
		"model with other fields":        {"model.conf", model("r = sub, act, obj", "r = sub, dom, act, obj"), []string{"model.conf: r: want sub, act, obj"}},
		"model with a second matcher":    {"model.conf", model("[matchers]", "[matchers]\nm2 = true"), []string{"model.conf: m2", "remove it"}},
		"model with a role definition":   {"model.conf", model("[matchers]", "[role_definition]\ng = _, _\n[matchers]"), []string{"model.conf: g", "remove it"}},
	} {
		t.Run(name, func(t *testing.T) {
			replace := map[string]string{"permissions.csv": fewPermissions, "roles.csv": fewRoles}
			replace[c.file] = c.text
			a, err := New(t.Context(), files(t, replace), nil)
			require.Error(t, err)
			require.Nil(t, a)
			for _, w := range append(c.want, "policy") {
				require.ErrorContains(t, err, w)
			}
		})
	}
	_, err := New(t.Context(), nil, nil)
	require.ErrorContains(t, err, "policy.Files()")
}

// What is kept apart is known by number, whichever way and however often a row
// says it.
func TestPermissionsKeptApart(t *testing.T) {
	c, err := readPolicy(files(t, map[string]string{"permissions.csv": fewPermissions, "roles.csv": fewRoles + "x, b.*, a.write\nx, a.read, b.read\nx, b.read, a.*\n"}))
	require.NoError(t, err)
	require.Equal(t, [][2]int{{1, 2}, {0, 2}}, c.exclusive, "a.write and b.read, a.read and b.read")

	var ps, rs strings.Builder
	for i := range 65 {
		fmt.Fprintf(&ps, "a.p%d, look\nb.p%d, look\n", i, i)
	}
	rs.WriteString("p, role:a, a.*\np, role:b, b.*\nx, a.*, b.*\n")
	_, err = readPolicy(files(t, map[string]string{"permissions.csv": ps.String(), "roles.csv": rs.String()}))
	require.ErrorContains(t, err, "roles.csv:3: more than 4096 pairs are kept apart: name fewer permissions")
}

func TestDeepestInclusionThatIsAllowed(t *testing.T) {
	text := fewRoles
	for i := range maxRoleDepth - 1 {
		text += fmt.Sprintf("g, role:d%d, role:d%d\n", i, i+1)
	}
	text += fmt.Sprintf("p, role:d%d, b.read\n", maxRoleDepth-1)
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions, "roles.csv": text}), nil)
	require.NoError(t, err)
	for r, ps := range a.Roles() {
		if r.String() == "role:d0" {
			require.Equal(t, "[b.read]", fmt.Sprint(ps))
		}
	}
}

// A policy with more than 64 permissions uses more than one word of bits.
func TestManyPermissions(t *testing.T) {
	var ps, rs strings.Builder
	for i := range 200 {
		fmt.Fprintf(&ps, "k%d.read, look\n", i)
		fmt.Fprintf(&rs, "p, role:r%d, k%d.read\n", i, i)
	}
	who, at := Principal{"user:idp/ana"}, Resource{"a"}
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": ps.String(), "roles.csv": rs.String()}),
		&Options{Seed: []Authorization{{Principal: who, Role: Role{"role:r130"}, Resource: at, Effect: Allow}}})
	require.NoError(t, err)
	for p := range a.Permissions() {
		d, err := a.Check(t.Context(), Request{Principal: who, Permission: p, Resource: at})
		require.NoError(t, err)
		require.Equal(t, p.String() == "k130.read", d.Allowed, p)
	}
}
