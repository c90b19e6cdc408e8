package secrets_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What seals, opens, rotates, erases and exports does so where only approved
// cryptography may run. Left out are tests that use other cryptography
// themselves.
func TestTheSuiteUnderFIPSOnly(t *testing.T) {
	const run = "Envelope|Altered|Place|Derive|Rewrap|Wycheproof|Memory|RowsOpen|Version|Rotation|Reseal|Erase|ImportAndExport|Grace|CallsToTheKeeper|VectorsOpenInTheSafe|PutAndUse"
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run="+run, "-test.v", "-rapid.checks=20")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.GreaterOrEqual(t, strings.Count(string(out), "\n--- PASS: "), 25)
}
