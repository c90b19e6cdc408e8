package policy_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz/policytest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// The policy test that the README shows passes, and its mutants can be told.
func TestReadmeShowsATestThatPasses(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(text), "```yaml\n")
	require.True(t, ok)
	block, _, ok := strings.Cut(after, "```")
	require.True(t, ok)
	fsys := fstest.MapFS{"readme_test.yaml": {Data: []byte(block)}}
	for _, name := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		data, err := fs.ReadFile(policy.Files(), name)
		require.NoError(t, err)
		fsys[name] = &fstest.MapFile{Data: data}
	}
	rep, err := policytest.Run(t.Context(), fsys, nil)
	require.NoError(t, err)
	require.True(t, rep.Passed(), "%+v", rep.Results)
	n, _ := rep.Count(policytest.OfCheck)
	require.Positive(t, n)
}
