package msgraph

import (
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

	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
)

// Microsoft's own client finds in the emulator what it finds in Graph, and asks
// for nothing that the emulator does not know.
func TestMicrosoftsClientJudgesTheEmulator(t *testing.T) {
	lock, err := os.ReadFile("msgraphtest/jsclient/package-lock.json")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	modules := filepath.Join(cache, "lockkeeper", "graphclient-"+hex.EncodeToString(sum[:8]))
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(modules, "ready")); missing != nil || err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal("Microsoft's client is missing: run connectors/msgraph/msgraphtest/jsclient/install.sh")
		}
		t.Skip("left out Microsoft's client as a judge: run connectors/msgraph/msgraphtest/jsclient/install.sh")
	}
	g := msgraphtest.New(&msgraphtest.Options{Token: "token-of-ana", Mailboxes: []string{ana}, PageSize: 3, Now: today})
	srv := httptest.NewTLSServer(g)
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	script, err := os.ReadFile("msgraphtest/jsclient/judge.js")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "judge.js"), script, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")))
	g.Throttle(1) // it waits and goes on
	cmd := exec.CommandContext(t.Context(), node, "judge.js", srv.URL+"/", "token-of-ana", ana)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	var stderr errs
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr)
	var saw map[string]any
	require.NoError(t, json.Unmarshal(out, &saw))
	require.Equal(t, map[string]any{
		"listed": "S0 S1 S2 S3 S4 S5 S6", "delta": 7.0, "changed": "Changed", "stale": "412 ErrorIrresolvableConflict", "news": "Changed removed",
		"start": "2026-03-10T09:00 UTC", "twice": "409", "view": "Plan", "batch": "200 404",
	}, saw)
	require.Empty(t, g.Unknown())
}

type errs []byte

func (e *errs) Write(b []byte) (int, error) { *e = append(*e, b...); return len(b), nil }
