package sim

import (
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
// first line says why it is one. The simulator has to find it within 2,000 worlds,
// and looks first at the world named by a line "found at: SEED"; or the test of
// package sync, or "sim.TEST" of this one, has to that a line "named: TEST" names. It is built beside the sources, never into them.
func TestBugsAreFound(t *testing.T) {
	if !*withBugs {
		t.Skip("run with -sim.bugs: a build for each")
	}
	patches, err := filepath.Glob("testdata/bugs/*.patch")
	require.NoError(t, err)
	bySimulator := 0
	for _, patch := range patches {
		ok := t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) { findBug(t, patch) })
		text, err := os.ReadFile(patch)
		require.NoError(t, err)
		if ok && !named.Match(text) {
			bySimulator++
		}
	}
	if bySimulator < 30 {
		t.Errorf("the simulator found %d bugs: too few to mean anything", bySimulator)
	}
}

// A patch that is out of date is found in every run, without a build.
func TestBugsFitTheEngine(t *testing.T) {
	patches, err := filepath.Glob("testdata/bugs/*.patch")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(patches), 50)
	for _, patch := range patches {
		text, err := os.ReadFile(patch)
		require.NoError(t, err)
		t.Run(filepath.Base(patch), func(t *testing.T) { patched(t, t.TempDir(), string(text)) })
	}
}

var (
	named   = regexp.MustCompile(`(?m)^named: (\S+)`)
	foundAt = regexp.MustCompile(`(?m)^found at: (\d+)`)
	says    = regexp.MustCompile(`(?m)^ +[a-z0-9_]+_test\.go:\d+: *(\S.*)$`)
	atSeed  = regexp.MustCompile(`\(seed (\d+)\)`)
)

func findBug(t *testing.T, patch string) {
	text, err := os.ReadFile(patch)
	require.NoError(t, err)
	dir := t.TempDir()
	overlay := patched(t, dir, string(text))
	began := time.Now()
	build := func(pkg string) string {
		bin := filepath.Join(dir, "test")
		out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", bin, pkg).CombinedOutput()
		require.NoError(t, err, "%s", out) // one that does not build is not found
		return bin
	}
	run := func(bin, wd string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), bin, append(args, "-test.timeout=10m")...)
		cmd.Dir = wd
		out, err := cmd.CombinedOutput()
		if err == nil {
			return ""
		}
		if m := says.FindSubmatch(out); m != nil {
			return string(m[1])
		}
		return string(out) // it panics, or never ends
	}
	if m := named.FindSubmatch(text); m != nil {
		dir, test := "..", string(m[1])
		if rest, ok := strings.CutPrefix(test, "sim."); ok {
			dir, test = ".", rest
		}
		found := run(build(dir), dir, "-test.run=^"+test+"$")
		require.NotEmpty(t, found, "not found by %s", m[1])
		t.Logf("found in %s: %s", time.Since(began).Round(time.Second), found)
		return
	}
	bin := build(".")
	if m := foundAt.FindSubmatch(text); m != nil {
		if found := run(bin, ".", "-test.run=TestSim$", "-sim.seed="+string(m[1])); found != "" {
			t.Logf("found in %s, at seed %s: %s", time.Since(began).Round(time.Second), m[1], found)
			return
		}
		t.Logf("not found at seed %s any more", m[1])
	}
	found := run(bin, ".", "-test.run=TestSim$", "-sim.seeds=2000", "-sim.quick")
	require.NotEmpty(t, found, "not found in 2,000 worlds")
	at := "?"
	if m := atSeed.FindStringSubmatch(found); m != nil {
		at = m[1]
	}
	t.Logf("found in %s, at seed %s: %s", time.Since(began).Round(time.Second), at, found)
}

// patched applies a patch to copies of the sources and returns an overlay with them.
// What a hunk takes away has to be in the source exactly once, on whatever line; if
// it is not, the patch is out of date, and that is a failure.
func patched(t *testing.T, dir, patch string) string {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	over := map[string]map[string]string{"Replace": {}}
	for file := range strings.SplitSeq(patch, "\n--- a/") {
		name, rest, ok := strings.Cut(file, "\n+++ b/")
		if !ok {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		text := string(src)
		for _, hunk := range strings.Split(rest, "\n@@ ")[1:] {
			var was, is strings.Builder
			_, body, _ := strings.Cut(hunk, "\n")
			for line := range strings.Lines(strings.TrimSuffix(body, "\n") + "\n") {
				if line[0] != '+' {
					was.WriteString(line[1:])
				}
				if line[0] != '-' {
					is.WriteString(line[1:])
				}
			}
			require.Equal(t, 1, strings.Count(text, was.String()), "%s does not say once, so the patch is out of date:\n%s", name, was.String())
			text = strings.Replace(text, was.String(), is.String(), 1)
		}
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		require.NoError(t, os.WriteFile(to, []byte(text), 0o600))
		over["Replace"][filepath.Join(root, name)] = to
	}
	require.NotEmpty(t, over["Replace"])
	list, err := json.Marshal(over)
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, list, 0o600))
	return overlay
}
