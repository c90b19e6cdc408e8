package spelling

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	names := []string{"secrets.use", "secrets.write", "sync.run", "audit.read"}
	for name, want := range map[string]string{
		"secret.use":              "secrets.use",
		"secrets.wirte":           "secrets.write",
		"sync.rnu":                "sync.run",
		"sync.run":                "",
		"mailbox.items.read":      "",
		"":                        "",
		strings.Repeat("a", 1000): "",
	} {
		require.Equal(t, want, Nearest(name, names), name)
	}
	require.Equal(t, "ab", Nearest("ac", []string{"ab", "ad"}), "the first of equals")
}
