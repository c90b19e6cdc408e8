package google

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
)

// Google's own clients find in the emulator what they find at Google, and ask for
// nothing that the emulator does not know.
func TestGooglesClientsJudgeTheEmulator(t *testing.T) {
	lock, err := os.ReadFile("googletest/jsclient/package-lock.json")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	modules := filepath.Join(cache, "lockkeeper", "googleclient-"+hex.EncodeToString(sum[:8]))
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(modules, "ready")); missing != nil || err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal("Google's clients are missing: run connectors/google/googletest/jsclient/install.sh")
		}
		t.Skip("left out Google's clients as judges: run connectors/google/googletest/jsclient/install.sh")
	}
	g := googletest.New(&googletest.Options{Accounts: map[string]string{"token-of-ana": ana, "token-of-ben": ben}})
	srv := httptest.NewTLSServer(g)
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	script, err := os.ReadFile("googletest/jsclient/judge.js")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "judge.js"), script, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")))
	cmd := exec.CommandContext(t.Context(), node, "judge.js", srv.URL+"/", "token-of-ana", ben)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %v", stderr.String(), g.Unknown())
	var saw map[string]any
	require.NoError(t, json.Unmarshal(out, &saw), "%s", out)
	require.Empty(t, g.Unknown())
	require.Equal(t, map[string]any{"twice": 409.0, "events": "Plan 0 Plan 1 Plan 2", "patched": "Plan 0 Room", "stale": 412.0, "news": "cancelled confirmed", "deleted": "cancelled",
		"people": "Ito", "changed": "Berg", "stalePerson": 400.0, "batch": "200 404", "gone": "true"}, saw)
	require.Equal(t, []googletest.Message{{Kind: "update", From: ana, To: ben, Subject: "Moved"}}, g.Ledger(), "who says nothing tells everybody")
}

// Google's own client for Go, in a module of its own, finds the same.
func TestGooglesGoClientJudgesTheEmulator(t *testing.T) {
	g := googletest.New(&googletest.Options{Accounts: map[string]string{"token-of-ana": ana}})
	srv := httptest.NewTLSServer(g)
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = filepath.Join("googletest", "goclient")
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "GOOGLETEST_URL="+srv.URL, "GOOGLETEST_TOKEN=token-of-ana", "GOOGLETEST_CA="+ca)
		return cmd.CombinedOutput()
	}
	if out, err := run("mod", "download"); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatalf("Google's client for Go cannot be fetched: %s", out)
		}
		t.Skip("left out Google's client for Go as a judge: its module cannot be fetched")
	}
	out, err := run("test", "-count=1", "-v", "./...")
	require.NoError(t, err, "%s\n%v", out, g.Unknown())
	require.NotContains(t, string(out), "SKIP")
	require.Empty(t, g.Unknown())
}
