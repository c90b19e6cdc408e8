package ews

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

	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
)

// A client that nobody here wrote finds in the emulator what it would find in
// Exchange, and asks for nothing that the emulator does not know.
func TestAnotherClientJudgesTheEmulator(t *testing.T) {
	lock, err := os.ReadFile("ewstest/jsclient/package-lock.json")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	modules := filepath.Join(cache, "lockkeeper", "ewsclient-"+hex.EncodeToString(sum[:8]))
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(modules, "ready")); missing != nil || err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal("the other client is missing: run connectors/ews/ewstest/jsclient/install.sh")
		}
		t.Skip("left out another client as a judge: run connectors/ews/ewstest/jsclient/install.sh")
	}
	x := ewstest.New(&ewstest.Options{User: "svc", Password: "password of svc", Mailboxes: []string{"svc@acme.example", ana, ben}, Impersonate: []string{ana}})
	srv := httptest.NewTLSServer(x)
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	script, err := os.ReadFile("ewstest/jsclient/judge.js")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "judge.js"), script, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")))
	cmd := exec.CommandContext(t.Context(), node, "judge.js", srv.URL+ewstest.Path, "svc", "password of svc", ben)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	var saw map[string]any
	require.NoError(t, json.Unmarshal(out, &saw), "%s", out)
	require.Empty(t, x.Unknown())
	require.Equal(t, map[string]any{"found": 3.0, "changes": 3.0, "one": "S0 s0@x.example", "news": "Delete Update", "appointment": "Plan Room 2026-07-01T07:00:00.000Z",
		"folder": 1.0, "impersonated": "ErrorImpersonateUserDenied"}, saw)
	require.Empty(t, x.Ledger())
}
