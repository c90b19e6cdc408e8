package sim

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var withBugs = flag.Bool("sim.bugs", false, "put the deliberate bugs of testdata/bugs into the engine, one after the other")

// Each patch in testdata/bugs is a bug that somebody could write, or wrote: its
// first line says why it is one. The simulator has to find it, or the named test
// where the second line names one. It is built beside the sources, never into them.
func TestBugsAreFound(t *testing.T) {
	if !*withBugs {
		t.Skip("run with -sim.bugs: a build and up to 400 worlds for each")
	}
	patches, err := filepath.Glob("testdata/bugs/*.patch")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(patches), 30)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	said := regexp.MustCompile(`(?m)^ +[a-z_]+_test\.go:\d+: (.*)$`)
	for _, patch := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) {
			text, err := os.ReadFile(patch)
			require.NoError(t, err)
			dir := t.TempDir()
			over := map[string]map[string]string{"Replace": {}}
			for _, m := range regexp.MustCompile(`(?m)^\+\+\+ b/(\S+)`).FindAllSubmatch(text, -1) {
				name := string(m[1])
				src, err := os.ReadFile(filepath.Join(root, name))
				require.NoError(t, err)
				require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), src, 0o600))
				over["Replace"][filepath.Join(root, name)] = filepath.Join(dir, name)
			}
			apply := exec.CommandContext(t.Context(), "git", "apply", "--unidiff-zero", "-p1", "-")
			apply.Dir, apply.Stdin = dir, bytes.NewReader(text)
			apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
			out, err := apply.CombinedOutput()
			require.NoError(t, err, "%s", out)
			list, err := json.Marshal(over)
			require.NoError(t, err)
			overlay := filepath.Join(dir, "overlay.json")
			require.NoError(t, os.WriteFile(overlay, list, 0o600))
			args := []string{"test", "-overlay", overlay, ".", "-run", "TestSim$", "-sim.seeds=400", "-sim.quick", "-timeout=10m"}
			if m := regexp.MustCompile(`(?m)^named: (\S+)`).FindSubmatch(text); m != nil {
				args = []string{"test", "-overlay", overlay, "..", "-run", "^" + string(m[1]) + "$", "-timeout=5m"}
			}
			began := time.Now()
			test := exec.CommandContext(t.Context(), "go", args...)
			out, err = test.CombinedOutput()
			require.Error(t, err, "not found by %v", args)
			found := said.FindSubmatch(out)
			require.NotNil(t, found, "%s", out) // nor for one that does not build
			t.Logf("found in %s: %s", time.Since(began).Round(time.Second), found[1])
		})
	}
}
