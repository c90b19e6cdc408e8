package quickstart_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the README shows is what runs here, line by line.
func TestTheReadmeShowsThisCode(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, code, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	code, _, _ = strings.Cut(code, "\n```")
	lines := strings.Split(code, "\n")
	require.Len(t, lines, 12, "twelve lines fit on the first screen")
	rest := string(source)
	for _, l := range lines {
		_, after, found := strings.Cut(rest, "\n\t"+l+"\n")
		require.True(t, found, l)
		rest = "\n" + after
	}
}
