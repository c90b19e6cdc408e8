package authz

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each finding stands for one thing in a policy, and is not made where a part of
// that thing is missing.
func TestEachFindingHasItsReason(t *testing.T) {
	const one = "a.one, x\na.two, x\nb.one, x\n"
	const staff = "secrets.use, x\nsecrets.write, x\nsecrets.list, x\nm.items.read, x\nm.names.read, x\nm.other.read, x\n"
	for name, c := range map[string]struct {
		permissions, roles string
		want               []string
	}{
		"two patterns that say the same": {"a.one, x\n", "p, role:r, a.*\np, role:r, a.one\n", []string{
			"roles.csv:1: warning: role:r has a.* already by line 2 (p, role:r, a.one): remove this row [shadowed-row]",
		}},
		"the later of two that say the same": {"a.x.one, x\n", "p, role:r, a.*\np, role:r, a.x.*\n", []string{
			"roles.csv:2: warning: role:r has a.x.* already by line 1 (p, role:r, a.*): remove this row [shadowed-row]",
		}},
		"three inclusions": {one, "p, role:a, a.one\np, role:b, a.two\ng, role:b, role:a\np, role:c, b.one\ng, role:c, role:b\ng, role:c, role:a\np, role:d, b.one\ng, role:d, role:c\ng, role:d, role:b\ng, role:d, role:a\n", []string{
			"roles.csv:6: warning: role:c includes role:a already by line 5 (g, role:c, role:b): remove this row [shadowed-row]",
			"roles.csv:7: warning: role:d carries just what role:c carries: keep one of them [same-roles]",
			"roles.csv:7: warning: role:d has b.one already by line 8 (g, role:d, role:c): remove this row [shadowed-row]",
			"roles.csv:9: warning: role:d includes role:b already by line 8 (g, role:d, role:c): remove this row [shadowed-row]",
			"roles.csv:10: warning: role:d includes role:a already by line 8 (g, role:d, role:c): remove this row [shadowed-row]",
		}},
		"inclusions in a circle": {one, "p, role:a, a.one\np, role:b, a.two\ng, role:a, role:b\ng, role:b, role:a\np, role:c, b.one\ng, role:c, role:a\ng, role:c, role:b\n", []string{
			"roles.csv:2: warning: role:b carries just what role:a carries: keep one of them [same-roles]",
			"roles.csv:4: error: roles include each other in a circle, role:a > role:b > role:a: remove one of these g rows [circle]",
		}},
		"a row that an unknown one shadows": {one, "p, role:a, a.one\np, role:a, a.none\np, role:a, a.*\np, role:b, b.one\n", []string{
			"roles.csv:1: warning: role:a has a.one already by line 3 (p, role:a, a.*): remove this row [shadowed-row]",
			`roles.csv:2: error: permission "a.none" is not in permissions.csv: add it there or correct it, perhaps a.one [unknown]`,
		}},
		"an inclusion of what is not there": {one, "p, role:a, a.one\ng, role:a, role:none\np, role:b, a.*\np, role:b, b.*\n", []string{
			`roles.csv:2: error: role "role:none" carries nothing: give it a permission or correct the name [unknown]`,
		}},
		"an x row of what is not there": {one, "p, role:a, a.one\np, role:b, a.two\np, role:b, b.one\nx, a.one, a.none\nx, a.one, b.one\nx, b.one, a.one\n", []string{
			`roles.csv:4: error: permission "a.none" is not in permissions.csv: add it there or correct it [separation]`,
			"roles.csv:6: warning: what this row keeps apart is kept apart already by line 5 (x, a.one, b.one): remove this row [shadowed-row]",
		}},
		"an x row on both sides": {one, "p, role:a, a.one\np, role:b, a.two\np, role:b, b.one\nx, a.one, b.one\nx, a.one, a.two\nx, a.*, a.one\n", []string{
			"roles.csv:6: error: a.one stands on both sides and cannot be kept apart from itself: name two permissions [separation]",
		}},
		"an x row that says half again": {one, "p, role:a, a.one\np, role:b, a.two\np, role:c, b.one\nx, a.one, b.one\nx, a.*, b.one\n", nil},
		"roles of nothing": {one, "p, role:a, a.*\np, role:a, b.*\np, role:n, a.none\np, role:o, a.none\n", []string{
			`roles.csv:3: error: permission "a.none" is not in permissions.csv: add it there or correct it, perhaps a.one [unknown]`,
			`roles.csv:4: error: permission "a.none" is not in permissions.csv: add it there or correct it, perhaps a.one [unknown]`,
		}},
		"the same, but one hands out": {one + writeAuthorizations + ", x\n", "p, role:a, a.*\np, role:a, b.*\np, role:b, a.*\np, role:b, b.*\np, role:w, " + writeAuthorizations + "\np, role:v, " + writeAuthorizations + "\nd, role:w, role:a\nd, role:w, role:b\nd, role:v, role:b\nd, role:v, role:a\n", []string{
			"roles.csv:3: warning: role:b carries just what role:a carries: keep one of them [same-roles]",
			"roles.csv:5: warning: role:w carries just what role:v carries: keep one of them [same-roles]",
		}},
		"who may be asked for":     {one + writeAuthorizations + ", x\n", "p, role:a, a.*\np, role:b, b.*\np, role:c, a.one\np, role:c, b.one\np, role:w, " + writeAuthorizations + "\nd, role:w, role:a\ne, role:a, role:b\nb, role:a, role:c\n", nil},
		"who is a part of another": {one + writeAuthorizations + ", x\n", "p, role:a, a.one\np, role:a, a.two\np, role:b, b.*\ng, role:b, role:a\np, role:w, " + writeAuthorizations + "\nd, role:w, role:b\n", nil},
		"who is held by a giver":   {one + writeAuthorizations + ", x\n", "p, role:a, a.one\np, role:a, a.two\np, role:w, " + writeAuthorizations + "\np, role:w, a.*\np, role:w, b.*\n", nil},
		"who gives itself": {one + writeAuthorizations + ", x\n", "p, role:w, " + writeAuthorizations + "\np, role:w, a.*\np, role:w, b.*\nd, role:w, role:w\n", []string{
			"roles.csv:4: error: what is handed out comes back to its giver, role:w > role:w: remove one of these d rows [own-extension]",
		}},
		"a gift of what is not there": {one + writeAuthorizations + ", x\n", "p, role:w, " + writeAuthorizations + "\np, role:w, a.*\np, role:w, b.*\nd, role:w, role:none\nd, role:none, role:w\n", []string{
			"roles.csv:4: error: what is handed out comes back to its giver, role:none > role:w > role:none: remove one of these d rows [own-extension]",
			`roles.csv:4: error: role "role:none" carries nothing: give it a permission or correct the name [unknown]`,
			`roles.csv:5: error: role "role:none" carries nothing: give it a permission or correct the name [unknown]`,
		}},
		"nobody gives": {one, "p, role:a, a.*\np, role:b, b.*\nd, role:a, role:b\n", []string{
			"roles.csv:3: warning: role:a lacks authz.authorizations.write and can give nobody anything: add the permission or remove this row [idle-row]",
		}},
		"handed out in a circle": {one + writeAuthorizations + ", x\n", "p, role:a, a.one\np, role:b, a.two\np, role:c, b.one\np, role:w, " + writeAuthorizations + "\ng, role:a, role:w\ng, role:b, role:w\ng, role:c, role:w\nd, role:a, role:b\nd, role:b, role:a\nd, role:b, role:c\nd, role:c, role:a\nd, role:a, role:c\n", []string{
			"roles.csv:9: error: what is handed out comes back to its giver, role:a > role:b > role:a: remove one of these d rows [own-extension]",
			"roles.csv:11: error: what is handed out comes back to its giver, role:a > role:b > role:c > role:a: remove one of these d rows [own-extension]",
		}},
		"handed out, and what includes it": {one + writeAuthorizations + ", x\n", "p, role:a, a.one\np, role:b, a.two\np, role:b, b.one\ng, role:b, role:a\np, role:w, " + writeAuthorizations + "\ng, role:a, role:w\nd, role:a, role:b\n", []string{
			"roles.csv:7: error: role:a hands out role:b, which includes role:a: whoever gets it can pass it back: remove this row [own-extension]",
		}},
		"staff": {staff, "p, role:support, secrets.use\np, role:support, m.other.read\np, role:sales, secrets.write\np, role:sales-lead, m.items.read\np, role:administration, m.names.read\np, role:customer-success, secrets.list\np, role:supporter, m.items.read\np, role:supporter, secrets.use\n", []string{
			"roles.csv:1: error: role:support is staff and reaches secrets.use: take it away [internal-content]",
			"roles.csv:3: error: role:sales is staff and reaches secrets.write: take it away [internal-content]",
			"roles.csv:4: error: role:sales-lead is staff and reaches m.items.read: take it away [internal-content]",
			"roles.csv:5: error: role:administration is staff and reaches m.names.read: take it away [internal-content]",
		}},
		"staff, by what it includes": {staff, "p, role:u, secrets.use\np, role:w, secrets.write\np, role:i, m.items.read\np, role:n, m.names.read\np, role:o, m.other.read\np, role:o, secrets.list\ng, role:support, role:u\ng, role:sales, role:w\ng, role:administration, role:i\ng, role:customer-success, role:n\ng, role:support-two, role:o\ng, role:sales-two, role:sales\ng, role:sales-three, role:none\n", []string{
			"roles.csv:1: warning: role:u carries just what role:support carries: keep one of them [same-roles]",
			"roles.csv:2: warning: role:w carries just what role:sales carries: keep one of them [same-roles]",
			"roles.csv:3: warning: role:i carries just what role:administration carries: keep one of them [same-roles]",
			"roles.csv:4: warning: role:n carries just what role:customer-success carries: keep one of them [same-roles]",
			"roles.csv:7: error: role:support is staff and reaches secrets.use through role:u: name the permissions it needs instead [internal-content]",
			"roles.csv:8: error: role:sales is staff and reaches secrets.write through role:w: name the permissions it needs instead [internal-content]",
			"roles.csv:9: error: role:administration is staff and reaches m.items.read through role:i: name the permissions it needs instead [internal-content]",
			"roles.csv:10: error: role:customer-success is staff and reaches m.names.read through role:n: name the permissions it needs instead [internal-content]",
			"roles.csv:11: warning: role:support-two carries just what role:o carries: keep one of them [same-roles]",
			"roles.csv:12: warning: role:sales-two carries just what role:sales carries: keep one of them [same-roles]",
			`roles.csv:13: error: role "role:none" carries nothing: give it a permission or correct the name, perhaps role:n [unknown]`,
		}},
		"giving and many kinds of content": {"m.items.a, x\nm.items.b, x\nm.items.c, x\nm.items.d, x\nm.items.e, x\n" + writeAuthorizations + ", x\n", "p, role:w, " + writeAuthorizations + "\np, role:w, m.items.a\np, role:w, m.items.b\np, role:w, m.items.c\np, role:w, m.items.d\np, role:w, m.items.e\n", []string{
			"roles.csv:1: warning: role:w gives roles and reaches content (m.items.a, m.items.b, m.items.c, m.items.d, m.items.e): make two roles of it [too-wide]",
		}},
		"giving and more": {"m.items.a, x\nm.items.b, x\nm.items.c, x\nm.items.d, x\nm.items.e, x\nm.items.f, x\n" + writeAuthorizations + ", x\n", "p, role:w, " + writeAuthorizations + "\np, role:w, m.items.*\n", []string{
			"roles.csv:1: warning: role:w gives roles and reaches content (m.items.a, m.items.b, m.items.c, m.items.d, 2 more): make two roles of it [too-wide]",
		}},
		"descriptions": {"a.one, x, personal\na.two, x, private\na.three, \na.four\na.five, , personal\nb.one, x, personal, y\nA.b, x\na.one, y\n", "p, role:a, a.*\np, role:a, b.*\n", []string{
			"permissions.csv:2: error: want a permission and one description without commas, then personal if it touches personal data [unreadable]",
			"permissions.csv:3: error: want a permission and one description without commas, then personal if it touches personal data [unreadable]",
			"permissions.csv:4: error: want a permission and one description without commas, then personal if it touches personal data [unreadable]",
			"permissions.csv:5: error: want a permission and one description without commas, then personal if it touches personal data [unreadable]",
			"permissions.csv:6: error: want a permission and one description without commas, then personal if it touches personal data [unreadable]",
			`permissions.csv:7: error: permission "A.b": want two to five dotted lower-case words, as in mailbox.items.read [unreadable]`,
			"permissions.csv:8: error: permission a.one stands in line 1 already: remove one [duplicate]",
		}},
		"rows": {one, "p, role:a, a.*\np, role:a, b.*\np, role:a, a.*\nq, role:a, a.one\np, role:a\ng, Role, role:a\np, role:B, a.one\n", []string{
			"roles.csv:3: error: the same stands in line 1 already: remove one [duplicate]",
			"roles.csv:4: error: want p, role, permission or g, d, e or b, role, role or x, permission, permission [unreadable]",
			"roles.csv:5: error: want p, role, permission or g, d, e or b, role, role or x, permission, permission [unreadable]",
			`roles.csv:6: error: role "Role": want role: and lower-case letters, digits, dashes [unreadable]`,
			`roles.csv:7: error: role "role:B": want role: and lower-case letters, digits, dashes [unreadable]`,
		}},
	} {
		require.Equal(t, c.want, lint(t, c.permissions, c.roles), name)
	}
}

// What New refuses for its size is a finding too, and a file that cannot be read
// is one that names it.
func TestWhatCannotBeLinted(t *testing.T) {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	contains := func(got []string, want string) {
		t.Helper()
		require.True(t, slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }), "%s: %.500q", want, got)
	}
	contains(lint(t, lines(maxPermissions+1, "p.n%d, x\n"), "p, role:all, p.*\n"), "permissions.csv: error: 4097 permissions, want 1 to 4096")
	contains(lint(t, "p.a, x\n", lines(maxRoles+1, "p, role:r%d, p.a\n")), "roles.csv:4097: error: more than 4096 roles")
	contains(lint(t, strings.Repeat("x", 70_000)+"\n", "p, role:all, p.*\n"), "permissions.csv:1: error: here or after")
	contains(lint(t, "p.a, x\n", strings.Repeat("x", 70_000)+"\n"), "roles.csv:1: error: here or after")
	for _, file := range []string{"permissions.csv", "roles.csv", "model.conf"} {
		var found []string
		for _, f := range Lint(files(t, map[string]string{file: ""})) {
			found = append(found, f.String())
		}
		contains(found, file+": error: ")
	}
	require.NotEmpty(t, Lint(nil))
}
