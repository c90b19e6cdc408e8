package authz

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// Whatever stands in the files, New answers, names the file it refuses, and
// Lint sees an error just when New does.
func FuzzPolicy(f *testing.F) {
	model := strings.TrimSpace(indexable)
	for _, s := range [][2]string{
		{fewPermissions, fewRoles},
		{fewPermissions, fewRoles + "d, role:all, role:reader\nx, a.read, b.read\n"},
		{fewPermissions, fewRoles + "g, role:reader, role:writer\n"},
		{fewPermissions, fewRoles + "x, a.*, a.read\nx, role:all, a.read\n"},
		{lintPermissions, lintRoles},
		{"a.b, x\n", "g, role:a, role:a\np, role:a, a.*\np, role:a, a.b\n"},
		{"a.b\n,,\n", "p\n\x00, role:a, *\n"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, permissions, roles string) {
		if len(permissions)+len(roles) > 10_000 {
			t.Skip("what is big is slow and no different")
		}
		files := fstest.MapFS{"model.conf": {Data: []byte(model)}, "permissions.csv": {Data: []byte(permissions)}, "roles.csv": {Data: []byte(roles)}}
		a, err := New(t.Context(), files, nil)
		found := Lint(files)
		for _, x := range found {
			require.NotEmpty(t, x.Text)
			require.NotZero(t, x.Severity)
		}
		if err != nil {
			require.Contains(t, err.Error(), "authz: policy: ")
			require.Contains(t, err.Error(), ".csv:")
		}
		agreeAbout(t, err, found)
		if err != nil {
			return
		}
		rules, err := Rules(files)
		require.NoError(t, err)
		var again strings.Builder
		for _, r := range rules {
			again.WriteString(r.String() + "\n")
		}
		files["roles.csv"] = &fstest.MapFile{Data: []byte(again.String())}
		b, err := New(t.Context(), files, nil)
		require.NoError(t, err, "what was read and written is read again")
		require.Equal(t, a.cat.sets, b.cat.sets)
		require.Equal(t, a.cat.exclusive, b.cat.exclusive)
		require.Equal(t, a.cat.mayGive, b.cat.mayGive)
		for role, set := range a.cat.sets {
			for _, x := range a.cat.exclusive {
				require.False(t, set.has(x[0]) && set.has(x[1]), "%s breaks an x row", role)
			}
		}
	})
}
