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

const lintPermissions = `a.read, look
a.write, change
b.read, look there
secrets.use, use
secrets.write, put
mailbox.items.read, read
authz.authorizations.write, give
`

const lintRoles = `p, role:reader, a.read
p, role:writer, a.write
p, role:writer, b.read
p, role:connection, secrets.use
p, role:keeper, secrets.write
p, role:user, mailbox.items.read
p, role:admin, authz.authorizations.write
p, role:admin, b.read
d, role:admin, role:reader
d, role:admin, role:writer
d, role:admin, role:connection
d, role:admin, role:keeper
d, role:admin, role:user
x, secrets.use, secrets.write
`

func lint(t *testing.T, permissions, roles string) []string {
	var out []string
	for _, f := range Lint(files(t, map[string]string{"permissions.csv": permissions, "roles.csv": roles})) {
		out = append(out, f.String())
	}
	return out
}

func TestLintFinds(t *testing.T) {
	base := lint(t, lintPermissions, lintRoles)
	require.Equal(t, []string{"roles.csv:12: note: role:admin hands out role:connection and role:keeper, which nobody can hold together, by line 14 (secrets.use and secrets.write) [separation]"}, base)
	for name, c := range map[string]struct {
		permissions, roles string   // added
		want               []string // each in one finding; the whole of what is new
	}{
		"nothing": {"", "", nil},
		"a permission that its role has by a pattern": {"", "p, role:reader, a.*\n", []string{
			"roles.csv:1: warning: role:reader has a.read already by line 15 (p, role:reader, a.*): remove this row [shadowed-row]"}},
		"a pattern that says what one permission says": {"", "p, role:writer, b.*\n", []string{
			"roles.csv:15: warning: role:writer has b.* already by line 3 (p, role:writer, b.read): remove this row [shadowed-row]"}},
		"a permission that an included role has": {"", "g, role:writer, role:reader\np, role:writer, a.read\n", []string{
			"roles.csv:16: warning: role:writer has a.read already by line 15 (g, role:writer, role:reader): remove this row [shadowed-row]"}},
		"an inclusion that another brings": {"", "g, role:writer, role:reader\ng, role:user, role:writer\ng, role:user, role:reader\n", []string{
			"roles.csv:17: warning: role:user includes role:reader already by line 16 (g, role:user, role:writer): remove this row [shadowed-row]"}},
		"an x row the other way round": {"", "x, secrets.write, secrets.use\n", []string{
			"roles.csv:15: warning: what this row keeps apart is kept apart already by line 14 (x, secrets.use, secrets.write): remove this row [shadowed-row]",
			"which nobody can hold together, by line 15 (secrets.use and secrets.write) [separation]"}},
		"a permission in no role": {"c.read, nobody\n", "", []string{"permissions.csv:8: error: permission c.read is in no role: add it to one or remove it [unused-permission]"}},
		"two roles that are one": {"", "p, role:viewer, a.read\nd, role:admin, role:viewer\n", []string{
			"roles.csv:15: warning: role:viewer carries just what role:reader carries: keep one of them [same-roles]"}},
		"a role for nobody": {"", "p, role:spare, a.read\np, role:spare, a.write\n", []string{
			"roles.csv:15: note: role:spare can be given at installation only, since no role hands it out: add a d row if somebody should [unreachable-role]"}},
		"a gift by who cannot give": {"", "d, role:reader, role:writer\n", []string{
			"roles.csv:15: warning: role:reader lacks authz.authorizations.write and can give nobody anything: add the permission or remove this row [idle-row]"}},
		"a gift of what the giver has": {"", "p, role:small, b.read\nd, role:admin, role:small\n", []string{
			"roles.csv:16: warning: role:admin holds all of role:small and can give it without this row: remove it [idle-row]"}},
		"a pattern that reaches credentials": {"secrets.describe, see\n", "p, role:describer, secrets.*\nd, role:admin, role:describer\n", []string{
			"roles.csv:15: warning: secrets.* reaches secrets.describe, and every permission for credentials that is added later: name each one [too-wide]",
			"roles.csv:16: note: role:admin hands out role:connection and role:describer",
			"roles.csv:16: note: role:admin hands out role:keeper and role:describer",
			"roles.csv:14: error: role:describer carries both secrets.use and secrets.write, which this row keeps apart: take one from the role or remove the row [separation]"}},
		"giving and content": {"", "p, role:admin, mailbox.items.read\n", []string{
			"roles.csv:7: warning: role:admin gives roles and reaches content (mailbox.items.read): make two roles of it [too-wide]",
			"roles.csv:13: warning: role:admin holds all of role:user and can give it without this row: remove it [idle-row]"}},
		"staff that reads content": {"", "p, role:support, mailbox.*\np, role:support, a.read\nd, role:admin, role:support\n", []string{
			"roles.csv:15: error: role:support is staff and reaches mailbox.items.read: take it away [internal-content]"}},
		"staff that reads content through a role": {"", "p, role:sales-emea, a.read\ng, role:sales-emea, role:user\nd, role:admin, role:sales-emea\n", []string{
			"roles.csv:16: error: role:sales-emea is staff and reaches mailbox.items.read through role:user: name the permissions it needs instead [internal-content]"}},
		"a role that hands out itself": {"", "d, role:admin, role:admin\n", []string{
			"roles.csv:15: error: what is handed out comes back to its giver, role:admin > role:admin: remove one of these d rows [own-extension]"}},
		"handing out in a circle": {"", "p, role:boss, authz.authorizations.write\np, role:boss, a.read\nd, role:boss, role:admin\nd, role:admin, role:boss\n", []string{
			"roles.csv:17: error: what is handed out comes back to its giver, role:admin > role:boss > role:admin: remove one of these d rows [own-extension]"}},
		"handing out what includes the giver": {"", "p, role:chief, a.read\ng, role:chief, role:admin\nd, role:admin, role:chief\n", []string{
			"roles.csv:17: error: role:admin hands out role:chief, which includes role:admin: whoever gets it can pass it back: remove this row [own-extension]"}},
		"roles in a circle": {"", "g, role:reader, role:writer\ng, role:writer, role:reader\n", []string{
			"in a circle, role:reader > role:writer > role:reader: remove one of these g rows [circle]",
			"role:writer carries just what role:reader carries"}},
		"a role in itself": {"", "g, role:reader, role:reader\n", []string{"roles.csv:15: error: roles include each other in a circle, role:reader > role:reader"}},
		"an unknown permission": {"", "p, role:reader, b.raed\n", []string{
			`roles.csv:15: error: permission "b.raed" is not in permissions.csv: add it there or correct it, perhaps b.read [unknown]`}},
		"an unknown role": {"", "g, role:reader, role:witer\n", []string{
			`roles.csv:15: error: role "role:witer" carries nothing: give it a permission or correct the name, perhaps role:writer [unknown]`}},
		"a gift of an unknown role": {"", "d, role:admin, role:nobody-at-all\n", []string{
			`roles.csv:15: error: role "role:nobody-at-all" carries nothing: give it a permission or correct the name [unknown]`}},
		"an unknown permission kept apart": {"", "x, a.read, a.raed\n", []string{`roles.csv:15: error: permission "a.raed" is not in permissions.csv: add it there or correct it [separation]`}},
		"a role that breaks an x row": {"", "p, role:both, a.write\np, role:both, a.read\nd, role:admin, role:both\nx, a.read, a.write\n", []string{
			"roles.csv:18: error: role:both carries both a.read and a.write, which this row keeps apart: take one from the role or remove the row [separation]",
			"roles.csv:10: note: role:admin hands out role:reader and role:writer, which nobody can hold together, by line 18",
			"roles.csv:17: note: role:admin hands out role:reader and role:both",
			"roles.csv:17: note: role:admin hands out role:writer and role:both"}},
		"names that look alike": {"secret.use, use\nsecrets.u5e, use\n", "p, role:connection, secret.use\np, role:connection, secrets.u5e\np, role:con-nection, a.read\np, role:con-nection, b.read\nd, role:admin, role:con-nection\n", []string{
			"permissions.csv:4: warning: permission secrets.use looks like secret.use in line 8: rename one [look-alike]",
			"permissions.csv:9: warning: permission secrets.u5e looks like secret.use in line 8: rename one [look-alike]",
			"roles.csv:4: warning: role:connection looks like role:con-nection in line 17: rename one [look-alike]"}},
		"case and form": {"A.Read, look\nc.read\n", "P, role:reader, a.write\np, role:Reader, a.write\np, role:reader\np,role:reader,a.read\n", []string{
			`permissions.csv:8: error: permission "A.Read": want two to five dotted lower-case words`,
			"permissions.csv:9: error: want a permission and one description without commas, then personal if it touches personal data [unreadable]",
			"permissions.csv:9: error: permission c.read is in no role",
			"roles.csv:15: error: want p, role, permission or g, d, e or b, role, role or x, permission, permission [unreadable]",
			`roles.csv:16: error: role "role:Reader": want role:`,
			"roles.csv:17: error: want p, role",
			"roles.csv:18: error: the same stands in line 1 already: remove one [duplicate]"}},
		"a permission twice": {"a.read, again\n", "", []string{"permissions.csv:8: error: permission a.read stands in line 1 already: remove one [duplicate]"}},
	} {
		t.Run(name, func(t *testing.T) {
			var fresh []string
			for _, f := range lint(t, lintPermissions+c.permissions, lintRoles+c.roles) {
				if f != base[0] {
					fresh = append(fresh, f)
				}
			}
			for _, w := range c.want {
				found := false
				for i, f := range fresh {
					if strings.Contains(f, w) {
						fresh, found = append(fresh[:i:i], fresh[i+1:]...), true
						break
					}
				}
				require.True(t, found, "%s\nis not in\n%s", w, strings.Join(fresh, "\n"))
			}
			require.Empty(t, fresh)
		})
	}
}

// Nesting that New refuses is found, and deeper ways to the same role are
// reported once.
func TestLintFindsDeepInclusion(t *testing.T) {
	roles := fewRoles
	for i := range 2 * maxRoleDepth {
		roles += fmt.Sprintf("g, role:d%d, role:d%d\n", i, i+1)
	}
	roles += fmt.Sprintf("p, role:d%d, a.read\n", 2*maxRoleDepth)
	found := strings.Join(lint(t, fewPermissions, roles), "\n")
	require.Contains(t, found, "[depth]")
	require.Contains(t, found, "roles nested deeper than 10, role:d0 > role:d1 >")
}

// A hundred ways between roles are a few steps for the linter.
func TestLintIsQuickWhereRolesIncludeManyOthers(t *testing.T) {
	var roles strings.Builder
	roles.WriteString(fewRoles)
	for layer := range maxRoleDepth - 1 {
		for i := range 8 {
			for j := range 8 {
				fmt.Fprintf(&roles, "g, role:l%d-%d, role:l%d-%d\n", layer, i, layer+1, j)
			}
		}
	}
	for i := range 8 {
		fmt.Fprintf(&roles, "p, role:l%d-%d, a.read\n", maxRoleDepth-1, i)
	}
	require.NotContains(t, strings.Join(lint(t, fewPermissions, roles.String()), "\n"), "error")
}

func TestLintGoesOnAfterWhatCannotBeRead(t *testing.T) {
	require.Equal(t, "unreadable", Lint(nil)[0].Rule)
	for file, want := range map[string]string{
		"model.conf":      "model.conf: error: ",
		"permissions.csv": "permissions.csv: error: ",
		"roles.csv":       "roles.csv: error: ",
	} {
		found := Lint(files(t, map[string]string{file: ""}))
		require.Contains(t, fmt.Sprint(found), want)
	}
	require.Len(t, Lint(fstest.MapFS{}), 3)
	long := Lint(files(t, map[string]string{"roles.csv": fewRoles + "p, role:x, " + strings.Repeat("a", 70_000), "permissions.csv": fewPermissions}))
	require.Equal(t, Finding{"roles.csv", 5, "unreadable", Error, "here or after: bufio.Scanner: token too long: shorten the line"}, long[len(long)-1])
	b, err := os.ReadFile("../policy/model.conf")
	require.NoError(t, err)
	other := Lint(files(t, map[string]string{"model.conf": strings.Replace(string(b), "r.act == p.act &&", "true ||", 1), "permissions.csv": fewPermissions, "roles.csv": fewRoles}))
	require.Contains(t, fmt.Sprint(other), "model.conf: error: m: want r.act == p.act")
}

// What New refuses Lint calls an error, and where Lint sees none New accepts:
// for every row of the shipped policy that is lost or said twice.
func TestLintAgreesWithNew(t *testing.T) {
	for _, file := range []string{"permissions.csv", "roles.csv"} {
		b, err := os.ReadFile("../policy/" + file)
		require.NoError(t, err)
		lines := strings.SplitAfter(string(b), "\n")
		for i := range lines {
			for _, text := range []string{
				strings.Join(append(lines[:i:i], lines[i+1:]...), ""),
				strings.Join(append(lines[:i+1:i+1], lines[i:]...), ""),
				strings.Join(append(append(lines[:i:i], strings.Replace(lines[i], "read", "raed", 1)), lines[i+1:]...), ""),
			} {
				agree(t, files(t, map[string]string{file: text}))
			}
		}
	}
}

func agree(t *testing.T, policy fs.FS) {
	t.Helper()
	_, err := New(t.Context(), policy, nil)
	agreeAbout(t, err, Lint(policy))
}

func agreeAbout(t *testing.T, err error, found []Finding) {
	t.Helper()
	bad := ""
	for _, f := range found {
		if f.Severity == Error && f.Rule != "internal-content" && f.Rule != "own-extension" {
			bad = f.String()
		}
	}
	require.Equal(t, err != nil, bad != "", "New says %v, Lint says %s", err, bad)
}

func TestTheShippedPolicyIsLinted(t *testing.T) {
	for _, f := range Lint(files(t, nil)) {
		require.Equal(t, Note, f.Severity, f)
	}
}

func TestSeverities(t *testing.T) {
	for s, want := range map[Severity]string{0: "none", Note: "note", Warning: "warning", Error: "error", 9: "none"} {
		b, err := s.MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
	require.Equal(t, "f: note: t [r]", Finding{"f", 0, "r", Note, "t"}.String())
}
